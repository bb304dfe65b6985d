//! A family as a page holds it, whatever format it is written in: values keep the rules of their kind, series are in
//! order. It borrows from the snapshot and the joined families.

use std::borrow::Cow;

use prometheus::proto::{Bucket, Summary};

use super::labels::{Labels, readable};
use super::{DropReason, Escaping, PageConfig, selection};
use crate::catalog::{Kind, READ_AT_AN_INTERVAL, unit_word};
use crate::registry::{self, NativeHistogram, Number, PointValue, Snapshot};

/// The coarsest resolution a native histogram has (prometheus/docs, specs/native_histograms.md, "Schema").
const SCHEMA_MIN: i32 = -4;

/// The kinds of families a page can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Unknown,
    Info,
}

/// Where a family comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// The attributes of the snapshot's resource.
    Resource,
    /// An instrument, by its OpenTelemetry name.
    Instrument(&'a str),
    /// A registry of the `prometheus` crate.
    Joined,
}

/// One family.
#[derive(Clone, Debug)]
pub(super) struct PageFamily<'a> {
    /// Its name in the text formats, of any characters until it is [escaped](Self::escape): a counter's ends in
    /// `_total` unless suffixes are off or it is a joined one, an info's in `_info`.
    pub(super) name: Cow<'a, str>,
    pub(super) kind: PageKind,
    /// The unit in UCUM; empty where there is none.
    pub(super) unit: &'a str,
    pub(super) help: Cow<'a, str>,
    pub(super) origin: Origin<'a>,
    /// The part of the page it belongs to.
    pub(super) section: &'a str,
    pub(super) series: Vec<Series<'a>>,
}

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Series<'a> {
    pub(super) labels: Labels<'a>,
    /// Since when it counts, in Unix nanoseconds, where that is known.
    pub(super) start: Option<u64>,
    pub(super) value: Value<'a>,
}

/// The value of a series.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(Number),
    Histogram(Histogram<'a>),
    Summary(&'a Summary),
}

/// A distribution in explicit buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Histogram<'a> {
    pub(super) buckets: Buckets<'a>,
    pub(super) sum: f64,
    pub(super) count: u64,
    /// The same values in exponential buckets, which only protobuf can carry.
    pub(super) native: Option<&'a NativeHistogram>,
}

/// The buckets below +Inf.
#[derive(Clone, Copy, Debug)]
pub(super) enum Buckets<'a> {
    /// Each with its own count.
    Single(&'a registry::Histogram),
    /// Each with the count of all below it.
    Cumulative(&'a [Bucket]),
}

impl<'a> Buckets<'a> {
    /// Upper bounds with cumulative counts.
    pub(super) fn iter(self) -> impl Iterator<Item = (f64, u64)> {
        let (single, cumulative) = match self {
            Self::Single(histogram) => (Some(histogram), None),
            Self::Cumulative(buckets) => (None, Some(buckets)),
        };
        let single = single.into_iter().flat_map(|histogram| {
            histogram.bounds.iter().zip(&histogram.counts).scan(0_u64, |below, (bound, count)| {
                *below = below.saturating_add(*count);
                Some((*bound, *below))
            })
        });
        let of_bucket = |bucket: &'a Bucket| (bucket.upper_bound(), bucket.cumulative_count());
        let cumulative = cumulative.into_iter().flatten().map(of_bucket);
        // A bound of +Inf adds nothing: the count of all is that bucket.
        single.chain(cumulative).filter(|(bound, _)| *bound != f64::INFINITY)
    }
}

impl Histogram<'_> {
    /// Whether bounds and counts rise, which every reader of a page relies on (OpenMetrics 1.0, "Histogram").
    fn is_valid(&self) -> bool {
        let rises = self.buckets.iter().try_fold((f64::NEG_INFINITY, 0), |(bound, count), next| {
            (next.0 > bound && next.1 >= count).then_some(next)
        });
        // A reader that takes native histograms refuses the page where one does not add up.
        rises.is_some_and(|(_, count)| count <= self.count)
            && self.native.is_none_or(|native| native.count() == self.count)
    }

    /// Whether its exponential buckets are coarser than those of any native histogram.
    fn is_too_coarse(&self) -> bool {
        self.native.is_some_and(|native| native.schema < SCHEMA_MIN)
    }

    /// Whether the sum only rises, so that OpenMetrics allows it: no bucket and no sum below 0.
    pub(super) fn has_rising_sum(&self) -> bool {
        self.sum >= 0.0
            && self.buckets.iter().next().is_none_or(|(bound, _)| bound >= 0.0)
            && self.native.is_none_or(|native| native.negative.is_empty())
    }
}

impl Value<'_> {
    /// Whether a page may show this value as one of `kind`: one that breaks its kind's rules voids a whole
    /// OpenMetrics page.
    fn is_valid(&self, kind: PageKind) -> bool {
        match self {
            Self::Number(Number::Int(int)) => kind != PageKind::Counter || *int >= 0,
            Self::Number(Number::Float(float)) => kind != PageKind::Counter || *float >= 0.0,
            Self::Histogram(histogram) => histogram.is_valid(),
            Self::Summary(summary) => {
                let quantiles = summary.get_quantile();
                quantiles.is_sorted_by(|a, b| a.quantile() < b.quantile())
                    && quantiles.iter().all(|quantile| (0.0..=1.0).contains(&quantile.quantile()))
            }
        }
    }
}

impl<'a> PageFamily<'a> {
    /// The resource's attributes as the `target` info family; `None` if there are none.
    pub(super) fn of_resource(resource: &'a [(String, String)], config: &PageConfig) -> Option<Self> {
        let labels = Labels::of_attributes(resource, None, config.translation);
        (labels.len() > 0).then(|| Self {
            name: "target_info".into(),
            kind: PageKind::Info,
            unit: "",
            help: "Target metadata.".into(),
            origin: Origin::Resource,
            section: "",
            series: vec![Series { labels, start: None, value: Value::Number(Number::Int(1)) }],
        })
    }

    /// A family of the snapshot.
    pub(super) fn of_instrument(family: &'a registry::Family, snapshot: &'a Snapshot, config: &PageConfig) -> Self {
        let kind = match family.kind {
            Kind::Counter => PageKind::Counter,
            Kind::Gauge => PageKind::Gauge,
            Kind::Histogram => PageKind::Histogram,
        };
        let scope = config.scope_labels.then_some(&*family.scope);
        let series = family.points.iter().map(|point| Series {
            labels: Labels::of_attributes(&point.attributes, scope, config.translation),
            start: point.start,
            value: match &point.value {
                PointValue::Number(number) => Value::Number(*number),
                PointValue::Histogram(histogram) => Value::Histogram(Histogram {
                    buckets: Buckets::Single(histogram),
                    sum: histogram.sum,
                    count: histogram.count,
                    native: histogram.native.as_ref(),
                }),
            },
        });
        Self {
            name: readable(&config.translation.name(&family.name, &family.unit, family.kind)).into_owned().into(),
            kind,
            unit: &family.unit,
            help: help(family, snapshot),
            origin: Origin::Instrument(&family.name),
            section: selection::section(family),
            series: series.collect(),
        }
    }

    /// The name OpenMetrics gives the family: without the suffix of a counter's or an info's sample.
    pub(super) fn stem(&self) -> &str {
        stem(&self.name, self.kind)
    }

    /// Its kind in OpenMetrics, where a counter whose name is not a counter's is unknown: a series keeps its name in
    /// every format.
    pub(super) fn openmetrics_kind(&self) -> PageKind {
        let is_misnamed = self.kind == PageKind::Counter && self.stem() == self.name;
        if is_misnamed { PageKind::Unknown } else { self.kind }
    }

    /// Whether its name can stand on a page: a summary's quantiles have it bare, and readers of OpenMetrics take those
    /// of `x_created` for the time at which `x` began.
    pub(super) fn has_valid_name(&self) -> bool {
        let name = Escaping::Underscores.metric(&self.name);
        let is_time = self.kind == PageKind::Summary && name.ends_with("_created");
        !is_time && !stem(&name, self.kind).is_empty()
    }

    /// Every name that it or a sample of it has in some escaping scheme; the family's own is always taken.
    pub(super) fn sample_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for name in Escaping::ALL.map(|escaping| escaping.metric(&self.name)) {
            let stem = stem(&name, self.kind);
            let suffixes: &[&str] = match self.kind {
                PageKind::Counter if stem.len() < name.len() => &["", "_total", "_created"],
                PageKind::Counter | PageKind::Gauge | PageKind::Unknown => &[""],
                PageKind::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
                PageKind::Summary => &["", "_count", "_sum", "_created"],
                PageKind::Info => &["", "_info"],
            };
            let of_scheme = suffixes.iter().map(|suffix| format!("{stem}{suffix}"));
            names.extend(of_scheme.filter(|name| !names.contains(name)).collect::<Vec<_>>());
        }
        names
    }

    /// The unit's word for UNIT, where it is the end of the family's name, as OpenMetrics wants it.
    pub(super) fn unit_word(&self) -> Option<String> {
        let is_there = |word: &String| self.stem().strip_suffix(word.as_str()).is_some_and(|rest| rest.ends_with('_'));
        unit_word(self.unit).filter(is_there)
    }

    /// HELP with an instrument's own name at the end, so that those who know the figure by it find it; empty if there
    /// is nothing to say.
    pub(super) fn whole_help(&self) -> Cow<'_, str> {
        let help = self.help.trim_end();
        let Origin::Instrument(otel_name) = self.origin else { return Cow::Borrowed(help) };
        let between = match help.bytes().last() {
            None => "",
            Some(b'.' | b'!' | b'?') => " ",
            Some(_) => ". ",
        };
        Cow::Owned(format!("{help}{between}OTel name {otel_name}."))
    }

    /// Leaves out series that no page can show, with the reasons.
    pub(super) fn tidy(&mut self) -> Vec<DropReason> {
        let mut reasons = Vec::new();
        let reserved = match self.kind {
            PageKind::Histogram => Some("le"),
            PageKind::Summary => Some("quantile"),
            PageKind::Counter | PageKind::Gauge | PageKind::Unknown | PageKind::Info => None,
        };
        let before = self.series.len();
        self.series.retain(|series| reserved.is_none_or(|reserved| !series.labels.has(reserved)));
        if self.series.len() < before {
            reasons.push(DropReason::Labels);
        }
        let is_too_coarse =
            |series: &Series<'_>| matches!(series.value, Value::Histogram(held) if held.is_too_coarse());
        let before = self.series.len();
        self.series.retain(|series| !is_too_coarse(series));
        if self.series.len() < before {
            reasons.push(DropReason::Coarse);
        }
        let before = self.series.len();
        self.series.retain(|series| series.value.is_valid(self.kind));
        if self.series.len() < before {
            reasons.push(DropReason::Value);
        }
        reasons
    }

    /// Its names in a scheme.
    pub(super) fn escape(&mut self, escaping: Escaping) {
        let escaped = match escaping.metric(&self.name) {
            Cow::Owned(name) => Some(name),
            Cow::Borrowed(_) => None,
        };
        if let Some(name) = escaped {
            self.name = Cow::Owned(name);
        }
        for series in &mut self.series {
            let labels = std::mem::replace(&mut series.labels, Labels::Attributes(&[]));
            series.labels = labels.escaped(escaping);
        }
    }

    /// Leaves out exponential buckets unless every series has them: after a series with them, Prometheus' parser takes
    /// the next of the family for one of the same kind, and has nothing in hand where it is not.
    pub(super) fn native_all_or_none(&mut self) {
        let lacks = |series: &Series<'_>| matches!(series.value, Value::Histogram(held) if held.native.is_none());
        if self.kind != PageKind::Histogram || !self.series.iter().any(lacks) {
            return;
        }
        for series in &mut self.series {
            if let Value::Histogram(held) = &mut series.value {
                held.native = None;
            }
        }
    }

    /// Puts the series in order.
    pub(super) fn sort(&mut self) {
        if !self.series.is_sorted_by(|a, b| a.labels.order(&b.labels).is_le()) {
            self.series.sort_by(|a, b| a.labels.order(&b.labels));
        }
    }
}

fn stem(name: &str, kind: PageKind) -> &str {
    let suffix = match kind {
        PageKind::Counter => "_total",
        PageKind::Info => "_info",
        PageKind::Gauge | PageKind::Histogram | PageKind::Summary | PageKind::Unknown => "",
    };
    name.strip_suffix(suffix).unwrap_or(name)
}

/// An instrument's help, with the interval at which it is read in place of the word that there is one.
fn help<'a>(family: &'a registry::Family, snapshot: &Snapshot) -> Cow<'a, str> {
    let is_its = |collector: &&registry::CollectorStatus| Some(&collector.section) == family.section.as_ref();
    let interval = snapshot.collectors.iter().find(is_its).and_then(|collector| collector.interval);
    match (family.help.strip_suffix(READ_AT_AN_INTERVAL), interval) {
        (Some(help), Some(interval)) => Cow::Owned(format!("{help} Read every {interval:?}, not at the scrape.")),
        _ => Cow::Borrowed(&family.help),
    }
}
