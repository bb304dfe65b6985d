//! The document byte for byte, and everything that must keep it from being written.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::catalog::FigureId;
use crate::clock::{Clock, ManualClock, Wall};
use crate::reading::{Ages, Reading, Readings};
use crate::registry::{AttemptReport, Registry};

/// The documented example response, without its white space.
pub(crate) const DOCUMENTED: &str = concat!(
    r#"{"version":"1.0.0","measured":"2024-01-15T10:30:00Z","#,
    r#""runtime":{"goroutines":42,"cpu_count":8,"alloc_mb":128,"total_alloc_mb":4096,"sys_mb":256,"num_gc":156,"#,
    r#""gc_pause_ns":1234567},"#,
    r#""store":{"products":15000,"branches":25,"skus":375000,"orders":50000,"customers":12000},"#,
    r#""staging":{"pending":0,"processing":12,"completed_today":5432}}"#,
);

/// The documented example's time.
pub(crate) const MEASURED: Wall = Wall::from_secs(1_705_314_600);

const MIB: u64 = 1 << 20;

/// The readings of one section that make the documented example; memory ends within a megabyte.
pub(crate) fn readings(section: Section, taken: Moment) -> Readings {
    let of = Reading::of;
    let values = match &section {
        Section::Runtime => vec![
            of(FigureId::RuntimeGoroutines, 42),
            of(FigureId::RuntimeCpus, 8),
            of(FigureId::RuntimeHeapAllocated, 129 * MIB - 1),
            of(FigureId::RuntimeMemoryAllocated, 4096 * MIB),
            of(FigureId::RuntimeMemorySys, 256 * MIB + 1),
            of(FigureId::RuntimeGcCycles, 156),
            of(FigureId::RuntimeGcLastPause, 1_234_567),
        ],
        Section::Store => {
            [("products", 15_000), ("branches", 25), ("skus", 375_000), ("orders", 50_000), ("customers", 12_000)]
                .map(|(name, count)| Reading::of_series(FigureId::StoreRecords, "collection", name, count))
                .into()
        }
        Section::Staging => vec![
            Reading::of_series(FigureId::StagingItems, "state", "pending", 0),
            Reading::of_series(FigureId::StagingItems, "state", "processing", 12),
            of(FigureId::StagingCompletedToday, 5432),
            of(FigureId::StagingCompleted, 5432),
        ],
        Section::Custom(name) => panic!("{name} is not in the document"),
    };
    Readings::new(section, taken, values)
}

/// A registry with a collector for each section, nothing read yet, and the clock that moves it.
pub(crate) fn registry() -> (Arc<Registry>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(MEASURED));
    let registry = Registry::new(Arc::<ManualClock>::clone(&clock), Ages::default(), &[]);
    for section in Section::DOCUMENTED {
        registry.attach("sqlite", &[section], &[]);
    }
    (Arc::new(registry), clock)
}

/// Reads sections as the documented example has them, with success.
pub(crate) fn read(registry: &Registry, now: Moment, sections: &[Section]) {
    for section in sections.iter().cloned() {
        registry.publish(vec![readings(section.clone(), now)]);
        registry.report(&AttemptReport { section, took: Duration::from_millis(1), errors: &[] });
    }
}

fn rendered(registry: &Registry) -> Result<Rendered, Unavailable> {
    render(&registry.current(), &JsonConfig::default())
}

fn text(rendered: &Rendered) -> &str {
    std::str::from_utf8(&rendered.body).unwrap()
}

#[test]
fn the_documented_example_comes_out_byte_for_byte() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    let rendered = rendered(&registry).unwrap();
    assert_eq!(text(&rendered), DOCUMENTED);
    assert_eq!((rendered.stale, rendered.absent), (vec![], vec![]));
}

#[test]
fn the_version_is_the_configured_one_else_the_sources_else_the_documents() {
    let (registry, clock) = registry();
    let version = |config: Option<&str>| {
        let config = JsonConfig { version: config.map(str::to_owned), ..JsonConfig::default() };
        let rendered = render(&registry.current(), &config).unwrap();
        serde_json::from_slice::<serde_json::Value>(&rendered.body).unwrap()["version"].as_str().unwrap().to_owned()
    };
    read(&registry, clock.now(), &Section::DOCUMENTED);
    assert_eq!(version(None), "1.0.0");
    let stated = Readings { version: Some("2.3.1".to_owned()), ..readings(Section::Runtime, clock.now()) };
    registry.publish(vec![stated]);
    assert_eq!(version(None), "2.3.1");
    assert_eq!(version(Some("4 \"x\"")), "4 \"x\"");
}

#[test]
fn what_a_source_cannot_know_is_zero_and_named() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    let mut runtime = readings(Section::Runtime, clock.now());
    runtime.values[6] = Reading::unknowable(FigureId::RuntimeGcLastPause);
    registry.publish(vec![runtime]);
    let rendered = rendered(&registry).unwrap();
    assert_eq!(text(&rendered), DOCUMENTED.replace("1234567", "0"));
    assert_eq!(rendered.absent, ["runtime.gc_pause_ns"]);
}

#[test]
fn an_old_section_keeps_its_integers_and_its_time_and_is_named() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    clock.advance(Duration::from_secs(301));
    read(&registry, clock.now(), &[Section::Runtime, Section::Staging]);
    let rendered = rendered(&registry).unwrap();
    assert_eq!(text(&rendered), DOCUMENTED);
    assert_eq!(rendered.stale, ["store"]);
}

#[test]
fn a_section_that_was_never_read_is_named_with_its_fields_and_its_error() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &[Section::Runtime]);
    let errors = [("timeout", "no answer from /srv/secret/data.db".to_owned())];
    registry.report(&AttemptReport { section: Section::Store, took: Duration::ZERO, errors: &errors });
    assert_eq!(
        rendered(&registry).unwrap_err().details,
        "store: not read yet, missing products, branches, skus, orders, customers, last error: timeout; \
         staging: not read yet, missing pending, processing, completed_today"
    );
}

#[test]
fn an_expired_section_is_named_with_its_time() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    clock.advance(Duration::from_secs(3601));
    read(&registry, clock.now(), &[Section::Store, Section::Staging]);
    let details = rendered(&registry).unwrap_err().details;
    assert_eq!(details, "runtime: expired, last read 2024-01-15T10:30:00Z");
}

#[test]
fn readings_without_a_source_do_not_make_a_document() {
    let clock = Arc::new(ManualClock::at(MEASURED));
    let registry = Registry::new(Arc::<ManualClock>::clone(&clock), Ages::default(), &[]);
    registry.attach("sqlite", &[Section::Runtime, Section::Staging], &[]);
    read(&registry, clock.now(), &Section::DOCUMENTED);
    assert_eq!(rendered(&registry).unwrap_err().details, "store: no source is configured");
}

#[test]
fn megabytes_are_rounded_down_by_the_configured_divisor() {
    for (bytes, divisor, whole_mb) in
        [(MIB - 1, MIB, 0), (MIB, MIB, 1), (1_999_999, 1_000_000, 1), (5, 0, 5), (u64::MAX >> 1, MIB, (1 << 43) - 1)]
    {
        assert_eq!(whole(Number::Int(bytes.into()), JsonUnit::Megabytes, divisor), Some(whole_mb));
    }
}

#[test]
fn what_is_no_integer_of_the_document_is_none() {
    for number in [Number::Int(-1), Number::Int(1 << 63), Number::Float(1.0)] {
        assert_eq!(whole(number, JsonUnit::Same, MIB), None, "{number:?}");
    }
    for float in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        assert_eq!(whole(Number::Float(float), JsonUnit::Nanoseconds, MIB), None, "{float}");
    }
}

proptest! {
    // Two roundings, each by at most 2^-53 of the value: exact up to 26 days.
    #[test]
    fn nanoseconds_come_back_exactly(nanoseconds in 0_u64..1 << 51) {
        let (registry, clock) = registry();
        read(&registry, clock.now(), &Section::DOCUMENTED);
        let mut runtime = readings(Section::Runtime, clock.now());
        runtime.values[6] = Reading::of(FigureId::RuntimeGcLastPause, nanoseconds);
        registry.publish(vec![runtime]);
        let expected = DOCUMENTED.replace("1234567", &nanoseconds.to_string());
        let rendered = rendered(&registry).unwrap();
        prop_assert_eq!(text(&rendered), expected);
    }
}
