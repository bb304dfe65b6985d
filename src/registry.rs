//! The registry: OpenTelemetry instruments built from the catalogue, the latest readings behind them, and one reader.
//!
//! Readings come in by [`Registry::publish`] and [`Registry::report`]; [`Registry::current`] collects the instruments
//! through the one reader into an immutable [`Snapshot`], which every output renders. A snapshot is shared until
//! something is published, it is a second old, or the UTC day or an age changes: what outputs show at one instant is
//! always the same. The registry knows no source and no output.
//!
//! Why one reader: with two, the observations of one appear in the other (opentelemetry_sdk 0.33). The instruments of an
//! embedding program have a provider of their own, see `guests.rs`.

mod durations;
mod exponential;
mod frame;
mod guests;
mod instruments;
mod restore;
mod snapshot;

pub use crate::reading::Number;
pub use guests::InstrumentView;
pub use snapshot::{
    CollectorStatus, Family, Histogram, NativeHistogram, Point, PointValue, Scope, SectionStatus, Snapshot,
};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::sync::watch;

use crate::catalog::{CustomFigure, FigureId, Section, json_fields};
use crate::clock::{Clock, Moment};
use crate::reading::{Age, Ages, Reading, Readings};
use frame::{Frame, Held};
use instruments::Instruments;

/// How long a snapshot is shared while nothing is published: the bridge's own figures are at most this old.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(1);

/// What the source may say of itself when the config does not.
const SERVICE_VERSION: &str = "service.version";

/// The coarsest time a receiver keeps: Prometheus tells milliseconds apart.
const TIME_STEP: Duration = Duration::from_millis(1);

/// Figures that are read at each collection instead of being published: the bridge's own.
type Live = Box<dyn Fn(Moment) -> Vec<Reading> + Send + Sync>;

/// The registry; a value, not a global, so that one process can hold many.
pub struct Registry {
    clock: Arc<dyn Clock>,
    ages: Ages,
    /// Since when the bridge's own counters count.
    started: Moment,
    instruments: Instruments,
    state: Mutex<State>,
    live: Mutex<Vec<Live>>,
    /// Rises with everything published, so that a snapshot knows whether it is the latest.
    generation: AtomicU64,
    latest: RwLock<Option<Latest>>,
    gathering: Mutex<u64>,
    published: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    held: Held,
    /// Units from before the start whose date was yet to come: how old they are nobody knows.
    undated: BTreeSet<(Section, String)>,
    collectors: Vec<Collected>,
}

struct Collected {
    status: CollectorStatus,
    errors: BTreeMap<&'static str, u64>,
}

#[derive(Clone)]
struct Latest {
    generation: u64,
    snapshot: Arc<Snapshot>,
}

/// What the scheduler reports of one attempt for one section.
#[derive(Debug)]
pub struct AttemptReport<'a> {
    /// The section.
    pub section: Section,
    /// How long the attempt took.
    pub took: Duration,
    /// The classes and messages of what went wrong; empty after a success.
    pub errors: &'a [(&'static str, String)],
}

impl Registry {
    /// A registry of the catalogue's figures, without readings; `resource` are the attributes of the thing it speaks
    /// for.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, ages: Ages, resource: &[(String, String)]) -> Self {
        Self::with_custom(clock, ages, resource, &[])
    }

    /// A registry of the catalogue's figures and `custom` ones, which have different names. Readings of others are on
    /// no face.
    #[must_use]
    pub fn with_custom(
        clock: Arc<dyn Clock>,
        ages: Ages,
        resource: &[(String, String)],
        custom: &[Arc<CustomFigure>],
    ) -> Self {
        Self::with_views(clock, ages, resource, custom, Vec::new())
    }

    /// The same with `views` of an embedding program's instruments; those of figures never see them.
    #[must_use]
    pub fn with_views(
        clock: Arc<dyn Clock>,
        ages: Ages,
        resource: &[(String, String)],
        custom: &[Arc<CustomFigure>],
        views: Vec<InstrumentView>,
    ) -> Self {
        Self {
            instruments: Instruments::new(resource, custom, views),
            started: clock.now(),
            clock,
            ages,
            state: Mutex::default(),
            live: Mutex::default(),
            generation: AtomicU64::new(0),
            latest: RwLock::new(None),
            gathering: Mutex::new(0),
            published: watch::Sender::new(()),
        }
    }

    /// The meter provider, for the instruments of an embedding program: they appear on every output.
    #[must_use]
    pub const fn meter_provider(&self) -> &SdkMeterProvider {
        self.instruments.provider()
    }

    /// Says that a collector of kind `source` reads `sections`.
    /// The counters of `classes` of errors begin at 0.
    pub fn attach(&self, source: &'static str, sections: &[Section], classes: &[&'static str]) {
        let mut state = self.state();
        for section in sections {
            let status = CollectorStatus {
                section: section.clone(),
                source,
                interval: None,
                attempts: 0,
                up: None,
                last_success: None,
                last_error: None,
                age: Age::Never,
            };
            let errors = classes.iter().map(|class| (*class, 0)).collect();
            state.collectors.push(Collected { status, errors });
        }
        state.collectors.sort_by(|a, b| a.status.section.cmp(&b.status.section));
        drop(state);
        self.changed();
    }

    /// Says how often `sections` are read.
    pub fn read_every(&self, sections: &[Section], interval: Duration) {
        for held in &mut self.state().collectors {
            if sections.contains(&held.status.section) {
                held.status.interval = Some(interval);
            }
        }
        self.changed();
    }

    /// Takes in units as they were read, each replacing its last; a counter's start follows from what was held.
    /// A unit older than the one held, as a cache between us and the source may bring, changes nothing; two of the same
    /// time get times that rise, for one timestamp must not carry two values.
    pub fn publish(&self, units: Vec<Readings>) {
        let mut state = self.state();
        for mut unit in units {
            let key = (unit.section.clone(), std::mem::take(&mut unit.unit));
            let before = state.held.get(&key);
            if let Some(held) = before {
                let (is_earlier, is_older) = (unit.taken.wall < held.taken.wall, unit.taken.mono < held.taken.mono);
                // A clock set back makes what is read later look earlier; only both together say that it is older.
                if is_earlier && is_older && !state.undated.contains(&key) {
                    continue;
                }
                unit.go_on_from(held);
                if held.taken.wall == unit.taken.wall && !held.same_values(&unit) {
                    unit.taken.wall = held.taken.wall.plus(TIME_STEP);
                }
            }
            state.undated.remove(&key);
            state.held.insert(key, unit);
        }
        drop(state);
        self.changed();
        self.published.send_replace(());
    }

    /// Takes in how an attempt went; its time is now.
    pub fn report(&self, report: &AttemptReport<'_>) {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(collector) = state.collectors.iter_mut().find(|held| held.status.section == report.section) else {
            return;
        };
        let status = &mut collector.status;
        status.attempts += 1;
        status.up = Some(report.errors.is_empty());
        status.last_error = report.errors.last().cloned();
        if report.errors.is_empty() {
            status.last_success = Some(now);
        }
        for (class, _) in report.errors {
            *collector.errors.entry(class).or_default() += 1;
        }
        let attributes = [("collector", report.section.name()), ("source", status.source)];
        drop(state);
        self.record(FigureId::CollectorDuration, report.took, &attributes);
        self.changed();
    }

    /// Records a duration of a histogram figure; `attributes` sorted by key.
    pub fn record(&self, figure: FigureId, took: Duration, attributes: &[(&'static str, &str)]) {
        let attributes: Vec<_> =
            attributes.iter().map(|(key, value)| KeyValue::new(*key, (*value).to_owned())).collect();
        self.instruments.record(figure, took.as_secs_f64(), attributes);
    }

    /// Adds figures that are read at each collection. `read` must be quick and must not call the registry.
    pub fn add_live(&self, read: impl Fn(Moment) -> Vec<Reading> + Send + Sync + 'static) {
        lock(&self.live).push(Box::new(read));
        self.changed();
    }

    /// The snapshot of this instant, collected anew only if the last one no longer says the truth.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        if let Some(snapshot) = self.ready() {
            return snapshot;
        }
        let mut version = lock(&self.gathering);
        if let Some(snapshot) = self.ready() {
            return snapshot;
        }
        *version += 1;
        let generation = self.generation.load(Ordering::Acquire);
        let snapshot = Arc::new(self.gather(*version));
        let latest = Latest { generation, snapshot: Arc::clone(&snapshot) };
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(latest);
        snapshot
    }

    fn ready(&self) -> Option<Arc<Snapshot>> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let now = self.clock.now();
        let at = latest.snapshot.at;
        let is_latest = latest.generation == self.generation.load(Ordering::Acquire);
        let is_true = now.since(at) < SNAPSHOT_AGE_MAX && now.wall.day() == at.wall.day();
        (is_latest && is_true).then_some(latest.snapshot)
    }

    fn gather(&self, version: u64) -> Snapshot {
        let now = self.clock.now();
        let state = self.state();
        let mut frame = Frame::new();
        for unit in state.held.values() {
            frame.add_unit(unit, now, self.ages);
        }
        let sections = Section::DOCUMENTED.map(|section| self.section_status(&state, section, now));
        let collectors: Vec<_> = state
            .collectors
            .iter()
            .map(|held| CollectorStatus {
                age: self.collector_age(&state, &sections, &held.status, now),
                ..held.status.clone()
            })
            .collect();
        for (status, held) in collectors.iter().zip(&state.collectors) {
            self.add_collector_figures(&mut frame, status, &held.errors, now);
        }
        let source_version = state.held.values().find_map(|unit| unit.version.clone());
        drop(state);
        for read in lock(&self.live).iter() {
            for reading in read(now) {
                frame.add(reading.starting(self.started.wall), now.wall);
            }
        }
        frame.sort();
        let frame = Arc::new(frame);
        let (metrics, families) = self.instruments.collect(&frame).unwrap_or_else(|error| {
            tracing::error!(%error, "failed to collect the instruments; this is a defect, please report it");
            Default::default()
        });
        let mut resource = self.instruments.resource().to_vec();
        if let Some(version) =
            source_version.as_ref().filter(|_| !resource.iter().any(|(key, _)| key == SERVICE_VERSION))
        {
            resource.push((SERVICE_VERSION.to_owned(), version.clone()));
            resource.sort();
        }
        Snapshot { version, at: now, resource, families, sections, collectors, source_version, metrics }
    }

    /// The age of the oldest thing a collector reads of a section, beyond the documented figures too.
    fn collector_age(
        &self,
        state: &State,
        sections: &[SectionStatus; 3],
        status: &CollectorStatus,
        now: Moment,
    ) -> Age {
        let units = state.held.iter().filter(|((section, _), _)| *section == status.section);
        let oldest = units.map(|(_, unit)| Age::of(now.since(unit.taken), self.ages)).max();
        let documented = sections.iter().find(|section| section.section == status.section).map(|section| section.age);
        documented.max(oldest).unwrap_or(Age::Never)
    }

    fn section_status(&self, state: &State, section: Section, now: Moment) -> SectionStatus {
        let has_source = state.collectors.iter().any(|held| held.status.section == section);
        let mut status = SectionStatus {
            section: section.clone(),
            has_source,
            age: Age::Fresh,
            measured: None,
            absent: vec![],
            missing: vec![],
        };
        for (figure, field) in json_fields(&section) {
            let is_it = |reading: &&Reading| {
                reading.figure == figure.id
                    && field.series.is_none_or(|series| reading.attributes.iter().any(|(_, value)| value == series))
            };
            let units =
                state.held.range((section.clone(), String::new())..).take_while(|((held, _), _)| *held == section);
            let found =
                units.into_iter().find_map(|(_, unit)| unit.values.iter().find(is_it).map(|it| (it, unit.taken)));
            let Some((reading, taken)) = found else {
                status.missing.push(field.name);
                continue;
            };
            if reading.value.is_none() {
                status.absent.push(field.name);
            }
            status.age = status.age.max(Age::of(now.since(taken), self.ages));
            status.measured =
                Some(status.measured.map_or(taken, |oldest| if taken.mono < oldest.mono { taken } else { oldest }));
        }
        if !status.missing.is_empty() {
            (status.age, status.measured) = (Age::Never, None);
        }
        status
    }

    /// The bridge's own figures about one collector; whether it is up is not known before its first attempt.
    fn add_collector_figures(
        &self,
        frame: &mut Frame,
        status: &CollectorStatus,
        errors: &BTreeMap<&'static str, u64>,
        now: Moment,
    ) {
        let attributes = vec![("collector", status.section.name().to_owned()), ("source", status.source.to_owned())];
        let mut add = |figure, value| {
            frame.add(Reading { attributes: attributes.clone(), ..Reading::of(figure, value) }, now.wall);
        };
        add(FigureId::CollectorStaleness, status.age.as_figure());
        if let Some(up) = status.up {
            add(FigureId::CollectorUp, u64::from(up));
        }
        if let Some(success) = status.last_success {
            add(FigureId::CollectorLastSuccess, success.wall.0);
        }
        for (class, count) in errors {
            let mut attributes = attributes.clone();
            attributes.insert(0, ("class", (*class).to_owned()));
            let errors = Reading::of(FigureId::CollectorErrors, *count).starting(self.started.wall);
            frame.add(Reading { attributes, ..errors }, now.wall);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
