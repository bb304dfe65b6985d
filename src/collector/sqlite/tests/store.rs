//! Collections counted in a live file, whose owner writes, stops and is replaced.

use std::sync::Arc;
use std::time::Duration;

use super::super::source;
use super::super::testing::{Directory, SLOW_VIEW};
use crate::catalog::FigureId;
use crate::clock::{Clock, ManualClock, Wall};
use crate::collector::sql::Store;
use crate::collector::{Collector, ErrorClass, Outcome};
use crate::reading::Readings;

const BUDGET: Duration = Duration::from_millis(250);
const START: Wall = Wall::from_secs(1_705_314_600);

struct Polls {
    store: Store,
    manual: Arc<ManualClock>,
    clock: Arc<dyn Clock>,
}

impl Polls {
    fn of(directory: &Directory, collections: &[&str]) -> Self {
        let collections = collections.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        let manual = Arc::new(ManualClock::at(START));
        Self { store: Store::new(source(directory.data()), collections, BUDGET), clock: manual.clone(), manual }
    }

    async fn next(&mut self) -> Outcome {
        self.manual.advance(Duration::from_secs(15));
        self.store.collect(&self.clock).await
    }

    async fn error(&mut self) -> ErrorClass {
        let outcome = self.next().await;
        assert!(outcome.readings.is_empty(), "{outcome:?}");
        outcome.errors[0].1.class
    }

    fn now(&self) -> u64 {
        self.clock.now().wall.0
    }
}

fn value(readings: &Readings, figure: FigureId) -> u64 {
    readings.values.iter().find(|reading| reading.figure == figure).unwrap().value.unwrap()
}

/// The records, and when they were counted.
fn counted(readings: &Readings) -> (u64, u64) {
    (value(readings, FigureId::StoreRecords), value(readings, FigureId::StoreCountLastExact))
}

#[tokio::test]
async fn collections_are_counted_while_their_owner_writes() {
    let directory = Directory::new();
    let owner = directory.owner("INSERT INTO products (id) VALUES ('a'), ('b'); INSERT INTO skus (id) VALUES ('c')");
    owner.execute_batch("BEGIN IMMEDIATE; INSERT INTO skus (id) VALUES ('not yet')").unwrap();
    let mut polls = Polls::of(&directory, &["products", "skus", "orders"]);
    let outcome = polls.next().await;
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    let units: Vec<_> = outcome.readings.iter().map(|r| (r.unit.as_str(), counted(r).0)).collect();
    assert_eq!(units, [("products", 2), ("skus", 1), ("orders", 0)]);
    let method = &outcome.readings[0].values[1];
    assert_eq!((method.figure, method.value), (FigureId::StoreCountMethod, Some(1)));
    assert_eq!(method.attributes, [("collection", "products".to_owned()), ("method", "exact".to_owned())]);
}

#[tokio::test]
async fn an_unchanged_database_is_not_counted_again_and_a_changed_one_is() {
    let directory = Directory::new();
    let owner = directory.owner("");
    let mut polls = Polls::of(&directory, &["products"]);
    polls.next().await;
    let first = polls.now();
    let unchanged = polls.next().await;
    assert_eq!(counted(&unchanged.readings[0]), (0, first));
    assert_eq!(unchanged.readings[0].taken, polls.clock.now());
    owner.execute_batch("INSERT INTO products (id) VALUES ('a')").unwrap();
    let changed = polls.next().await;
    assert_eq!(counted(&changed.readings[0]), (1, polls.now()));
    polls.manual.advance(Duration::from_secs(3600));
    let hourly = polls.next().await;
    assert_eq!(counted(&hourly.readings[0]), (1, polls.now()));
}

#[tokio::test]
async fn a_missing_or_slow_table_voids_its_own_unit_only() {
    let directory = Directory::new();
    let owner = directory.owner(SLOW_VIEW);
    let mut polls = Polls::of(&directory, &["products", "missing", "json_each", "slow", "skus"]);
    let outcome = polls.next().await;
    assert_eq!(outcome.readings.iter().map(|r| r.unit.as_str()).collect::<Vec<_>>(), ["products", "skus"]);
    let classes: Vec<_> = outcome.errors.iter().map(|(_, error)| error.class).collect();
    assert_eq!(classes, [ErrorClass::NotFound, ErrorClass::NotFound, ErrorClass::Budget]);
    let text = outcome.errors[0].1.to_string();
    assert!(text.contains("missing") && text.contains("data.db"), "{text}");
    owner.execute_batch("CREATE TABLE missing (id); DROP VIEW slow; CREATE TABLE slow (id)").unwrap();
    assert_eq!(polls.next().await.readings.len(), 4);
}

#[tokio::test]
async fn a_weird_name_is_a_name() {
    let directory = Directory::new();
    let _owner = directory.owner(r#"CREATE TABLE "we""ird" (id); INSERT INTO "we""ird" VALUES (1), (2)"#);
    let outcome = Polls::of(&directory, &[r#"we"ird"#]).next().await;
    assert_eq!(counted(&outcome.readings[0]).0, 2);
}

#[tokio::test]
async fn a_stopped_database_is_not_opened_and_nothing_is_left_beside_it() {
    let directory = Directory::new();
    drop(directory.owner(""));
    let before = directory.names();
    assert_eq!(before, ["data.db"]);
    let mut polls = Polls::of(&directory, &["products"]);
    assert_eq!(polls.error().await, ErrorClass::Stopped);
    assert_eq!(directory.names(), before);
    let _owner = directory.owner("");
    assert!(polls.next().await.errors.is_empty());
}

#[tokio::test]
async fn an_owner_that_stops_and_starts_again_is_followed() {
    let directory = Directory::new();
    let owner = directory.owner("");
    let mut polls = Polls::of(&directory, &["products"]);
    polls.next().await;
    drop(owner);
    assert_eq!(counted(&polls.next().await.readings[0]).0, 0);
    let _owner = directory.owner("INSERT INTO products (id) VALUES ('a')");
    assert_eq!(counted(&polls.next().await.readings[0]), (1, polls.now()));
}

#[tokio::test]
async fn a_replaced_file_is_opened_anew_and_a_removed_one_is_missed() {
    let (directory, restored) = (Directory::new(), Directory::new());
    drop(directory.owner("INSERT INTO products (id) VALUES ('a')"));
    drop(restored.owner("INSERT INTO products (id) VALUES ('a'), ('b'), ('c')"));
    let owner = directory.owner("");
    let mut polls = Polls::of(&directory, &["products"]);
    assert_eq!(counted(&polls.next().await.readings[0]).0, 1);
    drop(owner);
    directory.clear();
    assert_eq!(polls.error().await, ErrorClass::NotFound);
    std::fs::copy(restored.data(), directory.data()).unwrap();
    assert_eq!(polls.error().await, ErrorClass::Stopped);
    let _owner = directory.owner("");
    assert_eq!(counted(&polls.next().await.readings[0]).0, 3);
}

#[tokio::test]
async fn what_is_no_database_is_said_to_be_damaged() {
    let directory = Directory::new();
    std::fs::write(directory.data(), "not a database, but long enough to be taken for one".repeat(100)).unwrap();
    assert_eq!(Polls::of(&directory, &["products"]).error().await, ErrorClass::Damaged);
    std::fs::write(directory.data(), "").unwrap();
    assert_eq!(Polls::of(&directory, &["products"]).error().await, ErrorClass::NotFound);
}
