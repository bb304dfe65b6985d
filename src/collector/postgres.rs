//! PostgreSQL, 11 and later: the one connection to it and its way to write SQL, for the collectors of [`super::sql`].
//! Knows how the server is spoken to, not what is counted nor how often.
//!
//! # A guest in somebody else's server
//! - **One session, nothing left in it.** Each statement runs in a transaction of its own, `READ ONLY`, with its limits
//!   set `LOCAL`: the server ends it after the budget, also when the bridge has gone away meanwhile. The limits are not
//!   set for the session, because a pooler that pools transactions (PgBouncer, Supavisor) lends the same session to the
//!   owner's programs next: their writes would be refused and their statements cut short. The transaction also keeps
//!   the two halves of a statement, its parsing and its running, on one session of such a pooler.
//! - **No wait for a lock outlives the budget, or a second**, and while it lasts others queue behind it: so it is given
//!   up somewhat earlier than the statement, and known from a slow one.
//! - **A server is not believed**: its answer goes through `sql/wire.rs`, which cuts it at 1 MiB or 2,000
//!   rows, and at its time.
//! - **A host that vanished leaves no session behind**: the server is told to ask after its peer, see [`PostgresLink`].
//!
//! # Whether the data has changed
//! `txid_current_snapshot()` names the transactions that are over and those that are not. As long as it is the same
//! nothing was committed; reading takes no transaction id, so it stands still while nobody writes. `ANALYZE` and a
//! rollback move it too, which merely costs a recount. On a hot standby it does not list the open ones, and may stand
//! still over a commit: there the replayed position of the log is asked instead.
//!
//! # What the statistics know
//! They follow what other sessions do by about a second, up to ten for a session that is busy; before PostgreSQL 15 by
//! half a second more. After a crash they are zero until the next `VACUUM` or `ANALYZE`. On a standby they count
//! nothing. [`PostgresDialect`] says what is made of them.
//!
//! A row that row-level security hides from the bridge's user is not counted by it, but is by the statistics: let the
//! user see all rows (`BYPASSRLS`, or a policy).
//!
//! PostgreSQL 15 and older let a read-only transaction call `lo_create()`: what it made is undone. An advisory lock that
//! an operator's own query takes for the session stays until that ends.

mod config;
mod dialect;
mod error;
mod link;
mod signs;

pub use config::PostgresConfig;
pub use dialect::PostgresDialect;
pub use link::PostgresLink;

use super::sql::Source;

/// The database of `config`, connected to when it is first read.
///
/// # Errors
/// A text for the operator, when the url is not one or holds a password.
pub fn source(config: PostgresConfig) -> Result<Source, String> {
    Ok(Source::new(&PostgresDialect, PostgresLink::new(config)?))
}
