//! Collectors: each reads one source and hands over readings.
//!
//! A collector knows its source and the catalogue; it knows no registry, no output, and when it runs is not its
//! business. The next source is one file in `collector/` (its config, a pure `parse`, a thin `collect`) and one line
//! in [`config::build`].

pub mod completed;
pub mod config;
pub mod go;
pub mod mysql;
mod number;
pub mod postgres;
pub mod process;
pub mod self_runtime;
pub mod sql;
pub mod sqlite;
pub mod telemetry_json;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Section;
use crate::clock::Clock;
use crate::reading::Readings;

/// The future of one attempt; dropping it cancels the attempt at the source.
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// The future of an examination; dropping it cancels it at the source.
pub type Examination<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + Send + 'a>>;

/// What reads one source.
pub trait Collector: Send + 'static {
    /// The kind of source, as in the config: the `source` attribute of the bridge's own figures.
    fn source(&self) -> &'static str;

    /// The sections it reads.
    fn sections(&self) -> &[Section];

    /// The classes of errors it can give; their counters begin at 0, so that the first error of a class shows.
    fn error_classes(&self) -> &'static [ErrorClass] {
        ErrorClass::ALL
    }

    /// Reads the source once. Never called twice at the same time; dropped when its deadline passes.
    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a>;

    /// Looks at what was dear in the last attempt, and at what will become so as the source grows.
    fn examine<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Examination<'a> {
        let _ = clock;
        Box::pin(async { Vec::new() })
    }
}

/// What an examination found, with its proof and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, such as `table staging`.
    pub thing: String,
    /// What is the matter with it.
    pub matter: String,
    /// How the source does it, step by step.
    pub plan: Vec<String>,
    /// What makes it better, each a statement or a sentence.
    pub remedies: Vec<String>,
}

/// A collector with the times it runs at.
pub struct Plan {
    /// What runs.
    pub collector: Box<dyn Collector>,
    /// Time from one attempt to the next.
    pub interval: Duration,
    /// Time after which an attempt is cancelled.
    pub timeout: Duration,
    /// Longest wait after repeated errors.
    pub max_backoff: Duration,
    /// Whether the source has work of its own at 00:00 UTC and is left alone around it.
    pub avoids_midnight: bool,
}

/// What one attempt brought: units that were read, and the errors of those that were not.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Units read whole.
    pub readings: Vec<Readings>,
    /// Units that failed.
    pub errors: Vec<(Section, CollectError)>,
}

impl Outcome {
    /// An attempt that failed for each of `sections`.
    #[must_use]
    pub fn failed(sections: &[Section], error: &CollectError) -> Self {
        Self { readings: Vec::new(), errors: sections.iter().map(|section| (section.clone(), error.clone())).collect() }
    }
}

/// Why a source could not be read. The message names the thing, the cause and the remedy, and holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CollectError {
    /// The kind of trouble: the `class` attribute of `linkit.bridge.collector.errors`.
    pub class: ErrorClass,
    /// What happened.
    pub message: String,
}

impl CollectError {
    /// An error of `class`.
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

macro_rules! error_classes {
    ($($(#[$doc:meta])* $class:ident = $name:literal,)*) => {
        /// The kinds of trouble a source can give: a closed set, so that it can be an attribute.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorClass { $($(#[$doc])* $class,)* }

        impl ErrorClass {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$class,)*];

            /// The class's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$class => $name,)* }
            }
        }
    };
}

error_classes! {
    /// Nothing answers: refused, unresolved, no route, TLS failed, connection lost.
    Unreachable = "unreachable",
    /// No answer within the deadline.
    Timeout = "timeout",
    /// The source refused the key or the permission.
    Unauthorized = "unauthorized",
    /// The source answered with a redirect, which is never followed.
    Redirect = "redirect",
    /// The source answered with another status than success.
    Status = "status",
    /// The answer is larger than allowed.
    Oversized = "oversized",
    /// The answer is not in its format at all.
    Syntax = "syntax",
    /// A value of the wrong type: text, fraction, null.
    Type = "type",
    /// A value that is not there.
    Missing = "missing",
    /// A value that cannot be: negative, or above 2^63 − 1.
    Range = "range",
    /// The file, table or column does not exist.
    NotFound = "not_found",
    /// The owner of the database is not running, so it is not opened.
    Stopped = "stopped",
    /// The database is locked.
    Locked = "locked",
    /// The database is damaged.
    Damaged = "damaged",
    /// An exact count took longer than its budget.
    Budget = "budget",
    /// The collector panicked.
    Panic = "panic",
    /// Anything else.
    Other = "other",
}
