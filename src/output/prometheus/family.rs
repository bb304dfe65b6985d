//! A family as a page holds it, whatever format it is written in: values keep the rules of their kind, series are in
//! order. It borrows from the snapshot and the joined families.

use std::borrow::Cow;

use prometheus::proto::Summary;

use super::histogram::{Buckets, Histogram};
use super::labels::{Labels, ScopeLabels, is_metric_name, readable};
use super::{DropReason, Escaping, PageConfig, selection};
use crate::catalog::{Kind, READ_AT_AN_INTERVAL, Translation, unit_word};
use crate::registry::{self, Number, Point, PointValue, Scope, Snapshot};

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
    /// Its name in the text formats, of any characters until it is [escaped](Self::escape_name): a counter's ends in
    /// `_total` unless suffixes are off or it is a joined one, an info's in `_info`.
    pub(super) name: Cow<'a, str>,
    pub(super) kind: PageKind,
    /// The unit in UCUM; empty where there is none.
    pub(super) unit: &'a str,
    pub(super) help: Cow<'a, str>,
    pub(super) origin: Origin<'a>,
    /// The part of the page it belongs to.
    pub(super) section: &'a str,
    /// An instrument's points until they are [made](Self::make_series) series.
    pub(super) points: Option<Points<'a>>,
    pub(super) series: Vec<Series<'a>>,
    /// As in [`registry::Family::layout`].
    pub(super) layout: Option<u64>,
}

/// The points of an instrument, and how they become series.
#[derive(Clone, Debug)]
pub(super) struct Points<'a> {
    points: &'a [Point],
    scope: Option<&'a Scope>,
    translation: Translation,
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

impl<'a> Points<'a> {
    fn scope(&self) -> ScopeLabels<'a> {
        ScopeLabels::of(self.scope, self.translation)
    }

    fn series(&self, point: &'a Point, scope: &ScopeLabels<'a>) -> Series<'a> {
        Series {
            labels: Labels::of_attributes(&point.attributes, scope, self.translation),
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
        }
    }
}

impl<'a> PageFamily<'a> {
    /// The resource's attributes as the `target` info family; `None` if there are none.
    pub(super) fn of_resource(resource: &'a [(String, String)], config: &PageConfig) -> Option<Self> {
        let none = ScopeLabels::of(None, config.translation);
        let labels = Labels::of_attributes(resource, &none, config.translation);
        (labels.len() > 0).then(|| Self {
            name: "target_info".into(),
            kind: PageKind::Info,
            unit: "",
            help: "Target metadata.".into(),
            origin: Origin::Resource,
            section: "",
            points: None,
            layout: None,
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
        let mut name = config.translation.name(&family.name, &family.unit, family.kind);
        if let Cow::Owned(readable) = readable(&name) {
            name = readable;
        }
        Self {
            name: name.into(),
            kind,
            unit: &family.unit,
            help: help(family, snapshot),
            origin: Origin::Instrument(&family.name),
            section: selection::section(family),
            points: Some(Points { points: &family.points, scope, translation: config.translation }),
            series: Vec::new(),
            layout: family.layout,
        }
    }

    /// The values of an instrument's points, if all are numbers that its kind allows, and none has a start where the
    /// page `tells_starts`.
    pub(super) fn numbers(&self, tells_starts: bool) -> Option<impl Iterator<Item = Number>> {
        let kind = self.kind;
        let number = move |point: &Point| match point.value {
            PointValue::Number(_) if tells_starts && point.start.is_some() => None,
            PointValue::Number(number) if Value::Number(number).is_valid(kind) => Some(number),
            PointValue::Number(_) | PointValue::Histogram(_) => None,
        };
        let points = self.points.as_ref()?.points;
        points.iter().all(|point| number(point).is_some()).then(move || points.iter().filter_map(number))
    }

    /// Makes the series of an instrument's points. Until then they take no room: a page has many, and needs those of
    /// one family at a time.
    pub(super) fn make_series(&mut self) {
        if let Some(points) = self.points.take() {
            let scope = points.scope();
            self.series = points.points.iter().map(|point| points.series(point, &scope)).collect();
        }
    }

    /// Whether it has no series.
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.points.as_ref().is_none_or(|points| points.points.is_empty())
    }

    /// The most that `each` says of some of its series that stand for the others, for all of them.
    pub(super) fn estimate(&self, each: impl Fn(&Series<'a>) -> usize) -> usize {
        let len = self.points.as_ref().map_or(self.series.len(), |points| points.points.len());
        let some = [0, len / 2, len.saturating_sub(1)].into_iter().take(len);
        let most = match &self.points {
            Some(points) => {
                let scope = points.scope();
                some.map(|at| each(&points.series(&points.points[at], &scope))).max()
            }
            None => some.map(|at| each(&self.series[at])).max(),
        };
        len * most.unwrap_or_default()
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

    /// Every name that it or a sample of it has in some escaping scheme; the family's own is always taken. None if its
    /// name cannot stand on a page: nothing is left of it, or it is a summary's, whose quantiles have it bare, and readers
    /// of OpenMetrics take those of `x_created` for the time at which `x` began.
    pub(super) fn sample_names(&self) -> Vec<String> {
        let schemes = if is_metric_name(&self.name) { &[Escaping::AllowUtf8] } else { &Escaping::ALL[..] };
        let mut names = Vec::new();
        for name in schemes.iter().map(|escaping| escaping.metric(&self.name)) {
            let stem = stem(&name, self.kind);
            let suffixes: &[&str] = match self.kind {
                _ if stem.is_empty() => return Vec::new(),
                PageKind::Summary if name.ends_with("_created") => return Vec::new(),
                PageKind::Counter if stem.len() < name.len() => &["", "_total", "_created"],
                PageKind::Counter | PageKind::Gauge | PageKind::Unknown => &[""],
                PageKind::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
                PageKind::Summary => &["", "_count", "_sum", "_created"],
                PageKind::Info => &["", "_info"],
            };
            for name in suffixes.iter().map(|suffix| [stem, suffix].concat()) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
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

    /// Its name in a scheme.
    pub(super) fn escape_name(&mut self, escaping: Escaping) {
        let escaped = match escaping.metric(&self.name) {
            Cow::Owned(name) => Some(name),
            Cow::Borrowed(_) => None,
        };
        if let Some(name) = escaped {
            self.name = Cow::Owned(name);
        }
    }

    /// The names of its labels in a scheme.
    pub(super) fn escape_labels(&mut self, escaping: Escaping) {
        for series in self.series.iter_mut().filter(|series| !series.labels.are_plain()) {
            let labels = std::mem::replace(&mut series.labels, Labels::Pairs(&[]));
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

    /// Puts the series in order; whether they were.
    pub(super) fn sort(&mut self) -> bool {
        let is_sorted = self.series.is_sorted_by(|a, b| a.labels.order(&b.labels).is_le());
        if !is_sorted {
            self.series.sort_by(|a, b| a.labels.order(&b.labels));
        }
        is_sorted
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
