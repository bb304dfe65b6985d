//! The registry: the figures of the catalogue with their latest readings, and OpenTelemetry's instruments.
//!
//! Readings come in by [`Registry::publish`] and [`Registry::report`]; [`Registry::current`] gathers them, with what was
//! recorded into instruments, into an immutable [`Snapshot`], which every output renders. A snapshot is shared until
//! something is published, it is a second old, or the UTC day or an age changes: what outputs show at one instant is
//! always the same. The registry knows no source and no output.
//!
//! The SDK's collection copies every series, so the figures do not pass through it on their way to a page; for an
//! exporter of the SDK they become observable instruments (`sdk.rs`). Two readers on one provider would see each other's
//! observations (opentelemetry_sdk 0.33), so each provider has one; the instruments of an embedding program have a
//! provider of their own, see `guests.rs`.

mod change;
mod durations;
mod exponential;
mod families;
mod guests;
mod instruments;
mod restore;
mod sdk;
mod snapshot;
mod status;
mod unit;

pub use crate::reading::Number;
pub use change::Change;
pub use guests::InstrumentView;
pub use sdk::SdkMetrics;
pub use snapshot::{
    CollectorStatus, Family, Histogram, NativeHistogram, Point, PointValue, Scope, SectionStatus, Snapshot,
};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::sync::watch;

use crate::catalog::{CustomFigure, FigureId, Section};
use crate::clock::{Clock, Moment, Wall};
use crate::reading::{Age, Ages, Reading, Readings};
use families::Figures;
use instruments::Instruments;
use status::add_collector_figures;
use unit::{Held, Unit};

/// How long a snapshot is shared while nothing is published: the bridge's own figures are at most this old.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(1);

/// What the source may say of itself when the config does not.
const SERVICE_VERSION: &str = "service.version";

/// Figures that are read at each collection instead of being published: the bridge's own.
type Live = Box<dyn Fn(Moment) -> Vec<Reading> + Send + Sync>;

/// The registry; a value, not a global, so that one process can hold many.
pub struct Registry {
    clock: Arc<dyn Clock>,
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
    ages: Ages,
    /// The names of the custom figures.
    custom: BTreeSet<String>,
    held: Held,
    /// Units from before the start whose date was yet to come: how old they are nobody knows.
    undated: BTreeSet<(Section, String)>,
    /// Units of a collector that has been replaced, which the next one may not read in the same units.
    leftovers: BTreeSet<(Section, String)>,
    collectors: Vec<Collected>,
    /// The last number given to a layout.
    layouts: u64,
    /// Sections whose source has become another, and when: what counts in them begins no earlier.
    since: BTreeMap<Section, Wall>,
    /// What is shown as the service's version since it was changed; `None` as long as it was not.
    version: Option<Option<String>>,
    /// Whether all collectors had ended their first attempt at some time.
    was_ready: bool,
    /// Whether a collector has gone, of which recorded durations may be left.
    has_lost_collectors: bool,
}

struct Collected {
    status: CollectorStatus,
    errors: BTreeMap<&'static str, u64>,
    /// Since when its errors are counted.
    since: Wall,
}

impl State {
    fn is_ready(&self) -> bool {
        self.was_ready || self.collectors.iter().all(|held| held.status.attempts > 0)
    }
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
        let custom_names = custom.iter().map(|figure| figure.name().to_owned()).collect();
        let state = State { ages, custom: custom_names, ..State::default() };
        Self {
            instruments: Instruments::new(resource, custom, views),
            started: clock.now(),
            clock,
            state: Mutex::new(state),
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
    /// The counters of `classes` of errors begin at 0; those of a collector that takes another's place, at a source of
    /// the same kind, go on.
    pub fn attach(&self, source: &'static str, sections: &[Section], classes: &[&'static str]) {
        let since = self.clock.now().wall;
        let mut state = self.state();
        for section in sections {
            if state.collectors.iter().any(|held| held.status.section == *section && held.status.source == source) {
                continue;
            }
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
            state.collectors.push(Collected { status, errors, since });
        }
        state.collectors.sort_by(|a, b| a.status.section.cmp(&b.status.section));
        drop(state);
        self.changed();
    }

    /// Says how often `sections` are read.
    pub fn read_every(&self, sections: &[Section], interval: Duration) {
        let mut state = self.state();
        let State { held, collectors, layouts, .. } = &mut *state;
        for collector in collectors.iter_mut().filter(|held| sections.contains(&held.status.section)) {
            collector.status.interval = Some(interval);
        }
        for ((section, _), unit) in held {
            if sections.contains(section) {
                unit.lay_out(layouts);
            }
        }
        drop(state);
        self.changed();
    }

    /// Takes in units as they were read, each replacing its last; a counter's start follows from what was held.
    /// A unit older than the one held, as a cache between us and the source may bring, changes nothing; two of the same
    /// time get times that rise, for one timestamp must not carry two values.
    pub fn publish(&self, units: Vec<Readings>) {
        let mut state = self.state();
        for mut unit in units {
            let key = (unit.section.clone(), std::mem::take(&mut unit.unit));
            let State { held, undated, leftovers, layouts, custom, since, .. } = &mut *state;
            let before = held.get(&key);
            if let Some(Unit { readings: held, .. }) = before {
                let (is_earlier, is_older) = (unit.taken.wall < held.taken.wall, unit.taken.mono < held.taken.mono);
                // A clock set back makes what is read later look earlier; only both together say that it is older.
                if is_earlier && is_older && !undated.contains(&key) {
                    continue;
                }
            }
            let since = since.get(&key.0).copied();
            let next = Unit::new(unit, before, since, custom, layouts);
            undated.remove(&key);
            leftovers.remove(&key);
            leftovers.retain(|left| {
                let is_its = left.0 == key.0 && held.get_mut(left).is_some_and(|unit| unit.leave_to(&next));
                if is_its {
                    held.remove(left);
                }
                !is_its
            });
            held.insert(key, next);
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
        let mut figures = Figures::new();
        for unit in state.held.values() {
            figures.add_unit(unit, now, state.ages);
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
            add_collector_figures(&mut figures, status, held, now);
        }
        let source_version = state.held.values().find_map(|unit| unit.readings.version.clone());
        let (is_ready, service_version, has_lost_collectors) =
            (state.is_ready(), state.version.clone(), state.has_lost_collectors);
        drop(state);
        for read in lock(&self.live).iter() {
            for reading in read(now) {
                let start = reading.start.unwrap_or(self.started.wall);
                figures.add(reading.starting(start), now.wall);
            }
        }
        let (metrics, mut families) = self.instruments.collect().unwrap_or_else(|error| {
            tracing::error!(%error, "failed to collect the instruments; this is a defect, please report it");
            self.instruments.nothing()
        });
        if has_lost_collectors {
            families.iter_mut().for_each(|family| change::forget_lost(family, &collectors));
            families.retain(|family| !family.points.is_empty());
        }
        families.extend(figures.into_families(self.instruments.scope()));
        families.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let mut resource = self.instruments.resource().to_vec();
        if let Some(version) = service_version {
            resource.retain(|(key, _)| key != SERVICE_VERSION);
            resource.extend(version.map(|version| (SERVICE_VERSION.to_owned(), version)));
            resource.sort();
        }
        if let Some(version) =
            source_version.as_ref().filter(|_| !resource.iter().any(|(key, _)| key == SERVICE_VERSION))
        {
            resource.push((SERVICE_VERSION.to_owned(), version.clone()));
            resource.sort();
        }
        Snapshot { version, at: now, resource, families, sections, collectors, is_ready, source_version, metrics }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What was collected before is not shown again, so that nobody has to hold it.
    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
