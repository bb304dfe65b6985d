//! SQL text: quoting by SQLite's rules, PocketBase's dates, and the statements. Pure.

use crate::clock::{Day, Wall};

use super::StagingTable;

/// Whether a name is a table or a view; as SQLite does, without regard to ASCII case.
pub(super) const EXISTS: &str =
    "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";

/// A name as SQL writes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time as PocketBase stores it: `2024-01-15 10:30:00.000Z`, UTC, which sorts as text.
pub(super) fn time(wall: Wall) -> String {
    let nanoseconds = i128::from(wall.0);
    let time = jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// The bounds of the days from `first` up to, and not including, `end`.
pub(super) fn bounds(first: Day, end: Day) -> [String; 2] {
    [time(first.start()), time(end.start())]
}

/// Counts the records of a collection.
pub(super) fn count(collection: &str) -> String {
    format!("SELECT count(*) FROM {}", identifier(collection))
}

/// Counts the items completed from `?1` up to, and not including, `?2`.
///
/// The status is a literal, not a parameter: only then can SQLite prove that an index
/// `(completed) WHERE status = 'completed'` holds all of them.
pub(super) fn completed(table: &StagingTable) -> String {
    format!(
        "SELECT count(*) FROM {} WHERE {} = {} AND {time} >= ?1 AND {time} < ?2",
        identifier(&table.table),
        identifier(&table.status_column),
        literal(&table.completed),
        time = identifier(&table.completed_column),
    )
}

/// Counts the pending, the processing and today's completed items in one statement, and so at one instant: an item
/// that moves on meanwhile is neither lost nor counted twice.
pub(super) fn staging(table: &StagingTable) -> String {
    format!("SELECT ({}), ({}), ({})", open(table, &table.pending), open(table, &table.processing), completed(table))
}

/// Counts the items of an open state. The second condition says nothing new, but is what an index
/// `WHERE status IN ('pending', 'processing')` is matched by; the first one matches an index with `OR`.
fn open(table: &StagingTable, state: &str) -> String {
    let status = identifier(&table.status_column);
    let (pending, processing) = (literal(&table.pending), literal(&table.processing));
    format!(
        "SELECT count(*) FROM {} WHERE {status} = {} AND {status} IN ({pending}, {processing})",
        identifier(&table.table),
        literal(state),
    )
}

/// The indexes that make [`staging`] cheap. With `OR`, not `IN`: PocketBase refuses an index with a second pair of
/// parentheses.
pub(super) fn advised_indexes(table: &StagingTable) -> [String; 2] {
    let (name, status) = (identifier(&table.table), identifier(&table.status_column));
    [
        format!(
            "CREATE INDEX {} ON {name} ({status}) WHERE {status} = {} OR {status} = {}",
            identifier(&format!("idx_{}_open", table.table)),
            literal(&table.pending),
            literal(&table.processing),
        ),
        format!(
            "CREATE INDEX {} ON {name} ({}) WHERE {status} = {}",
            identifier(&format!("idx_{}_completed", table.table)),
            identifier(&table.completed_column),
            literal(&table.completed),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier(r#"we"ird"#), r#""we""ird""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(count(r#"a"; DROP TABLE b; --"#), r#"SELECT count(*) FROM "a""; DROP TABLE b; --""#);
    }

    #[test]
    fn times_are_written_as_pocketbase_writes_them() {
        assert_eq!(time(Wall(1_705_314_600_123_999_999)), "2024-01-15 10:30:00.123Z");
        let day = Wall::from_secs(1_705_314_600).day();
        assert_eq!(bounds(day, day.next()), ["2024-01-15 00:00:00.000Z", "2024-01-16 00:00:00.000Z"]);
    }

    /// The steps of SQLite's plan for the staging statement in a table with these indexes.
    fn plan(indexes: &[String]) -> Vec<String> {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(testing::STAGING).unwrap();
        for index in indexes {
            connection.execute_batch(index).unwrap();
        }
        let explain = format!("EXPLAIN QUERY PLAN {}", staging(&StagingTable::default()));
        let mut statement = connection.prepare(&explain).unwrap();
        let bounds = bounds(Day(1), Day(2));
        let steps = statement.query_map(rusqlite::params_from_iter(bounds), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).filter(|step| step.contains("staging")).collect()
    }

    #[test]
    fn the_advised_indexes_serve_all_three_counts() {
        let steps = plan(&advised_indexes(&StagingTable::default()));
        assert_eq!(
            steps,
            [
                "SEARCH staging USING COVERING INDEX idx_staging_open (status=?)",
                "SEARCH staging USING COVERING INDEX idx_staging_open (status=?)",
                "SEARCH staging USING COVERING INDEX idx_staging_completed (completed>? AND completed<?)",
            ]
        );
    }

    #[test]
    fn indexes_written_otherwise_serve_too() {
        for open in [
            "CREATE INDEX o ON staging (status) WHERE status = 'pending' OR status = 'processing'",
            "CREATE INDEX o ON staging (status) WHERE status = 'processing' OR status = 'pending'",
            "CREATE INDEX o ON staging (status, completed)",
        ] {
            let steps = plan(&[open.to_owned()]);
            assert!(steps[..2].iter().all(|step| step.contains("COVERING INDEX o (status=?)")), "{open}: {steps:?}");
        }
        assert!(plan(&[]).iter().all(|step| step.starts_with("SCAN staging")));
    }
}
