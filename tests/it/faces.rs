//! The three faces agree: JSON, scrape page and OTLP say the same of any readings, and nothing of what was not read.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use linkit_bridge::catalog::{FIGURES, Figure, FigureId, JsonUnit, Section, json_fields};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::output::otlp::{Endpoint, Otlp, OtlpConfig};
use linkit_bridge::output::prometheus::{self, PageConfig, Syntax};
use linkit_bridge::output::telemetry_json::{self, JsonConfig};
use linkit_bridge::reading::{Ages, Reading, Readings};
use linkit_bridge::registry::{Registry, Snapshot};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value};
use proptest::prelude::*;
use prost::Message;

use crate::support::page;

const MEGABYTE: u64 = 1 << 20;

/// A documented series: a figure, and the value of its one attribute if it has one.
pub type Series = (FigureId, Option<&'static str>);

fn documented() -> Vec<Series> {
    Section::DOCUMENTED.iter().flat_map(json_fields).map(|(figure, field)| (figure.id, field.series)).collect()
}

fn registry(readings: &[(Series, Option<u64>)]) -> Registry {
    let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
    let registry = Registry::new(clock.clone(), Ages::default(), &[("service.name".into(), "linkit".into())]);
    for section in Section::DOCUMENTED {
        registry.attach("test", std::slice::from_ref(&section), &[]);
        let of_section = readings.iter().filter(|((figure, _), _)| figure.figure().section == Some(&section));
        let values = of_section.map(|((figure, series), value)| Reading {
            value: *value,
            ..match series {
                Some(series) => Reading::of_series(*figure, figure.figure().attributes[0], series, 0),
                None => Reading::of(*figure, 0),
            }
        });
        registry.publish(vec![Readings::new(section.clone(), clock.now(), values.collect())]);
    }
    registry
}

/// The page's series as written, and their values as written: `f64` could not hold them.
pub fn on_the_page(snapshot: &Snapshot) -> BTreeMap<String, String> {
    // The scope is the same on every series; it would only make them long.
    let config = PageConfig { scope_labels: false, ..PageConfig::default() };
    let rendered = prometheus::render(snapshot, &[], &config, &Syntax::Text004.into());
    assert_eq!(rendered.dropped, []);
    let text = String::from_utf8(rendered.body).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub fn page_series((figure, series): Series) -> String {
    let figure = figure.figure();
    let name = figure.prometheus_name();
    series.map_or(name.clone(), |series| format!("{name}{{{}=\"{series}\"}}", figure.attributes[0]))
}

/// Values by metric name and attributes.
pub type Pushed = BTreeMap<(String, Vec<(String, String)>), Value>;

pub async fn over_otlp(snapshot: &Snapshot) -> Pushed {
    let text = |value| format!("{value:?}");
    let series = |(name, point): (String, NumberDataPoint)| {
        let attributes = point.attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect();
        ((name, attributes), point.value.unwrap())
    };
    points_over_otlp(snapshot).await.into_iter().map(series).collect()
}

/// The points of the message a push would send, with the names of their metrics.
pub async fn points_over_otlp(snapshot: &Snapshot) -> Vec<(String, NumberDataPoint)> {
    let config = OtlpConfig { endpoint: Endpoint::Base("http://receiver:4318".into()), ..OtlpConfig::default() };
    let Some(request) = Otlp::new(&config).unwrap().render(snapshot).await.unwrap().pop() else { return Vec::new() };
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
    let message = ExportMetricsServiceRequest::decode(&*body).unwrap();
    let metrics = message.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let points = metrics.flat_map(|scope| scope.metrics).flat_map(|metric| {
        let points = match metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points,
            Some(Data::Sum(sum)) => sum.data_points,
            _ => Vec::new(),
        };
        points.into_iter().map(move |point| (metric.name.clone(), point))
    });
    points.collect()
}

fn otlp_value(found: &Pushed, series: Series) -> Option<Value> {
    let (figure, series) = series;
    let is_it = |attributes: &[(String, String)]| match series {
        None => attributes.is_empty(),
        Some(series) => attributes.iter().any(|(_, value)| value.contains(&format!("\"{series}\""))),
    };
    let mut matching =
        found.iter().filter(|((name, attributes), _)| *name == figure.figure().name && is_it(attributes));
    let value = matching.next().map(|(_, value)| *value);
    assert!(matching.next().is_none(), "{} is there twice", figure.figure().name);
    value
}

/// What the page and OTLP must show for a reading.
fn expected(figure: &Figure, value: u64) -> (String, Value) {
    if figure.is_seconds() {
        let seconds = value as f64 / 1e9;
        (String::new(), Value::AsDouble(seconds))
    } else {
        (value.to_string(), Value::AsInt(i64::try_from(value).unwrap()))
    }
}

fn agree(readings: &[(Series, Option<u64>)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let registry = registry(readings);
    let snapshot = registry.current();
    let page = on_the_page(&snapshot);
    let otlp = runtime.block_on(over_otlp(&snapshot));
    for (series, value) in readings {
        let figure = series.0.figure();
        let shown = page.get(&page_series(*series));
        let pushed = otlp_value(&otlp, *series);
        let Some(value) = *value else {
            assert_eq!((shown, pushed), (None, None), "{}", figure.name);
            continue;
        };
        let (text, number) = expected(figure, value);
        assert_eq!(pushed, Some(number), "{}", figure.name);
        let shown = shown.unwrap_or_else(|| panic!("{} is not on the page", page_series(*series)));
        if let Value::AsDouble(seconds) = number {
            assert_eq!(shown.parse(), Ok(seconds), "{}", figure.name);
        } else {
            assert_eq!(*shown, text, "{}", figure.name);
        }
    }
    let json = telemetry_json::render(&snapshot, &JsonConfig { version: None, megabyte: MEGABYTE }).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    for section in Section::DOCUMENTED {
        for (figure, field) in json_fields(&section) {
            let (_, value) = readings.iter().find(|(series, _)| *series == (figure.id, field.series)).unwrap();
            let documented = match (value, field.unit) {
                (None, _) => 0,
                (Some(value), JsonUnit::Same) => *value,
                (Some(value), JsonUnit::Megabytes) => value / MEGABYTE,
                // Seconds are floats: whole nanoseconds come back up to 2^51, above that the nearest float.
                (Some(value), JsonUnit::Nanoseconds) => (*value as f64 / 1e9 * 1e9).round() as u64,
            };
            assert_eq!(json[section.name()][field.name].as_u64(), Some(documented), "{}", field.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_readings_are_the_same_on_all_three(
        values in proptest::collection::vec(
            proptest::option::of(prop_oneof![
                0..1000_u64,
                0..i64::MAX.cast_unsigned(),
                Just(i64::MAX.cast_unsigned()),
                Just((1 << 53) + 1),
            ]),
            documented().len(),
        )
    ) {
        // Nanoseconds above i64::MAX as seconds are no nanoseconds of i64 any more; no pause lasts 292 years.
        let sane = |((figure, series), value): (Series, Option<u64>)| {
            ((figure, series), value.map(|value| if figure.figure().is_seconds() { value / 2 } else { value }))
        };
        agree(&documented().into_iter().zip(values).map(sane).collect::<Vec<_>>());
    }
}

#[test]
fn whole_nanoseconds_come_back_exactly() {
    for pause in [0, 1, 999, 1_234_567, 9_876_543_210, (1 << 51) - 1] {
        let readings: Vec<_> = documented()
            .into_iter()
            .map(|series| (series, Some(if series.0 == FigureId::RuntimeGcLastPause { pause } else { 1 })))
            .collect();
        let json = telemetry_json::render(&registry(&readings).current(), &JsonConfig::default()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        assert_eq!(json["runtime"]["gc_pause_ns"].as_u64(), Some(pause));
    }
}

#[test]
fn a_figure_without_a_reading_is_on_no_face() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
    let registry = Registry::new(clock, Ages::default(), &[]);
    registry.attach("test", &Section::DOCUMENTED, &["unreachable"]);
    let snapshot = registry.current();
    let page = on_the_page(&snapshot);
    let otlp = runtime.block_on(over_otlp(&snapshot));
    for figure in FIGURES.iter().filter(|figure| figure.section.is_some()) {
        assert!(!page.keys().any(|name| name.starts_with(&figure.prometheus_name())), "{}", figure.name);
        assert!(!otlp.keys().any(|(name, _)| name == figure.name), "{}", figure.name);
    }
    assert!(telemetry_json::render(&snapshot, &JsonConfig::default()).is_err());
    // The bridge itself still speaks: that nothing was read is a figure of its own.
    let staleness = page::series(&page.iter().map(|(name, value)| format!("{name} {value}\n")).collect::<String>());
    assert_eq!(staleness["linkit_bridge_collector_staleness{collector=\"store\",source=\"test\"}"], 3.0);
}
