//! A change while it runs: other ages, other custom figures, other sources. Readings of a source that has become another
//! are never shown as the new one's, and its counters begin at the change.

use std::sync::Arc;

use super::snapshot::Family;
use super::{CollectorStatus, Registry, State};
use crate::catalog::{CustomFigure, FigureId, Section};
use crate::reading::Ages;

/// What a registry is from now on.
pub struct Change<'a> {
    /// How old figures may get.
    pub ages: Ages,
    /// The custom figures.
    pub custom: &'a [Arc<CustomFigure>],
    /// The service's version; `None` for what its source says.
    pub version: Option<String>,
    /// The sections that are read, each with the kind of its source.
    pub sections: &'a [(Section, &'static str)],
    /// Whether what was read of a section, in one request or query, is still what is asked for.
    pub is_kept: &'a dyn Fn(&Section, &str) -> bool,
    /// The sections that another collector reads from now on.
    pub replaced: &'a [Section],
    /// Those of them whose source has become another.
    pub anew: &'a [Section],
}

impl Registry {
    /// Changes to what `change` says, at once. The collectors that are no longer there must have been stopped, those that
    /// are new are to be [attached](Registry::attach).
    pub fn change(&self, change: &Change<'_>) {
        let now = self.clock.now();
        let mut state = self.state();
        state.was_ready = state.is_ready();
        state.ages = change.ages;
        state.custom = change.custom.iter().map(|figure| figure.name().to_owned()).collect();
        state.version = Some(change.version.clone());
        state.held.retain(|(section, unit), _| (change.is_kept)(section, unit));
        let State { held, undated, leftovers, .. } = &mut *state;
        undated.retain(|key| held.contains_key(key));
        leftovers.retain(|key| held.contains_key(key));
        leftovers.extend(held.keys().filter(|(section, _)| change.replaced.contains(section)).cloned());
        for section in change.anew {
            state.since.insert(section.clone(), now.wall);
        }
        let count = state.collectors.len();
        let is_read = |status: &CollectorStatus| {
            change.sections.iter().any(|(section, source)| (section, *source) == (&status.section, status.source))
        };
        state.collectors.retain(|held| is_read(&held.status));
        state.has_lost_collectors |= state.collectors.len() < count;
        for held in state.collectors.iter_mut().filter(|held| change.anew.contains(&held.status.section)) {
            // What is known of the old source says nothing of the new one.
            (held.status.up, held.status.last_success, held.status.last_error) = (None, None, None);
        }
        drop(state);
        self.instruments.set_custom(change.custom);
        self.changed();
        self.published.send_replace(());
    }

    /// Has the next snapshot collected anew: what is [read at each collection](Registry::add_live) has changed in a way that
    /// is to be seen at once.
    pub fn refresh(&self) {
        self.changed();
    }

    /// Whether the last attempt of some collector failed by errors of a class.
    #[must_use]
    pub fn has_failed_by(&self, class: &str) -> bool {
        let is_it = |status: &CollectorStatus| status.last_error.as_ref().is_some_and(|(held, _)| *held == class);
        self.state().collectors.iter().any(|held| held.status.up == Some(false) && is_it(&held.status))
    }
}

/// Leaves out the durations of collectors that are no longer there: instruments forget nothing.
pub(super) fn forget_lost(family: &mut Family, collectors: &[CollectorStatus]) {
    if family.name != FigureId::CollectorDuration.figure().name {
        return;
    }
    let is_there = |attributes: &[(String, String)]| {
        let of = |key: &str| attributes.iter().find(|(held, _)| held == key).map(|(_, value)| value.as_str());
        collectors
            .iter()
            .any(|status| (of("collector"), of("source")) == (Some(status.section.name()), Some(status.source)))
    };
    family.points = family.points.iter().filter(|point| is_there(&point.attributes)).cloned().collect();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock, Wall};
    use crate::reading::{Age, Reading, Readings};
    use crate::registry::{AttemptReport, Number, Point};

    struct Bench {
        clock: Arc<ManualClock>,
        registry: Registry,
    }

    const ALLOCATED: FigureId = FigureId::RuntimeMemoryAllocated;

    impl Bench {
        /// A registry that reads runtime and store, and has read both.
        fn new() -> Self {
            let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
            let registry = Registry::new(clock.clone(), Ages::default(), &[]);
            registry.attach("go", &[Section::Runtime], &["timeout"]);
            registry.attach("sqlite", &[Section::Store], &["timeout"]);
            let bench = Self { clock, registry };
            bench.publish("", 500);
            let records = Reading::of_series(FigureId::StoreRecords, "collection", "skus", 7);
            let units = vec![Readings::new(Section::Store, bench.clock.now(), vec![records]).of_unit("skus")];
            bench.registry.publish(units);
            for section in [Section::Runtime, Section::Store] {
                let errors = [("timeout", "late".to_owned())];
                bench.registry.report(&AttemptReport { section, took: Duration::ZERO, errors: &errors });
            }
            bench.clock.advance(Duration::from_secs(5));
            bench
        }

        fn publish(&self, unit: &str, allocated: u64) {
            let values = vec![Reading::of(ALLOCATED, allocated)];
            self.registry.publish(vec![Readings::new(Section::Runtime, self.clock.now(), values).of_unit(unit)]);
        }

        /// Changes the runtime's source, of which readings are kept or not.
        fn change(&self, source: &'static str, anew: &[Section], is_kept: bool) {
            let sections = [(Section::Runtime, source), (Section::Store, "sqlite")];
            self.registry.change(&Change {
                ages: Ages::default(),
                custom: &[],
                version: Some("2.0".to_owned()),
                sections: &sections,
                is_kept: &|section, _| *section != Section::Runtime || is_kept,
                replaced: &[Section::Runtime],
                anew,
            });
            self.registry.attach(source, &[Section::Runtime], &["timeout"]);
        }

        fn allocated(&self) -> Vec<Point> {
            let snapshot = self.registry.current();
            snapshot.family(ALLOCATED.figure().name).map(|family| family.points.to_vec()).unwrap_or_default()
        }

        fn errors(&self, source: &str) -> Option<Point> {
            let snapshot = self.registry.current();
            let points = snapshot.family(FigureId::CollectorErrors.figure().name)?.points.to_vec();
            points.into_iter().find(|point| {
                let of = |key: &str| point.attributes.iter().any(|(held, value)| held == key && value == "runtime");
                of("collector") && point.attributes.iter().any(|(key, value)| key == "source" && value == source)
            })
        }
    }

    #[test]
    fn another_source_leaves_no_reading_and_its_counters_begin_at_the_change() {
        let bench = Bench::new();
        bench.change("telemetry_json", &[Section::Runtime], false);
        let snapshot = bench.registry.current();
        assert_eq!(bench.allocated(), []);
        assert_eq!(snapshot.value(FigureId::StoreRecords, Some("skus")), Some(Number::Int(7)));
        assert!(snapshot.is_ready, "what comes later turns it back");
        assert_eq!((snapshot.collectors[0].up, snapshot.collectors[0].age), (None, Age::Never));
        assert!(bench.errors("go").is_none());
        let changed = bench.clock.now().wall.0;
        assert_eq!(bench.errors("telemetry_json").unwrap().start, Some(changed));
        bench.clock.advance(Duration::from_secs(1));
        for value in [900, 950] {
            bench.publish("", value);
            assert_eq!(bench.allocated()[0].start, Some(changed), "more than the old one had is no growth of it");
        }
        assert!(snapshot.resource.contains(&("service.version".to_owned(), "2.0".to_owned())));
    }

    #[test]
    fn the_same_source_keeps_its_readings_and_its_counts() {
        let bench = Bench::new();
        let before = bench.errors("go").unwrap();
        bench.change("go", &[], true);
        assert_eq!(bench.allocated().len(), 1);
        let after = bench.errors("go").unwrap();
        assert_eq!((before.value, before.start), (after.value, after.start));
        // The next collector of the same source may bring a figure in another unit.
        bench.clock.advance(Duration::from_secs(1));
        bench.publish("page", 501);
        assert_eq!(bench.allocated().len(), 1);
        assert_eq!(bench.registry.current().value(ALLOCATED, None), Some(Number::Int(501)));
    }

    #[test]
    fn a_collector_that_has_gone_leaves_no_durations() {
        let bench = Bench::new();
        bench.change("telemetry_json", &[Section::Runtime], false);
        let snapshot = bench.registry.current();
        let durations = snapshot.family(FigureId::CollectorDuration.figure().name).unwrap();
        let sources: Vec<_> = durations.points.iter().map(|point| point.attributes[1].1.as_str()).collect();
        assert_eq!(sources, ["sqlite"]);
    }
}
