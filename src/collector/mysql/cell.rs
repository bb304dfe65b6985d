//! Cells as text, whatever type the server gives a column. Knows no connection.

use sqlx::mysql::MySqlRow;
use sqlx::{Error, Row as _};

use crate::collector::sql::Row;

/// A row of an answer in the text protocol, where every cell is a text already; the driver takes it for one if it is not
/// asked to compare types.
///
/// # Errors
/// When a cell is not UTF-8.
pub(super) fn row(row: &MySqlRow) -> Result<Row, Error> {
    (0..row.len()).map(|index| row.try_get_unchecked(index)).collect()
}
