//! How SQLite runs the statements about the pipeline.

use super::super::dialect::SqliteDialect;
use super::super::testing;
use crate::clock::Day;
use crate::collector::sql::statement::{Statements, Window};
use crate::collector::sql::{Dialect, StagingTable};

/// The steps that touch the table, of the poll and of the count of a span, in a table with these indexes.
fn plan(indexes: &[String]) -> Vec<String> {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(testing::STAGING).unwrap();
    for index in indexes {
        connection.execute_batch(index).unwrap();
    }
    let table = StagingTable::default();
    let statements = Statements { dialect: &SqliteDialect, table: &table };
    let [from, end] = [Day(1).start(), Day(2).start()];
    let poll = statements.poll(Window { from, cut: from, end, separator: ' ' });
    let steps = [poll, statements.between(from, end), statements.probe()].into_iter().flat_map(|sql| {
        let mut statement = connection.prepare(&SqliteDialect.explain(&sql)).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).filter(|step| step.contains("staging")).collect::<Vec<_>>()
    });
    steps.collect()
}

#[test]
fn the_advised_indexes_serve_all_counts() {
    let mut steps = plan(&SqliteDialect.advised_indexes(&StagingTable::default()));
    steps.sort();
    let completed = "SEARCH staging USING COVERING INDEX idx_staging_completed (completed>? AND completed<?)";
    let open = "SEARCH staging USING COVERING INDEX idx_staging_open (status=?)";
    assert_eq!(steps, ["SEARCH staging USING COVERING INDEX idx_staging_completed", completed, completed, open, open]);
}

#[test]
fn indexes_written_otherwise_serve_too() {
    for open in [
        "CREATE INDEX o ON staging (status) WHERE status = 'pending' OR status = 'processing'",
        "CREATE INDEX o ON staging (status) WHERE status = 'processing' OR status = 'pending'",
        "CREATE INDEX o ON staging (status, completed)",
    ] {
        let steps = plan(&[open.to_owned()]);
        let served = steps.iter().filter(|step| step.contains("COVERING INDEX o (status=?"));
        assert!(served.count() >= 2, "{open}: {steps:?}");
    }
    let rows: Vec<_> = plan(&[]).into_iter().map(|step| vec![Some(step)]).collect();
    let steps = SqliteDialect.plan(&rows);
    assert!(steps.iter().all(|step| step.is_full_scan), "{steps:?}");
}

#[test]
fn the_rows_of_a_query_are_no_table() {
    let rows = ["CO-ROUTINE completed", "SEARCH staging USING INDEX i (a=?)", "SCAN completed", "SCAN staging"];
    let rows: Vec<_> = rows.iter().map(|step| vec![Some((*step).to_owned())]).collect();
    let scans: Vec<_> = SqliteDialect.plan(&rows).into_iter().map(|step| step.is_full_scan).collect();
    assert_eq!(scans, [false, false, false, true]);
}
