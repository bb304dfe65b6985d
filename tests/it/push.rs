//! OTLP push before real receivers: an OpenTelemetry Collector and Prometheus 3; and a dead one that disturbs nobody.

use std::net::TcpListener;

use crate::support::backend::{Backend, SMALL};
use crate::support::bridge::Bridge;
use crate::support::otelcol::{Collector, attribute, points};
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::receiver::Receiver;
use crate::support::{eventually, free_port};

fn sources(backend: &Backend) -> String {
    let path = backend.database();
    let (path, url, key) = (path.display(), &backend.url, crate::support::backend::BACKEND_KEY);
    format!(
        "service: {{ name: shop, version: '1.2.3', instance: 'shop-1' }}\n\
         runtime: {{ source: telemetry_json, url: '{url}', api_key: {key} }}\n\
         store: {{ source: sqlite, path: {path} }}\n\
         staging: {{ source: sqlite, path: {path} }}\n"
    )
}

#[tokio::test]
async fn a_collector_receives_every_figure_with_resource_and_times() {
    let Some(collector) = Collector::start().await else { return };
    let Some(backend) = Backend::start(&SMALL, &[]).await else { return };
    let otlp = format!("otlp: {{ endpoint: '{}', interval: 200ms }}\n", collector.endpoint);
    let bridge = Bridge::start(&format!("{}{otlp}", sources(&backend))).await;
    bridge.telemetry_ok().await;
    let whole =
        || async { collector.last_request().filter(|request| !points(request, "linkit.staging.completed").is_empty()) };
    let request = eventually("a request with all figures", whole).await;
    let resource = &request["resourceMetrics"][0]["resource"];
    for (key, value) in [("service.name", "shop"), ("service.version", "1.2.3"), ("service.instance.id", "shop-1")] {
        assert_eq!(attribute(resource, key).as_deref(), Some(value), "{key}");
    }
    let records = points(&request, "linkit.store.records");
    let skus = records.iter().find(|point| attribute(point, "collection").as_deref() == Some("skus")).unwrap();
    assert_eq!(skus["asInt"], "600");
    let completed = points(&request, "linkit.staging.completed")[0];
    assert_eq!(completed["asInt"], "17");
    let nanoseconds = |key: &str| completed[key].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(nanoseconds("startTimeUnixNano") % 86_400_000_000_000, 0, "it starts at midnight");
    assert!(nanoseconds("timeUnixNano") > nanoseconds("startTimeUnixNano"));
    let delivered = || async {
        let series = bridge.series().await;
        (series["linkit_bridge_push_delivered_total{endpoint=\"default\"}"] >= 1.0).then_some(series)
    };
    let series = eventually("a delivery on the page", delivered).await;
    assert!(series["linkit_bridge_push_dropped_total{endpoint=\"default\",reason=\"rejected\"}"] < 1.0);
}

#[tokio::test]
async fn prometheus_3_takes_the_pushes_with_headers_from_the_environment() {
    let Some(program) = peer("prometheus") else { return };
    let Some(backend) = Backend::start(&SMALL, &[]).await else { return };
    let config = "otlp: { promote_resource_attributes: [service.version] }\n\
                  storage: { tsdb: { out_of_order_time_window: 30m } }\n";
    let prometheus = Prometheus::start(&program, config, &["--web.enable-otlp-receiver"]).await;
    let endpoint = format!("{}/api/v1/otlp", prometheus.url);
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=team%20a"),
    ];
    let bridge = Bridge::start_with(&sources(&backend), &env).await;
    for (query, value) in [
        ("linkit_store_records{collection='orders'}", 50.0),
        ("linkit_staging_completed_today", 17.0),
        ("linkit_staging_completed_total", 17.0),
        ("linkit_bridge_collector_up{collector='runtime'}", 1.0),
        ("count(linkit_runtime_goroutines{job='shop',instance='shop-1',service_version='1.2.3'})", 1.0),
    ] {
        assert!((prometheus.value(query).await - value).abs() < f64::EPSILON, "{query}");
    }
    let series = bridge.series().await;
    assert!(series["linkit_bridge_push_dropped_total{endpoint=\"default\",reason=\"rejected\"}"] < 1.0, "{series:?}");
}

#[tokio::test]
async fn a_dead_receiver_disturbs_neither_page_nor_json_and_the_stop() {
    let Some(backend) = Backend::start(&SMALL, &[]).await else { return };
    let otlp = format!("otlp: {{ endpoint: 'http://127.0.0.1:{}', interval: 100ms }}\n", free_port());
    let mut bridge = Bridge::start(&format!("{}{otlp}", sources(&backend))).await;
    bridge.telemetry_ok().await;
    let queued = || async {
        let series = bridge.series().await;
        let attempts = series["linkit_bridge_push_attempts_total{endpoint=\"default\",outcome=\"unanswered\"}"];
        let waiting = series["linkit_bridge_push_queued_batches{endpoint=\"default\"}"];
        (attempts >= 1.0 && waiting >= 3.0).then_some(series)
    };
    let series = eventually("batches waiting", queued).await;
    assert!(series["linkit_bridge_push_dropped_total{endpoint=\"default\",reason=\"size\"}"] < 1.0);
    assert_eq!(bridge.telemetry_ok().await["store"]["skus"], 600);
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
}

#[tokio::test]
async fn headers_come_from_the_config_or_the_environment_and_a_refusal_is_counted() {
    let Some(collector) = Collector::start_guarded("canary-token").await else { return };
    let otlp = |headers: &str| format!("otlp: {{ endpoint: '{}', interval: 200ms{headers} }}\n", collector.endpoint);
    let own = "runtime: { source: self }\n";
    let by_config = format!("{own}{}", otlp(", headers: { authorization: 'Bearer canary-token' }"));
    let by_config = Bridge::start(&by_config).await;
    let env = [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-token")];
    let by_environment = Bridge::start_with(&format!("{own}{}", otlp("")), &env).await;
    let without = Bridge::start(&format!("{own}{}", otlp(""))).await;
    let delivered = "linkit_bridge_push_delivered_total{endpoint=\"default\"}";
    let rejected = "linkit_bridge_push_dropped_total{endpoint=\"default\",reason=\"rejected\"}";
    for (bridge, counter) in [(&by_config, delivered), (&by_environment, delivered), (&without, rejected)] {
        let counted = || async { bridge.series().await.get(counter).copied().filter(|count| *count > 0.0) };
        eventually(counter, counted).await;
        assert!(!bridge.process.output().contains("canary-token"), "{}", bridge.process.output());
    }
    assert!(without.series().await[delivered] < 1.0);
}

#[tokio::test]
async fn no_proxy_of_the_environment_hears_of_a_push() {
    let receiver = Receiver::start().await;
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let proxy = format!("http://{}", trap.local_addr().unwrap());
    let env = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, &*proxy));
    let config =
        format!("runtime: {{ source: self }}\notlp: {{ endpoint: '{}', interval: 100ms }}\n", receiver.endpoint);
    let _bridge = Bridge::start_with(&config, &env).await;
    eventually("two pushes", || async { (receiver.taken().len() >= 2).then_some(()) }).await;
    assert!(trap.accept().is_err(), "a proxy was asked");
}
