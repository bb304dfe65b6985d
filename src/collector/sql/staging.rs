//! The section staging: what is in the pipeline, and what has been completed today.
//!
//! The whole section is one unit. The bounds of today come from the bridge's clock; a new day is a reason to count
//! again, even if nobody has written since.

use std::sync::Arc;
use std::time::Duration;

use super::examine::{Suspect, examine};
use super::statement::{Statements, time_of};
use super::today::{Today, hours};
use super::{Moments, RECOUNT_AFTER, Row, Source, StagingTable, Version, cell};
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, Day, Moment, Wall};
use crate::collector::completed::Completed;
use crate::collector::number::whole_number;
use crate::collector::{Attempt, CollectError, Collector, ErrorClass, Examination, Outcome};
use crate::reading::{Reading, Readings};

/// Counts the pipeline's items in a database.
pub struct Staging {
    source: Source,
    counter: Counter,
    completed: Completed,
    counted: Option<Counted>,
    /// Whether the last attempt was over its budget.
    is_over: bool,
}

/// Asks about the table.
struct Counter {
    table: StagingTable,
    budget: Duration,
    today: Option<Today>,
    /// Whether a completed item has shown that the column holds times of the configured kind.
    is_probed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Items {
    pending: u64,
    processing: u64,
    completed_today: u64,
}

struct Counted {
    items: Items,
    version: Version,
    at: Moment,
    cost: Duration,
}

impl Staging {
    /// A collector of the items in `table`. One query may take `count_budget`; then the database cancels it and the
    /// section fails with [`ErrorClass::Budget`].
    #[must_use]
    pub fn new(source: Source, table: StagingTable, count_budget: Duration) -> Self {
        let counter = Counter { table, budget: count_budget, today: None, is_probed: false };
        Self { source, counter, completed: Completed::default(), counted: None, is_over: false }
    }

    /// The same collector, counting on in `completed`.
    #[must_use]
    pub fn counting_on(mut self, completed: Completed) -> Self {
        self.completed = completed;
        self
    }

    async fn read(&mut self, clock: &dyn Clock) -> Result<Readings, CollectError> {
        let now = clock.now();
        let version = self.source.link().await.version().await?;
        if let Some(counted) = self.counted.as_ref().filter(|counted| counted.holds(&version, now)) {
            let (items, cost) = (counted.items, counted.cost);
            return Ok(readings(&mut self.completed, now, items, &[], cost));
        }
        let day = now.wall.day();
        let first = self.first_day(day, now);
        let items = self.counter.items(&self.source, now).await?;
        let before = self.counter.completed_in(&self.source, first, day).await?;
        let cost = clock.now().since(now);
        self.counted = Some(Counted { items, version, at: now, cost });
        Ok(readings(&mut self.completed, now, items, &before, cost))
    }
}

impl Staging {
    /// The first of the days before `day` that are to be counted: that of the last reading; with a recount the day
    /// before, whose last rows may have come late.
    fn first_day(&self, day: Day, now: Moment) -> Day {
        let is_recount = !self.counter.today.as_ref().is_some_and(|today| today.holds(now));
        match self.completed.last() {
            Some((last, _)) if last < day => last,
            Some(_) if is_recount && self.completed.knows(day.previous()) => day.previous(),
            _ => day,
        }
    }
}

impl Counted {
    fn holds(&self, version: &Version, now: Moment) -> bool {
        self.version.is_same(version) && now.since(self.at) < RECOUNT_AFTER && self.at.wall.day() == now.wall.day()
    }
}

/// `before`: the items completed on each day from the one of the last reading up to this one's midnight.
fn readings(completed: &mut Completed, now: Moment, items: Items, before: &[(Day, u64)], cost: Duration) -> Readings {
    let in_state = |state, value| Reading::of_series(FigureId::StagingItems, "state", state, value);
    let values = vec![
        in_state("pending", items.pending),
        in_state("processing", items.processing),
        Reading::of(FigureId::StagingCompletedToday, items.completed_today),
        completed.observe(now.wall.day(), items.completed_today, before),
    ];
    Readings { cost, ..Readings::new(Section::Staging, now, values) }
}

impl Counter {
    fn statements(&self, source: &Source) -> Statements<'_> {
        Statements { dialect: source.dialect(), table: &self.table }
    }

    async fn items(&mut self, source: &Source, now: Moment) -> Result<Items, CollectError> {
        let mut today = match self.today.take_if(|today| today.holds(now)) {
            Some(today) => today,
            None => {
                self.probe(source).await?;
                Today::new(now)
            }
        };
        let mut polled = self.poll(source, &mut today, now).await;
        if let Err(error) = &polled
            && error.class == ErrorClass::Budget
            && today.is_unsettled()
        {
            // All of the day at once is too much: hour by hour, then.
            let hours = today.hours(now);
            if let Ok(settled) = self.completed_between(source, &hours).await {
                today.settle(&hours, settled);
                polled = self.poll(source, &mut today, now).await;
            }
        }
        self.today = Some(today);
        polled
    }

    async fn poll(&self, source: &Source, today: &mut Today, now: Moment) -> Result<Items, CollectError> {
        let window = today.window(now);
        let sql = self.statements(source).poll(window);
        let rows = self.rows(source, &sql).await?;
        let [pending, processing, items, settled, newest] = self.cells(rows)?;
        let number = |cell: &Option<String>| self.number(cell.as_deref());
        let [pending, processing, items, settled] =
            [number(&pending)?, number(&processing)?, number(&items)?, number(&settled)?];
        let newest = newest.as_deref().and_then(|text| Some((text, time_of(text, self.table.completed_type)?)));
        let completed_today = today.take(window, items, settled, newest);
        Ok(Items { pending, processing, completed_today })
    }

    /// The items completed on the days from `first` up to, and not including, `end`: day by day, for it may be long
    /// since the bridge last ran.
    async fn completed_in(&self, source: &Source, first: Day, end: Day) -> Result<Vec<(Day, u64)>, CollectError> {
        let days = std::iter::successors(Some(first), |day| Some(day.next())).take_while(|day| *day < end);
        let mut items = Vec::new();
        for day in days {
            let bounds = [day.start(), day.next().start()];
            let of_day = match self.completed_between(source, &[bounds]).await {
                Err(error) if error.class == ErrorClass::Budget => {
                    self.completed_between(source, &hours(bounds[0], bounds[1])).await.map_err(|_| error)?
                }
                counted => counted?,
            };
            items.push((day, of_day));
        }
        Ok(items)
    }

    async fn completed_between(&self, source: &Source, parts: &[[Wall; 2]]) -> Result<u64, CollectError> {
        let mut items = 0_u64;
        for [from, end] in parts {
            let sql = self.statements(source).between(*from, *end);
            items += self.number(cell(&self.rows(source, &sql).await?))?;
        }
        Ok(items)
    }

    /// Looks at one time of completion: databases compare numbers with texts without a word, and nothing would ever
    /// have been completed, or all of it today.
    async fn probe(&mut self, source: &Source) -> Result<(), CollectError> {
        if self.is_probed {
            return Ok(());
        }
        let sql = self.statements(source).probe();
        let rows = match self.rows(source, &sql).await {
            // Without an index this is as dear as the counts, which will say so.
            Err(error) if error.class == ErrorClass::Budget => return Ok(()),
            rows => rows?,
        };
        let Some(found) = cell(&rows).filter(|found| !found.is_empty()) else { return Ok(()) };
        let is_number = found.parse::<f64>().is_ok();
        if is_number != (self.table.completed_type != Moments::Datetime) {
            let what = if is_number { "unix_seconds or unix_milliseconds" } else { "datetime" };
            let text = format!(
                "{}: {} holds values such as {found:?}; set completed_type to {what}",
                self.thing(),
                self.table.completed_column
            );
            return Err(CollectError::new(ErrorClass::Type, text));
        }
        self.is_probed = true;
        Ok(())
    }

    async fn rows(&self, source: &Source, sql: &str) -> Result<Vec<Row>, CollectError> {
        source.link().await.rows(&self.thing(), sql, self.budget).await.map_err(|mut error| {
            if error.class == ErrorClass::Budget {
                let indexes = source.dialect().advised_indexes(&self.table).join("; ");
                error.message = format!("{}, or create what makes it cheap: {indexes}", error.message);
            }
            error
        })
    }

    fn cells<const N: usize>(&self, rows: Vec<Row>) -> Result<[Option<String>; N], CollectError> {
        let cells = rows.into_iter().next().and_then(|row| <[Option<String>; N]>::try_from(row).ok());
        cells.ok_or_else(|| CollectError::new(ErrorClass::Missing, format!("{}: no counts came back", self.thing())))
    }

    fn number(&self, cell: Option<&str>) -> Result<u64, CollectError> {
        let missing = || CollectError::new(ErrorClass::Missing, format!("{}: a count is null", self.thing()));
        whole_number(&self.thing(), cell.ok_or_else(missing)?)
    }

    fn thing(&self) -> String {
        format!("table {}", self.table.table)
    }
}

impl Collector for Staging {
    fn source(&self) -> &'static str {
        self.source.dialect().source()
    }

    fn sections(&self) -> &[Section] {
        &[Section::Staging]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        self.source.dialect().error_classes()
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(async move {
            let read = self.read(clock.as_ref()).await;
            self.is_over = read.as_ref().is_err_and(|error| error.class == ErrorClass::Budget);
            match read {
                Ok(readings) => Outcome { readings: vec![readings], errors: Vec::new() },
                Err(error) => Outcome::failed(&[Section::Staging], &error),
            }
        })
    }

    fn examine<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Examination<'a> {
        Box::pin(async move {
            let cost = self.counted.as_ref().map(|counted| counted.cost).filter(|_| !self.is_over);
            if cost.is_none() && !self.is_over {
                return Vec::new();
            }
            let Counter { table, budget, .. } = &self.counter;
            let dialect = self.source.dialect();
            let window = Today::new(clock.now()).window(clock.now());
            let suspect = Suspect {
                thing: self.counter.thing(),
                sql: Statements { dialect, table }.poll(window),
                cost,
                budget: *budget,
                indexes: &dialect.advised_indexes(table),
                is_count: false,
            };
            let mut link = self.source.link().await;
            examine(suspect, &self.source, &mut *link).await.into_iter().collect()
        })
    }
}
