//! The formats of the page and what an answer says of itself. Pure names: what differs in writing is the writers' own.
//!
//! The next text format is one more [`Syntax`], one row in `accept.rs`, and its differences in `writer.rs`.

use super::Escaping;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Syntax {
    /// Prometheus text format 0.0.4 (prometheus/docs, exposition_formats.md).
    Text004,
    /// Prometheus text format 1.0.0: the same with quoted names (the same document).
    Text100,
    /// OpenMetrics 0.0.1, what scrapers called the drafts of 1.0.0: written as that, without quoted names.
    OpenMetrics001,
    /// OpenMetrics 1.0.0 (prometheus/docs, specs/om/open_metrics_spec.md).
    OpenMetrics100,
    /// Families in protobuf, each after its length (prometheus/client_model, metrics.proto).
    Protobuf,
}

impl Syntax {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Text004, Self::Text100, Self::OpenMetrics001, Self::OpenMetrics100, Self::Protobuf];

    /// Its name, as an attribute of the bridge's own figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text004 => "text-0.0.4",
            Self::Text100 => "text-1.0.0",
            Self::OpenMetrics001 => "openmetrics-0.0.1",
            Self::OpenMetrics100 => "openmetrics-1.0.0",
            Self::Protobuf => "protobuf",
        }
    }

    /// Whether it is one of OpenMetrics.
    pub(super) const fn is_openmetrics(self) -> bool {
        matches!(self, Self::OpenMetrics001 | Self::OpenMetrics100)
    }

    /// Whether it can hold names of any characters. In the older text formats they would be syntax errors.
    const fn holds_utf8(self) -> bool {
        matches!(self, Self::Text100 | Self::OpenMetrics100 | Self::Protobuf)
    }

    /// The `Content-Type` without escaping.
    const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text100 => "text/plain; version=1.0.0; charset=utf-8",
            Self::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// What a client is answered: a syntax, an escaping, and whether the answer says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// What the body is written in.
    pub syntax: Syntax,
    /// What becomes of characters that a name could not hold of old.
    pub escaping: Escaping,
    says_escaping: bool,
}

impl Format {
    /// What is answered to those who do not choose.
    pub const TEXT_0_0_4: Self =
        Self { syntax: Syntax::Text004, escaping: Escaping::Underscores, says_escaping: false };

    /// A syntax with the escaping a client named, if it did; underscores where the syntax cannot hold it.
    #[must_use]
    pub fn new(syntax: Syntax, named: Option<Escaping>) -> Self {
        let escaping = named.filter(|escaping| *escaping != Escaping::AllowUtf8 || syntax.holds_utf8());
        Self {
            syntax,
            escaping: escaping.unwrap_or_default(),
            says_escaping: named.is_some() || syntax == Syntax::Text100,
        }
    }

    /// The `Content-Type` to answer with; nothing in it is the client's. Escaping stands in it where the client named
    /// one, and always for text 1.0.0 (prometheus/docs, content_negotiation.md): OpenMetrics 1.0.0 fixes its type
    /// without it.
    #[must_use]
    pub fn content_type(self) -> String {
        let mut out = self.syntax.content_type().to_owned();
        if self.says_escaping {
            out.push_str("; escaping=");
            out.push_str(self.escaping.name());
        }
        out
    }
}
