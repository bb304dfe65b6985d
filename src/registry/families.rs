//! From readings to families: what stands on a snapshot of the catalogue's figures and of the custom ones. It is made
//! from the readings themselves, not by the SDK, which would copy every series at each collection.

use std::sync::Arc;

use super::snapshot::{Family, Point, PointValue, Scope};
use super::unit::{CustomSeries, Unit};
use crate::catalog::{FigureId, Kind, Section};
use crate::clock::{Moment, Wall};
use crate::reading::{Age, Ages, Number, Reading};

/// The figures of one snapshot.
pub(super) struct Figures {
    catalogue: Vec<Vec<Point>>,
    /// With the section a figure is read for.
    custom: Vec<(Section, CustomSeries)>,
}

impl Figures {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { catalogue: FigureId::ALL.iter().map(|_| Vec::new()).collect(), custom: Vec::new() }
    }

    /// Adds one reading; what the source cannot know is left out.
    pub(super) fn add(&mut self, reading: Reading, time: Wall) {
        let (Some(value), figure) = (reading.value, reading.figure.figure()) else { return };
        let value = if figure.is_seconds() { Number::Float(to_seconds(value)) } else { Number::Int(value.into()) };
        // A clock set back can put a start behind its value, which no receiver understands.
        let start = reading.start.filter(|start| *start <= time && figure.kind == Kind::Counter);
        self.catalogue[reading.figure as usize].push(Point {
            attributes: reading.attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            start: start.map(|start| start.0),
            time: time.0,
            value: PointValue::Number(value),
        });
    }

    /// Adds the readings of one unit as they stand at `now`: expired ones are left out, daily figures of an earlier
    /// day are 0.
    pub(super) fn add_unit(&mut self, unit: &Unit, now: Moment, ages: Ages) {
        let Unit { readings, custom } = unit;
        if !Age::of(now.since(readings.taken), ages).is_shown() {
            return;
        }
        let is_over = readings.day < now.wall.day();
        for reading in &readings.values {
            let mut reading = reading.clone();
            let mut time = readings.taken.wall;
            if is_over && reading.figure.figure().daily {
                // By definition true at midnight; the time of reading would put two values on one timestamp.
                reading.value = reading.value.map(|_| 0);
                time = now.wall.day().start();
            }
            self.add(reading, time);
        }
        self.custom.extend(custom.iter().map(|series| (readings.section.clone(), series.clone())));
    }

    /// The families, in no order.
    pub(super) fn into_families(mut self, scope: &Arc<Scope>) -> impl Iterator<Item = Family> {
        let catalogue = FigureId::ALL.iter().map(|id| id.figure()).zip(self.catalogue);
        let catalogue = catalogue.filter(|(_, points)| !points.is_empty()).map(move |(figure, points)| Family {
            name: figure.name.to_owned(),
            unit: figure.unit.to_owned(),
            help: figure.description(),
            kind: figure.kind,
            scope: Arc::clone(scope),
            section: figure.section.cloned(),
            points: sorted(points),
            layout: None,
        });
        self.custom.sort_by(|(_, a), (_, b)| a.figure.name().cmp(b.figure.name()));
        self.custom.dedup_by(|(_, next), (_, held)| {
            let is_same = next.figure.name() == held.figure.name();
            if is_same {
                // A figure is read as one unit; should it stand in two, both are shown.
                held.points = sorted(held.points.iter().chain(&*next.points).cloned().collect());
                held.layout = None;
            }
            is_same
        });
        let custom = self.custom.into_iter().map(move |(section, CustomSeries { figure, points, layout })| Family {
            name: figure.name().to_owned(),
            unit: figure.unit().to_owned(),
            help: figure.description(),
            kind: figure.kind(),
            scope: Arc::clone(scope),
            section: Some(section),
            points,
            layout,
        });
        catalogue.chain(custom)
    }
}

/// Points in the order of their attributes; of those that are the same series the last one.
fn sorted(mut points: Vec<Point>) -> Arc<[Point]> {
    points.sort_by(|a, b| a.attributes.cmp(&b.attributes));
    points.dedup_by(|next, held| {
        let is_same = next.attributes == held.attributes;
        if is_same {
            std::mem::swap(next, held);
        }
        is_same
    });
    points.into()
}

/// Nanoseconds as seconds: the nearest float, so that whole nanoseconds below 2^51 (26 days) come back by rounding.
#[expect(clippy::cast_precision_loss, reason = "a figure in seconds is a float")]
fn to_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
