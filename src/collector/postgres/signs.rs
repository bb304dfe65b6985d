//! What PostgreSQL's catalogue and statistics tell of a table's size: the question, and what its answer means. Pure.

use crate::collector::sql::{Cell, Row, Signs};

/// Pages that a sample reads, about.
const SAMPLE_PAGES: u64 = 1000;

/// Parts of a table up to which a sample counts its pages.
const SAMPLE_PARTS: usize = 1000;

/// The question for a table, whose quoted name is given as a text.
///
/// The statistics are asked by their functions, not by the views over them, which read all tables of the database; and
/// the catalogue by `LATERAL … OFFSET 0`, one look at an index a part, since the planner thinks there may be many.
/// The generation changes with the files that the rows are in, and so with `TRUNCATE`, and with the parts of the table.
pub(super) fn select(name: &str) -> String {
    format!(
        "WITH RECURSIVE tree (id) AS (
            SELECT to_regclass({name})::oid
            UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = id
        ), part AS (
            SELECT id, relkind, reltuples::float8 AS tuples, nullif(relpages, 0) AS analysed, relfilenode,
                CASE WHEN relkind IN ('r', 'm') THEN pg_relation_size(id) / current_setting('block_size')::bigint
                    ELSE 0 END AS pages,
                greatest(pg_stat_get_last_vacuum_time(id), pg_stat_get_last_autovacuum_time(id),
                    pg_stat_get_last_analyze_time(id), pg_stat_get_last_autoanalyze_time(id)) AS seen
            FROM tree CROSS JOIN LATERAL (SELECT * FROM pg_class WHERE oid = id OFFSET 0) AS class
        ) SELECT
            bool_and(relkind IN ('r', 'm', 'p'))::text,
            sum(pages)::text,
            bool_and(pages = 0 OR coalesce(seen > pg_postmaster_start_time(), false))::text,
            CASE WHEN bool_and(pages = 0 OR (tuples >= 0 AND analysed IS NOT NULL))
                THEN round(coalesce(sum(tuples / analysed * pages), 0))::bigint::text END,
            (current_setting('track_counts')::bool AND NOT pg_is_in_recovery())::text,
            sum(pg_stat_get_live_tuples(id))::text,
            sum(pg_stat_get_tuples_inserted(id))::text,
            sum(pg_stat_get_tuples_deleted(id))::text,
            md5(string_agg(id || ':' || relfilenode, ',' ORDER BY id)),
            coalesce(string_agg(id::text, ',' ORDER BY id) FILTER (WHERE pages > 0), '')
        FROM part"
    )
}

/// What the answer means for `table`, given quoted. `None` for what has no rows of its own, or is not there.
pub(super) fn read(table: &str, row: &Row) -> Option<Signs> {
    let [is_table, pages, is_current, planned, is_counted, live, inserted, deleted, generation, parts] = row.as_slice()
    else {
        return None;
    };
    if !is_true(is_table) {
        return None;
    }
    let (pages, live) = (number(pages)?, number(live)?);
    let rows = match pages {
        0 => Some(0),
        _ if is_true(is_counted) && is_true(is_current) => Some(live),
        _ => number(planned),
    };
    let flows = is_true(is_counted).then_some([number(inserted)?, number(deleted)?]);
    let level = flows.and(i64::try_from(live).ok());
    let sample = Some(sample(table, pages, parts.as_deref().unwrap_or_default()));
    Some(Signs { rows, sample, level, flows, generation: generation.clone() })
}

/// Estimates the rows of a table by counting those of some of its pages.
///
/// `SYSTEM (p)` takes each page with a chance of p percent, so the number of pages varies by three percent for a
/// thousand, and the rows times 100 / p with it. The pages taken are known, though: the session counts what it fetches,
/// so the rows are scaled by these. The seed of a single part is fixed, so that an unchanged table keeps its estimate;
/// of many parts the same seed would take the same pages in each, or none of all.
fn sample(table: &str, pages: u64, parts: &str) -> String {
    if pages <= SAMPLE_PAGES {
        return format!("SELECT count(*)::text FROM {table}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of pages, of which a table has less than 2^32 a part")]
    let percent = 100.0 * SAMPLE_PAGES as f64 / pages as f64;
    let count = parts.split(',').count();
    let seed = if count == 1 { " REPEATABLE (1)" } else { "" };
    let taken = format!("FROM {table} TABLESAMPLE SYSTEM ({percent:.9}){seed}");
    if count > SAMPLE_PARTS {
        return format!("SELECT (count(*) * 100 / {percent:.9})::bigint::text {taken}");
    }
    let fetched = format!("(SELECT sum(pg_stat_get_xact_blocks_fetched(id)) FROM unnest('{{{parts}}}'::oid[]) AS id)");
    // The counters are read before and after: each step needs the one before it, so they cannot change places.
    format!(
        "SELECT round(CASE WHEN after.pages > before.pages THEN counted.rows * {pages} / (after.pages - before.pages)
            ELSE counted.rows * 100 / {percent:.9} END)::bigint::text
        FROM (SELECT {fetched} AS pages OFFSET 0) AS before
        CROSS JOIN LATERAL (SELECT count(*) AS rows {taken} WHERE before.pages >= 0) AS counted
        CROSS JOIN LATERAL (SELECT {fetched} + 0 * counted.rows AS pages OFFSET 0) AS after"
    )
}

fn is_true(cell: &Cell) -> bool {
    cell.as_deref() == Some("true")
}

fn number(cell: &Cell) -> Option<u64> {
    cell.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer: is it a table, pages, current, planned, counted, live, inserted, deleted, generation, parts.
    fn signs(row: [&str; 10]) -> Option<Signs> {
        let cell = |text: &str| (text != "null").then(|| text.to_owned());
        read("\"skus\"", &row.iter().map(|text| cell(text)).collect())
    }

    fn rows(row: [&str; 10]) -> Option<u64> {
        signs(row).unwrap().rows
    }

    #[test]
    fn the_rows_are_the_first_that_can_be_believed() {
        assert_eq!(rows(["true", "9", "true", "90", "true", "80", "100", "20", "0", "7"]), Some(80));
        assert_eq!(rows(["true", "9", "false", "90", "true", "80", "100", "20", "0", "7"]), Some(90), "not current");
        assert_eq!(rows(["true", "9", "true", "90", "false", "0", "0", "0", "0", "7"]), Some(90), "a standby");
        assert_eq!(rows(["true", "9", "false", "null", "true", "80", "80", "0", "0", "7"]), None, "never analysed");
        assert_eq!(rows(["true", "9", "false", "null", "true", "0", "0", "0", "0", "7"]), None, "after a crash");
        assert_eq!(rows(["true", "0", "true", "0", "true", "0", "0", "0", "0", ""]), Some(0), "empty");
    }

    #[test]
    fn what_is_no_table_has_no_signs() {
        assert_eq!(signs(["false", "0", "true", "0", "true", "0", "0", "0", "0", ""]), None, "a view");
        assert_eq!(signs(["null", "null", "null", "null", "true", "null", "null", "null", "null", ""]), None);
        assert_eq!(read("\"skus\"", &vec![Some("true".to_owned())]), None);
    }

    #[test]
    fn flows_and_level_need_statistics_that_count() {
        let counted = signs(["true", "9", "true", "90", "true", "80", "100", "20", "3", "7"]).unwrap();
        assert_eq!((counted.level, counted.flows), (Some(80), Some([100, 20])));
        assert_eq!(counted.generation.as_deref(), Some("3"));
        let standby = signs(["true", "9", "true", "90", "false", "80", "100", "20", "3", "7"]).unwrap();
        assert_eq!((standby.level, standby.flows), (None, None));
    }

    #[test]
    fn a_sample_reads_about_a_thousand_pages() {
        assert_eq!(sample("t", 1000, "7"), "SELECT count(*)::text FROM t");
        assert!(sample("t", 50_000, "7").contains("FROM t TABLESAMPLE SYSTEM (2.000000000) REPEATABLE (1)"));
        assert!(sample("t", 4_000_000_000, "7").contains("SYSTEM (0.000025000)"));
        let many = vec!["7"; 1001].join(",");
        assert!(sample("t", 50_000, &many).starts_with("SELECT (count(*) * 100 / 2.000000000)::bigint::text FROM t"));
    }
}
