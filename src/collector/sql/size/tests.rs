//! The size of a collection, asked of a table that is told how large it is and what its statistics say.

use std::time::Duration;

use super::*;
use crate::clock::Wall;
use crate::collector::sql::{Row, StagingTable, Version};

const BUDGET: Duration = Duration::from_millis(250);

/// A database of one table, whose statements are words.
#[derive(Default)]
struct Table {
    /// `None`: a count takes longer than its budget.
    rows: Option<u64>,
    signs: Option<Signs>,
    sampled: u64,
    is_missing: bool,
    counts: u32,
}

#[async_trait::async_trait]
impl Link for Table {
    fn address(&self) -> String {
        "here".to_owned()
    }

    async fn version(&mut self) -> Result<Version, CollectError> {
        Ok(Version { opening: 1, data: None })
    }

    async fn rows(&mut self, thing: &str, sql: &str, _: Duration) -> Result<Vec<Row>, CollectError> {
        assert_eq!(thing, "collection skus");
        let signs = |signs: &Signs| {
            let [came, went] = signs.flows.unwrap_or_default();
            let rows = signs.rows.map(|rows| rows.to_string());
            let level = signs.level.map(|level| level.to_string());
            vec![rows, level, Some(came.to_string()), Some(went.to_string()), signs.generation.clone()]
        };
        match sql {
            _ if self.is_missing => Err(CollectError::new(ErrorClass::NotFound, "no such table")),
            "count skus" => {
                self.counts += 1;
                let rows = self.rows.ok_or_else(|| CollectError::new(ErrorClass::Budget, "too slow"))?;
                Ok(vec![vec![Some(rows.to_string())]])
            }
            "signs skus" => Ok(self.signs.iter().map(signs).collect()),
            "sample skus" => Ok(vec![vec![Some(self.sampled.to_string())]]),
            other => panic!("{other}"),
        }
    }
}

struct Words;

impl Dialect for Words {
    fn source(&self) -> &'static str {
        "words"
    }
    fn error_classes(&self) -> &'static [ErrorClass] {
        ErrorClass::ALL
    }
    fn identifier(&self, name: &str) -> String {
        name.to_owned()
    }
    fn table(&self, name: &str) -> String {
        name.to_owned()
    }
    fn literal(&self, text: &str) -> String {
        text.to_owned()
    }
    fn text(&self, expression: &str, _: u32) -> String {
        expression.to_owned()
    }
    fn count(&self, table: &str) -> String {
        format!("count {table}")
    }
    fn signs(&self, table: &str) -> Vec<String> {
        vec![format!("signs {table}")]
    }
    fn signs_of(&self, table: &str, row: &Row) -> Option<Signs> {
        let number = |at: usize| row[at].as_ref().and_then(|cell| cell.parse().ok());
        let flows = Some([number(2)?, number(3)?]).filter(|flows| *flows != [0, 0]);
        let level = row[1].as_ref().and_then(|cell| cell.parse().ok());
        Some(Signs {
            rows: number(0),
            sample: Some(format!("sample {table}")),
            level,
            flows,
            generation: row[4].clone(),
        })
    }
    fn explain(&self, sql: &str) -> String {
        sql.to_owned()
    }
    fn is_full_scan(&self, _: &Row) -> bool {
        false
    }
    fn advised_indexes(&self, _: &StagingTable) -> Vec<String> {
        Vec::new()
    }
}

fn signs(rows: u64, level: i64, flows: [u64; 2]) -> Option<Signs> {
    Some(Signs { rows: Some(rows), level: Some(level), flows: Some(flows), ..Signs::default() })
}

/// A sizer and the time it is asked at.
struct Asked {
    sizer: Sizer,
    now: Moment,
}

impl Asked {
    fn new() -> Self {
        let sizer = Sizer::new("collection skus".to_owned(), "skus".to_owned(), BUDGET);
        Self { sizer, now: Moment { wall: Wall::from_secs(1_705_314_600), mono: Duration::from_secs(1_000_000) } }
    }

    async fn after(&mut self, seconds: u64, table: &mut Table) -> Result<Size, CollectError> {
        let time = Duration::from_secs(seconds);
        self.now = Moment { wall: self.now.wall.plus(time), mono: self.now.mono + time };
        self.sizer.ask(table, &Words, self.now).await
    }

    async fn estimate(&mut self, seconds: u64, table: &mut Table) -> u64 {
        let size = self.after(seconds, table).await.unwrap();
        assert!(!size.is_exact);
        size.rows
    }
}

#[tokio::test]
async fn what_can_be_counted_is_counted() {
    let mut table = Table { rows: Some(7), ..Table::default() };
    assert_eq!(Asked::new().after(0, &mut table).await.unwrap(), Size { rows: 7, is_exact: true });
    table.rows = Some(0);
    assert_eq!(Asked::new().after(0, &mut table).await.unwrap().rows, 0);
}

#[tokio::test]
async fn a_table_too_dear_to_count_is_estimated_and_counted_again_ever_more_seldom() {
    let mut table = Table { signs: signs(3_000_000, 3_000_000, [9, 9]), ..Table::default() };
    let mut asked = Asked::new();
    assert_eq!(asked.estimate(0, &mut table).await, 3_000_000);
    for _ in 0..240 {
        asked.estimate(15, &mut table).await;
    }
    assert_eq!(table.counts, 6, "at once, after 1, 3, 7, 15 and 31 minutes");
    table.rows = Some(2_999_000);
    assert_eq!(asked.after(3600, &mut table).await.unwrap(), Size { rows: 2_999_000, is_exact: true });
    table.rows = None;
    assert_eq!(asked.estimate(15, &mut table).await, 2_999_000, "it goes on from the count");
    table.signs = signs(3_000_000, 3_000_500, [600, 100]);
    assert_eq!(asked.estimate(15, &mut table).await, 2_999_500);
}

#[tokio::test]
async fn statistics_made_anew_draw_no_saw_tooth() {
    let mut table = Table { signs: signs(1_403_817, 1_403_817, [1000, 0]), ..Table::default() };
    let mut asked = Asked::new();
    assert_eq!(asked.estimate(0, &mut table).await, 1_403_817);
    for jumped in [1_564_694_u64, 1_455_755, 1_403_817] {
        table.signs = signs(jumped, i64::try_from(jumped).unwrap(), [1000, 0]);
        assert_eq!(asked.estimate(1, &mut table).await, 1_403_817, "nothing came and nothing went");
    }
    table.signs = signs(1_700_000, 1_700_000, [1250, 30]);
    assert_eq!(asked.estimate(1, &mut table).await, 1_404_067, "no more than came");
    table.signs = signs(1_500_000, 1_500_000, [1250, 40]);
    assert_eq!(asked.estimate(1, &mut table).await, 1_404_057, "no less than went");
}

#[tokio::test]
async fn an_estimate_that_has_gone_astray_is_brought_back_within_the_hour() {
    let mut table = Table { signs: signs(1_000_000, 1_000_000, [9, 9]), ..Table::default() };
    let mut asked = Asked::new();
    asked.estimate(0, &mut table).await;
    table.signs = signs(1_100_000, 1_100_000, [9, 9]);
    assert_eq!(asked.estimate(3600, &mut table).await, 1_000_000, "within what statistics err by");
    table.signs = signs(2_000_000, 2_000_000, [9, 9]);
    assert_eq!(asked.estimate(15, &mut table).await, 1_000_000);
    assert_eq!(asked.estimate(3600, &mut table).await, 2_000_000);
}

#[tokio::test]
async fn counters_that_began_anew_tell_nothing() {
    let mut table = Table { signs: signs(1_000_000, 1_000_000, [500, 100]), ..Table::default() };
    let mut asked = Asked::new();
    asked.estimate(0, &mut table).await;
    table.signs = Some(Signs { level: Some(0), flows: Some([3, 0]), ..Signs::default() });
    assert_eq!(asked.estimate(15, &mut table).await, 1_000_000);
    table.signs = Some(Signs { level: Some(5), flows: Some([8, 0]), ..Signs::default() });
    assert_eq!(asked.estimate(15, &mut table).await, 1_000_005);
}

#[tokio::test]
async fn rows_that_went_without_a_trace_are_not_counted_upon() {
    let mut table = Table { signs: signs(1_000_000, 1_000_000, [500, 100]), ..Table::default() };
    let mut asked = Asked::new();
    asked.estimate(0, &mut table).await;
    let emptied = Signs { generation: Some("another file".to_owned()), ..signs(900_000, 900_000, [500, 100]).unwrap() };
    table.signs = Some(emptied);
    assert_eq!(asked.estimate(15, &mut table).await, 900_000);
}

#[tokio::test]
async fn a_sample_stands_in_for_statistics_that_cannot_be_believed() {
    let signs = Signs { flows: Some([1, 0]), ..Signs::default() };
    let mut table = Table { signs: Some(signs), sampled: 2_402_100, ..Table::default() };
    assert_eq!(Asked::new().estimate(0, &mut table).await, 2_402_100);
}

#[tokio::test]
async fn a_table_that_became_small_is_counted_at_once() {
    let mut table = Table { signs: signs(3_000_000, 3_000_000, [9, 9]), ..Table::default() };
    let mut asked = Asked::new();
    asked.estimate(0, &mut table).await;
    (table.rows, table.signs) = (Some(12), signs(0, 0, [9, 9]));
    assert_eq!(asked.after(15, &mut table).await.unwrap(), Size { rows: 12, is_exact: true });
}

#[tokio::test]
async fn a_table_that_lost_most_of_its_rows_at_once_is_believed_and_not_counted_each_time() {
    let mut table = Table { signs: signs(3_000_000, 3_000_000, [9, 9]), ..Table::default() };
    let mut asked = Asked::new();
    asked.estimate(0, &mut table).await;
    table.signs = signs(1_200_000, 1_200_000, [9, 9]);
    for _ in 0..3 {
        assert_eq!(asked.estimate(15, &mut table).await, 1_200_000);
    }
    assert_eq!(table.counts, 2);
}

#[tokio::test]
async fn what_cannot_be_estimated_is_absent_and_not_counted_each_time() {
    let mut table = Table::default();
    let mut asked = Asked::new();
    for _ in 0..3 {
        assert_eq!(asked.after(15, &mut table).await.unwrap_err().class, ErrorClass::Budget);
    }
    assert_eq!(table.counts, 1);
}

#[tokio::test]
async fn a_table_that_is_gone_is_missed_at_once() {
    let mut table = Table { signs: signs(3_000_000, 3_000_000, [9, 9]), ..Table::default() };
    let mut asked = Asked::new();
    asked.estimate(0, &mut table).await;
    table.is_missing = true;
    assert_eq!(asked.after(15, &mut table).await.unwrap_err().class, ErrorClass::NotFound);
}
