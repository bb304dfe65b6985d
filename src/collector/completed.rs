//! From a daily figure to a counter: `linkit.staging.completed` goes on where `completed_today` starts again.
//!
//! The counter begins at today's figure with that midnight as its start, never falls, and counts nothing twice, not even
//! when the clock is moved to another day and back.

use std::collections::BTreeMap;

use crate::catalog::FigureId;
use crate::clock::{Day, Wall};
use crate::reading::Reading;

/// Days whose last figure is remembered; clocks are not moved by more and back again.
const DAYS_MAX: usize = 8;

/// The counter's state over the life of a collector.
#[derive(Debug, Default)]
pub struct Completed {
    total: u64,
    start: Option<Wall>,
    /// The last figure of each day.
    counted: BTreeMap<Day, u64>,
    day: Day,
}

impl Completed {
    /// The day and the figure of the last reading, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<(Day, u64)> {
        self.counted.get(&self.day).map(|today| (self.day, *today))
    }

    /// Takes in `today`, the items completed since the midnight of `day`, and `before`, those completed between the
    /// last reading and that midnight if the source can tell.
    pub fn observe(&mut self, day: Day, today: u64, before: u64) -> Reading {
        let is_next = self.start.is_some() && day > self.day;
        // Rows deleted or moved back lower today's figure; the counter waits, it never falls.
        let grown = today.saturating_sub(self.counted.get(&day).copied().unwrap_or(0));
        self.total = self.total.saturating_add(if is_next { before } else { 0 }).saturating_add(grown);
        self.counted.insert(day, today);
        if self.counted.len() > DAYS_MAX {
            self.counted.pop_first();
        }
        self.day = day;
        // A clock that was ahead must not leave a start in the future.
        let start = self.start.map_or(day.start(), |start| start.min(day.start()));
        self.start = Some(start);
        Reading::of(FigureId::StagingCompleted, self.total.min(i64::MAX.cast_unsigned())).starting(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_todays_figure_with_that_midnight_as_its_start() {
        let reading = Completed::default().observe(Day(10), 7, 0);
        assert_eq!((reading.value, reading.start), (Some(7), Some(Day(10).start())));
    }

    #[test]
    fn it_goes_on_across_midnight_and_never_falls() {
        let mut completed = Completed::default();
        let totals = [(10, 7, 0), (10, 9, 0), (10, 4, 0), (10, 6, 0), (11, 1, 3), (11, 1, 0), (13, 2, 5)]
            .map(|(day, today, before)| completed.observe(Day(day), today, before).value);
        assert_eq!(totals, [7, 9, 9, 11, 15, 15, 22].map(Some));
    }

    #[test]
    fn a_clock_moved_back_and_forth_counts_nothing_twice_and_stops_nothing() {
        let mut completed = Completed::default();
        let totals = [(400, 5, 0), (10, 100, 0), (10, 103, 0), (9, 40, 0), (10, 104, 40)]
            .map(|(day, today, before)| completed.observe(Day(day), today, before));
        assert_eq!(totals.clone().map(|reading| reading.value), [5, 105, 108, 148, 189].map(Some));
        assert_eq!(totals[1].start, Some(Day(10).start()));
    }
}
