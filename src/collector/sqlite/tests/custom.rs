//! Figures of the operator's own, as their queries bring them from a live file.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::super::source;
use super::super::testing::{Directory, SLOW_VIEW};
use crate::catalog::{CUSTOM_SERIES_MAX, CustomFigure, Kind};
use crate::clock::{Clock, ManualClock, Wall};
use crate::collector::sql::{Custom, Query};
use crate::collector::{Collector, ErrorClass, Outcome};
use crate::reading::{Number, Readings};

const ORDERS: &str = "CREATE TABLE sales (region TEXT, channel TEXT, total);
    INSERT INTO sales VALUES ('eu', 'web', 10), ('eu', 'web', 2.5), ('us', NULL, 7), ('us', 'shop', NULL)";

fn query(name: &str, kind: Kind, labels: &[&str], sql: &str) -> Query {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let figure = CustomFigure::new(name, kind, "", "What is sold.", labels).unwrap();
    Query { figure: Arc::new(figure), sql: sql.to_owned(), value_column: "value".to_owned() }
}

struct Polls {
    custom: Custom,
    clock: Arc<dyn Clock>,
}

impl Polls {
    fn of(directory: &Directory, queries: Vec<Query>) -> Self {
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let custom = Custom::new(source(directory.data()), "shop", queries, Duration::from_millis(250));
        Self { custom, clock }
    }

    fn gauge(directory: &Directory, labels: &[&str], sql: &str) -> Self {
        Self::of(directory, vec![query("sales", Kind::Gauge, labels, sql)])
    }

    async fn next(&mut self) -> Outcome {
        self.custom.collect(&self.clock).await
    }

    async fn series(&mut self) -> Vec<(String, Number)> {
        let outcome = self.next().await;
        assert!(outcome.errors.is_empty(), "{outcome:?}");
        series(&outcome.readings[0])
    }

    async fn error(&mut self) -> (ErrorClass, String) {
        let outcome = self.next().await;
        assert!(outcome.readings.is_empty(), "{outcome:?}");
        assert_eq!(outcome.errors[0].0.name(), "shop");
        (outcome.errors[0].1.class, outcome.errors[0].1.to_string())
    }
}

fn series(readings: &Readings) -> Vec<(String, Number)> {
    let labels = |attributes: &[(String, String)]| {
        attributes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    readings.custom.iter().map(|reading| (labels(&reading.attributes), reading.value)).collect()
}

fn overflow(readings: &Readings) -> u64 {
    readings.values[0].value.unwrap()
}

fn number(connection: &Connection, value: &str) {
    connection.execute_batch(&format!("DELETE FROM sales; INSERT INTO sales VALUES ('eu', 'web', {value})")).unwrap();
}

const BY_REGION: &str = "SELECT region, channel, sum(total) AS value FROM sales GROUP BY region, channel -- all";

#[tokio::test]
async fn rows_are_series_and_nulls_are_absent() {
    let directory = Directory::new();
    let owner = directory.owner(ORDERS);
    let mut polls = Polls::gauge(&directory, &["region", "channel"], BY_REGION);
    let eu = ("channel=web,region=eu".to_owned(), Number::Float(12.5));
    assert_eq!(polls.series().await, [eu.clone(), ("channel=,region=us".to_owned(), Number::Int(7))]);
    owner.execute_batch("DELETE FROM sales WHERE region = 'us'").unwrap();
    assert_eq!(polls.series().await, [eu]);
    owner.execute_batch("DELETE FROM sales").unwrap();
    assert_eq!(polls.series().await, []);
}

#[tokio::test]
async fn numbers_are_exact_however_they_are_written() {
    let directory = Directory::new();
    let owner = directory.owner(ORDERS);
    let mut polls = Polls::gauge(&directory, &[], "SELECT total AS value FROM sales;");
    for (written, value) in [
        ("9007199254740993", Number::Int(9_007_199_254_740_993)),
        ("-9007199254740993", Number::Int(-9_007_199_254_740_993)),
        ("'4.068e+07'", Number::Int(40_680_000)),
        ("'0.0000'", Number::Int(0)),
        ("-2.5", Number::Float(-2.5)),
        ("'true'", Number::Int(1)),
    ] {
        number(&owner, written);
        assert_eq!(polls.series().await, [(String::new(), value)], "{written}");
    }
    for (written, class) in [
        ("'many'", ErrorClass::Type),
        ("''", ErrorClass::Type),
        ("'NaN'", ErrorClass::Range),
        ("9e999", ErrorClass::Range),
        ("x'00ff'", ErrorClass::Type),
    ] {
        number(&owner, written);
        let (found, text) = polls.error().await;
        assert_eq!(found, class, "{written}: {text}");
        assert!(text.contains("linkit.custom.sales: value holds"), "{text}");
    }
}

#[tokio::test]
async fn a_counter_is_never_negative() {
    let directory = Directory::new();
    let owner = directory.owner(ORDERS);
    let counter = query("sales", Kind::Counter, &[], "SELECT total AS value FROM sales");
    let mut polls = Polls::of(&directory, vec![counter]);
    number(&owner, "-1");
    assert_eq!(polls.error().await.0, ErrorClass::Range);
    number(&owner, "1");
    assert_eq!(polls.series().await, [(String::new(), Number::Int(1))]);
}

#[tokio::test]
async fn each_query_fails_for_itself() {
    let directory = Directory::new();
    let _owner = directory.owner(&format!("{ORDERS}; {SLOW_VIEW}"));
    let gauge = |name, sql| query(name, Kind::Gauge, &["region"], sql);
    let mut polls = Polls::of(
        &directory,
        vec![
            gauge("twice", "SELECT region, 1 AS value FROM sales"),
            gauge("no_column", "SELECT region, 1 AS count FROM sales"),
            gauge("no_table", "SELECT region, 1 AS value FROM missing"),
            gauge("writes", "DELETE FROM sales RETURNING region, 1 AS value"),
            gauge("many", "SELECT 'a' AS region, 1 AS value; DROP TABLE sales"),
            gauge("slow", "SELECT status AS region, count(*) AS value FROM slow GROUP BY status"),
            gauge("long", "SELECT hex(zeroblob(1000)) AS region, 1 AS value"),
            gauge("good", "SELECT 'eu' AS region, 1 AS value"),
        ],
    );
    let outcome = polls.next().await;
    let classes: Vec<_> = outcome.errors.iter().map(|(_, error)| error.class).collect();
    use ErrorClass::{Budget, NotFound, Other, Range};
    assert_eq!(classes, [Other, NotFound, NotFound, Other, Other, Budget, Range], "{:?}", outcome.errors);
    assert_eq!(outcome.readings.len(), 1);
    assert_eq!(outcome.readings[0].unit, "linkit.custom.good");
}

#[tokio::test]
async fn label_sets_beyond_the_limit_are_left_out_and_counted_and_those_shown_stay() {
    let directory = Directory::new();
    let sql = "SELECT n AS region, n AS value FROM numbers ORDER BY n";
    let fill = |first: u32, count: usize| {
        format!(
            "DELETE FROM numbers; INSERT INTO numbers WITH RECURSIVE r(n) AS (SELECT {first} UNION ALL SELECT n + 1 \
             FROM r LIMIT {count}) SELECT n FROM r"
        )
    };
    let owner = directory.owner("CREATE TABLE numbers (n)");
    owner.execute_batch(&fill(50, CUSTOM_SERIES_MAX)).unwrap();
    let mut polls = Polls::gauge(&directory, &["region"], sql);
    let outcome = polls.next().await;
    assert_eq!((outcome.readings[0].custom.len(), overflow(&outcome.readings[0])), (CUSTOM_SERIES_MAX, 0));
    let before = series(&outcome.readings[0]);
    owner.execute_batch(&fill(0, 400)).unwrap();
    let outcome = polls.next().await;
    assert_eq!(overflow(&outcome.readings[0]), 300);
    assert_eq!(series(&outcome.readings[0]), before);
}
