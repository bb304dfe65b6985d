//! How MySQL and MariaDB write SQL, for a session whose `sql_mode` is `NO_BACKSLASH_ESCAPES`. Pure.

use crate::collector::sql::{Dialect, Row, Signs, StagingTable};

/// Longest name of an index.
const NAME_CHARACTERS_MAX: usize = 64;

/// The counters of inserted and of deleted rows. MariaDB has had none of InnoDB since 10.6, MySQL's handler counters
/// also count the rows of temporary tables. Each reads the other's text as a comment: MariaDB passes over comments for
/// MySQL 5.7 and newer.
const FLOWS: [[&str; 2]; 2] = [["HANDLER_WRITE", "Innodb_rows_inserted"], ["HANDLER_DELETE", "Innodb_rows_deleted"]];

/// SQL as MySQL and MariaDB read it.
#[derive(Clone, Copy, Debug)]
pub struct MysqlDialect;

impl Dialect for MysqlDialect {
    fn source(&self) -> &'static str {
        "mysql"
    }

    fn identifier(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn table(&self, name: &str) -> String {
        name.split('.').map(|part| self.identifier(part)).collect::<Vec<_>>().join(".")
    }

    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn text(&self, expression: &str, characters: u32) -> String {
        format!("LEFT(CAST({expression} AS CHAR), {characters})")
    }

    fn count(&self, table: &str) -> String {
        format!("SELECT CAST(COUNT(*) AS CHAR) FROM {}", self.table(table))
    }

    fn signs(&self, table: &str) -> Vec<String> {
        let (schema, name) = match table.split_once('.') {
            Some((schema, name)) => (self.literal(schema), self.literal(name)),
            None => ("DATABASE()".to_owned(), self.literal(table)),
        };
        let from = format!("FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {name}");
        let [inserted, deleted] = FLOWS.map(counter);
        vec![
            format!("SELECT CAST(TABLE_ROWS AS CHAR), {inserted}, {deleted} {from}"),
            format!("SELECT CAST(TABLE_ROWS AS CHAR) {from}"),
        ]
    }

    fn signs_of(&self, _table: &str, row: &Row) -> Option<Signs> {
        let number = |at: usize| row.get(at)?.as_deref()?.parse::<u64>().ok();
        let rows = number(0)?;
        let flows = number(1).zip(number(2)).map(<[u64; 2]>::from);
        Some(Signs { rows: Some(rows), level: i64::try_from(rows).ok(), flows, ..Signs::default() })
    }

    fn explain(&self, sql: &str) -> String {
        format!("EXPLAIN FORMAT=TRADITIONAL {sql}")
    }

    fn is_full_scan(&self, step: &Row) -> bool {
        let cell = |at: usize| step.get(at).and_then(Option::as_deref).unwrap_or_default();
        // MySQL has a column for partitions, and another for what a condition leaves.
        let access = cell(if step.len() > 10 { 4 } else { 3 });
        let is_stored = !cell(2).starts_with('<');
        is_stored && (access == "ALL" || access == "index")
    }

    /// A column of type `TEXT` needs a length there, as in `status(16)`; a count by such an index reads the rows too.
    fn advised_indexes(&self, table: &StagingTable) -> Vec<String> {
        let (status, completed) = (&table.status_column, &table.completed_column);
        let name: String = format!("{}_{status}_{completed}", table.table)
            .replace('.', "_")
            .chars()
            .take(NAME_CHARACTERS_MAX)
            .collect();
        vec![format!(
            "CREATE INDEX {} ON {} ({}, {})",
            self.identifier(&name),
            self.table(&table.table),
            self.identifier(status),
            self.identifier(completed),
        )]
    }
}

/// The value of one of the server's counters.
fn counter([mariadb, mysql]: [&str; 2]) -> String {
    format!(
        "(SELECT CAST(VARIABLE_VALUE AS CHAR) FROM /*M! information_schema.GLOBAL_STATUS */ /*!50708 \
         performance_schema.global_status */ WHERE VARIABLE_NAME = /*M! '{mariadb}' */ /*!50708 '{mysql}' */)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: MysqlDialect = MysqlDialect;

    fn row(cells: &[&str]) -> Row {
        cells.iter().map(|cell| (*cell != "NULL").then(|| (*cell).to_owned())).collect()
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(DIALECT.identifier("we`ird.x"), "`we``ird.x`");
        assert_eq!(DIALECT.table("shop.sk`us"), "`shop`.`sk``us`");
        assert_eq!(DIALECT.literal(r"it's a \"), r"'it''s a \'");
        assert_eq!(
            DIALECT.count("a`; DROP TABLE b; -- "),
            "SELECT CAST(COUNT(*) AS CHAR) FROM `a``; DROP TABLE b; -- `"
        );
        assert_eq!(DIALECT.text("max(n)", 20), "LEFT(CAST(max(n) AS CHAR), 20)");
    }

    #[test]
    fn signs_are_of_the_table_in_its_schema() {
        let signs = DIALECT.signs("skus");
        assert!(signs[0].contains("TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'skus'"), "{signs:?}");
        assert!(DIALECT.signs("shop.sk'us")[1].contains("TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'sk''us'"));
    }

    #[test]
    fn signs_tell_the_level_and_the_flows() {
        let full = DIALECT.signs_of("skus", &row(&["1403817", "9", "4"])).unwrap();
        assert_eq!(
            full,
            Signs { rows: Some(1_403_817), level: Some(1_403_817), flows: Some([9, 4]), ..Signs::default() }
        );
        assert_eq!(DIALECT.signs_of("skus", &row(&["7", "NULL", "4"])).unwrap().flows, None);
        assert_eq!(DIALECT.signs_of("skus", &row(&["7"])).unwrap().rows, Some(7));
        assert_eq!(DIALECT.signs_of("view", &row(&["NULL", "9", "4"])), None);
    }

    #[test]
    fn a_full_scan_is_seen_in_both_servers_explanations() {
        let mariadb = |table: &str, access: &str| {
            let step = row(&["1", "PRIMARY", table, access, "NULL", "NULL", "NULL", "NULL", "9", "Using where"]);
            DIALECT.is_full_scan(&step)
        };
        assert!(mariadb("staging", "ALL") && mariadb("staging", "index"));
        assert!(!mariadb("staging", "range") && !mariadb("<derived4>", "ALL"));
        let mysql = |access: &str| {
            let step = row(&["1", "SIMPLE", "s", "NULL", access, "NULL", "NULL", "NULL", "NULL", "9", "100", "NULL"]);
            DIALECT.is_full_scan(&step)
        };
        assert!(mysql("ALL") && !mysql("ref"));
        assert!(!DIALECT.is_full_scan(&row(&["1", "SIMPLE", "NULL", "NULL"])));
    }

    #[test]
    fn the_advised_index_holds_state_and_time() {
        let table = StagingTable { table: "shop.staging".to_owned(), ..StagingTable::default() };
        let advised = ["CREATE INDEX `shop_staging_status_completed` ON `shop`.`staging` (`status`, `completed`)"];
        assert_eq!(DIALECT.advised_indexes(&table), advised);
    }
}
