//! The items completed today, at the cost of the new ones: what lies some minutes back is counted once and for all,
//! until the next recount. Pure.
//!
//! The mark up to which all is settled follows the newest time in the table, not the bridge's clock alone: a backend
//! whose clock is slow would else always write behind the mark. Rows that come later than [`LATE`], and rows deleted
//! or moved back behind the mark, are right again with the recount.

use std::time::Duration;

use super::RECOUNT_AFTER;
use super::statement::Window;
use crate::clock::{Day, Moment, Wall};

/// How late a row may appear and yet be counted at once.
const LATE: Duration = Duration::from_secs(120);

/// What is settled of one day.
#[derive(Clone, Debug)]
pub(super) struct Today {
    day: Day,
    /// Items completed from midnight up to `mark`.
    settled: u64,
    mark: Wall,
    /// The newest time of completion that was seen.
    newest: Option<Wall>,
    separator: char,
    since: Moment,
}

impl Today {
    /// Nothing is settled: all of today is to be counted.
    pub(super) fn new(now: Moment) -> Self {
        let day = now.wall.day();
        Self { day, settled: 0, mark: day.start(), newest: None, separator: ' ', since: now }
    }

    /// Whether it can still be built upon.
    pub(super) fn holds(&self, now: Moment) -> bool {
        self.day == now.wall.day() && now.since(self.since) < RECOUNT_AFTER
    }

    /// Whether all of today is still to be counted.
    pub(super) fn is_unsettled(&self) -> bool {
        self.mark == self.day.start()
    }

    /// The first hours of today, up to and not including the last minutes, for a day that cannot be counted at once.
    pub(super) fn hours(&self, now: Moment) -> Vec<[Wall; 2]> {
        let end = Wall(now.wall.0.saturating_sub(nanoseconds(LATE)));
        hours(self.day.start(), end)
    }

    /// The same day with the items up to the end of [`Today::hours`] settled.
    pub(super) fn settle(&mut self, hours: &[[Wall; 2]], items: u64) {
        if let Some([_, end]) = hours.last() {
            (self.settled, self.mark) = (items, *end);
        }
    }

    /// What is to be asked for at `now`.
    pub(super) fn window(&self, now: Moment) -> Window {
        let late = nanoseconds(LATE);
        let newest = self.newest.map_or(Wall(0), |newest| newest.min(now.wall));
        let cut = self.mark.max(Wall(newest.0.saturating_sub(late)));
        Window { from: self.mark, cut, end: self.day.next().start(), separator: self.separator }
    }

    /// Takes in the answer: the items in the window, those of them before its cut, and the newest time as text and as
    /// time. Returns the items completed today.
    pub(super) fn take(&mut self, window: Window, items: u64, before_cut: u64, newest: Option<(&str, Wall)>) -> u64 {
        let today = self.settled.saturating_add(items);
        self.settled = self.settled.saturating_add(before_cut);
        self.mark = window.cut;
        if let Some((text, newest)) = newest {
            self.newest = self.newest.max(Some(newest));
            self.separator = if text.as_bytes().get(10) == Some(&b'T') { 'T' } else { ' ' };
        }
        today
    }
}

/// The hours from `from` up to, and not including, `end`.
pub(super) fn hours(from: Wall, end: Wall) -> Vec<[Wall; 2]> {
    let next = |from: &Wall| Some(from.plus(Duration::from_secs(3600))).filter(|next| *next < end);
    std::iter::successors(Some(from).filter(|from| *from < end), next)
        .map(|from| [from, from.plus(Duration::from_secs(3600)).min(end)])
        .collect()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-15T10:30:00Z
    const NOON: u64 = 1_705_314_600;

    fn at(seconds: u64) -> Moment {
        Moment { wall: Wall::from_secs(NOON + seconds), mono: Duration::from_secs(1_000_000 + seconds) }
    }

    /// Completed items by their time in seconds from [`NOON`], as a table would hold them.
    struct Table(Vec<i64>);

    impl Table {
        fn answer(&self, today: &mut Today, now: Moment) -> (u64, usize) {
            let window = today.window(now);
            let wall = |seconds: i64| Wall::from_secs(NOON.checked_add_signed(seconds).unwrap());
            let inside: Vec<_> =
                self.0.iter().map(|at| wall(*at)).filter(|at| (window.from..window.end).contains(at)).collect();
            let before = inside.iter().filter(|at| **at < window.cut).count() as u64;
            let newest = inside.iter().max().map(|newest| ("2024-01-15 10:30:00", *newest));
            (today.take(window, inside.len() as u64, before, newest), inside.len())
        }
    }

    #[test]
    fn all_of_today_is_counted_once_and_then_only_what_is_new() {
        let mut table = Table((0..10_000).map(|second| -second).collect());
        let mut today = Today::new(at(0));
        assert_eq!(table.answer(&mut today, at(0)), (10_000, 10_000));
        table.0.push(5);
        assert_eq!(table.answer(&mut today, at(5)), (10_001, 10_001), "the mark follows what has been seen");
        table.0.push(10);
        assert_eq!(table.answer(&mut today, at(10)), (10_002, 123));
        table.0.extend([-110, 16]);
        assert_eq!(table.answer(&mut today, at(16)), (10_004, 120), "a late row within the minutes is counted at once");
    }

    #[test]
    fn a_row_that_is_very_late_or_gone_is_right_after_the_recount() {
        let mut table = Table(vec![-9000, -8000, -10]);
        let mut today = Today::new(at(0));
        for second in [0, 5, 10] {
            table.answer(&mut today, at(second));
        }
        table.0.push(-5000);
        assert_eq!(table.answer(&mut today, at(15)).0, 3);
        assert!(today.holds(at(3599)) && !today.holds(at(3600)));
        assert_eq!(table.answer(&mut Today::new(at(3600)), at(3600)).0, 4);
    }

    #[test]
    fn a_backend_whose_clock_is_slow_or_fast_loses_nothing() {
        for skew in [-600, 600] {
            let mut table = Table(vec![skew]);
            let mut today = Today::new(at(0));
            for second in (0..1800).step_by(5) {
                table.0.push(skew + i64::try_from(second).unwrap());
                assert_eq!(table.answer(&mut today, at(second)).0, table.0.len() as u64);
            }
        }
    }

    #[test]
    fn a_new_day_is_another() {
        let today = Today::new(at(0));
        assert!(!today.holds(at(13 * 3600 + 1800)));
        assert!(Today::new(at(14 * 3600)).day == at(0).wall.day().next());
    }

    #[test]
    fn hours_cover_all_and_touch() {
        let [from, end] = [Wall::from_secs(NOON), Wall::from_secs(NOON + 7300)];
        let parts = hours(from, end);
        assert_eq!(parts.len(), 3);
        assert_eq!((parts[0][0], parts[2][1]), (from, end));
        assert!(parts.windows(2).all(|pair| pair[0][1] == pair[1][0]));
        assert!(hours(end, from).is_empty());
    }
}
