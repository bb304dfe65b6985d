//! SQLite: counts from the live `data.db` of a PocketBase backend, whose process owns the file and writes to it.
//!
//! All collectors of a file share one read-only connection and read by single autocommit statements, so that no read
//! transaction outlives its budget: a longer one would hold up the owner's checkpoints, and with them its writers. A
//! poll asks `PRAGMA data_version` first and counts only if another connection has committed since.
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
mod dialect;
mod error;
mod files;
mod reader;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::sql::Source;

/// The database in the file at `path`, opened when it is first read.
#[must_use]
pub fn source(path: PathBuf) -> Source {
    Source::new(&dialect::SqliteDialect, reader::Reader::new(path))
}
