//! How a database writes SQL. Pure: texts in, texts out.

use super::Row;
use crate::collector::ErrorClass;

/// A database's way to write SQL.
pub trait Dialect: Send + Sync {
    /// The kind of source, as in the config: the `source` attribute of the bridge's own figures.
    fn source(&self) -> &'static str;

    /// What can go wrong with it: by default all that can with a server.
    fn error_classes(&self) -> &'static [ErrorClass] {
        &[
            ErrorClass::Budget,
            ErrorClass::Damaged,
            ErrorClass::Locked,
            ErrorClass::Missing,
            ErrorClass::NotFound,
            ErrorClass::Other,
            ErrorClass::Oversized,
            ErrorClass::Panic,
            ErrorClass::Range,
            ErrorClass::Stopped,
            ErrorClass::Timeout,
            ErrorClass::Type,
            ErrorClass::Unauthorized,
            ErrorClass::Unreachable,
        ]
    }

    /// A name of a column, quoted.
    fn identifier(&self, name: &str) -> String;

    /// A name of a table or view, quoted; where the database has schemas, `schema.table` names one in its schema.
    fn table(&self, name: &str) -> String;

    /// A text, quoted.
    fn literal(&self, text: &str) -> String;

    /// An expression as text of at most `characters` characters.
    fn text(&self, expression: &str, characters: u32) -> String;

    /// A `SELECT` of one cell: the number of rows of a table or view. Null if there is none of this name, where the
    /// database itself would not make an error of it.
    fn count(&self, table: &str) -> String;

    /// `SELECT`s of one row each that tell of a table's size without reading it, the best first: the next is asked if
    /// one fails or [`Dialect::signs_of`] makes nothing of its row. They may fail where there is no such table.
    fn signs(&self, table: &str) -> Vec<String>;

    /// What a row of one of [`Dialect::signs`] tells.
    fn signs_of(&self, table: &str, row: &Row) -> Option<Signs>;

    /// The statement that explains how `sql` is run, one step a row.
    fn explain(&self, sql: &str) -> String;

    /// The explanation's rows as steps.
    fn plan(&self, rows: &[Row]) -> Vec<Step> {
        rows.iter().map(|row| Step { text: self.step(row), is_full_scan: self.is_full_scan(row) }).collect()
    }

    /// A row of that explanation as a line for people.
    fn step(&self, row: &Row) -> String {
        row.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Whether a step of that explanation reads a whole table.
    fn is_full_scan(&self, step: &Row) -> bool;

    /// The statements that create the indexes by which the pipeline's counts are cheap.
    fn advised_indexes(&self, table: &StagingTable) -> Vec<String>;
}

/// A step of how a statement is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done, as the database says it.
    pub text: String,
    /// Whether a whole table is read.
    pub is_full_scan: bool,
}

/// What the database's own statistics tell of a table's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The rows, where the statistics can be believed as they are.
    pub rows: Option<u64>,
    /// A `SELECT` of one cell that estimates the rows by reading a small part of the table, for when they cannot.
    pub sample: Option<String>,
    /// A number that moves as the rows do, though it may be off by a constant, or jump when the statistics are made
    /// anew.
    pub level: Option<i64>,
    /// Rows ever inserted and ever deleted, of this table or of more than it: between two looks the rows have changed
    /// by no more than these have.
    pub flows: Option<[u64; 2]>,
    /// Changes when rows may have come or gone that the flows do not tell of, as by `TRUNCATE`.
    pub generation: Option<String>,
}

/// How a pipeline's table stores the time of completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moments {
    /// A time of the database's own type, or a text such as PocketBase's `2024-01-15 10:30:00.000Z`, in UTC.
    #[default]
    Datetime,
    /// A whole number of seconds since 1970.
    UnixSeconds,
    /// A whole number of milliseconds since 1970.
    UnixMilliseconds,
}

/// Where the pipeline's items are, and how their states are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagingTable {
    /// The table or view.
    pub table: String,
    /// The column with the state.
    pub status_column: String,
    /// The column with the time of completion; null or empty as long as there is none.
    pub completed_column: String,
    /// How that time is stored.
    pub completed_type: Moments,
    /// The state of an item that waits.
    pub pending: String,
    /// The state of an item at work.
    pub processing: String,
    /// The state of an item that is done.
    pub completed: String,
}

impl Default for StagingTable {
    fn default() -> Self {
        Self {
            table: "staging".to_owned(),
            status_column: "status".to_owned(),
            completed_column: "completed".to_owned(),
            completed_type: Moments::Datetime,
            pending: "pending".to_owned(),
            processing: "processing".to_owned(),
            completed: "completed".to_owned(),
        }
    }
}
