//! A family of OpenMetrics: which samples its type may hold, and in which order.

use std::borrow::Cow;
use std::collections::HashSet;

use super::histogram::Histogram;
use super::line::{Sample, float, is_number};
use super::{Flaw, bad};

/// The types of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    StateSet,
    Info,
    Summary,
    Unknown,
}

impl Type {
    pub(super) fn of_word(word: &str) -> Result<Self, Flaw> {
        Ok(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "stateset" => Self::StateSet,
            "info" => Self::Info,
            "summary" => Self::Summary,
            "unknown" => Self::Unknown,
            _ => return bad("says a type that there is not"),
        })
    }

    /// What a sample's name may add to the family's.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total", "_created"],
            Self::Summary => &["", "_count", "_sum", "_created"],
            Self::Histogram => &["_count", "_sum", "_bucket", "_created"],
            Self::GaugeHistogram => &["_gcount", "_gsum", "_bucket"],
            Self::Info => &["_info"],
            Self::Gauge | Self::StateSet | Self::Unknown => &[""],
        }
    }
}

/// The labels that make a metric of a family, sorted.
type Group<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The family that is being read.
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Option<Type>,
    pub(super) unit: Option<&'a str>,
    pub(super) help: Option<()>,
    pub(super) has_samples: bool,
    group: Option<Group<'a>>,
    groups: HashSet<Group<'a>>,
    /// The time of the last sample of the group.
    time: Option<f64>,
    /// The series of the group at that time.
    series: HashSet<(&'a str, Group<'a>)>,
    histogram: Histogram,
}

impl<'a> Family<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Self {
            name,
            kind: None,
            unit: None,
            help: None,
            has_samples: false,
            group: None,
            groups: HashSet::new(),
            time: None,
            series: HashSet::new(),
            histogram: Histogram::default(),
        }
    }

    /// A family of which nothing was said before its first sample.
    pub(super) fn unknown(name: &'a str) -> Self {
        Self { kind: Some(Type::Unknown), ..Self::new(name) }
    }

    fn kind(&self) -> Type {
        self.kind.unwrap_or(Type::Unknown)
    }

    /// Whether a sample of that name belongs to it.
    pub(super) fn takes(&self, name: &str) -> bool {
        name.strip_prefix(self.name).is_some_and(|suffix| self.kind().suffixes().contains(&suffix))
    }

    /// What it adds to its name to make the names it takes.
    pub(super) fn suffixes_taken(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.kind().suffixes().iter().copied().filter(|suffix| !suffix.is_empty()).chain([""])
    }

    /// Judges a sample that it takes.
    pub(super) fn add(&mut self, sample: &Sample<'a>) -> Result<(), Flaw> {
        let (kind, suffix) = (self.kind(), sample.name.strip_prefix(self.name).unwrap_or(""));
        judge_labels(kind, self.name, suffix, sample)?;
        judge_value(kind, suffix, sample)?;
        if sample.has_exemplar
            && !matches!(
                (kind, suffix),
                (Type::Histogram | Type::GaugeHistogram, "_bucket") | (Type::Counter, "_total")
            )
        {
            return bad("has an exemplar where none may be");
        }
        let is_new_point = self.place(kind, suffix, sample)?;
        self.has_samples = true;
        if matches!(kind, Type::Histogram | Type::GaugeHistogram) {
            self.histogram.add(is_new_point, suffix, sample)?;
        }
        Ok(())
    }

    /// Judges the sample's place: groups stand together, and times do not go back. Says whether a new point begins.
    fn place(&mut self, kind: Type, suffix: &str, sample: &Sample<'a>) -> Result<bool, Flaw> {
        let group = group_of(kind, self.name, suffix, sample);
        let time = sample.timestamp.map(float);
        let is_same_group = self.group.as_ref() == Some(&group);
        if is_same_group {
            if time.is_some() != self.time.is_some() {
                return bad("has a timestamp, or has none, unlike the one before it");
            }
            if kind != Type::Info && self.time > time {
                return bad("has a timestamp before that of the one before it");
            }
        } else if self.groups.contains(&group) {
            return bad("belongs to labels that stand further up");
        }
        let is_same_point = is_same_group && self.time == time;
        if !is_same_point {
            self.series.clear();
        }
        let mut labels = sample.labels.clone();
        labels.sort_unstable();
        // With a timestamp it may be another point, whose time was cut to what the format can write.
        if !self.series.insert((sample.name, labels)) && time.is_none() {
            return bad("stands there twice");
        }
        if !is_same_group {
            self.groups.insert(group.clone());
            self.group = Some(group);
        }
        self.time = time;
        Ok(!is_same_point)
    }

    /// Judges it as a whole, at its end.
    pub(super) fn judge(&self) -> Result<(), Flaw> {
        if let Some(unit) = self.unit.filter(|unit| !unit.is_empty()) {
            if !self.name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
                return bad("follows a family whose name does not end in its unit");
            }
            if matches!(self.kind(), Type::Info | Type::StateSet) {
                return bad("follows a family whose type has no unit");
            }
        }
        self.histogram.judge()
    }
}

/// The labels but for those that tell the samples of one metric apart; of an info, all do.
fn group_of<'a>(kind: Type, family: &str, suffix: &str, sample: &Sample<'a>) -> Group<'a> {
    let own = match (kind, suffix) {
        (Type::Info, _) => return Vec::new(),
        (Type::Summary, "") => "quantile",
        (Type::StateSet, _) => family,
        (Type::Histogram | Type::GaugeHistogram, "_bucket") => "le",
        _ => "",
    };
    let mut group: Group<'a> = sample.labels.iter().filter(|(name, _)| *name != own).cloned().collect();
    group.sort_unstable();
    group
}

fn judge_labels(kind: Type, family: &str, suffix: &str, sample: &Sample<'_>) -> Result<(), Flaw> {
    match (kind, suffix) {
        (Type::StateSet, _) if sample.label(family).is_none() => bad("has no label for its state"),
        (Type::Histogram | Type::GaugeHistogram, "_bucket") => match sample.label("le").and_then(bound) {
            Some(_) => Ok(()),
            None => bad("has no le that is a bound"),
        },
        (Type::Summary, "") => match sample.label("quantile").and_then(bound) {
            Some(quantile) if (0.0..=1.0).contains(&quantile) => Ok(()),
            _ => bad("has no quantile from 0 to 1"),
        },
        _ => Ok(()),
    }
}

/// A bound of a bucket; infinity is written in one way only.
pub(super) fn bound(text: &str) -> Option<f64> {
    let bound = is_number(text).then(|| float(text)).filter(|bound| !bound.is_nan())?;
    (bound != f64::INFINITY || text == "+Inf").then_some(bound)
}

fn judge_value(kind: Type, suffix: &str, sample: &Sample<'_>) -> Result<(), Flaw> {
    let value = sample.float();
    match (kind, suffix) {
        (Type::StateSet, _) if value != 0.0 && value != 1.0 => return bad("has a state that is neither 0 nor 1"),
        (Type::Info, _) if value != 1.0 => return bad("has an info that is not 1"),
        (Type::Summary, "") if value < 0.0 => return bad("has a negative quantile"),
        _ => {}
    }
    let is_count = matches!(suffix, "_bucket" | "_count" | "_gcount");
    if is_count && (!value.is_finite() || value.fract() != 0.0) {
        return bad("has a count that is not whole");
    }
    let is_sum = matches!(suffix, "_total" | "_sum" | "_gsum");
    if (is_count || is_sum) && value.is_nan() {
        return bad("has a count or sum that is not a number");
    }
    if (is_count || is_sum) && suffix != "_gsum" && value < 0.0 {
        return bad("has a count or sum that is negative");
    }
    Ok(())
}
