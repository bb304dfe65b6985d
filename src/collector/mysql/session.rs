//! One session at a server: how it is set up, what it asks of its own accord, and how long the server may work for it.
//! Knows no classes of errors and no rules about when to connect.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _, SqlSafeStr};
use tokio::task::coop::consume_budget;

use super::cell;
use crate::collector::sql::Row;
use crate::collector::sql::wire::{CELLS_MAX, ROWS_MAX, Wire};

/// A session is a guest: it writes nothing, waits for no lock longer than the least that can be set, and does not stay
/// behind for hours when its host has vanished. An open transaction there is none.
const SETTINGS: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
    // MySQL 8 caches its statistics for a day otherwise; MariaDB knows no such cache and reads a comment there.
    "SET SESSION autocommit = 1, sql_mode = 'NO_BACKSLASH_ESCAPES', time_zone = '+00:00', lock_wait_timeout = 1, \
     innodb_lock_wait_timeout = 1, wait_timeout = 600, net_read_timeout = 10, net_write_timeout = 10 \
     /*!80000 , information_schema_stats_expiry = 0 */",
];

/// What the server is.
const ABOUT: &str = "SHOW VARIABLES WHERE Variable_name IN ('version', 'aurora_version')";

/// Whether there are tables whose commits InnoDB's log knows nothing of. Views have no engine.
const OTHER_ENGINES: &str = "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN \
     ('mysql', 'sys', 'information_schema', 'performance_schema') AND ENGINE <> 'InnoDB'";

/// How long the server may look for such tables; it opens their definitions.
const OTHER_ENGINES_LIMIT: Duration = Duration::from_millis(500);

/// How long the server may wait for a lock on MySQL: longer than `lock_wait_timeout`, whose least is a second.
const PROBE_LIMIT: Duration = Duration::from_millis(1200);

/// Time from a commit's number, or its last record in the log, until other sessions see what it wrote. The number goes
/// first: whoever saw it move and counted at once might count without the commit, and take that for the new count.
const COMMIT_IS_SEEN_AFTER: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    MariaDb,
    MySql,
}

/// A connection that is set up.
pub(super) struct Session {
    connection: MySqlConnection,
    wire: Arc<Wire>,
    flavour: Flavour,
    /// How long the server works for one statement; `None` where it was not told.
    limit: Option<Duration>,
    /// Whether every commit moves the position.
    position_tells: bool,
    position: Option<String>,
}

impl Session {
    /// Connects by `wire` and sets the session up.
    pub(super) async fn open(options: &MySqlConnectOptions, wire: Arc<Wire>) -> Result<Self, sqlx::Error> {
        let mut connection = options.clone().socket(&wire.socket).connect().await?;
        for setting in SETTINGS {
            sqlx::raw_sql(setting).execute(&mut connection).await?;
        }
        let about = ask(&mut connection, &wire, ABOUT).await?;
        let flavour = flavour(variable(&about, "version").unwrap_or_default());
        let mut session = Self { connection, wire, flavour, limit: None, position_tells: false, position: None };
        session.position_tells = variable(&about, "aurora_version").is_none() && session.has_innodb_alone().await?;
        Ok(session)
    }

    pub(super) fn wire(&self) -> Arc<Wire> {
        Arc::clone(&self.wire)
    }

    async fn has_innodb_alone(&mut self) -> Result<bool, sqlx::Error> {
        self.limit(OTHER_ENGINES_LIMIT).await?;
        match ask(&mut self.connection, &self.wire, OTHER_ENGINES).await {
            Ok(rows) => Ok(rows.first().and_then(|row| row.first()).is_some_and(|cell| cell.as_deref() == Some("0"))),
            // Not to be had in time: it is not known, which is no trouble.
            Err(sqlx::Error::Database(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The state of the data: two that are equal have no commit between them. `None` where that cannot be told.
    pub(super) async fn data(&mut self) -> Result<Option<String>, sqlx::Error> {
        let answer = ask(&mut self.connection, &self.wire, position_sql(self.flavour)).await?;
        let position = if self.position_tells { position(&answer) } else { None };
        if position.is_some() && position != self.position {
            tokio::time::sleep(COMMIT_IS_SEEN_AFTER).await;
            self.position.clone_from(&position);
        }
        Ok(position)
    }

    /// The rows of one statement, which the server ends after `budget`.
    pub(super) async fn rows(&mut self, sql: &str, budget: Duration) -> Result<Vec<Row>, sqlx::Error> {
        self.limit(budget).await?;
        ask(&mut self.connection, &self.wire, AssertSqlSafe(single(sql))).await
    }

    /// Fails if a lock stands before `sql`. Only an explanation, which needs the same locks and reads next to nothing:
    /// the server counts the wait for a lock against the limit, so of itself it does not tell the two apart.
    pub(super) async fn probe(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let explain = match self.flavour {
            Flavour::MariaDb => {
                format!("SET STATEMENT lock_wait_timeout = 0, max_statement_time = 1 FOR EXPLAIN {sql}")
            }
            Flavour::MySql => {
                self.limit(PROBE_LIMIT).await?;
                format!("EXPLAIN {sql}")
            }
        };
        ask(&mut self.connection, &self.wire, AssertSqlSafe(single(&explain))).await.map(drop)
    }

    async fn limit(&mut self, limit: Duration) -> Result<(), sqlx::Error> {
        if self.limit != Some(limit) {
            self.limit = None;
            let sql = limit_sql(self.flavour, limit);
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await?;
            self.limit = Some(limit);
        }
        Ok(())
    }
}

/// The rows of all results. The text protocol, not the driver's prepared statements: it closes those by a packet that
/// nobody answers, and with Nagle's algorithm on, the next statement waits 40 ms for its acknowledgement.
async fn ask(connection: &mut MySqlConnection, wire: &Wire, sql: impl SqlSafeStr) -> Result<Vec<Row>, sqlx::Error> {
    let mut answer = sqlx::raw_sql(sql).fetch(connection);
    let (mut rows, mut cells) = (Vec::new(), 0);
    while let Some(row) = answer.try_next().await? {
        // The driver itself gives way to nobody while there are rows.
        consume_budget().await;
        cells += row.len();
        if rows.len() == ROWS_MAX || cells > CELLS_MAX {
            wire.cut();
            return Err(sqlx::Error::Protocol("too many rows or cells".to_owned()));
        }
        rows.push(cell::row(&row));
    }
    rows.into_iter().collect()
}

/// Lets the server take `sql` for one statement only, whatever stands behind a semicolon: what it prepares must be one.
fn single(sql: &str) -> String {
    format!("PREPARE bridge FROM '{}'; EXECUTE bridge; DEALLOCATE PREPARE bridge", sql.replace('\'', "''"))
}

fn flavour(version: &str) -> Flavour {
    if version.to_ascii_lowercase().contains("mariadb") { Flavour::MariaDb } else { Flavour::MySql }
}

/// Seconds with a fraction, or whole milliseconds; 0 would be no limit.
fn limit_sql(flavour: Flavour, limit: Duration) -> String {
    let milliseconds = limit.as_millis().max(1);
    match flavour {
        Flavour::MariaDb => {
            format!("SET SESSION max_statement_time = {}.{:03}", milliseconds / 1000, milliseconds % 1000)
        }
        Flavour::MySql => format!("SET SESSION max_execution_time = {milliseconds}"),
    }
}

/// Asks for what moves with each commit, under a limit of its own: the one in force is that of the last count. On MySQL
/// only a `SELECT` is under it.
fn position_sql(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MariaDb => "SET STATEMENT max_statement_time = 1 FOR SHOW GLOBAL STATUS LIKE 'Innodb_max_trx_id'",
        Flavour::MySql => "SHOW GLOBAL STATUS LIKE 'Innodb_redo_log_%'",
    }
}

fn position(answer: &[Row]) -> Option<String> {
    if variable(answer, "Innodb_redo_log_enabled").is_some_and(|enabled| enabled != "ON") {
        return None;
    }
    let position = variable(answer, "Innodb_max_trx_id").or(variable(answer, "Innodb_redo_log_current_lsn"))?;
    Some(position.to_owned())
}

/// The value of a variable in the answer to a `SHOW`.
fn variable<'a>(answer: &'a [Row], name: &str) -> Option<&'a str> {
    answer.iter().find_map(|row| match row.as_slice() {
        [Some(found), Some(value)] if found.eq_ignore_ascii_case(name) => Some(value.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(variables: &[[&str; 2]]) -> Vec<Row> {
        variables.iter().map(|variable| variable.map(|text| Some(text.to_owned())).to_vec()).collect()
    }

    #[test]
    fn the_limit_is_written_as_each_server_reads_it() {
        let limit = |flavour, milliseconds| limit_sql(flavour, Duration::from_millis(milliseconds));
        assert_eq!(limit(Flavour::MariaDb, 250), "SET SESSION max_statement_time = 0.250");
        assert_eq!(limit(Flavour::MariaDb, 61_005), "SET SESSION max_statement_time = 61.005");
        assert_eq!(limit(Flavour::MySql, 250), "SET SESSION max_execution_time = 250");
        assert_eq!(limit(Flavour::MySql, 0), "SET SESSION max_execution_time = 1", "0 is no limit");
    }

    #[test]
    fn a_statement_is_prepared_as_a_text() {
        let single = single("SELECT 'it''s'; DROP TABLE t");
        assert!(single.starts_with("PREPARE bridge FROM 'SELECT ''it''''s''; DROP TABLE t'; EXECUTE"), "{single}");
    }

    #[test]
    fn servers_are_told_apart_by_their_version() {
        assert_eq!(flavour("10.11.19-MariaDB-0+deb12u1"), Flavour::MariaDb);
        assert_eq!(flavour("5.5.5-10.4.8-mariadb-log"), Flavour::MariaDb);
        assert_eq!(flavour("8.4.2"), Flavour::MySql);
    }

    #[test]
    fn the_position_is_there_only_where_every_commit_moves_it() {
        assert_eq!(position(&answer(&[["Innodb_max_trx_id", "44910"]])).as_deref(), Some("44910"));
        let mysql = [["Innodb_redo_log_capacity_resized", "1"], ["Innodb_redo_log_current_lsn", "19607762"]];
        assert_eq!(
            position(&answer(&[mysql[0], mysql[1], ["Innodb_redo_log_enabled", "ON"]])).as_deref(),
            Some("19607762")
        );
        assert_eq!(position(&answer(&[mysql[1], ["Innodb_redo_log_enabled", "OFF"]])), None);
        assert_eq!(position(&answer(&[])), None, "MySQL before 8.0.30, MariaDB before 10.5");
    }
}
