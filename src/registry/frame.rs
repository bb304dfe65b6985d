//! The frame: what the instruments observe in one collection. Built once before it, read-only during it, so that a
//! callback can neither wait nor panic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::{Key, KeyValue};

use crate::catalog::{FigureId, Section};
use crate::clock::{Moment, Wall};
use crate::reading::{Age, Ages, CustomReading, Number, Reading, Readings};

/// One series to observe: of the catalogue's figures, or of others with keys and values of their kind.
#[derive(Debug)]
pub(super) struct Observed<K = &'static str, V = u64> {
    pub(super) attributes: Vec<(K, String)>,
    pub(super) key_values: Vec<KeyValue>,
    pub(super) value: V,
    pub(super) start: Option<Wall>,
    pub(super) time: Wall,
}

impl<K: Clone + Into<Key> + AsRef<str>, V> Observed<K, V> {
    fn new(attributes: Vec<(K, String)>, value: V, start: Option<Wall>, time: Wall) -> Self {
        let key_values = attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        // A clock set back can put a start behind its value, which no receiver understands.
        Self { attributes, key_values, value, start: start.filter(|start| *start <= time), time }
    }

    /// One of the sorted `series` by its sorted attributes.
    fn find<'a>(series: &'a [Self], attributes: &[(String, String)]) -> Option<&'a Self> {
        let order = |observed: &Self| {
            let held = observed.attributes.iter().map(|(key, value)| (key.as_ref(), value.as_str()));
            held.cmp(attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        };
        series.binary_search_by(order).ok().map(|at| &series[at])
    }
}

/// A series of a custom figure.
pub(super) type ObservedCustom = Observed<String, Number>;

/// Every series of every figure, sorted by attributes.
#[derive(Debug)]
pub(super) struct Frame {
    figures: Vec<Vec<Observed>>,
    /// By the figure's OpenTelemetry name, with the section it is read for.
    custom: BTreeMap<String, (Section, Vec<ObservedCustom>)>,
}

impl Frame {
    /// An empty frame.
    pub(super) fn new() -> Self {
        Self { figures: FigureId::ALL.iter().map(|_| Vec::new()).collect(), custom: BTreeMap::new() }
    }

    /// Adds one reading; what the source cannot know is left out.
    pub(super) fn add(&mut self, reading: Reading, time: Wall) {
        let Some(value) = reading.value else { return };
        self.figures[reading.figure as usize].push(Observed::new(reading.attributes, value, reading.start, time));
    }

    fn add_custom(&mut self, section: &Section, reading: &CustomReading, time: Wall) {
        let observed = Observed::new(reading.attributes.clone(), reading.value, reading.start, time);
        match self.custom.get_mut(reading.figure.name()) {
            Some((_, series)) => series.push(observed),
            None => drop(self.custom.insert(reading.figure.name().to_owned(), (section.clone(), vec![observed]))),
        }
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
        for reading in &unit.custom {
            self.add_custom(&unit.section, reading, unit.taken.wall);
        }
    }

    /// Sorts the series, so that they can be found again after the collection.
    pub(super) fn sort(&mut self) {
        for series in &mut self.figures {
            series.sort_by(|a, b| a.attributes.cmp(&b.attributes));
        }
        for (_, series) in self.custom.values_mut() {
            series.sort_by(|a, b| a.attributes.cmp(&b.attributes));
        }
    }

    /// The series of a figure.
    pub(super) fn series(&self, figure: FigureId) -> &[Observed] {
        &self.figures[figure as usize]
    }

    /// The series of a custom figure by its OpenTelemetry name.
    pub(super) fn custom(&self, name: &str) -> &[ObservedCustom] {
        self.custom.get(name).map_or(&[], |(_, series)| series)
    }

    /// The section a custom figure is read for.
    pub(super) fn custom_section(&self, name: &str) -> Option<&Section> {
        self.custom.get(name).map(|(section, _)| section)
    }

    /// One series of a figure by its sorted attributes.
    pub(super) fn find(&self, figure: FigureId, attributes: &[(String, String)]) -> Option<&Observed> {
        Observed::find(self.series(figure), attributes)
    }

    /// One series of a custom figure by its sorted attributes.
    pub(super) fn find_custom(&self, name: &str, attributes: &[(String, String)]) -> Option<&ObservedCustom> {
        Observed::find(self.custom(name), attributes)
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
pub(super) type Held = BTreeMap<(Section, String), Readings>;
