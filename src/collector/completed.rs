//! From a daily figure to a counter: `linkit.staging.completed` goes on where `completed_today` starts again.
//!
//! The counter begins at today's figure with that midnight as its start, never falls, and counts nothing twice, not even
//! when the clock is moved to another day and back, or the bridge is started again with the state it had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::catalog::FigureId;
use crate::clock::{Day, Moment, Wall};
use crate::reading::Reading;

/// Days whose last figure is remembered; clocks are not moved by more and back again.
const DAYS_MAX: usize = 8;

/// A handle of the counter: clones count together, so that who keeps its state need not know the collector.
#[derive(Clone, Debug, Default)]
pub struct Completed(Arc<Mutex<Counter>>);

/// The counter's state as it outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedState {
    /// The counter.
    pub total: u64,
    /// Since when it counts.
    pub start: Option<Wall>,
    /// The day of the last reading.
    pub day: Day,
    /// The last figure of each day.
    pub counted: BTreeMap<Day, u64>,
    /// The time of the last reading, where the source gives it.
    pub latest: Option<Wall>,
}

#[derive(Debug, Default)]
struct Counter {
    state: CompletedState,
    /// `state.latest` on this process's clocks.
    latest: Option<Moment>,
    /// When the counter of another source ended, which this one goes not behind.
    since: Wall,
}

impl Completed {
    /// The state to keep; `None` as long as nothing was counted.
    #[must_use]
    pub fn state(&self) -> Option<CompletedState> {
        Some(self.counter().state.clone()).filter(|state| state.start.is_some())
    }

    /// Goes on from a state that was kept; `now` finds its place on this process's clocks.
    pub fn restore(&self, state: CompletedState, now: Moment) {
        let latest = state.latest.map(|latest| now.back_to(latest));
        *self.counter() = Counter { state, latest, since: Wall::default() };
    }

    /// Forgets all: from `now` on it counts in another source. It begins at that one's figure of today, but to those who
    /// saw the counter before as one that was reset now.
    pub fn begin_anew(&self, now: Moment) {
        *self.counter() = Counter { since: now.wall, ..Counter::default() };
    }

    /// The day and the figure of the last reading, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<(Day, u64)> {
        let state = &self.counter().state;
        state.counted.get(&state.day).map(|today| (state.day, *today))
    }

    /// For sources that tell the time of their figures: whether `taken` is not before the last one's. If so it is the
    /// last one from now on.
    pub fn advance_to(&mut self, taken: Moment) -> bool {
        let mut counter = self.counter();
        let is_older = counter.latest.is_some_and(|latest| taken.mono < latest.mono);
        if !is_older {
            (counter.latest, counter.state.latest) = (Some(taken), Some(taken.wall));
        }
        !is_older
    }

    /// Whether items of `day` have been counted.
    #[must_use]
    pub fn knows(&self, day: Day) -> bool {
        self.counter().state.counted.contains_key(&day)
    }

    /// Takes in `today`, the items completed since the midnight of `day`, and those completed on whole days `before`
    /// it, if the source can tell: on each from the day of the last reading on, for what came between that reading and
    /// midnight, and on days that were counted already, for what came late.
    pub fn observe(&mut self, day: Day, today: u64, before: &[(Day, u64)]) -> Reading {
        let mut counter = self.counter();
        let since = counter.since;
        let state = &mut counter.state;
        let is_next = state.start.is_some() && day > state.day;
        for (past, items) in before {
            if is_next || state.counted.contains_key(past) {
                state.count(*past, *items);
            }
        }
        state.count(day, today);
        state.day = day;
        // A clock that was ahead must not leave a start in the future.
        let start = state.start.unwrap_or(since.max(day.start()));
        let start = if start.day() > day { day.start() } else { start };
        state.start = Some(start);
        Reading::of(FigureId::StagingCompleted, state.total.min(i64::MAX.cast_unsigned())).starting(start)
    }

    fn counter(&self) -> MutexGuard<'_, Counter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CompletedState {
    /// Counts what is new of a day. Rows deleted or moved back lower its figure; the counter waits, it never falls.
    fn count(&mut self, day: Day, items: u64) {
        let grown = items.saturating_sub(self.counted.get(&day).copied().unwrap_or(0));
        self.total = self.total.saturating_add(grown);
        self.counted.insert(day, items);
        if self.counted.len() > DAYS_MAX {
            self.counted.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_todays_figure_with_that_midnight_as_its_start() {
        let reading = Completed::default().observe(Day(10), 7, &[]);
        assert_eq!((reading.value, reading.start), (Some(7), Some(Day(10).start())));
    }

    #[test]
    fn it_goes_on_across_midnight_and_never_falls() {
        let mut completed = Completed::default();
        let totals = [
            completed.observe(Day(10), 7, &[]),
            completed.observe(Day(10), 9, &[]),
            completed.observe(Day(10), 4, &[]),
            completed.observe(Day(10), 6, &[]),
            completed.observe(Day(11), 1, &[(Day(10), 9)]),
            completed.observe(Day(11), 1, &[]),
            completed.observe(Day(13), 2, &[(Day(11), 2), (Day(12), 4)]),
            completed.observe(Day(13), 2, &[(Day(12), 5)]),
            completed.observe(Day(13), 2, &[(Day(9), 5)]),
        ];
        assert_eq!(totals.map(|reading| reading.value), [7, 9, 9, 11, 15, 15, 22, 23, 23].map(Some));
    }

    #[test]
    fn a_clock_moved_back_and_forth_counts_nothing_twice_and_stops_nothing() {
        let mut completed = Completed::default();
        let totals = [
            completed.observe(Day(400), 5, &[]),
            completed.observe(Day(10), 100, &[]),
            completed.observe(Day(10), 103, &[]),
            completed.observe(Day(9), 40, &[]),
            completed.observe(Day(10), 104, &[(Day(9), 80)]),
        ];
        assert_eq!(totals.clone().map(|reading| reading.value), [5, 105, 108, 148, 189].map(Some));
        assert_eq!(totals[1].start, Some(Day(10).start()));
    }

    #[test]
    fn what_was_counted_of_a_day_when_it_seemed_over_is_not_counted_again_when_the_clock_is_back_in_it() {
        let mut completed = Completed::default();
        let totals = [
            completed.observe(Day(10), 5, &[]),
            completed.observe(Day(12), 0, &[(Day(10), 7), (Day(11), 1)]),
            completed.observe(Day(10), 8, &[]),
            completed.observe(Day(11), 2, &[(Day(10), 8)]),
        ];
        assert_eq!(totals.map(|reading| reading.value), [5, 8, 9, 10].map(Some));
    }

    #[test]
    fn in_another_source_it_begins_at_its_figure_and_never_before_the_change() {
        let noon = Moment { wall: Wall::from_secs(1_705_320_000), mono: std::time::Duration::from_secs(1000) };
        let day = noon.wall.day();
        let mut completed = Completed::default();
        completed.observe(day, 50, &[]);
        completed.begin_anew(noon);
        assert_eq!((completed.state(), completed.last()), (None, None));
        for (today, total) in [(70, 70), (71, 71), (60, 71)] {
            let reading = completed.observe(day, today, &[]);
            assert_eq!((reading.value, reading.start), (Some(total), Some(noon.wall)));
        }
        assert_eq!(completed.observe(day.next(), 1, &[]).start, Some(noon.wall));
        let back = Day(day.0 - 3);
        assert_eq!(completed.observe(back, 1, &[]).start, Some(back.start()), "a clock that was ahead");
    }

    #[test]
    fn a_restored_counter_goes_on_with_its_start_and_counts_nothing_twice() {
        let now = Moment { wall: Wall::from_secs(1_705_314_600), mono: std::time::Duration::from_secs(1000) };
        let day = now.wall.day();
        let mut before = Completed::default();
        assert_eq!(before.state(), None);
        assert!(before.advance_to(now));
        before.observe(day, 9, &[]);
        let mut after = Completed::default();
        after.restore(before.state().unwrap(), now);
        assert_eq!(after.last(), Some((day, 9)));
        let older = now.minus(std::time::Duration::from_secs(2));
        assert!(!after.advance_to(older), "a document from before the restart");
        let reading = after.observe(day, 12, &[]);
        assert_eq!((reading.value, reading.start), (Some(12), Some(day.start())));
        let reading = after.observe(day.next(), 1, &[(day, 16)]);
        assert_eq!((reading.value, reading.start), (Some(17), Some(day.start())));
    }
}
