//! Readings: what collectors hand over, and how old it is. Pure: no source, no metrics library, no I/O.

mod custom;

pub use custom::{CustomReading, Number};

use std::time::Duration;

use crate::catalog::{FigureId, Section};
use crate::clock::{Day, Moment, Wall};

/// The attributes of one series, sorted by key.
pub type Attributes = Vec<(&'static str, String)>;

/// A figure's value as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which figure.
    pub figure: FigureId,
    /// Which series of it.
    pub attributes: Attributes,
    /// The value, in nanoseconds for figures in seconds, in whole units otherwise; at most 2^63 − 1.
    /// `None` when the source cannot know the figure.
    pub value: Option<u64>,
    /// Since when a counter counts, where the source tells.
    pub start: Option<Wall>,
}

impl Reading {
    /// A reading of a figure without attributes.
    #[must_use]
    pub const fn of(figure: FigureId, value: u64) -> Self {
        Self { figure, attributes: Vec::new(), value: Some(value), start: None }
    }

    /// A reading of one series of a figure with one attribute.
    #[must_use]
    pub fn of_series(figure: FigureId, key: &'static str, series: &str, value: u64) -> Self {
        Self { attributes: vec![(key, series.to_owned())], ..Self::of(figure, value) }
    }

    /// Says that the source cannot know the figure.
    #[must_use]
    pub const fn unknowable(figure: FigureId) -> Self {
        Self { figure, attributes: Vec::new(), value: None, start: None }
    }

    /// The same reading with the time its counter began.
    #[must_use]
    pub const fn starting(mut self, start: Wall) -> Self {
        self.start = Some(start);
        self
    }

    /// Whether it is of the same series as `other`.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        self.figure == other.figure && self.attributes == other.attributes
    }
}

/// What one request or one query brought: the unit of failure, taken whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// The section it belongs to.
    pub section: Section,
    /// Which request or query of that section: empty, a collection's name, or a custom figure's.
    pub unit: String,
    /// When it was read, by the bridge's clock, or the document's own time where it has one.
    pub taken: Moment,
    /// The UTC day its daily figures belong to.
    pub day: Day,
    /// The version the source states of itself, if it does.
    pub version: Option<String>,
    /// The figures.
    pub values: Vec<Reading>,
    /// The series of a custom figure, if it was one that was read.
    pub custom: Vec<CustomReading>,
    /// How long the source took to answer for this unit; zero where it is not measured.
    pub cost: Duration,
}

impl Readings {
    /// Readings of a whole section taken at `taken`.
    #[must_use]
    pub const fn new(section: Section, taken: Moment, values: Vec<Reading>) -> Self {
        Self {
            section,
            unit: String::new(),
            taken,
            day: taken.wall.day(),
            version: None,
            values,
            custom: Vec::new(),
            cost: Duration::ZERO,
        }
    }

    /// The same readings as the result of one query of several.
    #[must_use]
    pub fn of_unit(mut self, unit: &str) -> Self {
        unit.clone_into(&mut self.unit);
        self
    }

    /// Tells since when the counters of the catalogue count, as it follows from the readings of the same unit `before`.
    pub fn go_on_from(&mut self, before: &Self) {
        for next in &mut self.values {
            let held = before.values.iter().find(|held| held.same_series(next));
            next.start = counter_start(held.map(|held| (held, before.taken)), next);
        }
    }
}

/// How old figures may get: one pair for all sections and all faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Older figures are stale: still shown, and said to be old.
    pub stale_after: Duration,
    /// Older figures are expired: no longer shown.
    pub expire_after: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self { stale_after: Duration::from_secs(300), expire_after: Duration::from_secs(3600) }
    }
}

/// The age state of a figure or section; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Read lately.
    Fresh,
    /// Older than `stale_after`: shown, and said to be old.
    Stale,
    /// Older than `expire_after`: not shown.
    Expired,
    /// Not read since the start.
    Never,
}

impl Age {
    /// The state of something `age` old.
    #[must_use]
    pub fn of(age: Duration, ages: Ages) -> Self {
        if age > ages.expire_after {
            Self::Expired
        } else if age > ages.stale_after {
            Self::Stale
        } else {
            Self::Fresh
        }
    }

    /// Whether figures of this state are shown.
    #[must_use]
    pub const fn is_shown(self) -> bool {
        matches!(self, Self::Fresh | Self::Stale)
    }

    /// The figure `linkit.bridge.collector.staleness`.
    #[must_use]
    pub const fn as_figure(self) -> u64 {
        self as u64
    }

    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::Never => "never",
        }
    }
}

/// Since when a counter counts, judged by its last reading: what the source says; else the time of the last reading
/// before it fell (that is when it last certainly had not been reset); else unknown.
#[must_use]
pub fn counter_start(previous: Option<(&Reading, Moment)>, next: &Reading) -> Option<Wall> {
    let Some((before, taken)) = previous else { return next.start };
    let fell = matches!((before.value, next.value), (Some(before), Some(now)) if now < before);
    start_after(before.start, next.start, fell.then_some(taken.wall))
}

/// The start by the one held before, the one the source says, and the last time before the counter fell, if it fell.
fn start_after(before: Option<Wall>, next: Option<Wall>, fell: Option<Wall>) -> Option<Wall> {
    match next {
        Some(start) if fell.is_none() || before.is_some_and(|before| before < start) => Some(start),
        _ => fell.or(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment { wall: Wall::from_secs(100), mono: Duration::ZERO };

    fn counter(value: u64, start: Option<u64>) -> Reading {
        Reading { start: start.map(Wall::from_secs), ..Reading::of(FigureId::RuntimeGcCycles, value) }
    }

    #[test]
    fn an_age_is_fresh_up_to_its_bound_and_stale_above() {
        let ages = Ages::default();
        for (secs, age) in
            [(0, Age::Fresh), (300, Age::Fresh), (301, Age::Stale), (3600, Age::Stale), (3601, Age::Expired)]
        {
            assert_eq!(Age::of(Duration::from_secs(secs), ages), age);
        }
    }

    #[test]
    fn a_counter_starts_anew_only_when_it_fell_or_its_source_says_so() {
        let before = counter(7, None);
        assert_eq!(counter_start(None, &counter(7, None)), None);
        assert_eq!(counter_start(Some((&before, AT)), &counter(8, None)), None);
        assert_eq!(counter_start(Some((&before, AT)), &counter(3, None)), Some(AT.wall));
        let told = counter(7, Some(10));
        assert_eq!(counter_start(Some((&told, AT)), &counter(9, Some(10))), Some(Wall::from_secs(10)));
        assert_eq!(counter_start(Some((&told, AT)), &counter(9, Some(90))), Some(Wall::from_secs(90)));
        assert_eq!(counter_start(Some((&told, AT)), &counter(3, Some(10))), Some(AT.wall));
        let reset = counter(3, Some(50));
        assert_eq!(counter_start(Some((&reset, AT)), &counter(4, None)), Some(Wall::from_secs(50)));
    }
}
