//! How PostgreSQL writes SQL. Pure.

use super::signs;
use crate::collector::sql::{Dialect, Row, Signs, StagingTable};

/// Longest part of a table's name in an index's: PostgreSQL cuts names at 63 bytes.
const NAME_BYTES: usize = 48;

/// PostgreSQL's way to write SQL. Texts hold for every setting of `standard_conforming_strings`; a NUL, which no text of
/// PostgreSQL can have, is left out.
///
/// Of a table's size it tells, for a partitioned or inherited one as the sum of its parts, for views and foreign tables
/// nothing:
/// - the rows, if the table has no page, or all parts with pages were vacuumed or analysed since the server started
///   (their statistics survived no crash), or all have an estimate from their last `VACUUM` or `ANALYZE`, scaled to the
///   pages of today as the planner does;
/// - a sample of about a thousand pages, right to about a percent where these are alike;
/// - level and flows where the statistics count, which they do not on a standby. What empties, attaches or detaches a
///   part is in no statistics, so it shows as a jump of the flows.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgresDialect;

impl Dialect for PostgresDialect {
    fn source(&self) -> &'static str {
        "postgres"
    }

    fn identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
    }

    fn table(&self, name: &str) -> String {
        name.split('.').map(|part| self.identifier(part)).collect::<Vec<_>>().join(".")
    }

    fn literal(&self, text: &str) -> String {
        let quoted = text.replace('\0', "").replace('\'', "''");
        if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
    }

    fn text(&self, expression: &str, characters: u32) -> String {
        format!("left(({expression})::text, {characters})")
    }

    fn count(&self, table: &str) -> String {
        format!("SELECT count(*)::text FROM {}", self.table(table))
    }

    fn signs(&self, table: &str) -> Vec<String> {
        vec![signs::select(&self.literal(&self.table(table)))]
    }

    fn signs_of(&self, table: &str, row: &Row) -> Option<Signs> {
        signs::read(&self.table(table), row)
    }

    fn explain(&self, sql: &str) -> String {
        format!("EXPLAIN {sql}")
    }

    fn is_full_scan(&self, step: &Row) -> bool {
        let step = step.first().and_then(Option::as_deref).unwrap_or_default();
        let step = step.trim_start().trim_start_matches("->").trim_start();
        step.starts_with("Seq Scan on ") || step.starts_with("Parallel Seq Scan on ")
    }

    fn advised_indexes(&self, table: &StagingTable) -> Vec<String> {
        let (name, status) = (self.table(&table.table), self.identifier(&table.status_column));
        let index = |part: &str| {
            let plain = table.table.rsplit('.').next().unwrap_or_default();
            let end = (0..=plain.len().min(NAME_BYTES)).rev().find(|&end| plain.is_char_boundary(end));
            self.identifier(&format!("{}_{part}_idx", &plain[..end.unwrap_or_default()]))
        };
        vec![
            format!(
                "CREATE INDEX CONCURRENTLY {} ON {name} ({status}) WHERE {status} = {} OR {status} = {}",
                index("open"),
                self.literal(&table.pending),
                self.literal(&table.processing),
            ),
            format!(
                "CREATE INDEX CONCURRENTLY {} ON {name} ({}) WHERE {status} = {}",
                index("completed"),
                self.identifier(&table.completed_column),
                self.literal(&table.completed),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: PostgresDialect = PostgresDialect;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(SQL.identifier(r#"we"ird"#), r#""we""ird""#);
        assert_eq!(SQL.table("shop.skus"), r#""shop"."skus""#);
        assert_eq!(SQL.count(r#"a"; DROP TABLE b; --"#), r#"SELECT count(*)::text FROM "a""; DROP TABLE b; --""#);
        assert_eq!(SQL.literal("it's"), "'it''s'");
        assert_eq!(SQL.literal(r"\'; DROP TABLE b; --"), r"E'\\''; DROP TABLE b; --'");
        assert_eq!((SQL.literal("a\0b"), SQL.identifier("a\0b")), ("'ab'".to_owned(), "\"ab\"".to_owned()));
    }

    #[test]
    fn a_step_that_reads_a_whole_table_is_known() {
        for (step, is_full) in [
            ("Seq Scan on staging  (cost=0.00..1.01 rows=1 width=32)", true),
            ("              ->  Parallel Seq Scan on staging w  (cost=0.00..1.01 rows=1 width=32)", true),
            ("  ->  Index Only Scan using staging_open_idx on staging  (cost=0.12..4.14 rows=1 width=0)", false),
            ("        Index Cond: (status = 'Seq Scan on x'::text)", false),
        ] {
            assert_eq!(SQL.is_full_scan(&vec![Some(step.to_owned())]), is_full, "{step}");
        }
        assert!(!SQL.is_full_scan(&vec![None]) && !SQL.is_full_scan(&Vec::new()));
    }

    #[test]
    fn indexes_are_advised_for_the_configured_names() {
        assert_eq!(
            SQL.advised_indexes(&StagingTable { table: "shop.staging".to_owned(), ..StagingTable::default() }),
            [
                r#"CREATE INDEX CONCURRENTLY "staging_open_idx" ON "shop"."staging" ("status") WHERE "status" = 'pending' OR "status" = 'processing'"#,
                r#"CREATE INDEX CONCURRENTLY "staging_completed_idx" ON "shop"."staging" ("completed") WHERE "status" = 'completed'"#,
            ]
        );
        let table = StagingTable { table: "é".repeat(40), ..StagingTable::default() };
        let name = format!("\"{}_open_idx\"", "é".repeat(24));
        assert!(SQL.advised_indexes(&table)[0].contains(&name));
    }
}
