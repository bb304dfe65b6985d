//! Time behind one trait, so that every age, deadline and midnight can be tested without waiting.
//!
//! Ages are judged by the monotonic part of a [`Moment`], dates by its wall part; no local time anywhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;

/// Where monotonic time starts: high, so that instants before the start of the process have a place too.
const MONO_ORIGIN: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Wall time in nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(pub u64);

impl Wall {
    /// The wall time of whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * SECOND_NS)
    }

    /// The UTC day it falls in.
    #[must_use]
    pub const fn day(self) -> Day {
        Day(self.0 / DAY_NS)
    }

    /// The same time `d` later.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this one, zero if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `2024-01-15T10:30:00Z`: UTC, whole seconds, as the documented JSON writes time.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let seconds = i64::try_from(self.0 / SECOND_NS).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
    }

    /// Reads an RFC 3339 time such as `2024-01-15T10:30:00Z`; `None` if it is none, or before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(time.as_nanosecond()).ok().map(Self)
    }
}

/// A UTC day, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub u64);

impl Day {
    /// Its first instant, 00:00 UTC.
    #[must_use]
    pub const fn start(self) -> Wall {
        Wall(self.0 * DAY_NS)
    }

    /// The day before.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The day after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The date, which operators and NTP may move.
    pub wall: Wall,
    /// Time that nobody moves; its origin has no meaning.
    pub mono: Duration,
}

impl Moment {
    /// How long after `earlier` this is, by the monotonic clock.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }

    /// The instant `d` before this one.
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        let wall = self.wall.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        Self { wall: Wall(wall), mono: self.mono.saturating_sub(d) }
    }

    /// The instant of a date that another process noted, seen from this one; a date yet to come counts as now.
    #[must_use]
    pub fn back_to(self, noted: Wall) -> Self {
        self.minus(self.wall.since(noted))
    }
}

/// What tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Moment;
}

/// The machine's clocks; ages go on while it sleeps.
#[derive(Debug)]
pub struct SystemClock {
    origin: Duration,
}

impl SystemClock {
    /// A clock whose monotonic part starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: since_boot() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock that reads the machine's")]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { wall: Wall::default().plus(wall), mono: MONO_ORIGIN + since_boot().saturating_sub(self.origin) }
    }
}

/// Time since the machine was started, sleep included: `Instant` leaves it out, and old figures would look fresh.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A clock that stands until it is moved: for tests, of embedding programs too.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Moment>,
}

impl ManualClock {
    /// A clock that stands at `wall`.
    #[must_use]
    pub fn at(wall: Wall) -> Self {
        Self { now: Mutex::new(Moment { wall, mono: MONO_ORIGIN }) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, d: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.wall = now.wall.plus(d);
        now.mono += d;
    }

    /// Sets the date alone, as an operator or NTP may.
    pub fn set_wall(&self, wall: Wall) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that goes with tokio's, which tests can pause and move.
#[derive(Debug)]
pub struct TokioClock {
    wall: Wall,
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `wall` now.
    #[must_use]
    pub fn starting_at(wall: Wall) -> Self {
        Self { wall, origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Moment {
        let elapsed = self.origin.elapsed();
        Moment { wall: self.wall.plus(elapsed), mono: MONO_ORIGIN + elapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let wall = Wall::from_secs(1_705_314_600);
        assert_eq!(wall.to_rfc3339(), "2024-01-15T10:30:00Z");
        assert_eq!(wall.day().start().to_rfc3339(), "2024-01-15T00:00:00Z");
        assert_eq!(wall.day().next().start().to_rfc3339(), "2024-01-16T00:00:00Z");
    }

    #[test]
    fn the_documents_time_reads_back_and_other_text_does_not() {
        assert_eq!(Wall::parse_rfc3339("2024-01-15T10:30:00Z"), Some(Wall::from_secs(1_705_314_600)));
        assert_eq!(Wall::parse_rfc3339("2024-01-15T12:30:00+02:00"), Some(Wall::from_secs(1_705_314_600)));
        for bad in ["", "yesterday", "2024-01-15", "1960-01-01T00:00:00Z"] {
            assert_eq!(Wall::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wall_clock_set_back_makes_no_negative_age() {
        let clock = ManualClock::at(Wall::from_secs(1000));
        let before = clock.now();
        clock.advance(Duration::from_secs(5));
        clock.set_wall(Wall::from_secs(1));
        assert_eq!(clock.now().since(before), Duration::from_secs(5));
        assert_eq!(clock.now().wall.since(before.wall), Duration::ZERO);
    }
}
