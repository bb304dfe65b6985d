//! Snapshots, joined families and page settings made of an input's bytes: names from all of UTF-8, those that clash or
//! look escaped most of all; values of every kind, those that no page may show too.

use std::collections::BTreeMap;
use std::sync::Arc;

use linkit_bridge::catalog::{Kind, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::output::prometheus::{Escaping, PageConfig, Syntax, Translation};
use linkit_bridge::reading::{Age, Number};
use linkit_bridge::registry::{Family, Histogram, NativeHistogram, Point, PointValue, Scope, SectionStatus, Snapshot};
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

use super::bytes::Bytes;

/// Longest text of an input.
const TEXT_BYTES: usize = 24;

/// What names are put together from.
const PARTS: [&str; 32] = [
    "a",
    "b",
    "c",
    "a.b",
    "_",
    "__",
    ".",
    "-",
    "_total",
    ".total",
    "_bucket",
    "_count",
    "_sum",
    "_created",
    "_info",
    "U__",
    "_2e_",
    "_dot_",
    "le",
    "quantile",
    "__name__",
    "otel_scope_name",
    "target",
    "é",
    "花",
    "1",
    "_seconds",
    "\0",
    "\"",
    "\\",
    "\n",
    ":",
];

const UNITS: [&str; 8] = ["", "s", "By", "1", "{x}", "m/s", "seconds", "é/"];

const FLOATS: [f64; 10] = [0.0, -0.0, 1.0, 0.5, -1.5, 1e-5, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Everything a page is rendered from.
pub struct Given {
    pub snapshot: Snapshot,
    pub joined: Vec<MetricFamily>,
    pub config: PageConfig,
    /// The view of which a part is looked at too.
    pub part: (Syntax, Escaping),
}

impl Given {
    pub fn of(mut bytes: Bytes<'_>) -> Self {
        let bytes = &mut bytes;
        let translations = [
            Translation::NoTranslation,
            Translation::NoUtf8EscapingWithSuffixes,
            Translation::UnderscoreEscapingWithSuffixes,
            Translation::UnderscoreEscapingWithoutSuffixes,
        ];
        let config = PageConfig {
            translation: bytes.one_of(&translations),
            target_info: bytes.flag(),
            scope_labels: bytes.flag(),
        };
        let part = (bytes.one_of(&Syntax::ALL), bytes.one_of(&Escaping::ALL));
        // One whose values are all empty is on the page only where two keys become one, and their values are joined.
        let resource = Some(attributes(bytes)).filter(|all| all.values().any(|value| !value.is_empty()));
        let resource = resource.unwrap_or_default().into_iter().collect();
        let joined = (0..bytes.below(3)).map(|_| joined(bytes)).collect();
        let mut families: Vec<_> = (0..bytes.below(6)).map(|_| family(bytes)).collect();
        families.sort_by(|a, b| a.name.cmp(&b.name));
        Self { snapshot: snapshot(families, resource), joined, config, part }
    }
}

fn snapshot(families: Vec<Family>, resource: Vec<(String, String)>) -> Snapshot {
    let status = |section| SectionStatus {
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
        sections: Section::DOCUMENTED.map(status),
        collectors: Vec::new(),
        is_ready: true,
        source_version: None,
        metrics: Default::default(),
    }
}

fn name(bytes: &mut Bytes<'_>) -> String {
    match bytes.below(4) {
        0 => bytes.text(8),
        parts => (0..parts).map(|_| bytes.one_of(&PARTS)).collect(),
    }
}

fn attributes(bytes: &mut Bytes<'_>) -> BTreeMap<String, String> {
    (0..bytes.below(4)).map(|_| (name(bytes), bytes.text(TEXT_BYTES))).collect()
}

fn float(bytes: &mut Bytes<'_>) -> f64 {
    if bytes.flag() { f64::from_bits(bytes.uint()) } else { bytes.one_of(&FLOATS) }
}

fn count(bytes: &mut Bytes<'_>) -> u64 {
    if bytes.below(8) == 0 { bytes.uint() } else { bytes.byte().into() }
}

/// Bounds that rise, or do not.
fn bounds(bytes: &mut Bytes<'_>) -> Vec<f64> {
    let mut bounds: Vec<_> = (0..bytes.below(4)).map(|_| float(bytes)).collect();
    if bytes.flag() {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
    }
    bounds
}

fn family(bytes: &mut Bytes<'_>) -> Family {
    let kind = bytes.one_of(&[Kind::Gauge, Kind::Counter, Kind::Histogram]);
    let points = (0..bytes.below(4)).map(|_| Point {
        attributes: attributes(bytes).into_iter().collect(),
        start: Some(bytes.uint()).filter(|start| kind != Kind::Gauge && start % 2 == 0),
        time: 0,
        value: if kind == Kind::Histogram { histogram(bytes) } else { PointValue::Number(number(bytes)) },
    });
    let mut points: Vec<_> = points.collect();
    points.sort_by(|a, b| a.attributes.cmp(&b.attributes));
    let version = Some(bytes.text(4)).filter(|version| !version.is_empty());
    let scope =
        Scope { name: name(bytes), version, attributes: attributes(bytes).into_iter().collect(), schema_url: None };
    Family {
        name: name(bytes),
        unit: bytes.one_of(&UNITS).to_owned(),
        help: bytes.text(TEXT_BYTES),
        kind,
        scope: Arc::new(scope),
        section: bytes.flag().then_some(Section::Runtime),
        points: points.into(),
        layout: None,
    }
}

fn number(bytes: &mut Bytes<'_>) -> Number {
    match bytes.below(3) {
        0 => Number::Int(bytes.uint().cast_signed().into()),
        1 => Number::Int(bytes.uint().into()),
        _ => Number::Float(float(bytes)),
    }
}

fn histogram(bytes: &mut Bytes<'_>) -> PointValue {
    let bounds = bounds(bytes);
    let counts: Vec<_> = (0..=bounds.len()).map(|_| count(bytes)).collect();
    let all = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let count = if bytes.below(8) == 0 { count(bytes) } else { all };
    let native = bytes.flag().then(|| native(bytes, count));
    PointValue::Histogram(Box::new(Histogram { bounds, counts, sum: float(bytes), count, native }))
}

/// Of so many values, if the buckets have no more; whatever they lack is 0. One scale is coarser than pages can hold.
fn native(bytes: &mut Bytes<'_>, count: u64) -> NativeHistogram {
    let bucket = |bytes: &mut Bytes<'_>| (i32::from(bytes.byte().cast_signed()), 1 + u64::from(bytes.byte()));
    let mut native = NativeHistogram {
        schema: i32::from(bytes.byte() % 14) - 5,
        zero_threshold: f64::from(bytes.byte()) / 1e9,
        zero_count: 0,
        buckets: (0..bytes.below(5)).map(|_| bucket(bytes)).collect(),
        negative: (0..bytes.below(3)).map(|_| bucket(bytes)).collect(),
    };
    native.zero_count = count.saturating_sub(native.count());
    native
}

fn joined(bytes: &mut Bytes<'_>) -> MetricFamily {
    use MetricType::{COUNTER, GAUGE, HISTOGRAM, SUMMARY, UNTYPED};
    let kind = bytes.one_of(&[COUNTER, GAUGE, HISTOGRAM, SUMMARY, UNTYPED]);
    let mut family = MetricFamily::default();
    family.set_field_type(kind);
    family.set_name(name(bytes));
    family.set_help(bytes.text(TEXT_BYTES));
    family.set_metric((0..bytes.below(3)).map(|_| metric(kind, bytes)).collect());
    family
}

fn metric(kind: MetricType, bytes: &mut Bytes<'_>) -> Metric {
    let labels = (0..bytes.below(3)).map(|_| {
        let mut pair = LabelPair::default();
        pair.set_name(name(bytes));
        pair.set_value(bytes.text(TEXT_BYTES));
        pair
    });
    let mut metric = Metric::from_label(labels.collect());
    match kind {
        MetricType::COUNTER => {
            let mut counter = proto::Counter::default();
            counter.set_value(float(bytes));
            metric.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(float(bytes));
            metric.set_gauge(gauge);
        }
        MetricType::UNTYPED => {
            let mut untyped = proto::Untyped::default();
            #[expect(deprecated, reason = "the only way to an untyped value")]
            untyped.set_value(float(bytes));
            #[expect(deprecated, reason = "the only way to an untyped value")]
            metric.set_untyped(untyped);
        }
        MetricType::HISTOGRAM => metric.set_histogram(joined_histogram(bytes)),
        MetricType::SUMMARY => metric.set_summary(summary(bytes)),
    }
    metric
}

fn joined_histogram(bytes: &mut Bytes<'_>) -> proto::Histogram {
    let mut below = 0_u64;
    let buckets = bounds(bytes).into_iter().map(|bound| {
        below = below.saturating_add(count(bytes));
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(below.saturating_add(count(bytes)));
    histogram.set_sample_sum(float(bytes));
    histogram
}

fn summary(bytes: &mut Bytes<'_>) -> proto::Summary {
    let quantiles = (0..bytes.below(3)).map(|place| {
        let mut quantile = proto::Quantile::default();
        quantile.set_quantile(if bytes.flag() { place as f64 / 2.0 } else { float(bytes) });
        quantile.set_value(float(bytes));
        quantile
    });
    let mut summary = proto::Summary::default();
    summary.set_quantile(quantiles.collect());
    summary.set_sample_count(count(bytes));
    summary.set_sample_sum(float(bytes));
    summary
}
