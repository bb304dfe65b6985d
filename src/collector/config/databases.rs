//! The databases of a config, and the collectors that count in them. Sections that name the same one share its
//! connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::{FigureConfig, SectionConfig, SourceKind, States, same_secret};
use crate::catalog::{CustomFigure, FigureId, Section, check_page_names};
use crate::collector::completed::Completed;
use crate::collector::mysql::{self, MysqlConfig};
use crate::collector::postgres::{self, PostgresConfig};
use crate::collector::sql::{Custom, Source, Staging, StagingTable, Store};
use crate::collector::{Collector, sqlite};
use crate::secret;

const COUNT_BUDGET: Duration = Duration::from_millis(250);

/// Longest budget of a query. A server works on to its end for a bridge that has gone: MySQL and MariaDB do not notice
/// while they compute, nor does an older PostgreSQL; and half a minute after that there is to be nothing left of it.
const BUDGET_MAX: Duration = Duration::from_secs(20);

/// Most collections of a store: each is a series, and the registry has places for so many.
const COLLECTIONS_MAX: usize = 100;

/// The databases that sections name, each with its connection.
#[derive(Clone, Default)]
pub struct Databases(Vec<Database>);

#[derive(Clone)]
struct Database {
    place: Place,
    kind: Option<SourceKind>,
    source: Source,
    is_named: bool,
}

/// What makes a database the same, with the same rights in it.
#[derive(Clone, Default)]
struct Place {
    path: Option<PathBuf>,
    url: Option<String>,
    user: Option<String>,
    password: Option<SecretString>,
}

impl Place {
    fn is_same(&self, other: &Self) -> bool {
        (&self.path, &self.url, &self.user) == (&other.path, &other.url, &other.user)
            && same_secret(self.password.as_ref(), other.password.as_ref())
    }
}

impl Databases {
    /// Those of a bridge that runs, of which no section has named one yet.
    pub(super) fn knowing(known: &Self) -> Self {
        Self(known.0.iter().map(|held| Database { is_named: false, ..held.clone() }).collect())
    }

    /// Those that sections have named.
    pub(super) fn named(mut self) -> Self {
        self.0.retain(|held| held.is_named);
        self
    }

    /// The database a section names.
    fn source(&mut self, config: &SectionConfig) -> Result<Source, String> {
        let (place, kind) = (config.place()?, config.source);
        if let Some(same) = self.0.iter_mut().find(|held| held.kind == kind && held.place.is_same(&place)) {
            same.is_named = true;
            return Ok(same.source.clone());
        }
        let source = config.database(place.clone())?;
        self.0.push(Database { place, kind, source: source.clone(), is_named: true });
        Ok(source)
    }
}

impl SectionConfig {
    fn place(&self) -> Result<Place, String> {
        let password = secret::from_twins("password", self.password.as_ref(), self.password_file.as_deref())?;
        Ok(Place { path: self.path.clone(), url: self.url.clone(), user: self.user.clone(), password })
    }

    fn database(&self, place: Place) -> Result<Source, String> {
        let Place { path, url, user, password } = place;
        let url = |example: &str| url.ok_or_else(|| format!("url is missing; name the database, as in {example}"));
        match self.source {
            Some(SourceKind::Postgres) => {
                let url = url("postgres://bridge@db.example/linkit")?;
                postgres::source(PostgresConfig { url, user, password })
            }
            Some(SourceKind::Mysql) => {
                let url = url("mysql://bridge@db.example/linkit")?;
                mysql::source(&MysqlConfig { url, user, password })
            }
            _ => Ok(sqlite::source(path.ok_or("path is missing; name the backend's data.db")?)),
        }
    }

    /// The collector that counts in the section's database.
    pub(super) fn counts(
        &self,
        section: &Section,
        databases: &mut Databases,
        completed: &Completed,
    ) -> Result<Box<dyn Collector>, String> {
        let source = databases.source(self)?;
        let budget = self.budget("count_budget", self.count_budget)?;
        if *section == Section::Store {
            Ok(Box::new(Store::new(source, self.collections_to_count()?, budget)))
        } else {
            Ok(Box::new(Staging::new(source, self.staging_table(), budget).counting_on(completed.clone())))
        }
    }

    /// The collector that asks for the figures of an operator's own section, which join `all`.
    pub(super) fn custom(
        &self,
        name: &str,
        databases: &mut Databases,
        all: &mut Vec<Arc<CustomFigure>>,
    ) -> Result<Box<dyn Collector>, String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) || Section::DOCUMENTED.iter().any(|held| held.name() == name)
        {
            return Err("it cannot be called so; use letters, digits, - and _, and no name of a section".to_owned());
        }
        self.checked_source(&Section::Custom(name.into()))?;
        let figures = self.figures.as_deref().unwrap_or_default();
        if figures.is_empty() {
            return Err("figures is missing; name at least one, with name, query and help".to_owned());
        }
        let queries = figures.iter().map(FigureConfig::query).collect::<Result<Vec<_>, _>>()?;
        all.extend(queries.iter().map(|query| Arc::clone(&query.figure)));
        check_page_names(all)?;
        let budget = self.budget("query_budget", self.query_budget)?;
        Ok(Box::new(Custom::new(databases.source(self)?, name, queries, budget)))
    }

    /// The longest time of one query. An attempt that ended before it would lose what it has read, and not learn that
    /// the query is too long.
    fn budget(&self, key: &str, set: Option<Duration>) -> Result<Duration, String> {
        let budget = set.unwrap_or_else(|| self.timeout.map_or(COUNT_BUDGET, |timeout| COUNT_BUDGET.min(timeout / 2)));
        if budget > BUDGET_MAX {
            return Err(format!(
                "{key} {budget:?} is longer than {BUDGET_MAX:?}, and a server would work on a query so long for a bridge \
                 that has gone, unnoticed; lower {key}"
            ));
        }
        match self.timeout {
            Some(timeout) if timeout <= budget => Err(format!(
                "timeout {timeout:?} is no longer than {key} {budget:?}, so one slow query would void all others; \
                 raise timeout"
            )),
            _ => Ok(budget),
        }
    }

    /// The collections, each with its table.
    fn collections_to_count(&self) -> Result<Vec<(String, String)>, String> {
        let documented =
            || FigureId::StoreRecords.figure().json.iter().map(|field| field.name.to_owned()).collect::<Vec<_>>();
        let collections = self.collections.clone().unwrap_or_else(documented);
        if collections.len() > COLLECTIONS_MAX {
            return Err(format!("{} collections are too many; name at most {COLLECTIONS_MAX}", collections.len()));
        }
        let missing: Vec<_> = documented().into_iter().filter(|name| !collections.contains(name)).collect();
        if !missing.is_empty() {
            let missing = missing.join(",");
            tracing::warn!(missing, "not in store.collections, so the documented JSON answers 503");
        }
        let tables = self.tables.as_ref();
        if let Some(name) = tables.into_iter().flat_map(|tables| tables.keys()).find(|name| !collections.contains(name))
        {
            return Err(format!("tables names {name}, which is not in collections; add it there, or remove it"));
        }
        let table = |name: &String| tables.and_then(|tables| tables.get(name)).unwrap_or(name).clone();
        Ok(collections.iter().map(|name| (name.clone(), table(name))).collect())
    }

    fn staging_table(&self) -> StagingTable {
        let default = StagingTable::default();
        let states = self.states.clone().unwrap_or(States {
            pending: default.pending,
            processing: default.processing,
            completed: default.completed,
        });
        StagingTable {
            table: self.table.clone().unwrap_or(default.table),
            status_column: self.status_column.clone().unwrap_or(default.status_column),
            completed_column: self.completed_column.clone().unwrap_or(default.completed_column),
            completed_type: self.completed_type.unwrap_or(default.completed_type),
            pending: states.pending,
            processing: states.processing,
            completed: states.completed,
        }
    }
}
