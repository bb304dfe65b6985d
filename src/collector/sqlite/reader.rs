//! The link: the way from async code to the blocking [`Database`], with a budget for every statement and a real cancel.
//!
//! Steps run on tokio's blocking pool, one at a time: each is lent the database as a second `Arc`, and as long as that
//! lives nothing else is started. A step over its budget, or whose future is dropped, is interrupted inside SQLite
//! (the progress handler cannot stop a `count(*)`), again and again until it has let go: an interrupt that comes in the
//! instant before a statement begins has no effect.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

use super::database::Database;
use crate::collector::sql::{Cell, Link, Row, Version};
use crate::collector::{CollectError, ErrorClass};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One database as its collectors read it.
pub(super) struct Reader {
    path: PathBuf,
    database: Arc<Mutex<Database>>,
    interrupt: Option<Arc<InterruptHandle>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf) -> Self {
        let database = Arc::new(Mutex::new(Database::new(path.clone())));
        Self { path, database, interrupt: None }
    }

    fn is_lent(&self) -> bool {
        Arc::strong_count(&self.database) > 1
    }

    fn lend<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, CollectError> + Send + 'static,
    ) -> Step<T> {
        let database = Arc::clone(&self.database);
        let task = tokio::task::spawn_blocking(move || {
            let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut database)
        });
        let cancel = Cancel { task: task.abort_handle(), interrupt: self.interrupt.clone() };
        Step { task, cancel: CancelOnDrop(cancel) }
    }

    fn end<T>(&self, done: Result<Result<T, CollectError>, JoinError>) -> Result<T, CollectError> {
        match done {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(self.timeout("the bridge was too busy to begin within count_budget; raise it")),
        }
    }

    fn timeout(&self, cause: &str) -> CollectError {
        CollectError::new(ErrorClass::Timeout, format!("database {}: {cause}", self.path.display()))
    }
}

#[async_trait::async_trait]
impl Link for Reader {
    fn address(&self) -> String {
        self.path.display().to_string()
    }

    async fn version(&mut self) -> Result<Version, CollectError> {
        if self.is_lent() {
            return Err(self.timeout("an earlier read has not let go of it yet; wait"));
        }
        // Without a budget: this takes microseconds, and a timer that wakes its driver would be the dearest part of it.
        let step = self.lend(|database| Ok((database.version()?, database.interrupt())));
        let (version, interrupt) = self.end(step.task.await)?;
        self.interrupt = interrupt;
        Ok(version)
    }

    async fn rows(&mut self, thing: &str, sql: &str, budget: Duration) -> Result<Vec<Row>, CollectError> {
        let (thing, sql) = (thing.to_owned(), sql.to_owned());
        let mut step = self.lend(move |database| database.query(&thing, |connection| ask(connection, &sql)));
        match timeout(budget, &mut step.task).await {
            Ok(done) => self.end(done),
            Err(_) => {
                step.cancel.0.insist().await;
                self.end(step.task.await)
            }
        }
    }
}

fn ask(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| Ok(text(row.get_ref(column)?))).collect())?;
    rows.collect()
}

fn text(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(integer) => Some(integer.to_string()),
        ValueRef::Real(real) => Some(real.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// A step at work.
struct Step<T> {
    task: JoinHandle<Result<T, CollectError>>,
    cancel: CancelOnDrop,
}

/// What ends a step.
#[derive(Clone)]
struct Cancel {
    task: AbortHandle,
    interrupt: Option<Arc<InterruptHandle>>,
}

impl Cancel {
    fn once(&self) {
        // Aborts what still waits for a thread, and nothing else.
        self.task.abort();
        if let Some(interrupt) = &self.interrupt {
            interrupt.interrupt();
        }
    }

    async fn insist(&self) {
        let mut pause = FIRST_PAUSE;
        while !self.task.is_finished() {
            self.once();
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Cancels a step whose future is dropped, as the scheduler does at the deadline.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.0.task.is_finished() {
            return;
        }
        self.0.once();
        if let Ok(runtime) = Handle::try_current() {
            let cancel = self.0.clone();
            runtime.spawn(async move { cancel.insist().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::testing::{Directory, SLOW_VIEW};
    use super::*;

    const BUDGET: Duration = Duration::from_millis(100);

    async fn count_slowly(reader: &mut Reader, budget: Duration) -> Result<Vec<Row>, CollectError> {
        reader.version().await?;
        reader.rows("view slow", "SELECT count(*) FROM slow", budget).await
    }

    #[tokio::test]
    async fn a_count_over_its_budget_is_stopped_in_about_the_budget() {
        let directory = Directory::new();
        let _owner = directory.owner(SLOW_VIEW);
        let mut reader = Reader::new(directory.data());
        let began = Instant::now();
        let error = count_slowly(&mut reader, BUDGET).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Budget, "{error}");
        assert!((BUDGET..BUDGET * 10).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(!reader.is_lent());
        assert!(reader.version().await.is_ok());
    }

    #[tokio::test]
    async fn a_dropped_attempt_is_stopped_too_and_nothing_runs_beside_it() {
        let directory = Directory::new();
        let _owner = directory.owner(SLOW_VIEW);
        let mut reader = Reader::new(directory.data());
        assert!(timeout(BUDGET, count_slowly(&mut reader, Duration::from_secs(3600))).await.is_err());
        if reader.is_lent() {
            assert_eq!(reader.version().await.unwrap_err().class, ErrorClass::Timeout);
        }
        let began = Instant::now();
        while reader.is_lent() {
            assert!(began.elapsed() < BUDGET * 10, "not interrupted");
            sleep(Duration::from_millis(1)).await;
        }
        assert!(reader.version().await.is_ok());
    }
}
