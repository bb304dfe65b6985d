//! The one connection to a server: when it is made, given up, and how long it is waited for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::columns::Columns;
use super::error::{self, Failure};
use super::session::Session;
use super::target::{MysqlConfig, Target};
use crate::collector::sql::wire::{Trouble, Wire};
use crate::collector::sql::{Link, Row, Version};
use crate::collector::{CollectError, ErrorClass};

/// How long connecting may take, with all that sets the session up.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long the version may take.
const VERSION_LIMIT: Duration = Duration::from_secs(1);

/// How much longer than its budget a statement is waited for: it may be probed for a lock, which can take a second
/// (`lock_wait_timeout` has whole ones), and the answer has a way to go.
const GRACE: Duration = Duration::from_millis(1500);

/// A connection to MySQL or MariaDB.
pub struct MysqlLink {
    target: Target,
    /// Taken out while it works: if that is cut short, nobody knows what the server sends next, and it is closed.
    session: Option<Session>,
    openings: u64,
}

impl MysqlLink {
    /// A link by `config`; nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the config, and the remedy; no secret in it.
    pub fn new(config: &MysqlConfig) -> Result<Self, String> {
        Ok(Self { target: Target::new(config)?, session: None, openings: 0 })
    }

    async fn version_within(&mut self) -> Result<Version, Failure> {
        if let Some(session) = self.session.take().filter(|session| !session.wire().is_worn()) {
            match self.version_of(session).await {
                // Restarted, or closed because it was idle: the next one is as good.
                Err(failure) if failure.is_lost() => {}
                known => return known,
            }
        }
        let session = self.open().await?;
        self.openings += 1;
        self.version_of(session).await
    }

    async fn open(&self) -> Result<Session, Failure> {
        let end = Instant::now() + CONNECT_LIMIT;
        let mut columns = Columns::new(self.target.wants_tls());
        let wire = Wire::lay(&self.target.place, "", move |bytes| columns.admit(bytes));
        let wire = match timeout_at(end, wire).await {
            Ok(wire) => Arc::new(wire.map_err(|error| Failure::Driver(error.into()))?),
            Err(_) => return Err(Failure::Late(CONNECT_LIMIT)),
        };
        let work = Session::open(&self.target.options, Arc::clone(&wire));
        wire.drive(end, work).await.map_err(|trouble| failure(trouble, CONNECT_LIMIT))
    }

    async fn version_of(&mut self, mut session: Session) -> Result<Version, Failure> {
        let answer = within(&session.wire(), VERSION_LIMIT, session.data()).await;
        self.keep(session, &answer);
        answer.map(|data| Version { opening: self.openings, data })
    }

    fn explained(&self, failure: &Failure, thing: &str) -> CollectError {
        failure.explain(thing, &self.target.address, self.target.password.as_ref())
    }

    fn keep<T>(&mut self, session: Session, answer: &Result<T, Failure>) {
        if !answer.as_ref().is_err_and(Failure::ends_session) {
            self.session = Some(session);
        }
    }
}

#[async_trait::async_trait]
impl Link for MysqlLink {
    fn address(&self) -> String {
        self.target.address.clone()
    }

    async fn version(&mut self) -> Result<Version, CollectError> {
        let version = self.version_within().await;
        version.map_err(|failure| self.explained(&failure, "database"))
    }

    async fn rows(&mut self, thing: &str, sql: &str, budget: Duration) -> Result<Vec<Row>, CollectError> {
        let Some(mut session) = self.session.take() else {
            let message = format!("{thing} in {}: not connected; it is tried again", self.target.address);
            return Err(CollectError::new(ErrorClass::Unreachable, message));
        };
        let answer = within(&session.wire(), budget + GRACE, rows_of(&mut session, sql, budget)).await;
        self.keep(session, &answer);
        answer.map_err(|failure| self.explained(&failure, thing))
    }
}

async fn rows_of(session: &mut Session, sql: &str, budget: Duration) -> Result<Vec<Row>, sqlx::Error> {
    let slow = match session.rows(sql, budget).await {
        Err(error) if error::class(&error) == ErrorClass::Budget => error,
        answer => return answer,
    };
    match session.probe(sql).await {
        Err(error) if error::ends_session(&error) || error::class(&error) == ErrorClass::Locked => Err(error),
        _ => Err(slow),
    }
}

async fn within<T>(
    wire: &Wire,
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    wire.drive(Instant::now() + limit, work).await.map_err(|trouble| failure(trouble, limit))
}

fn failure(trouble: Trouble<sqlx::Error>, limit: Duration) -> Failure {
    match trouble {
        Trouble::Driver(error) => Failure::Driver(error),
        Trouble::Late => Failure::Late(limit),
        Trouble::Oversized => Failure::Oversized,
        Trouble::Malformed(cause) => Failure::Driver(sqlx::Error::Protocol(format!("malformed answer ({cause})"))),
    }
}
