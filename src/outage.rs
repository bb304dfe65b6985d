//! An outage as it is told in a log: each kind of trouble once, then ever more seldom that it goes on, at last its end.
//!
//! It knows times and words, not what is out. Who logs decides what a kind is.

use std::collections::BTreeSet;
use std::time::Duration;

/// How long an outage lasts before it is told again; from then on twice as long each time.
const FIRST_REMINDER: Duration = Duration::from_secs(600);
const REMINDER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Kinds that are told of one outage: who makes up ever new ones must not fill the log.
const KINDS_MAX: usize = 16;

/// An outage that goes on.
#[derive(Debug)]
pub struct Outage {
    began: Duration,
    failures: u64,
    told: BTreeSet<String>,
    /// When it is told again, and how long after that once more.
    reminder: (Duration, Duration),
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A kind of trouble that was not there yet.
    News,
    /// It goes on.
    Still(Extent),
}

/// How much an outage is by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Attempts that failed, one after the other.
    pub failures: u64,
    /// How long ago the first of them was.
    pub lasting: Duration,
}

impl Outage {
    /// An outage without a failure yet; `now` is monotonic, as all times here.
    #[must_use]
    pub fn beginning(now: Duration) -> Self {
        Self { began: now, failures: 0, told: BTreeSet::new(), reminder: (now + FIRST_REMINDER, FIRST_REMINDER) }
    }

    /// Takes in a failure of a kind; what of it is worth a line.
    pub fn fail(&mut self, kind: &str, now: Duration) -> Option<Word> {
        self.failures += 1;
        if self.told.len() < KINDS_MAX && self.told.insert(kind.to_owned()) {
            return Some(Word::News);
        }
        let (due, after) = self.reminder;
        if now < due {
            return None;
        }
        let after = (after * 2).min(REMINDER_MAX);
        self.reminder = (now + after, after);
        Some(Word::Still(self.extent(now)))
    }

    /// How much it is.
    #[must_use]
    pub fn extent(&self, now: Duration) -> Extent {
        let lasting = Duration::from_secs(now.saturating_sub(self.began).as_secs());
        Extent { failures: self.failures, lasting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_kind_is_news_once_and_then_a_reminder_at_growing_distance() {
        let mut outage = Outage::beginning(MINUTE);
        let mut told = Vec::new();
        for minute in 1..=200_u32 {
            let kind = if minute % 2 == 0 { "timeout" } else { "unreachable" };
            if let Some(word) = outage.fail(kind, MINUTE * minute) {
                told.push((minute, word));
            }
        }
        let still =
            |minute: u32| (minute, Word::Still(Extent { failures: minute.into(), lasting: MINUTE * (minute - 1) }));
        assert_eq!(told, [(1, Word::News), (2, Word::News), still(11), still(31), still(71), still(151)]);
        assert_eq!(outage.extent(MINUTE * 201).failures, 200);
    }

    #[test]
    fn ever_new_kinds_do_not_fill_the_log() {
        let mut outage = Outage::beginning(MINUTE);
        let told = (0..1000).filter(|number| outage.fail(&number.to_string(), MINUTE).is_some());
        assert_eq!(told.count(), KINDS_MAX);
    }
}
