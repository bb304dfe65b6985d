//! The scrape page: a snapshot, and the families of `prometheus` registries that join it, in a format a Prometheus
//! server reads.
//!
//! It renders what it is given and knows no source, no scheduler and no server: [`negotiate`] is a pure function of
//! the `Accept` header's lines, [`render`] of its arguments. A figure without a reading is not in the snapshot and so
//! not on the page; nothing is ever 0 for want of a source.
//!
//! `page.rs` decides what stands on a page, for all formats and escaping schemes alike; a writer only writes it. The next
//! text format is described in `format.rs`; one of another nature is a writer of its own beside `protobuf.rs`.

mod accept;
mod escaping;
mod family;
mod format;
mod histogram;
mod joined;
mod labels;
mod last;
mod number;
mod page;
mod protobuf;
mod selection;
mod writer;

pub use crate::catalog::Translation;
pub use accept::negotiate;
pub use escaping::Escaping;
pub use format::{Format, Syntax};
pub use last::{Last, Lines};
pub use selection::{Selection, UnknownSection};

use std::fmt;

use prometheus::proto::MetricFamily;

use crate::registry::Snapshot;
use page::Page;
use writer::Writer;

/// What stands on the page besides the figures, and how they are called (OpenTelemetry specification,
/// metrics/sdk_exporters/prometheus.md, "Configuration").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// How OpenTelemetry names become names on the page.
    pub translation: Translation,
    /// Whether the resource stands on the page, as `target_info`.
    pub target_info: bool,
    /// Whether each series of an instrument tells its scope, in labels `otel_scope_…`.
    pub scope_labels: bool,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self { translation: Translation::default(), target_info: true, scope_labels: true }
    }
}

/// What one client is shown. Bodies of one snapshot may be cached by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// What it is written in.
    pub syntax: Syntax,
    /// What becomes of names that the oldest format could not hold.
    pub escaping: Escaping,
    /// The sections that are shown.
    pub selection: Selection,
}

impl From<Syntax> for View {
    /// The whole page with underscores.
    fn from(syntax: Syntax) -> Self {
        Self { syntax, escaping: Escaping::default(), selection: Selection::default() }
    }
}

/// A rendered page.
#[derive(Debug)]
pub struct Rendered {
    /// The page.
    pub body: Vec<u8>,
    /// What of it the next page may take.
    pub lines: Lines,
    /// What could not stand on it; the same for every view. Rendering keeps no state, so whoever calls it logs each
    /// of these once.
    pub dropped: Vec<Dropped>,
}

/// A family, or some series of one, that cannot stand on a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dropped {
    /// The instrument's OpenTelemetry name, or the joined family's name.
    pub family: String,
    /// Why.
    pub reason: DropReason,
}

/// Why a family or some of its series cannot stand on a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The family's name is no metric name.
    Name,
    /// The family's help, where another family of the same name on the page has one.
    Help {
        /// The other family's name on the page.
        with: String,
    },
    /// The family, or one of its samples, would have the name of another one's.
    Clash {
        /// The other family's name on the page.
        with: String,
    },
    /// Series with a label name that is invalid, reserved or there twice.
    Labels,
    /// Series with a value that their kind forbids: a counter below 0, buckets that do not rise.
    Value,
    /// Series of an exponential histogram in coarser buckets than any native histogram has.
    Coarse,
    /// Series whose labels are the same on the page.
    Duplicate,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.family)?;
        match &self.reason {
            DropReason::Name => f.write_str("its name is no metric name; rename it"),
            DropReason::Help { with } => {
                write!(f, "its help, for that of {with}, with which it shares a name on the page; make them the same")
            }
            DropReason::Clash { with } => write!(f, "its name on the page clashes with {with}; rename one of them"),
            DropReason::Labels => f.write_str("series with an invalid or reserved label name; rename the label"),
            DropReason::Coarse => f.write_str(
                "series in exponential buckets of a scale below -4, which no native histogram has; allow it more buckets",
            ),
            DropReason::Value => f.write_str("series with a value that its kind forbids"),
            DropReason::Duplicate => {
                f.write_str("series that have the same labels on the page; only the first is shown")
            }
        }
    }
}

/// Renders a snapshot and the families that join it.
#[must_use]
pub fn render(snapshot: &Snapshot, joined: &[MetricFamily], config: &PageConfig, view: &View) -> Rendered {
    render_after(&Last::default(), snapshot, joined, config, view)
}

/// As [`render`], with the same page: what stands on the last one of the same registry, config and view is taken from
/// it, so that only numbers have to be written.
#[must_use]
pub fn render_after(
    last: &Last<'_>,
    snapshot: &Snapshot,
    joined: &[MetricFamily],
    config: &PageConfig,
    view: &View,
) -> Rendered {
    let page = Page::new(snapshot, joined, config);
    if view.syntax == Syntax::Protobuf {
        let mut writer = protobuf::Writer::new(page.estimate(|family| writer::estimate(family, view.syntax)));
        let dropped = page.write(view.escaping, &view.selection, &mut writer);
        return Rendered { body: writer.finish(), lines: Lines::default(), dropped };
    }
    let mut writer = Writer::new(view.syntax, last, &page);
    let dropped = page.write(view.escaping, &view.selection, &mut writer);
    let (body, lines) = writer.finish();
    Rendered { body, lines, dropped }
}

#[cfg(test)]
mod tests;
