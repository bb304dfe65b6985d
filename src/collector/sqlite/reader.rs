//! The way from async code to the blocking [`Database`]: a budget for every step, and a real cancel.
//!
//! Steps run on tokio's blocking pool, one at a time: each is lent the database as a second `Arc`, and as long as that
//! lives nothing else is started. A step over its budget, or whose future is dropped, is interrupted inside SQLite
//! (the progress handler cannot stop a `count(*)`), again and again until it has let go: an interrupt that comes in the
//! instant before a statement begins has no effect.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

use super::database::{Database, Version};
use crate::collector::{CollectError, ErrorClass};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One database as one collector reads it.
pub(super) struct Reader {
    path: PathBuf,
    budget: Duration,
    database: Arc<Mutex<Database>>,
    interrupt: Option<Arc<InterruptHandle>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, budget: Duration) -> Self {
        let database = Arc::new(Mutex::new(Database::new(path.clone())));
        Self { path, budget, database, interrupt: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The first step of an attempt: opens what is to be opened, and says whether anything has changed.
    pub(super) async fn version(&mut self) -> Result<Version, CollectError> {
        if self.is_lent() {
            return Err(self.timeout("an earlier read has not let go of it yet; wait"));
        }
        // Without a budget: this takes microseconds, and a timer that wakes its driver would be the dearest part of it.
        let step = self.lend(|database| Ok((database.version()?, database.interrupt())));
        let (version, interrupt) = self.end(step.task.await)?;
        self.interrupt = interrupt;
        Ok(version)
    }

    /// A further step: `ask` runs on the connection, within the budget; errors speak of `thing`.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        thing: String,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, CollectError> {
        let mut step = self.lend(move |database| database.query(&thing, ask));
        match timeout(self.budget, &mut step.task).await {
            Ok(done) => self.end(done),
            Err(_) => {
                step.cancel.0.insist().await;
                self.end(step.task.await)
            }
        }
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

    async fn count_slowly(reader: &mut Reader) -> Result<i64, CollectError> {
        reader.version().await?;
        reader
            .query("view slow".to_owned(), |connection| {
                connection.query_row("SELECT count(*) FROM slow", [], |row| row.get(0))
            })
            .await
    }

    #[tokio::test]
    async fn a_count_over_its_budget_is_stopped_in_about_the_budget() {
        let directory = Directory::new();
        let _owner = directory.owner(SLOW_VIEW);
        let mut reader = Reader::new(directory.data(), BUDGET);
        let began = Instant::now();
        let error = count_slowly(&mut reader).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Budget, "{error}");
        assert!((BUDGET..BUDGET * 10).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(!reader.is_lent());
        assert!(reader.version().await.is_ok());
    }

    #[tokio::test]
    async fn a_dropped_attempt_is_stopped_too_and_nothing_runs_beside_it() {
        let directory = Directory::new();
        let _owner = directory.owner(SLOW_VIEW);
        let mut reader = Reader::new(directory.data(), Duration::from_secs(3600));
        assert!(timeout(BUDGET, count_slowly(&mut reader)).await.is_err());
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
