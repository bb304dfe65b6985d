//! A family as a page holds it, whatever format it is written in: names and labels are valid, values keep the rules
//! of their kind, series are in order and unique. It borrows from the snapshot and the joined families.

use std::borrow::Cow;

use prometheus::proto::{Bucket, Summary};

use super::DropReason;
use super::labels::{Labels, is_metric_name};
use crate::catalog::{Kind, prometheus_name};
use crate::registry::{self, Number, PointValue};

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
    /// Its name in the text format 0.0.4: a counter's ends in `_total` (a joined one's may not), an info's in `_info`.
    pub(super) name: Cow<'a, str>,
    pub(super) kind: PageKind,
    /// The unit in UCUM; empty where there is none.
    pub(super) unit: &'a str,
    pub(super) help: &'a str,
    pub(super) origin: Origin<'a>,
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
        rises.is_some_and(|(_, count)| count <= self.count)
    }

    /// Whether the sum only rises, so that OpenMetrics allows it: no bucket and no sum below 0.
    pub(super) fn has_rising_sum(&self) -> bool {
        self.sum >= 0.0 && self.buckets.iter().next().is_none_or(|(bound, _)| bound >= 0.0)
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
    pub(super) fn of_resource(resource: &'a [(String, String)]) -> Option<Self> {
        let labels = Labels::of_attributes(resource);
        (labels.len() > 0).then(|| Self {
            name: "target_info".into(),
            kind: PageKind::Info,
            unit: "",
            help: "Target metadata.",
            origin: Origin::Resource,
            series: vec![Series { labels, start: None, value: Value::Number(Number::Int(1)) }],
        })
    }

    /// A family of the snapshot.
    pub(super) fn of_instrument(family: &'a registry::Family) -> Self {
        let kind = match family.kind {
            Kind::Counter => PageKind::Counter,
            Kind::Gauge => PageKind::Gauge,
            Kind::Histogram => PageKind::Histogram,
        };
        let series = family.points.iter().map(|point| Series {
            labels: Labels::of_attributes(&point.attributes),
            start: point.start,
            value: match &point.value {
                PointValue::Number(number) => Value::Number(*number),
                PointValue::Histogram(histogram) => Value::Histogram(Histogram {
                    buckets: Buckets::Single(histogram),
                    sum: histogram.sum,
                    count: histogram.count,
                }),
            },
        });
        Self {
            name: prometheus_name(&family.name, &family.unit, family.kind).into(),
            kind,
            unit: &family.unit,
            help: &family.help,
            origin: Origin::Instrument(&family.name),
            series: series.collect(),
        }
    }

    /// The name OpenMetrics gives the family: without the suffix of a counter's or an info's sample.
    pub(super) fn stem(&self) -> &str {
        let suffix = match self.kind {
            PageKind::Counter => "_total",
            PageKind::Info => "_info",
            PageKind::Gauge | PageKind::Histogram | PageKind::Summary | PageKind::Unknown => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(&self.name)
    }

    /// Whether its name can stand on a page.
    pub(super) fn has_valid_name(&self) -> bool {
        is_metric_name(&self.name) && !self.stem().is_empty()
    }

    /// What may follow the stem in the names of its samples; the stem itself is always taken, as the family's name.
    pub(super) const fn suffixes(&self) -> &'static [&'static str] {
        match self.kind {
            PageKind::Counter => &["", "_total", "_created"],
            PageKind::Gauge | PageKind::Unknown => &[""],
            PageKind::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
            PageKind::Summary => &["", "_count", "_sum", "_created"],
            PageKind::Info => &["", "_info"],
        }
    }

    /// The unit's word for OpenMetrics' UNIT line, where it is the end of the family's name, as it has to be there.
    pub(super) fn unit_word(&self) -> Option<String> {
        // The catalogue keeps its table of units to itself: the word is what it appends to a name that cannot hold it.
        const STEM: &str = "unit:";
        if self.unit.is_empty() || self.unit.starts_with('{') {
            return None;
        }
        let mut word = prometheus_name(STEM, self.unit, Kind::Gauge).split_off(STEM.len());
        if word.is_empty() || !self.stem().ends_with(&word) {
            return None;
        }
        Some(word.split_off(1))
    }

    /// Puts the series in order and leaves out those that cannot stand on a page, with the reasons. Of series that
    /// came to have the same labels the first stays.
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
        let before = self.series.len();
        self.series.retain(|series| series.value.is_valid(self.kind));
        if self.series.len() < before {
            reasons.push(DropReason::Value);
        }
        if !self.series.is_sorted_by(|a, b| a.labels.order(&b.labels).is_lt()) {
            let before = self.series.len();
            self.series.sort_by(|a, b| a.labels.order(&b.labels));
            self.series.dedup_by(|next, kept| next.labels.order(&kept.labels).is_eq());
            if self.series.len() < before {
                reasons.push(DropReason::Duplicate);
            }
        }
        reasons
    }
}
