//! The one session on a server: how it is made, used for one statement at a time, and given up. Knows no table.

use std::time::Duration;

use futures_util::TryStreamExt;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row as _};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use super::PostgresConfig;
use super::config;
use super::error::{explain, not_connected, troubled};
use crate::collector::CollectError;
use crate::collector::sql::wire::{Place, ROWS_MAX, Trouble, Wire};
use crate::collector::sql::{Cell, Link, Row, Version};

/// Longest time to connect and to learn the version.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest time for a session that was idle to answer. What lies between may have forgotten the connection without a
/// word, and then a new one must still fit into the attempt.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time a statement may take beyond its budget until the bridge gives the connection up.
const GRACE: Duration = Duration::from_secs(1);

/// Longest wait for a lock, however large the budget is: others wait behind it, and all other statements of the attempt
/// after it.
const LOCK_TIMEOUT_MS: i32 = 1000;

/// Time after which the server ends a transaction in which the bridge asks nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// What helps the server to see within half a minute that the bridge's host is gone, while it waits, sends or counts.
/// These outlive the session in a pooler, and harm nobody there. Each is left out where the server does not know it or
/// its system cannot do it: setting it would be an error.
const SETTINGS: &str = "SELECT set_config(name, value, false) FROM (VALUES
    ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '25000'), ('client_connection_check_interval', '5000')
    ) AS wanted (name, value) WHERE current_setting(name, true) IS NOT NULL AND version() LIKE '%linux%'";

/// Ends a transaction. What a function of an operator's query may have written all the same, as `lo_create()` does on
/// PostgreSQL 15, is undone; not by `ROLLBACK`, whose count operators watch.
const END: &str = "ROLLBACK TO SAVEPOINT bridge; COMMIT";

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
    place: Place,
    address: String,
    /// Not there while a statement is at work, so that a session cut off in the middle of an answer is never used again.
    session: Option<Session>,
    openings: u64,
}

struct Session {
    connection: PgConnection,
    wire: Wire,
}

impl PostgresLink {
    /// The way to the server of `config`; nothing is connected yet.
    ///
    /// # Errors
    /// A text for the operator, when the url is not one or holds a password.
    pub fn new(config: PostgresConfig) -> Result<Self, String> {
        let (options, address) = config::options(&config.url, config.user.as_deref())?;
        let place = config::place(&options);
        Ok(Self { options, password: config.password, place, address, session: None, openings: 0 })
    }

    async fn connect(&self) -> Result<(Session, Cell), Trouble<sqlx::Error>> {
        let end = Instant::now() + CONNECT_TIMEOUT;
        let suffix = config::socket_suffix(&self.options);
        // PostgreSQL's counts have two bytes: none has the driver take much more than the messages bring.
        let wire = Wire::lay(&self.place, &suffix, |_| true);
        let wire = match timeout_at(end, wire).await {
            Ok(wire) => wire.map_err(|error| Trouble::Driver(error.into()))?,
            Err(_) => return Err(Trouble::Late),
        };
        let options = match &self.password {
            Some(password) => self.options.clone().password(password.expose_secret()),
            None => self.options.clone(),
        };
        let options = options.socket(&wire.socket);
        let work = async {
            let mut connection = options.connect().await?;
            connection.execute(sqlx::raw_sql(SETTINGS)).await?;
            let data = data(&mut connection).await?;
            Ok((connection, data))
        };
        let (connection, data) = wire.drive(end, work).await?;
        Ok((Session { connection, wire }, data))
    }
}

#[async_trait::async_trait]
impl Link for PostgresLink {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn version(&mut self) -> Result<Version, CollectError> {
        if let Some(mut session) = self.session.take().filter(|session| !session.wire.is_worn())
            && let Ok(data) = session.wire.drive(Instant::now() + PROBE_TIMEOUT, data(&mut session.connection)).await
        {
            self.session = Some(session);
            return Ok(Version { opening: self.openings, data });
        }
        let subject = format!("database {}", self.address);
        let (session, data) = self
            .connect()
            .await
            .map_err(|trouble| troubled(&trouble, &subject, CONNECT_TIMEOUT, self.password.as_ref()))?;
        self.session = Some(session);
        self.openings += 1;
        Ok(Version { opening: self.openings, data })
    }

    async fn rows(&mut self, thing: &str, sql: &str, budget: Duration) -> Result<Vec<Row>, CollectError> {
        let subject = format!("{thing} in {}", self.address);
        let mut session = self.session.take().ok_or_else(|| not_connected(&subject))?;
        let limit = budget.saturating_add(GRACE);
        let Session { connection, wire } = &mut session;
        let asked = wire.drive(Instant::now() + limit, ask(connection, wire, sql, budget)).await;
        let (rows, is_usable) = asked.map_err(|trouble| troubled(&trouble, &subject, limit, self.password.as_ref()))?;
        if is_usable {
            self.session = Some(session);
        }
        rows.map_err(|error| explain(&error, &subject, self.password.as_ref()))
    }
}

async fn data(session: &mut PgConnection) -> sqlx::Result<Cell> {
    session.fetch_one(sqlx::raw_sql(DATA)).await?.try_get(0)
}

/// Runs a statement in a transaction of its own: its rows, or why the server or a cell refused; also whether the session
/// is fit for the next.
async fn ask(
    session: &mut PgConnection,
    wire: &Wire,
    sql: &str,
    budget: Duration,
) -> sqlx::Result<(sqlx::Result<Vec<Row>>, bool)> {
    session.execute(sqlx::raw_sql(AssertSqlSafe(begin(budget)))).await?;
    let rows = match fetch(session, wire, sql).await {
        Ok(rows) => rows.into_iter().collect(),
        Err(error @ sqlx::Error::Database(_)) => Err(error),
        Err(error) => return Err(error),
    };
    // After an error this rolls back.
    let is_usable = session.execute(END).await.is_ok();
    Ok((rows, is_usable))
}

async fn fetch(session: &mut PgConnection, wire: &Wire, sql: &str) -> sqlx::Result<Vec<sqlx::Result<Row>>> {
    // By the extended protocol, which takes exactly one statement. The text is the collectors', or the operator's own.
    let mut answer = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(session);
    let mut rows = Vec::new();
    while let Some(row) = answer.try_next().await? {
        // The driver itself gives way to nobody while there are rows.
        consume_budget().await;
        if rows.len() == ROWS_MAX {
            wire.cut();
            return Err(sqlx::Error::Protocol("too many rows".to_owned()));
        }
        rows.push(cells(&row));
    }
    Ok(rows)
}

/// Begins a transaction whose statement the server ends after `budget`. Without compiling it: that may take longer than
/// the budget, and what is asked here never earns it back.
/// Without parallel workers: they are the owner's, of whom there are few, and in sum they use a third more CPU time.
fn begin(budget: Duration) -> String {
    // Zero would mean no limit at all.
    let milliseconds = i32::try_from(budget.as_millis()).unwrap_or(i32::MAX).max(2);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = {milliseconds}; \
         SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; \
         SET LOCAL standard_conforming_strings = on; SET LOCAL jit = off; \
         SET LOCAL max_parallel_workers_per_gather = 0; SAVEPOINT bridge",
        (milliseconds - (milliseconds / 5).max(1)).min(LOCK_TIMEOUT_MS),
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
            (Duration::from_secs(3), "3000", "1000"),
            (Duration::ZERO, "2", "1"),
            (Duration::MAX, "2147483647", "1000"),
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
