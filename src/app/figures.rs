//! The bridge's own figures that no other module reports: what runs, with which configuration, and what became of
//! pushed batches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::FigureId;
use crate::clock::{Moment, Wall};
use crate::delivery::{Delivery, DropReason, Outcome};
use crate::reading::Reading;
use crate::registry::Registry;
use crate::server::WebConfigFile;

/// What became of the configuration: which one was loaded, when, and whether the last try succeeded.
pub(super) struct Loaded {
    hash: AtomicU64,
    at: AtomicU64,
    is_good: AtomicBool,
}

impl Loaded {
    /// Takes in that a configuration was loaded.
    pub(super) fn succeed(&self, hash: u64, at: Wall) {
        self.hash.store(hash, Ordering::Relaxed);
        self.at.store(at.0, Ordering::Relaxed);
        self.is_good.store(true, Ordering::Relaxed);
    }

    /// Takes in that one could not be.
    pub(super) fn fail(&self) {
        self.is_good.store(false, Ordering::Relaxed);
    }
}

/// Adds build and configuration.
pub(super) fn add(registry: &Registry, config_hash: u64, loaded: Moment) -> Arc<Loaded> {
    let held = Arc::new(Loaded {
        hash: AtomicU64::new(config_hash),
        at: AtomicU64::new(loaded.wall.0),
        is_good: AtomicBool::new(true),
    });
    let loaded = Arc::clone(&held);
    registry.add_live(move |_| {
        vec![
            Reading::of_series(FigureId::BuildInfo, "version", env!("CARGO_PKG_VERSION"), 1),
            Reading::of(FigureId::ConfigHash, loaded.hash.load(Ordering::Relaxed)),
            Reading::of(FigureId::ConfigLastReloadSuccessful, loaded.is_good.load(Ordering::Relaxed).into()),
            Reading::of(FigureId::ConfigLastReloadTimestamp, loaded.at.load(Ordering::Relaxed)),
        ]
    });
    held
}

/// Adds what became of the web configuration.
pub(super) fn add_web_config(registry: &Registry, file: WebConfigFile) {
    registry.add_live(move |_| file.readings());
}

/// An endpoint whose batches are told of.
pub(super) struct Pushed {
    pub(super) name: String,
    pub(super) delivery: Arc<Delivery>,
    /// Since when they are counted.
    pub(super) since: Wall,
}

/// Adds what became of the batches of endpoints, none at first.
pub(super) fn add_pushed(registry: &Registry) -> Arc<Mutex<Vec<Pushed>>> {
    let held: Arc<Mutex<Vec<Pushed>>> = Arc::default();
    let all = Arc::clone(&held);
    registry.add_live(move |_| all.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(readings).collect());
    held
}

fn readings(pushed: &Pushed) -> Vec<Reading> {
    let (stats, endpoint) = (pushed.delivery.stats(), &pushed.name);
    let of = |figure, value| Reading::of_series(figure, "endpoint", endpoint, value).starting(pushed.since);
    let with = |figure, key, word: &str, value| Reading {
        attributes: vec![("endpoint", endpoint.clone()), (key, word.to_owned())],
        ..of(figure, value)
    };
    let mut readings = vec![
        of(FigureId::PushAccepted, stats.accepted.batches),
        of(FigureId::PushUnstoredBatches, stats.unstored),
        of(FigureId::PushQueuedBatches, stats.queued.batches),
        of(FigureId::PushQueuedBytes, stats.queued_bytes),
        of(FigureId::PushDelivered, stats.delivered.batches),
        of(FigureId::PushRefusedPoints, stats.refused_points),
    ];
    readings.extend(stats.oldest_accepted.map(|oldest| of(FigureId::PushOldestTimestamp, oldest.0)));
    readings.extend(stats.last_success.map(|success| of(FigureId::PushLastSuccess, success.0)));
    readings.extend(
        DropReason::ALL
            .map(|reason| with(FigureId::PushDropped, "reason", reason.name(), stats.dropped(reason).batches)),
    );
    readings.extend(
        Outcome::ALL.map(|outcome| with(FigureId::PushAttempts, "outcome", outcome.name(), stats.attempts(outcome))),
    );
    readings
}
