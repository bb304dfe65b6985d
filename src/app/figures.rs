//! The bridge's own figures that no other module reports: what runs, with which configuration, and what became of
//! pushed batches.

use std::sync::Arc;

use crate::catalog::FigureId;
use crate::clock::Moment;
use crate::delivery::{Delivery, DropReason, Outcome};
use crate::reading::Reading;
use crate::registry::Registry;
use crate::server::WebConfigFile;

/// Adds build and configuration.
pub(super) fn add(registry: &Registry, config_hash: u64, loaded: Moment) {
    registry.add_live(move |_| {
        vec![
            Reading::of_series(FigureId::BuildInfo, "version", env!("CARGO_PKG_VERSION"), 1),
            Reading::of(FigureId::ConfigHash, config_hash),
            Reading::of(FigureId::ConfigLastReloadSuccessful, 1),
            Reading::of(FigureId::ConfigLastReloadTimestamp, loaded.wall.0),
        ]
    });
}

/// Adds what became of the web configuration.
pub(super) fn add_web_config(registry: &Registry, file: WebConfigFile) {
    registry.add_live(move |_| file.readings());
}

/// Adds what became of the batches of one endpoint.
pub(super) fn add_push(registry: &Registry, delivery: Arc<Delivery>, endpoint: String) {
    registry.add_live(move |_| {
        let stats = delivery.stats();
        let of = |figure, value| Reading::of_series(figure, "endpoint", &endpoint, value);
        let with = |figure, key, word: &str, value| Reading {
            attributes: vec![("endpoint", endpoint.clone()), (key, word.to_owned())],
            ..Reading::of(figure, value)
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
            Outcome::ALL
                .map(|outcome| with(FigureId::PushAttempts, "outcome", outcome.name(), stats.attempts(outcome))),
        );
        readings
    });
}
