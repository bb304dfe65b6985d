//! SQL as SQLite writes it. Pure.

use crate::collector::ErrorClass;
use crate::collector::sql::{Dialect, Row, Signs, StagingTable, Step};

/// SQLite's way to write SQL.
pub(super) struct SqliteDialect;

/// Rows looked for where a table's size is sampled.
const PROBES: i64 = 2000;

/// How SQLite says that it runs a query whose rows it then scans.
const QUERIES: [&str; 2] = ["CO-ROUTINE ", "MATERIALIZE "];

impl Dialect for SqliteDialect {
    fn source(&self) -> &'static str {
        "sqlite"
    }

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
        ]
    }

    fn identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn table(&self, name: &str) -> String {
        self.identifier(name)
    }

    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn text(&self, expression: &str, characters: u32) -> String {
        format!("substr(CAST({expression} AS TEXT), 1, {characters})")
    }

    /// By itself SQLite would also count its own tables and table-valued functions.
    fn count(&self, table: &str) -> String {
        format!(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') \
             AND name = {} COLLATE NOCASE) THEN (SELECT count(*) FROM {}) END",
            self.literal(table),
            self.table(table),
        )
    }

    /// The highest and lowest rowid, each by itself: in one `SELECT` they would read the whole table. A table without
    /// rowids may have been counted by `ANALYZE`.
    fn signs(&self, table: &str) -> Vec<String> {
        let (name, quoted) = (self.literal(table), self.table(table));
        vec![
            format!("SELECT 'rowid', (SELECT max(rowid) FROM {quoted}), (SELECT min(rowid) FROM {quoted})"),
            // The first number of an index is the rows it has; a partial one has not all.
            format!("SELECT 'stat', max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = {name} COLLATE NOCASE"),
        ]
    }

    fn signs_of(&self, table: &str, row: &Row) -> Option<Signs> {
        let cells: Vec<_> = row.iter().map(Option::as_deref).collect();
        match cells[..] {
            [Some("rowid"), Some(max), Some(min)] => {
                let (max, min) = (max.parse::<i64>().ok()?, min.parse::<i64>().ok()?);
                // The highest says how many there are only if none was ever deleted, so some are looked for.
                Some(Signs { sample: Some(self.sample(table, min, max)?), level: Some(max), ..Signs::default() })
            }
            [Some("rowid"), None, None] => Some(Signs { rows: Some(0), level: Some(0), ..Signs::default() }),
            [Some("stat"), Some(rows)] => {
                let rows = rows.parse().ok()?;
                Some(Signs { rows: Some(rows), level: i64::try_from(rows).ok(), ..Signs::default() })
            }
            _ => None,
        }
    }

    fn explain(&self, sql: &str) -> String {
        format!("EXPLAIN QUERY PLAN {sql}")
    }

    /// What a query of the statement's own brings is scanned too, and is no table.
    fn plan(&self, rows: &[Row]) -> Vec<Step> {
        let texts: Vec<_> = rows.iter().map(|row| self.step(row)).collect();
        let queries: Vec<_> =
            texts.iter().filter_map(|text| QUERIES.iter().find_map(|made| text.strip_prefix(made))).collect();
        let is_query = |text: &str| text.strip_prefix("SCAN ").is_some_and(|name| queries.contains(&name));
        let steps = rows.iter().zip(&texts);
        steps
            .map(|(row, text)| Step { text: text.clone(), is_full_scan: self.is_full_scan(row) && !is_query(text) })
            .collect()
    }

    fn step(&self, row: &Row) -> String {
        row.last().cloned().flatten().unwrap_or_default()
    }

    fn is_full_scan(&self, step: &Row) -> bool {
        let step = self.step(step);
        // The extreme of a column without an index is searched for in the whole table.
        step.starts_with("SCAN ") || (step.starts_with("SEARCH ") && !step.contains(" USING "))
    }

    /// With `OR`, not `IN`: PocketBase refuses an index with a second pair of parentheses.
    fn advised_indexes(&self, table: &StagingTable) -> Vec<String> {
        let (name, status) = (self.table(&table.table), self.identifier(&table.status_column));
        vec![
            format!(
                "CREATE INDEX {} ON {name} ({status}) WHERE {status} = {} OR {status} = {}",
                self.identifier(&format!("idx_{}_open", table.table)),
                self.literal(&table.pending),
                self.literal(&table.processing),
            ),
            format!(
                "CREATE INDEX {} ON {name} ({}) WHERE {status} = {}",
                self.identifier(&format!("idx_{}_completed", table.table)),
                self.identifier(&table.completed_column),
                self.literal(&table.completed),
            ),
        ]
    }
}

impl SqliteDialect {
    /// Looks for rows spread evenly, but not regularly, over the rowids: what part of them is there, times all.
    fn sample(&self, table: &str, min: i64, max: i64) -> Option<String> {
        let span = i64::try_from(max.abs_diff(min)).ok()?.checked_add(1)?;
        let probes = span.min(PROBES);
        let stride = span / probes;
        Some(format!(
            "WITH RECURSIVE probe(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM probe LIMIT {probes}) \
             SELECT CAST(count(*) * ({span} / {probes}.0) + 0.5 AS INTEGER) FROM probe WHERE EXISTS \
             (SELECT 1 FROM {} WHERE rowid = {min} + i * {stride} + (i * 2654435761) % {stride})",
            self.table(table),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(SqliteDialect.identifier(r#"we"ird"#), r#""we""ird""#);
        assert_eq!(SqliteDialect.literal("it's"), "'it''s'");
        let count = SqliteDialect.count(r#"a"; DROP TABLE b; --"#);
        assert!(count.ends_with(r#"THEN (SELECT count(*) FROM "a""; DROP TABLE b; --") END"#), "{count}");
    }

    /// How many rows the sample sees of 0 to 99,999 after `delete`.
    fn sampled(delete: &str) -> i64 {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let fill = "CREATE TABLE t (id TEXT PRIMARY KEY);
            INSERT INTO t (rowid, id) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 100000)
            SELECT i, i FROM n;";
        connection.execute_batch(&format!("{fill} {delete}")).unwrap();
        let signs = &SqliteDialect.signs("t")[0];
        let ids: [Option<i64>; 2] = connection.query_row(signs, [], |row| Ok([row.get(1)?, row.get(2)?])).unwrap();
        let row = [Some("rowid".to_owned()), ids[0].map(|id| id.to_string()), ids[1].map(|id| id.to_string())];
        let sample = SqliteDialect.signs_of("t", &row.to_vec()).unwrap().sample.unwrap();
        connection.query_row(&sample, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_sample_sees_what_was_deleted() {
        assert_eq!(sampled(""), 100_000);
        assert_eq!(sampled("DELETE FROM t WHERE rowid > 10"), 11);
        for delete in [
            "DELETE FROM t WHERE rowid % 5 = 0",
            "DELETE FROM t WHERE rowid BETWEEN 10000 AND 29999",
            "DELETE FROM t WHERE abs(random()) % 5 = 0",
        ] {
            let rows = sampled(delete);
            assert!((77_000..83_000).contains(&rows), "{delete}: {rows}");
        }
    }
}
