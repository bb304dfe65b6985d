//! What a rendered request holds.

use std::io::Read;
use std::time::Duration;

use http::header::HeaderValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};

use super::message::{numbers, text};
use super::told::POINT_AGE_MAX;
use super::*;
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, ManualClock};
use crate::reading::{Ages, Reading, Readings};
use crate::registry::Registry;

fn config(headers: &[(&str, &str)]) -> OtlpConfig {
    let secret = |(name, value): &(&str, &str)| ((*name).to_owned(), SecretString::from(*value));
    let headers = headers.iter().map(secret).collect();
    OtlpConfig { endpoint: Endpoint::Base("http://c:4318".to_owned()), headers, ..OtlpConfig::default() }
}

fn plain() -> Otlp {
    Otlp::new(&OtlpConfig { compression: Compression::None, ..config(&[]) }).unwrap()
}

fn registry() -> (Arc<ManualClock>, Registry) {
    let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
    let registry = Registry::new(clock.clone(), Ages::default(), &[("service.name".into(), "linkit".into())]);
    (clock, registry)
}

fn publish(registry: &Registry, clock: &ManualClock, section: Section, values: Vec<Reading>) {
    registry.publish(vec![Readings::new(section, clock.now(), values)]);
}

/// The one request of a rendering that needs no more.
async fn one(otlp: &Otlp, registry: &Registry) -> OtlpRequest {
    let mut requests = otlp.render(&registry.current()).await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn metrics(message: &ExportMetricsServiceRequest) -> Vec<Metric> {
    message.resource_metrics[0].scope_metrics.iter().flat_map(|scope| scope.metrics.clone()).collect()
}

/// The points of a figure in the next request.
async fn points_of(otlp: &Otlp, registry: &Registry, figure: FigureId) -> Vec<NumberDataPoint> {
    let requests = otlp.render(&registry.current()).await.unwrap();
    let messages = requests.iter().map(|request| ExportMetricsServiceRequest::decode(request.body.clone()).unwrap());
    let metrics: Vec<_> = messages.flat_map(|message| metrics(&message)).collect();
    let found = metrics.into_iter().filter(|metric| metric.name == figure.figure().name);
    found.flat_map(|mut metric| numbers(&mut metric).to_vec()).collect()
}

#[tokio::test]
async fn headers_go_out_as_they_are() {
    let (clock, registry) = registry();
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGoroutines, 1)]);
    let otlp = Otlp::new(&config(&[("x-key", "p%41ss=")])).unwrap();
    let headers = one(&otlp, &registry).await.headers;
    assert_eq!((&headers["x-key"], headers["x-key"].is_sensitive()), (&HeaderValue::from_static("p%41ss="), true));
    assert!(headers[USER_AGENT].to_str().unwrap().starts_with("OTel-OTLP-Exporter-Rust/"));
    assert_eq!(headers.len(), 2);
}

#[tokio::test]
async fn old_points_are_left_out_and_the_version_the_source_told_is_in_the_resource() {
    let (clock, registry) = registry();
    let read = |section, figure| {
        let version = Some("7.0".to_owned());
        let readings = Readings::new(section, clock.now(), vec![Reading::of(figure, 1)]);
        registry.publish(vec![Readings { version, ..readings }]);
    };
    read(Section::Staging, FigureId::StagingCompletedToday);
    clock.advance(POINT_AGE_MAX + Duration::from_secs(1));
    read(Section::Runtime, FigureId::RuntimeGoroutines);
    let request = one(&plain(), &registry).await;
    let message = ExportMetricsServiceRequest::decode(request.body).unwrap();
    let names: Vec<_> = metrics(&message).into_iter().map(|metric| metric.name).collect();
    assert_eq!((request.points, names), (1, vec!["linkit.runtime.goroutines".to_owned()]));
    let attributes = &message.resource_metrics[0].resource.as_ref().unwrap().attributes;
    let version = attributes.iter().find(|pair| pair.key == "service.version").unwrap();
    assert_eq!(text(version), "7.0");
}

#[tokio::test]
async fn points_carry_the_times_of_their_readings() {
    let (clock, registry) = registry();
    let (taken, start) = (clock.now(), Wall::from_secs(1_705_276_800));
    let values = vec![
        Reading::of(FigureId::StagingCompleted, 5432).starting(start),
        Reading::of_series(FigureId::StagingItems, "state", "pending", 3),
    ];
    publish(&registry, &clock, Section::Staging, values);
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGcCycles, 9)]);
    clock.advance(Duration::from_secs(7));
    let request = one(&Otlp::new(&config(&[])).unwrap(), &registry).await;
    assert_eq!((request.uri.to_string(), request.points), ("http://c:4318/v1/metrics".to_owned(), 3));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
    let mut metrics = metrics(&ExportMetricsServiceRequest::decode(&*body).unwrap());
    let mut times = |name: &str| {
        let metric = metrics.iter_mut().find(|metric| metric.name == name).unwrap();
        let point = &numbers(metric)[0];
        (point.start_time_unix_nano, point.time_unix_nano)
    };
    assert_eq!(times("linkit.staging.completed"), (start.0, taken.wall.0));
    assert_eq!(times("linkit.staging.items"), (0, taken.wall.0));
    assert_eq!(times("linkit.runtime.gc.cycles"), (0, taken.wall.0));
}

#[tokio::test]
async fn a_figure_that_expires_says_so_once_and_comes_back_with_its_next_reading() {
    let (clock, registry) = registry();
    let otlp = plain();
    let figure = FigureId::StagingCompleted;
    let start = Wall::from_secs(1_705_276_800);
    let read = |value| {
        let reading = Reading::of(figure, value).starting(start);
        publish(&registry, &clock, Section::Staging, vec![reading]);
    };
    read(7);
    assert_eq!(points_of(&otlp, &registry, figure).await[0].flags, 0);
    clock.advance(POINT_AGE_MAX + Duration::from_secs(1));
    assert_eq!(points_of(&otlp, &registry, figure).await, [], "an old reading is no word that there is none");
    clock.advance(Ages::default().expire_after);
    let gone = points_of(&otlp, &registry, figure).await;
    assert_eq!((gone.len(), gone[0].flags, gone[0].value), (1, 1, None));
    assert_eq!((gone[0].start_time_unix_nano, gone[0].time_unix_nano), (start.0, clock.now().wall.0));
    clock.advance(Duration::from_secs(15));
    assert_eq!(points_of(&otlp, &registry, figure).await, []);
    read(9);
    let back = points_of(&otlp, &registry, figure).await;
    assert_eq!((back.len(), back[0].flags, back[0].start_time_unix_nano), (1, 0, start.0));
}

#[tokio::test]
async fn what_is_larger_than_the_receiver_takes_goes_as_several_requests() {
    let (clock, registry) = registry();
    let states = (0..50).map(|at| Reading::of_series(FigureId::StagingItems, "state", &format!("state {at:02}"), at));
    publish(&registry, &clock, Section::Staging, states.collect());
    let config = OtlpConfig { compression: Compression::None, message_bytes_max: 1024, ..config(&[]) };
    let requests = Otlp::new(&config).unwrap().render(&registry.current()).await.unwrap();
    assert!(requests.len() > 2 && requests.iter().all(|request| request.body.len() <= 1024));
    assert_eq!(requests.iter().map(|request| request.points).sum::<u64>(), 50);
}

#[tokio::test]
async fn every_series_goes_out_however_many_there_are_and_whichever_come_in_their_place() {
    let (clock, registry) = registry();
    let otlp = plain();
    let figure = FigureId::StoreRecords;
    let mut gone = 0;
    for (round, count) in [10, 300, 250, 300, 7].into_iter().enumerate() {
        let name = |at| format!("{round} {at}");
        let values = (0..count).map(|at| Reading::of_series(figure, "collection", &name(at), at)).collect();
        publish(&registry, &clock, Section::Store, values);
        let points = points_of(&otlp, &registry, figure).await;
        let (words, told): (Vec<_>, Vec<_>) = points.iter().partition(|point| point.flags == 1);
        assert_eq!((told.len() as u64, words.len() as u64), (count, gone), "round {round}");
        let is_read = |point: &&NumberDataPoint| text(&point.attributes[0]).starts_with(&format!("{round} "));
        assert!(told.iter().all(is_read), "round {round}");
        gone = count;
        clock.advance(Duration::from_secs(15));
    }
}

#[tokio::test]
async fn zstd_and_no_compression_tell_themselves_by_their_first_bytes() {
    let (clock, registry) = registry();
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGoroutines, 1)]);
    for (compression, start) in [(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd][..]), (Compression::None, &[0x0a])] {
        let otlp = Otlp::new(&OtlpConfig { compression, ..config(&[]) }).unwrap();
        assert!(one(&otlp, &registry).await.body.starts_with(start));
    }
}
