//! The scrape page: a snapshot, and the families of `prometheus` registries that join it, in a format a Prometheus
//! server reads.
//!
//! It renders what it is given and knows no source, no scheduler and no server: [`negotiate`] is a pure function of
//! the `Accept` header's lines, [`render`] of its arguments. A figure without a reading is not in the snapshot and so
//! not on the page; nothing is ever 0 for want of a source.
//!
//! The next text format is one more [`Syntax`], one row in `accept.rs`, and its differences in `writer.rs`; a format of
//! another nature (protobuf) is a writer of its own beside that one, over the same `page.rs`, so that every format
//! shows the same families.

mod accept;
mod family;
mod joined;
mod labels;
mod number;
mod page;
mod writer;

pub use accept::negotiate;

use std::fmt;

use prometheus::proto::MetricFamily;

use crate::registry::Snapshot;
use page::Page;
use writer::Writer;

/// What a body is written in. Bodies of one snapshot may be cached by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Syntax {
    /// Prometheus text format 0.0.4 (prometheus/docs, exposition_formats.md).
    Text004,
    /// OpenMetrics 1.0.0 (prometheus/docs, specs/om/open_metrics_spec.md).
    OpenMetrics100,
}

impl Syntax {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Text004, Self::OpenMetrics100];

    /// Its name, as an attribute of the bridge's own figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text004 => "text-0.0.4",
            Self::OpenMetrics100 => "openmetrics-1.0.0",
        }
    }
}

/// What a client is answered: a syntax, and what the answer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// What the body is written in.
    pub syntax: Syntax,
    /// Whether the client named an escaping scheme, and so is told the one in use: always underscores, the default
    /// (prometheus/docs, escaping_schemes.md).
    pub says_escaping: bool,
}

impl Format {
    /// What is answered to those who do not choose.
    pub const TEXT_0_0_4: Self = Self { syntax: Syntax::Text004, says_escaping: false };

    /// The `Content-Type` to answer with. Escaping is told only to those who asked: OpenMetrics 1.0.0 fixes its type
    /// without it, Prometheus 3 names it in its own (prometheus/docs, content_negotiation.md).
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match (self.syntax, self.says_escaping) {
            (Syntax::Text004, false) => "text/plain; version=0.0.4; charset=utf-8",
            (Syntax::Text004, true) => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            (Syntax::OpenMetrics100, false) => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            (Syntax::OpenMetrics100, true) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
        }
    }
}

/// A rendered page.
#[derive(Debug)]
pub struct Rendered {
    /// The page.
    pub body: Vec<u8>,
    /// What could not stand on it; the same for every syntax. Rendering keeps no state, so whoever calls it logs each
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
    /// The family, or one of its samples, would have the name of another one's.
    Clash {
        /// The other family's name on the page.
        with: String,
    },
    /// Series with a label name that is invalid, reserved or there twice.
    Labels,
    /// Series with a value that their kind forbids: a counter below 0, buckets that do not rise.
    Value,
    /// Series whose labels are the same on the page.
    Duplicate,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.family)?;
        match &self.reason {
            DropReason::Name => f.write_str("its name is no metric name; rename it"),
            DropReason::Clash { with } => write!(f, "its name on the page clashes with {with}; rename one of them"),
            DropReason::Labels => f.write_str("series with an invalid or reserved label name; rename the label"),
            DropReason::Value => f.write_str("series with a value that its kind forbids"),
            DropReason::Duplicate => {
                f.write_str("series that have the same labels on the page; only the first is shown")
            }
        }
    }
}

/// Renders a snapshot and the families that join it.
#[must_use]
pub fn render(snapshot: &Snapshot, joined: &[MetricFamily], syntax: Syntax) -> Rendered {
    let page = Page::new(snapshot, joined);
    let mut writer = Writer::new(syntax, &page.families);
    for family in &page.families {
        writer.family(family);
    }
    Rendered { body: writer.finish(), dropped: page.dropped }
}

#[cfg(test)]
mod tests;
