//! The scrape page: of whatever stands in a registry, every format and escaping scheme shows the same series with the
//! same values, to readers that share nothing with the writer; nothing is invented, and what is missing is reported.

use std::collections::BTreeMap;

use linkit_bridge::collector::go::page::{self, Dialect};
use linkit_bridge::output::prometheus::{DropReason, Dropped, Escaping, Format, Selection, Syntax, View, render};
use linkit_bridge::reading::Number;
use linkit_bridge::registry::{Histogram, PointValue};
use prometheus::proto::{Metric, MetricType};

use super::bytes::Bytes;
use super::reader::{self, Family, Sample, Time};
use super::snapshot::Given;

/// Labels, the name among them.
type Labels = BTreeMap<String, String>;

/// A page as read.
#[derive(Clone, Debug, Default)]
struct Read {
    /// The bits of the values.
    series: BTreeMap<Labels, u64>,
    /// Since when series count, in Unix nanoseconds, by the name without `_total`.
    created: BTreeMap<Labels, u128>,
    helps: Vec<String>,
}

pub fn check(input: &[u8]) {
    let given = Given::of(Bytes::new(input));
    let mut by_scheme: BTreeMap<Escaping, Read> = BTreeMap::new();
    let mut dropped: Option<Vec<Dropped>> = None;
    for syntax in Syntax::ALL {
        for named in Escaping::ALL {
            let escaping = Format::new(syntax, Some(named)).escaping;
            let view = View { escaping, ..View::from(syntax) };
            let rendered = render(&given.snapshot, &given.joined, &given.config, &view);
            let first = dropped.get_or_insert_with(|| rendered.dropped.clone());
            assert_eq!(*first, rendered.dropped, "{view:?} leaves out something else");
            let read = read(&view, &rendered.body);
            if (syntax, named) == given.part {
                selection_is_part(&given, &view, &read);
            }
            let whole = by_scheme.entry(escaping).or_insert_with(|| Read { created: BTreeMap::new(), ..read.clone() });
            same(&view, whole, &read);
            if syntax == Syntax::OpenMetrics100 {
                whole.created = read.created;
            }
        }
    }
    let as_it_is = &by_scheme[&Escaping::AllowUtf8];
    for (escaping, read) in &by_scheme {
        assert_eq!(sorted(read.series.values()), sorted(as_it_is.series.values()), "{escaping:?} has other values");
        let is_legacy = |key: &String| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(*escaping == Escaping::AllowUtf8 || read.series.keys().flat_map(Labels::keys).all(is_legacy));
    }
    is_what_was_given(&given, as_it_is, &dropped.unwrap_or_default());
}

/// The same page in another format of the same scheme. OpenMetrics leaves out what it forbids and text can say.
fn same(view: &View, whole: &Read, read: &Read) {
    let is_openmetrics = matches!(view.syntax, Syntax::OpenMetrics001 | Syntax::OpenMetrics100);
    for (labels, value) in &read.series {
        assert_eq!(whole.series.get(labels), Some(value), "{labels:?} in {view:?}");
    }
    for (labels, value) in whole.series.iter().filter(|(labels, _)| !read.series.contains_key(*labels)) {
        let is_sum = ["_sum", "_count"].iter().any(|suffix| labels["__name__"].ends_with(suffix));
        let is_negative = labels.contains_key("quantile") && f64::from_bits(*value) < 0.0;
        assert!(is_openmetrics && (is_sum || is_negative), "{labels:?} is not in {view:?}");
    }
    assert_eq!(sorted(&whole.helps), sorted(&read.helps), "{view:?}");
    if view.syntax == Syntax::Protobuf {
        for (labels, created) in &whole.created {
            assert_eq!(read.created.get(labels), Some(created), "{labels:?} in {view:?}");
        }
    }
}

fn sorted<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    values
}

/// A part of the page shows nothing that the whole does not.
fn selection_is_part(given: &Given, view: &View, whole: &Read) {
    let selection = Selection::of(["other".to_owned()], &given.snapshot).expect("a section that is always there");
    let view = View { selection, ..view.clone() };
    let part = read(&view, &render(&given.snapshot, &given.joined, &given.config, &view).body);
    assert!(part.series.iter().all(|(labels, value)| whole.series.get(labels) == Some(value)), "{view:?}");
}

/// Every value of the page was given, and every one that was given is there if nothing was reported.
fn is_what_was_given(given: &Given, read: &Read, dropped: &[Dropped]) {
    let mut expected = Vec::new();
    for point in given.snapshot.families.iter().flat_map(|family| &*family.points) {
        match &point.value {
            PointValue::Number(number) => expected.push(bits(number.to_float())),
            PointValue::Histogram(histogram) => expect_histogram(histogram, &mut expected),
        }
    }
    for family in &given.joined {
        family.get_metric().iter().for_each(|metric| expect_joined(family.get_field_type(), metric, &mut expected));
    }
    expected.extend((given.config.target_info && !given.snapshot.resource.is_empty()).then_some(bits(1.0)));
    let (expected, found) = (sorted(expected), sorted(read.series.values().copied()));
    let is_whole = dropped.iter().all(|dropped| matches!(dropped.reason, DropReason::Help { .. }));
    if is_whole {
        assert_eq!(found, expected, "not all is on the page, though nothing was reported");
    }
    let mut rest = expected.iter();
    assert!(found.iter().all(|value| rest.any(|given| given == value)), "a value was given by nobody");
}

fn expect_histogram(histogram: &Histogram, expected: &mut Vec<u64>) {
    let mut below = 0_u64;
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        below = below.saturating_add(*count);
        if *bound < f64::INFINITY {
            expected.push(bits(Number::Int(below.into()).to_float()));
        }
    }
    let all = bits(Number::Int(histogram.count.into()).to_float());
    expected.extend([all, all, bits(histogram.sum)]);
}

fn expect_joined(kind: MetricType, metric: &Metric, expected: &mut Vec<u64>) {
    let whole = |count: u64| bits(Number::Int(count.into()).to_float());
    match kind {
        MetricType::COUNTER => expected.push(bits(metric.get_counter().get_value())),
        MetricType::GAUGE => expected.push(bits(metric.get_gauge().get_value())),
        #[expect(deprecated, reason = "the only way to an untyped value")]
        MetricType::UNTYPED => expected.push(bits(metric.get_untyped().get_value())),
        MetricType::SUMMARY => {
            let summary = metric.get_summary();
            expected.extend(summary.get_quantile().iter().map(|quantile| bits(quantile.value())));
            expected.extend([bits(summary.sample_sum()), whole(summary.sample_count())]);
        }
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound() < f64::INFINITY);
            expected.extend(buckets.map(|bucket| whole(bucket.cumulative_count())));
            let count = whole(histogram.get_sample_count());
            expected.extend([count, count, bits(histogram.get_sample_sum())]);
        }
    }
}

/// A float that can be compared.
fn bits(float: f64) -> u64 {
    if float.is_nan() { f64::NAN.to_bits() } else { float.to_bits() }
}

fn read(view: &View, body: &[u8]) -> Read {
    if view.syntax == Syntax::Protobuf {
        let families = reader::protobuf(body).unwrap_or_else(|error| panic!("{error} in {view:?}"));
        let mut read = Read::default();
        families.iter().for_each(|family| read.family(family));
        return read;
    }
    let text = str::from_utf8(body).expect("a page is utf-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end: {text:?}");
    let is_openmetrics = matches!(view.syntax, Syntax::OpenMetrics001 | Syntax::OpenMetrics100);
    if view.escaping != Escaping::AllowUtf8 {
        judged(text, if is_openmetrics { Dialect::OpenMetrics } else { Dialect::Text });
    }
    let page = reader::text(text, is_openmetrics).unwrap_or_else(|error| panic!("{view:?}: {error} in\n{text}"));
    let mut read = Read { helps: page.helps, ..Read::default() };
    for mut sample in page.samples {
        sample.read_bound();
        let counts = ["counter", "histogram", "summary"].contains(&sample.kind.as_str());
        let is_created = is_openmetrics && counts && sample.name == format!("{}_created", sample.family);
        if is_created {
            let labels = named(sample.labels, &sample.family);
            read.created.insert(labels, nanoseconds(&sample.value));
        } else {
            let value = sample.value.parse().expect("a number, as it was read");
            read.add(named(sample.labels, &sample.name), value);
        }
    }
    read
}

/// The source `go` reads the same pages, as strictly as the official parser does; quoted names it does not know.
fn judged(text: &str, dialect: Dialect) {
    match page::parse(text.as_bytes(), dialect) {
        Ok(page) => assert_eq!(page.len(), text.lines_of_samples(), "{text}"),
        Err(error) => assert!(error.is_oversized, "{dialect:?}: {error} in\n{text}"),
    }
}

trait Samples {
    fn lines_of_samples(&self) -> usize;
}

impl Samples for str {
    fn lines_of_samples(&self) -> usize {
        self.split_terminator('\n').filter(|line| !line.starts_with('#')).count()
    }
}

fn named(mut labels: Labels, name: &str) -> Labels {
    let other = labels.insert("__name__".to_owned(), name.to_owned());
    assert_eq!(other, None, "a label is called as the name is");
    labels
}

/// Seconds with at most nine places.
fn nanoseconds(text: &str) -> u128 {
    let (seconds, places) = text.split_once('.').expect("seconds with a point");
    let seconds: u128 = seconds.parse().expect("whole seconds");
    seconds * 1_000_000_000 + format!("{places:0<9}").parse::<u128>().expect("nine places")
}

impl Sample {
    /// Puts a bound in one form; formats may spell it as they like.
    fn read_bound(&mut self) {
        let key = match self.kind.as_str() {
            "histogram" => "le",
            "summary" => "quantile",
            _ => return,
        };
        if let Some(bound) = self.labels.get_mut(key) {
            *bound = format!("{}", bound.parse::<f64>().expect("a bound is a number"));
        }
    }
}

impl Read {
    fn add(&mut self, labels: Labels, value: f64) {
        let name = &labels["__name__"];
        assert!(labels.iter().all(|(key, value)| !key.is_empty() && !value.is_empty()), "{labels:?} of {name}");
        assert!(!self.series.contains_key(&labels), "{labels:?} stands there twice");
        self.series.insert(labels, bits(value));
    }

    /// The series of a family in protobuf, called as in the text formats.
    fn family(&mut self, family: &Family) {
        assert!(!family.name.is_empty(), "a family without a name");
        if !family.help.is_empty() {
            self.helps.push(family.help.clone());
        }
        for metric in &family.metrics {
            let labels: Labels = metric.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
            assert_eq!(labels.len(), metric.labels.len(), "a label twice in {}", family.name);
            let with = |key: &str, value: f64| {
                let mut labels = labels.clone();
                let other = labels.insert(key.to_owned(), format!("{value}"));
                assert_eq!(other, None, "{key} is a label of {}", family.name);
                labels
            };
            let mut add = |suffix: &str, labels: Labels, value: f64| {
                self.add(named(labels, &format!("{}{suffix}", family.name)), value);
            };
            let (mut start, mut stem) = (None, &*family.name);
            match (family.kind, metric) {
                (0, reader::Metric { counter: Some(counter), .. }) => {
                    add("", labels.clone(), counter.value);
                    // Without its suffix it is unknown in OpenMetrics, which has no such time.
                    (start, stem) = (counter.start.clone(), family.name.strip_suffix("_total").unwrap_or(""));
                }
                (1, reader::Metric { gauge: Some(value), .. }) | (3, reader::Metric { untyped: Some(value), .. }) => {
                    add("", labels.clone(), value.value);
                }
                (2, reader::Metric { summary: Some(summary), .. }) => {
                    summary.quantiles.iter().for_each(|pair| add("", with("quantile", pair.key), pair.value));
                    add("_sum", labels.clone(), summary.sum);
                    add("_count", labels.clone(), summary.count as f64);
                    start = summary.start.clone();
                }
                (4, reader::Metric { histogram: Some(histogram), .. }) => {
                    histogram
                        .buckets
                        .iter()
                        .for_each(|bucket| add("_bucket", with("le", bucket.bound), bucket.count as f64));
                    add("_sum", labels.clone(), histogram.sum);
                    add("_count", labels.clone(), histogram.count as f64);
                    is_native(histogram);
                    start = histogram.start.clone();
                }
                (kind, metric) => panic!("kind {kind} with {metric:?}"),
            }
            if let Some(Time { seconds, nanos }) = start.filter(|_| !stem.is_empty()) {
                let start = u128::try_from(seconds).expect("after 1970") * 1_000_000_000;
                let start = start + u128::try_from(nanos).expect("a part of a second");
                self.created.insert(named(labels, stem), start);
            }
        }
    }
}

/// Spans are as long as there are buckets, no bucket is below 0, and together they hold all values (prometheus/docs,
/// specs/native_histograms.md).
fn is_native(histogram: &reader::Histogram) {
    let sides = [(&histogram.negative_spans, &histogram.negative_deltas), (&histogram.spans, &histogram.deltas)];
    let mut all = i128::from(histogram.zero_count);
    for (spans, deltas) in sides {
        let length: usize = spans.iter().map(|span| span.length as usize).sum();
        assert_eq!(length, deltas.len(), "{histogram:?}");
        assert!(spans.iter().skip(1).all(|span| span.offset >= 0), "{histogram:?}");
        let mut count = 0;
        for delta in deltas {
            count += i128::from(*delta);
            assert!(count >= 0, "{histogram:?}");
            all += count;
        }
    }
    let has_native = !histogram.spans.is_empty() || !histogram.negative_spans.is_empty();
    assert!(!has_native || all == i128::from(histogram.count), "{histogram:?}");
}
