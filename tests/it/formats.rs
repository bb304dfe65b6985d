//! The same truth in every format: arbitrary snapshots, written in all formats and escaping schemes, read back by
//! strangers' parsers to the same series and values; and real Prometheus servers scraping each format.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use ::prometheus::proto::{
    self, Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
};
use linkit_bridge::catalog::{Kind, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::output::prometheus::{self, DropReason, Escaping, Format, PageConfig, Syntax, Translation, View};
use linkit_bridge::reading::{Age, Number};
use linkit_bridge::registry::{Family, Histogram, NativeHistogram, Point, PointValue, Scope, SectionStatus, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;

use crate::support::bridge::Bridge;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;

/// A program that reads pages.
pub struct Reader {
    child: Child,
    pages: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    server: Option<Parsed>,
    library: Option<Parsed>,
}

#[derive(Deserialize)]
struct Parsed {
    error: Option<String>,
    #[serde(default)]
    series: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    labels: BTreeMap<String, String>,
    value: String,
    #[serde(default)]
    histogram: String,
}

/// Series by labels, the name among them, with the bits of their values.
pub type Read = BTreeMap<BTreeMap<String, String>, u64>;

impl Reader {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (pages, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, pages, answers }
    }

    /// The parsers of Prometheus, if they are installed.
    pub fn pageparse() -> Option<Self> {
        peer("pageparse").map(|program| Self::start(&mut Command::new(program)))
    }

    /// What each of its parsers makes of a page.
    pub fn read(&mut self, content_type: &str, page: &[u8]) -> Vec<Result<Read, String>> {
        writeln!(self.pages, "{content_type}\t{}", page.len()).unwrap();
        self.pages.write_all(page).unwrap();
        self.pages.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Answer = serde_json::from_str(&line).unwrap();
        [answer.server, answer.library].into_iter().flatten().map(Parsed::read).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Parsed {
    fn read(self) -> Result<Read, String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut read = Read::new();
        // A native histogram is one series beside the classic ones, which only protobuf holds; its parser has judged it.
        for mut series in self.series.into_iter().filter(|series| series.histogram.is_empty()) {
            // Parsers may spell a bound as they like.
            for bound in ["le", "quantile"] {
                if let Some(bound) = series.labels.get_mut(bound) {
                    *bound = bound.parse::<f64>().map_or_else(|_| bound.clone(), |bound| format!("{bound}"));
                }
            }
            let value = u64::from_str_radix(&series.value, 16).unwrap();
            if read.insert(series.labels.clone(), value).is_some() {
                return Err(format!("{:?} twice", series.labels));
            }
        }
        Ok(read)
    }
}

fn snapshot(families: Vec<Family>, resource: Vec<(String, String)>) -> Snapshot {
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
        at: ManualClock::at(Wall::from_secs(1_705_314_600)).now(),
        resource,
        families,
        sections: Section::DOCUMENTED.map(section),
        collectors: Vec::new(),
        is_ready: true,
        source_version: None,
        metrics: Default::default(),
    }
}

/// Names from all of UTF-8: empty, led by digits, that become the same when they are escaped, that look escaped.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab._é-]{0,3}",
        "[a-c]{1,2}(_total|\\.total|_bucket|_created|_count|_info|_dot_b|_seconds)?",
        "(U__)?[a-z]_(2e_)?[b0-9]",
        "(__)?[.-]?name[.-]?(__)?|__name__|le|quantile|otel_scope_name|[0-9][a-z]?",
        "(?s:.){0,6}",
        "[\\x00\\r\u{feff}\u{2028}a]{1,4}",
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["(?s:.){0,8}", "[\\\\\"\n{},=# ]{0,6}", "[a-z]{1,3}", "[\\x00\\r\t\u{85}\u{feff}# EOF\n]{1,6}"]
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(|int| Number::Int(int.into())),
        Just(Number::Int(i64::MAX.into())),
        any::<u64>().prop_map(|bits| Number::Float(f64::from_bits(bits))),
        prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(-0.0),
            Just(f64::from_bits(1)),
            Just(f64::MAX),
        ]
        .prop_map(Number::Float),
    ]
}

/// Values of a kind; sums that may fall stand in OpenMetrics without their samples, so there are none here.
fn values(kind: Kind) -> BoxedStrategy<PointValue> {
    match kind {
        Kind::Gauge | Kind::Counter => numbers().prop_map(PointValue::Number).boxed(),
        Kind::Histogram => prop_oneof![explicit(), exponential()].boxed(),
    }
}

fn explicit() -> impl Strategy<Value = PointValue> {
    (proptest::collection::btree_set(0..1000_u32, 0..4), any::<[u16; 5]>()).prop_map(|(bounds, counts)| {
        let counts: Vec<_> = counts[..=bounds.len()].iter().map(|count| u64::from(*count)).collect();
        let bounds = bounds.into_iter().map(|bound| f64::from(bound) / 64.0).collect();
        let count = counts.iter().sum();
        PointValue::Histogram(Box::new(Histogram { bounds, counts, sum: 2.5, count, native: None }))
    })
}

/// What an embedding program's exponential histogram comes to be, too coarse ones among them.
fn exponential() -> impl Strategy<Value = PointValue> {
    let buckets = proptest::collection::btree_map(-300..300_i32, 1..u64::from(u32::MAX), 0..6);
    (-6..9_i32, 0..3_u64, buckets).prop_map(|(schema, zero_count, buckets)| {
        let native = NativeHistogram { schema, zero_threshold: 1e-128, zero_count, buckets, negative: BTreeMap::new() };
        let count = native.count();
        PointValue::Histogram(Box::new(Histogram {
            bounds: vec![],
            counts: vec![count],
            sum: 2.5,
            count,
            native: Some(native),
        }))
    })
}

/// Families as collectors of an embedding program may hand them out, right and wrong.
fn joined() -> impl Strategy<Value = MetricFamily> {
    let kind = prop_oneof![
        Just(MetricType::COUNTER),
        Just(MetricType::GAUGE),
        Just(MetricType::UNTYPED),
        Just(MetricType::SUMMARY),
        Just(MetricType::HISTOGRAM),
    ];
    let labels = proptest::collection::vec((names(), texts()), 0..3);
    let bounds = proptest::collection::vec((0..9_u8, 0..9_u8), 0..4);
    let metrics = proptest::collection::vec((labels, numbers(), bounds), 1..3);
    (kind, names(), texts(), metrics).prop_map(|(kind, name, help, metrics)| {
        let mut family = MetricFamily::default();
        family.set_name(name);
        family.set_help(help);
        family.set_field_type(kind);
        let metrics = metrics.into_iter().map(|(labels, value, bounds)| joined_metric(&labels, value, &bounds));
        family.set_metric(metrics.collect());
        family
    })
}

/// One series with a value for every kind.
fn joined_metric(labels: &[(String, String)], value: Number, bounds: &[(u8, u8)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    });
    let mut metric = Metric::from_label(pairs.collect());
    let (mut counter, mut gauge) = (Counter::default(), Gauge::default());
    counter.set_value(value.to_float());
    gauge.set_value(value.to_float());
    metric.set_counter(counter);
    metric.set_gauge(gauge);
    let (mut summary, mut histogram) = (Summary::default(), proto::Histogram::default());
    let quantiles = bounds.iter().map(|(quantile, value)| {
        let mut held = Quantile::default();
        held.set_quantile(f64::from(*quantile) / 8.0);
        held.set_value(if *value == 0 { f64::NAN } else { f64::from(*value) });
        held
    });
    summary.set_quantile(quantiles.collect());
    summary.set_sample_count(7);
    summary.set_sample_sum(0.5);
    metric.set_summary(summary);
    let buckets = bounds.iter().map(|(bound, count)| {
        let mut held = Bucket::default();
        held.set_upper_bound(if *bound == 8 { f64::INFINITY } else { f64::from(*bound) });
        held.set_cumulative_count((*count).into());
        held
    });
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(7);
    histogram.set_sample_sum(0.5);
    metric.set_histogram(histogram);
    metric
}

fn families() -> impl Strategy<Value = Family> {
    let attributes = || proptest::collection::btree_map(names(), texts(), 0..4);
    let kind = prop_oneof![Just(Kind::Gauge), Just(Kind::Counter), Just(Kind::Histogram)];
    kind.prop_flat_map(move |kind| {
        let point = (attributes(), proptest::option::of(0..u64::MAX / 2), values(kind));
        (names(), "|s|By|1|\\{x\\}|.{1,2}", texts(), proptest::collection::vec(point, 1..3), names()).prop_map(
            move |(name, unit, help, points, scope)| {
                let points = points.into_iter().map(|(attributes, start, value)| Point {
                    attributes: attributes.into_iter().collect(),
                    start: start.filter(|_| kind != Kind::Gauge),
                    time: 0,
                    value,
                });
                let scope = Arc::new(Scope { name: scope, ..Scope::default() });
                Family { name, unit, help, kind, scope, section: None, points: points.collect(), layout: None }
            },
        )
    })
}

fn configs() -> impl Strategy<Value = PageConfig> {
    let translation = prop_oneof![
        Just(Translation::NoTranslation),
        Just(Translation::NoUtf8EscapingWithSuffixes),
        Just(Translation::UnderscoreEscapingWithSuffixes),
        Just(Translation::UnderscoreEscapingWithoutSuffixes),
    ];
    (translation, any::<bool>(), any::<bool>()).prop_map(|(translation, target_info, scope_labels)| PageConfig {
        translation,
        target_info,
        scope_labels,
    })
}

/// The values alone, in order.
fn values_of(read: &Read) -> Vec<u64> {
    let mut values: Vec<_> = read.values().copied().collect();
    values.sort_unstable();
    values
}

/// Every format and scheme of one page; they must be the same.
fn agree(
    readers: &mut [Reader],
    snapshot: &Snapshot,
    joined: &[MetricFamily],
    config: &PageConfig,
) -> Result<Read, TestCaseError> {
    let mut by_scheme: BTreeMap<Escaping, Read> = BTreeMap::new();
    for syntax in Syntax::ALL {
        for escaping in Escaping::ALL {
            let format = Format::new(syntax, Some(escaping));
            let view = View { escaping: format.escaping, ..View::from(syntax) };
            let body = prometheus::render(snapshot, joined, config, &view).body;
            for reader in &mut *readers {
                for read in reader.read(&format.content_type(), &body) {
                    let shown = || format!("{} in\n{}", format.content_type(), String::from_utf8_lossy(&body));
                    let read = read.map_err(|error| TestCaseError::fail(format!("{error}: {}", shown())))?;
                    let first = by_scheme.entry(format.escaping).or_insert_with(|| read.clone());
                    prop_assert_eq!(&*first, &read, "{}", shown());
                }
            }
        }
    }
    let as_it_is = by_scheme[&Escaping::AllowUtf8].clone();
    for (escaping, read) in &by_scheme {
        prop_assert_eq!(values_of(read), values_of(&as_it_is), "{:?}", escaping);
        for labels in read.keys().flat_map(BTreeMap::keys).filter(|_| *escaping != Escaping::AllowUtf8) {
            prop_assert!(labels.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{}", labels);
        }
    }
    Ok(as_it_is)
}

/// What must be read of families whose names stay as they are.
fn expected(snapshot: &Snapshot) -> Vec<(BTreeMap<String, String>, u64)> {
    let mut expected = Vec::new();
    for family in &snapshot.families {
        for point in family.points.iter() {
            let PointValue::Number(number) = point.value else { continue };
            // The one character that no text format can be read with.
            let readable = |text: &str| text.replace('\0', "\u{fffd}");
            let labels = point.attributes.iter().filter(|(_, value)| !value.is_empty());
            let labels = labels.map(|(key, value)| (readable(key), readable(value)));
            let labels = labels.chain([("__name__".to_owned(), readable(&family.name))]).collect();
            let value = number.to_float();
            expected.push((labels, if value.is_nan() { 0x7ff8_0000_0000_0001 } else { value.to_bits() }));
        }
    }
    expected
}

#[test]
fn arbitrary_snapshots_read_back_the_same_in_every_format() {
    let Some(pageparse) = Reader::pageparse() else { return };
    let mut readers = vec![pageparse];
    if let Some(python) = peer("python") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/parse.py");
        readers.push(Reader::start(Command::new(python).arg(script)));
    }
    let pages = (
        proptest::collection::vec(families(), 0..6),
        proptest::collection::vec(joined(), 0..4),
        proptest::collection::btree_map(names(), texts(), 0..3),
        configs(),
    );
    let readers = RefCell::new(readers);
    let mut runner = TestRunner::new(Config { cases: 256, ..Config::default() });
    let run = runner.run(&pages, |(mut families, joined, resource, config)| {
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let snapshot = snapshot(families, resource.into_iter().collect());
        let read = agree(&mut readers.borrow_mut(), &snapshot, &joined, &config)?;
        let dropped = prometheus::render(&snapshot, &joined, &config, &Syntax::Text004.into()).dropped;
        let is_whole = dropped.iter().all(|dropped| matches!(dropped.reason, DropReason::Help { .. }));
        if is_whole && config.translation == Translation::NoTranslation && !config.scope_labels {
            for (labels, value) in expected(&snapshot) {
                // Only these are not written as they are: a label needs a name, and none may be Prometheus' own.
                let is_changed = |key: &String| key.is_empty() || key.starts_with("__");
                let is_special = snapshot
                    .families
                    .iter()
                    .flat_map(|family| family.points.iter())
                    .any(|point| point.attributes.iter().any(|(key, _)| is_changed(key)));
                prop_assert!(is_special || read.get(&labels) == Some(&value), "{:?} {:x} in {:?}", labels, value, read);
            }
        }
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn prometheus_2_and_3_take_durations_as_native_histograms() {
    let bridge = Bridge::start("runtime: { source: self, interval: 100ms }\n").await;
    let address = bridge.url.trim_start_matches("http://");
    for (program, option, flags) in [
        ("prometheus2", "", &["--enable-feature=native-histograms"][..]),
        ("prometheus", "    scrape_native_histograms: true\n", &[]),
        ("prometheus", "    scrape_native_histograms: true\n    always_scrape_classic_histograms: true\n", &[]),
    ] {
        let Some(peer) = peer(program) else { continue };
        let prometheus = Prometheus::start(&peer, &Prometheus::scraping(address, option), flags).await;
        let series = "linkit_bridge_collector_duration_seconds{collector='runtime'}";
        assert!(prometheus.value(&format!("histogram_count({series})")).await > 0.5, "{program}");
        let quantile = prometheus.value(&format!("histogram_quantile(0.5, {series})")).await;
        assert!(quantile > 0.0 && quantile < 5.0, "{program}: {quantile}");
        assert_eq!(prometheus.target().await, ("up".to_owned(), String::new()));
    }
}
