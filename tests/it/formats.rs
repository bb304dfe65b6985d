//! The same truth in every format: arbitrary snapshots, written in all formats and escaping schemes, read back by
//! strangers' parsers to the same series and values; and real Prometheus servers scraping each format.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use linkit_bridge::catalog::{Kind, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::output::prometheus::{self, DropReason, Escaping, Format, PageConfig, Syntax, Translation, View};
use linkit_bridge::reading::{Age, Number};
use linkit_bridge::registry::{Family, Histogram, Point, PointValue, Scope, SectionStatus, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;

use crate::support::bridge::Bridge;
use crate::support::eventually;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;

/// A program that reads pages.
struct Reader {
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
}

/// Series by labels, the name among them, with the bits of their values.
type Read = BTreeMap<BTreeMap<String, String>, u64>;

impl Reader {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (pages, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, pages, answers }
    }

    /// What each of its parsers makes of a page.
    fn read(&mut self, content_type: &str, page: &[u8]) -> Vec<Result<Read, String>> {
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
        for mut series in self.series {
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
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["(?s:.){0,8}", "[\\\\\"\n{},=# ]{0,6}", "[a-z]{1,3}"]
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
        Kind::Histogram => (proptest::collection::btree_set(0..1000_u32, 0..4), any::<[u16; 5]>())
            .prop_map(|(bounds, counts)| {
                let counts: Vec<_> = counts[..=bounds.len()].iter().map(|count| u64::from(*count)).collect();
                let bounds = bounds.into_iter().map(|bound| f64::from(bound) / 64.0).collect();
                let count = counts.iter().sum();
                PointValue::Histogram(Box::new(Histogram { bounds, counts, sum: 2.5, count, native: None }))
            })
            .boxed(),
    }
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
fn agree(readers: &mut [Reader], snapshot: &Snapshot, config: &PageConfig) -> Result<Read, TestCaseError> {
    let mut by_scheme: BTreeMap<Escaping, Read> = BTreeMap::new();
    for syntax in Syntax::ALL {
        for escaping in Escaping::ALL {
            let format = Format::new(syntax, Some(escaping));
            let view = View { escaping: format.escaping, ..View::from(syntax) };
            let body = prometheus::render(snapshot, &[], config, &view).body;
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
    let Some(pageparse) = peer("pageparse") else { return };
    let mut readers = vec![Reader::start(&mut Command::new(pageparse))];
    if let Some(python) = peer("python") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/parse.py");
        readers.push(Reader::start(Command::new(python).arg(script)));
    }
    let pages = (
        proptest::collection::vec(families(), 0..6),
        proptest::collection::btree_map(names(), texts(), 0..3),
        configs(),
    );
    let readers = RefCell::new(readers);
    let mut runner = TestRunner::new(Config { cases: 256, ..Config::default() });
    let run = runner.run(&pages, |(mut families, resource, config)| {
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let snapshot = snapshot(families, resource.into_iter().collect());
        let read = agree(&mut readers.borrow_mut(), &snapshot, &config)?;
        let dropped = prometheus::render(&snapshot, &[], &config, &Syntax::Text004.into()).dropped;
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
async fn prometheus_3_scrapes_every_format_it_can_ask_for() {
    let Some(program) = peer("prometheus") else { return };
    let bridge = Bridge::start("runtime: { source: self, interval: 100ms }\n").await;
    let address = bridge.url.trim_start_matches("http://");
    let formats = [
        ("PrometheusProto", Syntax::Protobuf),
        ("OpenMetricsText1.0.0", Syntax::OpenMetrics100),
        ("OpenMetricsText0.0.1", Syntax::OpenMetrics001),
        ("PrometheusText1.0.0", Syntax::Text100),
        ("PrometheusText0.0.4", Syntax::Text004),
    ];
    let jobs = formats.map(|(protocol, _)| {
        format!(
            "  - job_name: '{protocol}'\n    scrape_protocols: ['{protocol}']\n    \
             static_configs: [ {{ targets: ['{address}'] }} ]\n"
        )
    });
    let config = format!("global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n{}", jobs.concat());
    let prometheus = Prometheus::start(&program, &config, &[]).await;
    let all_up = || async { Some(prometheus.value("sum(up)").await).filter(|up| *up > 4.5) };
    eventually("every job being up", all_up).await;
    for (protocol, syntax) in formats {
        for figure in ["linkit_runtime_cpus", "target_info", "linkit_bridge_collector_duration_seconds_count"] {
            assert!(prometheus.value(&format!("{figure}{{job='{protocol}'}}")).await > 0.5, "{figure} {protocol}");
        }
        let renders =
            format!("linkit_bridge_output_renders_total{{format=\"{}\",output=\"prometheus\"}}", syntax.name());
        let asked_for = || async { bridge.series().await.get(&renders).copied().filter(|count| *count > 0.5) };
        eventually(protocol, asked_for).await;
    }
}

#[tokio::test]
async fn prometheus_2_and_3_take_durations_as_native_histograms() {
    let bridge = Bridge::start("runtime: { source: self, interval: 100ms }\n").await;
    let address = bridge.url.trim_start_matches("http://");
    for (program, option, flags) in [
        ("prometheus2", "", &["--enable-feature=native-histograms"][..]),
        ("prometheus", "    scrape_native_histograms: true\n", &[]),
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
