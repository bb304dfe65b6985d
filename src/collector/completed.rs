//! From a daily figure to a counter: `linkit.staging.completed` goes on where `completed_today` starts again.
//!
//! The counter begins at today's figure with that midnight as its start, never falls, and counts nothing twice.

use crate::catalog::FigureId;
use crate::clock::{Day, Wall};
use crate::reading::Reading;

/// The counter's state over the life of a collector.
#[derive(Debug, Default)]
pub struct Completed {
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    day: Day,
    today: u64,
    total: u64,
    start: Wall,
}

impl Completed {
    /// The day and the figure of the last reading, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<(Day, u64)> {
        self.last.map(|last| (last.day, last.today))
    }

    /// Takes in `today`, the items completed since the midnight of `day`, and `before`, those completed between the
    /// last reading and that midnight if the source can tell.
    pub fn observe(&mut self, day: Day, today: u64, before: u64) -> Reading {
        let next = match self.last {
            None => Last { day, today, total: today, start: day.start() },
            Some(last) if day > last.day => {
                Last { day, today, total: last.total.saturating_add(before).saturating_add(today), ..last }
            }
            // A clock that was set back a day must not count that day's items again.
            Some(last) if day < last.day => last,
            // Rows deleted or moved back lower today's figure; the counter waits, it never falls.
            Some(last) => Last { today, total: last.total.saturating_add(today.saturating_sub(last.today)), ..last },
        };
        self.last = Some(next);
        Reading::of(FigureId::StagingCompleted, next.total.min(i64::MAX.cast_unsigned())).starting(next.start)
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
        assert_eq!(completed.observe(Day(12), 40, 0).value, Some(22));
        assert_eq!(completed.observe(Day(13), 3, 0).value, Some(23));
    }
}
