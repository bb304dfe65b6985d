//! MySQL and MariaDB: the one connection to a server and its way to write SQL, for the collectors of [`super::sql`].
//!
//! What is counted, how often, and what a count means is not known here.
//!
//! # A guest in somebody else's server
//! - **One session**, autocommit, `READ ONLY`, `READ COMMITTED`: nothing is locked, and no snapshot outlives a statement.
//! - **The server ends what takes too long**, by `max_statement_time` (MariaDB) or `max_execution_time` (MySQL), so a
//!   statement is not left running behind a client that has gone. MySQL limits `SELECT` alone, and ends a `SLEEP` by
//!   letting it return 1. The bridge waits a little longer than the server's limit, then gives up the connection.
//! - **A locked table is left alone** when the limit is over, or after a second, `lock_wait_timeout`'s least. A count that
//!   was ended is then explained, which needs the same locks: so a lock is told apart from a count that is merely slow.
//! - **A server is not believed**: its answer goes through `sql/wire.rs`, which cuts it at 1 MiB, 2,000 rows or 100,000
//!   cells, and at its time; and where it announces more columns than a table can have, for which the driver would take
//!   memory without end (`columns.rs`). This lie alone is not seen through TLS.
//! - **One way to write SQL, whatever the server's default**: `sql_mode` is `NO_BACKSLASH_ESCAPES` alone, so doubling a
//!   quote quotes it, `"` is a text, `||` is an or, and `LIKE` has no escape unless one is named. Times are UTC.
//!
//! # What says that nothing has changed
//! On MariaDB, 10.5 and later, the highest number that InnoDB has given to a transaction: each takes one when it begins
//! to write and another when it commits, also long after its last row; reading, checkpoints and purge take none. A
//! rollback takes one too: a count too many, never one too few.
//!
//! On MySQL, 8.0.30 and later, the position of InnoDB's redo log. A commit is itself written there, whatever
//! `innodb_flush_log_at_trx_commit` says, for it is the position in memory. Checkpoints, purge and statistics move it as
//! well, so it stands still some seconds after the last change.
//!
//! Other engines move neither, so beside a table of theirs nothing is said; nor on older servers, while redo logging is
//! off, and on Amazon Aurora, whose log is elsewhere.
//!
//! MySQL is written for by its documentation; what runs in the tests is MariaDB.

mod cell;
mod columns;
mod dialect;
mod error;
mod link;
mod session;
mod target;

pub use dialect::MysqlDialect;
pub use link::MysqlLink;
pub use target::MysqlConfig;

use super::sql::Source;

/// The database of `config`, connected to when it is first read.
///
/// # Errors
/// A text for the operator, when the url is not one or holds a password.
pub fn source(config: &MysqlConfig) -> Result<Source, String> {
    Ok(Source::new(&MysqlDialect, MysqlLink::new(config)?))
}
