//! The one session on a server: how it is made, used for one statement at a time, and given up. Knows no table.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row as _};
use tokio::time::timeout;

use super::PostgresConfig;
use super::config;
use super::error::{explain, not_connected, timed_out};
use crate::collector::CollectError;
use crate::collector::sql::{Cell, Link, Row, Version};

/// Longest time to connect and to learn the version.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest time for a session that was idle to answer. What lies between may have forgotten the connection without a
/// word, and then a new one must still fit into the attempt.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time a statement may take beyond its budget until the bridge gives the connection up.
const GRACE: Duration = Duration::from_secs(1);

/// Time after which the server ends a transaction in which the bridge asks nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// What helps the server to see within half a minute that the bridge's host is gone, while it waits, sends or counts.
/// These outlive the session in a pooler, and harm nobody there. Each is left out where the server does not know it or
/// its system cannot do it: setting it would be an error.
const SETTINGS: &str = "SELECT set_config(name, value, false) FROM (VALUES
    ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '25000'), ('client_connection_check_interval', '5000')
    ) AS wanted (name, value) WHERE current_setting(name, true) IS NOT NULL AND version() LIKE '%linux%'";

/// What moves with each commit; the module's text explains the two.
const DATA: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'replayed ' || pg_last_wal_replay_lsn()
    ELSE 'snapshot ' || txid_current_snapshot() END";

/// One session on a PostgreSQL server.
///
/// The server ends it when the bridge closes or dies: at once when it waits for a statement; after the statement, within
/// 5 s (PostgreSQL 14 and later, on Linux) or by the end of the budget, when it is at work; within 25 s when the
/// bridge's host is gone without a word. Dropping a future in mid-statement closes the session.
pub struct PostgresLink {
    /// Without the password.
    options: PgConnectOptions,
    password: Option<SecretString>,
    address: String,
    /// Not there while a statement is at work, so that a session cut off in the middle of an answer is never used again.
    session: Option<PgConnection>,
    openings: u64,
}

impl PostgresLink {
    /// The way to the server of `config`; nothing is connected yet.
    ///
    /// # Errors
    /// A text for the operator, when the url is not one or holds a password.
    pub fn new(config: PostgresConfig) -> Result<Self, String> {
        let (options, address) = config::options(&config.url, config.user.as_deref())?;
        Ok(Self { options, password: config.password, address, session: None, openings: 0 })
    }

    async fn connect(&self) -> sqlx::Result<(PgConnection, Cell)> {
        let options = match &self.password {
            Some(password) => self.options.clone().password(password.expose_secret()),
            None => self.options.clone(),
        };
        let mut session = options.connect().await?;
        session.execute(sqlx::raw_sql(SETTINGS)).await?;
        let data = data(&mut session).await?;
        Ok((session, data))
    }
}

#[async_trait::async_trait]
impl Link for PostgresLink {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn version(&mut self) -> Result<Version, CollectError> {
        if let Some(mut session) = self.session.take()
            && let Ok(Ok(data)) = timeout(PROBE_TIMEOUT, data(&mut session)).await
        {
            self.session = Some(session);
            return Ok(Version { opening: self.openings, data });
        }
        let subject = format!("database {}", self.address);
        match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(Ok((session, data))) => {
                self.session = Some(session);
                self.openings += 1;
                Ok(Version { opening: self.openings, data })
            }
            Ok(Err(error)) => Err(explain(&error, &subject)),
            Err(_) => Err(timed_out(&subject, CONNECT_TIMEOUT)),
        }
    }

    async fn rows(&mut self, thing: &str, sql: &str, budget: Duration) -> Result<Vec<Row>, CollectError> {
        let subject = format!("{thing} in {}", self.address);
        let mut session = self.session.take().ok_or_else(|| not_connected(&subject))?;
        let limit = budget.saturating_add(GRACE);
        let Ok((rows, is_usable)) = timeout(limit, ask(&mut session, sql, budget)).await else {
            return Err(timed_out(&subject, limit));
        };
        if is_usable {
            self.session = Some(session);
        }
        rows.and_then(|rows| rows.iter().map(cells).collect()).map_err(|error| explain(&error, &subject))
    }
}

async fn data(session: &mut PgConnection) -> sqlx::Result<Cell> {
    session.fetch_one(sqlx::raw_sql(DATA)).await?.try_get(0)
}

/// Runs a statement in a transaction of its own; also whether the session is fit for the next.
async fn ask(session: &mut PgConnection, sql: &str, budget: Duration) -> (sqlx::Result<Vec<PgRow>>, bool) {
    if let Err(error) = session.execute(sqlx::raw_sql(AssertSqlSafe(begin(budget)))).await {
        return (Err(error), false);
    }
    // By the extended protocol, which takes exactly one statement. The text is the collectors', or the operator's own.
    let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *session).await;
    // After an error this rolls back.
    let is_usable = matches!(rows, Ok(_) | Err(sqlx::Error::Database(_))) && session.execute("COMMIT").await.is_ok();
    (rows, is_usable)
}

/// Begins a transaction whose statement the server ends after `budget`. Without compiling it: that may take longer than
/// the budget, and what is asked here never earns it back.
fn begin(budget: Duration) -> String {
    // Zero would mean no limit at all.
    let milliseconds = i32::try_from(budget.as_millis()).unwrap_or(i32::MAX).max(2);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = {milliseconds}; \
         SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; \
         SET LOCAL standard_conforming_strings = on; SET LOCAL jit = off",
        milliseconds - (milliseconds / 5).max(1),
        IDLE_TIMEOUT.as_millis(),
    )
}

fn cells(row: &PgRow) -> sqlx::Result<Row> {
    (0..row.len()).map(|index| row.try_get(index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_up_before_the_statement_and_no_limit_is_zero() {
        for (budget, statement, lock) in [
            (Duration::from_millis(250), "250", "200"),
            (Duration::from_secs(3), "3000", "2400"),
            (Duration::ZERO, "2", "1"),
            (Duration::MAX, "2147483647", "1717986918"),
        ] {
            let begin = begin(budget);
            assert!(
                begin.contains(&format!("statement_timeout = {statement}; SET LOCAL lock_timeout = {lock};")),
                "{begin}"
            );
        }
    }

    #[tokio::test]
    async fn without_a_connection_nothing_is_asked() {
        let config =
            PostgresConfig { url: "postgres://bridge@db.example/linkit".to_owned(), user: None, password: None };
        let mut link = PostgresLink::new(config).unwrap();
        let error = link.rows("collection skus", "SELECT 1", Duration::from_secs(1)).await.unwrap_err();
        assert!(error.message.starts_with("collection skus in db.example:5432/linkit: not connected"), "{error}");
    }
}
