//! SQLite: counts from the live `data.db` of a PocketBase backend, whose process owns the file and writes to it.
//!
//! [`Store`] counts collections, [`Staging`] counts the pipeline. Each keeps one read-only connection and reads by
//! single autocommit statements, so that no read transaction outlives its count's budget: a longer one would hold up
//! the owner's checkpoints, and with them its writers. A poll asks `PRAGMA data_version` first and counts only if
//! another connection has committed since.
//!
//! # A guest in somebody else's directory
//! - **A stopped WAL database is not opened.** Its owner removed `-wal` and `-shm` when it stopped; whoever opens the
//!   database next makes them anew, under their own user, and then every write of the owner fails. So both must be
//!   there before a connection is made. If one is missing the database may still be in rollback-journal mode, which
//!   never has them and is harmless to read; only the header tells.
//! - **The header is read through SQLite, not through a file of our own.** Closing any descriptor of a file drops all
//!   POSIX locks this process holds on it, also those of other connections: the other section's, or an embedding
//!   program's. SQLite knows its own connections and defers such a close. So the header is judged by a passing
//!   connection with `nolock=1`: it takes no lock, makes no file, and SQLite refuses it with `SQLITE_CANTOPEN` exactly
//!   when the header says WAL. `stat` is harmless, and is all that is done by name besides.
//! - **Never `immutable=1`** on a live database: it ignores the WAL and silently returns old counts.
//! - **The files are watched.** A restore or a careless `rm` puts other files in the place of those that are open; a
//!   connection would go on reading the old ones for ever. Each poll compares device and inode and opens anew.
//! - **Closing leaves everything as it is**: no checkpoint on close, which would also remove `-wal` by name.
//!
//! What remains: between the look at `-wal` and `-shm` and the first lock lie some microseconds, in which an owner
//! might stop. And while the bridge is connected an owner that stops leaves its `-wal` behind, as with any second
//! connection: nothing is lost and it starts again as always, but who copies a stopped database must copy `-wal` too.
//!
//! An authorizer is not installed: the file is opened read-only, `query_only` is on, and every statement is ours.

mod database;
mod error;
mod files;
mod reader;
mod sql;
mod staging;
mod store;
#[cfg(test)]
mod testing;

use std::time::Duration;

pub use staging::{Staging, StagingTable};
pub use store::Store;

use crate::clock::Moment;
use crate::collector::ErrorClass;
use database::Version;

/// A count is repeated after this time even if nothing says that the database has changed.
const RECOUNT_AFTER: Duration = Duration::from_secs(3600);

/// What can go wrong with a database.
const ERROR_CLASSES: &[ErrorClass] = &[
    ErrorClass::Budget,
    ErrorClass::Damaged,
    ErrorClass::Locked,
    ErrorClass::NotFound,
    ErrorClass::Other,
    ErrorClass::Panic,
    ErrorClass::Range,
    ErrorClass::Stopped,
    ErrorClass::Timeout,
    ErrorClass::Type,
    ErrorClass::Unauthorized,
];

/// A count with what it is true for.
#[derive(Clone, Copy, Debug)]
struct Counted<T> {
    value: T,
    version: Version,
    at: Moment,
}

impl<T> Counted<T> {
    /// Whether the database still is as it was when this was counted.
    fn holds(&self, version: Version, now: Moment) -> bool {
        self.version == version && now.since(self.at) < RECOUNT_AFTER
    }
}
