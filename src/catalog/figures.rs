//! The table itself. One entry a figure: here what a Linkit tells, in the order of the documented JSON; in `own` what
//! the bridge tells of itself.

mod own;

use super::{Figure, FigureId, JsonField, JsonUnit, Kind, Section};

const fn field(name: &'static str, unit: JsonUnit) -> JsonField {
    JsonField { name, series: None, unit }
}

const fn series(name: &'static str) -> JsonField {
    JsonField { name, series: Some(name), unit: JsonUnit::Same }
}

/// What most entries share, so that an entry says only what is its own.
const fn figure(id: FigureId, name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> Figure {
    Figure { id, name, kind, unit, section: None, attributes: &[], json: &[], daily: false, help }
}

impl Figure {
    const fn by(self, attributes: &'static [&'static str]) -> Self {
        Self { attributes, ..self }
    }
}

const RUNTIME: Option<&Section> = Some(&Section::Runtime);
const STORE: Option<&Section> = Some(&Section::Store);
const STAGING: Option<&Section> = Some(&Section::Staging);

use FigureId as Id;
use Kind::{Counter, Gauge};
use own::OWN;

/// Every figure, in the order of the documented JSON; the bridge's own figures follow.
pub const FIGURES: &[Figure] = &ALL;

const ALL: [Figure; LINKIT.len() + OWN.len()] = {
    let mut all = [LINKIT[0]; LINKIT.len() + OWN.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < LINKIT.len() { LINKIT[at] } else { OWN[at - LINKIT.len()] };
        at += 1;
    }
    all
};

/// What a Linkit tells of itself.
const LINKIT: &[Figure] = &[
    Figure {
        section: RUNTIME,
        json: &[field("goroutines", JsonUnit::Same)],
        ..figure(
            Id::RuntimeGoroutines,
            "linkit.runtime.goroutines",
            Gauge,
            "{goroutine}",
            "Active concurrent tasks: goroutines of a Go program, live tasks of this process, threads of another.",
        )
    },
    Figure {
        section: RUNTIME,
        json: &[field("cpu_count", JsonUnit::Same)],
        ..figure(Id::RuntimeCpus, "linkit.runtime.cpus", Gauge, "{cpu}", "Logical CPUs available to the backend.")
    },
    Figure {
        section: RUNTIME,
        json: &[field("alloc_mb", JsonUnit::Megabytes)],
        ..figure(
            Id::RuntimeHeapAllocated,
            "linkit.runtime.heap.allocated",
            Gauge,
            "By",
            "Heap memory allocated at the moment.",
        )
    },
    Figure {
        section: RUNTIME,
        json: &[field("total_alloc_mb", JsonUnit::Megabytes)],
        ..figure(
            Id::RuntimeMemoryAllocated,
            "linkit.runtime.memory.allocated",
            Counter,
            "By",
            "Memory ever allocated, freed memory included.",
        )
    },
    Figure {
        section: RUNTIME,
        json: &[field("sys_mb", JsonUnit::Megabytes)],
        ..figure(
            Id::RuntimeMemorySys,
            "linkit.runtime.memory.sys",
            Gauge,
            "By",
            "Memory obtained from the operating system.",
        )
    },
    Figure {
        section: RUNTIME,
        json: &[field("num_gc", JsonUnit::Same)],
        ..figure(
            Id::RuntimeGcCycles,
            "linkit.runtime.gc.cycles",
            Counter,
            "{gc_cycle}",
            "Completed garbage collection cycles.",
        )
    },
    Figure {
        section: RUNTIME,
        json: &[field("gc_pause_ns", JsonUnit::Nanoseconds)],
        ..figure(
            Id::RuntimeGcLastPause,
            "linkit.runtime.gc.last_pause",
            Gauge,
            "s",
            "Duration of the last garbage collection pause.",
        )
    },
    Figure {
        section: STORE,
        attributes: &["collection"],
        json: &[series("products"), series("branches"), series("skus"), series("orders"), series("customers")],
        ..figure(Id::StoreRecords, "linkit.store.records", Gauge, "{record}", "Records in a collection of the store.")
    },
    Figure {
        section: STORE,
        attributes: &["collection", "method"],
        ..figure(
            Id::StoreCountMethod,
            "linkit.store.count.method",
            Gauge,
            "",
            "How the records of a collection were counted: 1 for the method in use, exact or estimate.",
        )
    },
    Figure {
        section: STORE,
        attributes: &["collection"],
        ..figure(
            Id::StoreCountLastExact,
            "linkit.store.count.last_exact_timestamp",
            Gauge,
            "s",
            "Unix time of the last exact count of a collection.",
        )
    },
    Figure {
        section: STAGING,
        attributes: &["state"],
        json: &[series("pending"), series("processing")],
        ..figure(Id::StagingItems, "linkit.staging.items", Gauge, "{item}", "Items in the pipeline by state.")
    },
    Figure {
        section: STAGING,
        json: &[field("completed_today", JsonUnit::Same)],
        daily: true,
        ..figure(
            Id::StagingCompletedToday,
            "linkit.staging.completed_today",
            Gauge,
            "{item}",
            "Items completed since 00:00 UTC; starts again from 0 each day.",
        )
    },
    Figure {
        section: STAGING,
        ..figure(
            Id::StagingCompleted,
            "linkit.staging.completed",
            Counter,
            "{item}",
            "Items completed, going on across midnight; use this one for rates.",
        )
    },
];
