//! Push before real receivers in all protocols: an OpenTelemetry Collector and Prometheus 3, with and without TLS, ended
//! in mid-run and started again.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use linkit_bridge::catalog::{FigureId, Section};
use linkit_bridge::clock::{Clock, ManualClock, SystemClock, Wall};
use linkit_bridge::delivery::{Batch, Delivery, DeliveryConfig, Destination, DropReason, Outcome, Protocol};
use linkit_bridge::http_client::HttpClient;
use linkit_bridge::output::otlp::{Endpoint, Otlp, OtlpConfig, Temporality};
use linkit_bridge::reading::{Ages, Reading, Readings};
use linkit_bridge::registry::{AttemptReport, Change, Registry};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};
use serde_json::Value;

use crate::support::bridge::Bridge;
use crate::support::certificates::Certificates;
use crate::support::otelcol::{Collector, attribute, points};
use crate::support::peers::peer;
use crate::support::process::Process;
use crate::support::prometheus::Prometheus;
use crate::support::{Directory, eventually, free_port};

const OWN: &str = "service: { name: shop, instance: 'shop-1' }\nruntime: { source: self, interval: 100ms }\n";

fn delivered(endpoint: &str) -> String {
    format!("linkit_bridge_push_delivered_total{{endpoint=\"{endpoint}\"}}")
}

fn attempts(endpoint: &str, outcome: &str) -> String {
    format!("linkit_bridge_push_attempts_total{{endpoint=\"{endpoint}\",outcome=\"{outcome}\"}}")
}

/// Waits until each endpoint has had some batches, and checks that none was refused.
async fn until_delivered(bridge: &Bridge, endpoints: &[String], least: f64) {
    let has_all = || async {
        let series = bridge.series().await;
        endpoints.iter().all(|endpoint| series[&delivered(endpoint)] >= least).then_some(series)
    };
    let series = eventually("a delivery to each endpoint", has_all).await;
    for endpoint in endpoints {
        for outcome in ["partial", "rejected", "retry"] {
            assert!(series[&attempts(endpoint, outcome)] < 1.0, "{endpoint}, {outcome}: {}", bridge.process.output());
        }
    }
}

/// Endpoints of each address with its protocol, in each of the manners of one setting: their list for the config, and their
/// names.
fn each_with(addresses: &[(&str, &str)], setting: &str, manners: &[&str], interval: &str) -> (String, Vec<String>) {
    let (mut list, mut names) = (String::new(), Vec::new());
    for (protocol, address) in addresses {
        for manner in manners {
            let name = format!("{protocol} {manner}");
            list.push_str(&format!(
                "  - {{ name: {name}, endpoint: '{address}', protocol: {protocol}, {setting}: {manner}, \
                 interval: {interval} }}\n"
            ));
            names.push(name);
        }
    }
    (list, names)
}

/// Every protocol, to a Collector.
fn protocols(collector: &Collector) -> [(&str, &str); 3] {
    [("http/protobuf", &*collector.endpoint), ("http/json", &*collector.endpoint), ("grpc", &*collector.grpc)]
}

#[tokio::test]
async fn every_protocol_with_every_compression_brings_the_same() {
    let Some(collector) = Collector::start().await else { return };
    let (list, names) = each_with(&protocols(&collector), "compression", &["gzip", "zstd", "none"], "200ms");
    let bridge = Bridge::start(&format!("{OWN}otlp:\n{list}")).await;
    until_delivered(&bridge, &names, 2.0).await;
    let written = || async { Some(collector.requests()).filter(|requests| requests.len() >= 2 * names.len()) };
    let requests = eventually("all requests in the collector's file", written).await;
    for request in &requests[requests.len() - names.len()..] {
        assert_eq!(attribute(&request["resourceMetrics"][0]["resource"], "service.name").as_deref(), Some("shop"));
        let cpus = points(request, "linkit.runtime.cpus");
        assert!(cpus[0]["asInt"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{request}");
        let success = points(request, "linkit.bridge.push.attempts");
        assert_eq!(success.len(), Outcome::ALL.len() * names.len());
    }
}

#[tokio::test]
async fn every_temporality_is_taken_in_every_protocol() {
    let Some(collector) = Collector::start().await else { return };
    let (list, names) =
        each_with(&protocols(&collector), "temporality", &["cumulative", "delta", "lowmemory"], "200ms");
    let bridge = Bridge::start(&format!("{OWN}otlp:\n{list}")).await;
    // The first differences are in the second.
    until_delivered(&bridge, &names, 3.0).await;
}

#[tokio::test]
async fn prometheus_takes_both_protocols_it_has_and_what_is_compressed_by_gzip() {
    let Some(program) = peer("prometheus") else { return };
    let config = "storage: { tsdb: { out_of_order_time_window: 24h } }\n";
    let prometheus = Prometheus::start(&program, config, &["--web.enable-otlp-receiver"]).await;
    let address = format!("{}/api/v1/otlp", prometheus.url);
    let protocols = [("http/protobuf", &*address), ("http/json", &*address)];
    let (list, names) = each_with(&protocols, "compression", &["gzip", "none"], "1100ms");
    let bridge = Bridge::start(&format!("{OWN}otlp:\n{list}")).await;
    until_delivered(&bridge, &names, 2.0).await;
}

#[tokio::test]
async fn what_a_collector_finds_too_large_reaches_it_in_parts() {
    let Some(collector) = Collector::start_taking(6000).await else { return };
    for compression in ["none", "gzip"] {
        let before = collector.requests().len();
        let bridge = Bridge::start(&format!(
            "{OWN}otlp: {{ endpoint: '{}', interval: 200ms, compression: {compression} }}\n",
            collector.endpoint
        ))
        .await;
        until_delivered(&bridge, &["default".to_owned()], 3.0).await;
        let series = bridge.series().await;
        assert!(series[&attempts("default", "divided")] >= 1.0, "{compression}: {series:?}");
        assert!(bridge.process.stop().await.success());
        // Each batch has each of these once, in whichever part.
        let whole = || async {
            let requests = &collector.requests()[before..];
            let all = |name| requests.iter().flat_map(|request| points(request, name)).collect::<Vec<_>>();
            let accepted = all("linkit.bridge.push.accepted");
            let numbers: Vec<_> = accepted.iter().map(|point| point["asInt"].as_str().unwrap().to_owned()).collect();
            let counts = ["linkit.bridge.push.attempts", "linkit.runtime.cpus"].map(|name| all(name).len());
            let is_whole = counts == [Outcome::ALL.len() * numbers.len(), numbers.len()];
            (is_whole && numbers.len() > 2 && requests.len() >= 2 * numbers.len()).then_some(numbers)
        };
        let numbers = eventually("all parts of all batches", whole).await;
        assert_eq!(numbers, (0..numbers.len()).map(|number| number.to_string()).collect::<Vec<_>>(), "{compression}");
    }
}

#[tokio::test]
async fn whatever_an_embedding_program_records_reaches_a_collector_in_json_as_in_protobuf() {
    let Some(collector) = Collector::start().await else { return };
    let spread = |instrument: &Instrument| {
        let aggregation = Aggregation::Base2ExponentialHistogram { max_size: 20, max_scale: 20, record_min_max: true };
        let stream = Stream::builder().with_aggregation(aggregation).build().ok();
        stream.filter(|_| instrument.name() == "spread")
    };
    let clock = Arc::new(ManualClock::at(SystemClock::new().now().wall));
    let registry = Registry::with_views(clock.clone(), Ages::default(), &resource("s"), &[], vec![Box::new(spread)]);
    let meter = registry.meter_provider().meter("shop");
    let pairs = [KeyValue::new("code", 200), KeyValue::new("share", 0.5), KeyValue::new("good", true)];
    let (visits, ratio) = (meter.u64_counter("visits").build(), meter.f64_gauge("ratio").build());
    let (took, spread) = (meter.f64_histogram("took").build(), meter.f64_histogram("spread").build());
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let ways = [Protocol::HttpJson, Protocol::HttpProtobuf];
        let ways = ways.map(|protocol| Way::by(collector.endpoint.clone(), protocol, temporality));
        let before = collector.requests().len();
        for value in [0.0, 1.5, -2.0, f64::NAN, f64::INFINITY] {
            visits.add(3, &pairs);
            ratio.record(value, &[]);
            took.record(value, &pairs);
            spread.record(value, &pairs);
            clock.advance(Duration::from_secs(2));
            for way in &ways {
                way.put(&registry).await;
                assert_eq!(way.answered().await[1], 0, "{temporality:?}, {value}");
            }
        }
        let written = || async { Some(collector.requests()).filter(|requests| requests.len() == before + 10) };
        let requests = eventually("ten requests in the collector's file", written).await;
        for pair in requests[before..].chunks(2) {
            assert_eq!(pair[0], pair[1], "{temporality:?}");
        }
    }
}

#[tokio::test]
async fn tls_with_an_own_authority_and_a_clients_certificate_from_the_config() {
    let directory = Directory::new("push-tls");
    let Some(certificates) = Certificates::make(directory.path()) else { return };
    let Some(collector) = Collector::start_secured(&certificates).await else { return };
    let authority = certificates.authority.display();
    let tls = format!(
        "{{ ca_file: '{authority}', cert_file: '{}', key_file: '{}' }}",
        certificates.client_certificate.display(),
        certificates.client_key.display()
    );
    let (http, grpc) = (&collector.endpoint, &collector.grpc);
    let bridge = Bridge::start(&format!(
        "{OWN}otlp:\n  \
         - {{ name: http, endpoint: '{http}', interval: 200ms, tls: {tls} }}\n  \
         - {{ name: grpc, endpoint: '{grpc}', protocol: grpc, interval: 200ms, tls: {tls} }}\n  \
         - {{ name: nameless, endpoint: '{http}', interval: 200ms, tls: {{ ca_file: '{authority}' }} }}\n  \
         - {{ name: stranger, endpoint: '{grpc}', protocol: grpc, interval: 200ms }}\n"
    ))
    .await;
    until_delivered(&bridge, &["http".to_owned(), "grpc".to_owned()], 2.0).await;
    for name in ["nameless", "stranger"] {
        let tried = || async {
            let series = bridge.series().await;
            (series[&attempts(name, "unanswered")] >= 1.0).then_some(series)
        };
        let series = eventually("an attempt without the right certificates", tried).await;
        assert!(series[&delivered(name)] < 1.0, "{name}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_taken_without_a_restart() {
    let (directory, other) = (Directory::new("push-tls"), Directory::new("push-tls-other"));
    let Some(certificates) = Certificates::make(directory.path()) else { return };
    let Some(strange) = Certificates::make(other.path()) else { return };
    let Some(collector) = Collector::start_secured(&certificates).await else { return };
    let [certificate, key] = ["mine.pem", "mine.key"].map(|name| directory.path().join(name));
    std::fs::copy(&strange.client_certificate, &certificate).unwrap();
    std::fs::copy(&strange.client_key, &key).unwrap();
    let bridge = Bridge::start(&format!(
        "{OWN}otlp: {{ endpoint: '{}', protocol: grpc, interval: 200ms, \
         tls: {{ ca_file: '{}', cert_file: '{}', key_file: '{}' }} }}\n",
        collector.grpc,
        certificates.authority.display(),
        certificate.display(),
        key.display()
    ))
    .await;
    let tried = || async { (bridge.series().await[&attempts("default", "unanswered")] >= 1.0).then_some(()) };
    eventually("an attempt with a stranger's certificate", tried).await;
    std::fs::copy(&certificates.client_key, &key).unwrap();
    std::fs::copy(&certificates.client_certificate, &certificate).unwrap();
    until_delivered(&bridge, &["default".to_owned()], 2.0).await;
}

#[tokio::test]
async fn the_variables_of_the_specification_are_enough() {
    let directory = Directory::new("push-variables");
    let Some(certificates) = Certificates::make(directory.path()) else { return };
    let Some(secured) = Collector::start_secured(&certificates).await else { return };
    let Some(plain) = Collector::start().await else { return };
    let path = |path: &std::path::Path| path.display().to_string();
    let (ca, certificate, key) =
        (path(&certificates.authority), path(&certificates.client_certificate), path(&certificates.client_key));
    let often = ("OTEL_METRIC_EXPORT_INTERVAL", "200");
    let tls = [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", ca.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.as_str()),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", key.as_str()),
    ];
    let grpc_secured = secured.grpc.trim_start_matches("https://");
    let grpc_plain = plain.grpc.trim_start_matches("http://");
    let metrics = format!("{}/v1/metrics", secured.endpoint);
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    for env in [
        [&tls[..], &[often, grpc, ("OTEL_EXPORTER_OTLP_ENDPOINT", grpc_secured)]].concat(),
        [
            &tls[..],
            &[
                often,
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", metrics.as_str()),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ],
        ]
        .concat(),
        vec![
            often,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", grpc_plain),
        ],
    ] {
        let bridge = Bridge::start_with(OWN, &env).await;
        until_delivered(&bridge, &["default".to_owned()], 2.0).await;
    }
}

#[tokio::test]
async fn the_key_in_the_environment_goes_to_none_of_several_endpoints() {
    let Some(collector) = Collector::start_guarded("canary-token").await else { return };
    let endpoint = &collector.endpoint;
    let list = format!(
        "{OWN}otlp:\n  - {{ name: a, endpoint: '{endpoint}', interval: 200ms }}\n  \
         - {{ name: b, endpoint: '{endpoint}', interval: 200ms, headers: {{ authorization: 'Bearer canary-token' }} }}\n"
    );
    let env = [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-token")];
    let bridge = Bridge::start_with(&list, &env).await;
    until_delivered(&bridge, &["b".to_owned()], 2.0).await;
    let refused = || async { (bridge.series().await[&attempts("a", "rejected")] >= 1.0).then_some(()) };
    eventually("a refusal of who has no key", refused).await;
    assert!(bridge.series().await[&delivered("a")] < 1.0);
}

/// What a request says was accepted before it: its number, from 0.
fn number(request: &Value) -> u64 {
    let names = ["delivered", "queued_batches", "dropped"].map(|name| format!("linkit.bridge.push.{name}"));
    let points = names.iter().flat_map(|name| points(request, name));
    points.map(|point| point["asInt"].as_str().unwrap().parse::<u64>().unwrap()).sum()
}

/// Checks that the numbers of requests leave none out: those of one snapshot have the same number, and the next has
/// theirs and how many they were. One may stand there once more: that which was under way when the collector ended, and
/// may have arrived without an answer.
fn assert_no_hole(numbers: &[u64]) {
    let (mut at, mut repeated) = (0, 0);
    for group in numbers.chunk_by(|a, b| a == b) {
        assert!(group[0] <= at && group[0] + 1 >= at, "{} instead of {at} in {numbers:?}", group[0]);
        repeated += at - group[0];
        at = group[0] + group.len() as u64;
    }
    assert!(repeated <= 1, "{numbers:?}");
}

#[tokio::test]
async fn a_collector_that_was_away_gets_every_request_in_order() {
    let Some(mut collector) = Collector::start().await else { return };
    for protocol in ["http/protobuf", "grpc"] {
        let endpoint = if protocol == "grpc" { &collector.grpc } else { &collector.endpoint };
        let otlp = format!("otlp: {{ endpoint: '{endpoint}', protocol: {protocol}, interval: 200ms }}\n");
        let before = collector.requests().len();
        let mut bridge = Bridge::start(&format!("{OWN}{otlp}")).await;
        until_delivered(&bridge, &["default".to_owned()], 5.0).await;
        collector.end().await;
        let waiting = || async {
            let series = bridge.series().await;
            (series["linkit_bridge_push_queued_batches{endpoint=\"default\"}"] >= 10.0).then_some(())
        };
        eventually("batches waiting", waiting).await;
        collector.revive().await;
        until_drained(&bridge).await;
        bridge.process.signal("-TERM");
        assert!(bridge.process.ended().await.success());
        collector.end().await;
        let numbers: Vec<_> = collector.requests()[before..].iter().map(number).collect();
        assert!(numbers.len() > 15, "{protocol}: {numbers:?}");
        assert_no_hole(&numbers);
        collector.revive().await;
    }
}

/// Waits until what waited is delivered.
async fn until_drained(bridge: &Bridge) {
    let drained = || async {
        let series = bridge.series().await;
        (series["linkit_bridge_push_queued_batches{endpoint=\"default\"}"] <= 1.0).then_some(())
    };
    eventually("the backlog being delivered", drained).await;
}

#[tokio::test]
async fn a_collector_killed_and_started_again_has_no_hole() {
    let Some(mut collector) = Collector::start().await else { return };
    let otlp = format!("otlp: {{ endpoint: '{}', interval: 1100ms }}\n", collector.endpoint);
    let mut bridge = Bridge::start(&format!("{OWN}{otlp}")).await;
    until_delivered(&bridge, &["default".to_owned()], 2.0).await;
    // A second before it gets the next: what it has taken and not yet written is lost by it and not by the bridge.
    let before = collector.requests().len();
    eventually("one more request", || async { (collector.requests().len() > before).then_some(()) }).await;
    collector.kill().await;
    let waiting = || async {
        let series = bridge.series().await;
        (series["linkit_bridge_push_queued_batches{endpoint=\"default\"}"] >= 4.0).then_some(())
    };
    eventually("batches waiting", waiting).await;
    collector.revive().await;
    until_drained(&bridge).await;
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    collector.end().await;
    let numbers: Vec<_> = collector.requests().iter().map(number).collect();
    assert!(numbers.len() > 6, "{numbers:?}");
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn prometheus_killed_and_started_again_has_no_hole() {
    let Some(program) = peer("prometheus") else { return };
    let config = "storage: { tsdb: { out_of_order_time_window: 24h } }\n";
    let mut prometheus = Prometheus::start(&program, config, &["--web.enable-otlp-receiver"]).await;
    // Longer than a snapshot is shared: samples of one time would be one, and could not be counted.
    let otlp = format!("otlp: {{ endpoint: '{}/api/v1/otlp', interval: 1100ms }}\n", prometheus.url);
    let mut bridge = Bridge::start(&format!("{OWN}{otlp}")).await;
    until_delivered(&bridge, &["default".to_owned()], 3.0).await;
    prometheus.kill().await;
    let waiting = || async {
        let series = bridge.series().await;
        (series["linkit_bridge_push_queued_batches{endpoint=\"default\"}"] >= 4.0).then_some(())
    };
    eventually("batches waiting", waiting).await;
    prometheus.revive().await;
    until_drained(&bridge).await;
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    let output = bridge.process.output();
    assert!(!output.contains("refused for good"), "{output}");
    let delivered = prometheus.samples("linkit_bridge_push_delivered_total", "10m").await;
    let queued = prometheus.samples("linkit_bridge_push_queued_batches", "10m").await;
    let times = |samples: &[(i64, f64)]| samples.iter().map(|(time, _)| *time).collect::<Vec<_>>();
    assert_eq!(times(&delivered), times(&queued));
    let numbers: Vec<_> = delivered.iter().zip(&queued).map(|((_, a), (_, b))| (a + b) as usize).collect();
    assert!(numbers.len() > 7, "{numbers:?}");
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
}

/// The resource of a bridge called `instance`.
fn resource(instance: &str) -> [(String, String); 2] {
    [("service.name", "shop"), ("service.instance.id", instance)].map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// A way to a receiver without a bridge around it, so that the clock and the instruments can be others.
struct Way {
    otlp: Otlp,
    delivery: Delivery,
}

impl Way {
    fn to(prometheus: &Prometheus) -> Self {
        Self::by(format!("{}/api/v1/otlp", prometheus.url), Protocol::HttpProtobuf, Temporality::Cumulative)
    }

    fn by(endpoint: String, protocol: Protocol, temporality: Temporality) -> Self {
        let endpoint = Endpoint::Base(endpoint);
        let otlp = Otlp::new(&OtlpConfig { endpoint, temporality, ..OtlpConfig::default() }).unwrap();
        let config = DeliveryConfig { protocol, ..DeliveryConfig::default() };
        Self { otlp, delivery: Delivery::new(config, HttpClient::new(), Arc::new(SystemClock::new())) }
    }

    async fn put(&self, registry: &Registry) {
        for request in self.otlp.render(&registry.current()).await.unwrap() {
            let destination = Destination { uri: request.uri, headers: request.headers };
            let batch = Batch { body: request.body, points: request.points, accepted: SystemClock::new().now() };
            self.delivery.put(destination, batch);
        }
    }

    /// The batches delivered and refused, when all are answered.
    async fn answered(&self) -> [u64; 2] {
        let settled = || async { (self.delivery.stats().queued.batches == 0).then_some(()) };
        self.delivery.run(eventually("all answered", settled)).await;
        let stats = self.delivery.stats();
        [stats.delivered.batches, stats.dropped(DropReason::Rejected).batches]
    }
}

/// Delivers what the bridge `instance` read so many hours ago, in order; the batches delivered and refused.
async fn delivers(prometheus: &Prometheus, instance: &str, hours_ago: &[u64]) -> [u64; 2] {
    let (now, hour) = (SystemClock::new().now().wall, Duration::from_secs(3600));
    let clock = Arc::new(ManualClock::at(now));
    let registry = Registry::new(clock.clone(), Ages::default(), &resource(instance));
    let way = Way::to(prometheus);
    for hours in hours_ago {
        clock.advance(hour);
        clock.set_wall(Wall(now.0 - hours * hour.as_nanos() as u64));
        let reading = Reading::of(FigureId::RuntimeGoroutines, *hours);
        registry.publish(vec![Readings::new(Section::Runtime, clock.now(), vec![reading])]);
        way.put(&registry).await;
    }
    way.answered().await
}

#[tokio::test]
async fn a_backlog_of_hours_is_taken_whole_where_the_window_is_set_and_refused_where_it_is_not() {
    let Some(program) = peer("prometheus") else { return };
    for (window, expected) in [("24h", [5, 0]), ("0s", [1, 4])] {
        let config = format!("storage: {{ tsdb: {{ out_of_order_time_window: {window} }} }}\n");
        let prometheus = Prometheus::start(&program, &config, &["--web.enable-otlp-receiver"]).await;
        // Time goes on in Prometheus, for others push.
        assert_eq!(delivers(&prometheus, "other", &[0]).await, [1, 0]);
        assert_eq!(delivers(&prometheus, "away", &[6, 5, 4, 3, 0]).await, expected, "{window}");
        let samples = prometheus.samples("linkit_runtime_goroutines{instance='away'}", "10h").await;
        let values: Vec<_> = samples.iter().map(|(_, value)| *value as u64).collect();
        assert_eq!(values, if expected[1] == 0 { vec![6, 5, 4, 3, 0] } else { vec![0] }, "{window}");
    }
}

#[tokio::test]
async fn the_durations_of_a_collector_that_has_gone_end_in_prometheus_with_all_their_series() {
    let Some(program) = peer("prometheus") else { return };
    let prometheus = Prometheus::start(&program, "", &["--web.enable-otlp-receiver"]).await;
    let registry = Registry::new(Arc::new(SystemClock::new()), Ages::default(), &resource("shop-1"));
    let way = Way::to(&prometheus);
    registry.attach("go", &[Section::Runtime], &[]);
    registry.report(&AttemptReport { section: Section::Runtime, took: Duration::from_millis(3), errors: &[] });
    way.put(&registry).await;
    assert_eq!(way.answered().await, [1, 0]);
    let series = "{__name__=~'linkit_bridge_collector_duration_seconds_(bucket|sum|count)'}";
    let there = prometheus.query(series).await.len();
    assert!(there > 10, "{there}");
    registry.change(&Change {
        ages: Ages::default(),
        custom: &[],
        version: None,
        sections: &[],
        is_kept: &|_, _| false,
        replaced: &[Section::Runtime],
        anew: &[],
    });
    way.put(&registry).await;
    assert_eq!(way.answered().await, [2, 0]);
    let left = prometheus.query(series).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_figure_whose_source_is_gone_says_so_once_and_then_is_silent() {
    let Some(collector) = Collector::start().await else { return };
    let mut source = Process::start("a source", Command::new("sleep").arg("600"));
    let bridge = Bridge::start(&format!(
        "runtime: {{ source: process, pid: {}, interval: 100ms }}\nstale_after: 1s\nexpire_after: 2s\n\
         otlp: {{ endpoint: '{}', interval: 200ms }}\n",
        source.id(),
        collector.endpoint
    ))
    .await;
    until_delivered(&bridge, &["default".to_owned()], 5.0).await;
    source.signal("-KILL");
    source.ended().await;
    let flags = |request: &Value| {
        let points = points(request, "linkit.runtime.cpus");
        points.first().map(|point| point["flags"].as_u64().unwrap_or(0))
    };
    let silent = || async {
        let requests = collector.requests();
        let word = requests.iter().position(|request| flags(request) == Some(1));
        word.filter(|word| requests.len() > word + 10).map(|_| requests)
    };
    let requests = eventually("some requests after the word that it is gone", silent).await;
    let told: Vec<_> = requests.iter().filter_map(flags).collect();
    assert_eq!(told.iter().filter(|flags| **flags == 1).count(), 1);
    assert_eq!(told.last(), Some(&1), "nothing comes after it");
    let starts = requests.iter().flat_map(|request| points(request, "linkit.bridge.push.delivered"));
    let starts: BTreeSet<_> = starts.map(|point| point["startTimeUnixNano"].to_string()).collect();
    assert_eq!(starts.len(), 1, "a start moves but for a reset");
}

#[tokio::test]
async fn a_dead_endpoint_of_several_holds_up_no_other() {
    let Some(collector) = Collector::start().await else { return };
    let bridge = Bridge::start(&format!(
        "{OWN}otlp:\n  - {{ name: dead, endpoint: 'http://127.0.0.1:{}', interval: 200ms }}\n  \
         - {{ name: alive, endpoint: '{}', interval: 200ms, temporality: delta }}\n",
        free_port(),
        collector.endpoint
    ))
    .await;
    until_delivered(&bridge, &["alive".to_owned()], 5.0).await;
    let series = bridge.series().await;
    assert!(series[&delivered("dead")] < 1.0 && series[&attempts("dead", "unanswered")] >= 1.0);
    let requests = collector.requests();
    let scopes = requests.iter().flat_map(|request| request["resourceMetrics"][0]["scopeMetrics"].as_array().unwrap());
    let metrics: Vec<_> = scopes.flat_map(|scope| scope["metrics"].as_array().unwrap()).collect();
    let counters: Vec<_> = metrics.iter().filter(|metric| metric["sum"]["isMonotonic"] == true).collect();
    assert!(!counters.is_empty() && counters.iter().all(|metric| metric["sum"]["aggregationTemporality"] == 1));
    // What was delivered by the differences is what the bridge says it delivered.
    let told = requests.iter().flat_map(|request| points(request, "linkit.bridge.push.delivered"));
    let told = told.filter(|point| attribute(point, "endpoint").as_deref() == Some("alive"));
    let told: u64 = told.map(|point| point["asInt"].as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert!(told >= 3 && told as usize <= requests.len(), "{told} of {}", requests.len());
}
