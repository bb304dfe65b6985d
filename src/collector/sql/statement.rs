//! The statements about the pipeline, and the times in them. Pure; a database's own way to write is the dialect's.

use super::{Dialect, Moments, StagingTable};
use crate::clock::Wall;

/// The longest text of a time that is looked at.
const TIME_CHARACTERS: u32 = 64;

/// The longest text of a count.
const COUNT_CHARACTERS: u32 = 24;

/// From when to when completed items are counted, and up to when once and for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collector) struct Window {
    pub(in crate::collector) from: Wall,
    pub(in crate::collector) cut: Wall,
    pub(in crate::collector) end: Wall,
    /// What stands between date and time in a column of texts: a space, or a `T`.
    pub(in crate::collector) separator: char,
}

/// The statements about a table.
pub(in crate::collector) struct Statements<'a> {
    pub(in crate::collector) dialect: &'static dyn Dialect,
    pub(in crate::collector) table: &'a StagingTable,
}

impl Statements<'_> {
    /// Five cells: the pending and the processing items, the items completed in the window, those of them before the
    /// cut, and the newest time. One statement, and so one instant: an item that moves on meanwhile is neither lost nor
    /// counted twice.
    ///
    /// The status is a literal: only then can a database prove that an index `(completed) WHERE status = 'completed'`
    /// holds all that are asked for.
    pub(in crate::collector) fn poll(&self, window: Window) -> String {
        let time = self.dialect.identifier(&self.table.completed_column);
        let cut = self.moment(window.cut, window.separator);
        let counted = format!(
            "SELECT count(*) AS items, count(CASE WHEN {time} < {cut} THEN 1 END) AS settled, max({time}) AS newest{}",
            self.completed(window.from, window.end, window.separator),
        );
        let count = |expression: &str| self.dialect.text(expression, COUNT_CHARACTERS);
        let open = |state: &str| count(&format!("({})", self.open(state)));
        format!(
            "SELECT {}, {}, {}, {}, {} FROM ({counted}) AS completed",
            open(&self.table.pending),
            open(&self.table.processing),
            count("completed.items"),
            count("completed.settled"),
            self.dialect.text("completed.newest", TIME_CHARACTERS),
        )
    }

    /// One cell: the items completed from `from` up to, and not including, `end`.
    pub(in crate::collector) fn between(&self, from: Wall, end: Wall) -> String {
        let count = self.dialect.text("count(*)", COUNT_CHARACTERS);
        format!("SELECT {count}{}", self.completed(from, end, ' '))
    }

    /// One cell: the time of a completed item that shows if the column holds numbers, or if it holds none. Numbers
    /// sort before texts.
    pub(in crate::collector) fn probe(&self) -> String {
        let time = self.dialect.identifier(&self.table.completed_column);
        let extreme = match self.table.completed_type {
            Moments::Datetime => "min",
            Moments::UnixSeconds | Moments::UnixMilliseconds => "max",
        };
        let text = self.dialect.text(&format!("{extreme}({time})"), TIME_CHARACTERS);
        format!("SELECT {text}{}", self.in_state(&self.table.completed))
    }

    fn completed(&self, from: Wall, end: Wall, separator: char) -> String {
        let time = self.dialect.identifier(&self.table.completed_column);
        let (from, end) = (self.moment(from, separator), self.moment(end, ' '));
        format!("{} AND {time} >= {from} AND {time} < {end}", self.in_state(&self.table.completed))
    }

    /// The items of an open state. The second condition says nothing new, but is what an index `WHERE status IN
    /// ('pending', 'processing')` is matched by; the first one matches an index with `OR`.
    fn open(&self, state: &str) -> String {
        let status = self.dialect.identifier(&self.table.status_column);
        let literal = |text: &str| self.dialect.literal(text);
        let (pending, processing) = (literal(&self.table.pending), literal(&self.table.processing));
        format!("SELECT count(*){} AND {status} IN ({pending}, {processing})", self.in_state(state))
    }

    fn in_state(&self, state: &str) -> String {
        let (table, status) =
            (self.dialect.table(&self.table.table), self.dialect.identifier(&self.table.status_column));
        format!(" FROM {table} WHERE {status} = {}", self.dialect.literal(state))
    }

    /// A time as the column holds it. Without a zone: as a text it sorts before PocketBase's `…Z` of the same instant
    /// and after all earlier ones, and as a time it is taken in the session's zone, which is UTC.
    fn moment(&self, wall: Wall, separator: char) -> String {
        match self.table.completed_type {
            Moments::Datetime => {
                let time = jiff::Timestamp::from_nanosecond(i128::from(wall.0)).unwrap_or(jiff::Timestamp::MAX);
                self.dialect.literal(&time.strftime(&format!("%Y-%m-%d{separator}%H:%M:%S%.3f")).to_string())
            }
            Moments::UnixSeconds => (wall.0 / 1_000_000_000).to_string(),
            Moments::UnixMilliseconds => (wall.0 / 1_000_000).to_string(),
        }
    }
}

/// The time a cell holds; `None` if it is none.
pub(super) fn time_of(cell: &str, stored: Moments) -> Option<Wall> {
    let nanoseconds = match stored {
        Moments::Datetime => {
            let in_utc = |time| jiff::tz::TimeZone::UTC.to_timestamp(time).ok();
            let time = cell.parse::<jiff::Timestamp>().ok();
            time.or_else(|| cell.parse::<jiff::civil::DateTime>().ok().and_then(in_utc))?.as_nanosecond()
        }
        Moments::UnixSeconds => cell.parse::<i128>().ok()? * 1_000_000_000,
        Moments::UnixMilliseconds => cell.parse::<i128>().ok()? * 1_000_000,
    };
    u64::try_from(nanoseconds).ok().map(Wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_databases_write_them() {
        let noon = Wall::from_secs(1_705_320_000);
        for text in [
            "2024-01-15 12:00:00.000Z",
            "2024-01-15T12:00:00Z",
            "2024-01-15 12:00:00+00",
            "2024-01-15 14:00:00+02",
            "2024-01-15 12:00:00.000000",
        ] {
            assert_eq!(time_of(text, Moments::Datetime), Some(noon), "{text}");
        }
        assert_eq!(time_of("1705320000", Moments::UnixSeconds), Some(noon));
        assert_eq!(time_of("1705320000000", Moments::UnixMilliseconds), Some(noon));
        for text in ["", "yesterday", "1705320000"] {
            assert_eq!(time_of(text, Moments::Datetime), None, "{text}");
        }
        assert_eq!(time_of("-1", Moments::UnixSeconds), None);
    }
}
