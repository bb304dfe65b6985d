//! How many rows a collection has: counted while that is cheap enough, else estimated. Knows what was learned about
//! one collection; asks through a [`Link`].
//!
//! An estimate goes on from the last count there was, by what the statistics say has changed since. A statistic that
//! is made anew jumps while nothing has changed, so its steps are held to the rows that certainly came and went
//! meanwhile: a line on a dashboard shows no saw-tooth that is none of the table's.

use std::time::Duration;

use super::{Dialect, Link, Signs, cell};
use crate::clock::Moment;
use crate::collector::number::whole_number;
use crate::collector::{CollectError, ErrorClass};

/// A count that was over its budget is tried again after this time, then after twice of it, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LAST_RETRY: Duration = Duration::from_secs(3600);

/// A table of more rows than this may be too dear to count when the machine is busy or its disk is slow.
const LARGE: u64 = 100_000;

/// How long an estimate goes on before it is held against the statistics, and by how much it may differ from them.
const CHECK_AFTER: Duration = Duration::from_secs(3600);
const TOLERANCE_PERCENT: i128 = 15;

/// A number of rows, and how it was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: u64,
    pub(super) is_exact: bool,
}

/// What is known about one collection's size.
#[derive(Debug)]
pub(super) struct Sizer {
    thing: String,
    table: String,
    budget: Duration,
    /// The last count that was over its budget, if none has succeeded since.
    over: Option<Over>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Over {
    error: CollectError,
    at: Moment,
    retry: Duration,
    /// How large the table seemed then, if that could be told.
    rows: Option<u64>,
}

/// An estimate that goes on.
#[derive(Debug)]
struct Running {
    rows: i128,
    level: i64,
    flows: Option<[u64; 2]>,
    generation: Option<String>,
    /// When it was last equal to a count or to the statistics, or found to be near them.
    checked: Moment,
}

impl Sizer {
    pub(super) fn new(thing: String, table: String, budget: Duration) -> Self {
        Self { thing, table, budget, over: None, running: None }
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The size as of `now`.
    pub(super) async fn ask(
        &mut self,
        link: &mut dyn Link,
        dialect: &dyn Dialect,
        now: Moment,
    ) -> Result<Size, CollectError> {
        let mut signs = None;
        if self.over.is_some() {
            signs = self.signs(link, dialect).await?;
            if !self.is_worth_counting(signs.as_ref(), now) {
                return self.estimate(signs, link, now).await;
            }
        }
        match self.count(link, dialect).await {
            Ok(rows) => {
                self.over = None;
                // Before a large table's next count turns out to be too dear, it is noted what the statistics say now.
                let signs = if rows < LARGE { None } else { self.signs(link, dialect).await? };
                self.running = signs.and_then(|signs| Running::new(rows.into(), &signs, now));
                Ok(Size { rows, is_exact: true })
            }
            Err(error) if error.class == ErrorClass::Budget => {
                let signs = match signs {
                    Some(signs) => Some(signs),
                    None => self.signs(link, dialect).await?,
                };
                let retry = self.over.take().map_or(FIRST_RETRY, |over| (over.retry * 2).min(LAST_RETRY));
                self.over = Some(Over { error, at: now, retry, rows: None });
                let size = self.estimate(signs, link, now).await?;
                if let Some(over) = &mut self.over {
                    over.rows = Some(size.rows);
                }
                Ok(size)
            }
            Err(error) => Err(error),
        }
    }

    async fn count(&self, link: &mut dyn Link, dialect: &dyn Dialect) -> Result<u64, CollectError> {
        let rows = link.rows(&self.thing, &dialect.count(&self.table), self.budget).await?;
        let Some(text) = cell(&rows) else {
            let text = format!(
                "{} in {}: no such table or view; correct the configured name, or create it",
                self.thing,
                link.address()
            );
            return Err(CollectError::new(ErrorClass::NotFound, text));
        };
        whole_number(&self.thing, text)
    }

    /// What the statistics tell; `None` if there are none, as of a view.
    async fn signs(&self, link: &mut dyn Link, dialect: &dyn Dialect) -> Result<Option<Signs>, CollectError> {
        for sql in dialect.signs(&self.table) {
            match link.rows(&self.thing, &sql, self.budget).await {
                Ok(rows) => {
                    if let Some(signs) = rows.first().and_then(|row| dialect.signs_of(&self.table, row)) {
                        return Ok(Some(signs));
                    }
                }
                // Not every table has every statistic, nor does every role see them.
                Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Unauthorized) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether a count may be within its budget by now: some time has passed, or the table has become much smaller,
    /// or it is no longer what it was.
    fn is_worth_counting(&self, signs: Option<&Signs>, now: Moment) -> bool {
        let Some(over) = &self.over else { return true };
        let is_small = |rows: u64| over.rows.is_some_and(|before| rows <= before / 2);
        now.since(over.at) >= over.retry
            || over.rows.is_some() != signs.is_some()
            || signs.and_then(|signs| signs.rows).is_some_and(is_small)
    }

    async fn estimate(&mut self, signs: Option<Signs>, link: &mut dyn Link, now: Moment) -> Result<Size, CollectError> {
        let Some(signs) = signs else {
            self.running = None;
            return Err(self.over_budget());
        };
        let is_due = self.running.as_ref().is_none_or(|running| {
            // Rows that went all at once, as by `TRUNCATE`, are in no flow.
            let has_collapsed = signs.rows.is_some_and(|rows| running.rows > 2 * i128::from(rows));
            has_collapsed || now.since(running.checked) >= CHECK_AFTER
        });
        let told = if is_due { self.told(&signs, link).await? } else { None };
        let moved = self.running.as_ref().and_then(|running| running.moved(&signs));
        let rows = match (moved, told) {
            (Some(moved), Some(told)) if is_near(moved, told) => moved,
            (Some(moved), None) => moved,
            (_, Some(told)) => told.into(),
            (None, None) => match self.told(&signs, link).await? {
                Some(told) => told.into(),
                None => return Err(self.over_budget()),
            },
        };
        let checked = self.running.as_ref().filter(|_| !is_due).map_or(now, |running| running.checked);
        self.running = Running::new(rows, &signs, checked);
        Ok(Size { rows: u64::try_from(rows).unwrap_or(0), is_exact: false })
    }

    /// The rows by the statistics alone, or by a sample where they cannot be believed.
    async fn told(&self, signs: &Signs, link: &mut dyn Link) -> Result<Option<u64>, CollectError> {
        let Some(sample) = signs.sample.as_ref().filter(|_| signs.rows.is_none()) else { return Ok(signs.rows) };
        let rows = link.rows(&self.thing, sample, self.budget).await?;
        cell(&rows).map(|text| whole_number(&self.thing, text)).transpose()
    }

    fn over_budget(&self) -> CollectError {
        let unknown = || CollectError::new(ErrorClass::Budget, format!("{}: it cannot be estimated", self.thing));
        self.over.as_ref().map_or_else(unknown, |over| over.error.clone())
    }
}

impl Running {
    fn new(rows: i128, signs: &Signs, checked: Moment) -> Option<Self> {
        let Signs { flows, generation, .. } = signs.clone();
        Some(Self { rows, level: signs.level?, flows, generation, checked })
    }

    /// The rows after what has happened since; `None` if the statistics no longer tell.
    fn moved(&self, signs: &Signs) -> Option<i128> {
        if self.generation != signs.generation {
            return None;
        }
        let step = i128::from(signs.level?) - i128::from(self.level);
        let step = match (self.flows, signs.flows) {
            (Some([inserted, deleted]), Some([now_inserted, now_deleted])) => {
                // Counters that fell have begun anew: what happened before that nobody knows.
                let (Some(came), Some(went)) = (now_inserted.checked_sub(inserted), now_deleted.checked_sub(deleted))
                else {
                    return Some(self.rows);
                };
                step.clamp(-i128::from(went), i128::from(came))
            }
            _ => step,
        };
        Some((self.rows + step).max(0))
    }
}

fn is_near(rows: i128, told: u64) -> bool {
    (rows - i128::from(told)).abs() * 100 <= i128::from(told) * TOLERANCE_PERCENT
}

#[cfg(test)]
mod tests;
