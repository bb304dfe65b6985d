//! What operators set for a section, and from it the collectors: the one explicit list of sources.
//!
//! The keys of all sources stand in one flat type, so that an unknown key is found with its line; a key that does not
//! belong to the chosen source is refused here.

mod identity;

pub use identity::identities;

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::completed::Completed;
use super::go::{Go, GoConfig, Route};
use super::process::{Process, Target};
use super::self_runtime::SelfRuntime;
use super::sqlite::{Staging, StagingTable, Store};
use super::telemetry_json::{TelemetryJson, TelemetryJsonConfig};
use super::{Collector, Plan};
use crate::catalog::{FigureId, Section};
use crate::http_client::HttpClient;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
const COUNT_BUDGET: Duration = Duration::from_millis(250);
const BODY_MAX: ByteSize = ByteSize::mib(1);

/// Most collections of a store: each is a series, and the registry has places for so many.
const COLLECTIONS_MAX: usize = 100;

/// The kinds of sources a config can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The bridge's own process.
    #[serde(rename = "self")]
    SelfRuntime,
    /// A running Go program.
    Go,
    /// Another process of this host.
    Process,
    /// A live PocketBase database.
    Sqlite,
    /// An existing Linkit's own endpoint.
    TelemetryJson,
}

impl SourceKind {
    /// The word in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelfRuntime => "self",
            Self::Go => "go",
            Self::Process => "process",
            Self::Sqlite => "sqlite",
            Self::TelemetryJson => "telemetry_json",
        }
    }

    const fn reads(self, section: Section) -> bool {
        match self {
            Self::SelfRuntime | Self::Go | Self::Process => matches!(section, Section::Runtime),
            Self::Sqlite => matches!(section, Section::Store | Section::Staging),
            Self::TelemetryJson => true,
        }
    }

    /// How often it is read if nothing is set: the document asks its pollers for 15 s.
    const fn interval(self, section: Section) -> Duration {
        match (self, section) {
            (Self::TelemetryJson, _) | (_, Section::Store) => Duration::from_secs(15),
            _ => Duration::from_secs(5),
        }
    }
}

/// A section of the config; what is left out has the default named in README and docs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SectionConfig {
    /// The kind of source.
    pub source: Option<SourceKind>,
    /// Time from one reading to the next.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub interval: Option<Duration>,
    /// Time after which an attempt is cancelled.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub timeout: Option<Duration>,
    /// Longest wait after repeated errors.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub max_backoff: Option<Duration>,
    /// process: its pid.
    #[serde(deserialize_with = "super::process::pid")]
    pub pid: Option<u32>,
    /// process: a file that holds its pid.
    pub pid_file: Option<PathBuf>,
    /// process: the exact name of its executable.
    pub name: Option<String>,
    /// sqlite: the database file.
    pub path: Option<PathBuf>,
    /// sqlite, store: the collections to count; the documented five belong to it.
    pub collections: Option<Vec<String>>,
    /// sqlite: longest time of one query.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub count_budget: Option<Duration>,
    /// sqlite, staging: the table.
    pub table: Option<String>,
    /// sqlite, staging: the column with an item's state.
    pub status_column: Option<String>,
    /// sqlite, staging: the column with the time an item was completed.
    pub completed_column: Option<String>,
    /// sqlite, staging: the states' values in the status column.
    pub states: Option<States>,
    /// telemetry_json, go: the base address of the backend.
    pub url: Option<String>,
    /// telemetry_json: the key for its endpoint.
    pub api_key: Option<SecretString>,
    /// telemetry_json: a file that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// telemetry_json, go: the largest answer that is read.
    pub body_max: Option<ByteSize>,
    /// go: the path of its expvar page, or `false`.
    pub expvar: Option<Route>,
    /// go: the path of its scrape page, or `false`.
    pub metrics: Option<Route>,
    /// go: the path of its goroutine profile, or `false`.
    pub pprof: Option<Route>,
}

/// The values of the three states in the status column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    /// Waiting.
    pub pending: String,
    /// Being worked on.
    pub processing: String,
    /// Done.
    pub completed: String,
}

/// Why collectors cannot be built from a config.
#[derive(Debug, thiserror::Error)]
#[error("{section}: {problem}", section = section.name())]
pub struct BuildError {
    section: Section,
    problem: String,
}

/// Builds the collectors of all sections; sections that name the same `telemetry_json` share one request. The collector
/// of staging counts on in `completed`.
///
/// # Errors
/// When a section lacks a key it needs, or has one that is not its source's.
pub fn build(
    sections: [Option<&SectionConfig>; 3],
    megabyte: u64,
    http: &HttpClient,
    completed: &Completed,
) -> Result<Vec<Plan>, BuildError> {
    let mut plans = Vec::new();
    let mut bridged: Vec<Bridged> = Vec::new();
    for (section, config) in Section::ALL.into_iter().zip(sections) {
        let Some(config) = config else { continue };
        let error = |problem| BuildError { section, problem };
        let source = config.checked_source(section).map_err(error)?;
        let interval = config.interval.unwrap_or(source.interval(section));
        let collector: Box<dyn Collector> = match source {
            SourceKind::SelfRuntime => Box::new(SelfRuntime::new()),
            SourceKind::Go => config.go(http).map_err(error)?,
            SourceKind::Process => Box::new(Process::new(config.process_target().map_err(error)?)),
            SourceKind::Sqlite => config.sqlite(section, completed).map_err(error)?,
            SourceKind::TelemetryJson => {
                let next = Bridged::new(section, config, interval).map_err(error)?;
                match bridged.iter_mut().find(|other| other.is_same(&next)) {
                    Some(other) => other.join(next).map_err(error)?,
                    None => bridged.push(next),
                }
                continue;
            }
        };
        plans.push(config.plan(collector, interval));
    }
    for bridged in bridged {
        let section = bridged.sections[0];
        plans.push(bridged.plan(megabyte, http, completed).map_err(|problem| BuildError { section, problem })?);
    }
    Ok(plans)
}

/// Sections that name the same Linkit.
struct Bridged {
    config: SectionConfig,
    key: Option<SecretString>,
    interval: Duration,
    sections: Vec<Section>,
}

impl Bridged {
    fn new(section: Section, config: &SectionConfig, interval: Duration) -> Result<Self, String> {
        Ok(Self { config: config.clone(), key: config.key()?, interval, sections: vec![section] })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.config.url == other.config.url && same_key(&self.key, &other.key)
    }

    /// One request serves both: as often as the more impatient wants it, and with settings that must not differ.
    fn join(&mut self, other: Self) -> Result<(), String> {
        agree("timeout", &mut self.config.timeout, other.config.timeout)?;
        agree("max_backoff", &mut self.config.max_backoff, other.config.max_backoff)?;
        agree("body_max", &mut self.config.body_max, other.config.body_max)?;
        self.interval = self.interval.min(other.interval);
        self.sections.extend(other.sections);
        Ok(())
    }

    fn plan(self, megabyte: u64, http: &HttpClient, completed: &Completed) -> Result<Plan, String> {
        let url = self.config.url.clone().ok_or("url is missing; name the base address of the Linkit")?;
        let body_max = self.config.body_max.unwrap_or(BODY_MAX).as_u64();
        let config = TelemetryJsonConfig {
            url,
            api_key: self.key,
            sections: self.sections,
            megabyte,
            body_bytes_max: usize::try_from(body_max).unwrap_or(usize::MAX),
            timeout: self.config.timeout.unwrap_or(TIMEOUT),
        };
        let collector = TelemetryJson::new(config, http.clone()).map_err(|error| error.to_string())?;
        Ok(self.config.plan(Box::new(collector.counting_on(completed.clone())), self.interval))
    }
}

/// Takes over a setting that is not set yet; two that differ cannot both be kept.
fn agree<T: PartialEq>(key: &str, held: &mut Option<T>, other: Option<T>) -> Result<(), String> {
    match (&*held, &other) {
        (Some(held), Some(other)) if held != other => Err(format!(
            "{key} differs from that of another section with the same url, and one request serves both; make them equal"
        )),
        (None, Some(_)) => {
            *held = other;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn same_key(a: &Option<SecretString>, b: &Option<SecretString>) -> bool {
    a.as_ref().map(ExposeSecret::expose_secret) == b.as_ref().map(ExposeSecret::expose_secret)
}

impl SectionConfig {
    /// The source, after checking that every key set is one of its own.
    fn checked_source(&self, section: Section) -> Result<SourceKind, String> {
        use SourceKind::{Go, Process, SelfRuntime, Sqlite, TelemetryJson};
        let Some(source) = self.source else {
            return Err("source is missing; name one, for example source: telemetry_json".to_owned());
        };
        if !source.reads(section) {
            let fitting =
                [SelfRuntime, Go, Process, Sqlite, TelemetryJson].into_iter().filter(|kind| kind.reads(section));
            let fitting: Vec<_> = fitting.map(SourceKind::name).collect();
            return Err(format!("source {} cannot read this section; use {}", source.name(), fitting.join(" or ")));
        }
        let staging = section == Section::Staging;
        let keys = [
            ("pid", self.pid.is_some(), source == Process),
            ("pid_file", self.pid_file.is_some(), source == Process),
            ("name", self.name.is_some(), source == Process),
            ("path", self.path.is_some(), source == Sqlite),
            ("count_budget", self.count_budget.is_some(), source == Sqlite),
            ("collections", self.collections.is_some(), source == Sqlite && !staging),
            ("table", self.table.is_some(), source == Sqlite && staging),
            ("status_column", self.status_column.is_some(), source == Sqlite && staging),
            ("completed_column", self.completed_column.is_some(), source == Sqlite && staging),
            ("states", self.states.is_some(), source == Sqlite && staging),
            ("url", self.url.is_some(), matches!(source, TelemetryJson | Go)),
            ("api_key", self.api_key.is_some(), source == TelemetryJson),
            ("api_key_file", self.api_key_file.is_some(), source == TelemetryJson),
            ("body_max", self.body_max.is_some(), matches!(source, TelemetryJson | Go)),
            ("expvar", self.expvar.is_some(), source == Go),
            ("metrics", self.metrics.is_some(), source == Go),
            ("pprof", self.pprof.is_some(), source == Go),
        ];
        match keys.into_iter().find(|(_, is_set, belongs)| *is_set && !belongs) {
            Some((key, ..)) => Err(format!("{key} has no meaning for source {} here; remove it", source.name())),
            None => Ok(source),
        }
    }

    fn go(&self, http: &HttpClient) -> Result<Box<dyn Collector>, String> {
        let url = self.url.clone().ok_or("url is missing; name the base address of the Go program")?;
        let default = GoConfig::new(url);
        let body_max = self.body_max.map(|max| usize::try_from(max.as_u64()).unwrap_or(usize::MAX));
        let config = GoConfig {
            expvar: self.expvar.clone().unwrap_or(default.expvar),
            metrics: self.metrics.clone().unwrap_or(default.metrics),
            pprof: self.pprof.clone().unwrap_or(default.pprof),
            body_bytes_max: body_max.unwrap_or(default.body_bytes_max),
            timeout: self.timeout.unwrap_or(TIMEOUT),
            ..default
        };
        Ok(Box::new(Go::new(config, http.clone()).map_err(|error| error.to_string())?))
    }

    fn process_target(&self) -> Result<Target, String> {
        Target::of(self.pid, self.pid_file.as_deref(), self.name.as_deref())
    }

    fn sqlite(&self, section: Section, completed: &Completed) -> Result<Box<dyn Collector>, String> {
        let path = self.path.clone().ok_or("path is missing; name the backend's data.db")?;
        let budget = self.count_budget.unwrap_or(COUNT_BUDGET);
        if section == Section::Store {
            let documented = || -> Vec<String> {
                FigureId::StoreRecords.figure().json.iter().map(|field| field.name.to_owned()).collect()
            };
            let collections = self.collections.clone().unwrap_or_else(documented);
            if collections.len() > COLLECTIONS_MAX {
                return Err(format!("{} collections are too many; name at most {COLLECTIONS_MAX}", collections.len()));
            }
            let missing: Vec<_> = documented().into_iter().filter(|name| !collections.contains(name)).collect();
            if !missing.is_empty() {
                let missing = missing.join(",");
                tracing::warn!(missing, "not in store.collections, so the documented JSON answers 503");
            }
            return Ok(Box::new(Store::new(path, collections, budget)));
        }
        let mut table = StagingTable::default();
        let set = |to: &mut String, from: &Option<String>| {
            if let Some(from) = from {
                to.clone_from(from);
            }
        };
        set(&mut table.table, &self.table);
        set(&mut table.status_column, &self.status_column);
        set(&mut table.completed_column, &self.completed_column);
        if let Some(States { pending, processing, completed }) = self.states.clone() {
            (table.pending, table.processing, table.completed) = (pending, processing, completed);
        }
        Ok(Box::new(Staging::new(path, table, budget).counting_on(completed.clone())))
    }

    /// The key, from the config or its file.
    fn key(&self) -> Result<Option<SecretString>, String> {
        crate::secret::from_twins("api_key", self.api_key.as_ref(), self.api_key_file.as_deref())
    }

    fn plan(&self, collector: Box<dyn Collector>, interval: Duration) -> Plan {
        Plan {
            collector,
            interval,
            timeout: self.timeout.unwrap_or(TIMEOUT),
            max_backoff: self.max_backoff.unwrap_or(MAX_BACKOFF),
        }
    }
}
