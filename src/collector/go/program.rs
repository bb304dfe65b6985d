//! The running program behind the answers: since when it counts, whether it is still the same, and its collections
//! beyond 32 bits. Pure.

use std::time::Duration;

use crate::clock::{Moment, Wall};

/// The start time is the host's boot time plus a distance, and the boot time moves by a second whenever the clock is
/// set a little: within this, a start is the same start.
const JITTER: Duration = Duration::from_secs(2);

const TWO_TO_32: u64 = 1 << 32;

/// The two cumulative figures of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) allocated: Option<u64>,
    pub(super) cycles: Option<u64>,
}

/// What an attempt shows of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is the one of the last attempt, or the first that was seen.
    Same,
    /// It has started anew since the last attempt.
    Restarted,
    /// The page is of a newer program than the counters may be: it started anew between the two answers.
    Torn,
}

/// The counters as they were last read.
#[derive(Clone, Copy)]
struct Last {
    counters: Counters,
    taken: Moment,
    /// Whether they are of another answer than the start.
    is_apart: bool,
}

/// What is known of the program.
#[derive(Default)]
pub(super) struct Program {
    /// The start that its page told, if it told one.
    told: Option<Wall>,
    /// Since when its counters are said to count.
    start: Option<Wall>,
    last: Option<Last>,
    /// What the wraps of the collections add to them.
    wrapped: u64,
}

impl Program {
    /// Since when the counters count, if that is known.
    pub(super) const fn start(&self) -> Option<Wall> {
        self.start
    }

    /// The collections since the start, however often 32 bits were not enough for them.
    pub(super) const fn cycles(&self, counted: u64) -> u64 {
        self.wrapped.saturating_add(counted)
    }

    /// Takes in what an attempt told: the start of the page, if it told one, and the counters with their time.
    /// `is_apart` says that the counters are of another answer than the start.
    pub(super) fn see(&mut self, told: Option<Wall>, counted: Option<(Counters, Moment)>, is_apart: bool) -> Sight {
        let has_moved = matches!((self.told, told), (Some(held), Some(told)) if is_another(held, told));
        let change = match (&self.last, counted) {
            // Two answers of one program may differ by a little; only within one does a fall mean anything.
            (Some(last), Some((counters, _))) if last.is_apart == is_apart => judge(last.counters, counters),
            _ => Change::Unknown,
        };
        if has_moved && is_apart && matches!(change, Change::None | Change::Wrapped) {
            // Counters that did not fall may be the old program's. The next attempt shows them beside the same start.
            *self = Self { told, start: told, last: None, wrapped: 0 };
            return Sight::Torn;
        }
        let is_restart = has_moved || change == Change::Fell;
        if is_restart {
            // Without a start from the page: when it was last read, it certainly had not been reset.
            let read = self.last.map(|last| last.taken.wall);
            let start = told.filter(|told| self.start.is_none_or(|start| start < *told)).or(read);
            *self = Self { told, start, last: None, wrapped: 0 };
        } else {
            if self.told.is_none() {
                self.told = told;
                self.start = self.start.or(told);
            }
            if change == Change::Wrapped {
                self.wrapped = self.wrapped.saturating_add(TWO_TO_32);
            }
        }
        self.last = counted.map(|(counters, taken)| Last { counters, taken, is_apart }).or(self.last);
        if is_restart { Sight::Restarted } else { Sight::Same }
    }
}

fn is_another(held: Wall, told: Wall) -> bool {
    held.since(told).max(told.since(held)) > JITTER
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// There is nothing to compare with.
    Unknown,
    None,
    Wrapped,
    Fell,
}

/// Go counts collections in 32 bits, so a lower number is a wrap or a reset. Memory ever allocated is counted in 64
/// bits and falls in no running program, so where it fell, the program is another. Where it did not, the step tells:
/// taken modulo 2^32, a wrap is a small step forwards and a reset a large one. (A new program that has already
/// allocated more than the old one is thus not taken for one that has collected four billion times.)
fn judge(last: Counters, next: Counters) -> Change {
    if matches!((last.allocated, next.allocated), (Some(last), Some(next)) if next < last) {
        return Change::Fell;
    }
    match (last.cycles, next.cycles) {
        (Some(last), Some(next)) if next < last => {
            let step = next.wrapping_sub(last) % TWO_TO_32;
            let is_wrap = last < TWO_TO_32 && step < TWO_TO_32 / 2;
            if is_wrap { Change::Wrapped } else { Change::Fell }
        }
        _ => Change::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Wall = Wall::from_secs(1_705_314_600);

    fn at(secs: u64) -> Moment {
        Moment { wall: DAY.plus(Duration::from_secs(secs)), mono: Duration::from_secs(secs) }
    }

    fn counters(allocated: u64, cycles: u64, secs: u64) -> Option<(Counters, Moment)> {
        Some((Counters { allocated: Some(allocated), cycles: Some(cycles) }, at(secs)))
    }

    #[test]
    fn collections_go_on_where_32_bits_end() {
        let mut program = Program::default();
        let most = u64::from(u32::MAX);
        for (cycles, shown, secs) in
            [(most - 1, most - 1, 0), (2, TWO_TO_32 + 2, 5), (9, TWO_TO_32 + 9, 10), (most, TWO_TO_32 + most, 15)]
        {
            // Half of 32 bits in one step is no wrap, but any step forwards is one.
            assert_eq!(program.see(None, counters(100 + secs, cycles, secs), true), Sight::Same, "{cycles}");
            assert_eq!(program.cycles(cycles), shown);
        }
        assert_eq!(program.see(None, counters(200, 3, 20), true), Sight::Same);
        assert_eq!((program.cycles(3), program.start()), (2 * TWO_TO_32 + 3, None));
    }

    #[test]
    fn a_fall_that_is_no_wrap_is_a_restart_of_both_counters() {
        for (allocated, cycles) in [(99, u64::from(u32::MAX)), (99, 4), (1000, 4)] {
            let mut program = Program::default();
            program.see(None, counters(100, u64::from(u32::MAX) - 7, 0), true);
            program.see(None, counters(100, 50, 5), true);
            assert_eq!(program.cycles(50), TWO_TO_32 + 50);
            assert_eq!(program.see(None, counters(allocated, cycles, 10), true), Sight::Restarted);
            assert_eq!((program.cycles(cycles), program.start()), (cycles, Some(at(5).wall)), "{allocated}");
        }
    }

    #[test]
    fn a_start_that_moved_is_a_restart_and_one_that_trembles_is_none() {
        let mut program = Program::default();
        let start = |secs| Some(DAY.plus(Duration::from_secs(secs)));
        assert_eq!(program.see(start(10), counters(100, 5, 20), false), Sight::Same);
        assert_eq!(program.see(start(11), counters(110, 5, 25), false), Sight::Same);
        assert_eq!(program.start(), start(10));
        assert_eq!(program.see(start(40), counters(500, 6, 50), false), Sight::Restarted);
        assert_eq!(program.start(), start(40));
        // A program that lived for a second only.
        assert_eq!(program.see(start(41), counters(1, 0, 55), false), Sight::Restarted);
        assert_eq!(program.start(), start(41));
        // Restarted while the page was away: the new program's start, when it comes, does not move what was said.
        assert_eq!(program.see(None, counters(0, 0, 60), false), Sight::Restarted);
        assert_eq!(program.see(start(58), counters(5, 0, 65), false), Sight::Same);
        assert_eq!(program.start(), start(55));
    }

    #[test]
    fn counters_that_come_from_another_answer_have_not_fallen() {
        let mut program = Program::default();
        program.see(None, counters(100, 5, 0), true);
        assert_eq!(program.see(None, counters(99, 5, 5), false), Sight::Same);
        assert_eq!(program.see(None, counters(98, 5, 10), false), Sight::Restarted);
    }

    #[test]
    fn counters_of_the_old_program_are_not_given_the_start_of_the_new_one() {
        let mut program = Program::default();
        let start = |secs| Some(DAY.plus(Duration::from_secs(secs)));
        program.see(start(10), counters(100, 5, 20), true);
        assert_eq!(program.see(start(24), counters(101, 5, 25), true), Sight::Torn);
        assert_eq!(program.see(start(24), counters(3, 1, 30), true), Sight::Same);
        assert_eq!((program.start(), program.cycles(1)), (start(24), 1));
        // Fallen counters are surely the new program's.
        assert_eq!(program.see(start(40), counters(2, 1, 41), true), Sight::Restarted);
    }
}
