//! The section store: how many records each collection has.
//!
//! One collection is one unit of failure: a table that is missing or too slow voids its own count and no other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::reader::Reader;
use super::{Counted, sql};
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, Moment};
use crate::collector::{Attempt, CollectError, Collector, ErrorClass, Outcome};
use crate::reading::{Reading, Readings};

/// Counts the records of collections in a live PocketBase database.
pub struct Store {
    reader: Reader,
    collections: Vec<Collection>,
}

struct Collection {
    name: String,
    counted: Option<Counted<u64>>,
}

impl Store {
    /// A collector of `collections`, each a table or view in the database at `path`. One count may take
    /// `count_budget`; then it is cancelled and fails with [`ErrorClass::Budget`].
    #[must_use]
    pub fn new(path: PathBuf, collections: Vec<String>, count_budget: Duration) -> Self {
        let collections = collections.into_iter().map(|name| Collection { name, counted: None }).collect();
        Self { reader: Reader::new(path, count_budget), collections }
    }

    async fn read(&mut self, clock: &dyn Clock) -> Outcome {
        let now = clock.now();
        let version = match self.reader.version().await {
            Ok(version) => version,
            Err(error) => return Outcome::failed(self.sections(), &error),
        };
        let mut outcome = Outcome::default();
        for collection in &mut self.collections {
            let mut taken = now;
            if !collection.counted.is_some_and(|counted| counted.holds(version, now)) {
                taken = clock.now();
                match count(&self.reader, &collection.name).await {
                    Ok(value) => collection.counted = Some(Counted { value, version, at: taken }),
                    Err(error) => {
                        outcome.errors.push((Section::Store, error));
                        continue;
                    }
                }
            }
            outcome.readings.extend(collection.readings(taken));
        }
        outcome
    }
}

impl Collector for Store {
    fn source(&self) -> &'static str {
        "sqlite"
    }

    fn sections(&self) -> &[Section] {
        &[Section::Store]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        super::ERROR_CLASSES
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(self.read(clock.as_ref()))
    }
}

impl Collection {
    /// The readings of the last count, which is true at `taken`.
    fn readings(&self, taken: Moment) -> Option<Readings> {
        let Counted { value, at, .. } = self.counted?;
        let of = |figure, value| Reading::of_series(figure, "collection", &self.name, value);
        let mut method = of(FigureId::StoreCountMethod, 1);
        method.attributes.push(("method", "exact".to_owned()));
        let values = vec![of(FigureId::StoreRecords, value), method, of(FigureId::StoreCountLastExact, at.wall.0)];
        Some(Readings::new(Section::Store, taken, values).of_unit(&self.name))
    }
}

async fn count(reader: &Reader, name: &str) -> Result<u64, CollectError> {
    let thing = format!("collection {name}");
    let asked = name.to_owned();
    let value = reader.query(thing.clone(), move |connection| ask(connection, &asked)).await?;
    let Some(value) = value else {
        let text = format!(
            "{thing} in {}: no such table or view; correct the configured name, or create it",
            reader.path().display()
        );
        return Err(CollectError::new(ErrorClass::NotFound, text));
    };
    u64::try_from(value).map_err(|_| CollectError::new(ErrorClass::Range, format!("{thing}: counted as {value}")))
}

/// The count, or `None` if there is neither table nor view of this name: SQLite alone would also count its own
/// tables and table-valued functions.
fn ask(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    if connection.query_row(sql::EXISTS, [name], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    connection.query_row(&sql::count(name), [], |row| row.get(0)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Directory, SLOW_VIEW};
    use super::*;
    use crate::clock::{ManualClock, Wall};

    const BUDGET: Duration = Duration::from_millis(250);
    const START: Wall = Wall::from_secs(1_705_314_600);

    struct Polls {
        store: Store,
        manual: Arc<ManualClock>,
        clock: Arc<dyn Clock>,
    }

    impl Polls {
        fn of(directory: &Directory, collections: &[&str]) -> Self {
            let collections = collections.iter().map(|name| (*name).to_owned()).collect();
            let manual = Arc::new(ManualClock::at(START));
            Self { store: Store::new(directory.data(), collections, BUDGET), clock: manual.clone(), manual }
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
        let owner =
            directory.owner("INSERT INTO products (id) VALUES ('a'), ('b'); INSERT INTO skus (id) VALUES ('c')");
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
        polls.manual.advance(super::super::RECOUNT_AFTER);
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
}
