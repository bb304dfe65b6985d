//! The rules of truth that the registry keeps: ages, resets, midnight, and one snapshot for all at one instant.

use std::sync::Arc;
use std::time::Duration;

use linkit_bridge::catalog::{FigureId, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::reading::{Age, Ages, Reading, Readings};
use linkit_bridge::registry::{AttemptReport, Number, PointValue, Registry};
use opentelemetry::metrics::MeterProvider;

const MORNING: Wall = Wall::from_secs(1_705_314_600);

fn bench(at: Wall) -> (Arc<ManualClock>, Registry) {
    let clock = Arc::new(ManualClock::at(at));
    let registry = Registry::new(clock.clone(), Ages::default(), &[]);
    registry.attach("test", &Section::DOCUMENTED, &["unreachable"]);
    (clock, registry)
}

fn publish(registry: &Registry, clock: &ManualClock, section: Section, values: Vec<Reading>) {
    registry.publish(vec![Readings::new(section, clock.now(), values)]);
}

fn goroutines(registry: &Registry) -> Option<Number> {
    registry.current().value(FigureId::RuntimeGoroutines, None)
}

#[test]
fn a_figure_grows_stale_expires_and_comes_back() {
    let (clock, registry) = bench(MORNING);
    let of = |value| vec![Reading::of(FigureId::RuntimeGoroutines, value)];
    assert_eq!(registry.current().collectors[0].age, Age::Never);
    publish(&registry, &clock, Section::Runtime, of(7));
    assert_eq!(goroutines(&registry), Some(Number::Int(7)));
    clock.advance(Duration::from_secs(301));
    assert_eq!(goroutines(&registry), Some(Number::Int(7)));
    clock.advance(Duration::from_secs(3300));
    assert_eq!(goroutines(&registry), None);
    publish(&registry, &clock, Section::Runtime, of(9));
    assert_eq!(goroutines(&registry), Some(Number::Int(9)));
}

#[test]
fn a_section_is_as_old_as_its_oldest_figure_and_its_age_is_a_figure() {
    let (clock, registry) = bench(MORNING);
    let count = |collection, value| {
        let reading = Reading::of_series(FigureId::StoreRecords, "collection", collection, value);
        registry.publish(vec![Readings::new(Section::Store, clock.now(), vec![reading]).of_unit(collection)]);
    };
    for collection in ["products", "branches", "skus", "orders"] {
        count(collection, 1);
    }
    let status = registry.current().section(&Section::Store).unwrap().clone();
    assert_eq!((status.age, status.measured, status.missing), (Age::Never, None, vec!["customers"]));
    let first = clock.now();
    count("customers", 1);
    clock.advance(Duration::from_secs(200));
    count("orders", 2);
    clock.advance(Duration::from_secs(200));
    let snapshot = registry.current();
    let status = snapshot.section(&Section::Store).unwrap();
    assert_eq!((status.age, status.measured), (Age::Stale, Some(first)));
    let staleness = snapshot.family("linkit.bridge.collector.staleness").unwrap();
    let of_store = staleness.points.iter().find(|point| point.attributes[0].1 == "store").unwrap();
    assert_eq!(of_store.value, PointValue::Number(Number::Int(1)));
}

#[test]
fn a_fallen_counter_is_a_reset_with_a_new_start() {
    let (clock, registry) = bench(MORNING);
    let start =
        |registry: &Registry| registry.current().family("linkit.runtime.gc.cycles").unwrap().points[0].start.map(Wall);
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGcCycles, 50)]);
    assert_eq!(start(&registry), None);
    clock.advance(Duration::from_secs(5));
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGcCycles, 60)]);
    let before = clock.now().wall;
    clock.advance(Duration::from_secs(5));
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGcCycles, 2)]);
    assert_eq!(start(&registry), Some(before));
    clock.advance(Duration::from_secs(5));
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGcCycles, 3)]);
    assert_eq!(start(&registry), Some(before));
}

#[test]
fn an_older_document_changes_nothing_and_one_of_the_same_second_gets_a_later_time() {
    let (clock, registry) = bench(MORNING);
    clock.advance(Duration::from_secs(60));
    let now = clock.now();
    let at = |taken, cycles| {
        registry.publish(vec![Readings::new(
            Section::Runtime,
            taken,
            vec![Reading::of(FigureId::RuntimeGcCycles, cycles)],
        )]);
        registry.current().family("linkit.runtime.gc.cycles").unwrap().points[0].clone()
    };
    let number = |value| PointValue::Number(Number::Int(value));
    let first = at(now, 100);
    assert_eq!((&first.value, first.time), (&number(100), now.wall.0));
    assert_eq!(at(now.minus(Duration::from_secs(30)), 90), first);
    assert_eq!(at(now, 100), first);
    let later = at(now, 101);
    assert_eq!((later.value, later.start, later.time), (number(101), None, now.wall.0 + 1_000_000));
}

#[test]
fn a_wall_clock_set_back_does_not_stop_the_readings() {
    let (clock, registry) = bench(MORNING);
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGoroutines, 1)]);
    clock.advance(Duration::from_secs(5));
    clock.set_wall(Wall::from_secs(1_000_000_000));
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGoroutines, 2)]);
    assert_eq!(goroutines(&registry), Some(Number::Int(2)));
    let errors = registry.current().family("linkit.bridge.collector.errors").unwrap().points.clone();
    assert!(errors.iter().all(|point| point.start.is_none()), "a start behind its value");
}

#[test]
fn a_callback_of_an_embedding_program_that_panics_takes_no_figure_with_it() {
    let (clock, registry) = bench(MORNING);
    let meter = registry.meter_provider().meter("shop");
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let planted = Arc::clone(&panics);
    let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
        assert!(!planted.load(std::sync::atomic::Ordering::Relaxed), "planted");
        observer.observe(1, &[]);
    };
    meter.u64_observable_gauge("shop.broken").with_callback(callback).build();
    for (value, is_broken) in [(1, false), (2, true), (3, true), (4, false)] {
        panics.store(is_broken, std::sync::atomic::Ordering::Relaxed);
        clock.advance(Duration::from_secs(1));
        publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGoroutines, value)]);
        assert_eq!(goroutines(&registry), Some(Number::Int(value.into())));
        // The SDK takes no more of a program whose callback has panicked once.
        assert_eq!(registry.current().family("shop.broken").is_some(), value == 1);
    }
}

#[test]
fn at_midnight_todays_figure_is_zero_its_age_goes_on_and_the_counter_stays() {
    let midnight = MORNING.day().next().start();
    let (clock, registry) = bench(Wall(midnight.0 - 1_000_000_000));
    let taken = clock.now();
    let values = |today, total| {
        let counter = Reading::of(FigureId::StagingCompleted, total).starting(MORNING.day().start());
        vec![Reading::of(FigureId::StagingCompletedToday, today), counter]
    };
    publish(&registry, &clock, Section::Staging, values(5432, 5432));
    assert_eq!(registry.current().value(FigureId::StagingCompletedToday, None), Some(Number::Int(5432)));
    clock.advance(Duration::from_secs(1));
    let snapshot = registry.current();
    assert_eq!(snapshot.value(FigureId::StagingCompletedToday, None), Some(Number::Int(0)));
    assert_eq!(snapshot.value(FigureId::StagingCompleted, None), Some(Number::Int(5432)));
    let today = &snapshot.family("linkit.staging.completed_today").unwrap().points[0];
    let counter = &snapshot.family("linkit.staging.completed").unwrap().points[0];
    assert_eq!((today.time, counter.time), (midnight.0, taken.wall.0));
    publish(&registry, &clock, Section::Staging, values(3, 5440));
    assert_eq!(registry.current().value(FigureId::StagingCompletedToday, None), Some(Number::Int(3)));
}

#[test]
fn a_snapshot_is_shared_until_something_changes() {
    let (clock, registry) = bench(MORNING);
    let first = registry.current();
    clock.advance(Duration::from_millis(900));
    assert!(Arc::ptr_eq(&first, &registry.current()));
    clock.advance(Duration::from_millis(100));
    let second = registry.current();
    assert!(second.version > first.version);
    publish(&registry, &clock, Section::Runtime, vec![Reading::of(FigureId::RuntimeGoroutines, 1)]);
    let third = registry.current();
    assert!(third.version > second.version);
    clock.set_wall(MORNING.day().next().start());
    assert!(registry.current().version > third.version);
}

#[test]
fn i18_i24_an_attempts_outcome_is_a_figure_and_known_errors_begin_at_0() {
    let (_clock, registry) = bench(MORNING);
    let took = Duration::from_millis(3);
    let errors = [("unreachable", "refused".to_owned())];
    registry.report(&AttemptReport { section: Section::Store, took, errors: &errors });
    registry.report(&AttemptReport { section: Section::Runtime, took, errors: &[] });
    let snapshot = registry.current();
    let up: Vec<_> = snapshot.collectors.iter().map(|collector| collector.up).collect();
    assert_eq!(up, [Some(true), Some(false), None]);
    let errors = &snapshot.family("linkit.bridge.collector.errors").unwrap().points;
    let counts: Vec<_> = errors.iter().map(|point| (point.attributes[1].1.as_str(), point.value.clone())).collect();
    let count = |count| PointValue::Number(Number::Int(count));
    assert_eq!(counts, [("runtime", count(0)), ("staging", count(0)), ("store", count(1))]);
    assert_eq!(errors[0].start, Some(MORNING.0));
    assert_eq!(snapshot.family("linkit.bridge.collector.duration").unwrap().points.len(), 2);
}

#[test]
fn instruments_of_an_embedding_program_are_on_the_snapshot_and_vanish_with_what_they_observe() {
    let (clock, registry) = bench(MORNING);
    let meter = registry.meter_provider().meter("shop");
    meter.u64_counter("shop.visits").build().add(3, &[]);
    let shown = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let observed = Arc::clone(&shown);
    let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<i64>| {
        if observed.load(std::sync::atomic::Ordering::Relaxed) {
            observer.observe(-4, &[]);
        }
    };
    meter.i64_observable_gauge("shop.balance").with_callback(callback).build();
    let snapshot = registry.current();
    assert_eq!(snapshot.family("shop.visits").unwrap().points.len(), 1);
    assert_eq!(snapshot.family("shop.balance").unwrap().points.len(), 1);
    shown.store(false, std::sync::atomic::Ordering::Relaxed);
    clock.advance(Duration::from_secs(1));
    assert!(registry.current().family("shop.balance").is_none());
}

#[test]
fn what_is_restored_keeps_its_time_and_start_until_it_is_read_again() {
    let (clock, registry) = bench(MORNING);
    let start = Wall::from_secs(1_705_300_000);
    let cycles = |value| Reading::of(FigureId::RuntimeGcCycles, value);
    let taken = clock.now().minus(Duration::from_secs(400));
    registry.restore(vec![Readings::new(Section::Runtime, taken, vec![cycles(50).starting(start)])]);
    let point = |registry: &Registry| registry.current().family("linkit.runtime.gc.cycles").unwrap().points[0].clone();
    assert_eq!((point(&registry).start, point(&registry).time), (Some(start.0), taken.wall.0));
    assert_eq!(registry.held()[0].taken, taken);
    registry.restore(vec![Readings::new(Section::Runtime, clock.now(), vec![cycles(1)])]);
    publish(&registry, &clock, Section::Runtime, vec![cycles(52)]);
    let point = point(&registry);
    assert_eq!((point.value, point.start), (PointValue::Number(Number::Int(52)), Some(start.0)));
}

#[test]
fn what_is_restored_with_a_time_to_come_holds_up_no_reading() {
    let (clock, registry) = bench(MORNING);
    let of = |value| vec![Reading::of(FigureId::RuntimeGoroutines, value)];
    registry.restore(vec![Readings::new(Section::Runtime, clock.now(), of(50))]);
    // A source that tells the time of its figures may be seconds behind.
    registry.publish(vec![Readings::new(Section::Runtime, clock.now().minus(Duration::from_secs(10)), of(7))]);
    assert_eq!(goroutines(&registry), Some(Number::Int(7)));
}

#[test]
fn what_has_expired_is_not_restored() {
    let (clock, registry) = bench(MORNING);
    let taken = clock.now().minus(Duration::from_secs(3601));
    registry.restore(vec![Readings::new(Section::Runtime, taken, vec![Reading::of(FigureId::RuntimeGoroutines, 7)])]);
    assert!(registry.held().is_empty());
}
