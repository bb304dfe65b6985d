//! What operators set for a section, and from it the collectors: the one explicit list of sources.
//!
//! The keys of all sources stand in one flat type, so that an unknown key is found with its line; a key that does not
//! belong to the chosen source is refused here.

mod bridged;
mod databases;
mod figure;
mod identity;

pub use databases::Databases;
pub use figure::{FigureConfig, FigureKind};
pub use identity::{Fingerprint, Reads, identities, reads};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::completed::Completed;
use super::go::{Go, GoConfig, Route};
use super::process::{Process, Target};
use super::self_runtime::SelfRuntime;
use super::sql::Moments;
use super::{Collector, Plan};
use crate::catalog::{CustomFigure, Section};
use crate::http_client::HttpClient;
use crate::secret;
use bridged::Bridged;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// How often the operator's own figures are read if nothing is set.
const CUSTOM_INTERVAL: Duration = Duration::from_secs(30);

const BODY_MAX: ByteSize = ByteSize::mib(1);

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
    /// A PostgreSQL database.
    Postgres,
    /// A MySQL or MariaDB database.
    Mysql,
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
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::TelemetryJson => "telemetry_json",
        }
    }

    const fn is_database(self) -> bool {
        matches!(self, Self::Sqlite | Self::Postgres | Self::Mysql)
    }

    const fn reads(self, section: &Section) -> bool {
        match self {
            Self::SelfRuntime | Self::Go | Self::Process => matches!(section, Section::Runtime),
            Self::Sqlite | Self::Postgres | Self::Mysql => !matches!(section, Section::Runtime),
            Self::TelemetryJson => section.is_documented(),
        }
    }

    /// How often it is read if nothing is set: the document asks its pollers for 15 s.
    const fn interval(self, section: &Section) -> Duration {
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
    /// Time from one reading to the next; default 5s, of the store and of `telemetry_json` 15s, of custom figures 30s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub interval: Option<Duration>,
    /// Time after which an attempt is cancelled; default 5s, or twice the budget if that is longer.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub timeout: Option<Duration>,
    /// Longest wait after repeated errors; default 60s.
    #[serde(deserialize_with = "crate::yaml::duration")]
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
    /// sqlite, postgres, mysql, store: the collections to count; default: the documented five.
    pub collections: Option<Vec<String>>,
    /// sqlite, postgres, mysql, store: the tables of the collections; default: each is called as its collection.
    pub tables: Option<BTreeMap<String, String>>,
    /// sqlite, postgres, mysql: longest time of one query, at most 20s; default 250ms.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub count_budget: Option<Duration>,
    /// sqlite, postgres, mysql, custom: the figures.
    pub figures: Option<Vec<FigureConfig>>,
    /// sqlite, postgres, mysql, custom: longest time of one query, at most 20s; default 250ms.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub query_budget: Option<Duration>,
    /// sqlite, postgres, mysql, staging: the table; default `staging`.
    pub table: Option<String>,
    /// sqlite, postgres, mysql, staging: the column with an item's state; default `status`.
    pub status_column: Option<String>,
    /// sqlite, postgres, mysql, staging: the column with the time an item was completed; default `completed`.
    pub completed_column: Option<String>,
    /// sqlite, postgres, mysql, staging: how that column stores times.
    pub completed_type: Option<Moments>,
    /// sqlite, postgres, mysql, staging: the states' values in the status column; default their names.
    pub states: Option<States>,
    /// telemetry_json, go: the base address of the backend. postgres, mysql: the database, without a password.
    pub url: Option<String>,
    /// postgres, mysql: the role, where the url names none.
    pub user: Option<String>,
    /// postgres, mysql: its password.
    pub password: Option<SecretString>,
    /// postgres, mysql: a file that holds the password.
    pub password_file: Option<PathBuf>,
    /// telemetry_json: the key for its endpoint.
    pub api_key: Option<SecretString>,
    /// telemetry_json: a file that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// telemetry_json, go: the largest answer that is read; default 1MiB, of each page of go 2MiB.
    #[serde(deserialize_with = "crate::yaml::size")]
    pub body_max: Option<ByteSize>,
    /// go: the path of its expvar page, or `false`; default `/debug/vars`.
    pub expvar: Option<Route>,
    /// go: the path of its scrape page, or `false`; default `/metrics`.
    pub metrics: Option<Route>,
    /// go: the path of its goroutine profile, or `false`; default `/debug/pprof/goroutine?debug=1`.
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

/// Collectors, and the figures that are not of the catalogue.
pub struct Built {
    /// What runs.
    pub plans: Vec<Plan>,
    /// What each of the plans is, in their order: plans of the same fingerprint read the same in the same way.
    pub fingerprints: Vec<Fingerprint>,
    /// The operator's figures.
    pub custom: Vec<Arc<CustomFigure>>,
    /// The databases that are read.
    pub databases: Databases,
}

/// Why collectors cannot be built from a config.
#[derive(Debug, thiserror::Error)]
#[error("{section}: {problem}", section = section.name())]
pub struct BuildError {
    section: Section,
    problem: String,
}

/// As [`build_with`], with connections of its own.
///
/// # Errors
/// As [`build_with`].
pub fn build(
    sections: [Option<&SectionConfig>; 3],
    custom: &BTreeMap<String, SectionConfig>,
    megabyte: u64,
    http: &HttpClient,
    completed: &Completed,
) -> Result<Built, BuildError> {
    build_with(&Databases::default(), sections, custom, megabyte, http, completed)
}

/// Builds the collectors of all sections and of the operator's figures; sections that name the same `telemetry_json`
/// share one request, those that name the same database its connection. The collector of staging counts on in
/// `completed`. A database that is among the `known` keeps its connection.
///
/// # Errors
/// When a section lacks a key it needs, or has one that is not its source's.
pub fn build_with(
    known: &Databases,
    sections: [Option<&SectionConfig>; 3],
    custom: &BTreeMap<String, SectionConfig>,
    megabyte: u64,
    http: &HttpClient,
    completed: &Completed,
) -> Result<Built, BuildError> {
    let (mut plans, mut fingerprints, mut bridged) = (Vec::new(), Vec::new(), Vec::<Bridged>::new());
    let mut databases = Databases::knowing(known);
    for (section, config) in Section::DOCUMENTED.into_iter().zip(sections) {
        let Some(config) = config else { continue };
        let error = |problem| BuildError { section: section.clone(), problem };
        let source = config.checked_source(&section).map_err(error)?;
        let interval = config.interval.unwrap_or(source.interval(&section));
        let collector: Box<dyn Collector> = match source {
            SourceKind::SelfRuntime => Box::new(SelfRuntime::new()),
            SourceKind::Go => config.go(http).map_err(error)?,
            SourceKind::Process => Box::new(Process::new(config.process_target().map_err(error)?)),
            SourceKind::Sqlite | SourceKind::Postgres | SourceKind::Mysql => {
                config.counts(&section, &mut databases, completed).map_err(error)?
            }
            SourceKind::TelemetryJson => {
                let next = Bridged::new(section.clone(), config, interval).map_err(error)?;
                match bridged.iter_mut().find(|other| other.is_same(&next)) {
                    Some(other) => other.join(next).map_err(error)?,
                    None => bridged.push(next),
                }
                continue;
            }
        };
        fingerprints.push(config.fingerprint(section.clone()).map_err(error)?);
        plans.push(config.plan(collector, interval));
    }
    for bridged in bridged {
        let section = bridged.sections[0].clone();
        fingerprints.push(bridged.fingerprint(megabyte));
        plans.push(bridged.plan(megabyte, http, completed).map_err(|problem| BuildError { section, problem })?);
    }
    let mut figures = Vec::new();
    for (name, config) in custom {
        let section = Section::Custom(name.as_str().into());
        let error = |problem| BuildError { section: section.clone(), problem };
        let collector = config.custom(name, &mut databases, &mut figures).map_err(error)?;
        fingerprints.push(config.fingerprint(section.clone()).map_err(error)?);
        plans.push(config.plan(collector, config.interval.unwrap_or(CUSTOM_INTERVAL)));
    }
    Ok(Built { plans, fingerprints, custom: figures, databases: databases.named() })
}

fn same_secret(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    a.map(ExposeSecret::expose_secret) == b.map(ExposeSecret::expose_secret)
}

impl SectionConfig {
    /// The source, after checking that every key set is one of its own.
    fn checked_source(&self, section: &Section) -> Result<SourceKind, String> {
        use SourceKind::{Go, Mysql, Postgres, Process, SelfRuntime, Sqlite, TelemetryJson};
        let Some(source) = self.source else {
            return Err("source is missing; name one, for example source: telemetry_json".to_owned());
        };
        if !source.reads(section) {
            let all = [SelfRuntime, Go, Process, Sqlite, Postgres, Mysql, TelemetryJson];
            let fitting = all.into_iter().filter(|kind| kind.reads(section));
            let fitting: Vec<_> = fitting.map(SourceKind::name).collect();
            return Err(format!("source {} cannot read this section; use {}", source.name(), fitting.join(" or ")));
        }
        let is_server = matches!(source, Postgres | Mysql);
        let is_sql = source.is_database();
        let (store, staging) = (is_sql && *section == Section::Store, is_sql && *section == Section::Staging);
        let is_custom = !section.is_documented();
        let keys = [
            ("pid", self.pid.is_some(), source == Process),
            ("pid_file", self.pid_file.is_some(), source == Process),
            ("name", self.name.is_some(), source == Process),
            ("path", self.path.is_some(), source == Sqlite),
            ("count_budget", self.count_budget.is_some(), is_sql && !is_custom),
            ("collections", self.collections.is_some(), store),
            ("tables", self.tables.is_some(), store),
            ("figures", self.figures.is_some(), is_custom),
            ("query_budget", self.query_budget.is_some(), is_custom),
            ("table", self.table.is_some(), staging),
            ("status_column", self.status_column.is_some(), staging),
            ("completed_column", self.completed_column.is_some(), staging),
            ("completed_type", self.completed_type.is_some(), staging),
            ("states", self.states.is_some(), staging),
            ("url", self.url.is_some(), is_server || matches!(source, TelemetryJson | Go)),
            ("user", self.user.is_some(), is_server),
            ("password", self.password.is_some(), is_server),
            ("password_file", self.password_file.is_some(), is_server),
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

    /// The key, from the config or its file.
    fn key(&self) -> Result<Option<SecretString>, String> {
        secret::from_twins("api_key", self.api_key.as_ref(), self.api_key_file.as_deref())
    }

    /// What makes its collector what it is, but for a document, which has a megabyte and may have several sections.
    fn fingerprint(&self, section: Section) -> Result<Fingerprint, String> {
        let secret = secret::from_twins("password", self.password.as_ref(), self.password_file.as_deref())?;
        Ok(Fingerprint::of(&[section], self, secret.as_ref(), 0))
    }

    fn plan(&self, collector: Box<dyn Collector>, interval: Duration) -> Plan {
        // Time for the other queries beside one that is cancelled.
        let budget = self.count_budget.max(self.query_budget).unwrap_or_default();
        Plan {
            collector,
            interval,
            timeout: self.timeout.unwrap_or(TIMEOUT.max(budget.saturating_mul(2))),
            max_backoff: self.max_backoff.unwrap_or(MAX_BACKOFF),
            // PocketBase checkpoints its database then, and a reader would hold that up.
            avoids_midnight: self.source == Some(SourceKind::Sqlite),
        }
    }
}
