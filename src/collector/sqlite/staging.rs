//! The section staging: what is in the pipeline, and what has been completed today.
//!
//! The whole section is one unit. The bounds of today come from the bridge's clock; a new day is a reason to count
//! again, even if nobody has written since.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::reader::Reader;
use super::{Counted, sql};
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, Day, Moment};
use crate::collector::completed::Completed;
use crate::collector::{Attempt, CollectError, Collector, ErrorClass, Outcome};
use crate::reading::{Reading, Readings};

/// Where the pipeline's items are, and how their states are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagingTable {
    /// The table or view.
    pub table: String,
    /// The column with the state.
    pub status_column: String,
    /// The column with the time of completion, as text in PocketBase's format; empty as long as there is none.
    pub completed_column: String,
    /// The state of an item that waits.
    pub pending: String,
    /// The state of an item at work.
    pub processing: String,
    /// The state of an item that is done.
    pub completed: String,
}

impl Default for StagingTable {
    fn default() -> Self {
        Self {
            table: "staging".to_owned(),
            status_column: "status".to_owned(),
            completed_column: "completed".to_owned(),
            pending: "pending".to_owned(),
            processing: "processing".to_owned(),
            completed: "completed".to_owned(),
        }
    }
}

/// Counts the pipeline's items in a live PocketBase database.
pub struct Staging {
    reader: Reader,
    table: StagingTable,
    counted: Option<Counted<Items>>,
    completed: Completed,
}

#[derive(Clone, Copy, Debug)]
struct Items {
    pending: u64,
    processing: u64,
    completed_today: u64,
}

impl Staging {
    /// A collector of the items in `table` of the database at `path`. One query may take `count_budget`; then it is
    /// cancelled and the section fails with [`ErrorClass::Budget`].
    #[must_use]
    pub fn new(path: PathBuf, table: StagingTable, count_budget: Duration) -> Self {
        Self { reader: Reader::new(path, count_budget), table, counted: None, completed: Completed::default() }
    }

    /// The same collector, counting on in `completed`.
    #[must_use]
    pub fn counting_on(mut self, completed: Completed) -> Self {
        self.completed = completed;
        self
    }

    async fn read(&mut self, clock: &dyn Clock) -> Result<Readings, CollectError> {
        let now = clock.now();
        let version = self.reader.version().await?;
        let day = now.wall.day();
        if let Some(Counted { value, at, .. }) = self.counted.filter(|counted| counted.holds(version, now))
            && at.wall.day() == day
        {
            return Ok(self.readings(now, value, 0));
        }
        let value = self.count_items(day).await?;
        let before = self.count_before(day).await?;
        self.counted = Some(Counted { value, version, at: now });
        Ok(self.readings(now, value, before))
    }

    async fn count_items(&self, day: Day) -> Result<Items, CollectError> {
        let sql = sql::staging(&self.table);
        let bounds = sql::bounds(day, day.next());
        let counts = self.reader.query(self.thing(), move |connection| {
            connection.query_row(&sql, bounds, |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]))
        });
        let [pending, processing, completed_today] = counts.await.map_err(|error| self.advise(error))?;
        Ok(Items {
            pending: self.number(pending)?,
            processing: self.number(processing)?,
            completed_today: self.number(completed_today)?,
        })
    }

    /// The items completed between the last reading and the midnight before `day`, if that midnight lies between.
    async fn count_before(&self, day: Day) -> Result<u64, CollectError> {
        let Some((last, known)) = self.completed.last().filter(|(last, _)| *last < day) else { return Ok(0) };
        let sql = sql::completed(&self.table);
        let bounds = sql::bounds(last, day);
        let counted = self
            .reader
            .query(self.thing(), move |connection| connection.query_row(&sql, bounds, |row| row.get::<_, i64>(0)));
        let counted = counted.await.map_err(|error| self.advise(error))?;
        Ok(self.number(counted)?.saturating_sub(known))
    }

    fn readings(&mut self, now: Moment, items: Items, before: u64) -> Readings {
        let in_state = |state, value| Reading::of_series(FigureId::StagingItems, "state", state, value);
        let values = vec![
            in_state("pending", items.pending),
            in_state("processing", items.processing),
            Reading::of(FigureId::StagingCompletedToday, items.completed_today),
            self.completed.observe(now.wall.day(), items.completed_today, before),
        ];
        Readings::new(Section::Staging, now, values)
    }

    fn thing(&self) -> String {
        format!("table {}", self.table.table)
    }

    fn number(&self, value: i64) -> Result<u64, CollectError> {
        u64::try_from(value)
            .map_err(|_| CollectError::new(ErrorClass::Range, format!("{}: counted as {value}", self.thing())))
    }

    fn advise(&self, mut error: CollectError) -> CollectError {
        if error.class == ErrorClass::Budget {
            let indexes = sql::advised_indexes(&self.table).join("; ");
            error.message = format!("{}, or create what makes it cheap: {indexes}", error.message);
        }
        error
    }
}

impl Collector for Staging {
    fn source(&self) -> &'static str {
        "sqlite"
    }

    fn sections(&self) -> &[Section] {
        &[Section::Staging]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        super::ERROR_CLASSES
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(async move {
            match self.read(clock.as_ref()).await {
                Ok(readings) => Outcome { readings: vec![readings], errors: Vec::new() },
                Err(error) => Outcome::failed(&[Section::Staging], &error),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::testing::{Directory, SLOW_VIEW};
    use super::*;
    use crate::clock::{ManualClock, Wall};

    const BUDGET: Duration = Duration::from_millis(250);
    /// 2024-01-15T10:30:00Z
    const START: Wall = Wall::from_secs(1_705_314_600);

    struct Polls {
        staging: Staging,
        manual: Arc<ManualClock>,
        clock: Arc<dyn Clock>,
    }

    impl Polls {
        fn of(directory: &Directory, table: StagingTable) -> Self {
            let manual = Arc::new(ManualClock::at(START));
            Self { staging: Staging::new(directory.data(), table, BUDGET), clock: manual.clone(), manual }
        }

        async fn next(&mut self) -> Outcome {
            self.staging.collect(&self.clock).await
        }

        /// Pending, processing, completed today, completed.
        async fn figures(&mut self) -> [u64; 4] {
            let outcome = self.next().await;
            assert!(outcome.errors.is_empty(), "{outcome:?}");
            let values: Vec<_> = outcome.readings[0].values.iter().map(|reading| reading.value.unwrap()).collect();
            values.try_into().unwrap()
        }

        async fn error(&mut self) -> CollectError {
            let outcome = self.next().await;
            assert!(outcome.readings.is_empty(), "{outcome:?}");
            outcome.errors[0].1.clone()
        }
    }

    fn complete(owner: &Connection, times: &[&str]) {
        for time in times {
            owner.execute("INSERT INTO staging (status, completed) VALUES ('completed', ?1)", [time]).unwrap();
        }
    }

    const OPEN: &str = "INSERT INTO staging (status) VALUES ('pending'), ('pending'), ('processing'), ('failed')";

    #[tokio::test]
    async fn items_are_counted_by_state_and_by_day() {
        let directory = Directory::new();
        let owner = directory.owner(OPEN);
        let times = ["2024-01-14 23:59:59.999Z", "2024-01-15 00:00:00.000Z", "2024-01-15 10:29:59.000Z", ""];
        complete(&owner, &times);
        complete(&owner, &["2024-01-15 23:59:59.999Z", "2024-01-16 00:00:00.000Z"]);
        let mut polls = Polls::of(&directory, StagingTable::default());
        assert_eq!(polls.figures().await, [2, 1, 3, 3]);
        complete(&owner, &["2024-01-15 10:30:00.000Z"]);
        assert_eq!(polls.figures().await, [2, 1, 4, 4]);
        assert_eq!(polls.figures().await, [2, 1, 4, 4]);
    }

    #[tokio::test]
    async fn the_counter_goes_on_over_midnight_with_what_came_before_it() {
        let directory = Directory::new();
        let owner = directory.owner("");
        complete(&owner, &["2024-01-15 09:00:00.000Z", "2024-01-15 10:00:00.000Z"]);
        let mut polls = Polls::of(&directory, StagingTable::default());
        assert_eq!(polls.figures().await, [0, 0, 2, 2]);
        complete(&owner, &["2024-01-15 23:59:58.000Z", "2024-01-15 23:59:59.000Z", "2024-01-16 00:00:00.500Z"]);
        polls.manual.set_wall(Wall::from_secs(1_705_363_201));
        assert_eq!(polls.figures().await, [0, 0, 1, 5]);
        polls.manual.advance(Duration::from_secs(86_400));
        assert_eq!(polls.figures().await, [0, 0, 0, 5], "a new day is counted though nobody wrote");
        let start = polls.next().await.readings[0].values[3].start;
        assert_eq!(start, Some(START.day().start()));
    }

    #[tokio::test]
    async fn a_restart_goes_on_with_what_was_completed_meanwhile_over_midnights() {
        let directory = Directory::new();
        let owner = directory.owner("");
        complete(&owner, &["2024-01-15 09:00:00.000Z", "2024-01-15 10:00:00.000Z"]);
        let mut polls = Polls::of(&directory, StagingTable::default());
        assert_eq!(polls.figures().await, [0, 0, 2, 2]);
        let kept = polls.staging.completed.state().unwrap();
        complete(&owner, &["2024-01-15 23:00:00.000Z", "2024-01-16 12:00:00.000Z", "2024-01-17 00:00:00.000Z"]);
        // The state may be older than what was last read: a kill comes when it comes.
        assert_eq!(polls.figures().await, [0, 0, 3, 3]);
        let mut polls = Polls::of(&directory, StagingTable::default());
        polls.manual.advance(Duration::from_secs(2 * 86_400));
        let now = polls.manual.now();
        polls.staging.completed.restore(kept, now);
        assert_eq!(polls.figures().await, [0, 0, 1, 5]);
        let start = polls.next().await.readings[0].values[3].start;
        assert_eq!(start, Some(START.day().start()));
    }

    #[tokio::test]
    async fn an_unknown_column_is_an_error_and_not_a_text() {
        let directory = Directory::new();
        let _owner = directory.owner(OPEN);
        let mut layouts = [StagingTable::default(), StagingTable::default(), StagingTable::default()];
        layouts[0].status_column = "pending".to_owned();
        layouts[1].completed_column = "done".to_owned();
        layouts[2].table = "stagings".to_owned();
        for layout in layouts {
            let error = Polls::of(&directory, layout).error().await;
            assert_eq!(error.class, ErrorClass::NotFound, "{error}");
        }
    }

    #[tokio::test]
    async fn names_and_states_of_another_layout_are_quoted() {
        let directory = Directory::new();
        let _owner = directory.owner(
            r#"CREATE TABLE "we""ird" ("the state" TEXT, "when" TEXT);
               INSERT INTO "we""ird" VALUES ('isn''t done', ''), ('done', '2024-01-15 01:00:00.000Z')"#,
        );
        let table = StagingTable {
            table: r#"we"ird"#.to_owned(),
            status_column: "the state".to_owned(),
            completed_column: "when".to_owned(),
            pending: "isn't done".to_owned(),
            completed: "done".to_owned(),
            ..StagingTable::default()
        };
        assert_eq!(Polls::of(&directory, table).figures().await, [1, 0, 1, 1]);
    }

    #[tokio::test]
    async fn a_slow_table_is_cancelled_with_the_indexes_that_would_help() {
        let directory = Directory::new();
        let _owner = directory.owner(SLOW_VIEW);
        let table = StagingTable { table: "slow".to_owned(), ..StagingTable::default() };
        let error = Polls::of(&directory, table).error().await;
        assert_eq!(error.class, ErrorClass::Budget);
        assert!(error.message.contains(r#"CREATE INDEX "idx_slow_open""#), "{error}");
    }
}
