//! The pipeline counted in a live file, over midnights and restarts.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::super::source;
use super::super::testing::{Directory, SLOW_VIEW};
use crate::clock::{Clock, ManualClock, Wall};
use crate::collector::completed::Completed;
use crate::collector::sql::{Moments, Staging, StagingTable};
use crate::collector::{CollectError, Collector, ErrorClass, Outcome};

const BUDGET: Duration = Duration::from_millis(250);
/// 2024-01-15T10:30:00Z
const START: Wall = Wall::from_secs(1_705_314_600);

struct Polls {
    staging: Staging,
    completed: Completed,
    manual: Arc<ManualClock>,
    clock: Arc<dyn Clock>,
}

impl Polls {
    fn of(directory: &Directory, table: StagingTable) -> Self {
        let (manual, completed) = (Arc::new(ManualClock::at(START)), Completed::default());
        let staging = Staging::new(source(directory.data()), table, BUDGET).counting_on(completed.clone());
        Self { staging, completed, clock: manual.clone(), manual }
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
    let kept = polls.completed.state().unwrap();
    complete(&owner, &["2024-01-15 23:00:00.000Z", "2024-01-16 12:00:00.000Z", "2024-01-17 00:00:00.000Z"]);
    // The state may be older than what was last read: a kill comes when it comes.
    assert_eq!(polls.figures().await, [0, 0, 3, 3]);
    let mut polls = Polls::of(&directory, StagingTable::default());
    polls.manual.advance(Duration::from_secs(2 * 86_400));
    let now = polls.manual.now();
    polls.completed.restore(kept, now);
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

#[tokio::test]
async fn late_and_deleted_rows_are_right_after_the_recount() {
    let directory = Directory::new();
    let owner = directory.owner("");
    complete(&owner, &["2024-01-15 01:00:00.000Z", "2024-01-15 02:00:00.000Z", "2024-01-15 10:29:59.000Z"]);
    let mut polls = Polls::of(&directory, StagingTable::default());
    assert_eq!(polls.figures().await, [0, 0, 3, 3]);
    complete(&owner, &["2024-01-15 10:29:58.000Z"]);
    assert_eq!(polls.figures().await[2], 4, "a little late");
    owner.execute_batch("DELETE FROM staging WHERE completed < '2024-01-15 01:30'").unwrap();
    complete(&owner, &["2024-01-15 03:00:00.000Z", "2024-01-15 03:00:00.000Z", "2024-01-15 10:30:00.000Z"]);
    assert_eq!(polls.figures().await, [0, 0, 5, 5], "the late and the deleted are behind the mark");
    polls.manual.advance(Duration::from_secs(3600));
    assert_eq!(polls.figures().await, [0, 0, 6, 6]);
}

#[tokio::test]
async fn a_row_of_yesterday_that_came_after_midnight_is_counted_with_the_recount() {
    let directory = Directory::new();
    let owner = directory.owner("");
    complete(&owner, &["2024-01-15 10:00:00.000Z"]);
    let mut polls = Polls::of(&directory, StagingTable::default());
    assert_eq!(polls.figures().await, [0, 0, 1, 1]);
    polls.manual.set_wall(Wall::from_secs(1_705_363_201));
    assert_eq!(polls.figures().await, [0, 0, 0, 1]);
    complete(&owner, &["2024-01-15 23:59:59.000Z", "2024-01-16 00:00:01.000Z"]);
    assert_eq!(polls.figures().await, [0, 0, 1, 2]);
    polls.manual.advance(Duration::from_secs(3600));
    assert_eq!(polls.figures().await, [0, 0, 1, 3]);
    polls.manual.advance(Duration::from_secs(3600));
    assert_eq!(polls.figures().await, [0, 0, 1, 3]);
}

#[tokio::test]
async fn times_with_a_t_are_times_too() {
    let directory = Directory::new();
    let owner = directory.owner("");
    complete(&owner, &["2024-01-14T23:59:59Z", "2024-01-15T00:00:00Z", "2024-01-15T10:29:00Z"]);
    let mut polls = Polls::of(&directory, StagingTable::default());
    assert_eq!(polls.figures().await[2], 2);
    for second in 1..9 {
        polls.manual.advance(Duration::from_secs(60));
        complete(&owner, &[&format!("2024-01-15T10:3{second}:00Z")]);
        assert_eq!(polls.figures().await[2], 2 + second);
    }
    complete(&owner, &["2024-01-16T00:00:00Z"]);
    assert_eq!(polls.figures().await[2], 10, "tomorrow's is not today's");
}

/// A pipeline whose times are numbers.
const NUMBERS: &str = "CREATE TABLE jobs (status TEXT, completed INTEGER);
    INSERT INTO jobs VALUES ('pending', NULL), ('completed', 1705276799), ('completed', 1705276800),
        ('completed', 1705314599)";

#[tokio::test]
async fn times_may_be_numbers() {
    let directory = Directory::new();
    let owner = directory.owner(NUMBERS);
    let table =
        StagingTable { table: "jobs".to_owned(), completed_type: Moments::UnixSeconds, ..StagingTable::default() };
    let mut polls = Polls::of(&directory, table.clone());
    assert_eq!(polls.figures().await, [1, 0, 2, 2]);
    owner.execute_batch("UPDATE jobs SET completed = completed * 1000").unwrap();
    let table = StagingTable { completed_type: Moments::UnixMilliseconds, ..table };
    assert_eq!(Polls::of(&directory, table).figures().await, [1, 0, 2, 2]);
}

#[tokio::test]
async fn times_of_another_kind_than_configured_are_an_error_and_no_zero() {
    let directory = Directory::new();
    let owner = directory.owner(NUMBERS);
    complete(&owner, &["2024-01-15 01:00:00.000Z"]);
    for (table, stored, remedy) in
        [("jobs", Moments::Datetime, "unix_seconds"), ("staging", Moments::UnixSeconds, "datetime")]
    {
        let table = StagingTable { table: table.to_owned(), completed_type: stored, ..StagingTable::default() };
        let error = Polls::of(&directory, table).error().await;
        assert_eq!(error.class, ErrorClass::Type);
        assert!(error.message.contains(remedy), "{error}");
    }
}
