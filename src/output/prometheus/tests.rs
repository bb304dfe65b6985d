//! Whole pages: from registries and hand-made families to the bytes a scraper gets.

mod joining;
mod last;
mod protobuf;
mod round_trip;
mod rules;
mod views;

use std::sync::Arc;

use super::*;
use crate::catalog::{FIGURES, FigureId, Kind, Section};
use crate::clock::{Clock, ManualClock, Wall};
use crate::reading::{Age, Ages, Reading, Readings};
use crate::registry::{Family, Histogram, Number, Point, PointValue, Registry, Scope, SectionStatus, Snapshot};

const AT: Wall = Wall::from_secs(1_705_314_600);

/// The syntaxes that are texts.
const TEXTS: [Syntax; 4] = [Syntax::Text004, Syntax::Text100, Syntax::OpenMetrics001, Syntax::OpenMetrics100];

fn text(snapshot: &Snapshot, joined: &[MetricFamily], syntax: Syntax) -> String {
    text_of(snapshot, joined, &PageConfig::default(), &syntax.into())
}

fn text_of(snapshot: &Snapshot, joined: &[MetricFamily], config: &PageConfig, view: &View) -> String {
    String::from_utf8(render(snapshot, joined, config, view).body).unwrap()
}

/// What is left out of the page, whatever is asked for.
fn dropped(snapshot: &Snapshot, joined: &[MetricFamily]) -> Vec<String> {
    let views =
        Syntax::ALL.iter().flat_map(|syntax| Escaping::ALL.map(|escaping| View { escaping, ..View::from(*syntax) }));
    let mut told = views.map(|view| render(snapshot, joined, &PageConfig::default(), &view).dropped);
    let first = told.next().unwrap();
    assert!(told.all(|dropped| dropped == first));
    first.iter().map(ToString::to_string).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A registry of a shop that has been read once, with a resource.
fn registry() -> Registry {
    let clock = Arc::new(ManualClock::at(AT));
    let now = clock.now();
    let resource = owned(&[("service.name", "linkit"), ("deployment.environment.name", "produc\"tion\"")]);
    let registry = Registry::new(clock, Ages::default(), &resource);
    registry.attach("sqlite", &[Section::Store], &[]);
    registry.publish(vec![
        Readings::new(
            Section::Runtime,
            now,
            vec![
                Reading::of(FigureId::RuntimeHeapAllocated, 9_007_199_254_740_993),
                Reading::of(FigureId::RuntimeMemoryAllocated, 1 << 40).starting(Wall(AT.0 - 1)),
                Reading::of(FigureId::RuntimeGcCycles, 7),
                Reading::of(FigureId::RuntimeGcLastPause, 123_456),
            ],
        ),
        Readings::new(
            Section::Store,
            now,
            vec![
                Reading::of_series(FigureId::StoreRecords, "collection", "products", 12),
                Reading::of_series(FigureId::StoreRecords, "collection", "a \\ b\n\"c\"", 0),
            ],
        ),
    ]);
    registry
}

/// A snapshot of these families and nothing else.
fn snapshot(mut families: Vec<Family>) -> Snapshot {
    families.sort_by(|a, b| a.name.cmp(&b.name));
    let section = |section| SectionStatus {
        section,
        has_source: false,
        age: Age::Never,
        measured: None,
        absent: Vec::new(),
        missing: Vec::new(),
    };
    Snapshot {
        version: 1,
        at: ManualClock::at(AT).now(),
        resource: Vec::new(),
        families,
        sections: Section::DOCUMENTED.map(section),
        collectors: Vec::new(),
        is_ready: true,
        source_version: None,
        metrics: Default::default(),
    }
}

fn family(name: &str, unit: &str, kind: Kind, points: Vec<Point>) -> Family {
    Family {
        name: name.to_owned(),
        unit: unit.to_owned(),
        help: format!("About {name}"),
        kind,
        scope: Arc::default(),
        section: None,
        points: points.into(),
        layout: None,
    }
}

fn point(attributes: &[(&str, &str)], value: PointValue) -> Point {
    Point { attributes: owned(attributes), start: None, time: AT.0, value }
}

const fn int(value: i128) -> PointValue {
    PointValue::Number(Number::Int(value))
}

const fn float(value: f64) -> PointValue {
    PointValue::Number(Number::Float(value))
}

fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> PointValue {
    PointValue::Histogram(Box::new(Histogram {
        bounds: bounds.to_vec(),
        counts: counts.to_vec(),
        sum,
        count: counts.iter().sum(),
        native: None,
    }))
}

#[test]
fn a_page_in_the_text_format() {
    insta::assert_snapshot!(text(&registry().current(), &[], Syntax::Text004), @r#"
    # HELP target_info Target metadata.
    # TYPE target_info gauge
    target_info{deployment_environment_name="produc\"tion\"",service_name="linkit",telemetry_sdk_language="rust",telemetry_sdk_name="opentelemetry",telemetry_sdk_version="0.33.1"} 1
    # HELP linkit_bridge_collector_staleness Age of the collector's figures: 0 fresh, 1 stale, 2 expired, 3 never read. OTel name linkit.bridge.collector.staleness.
    # TYPE linkit_bridge_collector_staleness gauge
    linkit_bridge_collector_staleness{collector="store",otel_scope_name="linkit-bridge",otel_scope_version="0.1.0",source="sqlite"} 3
    # HELP linkit_runtime_gc_cycles_total Completed garbage collection cycles. Read at an interval, not at the scrape. OTel name linkit.runtime.gc.cycles.
    # TYPE linkit_runtime_gc_cycles_total counter
    linkit_runtime_gc_cycles_total{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 7
    # HELP linkit_runtime_gc_last_pause_seconds Duration of the last garbage collection pause. Read at an interval, not at the scrape. OTel name linkit.runtime.gc.last_pause.
    # TYPE linkit_runtime_gc_last_pause_seconds gauge
    linkit_runtime_gc_last_pause_seconds{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 0.000123456
    # HELP linkit_runtime_heap_allocated_bytes Heap memory allocated at the moment. Read at an interval, not at the scrape. OTel name linkit.runtime.heap.allocated.
    # TYPE linkit_runtime_heap_allocated_bytes gauge
    linkit_runtime_heap_allocated_bytes{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 9007199254740993
    # HELP linkit_runtime_memory_allocated_bytes_total Memory ever allocated, freed memory included. Read at an interval, not at the scrape. OTel name linkit.runtime.memory.allocated.
    # TYPE linkit_runtime_memory_allocated_bytes_total counter
    linkit_runtime_memory_allocated_bytes_total{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 1099511627776
    # HELP linkit_store_records Records in a collection of the store. Read at an interval, not at the scrape. OTel name linkit.store.records.
    # TYPE linkit_store_records gauge
    linkit_store_records{collection="a \\ b\n\"c\"",otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 0
    linkit_store_records{collection="products",otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 12
    "#);
}

#[test]
fn the_same_page_in_openmetrics() {
    insta::assert_snapshot!(text(&registry().current(), &[], Syntax::OpenMetrics100), @r#"
    # TYPE target info
    # HELP target Target metadata.
    target_info{deployment_environment_name="produc\"tion\"",service_name="linkit",telemetry_sdk_language="rust",telemetry_sdk_name="opentelemetry",telemetry_sdk_version="0.33.1"} 1
    # TYPE linkit_bridge_collector_staleness gauge
    # HELP linkit_bridge_collector_staleness Age of the collector's figures: 0 fresh, 1 stale, 2 expired, 3 never read. OTel name linkit.bridge.collector.staleness.
    linkit_bridge_collector_staleness{collector="store",otel_scope_name="linkit-bridge",otel_scope_version="0.1.0",source="sqlite"} 3
    # TYPE linkit_runtime_gc_cycles counter
    # HELP linkit_runtime_gc_cycles Completed garbage collection cycles. Read at an interval, not at the scrape. OTel name linkit.runtime.gc.cycles.
    linkit_runtime_gc_cycles_total{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 7
    # TYPE linkit_runtime_gc_last_pause_seconds gauge
    # UNIT linkit_runtime_gc_last_pause_seconds seconds
    # HELP linkit_runtime_gc_last_pause_seconds Duration of the last garbage collection pause. Read at an interval, not at the scrape. OTel name linkit.runtime.gc.last_pause.
    linkit_runtime_gc_last_pause_seconds{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 0.000123456
    # TYPE linkit_runtime_heap_allocated_bytes gauge
    # UNIT linkit_runtime_heap_allocated_bytes bytes
    # HELP linkit_runtime_heap_allocated_bytes Heap memory allocated at the moment. Read at an interval, not at the scrape. OTel name linkit.runtime.heap.allocated.
    linkit_runtime_heap_allocated_bytes{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 9007199254740993
    # TYPE linkit_runtime_memory_allocated_bytes counter
    # UNIT linkit_runtime_memory_allocated_bytes bytes
    # HELP linkit_runtime_memory_allocated_bytes Memory ever allocated, freed memory included. Read at an interval, not at the scrape. OTel name linkit.runtime.memory.allocated.
    linkit_runtime_memory_allocated_bytes_total{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 1099511627776
    linkit_runtime_memory_allocated_bytes_created{otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 1705314599.999999999
    # TYPE linkit_store_records gauge
    # HELP linkit_store_records Records in a collection of the store. Read at an interval, not at the scrape. OTel name linkit.store.records.
    linkit_store_records{collection="a \\ b\n\"c\"",otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 0
    linkit_store_records{collection="products",otel_scope_name="linkit-bridge",otel_scope_version="0.1.0"} 12
    # EOF
    "#);
}

#[test]
fn b7_c7_histograms_are_cumulative_and_end_in_infinity() {
    let counted = Point {
        start: Some(AT.0 + 5),
        ..point(&[("collector", "store")], histogram(&[1e-5, 0.5, 1.0, 1e6], &[1, 2, 0, 4, 8], 8e6))
    };
    // A bound of +Inf is the bucket that is written anyway.
    let bare = point(&[], histogram(&[f64::INFINITY], &[3, 0], 0.25));
    let snapshot = snapshot(vec![family("took", "s", Kind::Histogram, vec![bare, counted])]);
    insta::assert_snapshot!(text(&snapshot, &[], Syntax::Text004), @r#"
    # HELP took_seconds About took. OTel name took.
    # TYPE took_seconds histogram
    took_seconds_bucket{le="+Inf"} 3
    took_seconds_sum 0.25
    took_seconds_count 3
    took_seconds_bucket{collector="store",le="1e-05"} 1
    took_seconds_bucket{collector="store",le="0.5"} 3
    took_seconds_bucket{collector="store",le="1.0"} 3
    took_seconds_bucket{collector="store",le="1e+06"} 7
    took_seconds_bucket{collector="store",le="+Inf"} 15
    took_seconds_sum{collector="store"} 8000000.0
    took_seconds_count{collector="store"} 15
    "#);
    insta::assert_snapshot!(text(&snapshot, &[], Syntax::OpenMetrics100), @r#"
    # TYPE took_seconds histogram
    # UNIT took_seconds seconds
    # HELP took_seconds About took. OTel name took.
    took_seconds_bucket{le="+Inf"} 3
    took_seconds_sum 0.25
    took_seconds_count 3
    took_seconds_bucket{collector="store",le="1e-05"} 1
    took_seconds_bucket{collector="store",le="0.5"} 3
    took_seconds_bucket{collector="store",le="1.0"} 3
    took_seconds_bucket{collector="store",le="1e+06"} 7
    took_seconds_bucket{collector="store",le="+Inf"} 15
    took_seconds_sum{collector="store"} 8000000.0
    took_seconds_count{collector="store"} 15
    took_seconds_created{collector="store"} 1705314600.000000005
    # EOF
    "#);
}

#[test]
fn c7_openmetrics_shows_no_sum_that_may_fall() {
    for value in [histogram(&[-1.0, 1.0], &[1, 1, 1], 3.0), histogram(&[1.0], &[1, 1], f64::NAN)] {
        let snapshot = snapshot(vec![family("heat", "", Kind::Histogram, vec![point(&[], value)])]);
        assert!(text(&snapshot, &[], Syntax::Text004).contains("\nheat_sum"));
        let page = text(&snapshot, &[], Syntax::OpenMetrics100);
        assert!(
            page.contains("heat_bucket{le=\"+Inf\"}") && !page.contains("heat_sum") && !page.contains("heat_count")
        );
    }
}

#[test]
fn no_reading_no_line_and_an_empty_page_is_whole() {
    let empty = snapshot(Vec::new());
    assert_eq!(text(&empty, &[], Syntax::Text004), "");
    assert_eq!(text(&empty, &[], Syntax::OpenMetrics100), "# EOF\n");
}

#[test]
fn every_figure_of_the_catalogue_finds_its_place() {
    let registry = Registry::new(Arc::new(ManualClock::at(AT)), Ages::default(), &[]);
    let reading = |id: FigureId| Reading {
        attributes: id.figure().attributes.iter().map(|key| (*key, "x".to_owned())).collect(),
        ..Reading::of(id, 1)
    };
    registry.add_live(move |_| {
        let read = FIGURES.iter().filter(|figure| figure.kind != Kind::Histogram);
        read.map(|figure| reading(figure.id)).collect()
    });
    for figure in FIGURES.iter().filter(|figure| figure.kind == Kind::Histogram) {
        registry.record(figure.id, std::time::Duration::from_millis(3), &[]);
    }
    let snapshot = registry.current();
    assert_eq!(dropped(&snapshot, &[]), [""; 0]);
    for syntax in TEXTS {
        let page = text(&snapshot, &[], syntax);
        let named: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(named.len(), FIGURES.len() + 1, "the figures and the resource");
        for figure in FIGURES {
            assert!(page.contains(&format!("OTel name {}.\n", figure.name)), "{}", figure.name);
        }
    }
    let page = text(&snapshot, &[], Syntax::Text004);
    let names: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(names[0] == "target_info" && names[1..].is_sorted());
}

#[test]
fn c5_a_unit_stands_in_its_own_line_only_where_it_ends_the_name() {
    for (name, unit, expected) in [
        ("heap", "By", "# UNIT heap_bytes bytes\n"),
        ("speed", "m/s", "# UNIT speed_meters_per_second meters_per_second\n"),
        ("goroutines", "{goroutine}", ""),
        ("ratio", "1", ""),
        ("plain", "", ""),
        ("seconds", "s", ""),
    ] {
        let page = snapshot(vec![family(name, unit, Kind::Gauge, vec![point(&[], int(1))])]);
        let page = text(&page, &[], Syntax::OpenMetrics100);
        let line = page.lines().find(|line| line.starts_with("# UNIT")).map(|line| format!("{line}\n"));
        assert_eq!(line.unwrap_or_default(), expected, "{name}");
    }
}

#[test]
fn i26_help_ends_with_the_name_in_opentelemetry() {
    for (help, expected) in [
        ("Half a sentence", "Half a sentence. OTel name a.b."),
        ("A sentence.\n", "A sentence. OTel name a.b."),
        ("A \"quote\"\nand \\", "A \\\"quote\\\"\\nand \\\\. OTel name a.b."),
        ("", "OTel name a.b."),
    ] {
        let one = Family { help: help.to_owned(), ..family("a.b", "", Kind::Gauge, vec![point(&[], int(1))]) };
        let page = text(&snapshot(vec![one]), &[], Syntax::OpenMetrics100);
        assert!(page.contains(&format!("# HELP a_b {expected}\n")), "{page}");
    }
}
