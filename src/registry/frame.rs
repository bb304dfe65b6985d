//! The frame: what the instruments observe in one collection. Built once before it, read-only during it, so that a
//! callback can neither wait nor panic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;

use crate::catalog::FigureId;
use crate::clock::{Moment, Wall};
use crate::reading::{Age, Ages, Attributes, Reading, Readings};

/// One series to observe.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) attributes: Attributes,
    pub(super) key_values: Vec<KeyValue>,
    pub(super) value: u64,
    pub(super) start: Option<Wall>,
    pub(super) time: Wall,
}

/// Every series of every figure, sorted by attributes.
#[derive(Debug)]
pub(super) struct Frame(Vec<Vec<Observed>>);

impl Frame {
    /// An empty frame.
    pub(super) fn new() -> Self {
        Self(FigureId::ALL.iter().map(|_| Vec::new()).collect())
    }

    /// Adds one reading; what the source cannot know is left out.
    pub(super) fn add(&mut self, reading: Reading, time: Wall) {
        let Some(value) = reading.value else { return };
        let key_values = reading.attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
        self.0[reading.figure as usize].push(Observed {
            attributes: reading.attributes,
            key_values,
            value,
            // A clock set back can put a start behind its value, which no receiver understands.
            start: reading.start.filter(|start| *start <= time),
            time,
        });
    }

    /// Adds the readings of one unit as they stand at `now`: expired ones are left out, daily figures of an earlier
    /// day are 0.
    pub(super) fn add_unit(&mut self, unit: &Readings, now: Moment, ages: Ages) {
        if !Age::of(now.since(unit.taken), ages).is_shown() {
            return;
        }
        let is_over = unit.day < now.wall.day();
        for reading in &unit.values {
            let mut reading = reading.clone();
            let mut time = unit.taken.wall;
            if is_over && reading.figure.figure().daily {
                // By definition true at midnight; the time of reading would put two values on one timestamp.
                reading.value = reading.value.map(|_| 0);
                time = now.wall.day().start();
            }
            self.add(reading, time);
        }
    }

    /// Sorts the series, so that they can be found again after the collection.
    pub(super) fn sort(&mut self) {
        for series in &mut self.0 {
            series.sort_by(|a, b| a.attributes.cmp(&b.attributes));
        }
    }

    /// The series of a figure.
    pub(super) fn series(&self, figure: FigureId) -> &[Observed] {
        &self.0[figure as usize]
    }

    /// One series of a figure by its sorted attributes.
    pub(super) fn find(&self, figure: FigureId, attributes: &[(String, String)]) -> Option<&Observed> {
        let series = self.series(figure);
        let order = |observed: &Observed| {
            let held = observed.attributes.iter().map(|(key, value)| (*key, value.as_str()));
            held.cmp(attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        };
        series.binary_search_by(order).ok().map(|at| &series[at])
    }
}

/// The frame the callbacks read.
#[derive(Clone, Debug)]
pub(super) struct FrameCell(Arc<Mutex<Arc<Frame>>>);

impl FrameCell {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Arc::new(Frame::new()))))
    }

    pub(super) fn set(&self, frame: Arc<Frame>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = frame;
    }

    pub(super) fn get(&self) -> Arc<Frame> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The latest readings, by section and unit.
pub(super) type Held = BTreeMap<(crate::catalog::Section, String), Readings>;
