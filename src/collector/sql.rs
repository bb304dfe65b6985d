//! SQL: what the collectors of all databases share. Each database brings a [`Link`], the one connection to it, and a
//! [`Dialect`], its way to write SQL; what is asked, how often, and what the answers mean is the same for all.
//!
//! [`Store`] counts collections, [`Staging`] counts the pipeline, [`Custom`] asks what the operator wants to know. They
//! know no database: the next one is a module
//! beside `sqlite`, `postgres` and `mysql` with these two traits, and a line in the collectors' config.

mod custom;
mod dialect;
mod examine;
mod link;
mod size;
mod staging;
pub(super) mod statement;
mod store;
mod today;
pub(super) mod wire;

use std::time::Duration;

pub use custom::{Custom, Query};
pub use dialect::{Dialect, Moments, Signs, StagingTable, Step};
pub use link::{Cell, Link, Row, Source, Version};
pub use staging::Staging;
pub use store::Store;

/// A count is repeated after this time even if nothing says that the data has changed.
const RECOUNT_AFTER: Duration = Duration::from_secs(3600);

/// The first cell of a result.
fn cell(rows: &[Row]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}
