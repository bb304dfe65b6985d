//! The catalogue: every figure the bridge knows, once.
//!
//! [`FIGURES`] is the only place where a figure's name, unit, kind, help, attributes and JSON field are written.
//! Everything else is derived: instruments, Prometheus names, the documented JSON, the reference tables.
//! The order is the order of the documented JSON; the bridge's own figures follow. What an operator defines is a
//! [`CustomFigure`], a value beside the table.
//!
//! This module knows no source, no output and no metrics library. The next figure is one more entry here, one more
//! [`FigureId`], and its reading in the collector that knows it.

mod custom;
mod figures;
mod naming;

pub use custom::{CUSTOM_PREFIX, CUSTOM_SERIES_MAX, CustomFigure, check_page_names};
pub use figures::FIGURES;
pub use naming::{Translation, prometheus_name, unit_word};

use std::sync::Arc;

/// What a collector reads: a section of the documented JSON, the unit in which age is judged, or figures that no
/// document names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Figures of the backend's process.
    Runtime,
    /// Record counts.
    Store,
    /// The data pipeline.
    Staging,
    /// The operator's own figures, under the configured name of their collector; no part of the document.
    Custom(Arc<str>),
}

impl Section {
    /// The sections of the document in its order.
    pub const DOCUMENTED: [Self; 3] = [Self::Runtime, Self::Store, Self::Staging];

    /// The section's key in the JSON, and its collector's name in the bridge's own figures.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Runtime => "runtime",
            Self::Store => "store",
            Self::Staging => "staging",
            Self::Custom(name) => name,
        }
    }

    /// Whether the document names it.
    #[must_use]
    pub const fn is_documented(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }
}

/// What the description of a figure that is read off a source ends with; an output that knows the interval may say it
/// in its place.
pub const READ_AT_AN_INTERVAL: &str = " Read at an interval, not at the scrape.";

/// How a figure behaves in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises, but for resets of its source.
    Counter,
    /// A distribution in explicit buckets.
    Histogram,
}

/// How a reading becomes a field of the documented JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonUnit {
    /// The number itself.
    Same,
    /// Bytes, shown as whole megabytes: divided by the configured divisor and rounded down.
    Megabytes,
    /// Seconds, shown as whole nanoseconds.
    Nanoseconds,
}

/// A field of the documented JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonField {
    /// The key in its section.
    pub name: &'static str,
    /// Which series of the figure it shows: the value of the figure's one attribute, if it has one.
    pub series: Option<&'static str>,
    /// The conversion from the figure's unit.
    pub unit: JsonUnit,
}

/// A named number of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its identity in code.
    pub id: FigureId,
    /// The OpenTelemetry instrument name.
    pub name: &'static str,
    /// Gauge, counter or histogram.
    pub kind: Kind,
    /// The unit in UCUM; readings of figures in `s` are whole nanoseconds, all others are whole units.
    pub unit: &'static str,
    /// The section it belongs to; `None` for the bridge's own figures.
    pub section: Option<&'static Section>,
    /// Attribute keys, sorted.
    pub attributes: &'static [&'static str],
    /// The fields of the documented JSON it fills, in the document's order.
    pub json: &'static [JsonField],
    /// Whether it starts again from 0 at 00:00 UTC.
    pub daily: bool,
    /// What it means, in one sentence.
    pub help: &'static str,
}

impl Figure {
    /// Whether the instrument holds seconds as a float; all other figures are integers.
    #[must_use]
    pub fn is_seconds(&self) -> bool {
        self.unit == "s"
    }

    /// Its description as an instrument: the help, and for what is read off a source that it is not read at the scrape.
    #[must_use]
    pub fn description(&self) -> String {
        let read = if self.section.is_some() { READ_AT_AN_INTERVAL } else { "" };
        format!("{}{read}", self.help)
    }

    /// The name on the scrape page, derived from name, unit and kind.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        prometheus_name(self.name, self.unit, self.kind)
    }
}

macro_rules! figure_ids {
    ($($(#[$doc:meta])* $id:ident,)*) => {
        /// The identity of a figure; its entry is [`FigureId::figure`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FigureId { $($(#[$doc])* $id,)* }
        impl FigureId {
            /// All figures in the order of [`FIGURES`].
            pub const ALL: &[Self] = &[$(Self::$id,)*];
        }
    };
}

figure_ids! {
    /// `linkit.runtime.goroutines`
    RuntimeGoroutines,
    /// `linkit.runtime.cpus`
    RuntimeCpus,
    /// `linkit.runtime.heap.allocated`
    RuntimeHeapAllocated,
    /// `linkit.runtime.memory.allocated`
    RuntimeMemoryAllocated,
    /// `linkit.runtime.memory.sys`
    RuntimeMemorySys,
    /// `linkit.runtime.gc.cycles`
    RuntimeGcCycles,
    /// `linkit.runtime.gc.last_pause`
    RuntimeGcLastPause,
    /// `linkit.store.records`
    StoreRecords,
    /// `linkit.store.count.method`
    StoreCountMethod,
    /// `linkit.store.count.last_exact_timestamp`
    StoreCountLastExact,
    /// `linkit.staging.items`
    StagingItems,
    /// `linkit.staging.completed_today`
    StagingCompletedToday,
    /// `linkit.staging.completed`
    StagingCompleted,
    /// `linkit.bridge.collector.up`
    CollectorUp,
    /// `linkit.bridge.collector.last_success_timestamp`
    CollectorLastSuccess,
    /// `linkit.bridge.collector.duration`
    CollectorDuration,
    /// `linkit.bridge.collector.errors`
    CollectorErrors,
    /// `linkit.bridge.collector.staleness`
    CollectorStaleness,
    /// `linkit.bridge.collector.overflow`
    CollectorOverflow,
    /// `linkit.bridge.build_info`
    BuildInfo,
    /// `linkit.bridge.config.hash`
    ConfigHash,
    /// `linkit.bridge.config.last_reload_successful`
    ConfigLastReloadSuccessful,
    /// `linkit.bridge.config.last_reload_timestamp`
    ConfigLastReloadTimestamp,
    /// `linkit.bridge.web_config.last_reload_successful`
    WebConfigLastReloadSuccessful,
    /// `linkit.bridge.web_config.last_reload_timestamp`
    WebConfigLastReloadTimestamp,
    /// `linkit.bridge.web.certificate.expiry_timestamp`
    WebCertificateExpiry,
    /// `linkit.bridge.output.renders`
    OutputRenders,
    /// `linkit.bridge.output.bytes`
    OutputBytes,
    /// `linkit.bridge.push.accepted`
    PushAccepted,
    /// `linkit.bridge.push.unstored_batches`
    PushUnstoredBatches,
    /// `linkit.bridge.push.queued_batches`
    PushQueuedBatches,
    /// `linkit.bridge.push.queued_bytes`
    PushQueuedBytes,
    /// `linkit.bridge.push.oldest_timestamp`
    PushOldestTimestamp,
    /// `linkit.bridge.push.delivered`
    PushDelivered,
    /// `linkit.bridge.push.dropped`
    PushDropped,
    /// `linkit.bridge.push.attempts`
    PushAttempts,
    /// `linkit.bridge.push.refused_points`
    PushRefusedPoints,
    /// `linkit.bridge.push.last_success_timestamp`
    PushLastSuccess,
    /// `linkit.bridge.api_key.expiry_timestamp`
    ApiKeyExpiry,
    /// `linkit.bridge.api_key.last_used_timestamp`
    ApiKeyLastUsed,
    /// `linkit.bridge.api_key.refused`
    ApiKeyRefused,
    /// `linkit.bridge.api_key.last_reload_successful`
    ApiKeyLastReloadSuccessful,
    /// `linkit.bridge.http.request.duration`
    HttpRequestDuration,
    /// `linkit.bridge.http.open_connections`
    HttpOpenConnections,
    /// `linkit.bridge.http.dropped_connections`
    HttpDroppedConnections,
}

impl FigureId {
    /// The figure's entry in the catalogue.
    #[must_use]
    pub fn figure(self) -> &'static Figure {
        &FIGURES[self as usize]
    }
}

/// The fields of a section in the document's order, each with the figure that fills it.
pub fn json_fields(section: &Section) -> impl Iterator<Item = (&'static Figure, &'static JsonField)> {
    FIGURES
        .iter()
        .filter(move |figure| figure.section == Some(section))
        .flat_map(|figure| figure.json.iter().map(move |field| (figure, field)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_id_finds_its_own_entry() {
        assert_eq!(FigureId::ALL.len(), FIGURES.len());
        for (index, id) in FigureId::ALL.iter().enumerate() {
            assert_eq!(FIGURES[index].id, *id);
            assert_eq!(id.figure().id, *id);
        }
    }

    #[test]
    fn names_are_unique_lower_case_and_in_our_namespace() {
        let mut names = HashSet::new();
        let mut pages = HashSet::new();
        for figure in FIGURES {
            assert!(names.insert(figure.name), "{} twice", figure.name);
            assert!(pages.insert(figure.prometheus_name()), "{} collides on the page", figure.name);
            assert!(figure.name.starts_with("linkit."), "{}", figure.name);
            assert!(figure.name.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '_'), "{}", figure.name);
        }
    }

    #[test]
    fn own_figures_and_only_they_are_named_after_the_bridge() {
        for figure in FIGURES {
            assert_eq!(figure.section.is_none(), figure.name.starts_with("linkit.bridge."), "{}", figure.name);
            assert!(figure.section.is_some() || figure.json.is_empty(), "{}", figure.name);
        }
    }

    #[test]
    fn page_names_keep_the_rules_of_promlint() {
        const ABBREVIATED: [&str; 14] =
            ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
        for figure in FIGURES {
            let name = figure.prometheus_name();
            assert_eq!(name.ends_with("_total"), figure.kind == Kind::Counter, "{name}");
            for reserved in ["_count", "_sum", "_bucket"] {
                assert!(!name.ends_with(reserved), "{name} ends in {reserved}");
            }
            for part in name.split('_') {
                assert!(!ABBREVIATED.contains(&part), "{name} abbreviates {part}");
                assert!(!["gauge", "counter", "histogram", "summary"].contains(&part), "{name} names its type");
            }
        }
    }

    #[test]
    fn help_is_a_sentence_and_attributes_are_sorted() {
        for figure in FIGURES {
            assert!(figure.help.ends_with('.') && figure.help.len() > 20, "{}", figure.name);
            assert!(figure.attributes.is_sorted(), "{}", figure.name);
        }
    }

    #[test]
    fn the_fields_are_the_documents_in_its_order() {
        let fields = |section: Section| json_fields(&section).map(|(_, field)| field.name).collect::<Vec<_>>();
        assert_eq!(
            fields(Section::Runtime),
            ["goroutines", "cpu_count", "alloc_mb", "total_alloc_mb", "sys_mb", "num_gc", "gc_pause_ns"]
        );
        assert_eq!(fields(Section::Store), ["products", "branches", "skus", "orders", "customers"]);
        assert_eq!(fields(Section::Staging), ["pending", "processing", "completed_today"]);
    }
}
