//! The bridge's own figures: what it does, and how well. Continues the table above it.

use super::super::{Figure, FigureId as Id, Kind};
use super::figure;
use Kind::{Counter, Gauge, Histogram};

pub(super) const OWN: &[Figure] = &[
    figure(
        Id::CollectorUp,
        "linkit.bridge.collector.up",
        Gauge,
        "",
        "Whether the collector's last attempt to read its source succeeded: 1 or 0.",
    )
    .by(&["collector", "source"]),
    figure(
        Id::CollectorLastSuccess,
        "linkit.bridge.collector.last_success_timestamp",
        Gauge,
        "s",
        "Unix time of the collector's last successful reading of its source.",
    )
    .by(&["collector", "source"]),
    figure(
        Id::CollectorDuration,
        "linkit.bridge.collector.duration",
        Histogram,
        "s",
        "Time the collector's attempts took.",
    )
    .by(&["collector", "source"]),
    figure(
        Id::CollectorErrors,
        "linkit.bridge.collector.errors",
        Counter,
        "{error}",
        "Failed attempts of the collector by class of error.",
    )
    .by(&["class", "collector", "source"]),
    figure(
        Id::CollectorStaleness,
        "linkit.bridge.collector.staleness",
        Gauge,
        "",
        "Age of the collector's figures: 0 fresh, 1 stale, 2 expired, 3 never read.",
    )
    .by(&["collector", "source"]),
    figure(
        Id::CollectorOverflow,
        "linkit.bridge.collector.overflow",
        Gauge,
        "{series}",
        "Label sets of a custom figure left out of its last reading because there were more than the limit.",
    )
    .by(&["collector", "figure"]),
    Figure {
        attributes: &["version"],
        ..figure(Id::BuildInfo, "linkit.bridge.build_info", Gauge, "", "The running bridge's version; always 1.")
    },
    figure(
        Id::ConfigHash,
        "linkit.bridge.config.hash",
        Gauge,
        "",
        "The first 48 bits of the SHA-256 of the configuration in force, as a number.",
    ),
    figure(
        Id::ConfigLastReloadSuccessful,
        "linkit.bridge.config.last_reload_successful",
        Gauge,
        "",
        "Whether the last load of the configuration succeeded: 1 or 0.",
    ),
    figure(
        Id::ConfigLastReloadTimestamp,
        "linkit.bridge.config.last_reload_timestamp",
        Gauge,
        "s",
        "Unix time of the last successful load of the configuration.",
    ),
    figure(
        Id::WebConfigLastReloadSuccessful,
        "linkit.bridge.web_config.last_reload_successful",
        Gauge,
        "",
        "Whether the last load of the web configuration and its certificates succeeded: 1 or 0.",
    ),
    figure(
        Id::WebConfigLastReloadTimestamp,
        "linkit.bridge.web_config.last_reload_timestamp",
        Gauge,
        "s",
        "Unix time of the last successful load of the web configuration and its certificates.",
    ),
    figure(
        Id::WebCertificateExpiry,
        "linkit.bridge.web.certificate.expiry_timestamp",
        Gauge,
        "s",
        "Unix time at which the first certificate of the chain that the server presents expires.",
    ),
    Figure {
        attributes: &["format", "output"],
        ..figure(
            Id::OutputRenders,
            "linkit.bridge.output.renders",
            Counter,
            "{render}",
            "Renderings of a snapshot; answers served from a ready rendering are not counted.",
        )
    },
    Figure {
        attributes: &["format", "output"],
        ..figure(
            Id::OutputBytes,
            "linkit.bridge.output.bytes",
            Counter,
            "By",
            "Bytes rendered, before any content encoding.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushAccepted,
            "linkit.bridge.push.accepted",
            Counter,
            "{batch}",
            "Batches taken over for delivery, those that a start found in the spool included: delivered, queued or dropped.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushUnstoredBatches,
            "linkit.bridge.push.unstored_batches",
            Gauge,
            "{batch}",
            "Waiting batches that are in memory alone; with a spool, those that its disk has not taken.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushQueuedBatches,
            "linkit.bridge.push.queued_batches",
            Gauge,
            "{batch}",
            "Batches accepted and waiting for delivery.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushQueuedBytes,
            "linkit.bridge.push.queued_bytes",
            Gauge,
            "By",
            "Bytes of the batches waiting for delivery.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushOldestTimestamp,
            "linkit.bridge.push.oldest_timestamp",
            Gauge,
            "s",
            "Unix time at which the oldest waiting batch was accepted; absent when none waits.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushDelivered,
            "linkit.bridge.push.delivered",
            Counter,
            "{batch}",
            "Batches the endpoint has accepted.",
        )
    },
    Figure {
        attributes: &["endpoint", "reason"],
        ..figure(
            Id::PushDropped,
            "linkit.bridge.push.dropped",
            Counter,
            "{batch}",
            "Accepted batches that were given up, by reason.",
        )
    },
    Figure {
        attributes: &["endpoint", "outcome"],
        ..figure(
            Id::PushAttempts,
            "linkit.bridge.push.attempts",
            Counter,
            "{attempt}",
            "Attempts to deliver a batch, by outcome.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushRefusedPoints,
            "linkit.bridge.push.refused_points",
            Counter,
            "{point}",
            "Data points the endpoint refused of batches it took.",
        )
    },
    Figure {
        attributes: &["endpoint"],
        ..figure(
            Id::PushLastSuccess,
            "linkit.bridge.push.last_success_timestamp",
            Gauge,
            "s",
            "Unix time of the last delivery.",
        )
    },
    figure(
        Id::ApiKeyExpiry,
        "linkit.bridge.api_key.expiry_timestamp",
        Gauge,
        "s",
        "Unix time from which on an API key is refused; absent for one that does not expire.",
    )
    .by(&["key"]),
    figure(
        Id::ApiKeyLastUsed,
        "linkit.bridge.api_key.last_used_timestamp",
        Gauge,
        "s",
        "Unix time at which an API key was last let in; absent if it was not since the start.",
    )
    .by(&["key"]),
    figure(
        Id::ApiKeyRefused,
        "linkit.bridge.api_key.refused",
        Counter,
        "{request}",
        "Requests refused for want of a good API key, by reason: missing, wrong, expired, scope, limited.",
    )
    .by(&["reason"]),
    figure(
        Id::ApiKeyLastReloadSuccessful,
        "linkit.bridge.api_key.last_reload_successful",
        Gauge,
        "",
        "Whether every file of API keys could be read the last time: 1 or 0; absent if there is none.",
    ),
    Figure {
        attributes: &["code", "method", "route"],
        ..figure(
            Id::HttpRequestDuration,
            "linkit.bridge.http.request.duration",
            Histogram,
            "s",
            "Time to answer HTTP requests, refusals included, by route template; other for paths and requests that none serves.",
        )
    },
    Figure {
        attributes: &["state"],
        ..figure(
            Id::HttpOpenConnections,
            "linkit.bridge.http.open_connections",
            Gauge,
            "{connection}",
            "Open connections: half_open until a first whole request head has come, then established.",
        )
    },
    Figure {
        attributes: &["reason"],
        ..figure(
            Id::HttpDroppedConnections,
            "linkit.bridge.http.dropped_connections",
            Counter,
            "{connection}",
            "Connections closed against the client's will: refused by address or full, evicted for others, timeout, tls for no \
             agreement on TLS, or malformed for what is no HTTP.",
        )
    },
];
