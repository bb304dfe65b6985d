//! The one connection to a database, shared by all that read from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::Dialect;
use crate::collector::CollectError;

/// A value as text, as the database writes it; `None` for null.
pub type Cell = Option<String>;

/// A row of a result.
pub type Row = Vec<Cell>;

/// What a count is true for: the same as long as nobody has committed and the connection stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which connection, counted from the start.
    pub opening: u64,
    /// The state of the data; `None` where the database cannot tell whether it has changed.
    pub data: Option<String>,
}

impl Version {
    /// Whether the data certainly is as it was at `other`.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.data.is_some() && self == other
    }
}

/// A connection to a database, made when it is needed and given up when it is broken. It only reads, one autocommit
/// statement at a time.
#[async_trait::async_trait]
pub trait Link: Send {
    /// Where it leads, for errors; no secret in it.
    fn address(&self) -> String;

    /// The first step of an attempt: connects if there is no connection or the last one broke, and tells the version
    /// of the data.
    ///
    /// # Errors
    /// When the database cannot be had.
    async fn version(&mut self) -> Result<Version, CollectError>;

    /// The rows of one `SELECT`. The database itself ends it after `budget`, with
    /// [`ErrorClass::Budget`](crate::collector::ErrorClass::Budget); so it does when the future is dropped. Errors speak
    /// of `thing`.
    ///
    /// # Errors
    /// When the statement fails, or nothing was connected by [`Link::version`].
    async fn rows(&mut self, thing: &str, sql: &str, budget: Duration) -> Result<Vec<Row>, CollectError>;
}

/// A database as its collectors hold it: clones share the one connection, and wait for each other's statement.
#[derive(Clone)]
pub struct Source {
    dialect: &'static dyn Dialect,
    link: Arc<Mutex<dyn Link>>,
}

impl Source {
    /// A database reached by `link` and spoken to in `dialect`.
    pub fn new(dialect: &'static dyn Dialect, link: impl Link + 'static) -> Self {
        Self { dialect, link: Arc::new(Mutex::new(link)) }
    }

    /// Its way to write SQL.
    #[must_use]
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    /// The connection, for one statement.
    pub async fn link(&self) -> MutexGuard<'_, dyn Link> {
        self.link.lock().await
    }
}
