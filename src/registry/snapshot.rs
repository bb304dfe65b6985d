//! The snapshot: one collection of the registry, immutable, everything an output needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::sdk::SdkMetrics;
use crate::catalog::{FigureId, Kind, Section};
use crate::clock::Moment;
use crate::reading::{Age, Number};

/// One collection of the registry.
#[derive(Debug)]
pub struct Snapshot {
    /// Rises with each collection; renderings are cached by it.
    pub version: u64,
    /// When it was collected; also freezes what "today" is.
    pub at: Moment,
    /// The resource's attributes, sorted by key; the version is what the source says where nothing is configured.
    pub resource: Vec<(String, String)>,
    /// The instruments' data, sorted by name; figures without a shown reading are not in it.
    pub families: Vec<Family>,
    /// The state of each section of the document, in its order.
    pub sections: [SectionStatus; 3],
    /// The state of each collector and section it reads, in the document's order, the operator's own last.
    pub collectors: Vec<CollectorStatus>,
    /// Whether every collector has ended its first attempt; those that came later turn it back no more.
    pub is_ready: bool,
    /// The version the source of some section states of itself.
    pub source_version: Option<String>,
    /// The same in the SDK's form, for its own exporters.
    pub metrics: SdkMetrics,
}

impl Snapshot {
    /// The state of a section, if it is one of the document.
    #[must_use]
    pub fn section(&self, section: &Section) -> Option<&SectionStatus> {
        self.sections.iter().find(|status| status.section == *section)
    }

    /// The family of an instrument by its OpenTelemetry name: the figure's, where an embedding program has one called so.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        let first = self.families.partition_point(|family| family.name.as_str() < name);
        self.families.get(first).filter(|family| family.name == name)
    }

    /// The value of one series of a figure; `series` is the value of its one attribute.
    #[must_use]
    pub fn value(&self, figure: FigureId, series: Option<&str>) -> Option<Number> {
        let family = self.family(figure.figure().name)?;
        let point = family.points.iter().find(|point| match series {
            None => point.attributes.is_empty(),
            Some(series) => point.attributes.first().is_some_and(|(_, value)| value == series),
        })?;
        match &point.value {
            PointValue::Number(number) => Some(*number),
            PointValue::Histogram(_) => None,
        }
    }
}

/// The data of one instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The instrument's OpenTelemetry name.
    pub name: String,
    /// Its unit in UCUM.
    pub unit: String,
    /// Its description.
    pub help: String,
    /// Gauge (non-monotonic sums included), counter or histogram.
    pub kind: Kind,
    /// The scope it was made in.
    pub scope: Arc<Scope>,
    /// The section it is read for; `None` for the bridge's own and those of an embedding program.
    pub section: Option<Section>,
    /// Its series, sorted by attributes; many snapshots may share them.
    pub points: Arc<[Point]>,
    /// The same number in snapshots of one registry means the same family but for values and times: it has the same
    /// series in the same order, and is read at the same interval. `None` says nothing.
    pub layout: Option<u64>,
}

impl Family {
    /// The order of a snapshot's families.
    pub(super) fn sort_key(&self) -> (&str, &str) {
        (&self.name, &self.scope.name)
    }
}

/// An instrumentation scope (OpenTelemetry specification, common/instrumentation-scope.md).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The schema its telemetry follows.
    pub schema_url: Option<String>,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Attributes, sorted by key.
    pub attributes: Vec<(String, String)>,
    /// Since when a counter or histogram counts, in Unix nanoseconds; `None` for gauges and where it is not known.
    pub start: Option<u64>,
    /// When the value was read, in Unix nanoseconds.
    pub time: u64,
    /// The value.
    pub value: PointValue,
}

/// A series' value.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Of gauges and counters.
    Number(Number),
    /// Of histograms.
    Histogram(Box<Histogram>),
}

/// A distribution in explicit buckets; one that an instrument kept in exponential ones alone has no bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds, rising, without +Inf.
    pub bounds: Vec<f64>,
    /// Counts of each bucket, not cumulative; one more than bounds.
    pub counts: Vec<u64>,
    /// Sum of the values.
    pub sum: f64,
    /// Number of the values.
    pub count: u64,
    /// The same values in exponential buckets, for the formats that can carry them.
    pub native: Option<NativeHistogram>,
}

/// A distribution in exponential buckets, those without a value left out (prometheus/docs, specs/native_histograms.md).
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogram {
    /// Each power of two is divided into 2^`schema` buckets.
    pub schema: i32,
    /// Values up to this one, and those below 0 down to it, count as 0.
    pub zero_threshold: f64,
    /// Number of the values that count as 0.
    pub zero_count: u64,
    /// Numbers of values above 0, not cumulative, by bucket: bucket `i` ends with 2^(`i` / 2^`schema`).
    pub buckets: BTreeMap<i32, u64>,
    /// The same of the values below 0, by their distance from it.
    pub negative: BTreeMap<i32, u64>,
}

impl NativeHistogram {
    /// Number of the values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zero_count + self.buckets.values().chain(self.negative.values()).sum::<u64>()
    }
}

/// The state of a section of the JSON, judged over the figures the document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionStatus {
    /// The section.
    pub section: Section,
    /// Whether a collector is configured for it.
    pub has_source: bool,
    /// The worst age of its documented figures.
    pub age: Age,
    /// The oldest time of reading of its documented figures; `None` while one was never read.
    pub measured: Option<Moment>,
    /// Documented fields that its source cannot know, such as `gc_pause_ns`.
    pub absent: Vec<&'static str>,
    /// Documented fields that have no reading.
    pub missing: Vec<&'static str>,
}

/// The state of a collector for one section it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorStatus {
    /// The section.
    pub section: Section,
    /// The kind of source.
    pub source: &'static str,
    /// The time from one attempt to the next, where a scheduler has said it.
    pub interval: Option<Duration>,
    /// Finished attempts.
    pub attempts: u64,
    /// Whether the last attempt succeeded; `None` before the first.
    pub up: Option<bool>,
    /// When an attempt last succeeded.
    pub last_success: Option<Moment>,
    /// The last error's class and message; `None` after a success.
    pub last_error: Option<(&'static str, String)>,
    /// The age of the section's figures.
    pub age: Age,
}
