//! What happens when names meet: two instruments, an instrument and a joined family, a family and another's samples.

use prometheus::core::Collector as _;
use prometheus::proto::{LabelPair, Metric, MetricType, Quantile, Summary};
use prometheus::{HistogramOpts, Opts};

use super::*;

fn gauge(name: &str, points: Vec<Point>) -> Family {
    family(name, "", Kind::Gauge, points)
}

pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

pub(super) fn joined(name: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(format!("About {name}."));
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn summary(quantiles: &[(f64, f64)], sum: f64) -> Metric {
    let mut summary = Summary::default();
    summary.set_quantile(
        quantiles
            .iter()
            .map(|(quantile, value)| {
                let mut held = Quantile::default();
                held.set_quantile(*quantile);
                held.set_value(*value);
                held
            })
            .collect(),
    );
    summary.set_sample_count(quantiles.len() as u64);
    summary.set_sample_sum(sum);
    let mut metric = Metric::from_label(vec![label("route", "/a")]);
    metric.set_summary(summary);
    metric
}

/// Families as an embedding program's registry gathers them.
pub(super) fn embedded() -> Vec<MetricFamily> {
    let registry = prometheus::Registry::new();
    let counter = prometheus::Counter::with_opts(Opts::new("app_jobs_total", "Jobs \"done\".")).unwrap();
    counter.inc_by(2.0);
    let odd =
        prometheus::IntCounterVec::new(Opts::new("app_odd", "A counter without its suffix."), &["b", "a"]).unwrap();
    odd.with_label_values(&["2", "1"]).inc();
    odd.with_label_values(&["", "1"]).inc();
    let took = HistogramOpts::new("app_took_seconds", "Time taken.").buckets(vec![0.5, 1.0]);
    let took = prometheus::Histogram::with_opts(took).unwrap();
    took.observe(0.75);
    registry.register(Box::new(counter)).unwrap();
    registry.register(Box::new(odd)).unwrap();
    registry.register(Box::new(took)).unwrap();
    let mut families = registry.gather();
    families.push(joined("app_size", MetricType::SUMMARY, vec![summary(&[(0.5, 1.5), (0.99, f64::NAN)], 3.0)]));
    families.push(joined("app_what", MetricType::UNTYPED, vec![Metric::default()]));
    families
}

#[test]
fn joined_families_keep_their_names() {
    let empty = snapshot(Vec::new());
    insta::assert_snapshot!(text(&empty, &embedded(), Syntax::Text004), @r#"
    # HELP app_jobs_total Jobs "done".
    # TYPE app_jobs_total counter
    app_jobs_total 2.0
    # HELP app_odd A counter without its suffix.
    # TYPE app_odd counter
    app_odd{a="1"} 1.0
    app_odd{a="1",b="2"} 1.0
    # HELP app_size About app_size.
    # TYPE app_size summary
    app_size{route="/a",quantile="0.5"} 1.5
    app_size{route="/a",quantile="0.99"} NaN
    app_size_sum{route="/a"} 3.0
    app_size_count{route="/a"} 2
    # HELP app_took_seconds Time taken.
    # TYPE app_took_seconds histogram
    app_took_seconds_bucket{le="0.5"} 0
    app_took_seconds_bucket{le="1.0"} 1
    app_took_seconds_bucket{le="+Inf"} 1
    app_took_seconds_sum 0.75
    app_took_seconds_count 1
    # HELP app_what About app_what.
    # TYPE app_what untyped
    app_what 0.0
    "#);
    insta::assert_snapshot!(text(&empty, &embedded(), Syntax::OpenMetrics100), @r#"
    # TYPE app_jobs counter
    # HELP app_jobs Jobs \"done\".
    app_jobs_total 2.0
    # TYPE app_odd unknown
    # HELP app_odd A counter without its suffix.
    app_odd{a="1"} 1.0
    app_odd{a="1",b="2"} 1.0
    # TYPE app_size summary
    # HELP app_size About app_size.
    app_size{route="/a",quantile="0.5"} 1.5
    app_size{route="/a",quantile="0.99"} NaN
    app_size_sum{route="/a"} 3.0
    app_size_count{route="/a"} 2
    # TYPE app_took_seconds histogram
    # HELP app_took_seconds Time taken.
    app_took_seconds_bucket{le="0.5"} 0
    app_took_seconds_bucket{le="1.0"} 1
    app_took_seconds_bucket{le="+Inf"} 1
    app_took_seconds_sum 0.75
    app_took_seconds_count 1
    # TYPE app_what unknown
    # HELP app_what About app_what.
    app_what 0.0
    # EOF
    "#);
}

#[test]
fn the_process_collector_joins() {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    let families = process.collect();
    assert_eq!(dropped(&snapshot(Vec::new()), &families), [""; 0]);
    let page = text(&snapshot(Vec::new()), &families, Syntax::OpenMetrics100);
    assert!(page.contains("# TYPE process_cpu_seconds counter\n# HELP process_cpu_seconds Total"), "{page}");
    assert!(page.contains("\nprocess_cpu_seconds_total "), "{page}");
}

#[test]
fn joined_families_are_taken_as_they_are_or_not_at_all() {
    let empty = snapshot(Vec::new());
    let counter = |value: f64| {
        let mut held = prometheus::proto::Counter::default();
        held.set_value(value);
        let mut metric = Metric::default();
        metric.set_counter(held);
        metric
    };
    for (family, expected) in [
        (joined("", MetricType::GAUGE, vec![Metric::default()]), ": its name is no metric name; rename it"),
        (
            joined("_total", MetricType::COUNTER, vec![Metric::default()]),
            "_total: its name is no metric name; rename it",
        ),
        (
            joined("a.created", MetricType::SUMMARY, vec![summary(&[(0.5, 1.0)], 1.0)]),
            "a.created: its name is no metric name; rename it",
        ),
        (
            joined("a", MetricType::GAUGE, vec![Metric::from_label(vec![label("__b", "1")])]),
            "a: series with an invalid or reserved label name; rename the label",
        ),
        (
            joined("a", MetricType::HISTOGRAM, vec![Metric::from_label(vec![label("le", "1")])]),
            "a: series with an invalid or reserved label name; rename the label",
        ),
        (
            joined("a", MetricType::GAUGE, vec![Metric::default(), Metric::from_label(vec![label("b", "")])]),
            "a: series that have the same labels on the page; only the first is shown",
        ),
        (joined("a", MetricType::COUNTER, vec![counter(-1.0)]), "a: series with a value that its kind forbids"),
        (joined("a", MetricType::COUNTER, vec![counter(f64::NAN)]), "a: series with a value that its kind forbids"),
        (
            joined("a", MetricType::SUMMARY, vec![summary(&[(0.9, 1.0), (0.5, 1.0)], 1.0)]),
            "a: series with a value that its kind forbids",
        ),
    ] {
        assert_eq!(dropped(&empty, &[family]), [expected]);
    }
    assert_eq!(dropped(&empty, &[joined("a", MetricType::GAUGE, Vec::new())]), [""; 0]);
}

#[test]
fn c7_openmetrics_shows_no_quantile_below_0() {
    let family = [joined("heat", MetricType::SUMMARY, vec![summary(&[(0.1, -1.0), (0.9, 2.0)], -5.0)])];
    let page = text(&snapshot(Vec::new()), &family, Syntax::OpenMetrics100);
    insta::assert_snapshot!(page, @r#"
    # TYPE heat summary
    # HELP heat About heat.
    heat{route="/a",quantile="0.9"} 2.0
    # EOF
    "#);
    assert_eq!(text(&snapshot(Vec::new()), &family, Syntax::Text004).lines().count(), 6);
}

#[test]
fn f6_instruments_of_one_page_name_kind_and_unit_share_a_family() {
    let families =
        vec![gauge("a.b", vec![point(&[("k", "2")], int(2))]), gauge("a_b", vec![point(&[("k", "1")], int(1))])];
    let snapshot = snapshot(families);
    // F6: one HELP stays, all points do.
    assert_eq!(
        dropped(&snapshot, &[]),
        ["a_b: its help, for that of a_b, with which it shares a name on the page; make them the same"]
    );
    insta::assert_snapshot!(text(&snapshot, &[], Syntax::Text004), @r#"
    # HELP a_b About a.b. OTel name a.b.
    # TYPE a_b gauge
    a_b{k="1"} 1
    a_b{k="2"} 2
    "#);
}

#[test]
fn c3_of_families_whose_names_clash_the_first_stays() {
    let one = || vec![point(&[], int(1))];
    for (families, expected) in [
        (
            vec![gauge("a.b", one()), family("a_b", "", Kind::Histogram, vec![point(&[], histogram(&[], &[1], 1.0))])],
            "a_b: its name on the page clashes with a_b; rename one of them",
        ),
        (
            vec![gauge("a.bytes", one()), family("a_bytes", "By", Kind::Gauge, one())],
            "a_bytes: its name on the page clashes with a_bytes; rename one of them",
        ),
        (
            vec![family("foo", "", Kind::Counter, one()), gauge("foo.created", one())],
            "foo.created: its name on the page clashes with foo_total; rename one of them",
        ),
        (
            vec![gauge("foo-created", one()), family("foo.total", "", Kind::Counter, one())],
            "foo.total: its name on the page clashes with foo_created; rename one of them",
        ),
        (
            vec![gauge("foo", one()), family("foo.total", "", Kind::Counter, one())],
            "foo.total: its name on the page clashes with foo; rename one of them",
        ),
        (
            vec![
                family("d", "", Kind::Histogram, vec![point(&[], histogram(&[], &[1], 1.0))]),
                gauge("d.count", one()),
            ],
            "d.count: its name on the page clashes with d; rename one of them",
        ),
    ] {
        assert_eq!(dropped(&snapshot(families), &[]), [expected]);
    }
}

#[test]
fn a_joined_family_that_clashes_with_ours_is_dropped() {
    let ours = Snapshot { resource: owned(&[("a", "b")]), ..snapshot(vec![gauge("up", vec![point(&[], int(1))])]) };
    let theirs = ["target", "target_info", "up"].map(|name| joined(name, MetricType::GAUGE, vec![Metric::default()]));
    assert_eq!(
        dropped(&ours, &theirs),
        [
            "target: its name on the page clashes with target_info; rename one of them",
            "target_info: its name on the page clashes with target_info; rename one of them",
            "up: its name on the page clashes with up; rename one of them",
        ]
    );
}

#[test]
fn b6_of_series_that_come_to_have_the_same_labels_the_first_stays() {
    let same_help = |name| Family { help: "About.".to_owned(), ..gauge(name, vec![point(&[], int(1))]) };
    let merged = vec![same_help("a.b"), Family { points: [point(&[], int(2))].into(), ..same_help("a_b") }];
    let sanitised = vec![gauge("a.b", vec![point(&[("k.1", "v")], int(1)), point(&[("k_1", "v")], int(2))])];
    for (families, family, line) in [(merged, "a_b", "\na_b 1\n"), (sanitised, "a.b", "\na_b{k_1=\"v\"} 1\n")] {
        let snapshot = snapshot(families);
        assert_eq!(
            dropped(&snapshot, &[]),
            [format!("{family}: series that have the same labels on the page; only the first is shown")]
        );
        let page = text(&snapshot, &[], Syntax::Text004);
        assert!(page.ends_with(line) && page.lines().count() == 3, "{page}");
    }
}

#[test]
fn values_that_void_a_page_are_left_out() {
    let points = vec![point(&[], float(f64::NAN)), point(&[("a", "1")], int(-1)), point(&[("a", "2")], float(1.0))];
    let falling = Histogram { bounds: vec![2.0, 1.0], counts: vec![1, 1, 1], sum: 1.0, count: 3, native: None };
    let short = Histogram { bounds: vec![1.0], counts: vec![2, 0], sum: 1.0, count: 1, native: None };
    let distributions = [falling, short].map(|bad| point(&[], PointValue::Histogram(Box::new(bad))));
    let snapshot =
        snapshot(vec![family("c", "", Kind::Counter, points), family("h", "", Kind::Histogram, distributions.into())]);
    assert_eq!(
        dropped(&snapshot, &[]),
        ["c: series with a value that its kind forbids", "h: series with a value that its kind forbids"]
    );
    let page = text(&snapshot, &[], Syntax::OpenMetrics100);
    assert!(page.ends_with("\nc_total{a=\"2\"} 1.0\n# EOF\n"), "{page}");
}
