//! A unit as the registry holds it: readings, and the series of custom figures as the points that snapshots share.
//!
//! There can be many of those, so they become points once, when they are published; a collection only counts one more
//! owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::snapshot::{Point, PointValue};
use crate::catalog::{CustomFigure, Kind, Section};
use crate::clock::{Moment, Wall};
use crate::reading::{CustomReading, Reading, Readings};

/// The coarsest time a receiver keeps: Prometheus tells milliseconds apart.
const TIME_STEP: Duration = Duration::from_millis(1);

/// One unit.
#[derive(Debug)]
pub(super) struct Unit {
    /// What was read, but for the custom figures.
    pub(super) readings: Readings,
    pub(super) custom: Vec<CustomSeries>,
}

/// The series of one custom figure.
#[derive(Clone, Debug)]
pub(super) struct CustomSeries {
    pub(super) figure: Arc<CustomFigure>,
    /// Sorted by attributes.
    pub(super) points: Arc<[Point]>,
    /// As in [`Family::layout`](super::Family::layout).
    pub(super) layout: Option<u64>,
}

/// The latest readings, by section and unit.
pub(super) type Held = BTreeMap<(Section, String), Unit>;

impl Unit {
    /// A unit as it was read, of the custom figures those that are `known`. It goes on from the one `before`: counters
    /// keep their start, and at the same time other values get a later one. Where the source became another at `since`,
    /// no counter began before.
    pub(super) fn new(
        mut readings: Readings,
        before: Option<&Self>,
        since: Option<Wall>,
        known: &BTreeSet<String>,
        layouts: &mut u64,
    ) -> Self {
        let mut custom = std::mem::take(&mut readings.custom);
        custom.sort_by(|a, b| (a.figure.name(), &a.attributes).cmp(&(b.figure.name(), &b.attributes)));
        if let Some(before) = before {
            readings.go_on_from(&before.readings);
        }
        for reading in readings.values.iter_mut().filter(|reading| reading.figure.figure().kind == Kind::Counter) {
            reading.start = begun(reading.start, before.is_some(), since);
        }
        let mut custom = custom.into_iter().peekable();
        let mut series = Vec::new();
        while let Some(first) = custom.peek() {
            let figure = Arc::clone(&first.figure);
            let of_figure = std::iter::from_fn(|| custom.next_if(|reading| reading.figure.name() == figure.name()));
            if !known.contains(figure.name()) {
                of_figure.for_each(drop);
                continue;
            }
            let held =
                before.and_then(|before| before.series(&figure).map(|series| (&*series.points, before.readings.taken)));
            let points = points(of_figure, &figure, held, since, readings.taken);
            let last = before.and_then(|before| before.series(&figure)).filter(|last| last.has_series_of(&points));
            let layout = last.map_or_else(|| next(layouts), |last| last.layout);
            series.push(CustomSeries { figure, points, layout });
        }
        let mut unit = Self { readings, custom: series };
        let is_other =
            |before: &&Self| before.readings.taken.wall == unit.readings.taken.wall && !unit.same_values(before);
        if before.filter(is_other).is_some() {
            unit.take_later();
        }
        unit
    }

    /// Gives its figures other layouts.
    pub(super) fn lay_out(&mut self, layouts: &mut u64) {
        self.custom.iter_mut().for_each(|series| series.layout = next(layouts));
    }

    /// Leaves the figures to another unit that has them by now, for none is to stand twice; whether nothing is left.
    pub(super) fn leave_to(&mut self, other: &Self) -> bool {
        let is_there = |reading: &Reading| other.readings.values.iter().any(|held| held.same_series(reading));
        self.readings.values.retain(|reading| !is_there(reading));
        self.readings.values.is_empty() && self.custom.is_empty()
    }

    /// Whether all figures are as in `other`.
    fn same_values(&self, other: &Self) -> bool {
        let same = |(one, other): (&CustomSeries, &CustomSeries)| {
            one.figure.name() == other.figure.name()
                && one.points.len() == other.points.len()
                && one.points.iter().zip(&*other.points).all(|(one, other)| {
                    (&one.attributes, one.start, &one.value) == (&other.attributes, other.start, &other.value)
                })
        };
        self.readings.values == other.readings.values
            && self.custom.len() == other.custom.len()
            && self.custom.iter().zip(&other.custom).all(same)
    }

    /// Says that it was read a step later.
    fn take_later(&mut self) {
        let taken = &mut self.readings.taken.wall;
        *taken = taken.plus(TIME_STEP);
        for series in &mut self.custom {
            Arc::make_mut(&mut series.points).iter_mut().for_each(|point| point.time = taken.0);
        }
    }

    fn series(&self, figure: &CustomFigure) -> Option<&CustomSeries> {
        self.custom.iter().find(|series| series.figure.name() == figure.name())
    }
}

impl CustomSeries {
    /// Whether these points are of the same series in the same order.
    fn has_series_of(&self, points: &[Point]) -> bool {
        self.points.len() == points.len()
            && self.points.iter().zip(points).all(|(one, other)| one.attributes == other.attributes)
    }
}

/// Since when a counter counts whose source became another at `since`: for who read the old one, it began anew there.
fn begun(start: Option<Wall>, goes_on: bool, since: Option<Wall>) -> Option<Wall> {
    let first = if goes_on { None } else { since };
    start.map_or(first, |start| Some(since.map_or(start, |since| start.max(since))))
}

/// A layout that there was not before.
fn next(layouts: &mut u64) -> Option<u64> {
    *layouts += 1;
    Some(*layouts)
}

/// The points of one figure's sorted readings. Those `held` before are sorted too, so each finds its own at its side.
fn points(
    readings: impl Iterator<Item = CustomReading>,
    figure: &CustomFigure,
    held: Option<(&[Point], Moment)>,
    since: Option<Wall>,
    taken: Moment,
) -> Arc<[Point]> {
    let goes_on = held.is_some();
    let (held, before) = held.unwrap_or((&[], taken));
    let mut held = held.iter().peekable();
    let point = |reading: CustomReading| {
        while held.next_if(|point| point.attributes < reading.attributes).is_some() {}
        let same = held.next_if(|point| point.attributes == reading.attributes);
        let previous = same.and_then(|point| match point.value {
            PointValue::Number(number) => Some((number, point.start.map(Wall), before)),
            PointValue::Histogram(_) => None,
        });
        let start =
            (figure.kind() == Kind::Counter).then(|| begun(reading.counter_start(previous), goes_on, since)).flatten();
        // A clock set back can put a start behind its value, which no receiver understands.
        let start = start.filter(|start| *start <= taken.wall);
        Point {
            attributes: reading.attributes,
            start: start.map(|start| start.0),
            time: taken.wall.0,
            value: PointValue::Number(reading.value),
        }
    };
    readings.map(point).collect()
}
