"""One screen for three in the morning."""

from generate import (
    ANY,
    dashboard,
    drill_down,
    graph,
    limit,
    mapping,
    more,
    stat,
    steps,
    table,
    timeline,
    words,
)
from source.common import (
    BRIDGE_UP,
    BY,
    DONE,
    GC_STEPS,
    INSTANCE,
    PENDING,
    PROCESSING,
    RULES_LOADED,
    STALENESS,
    STALENESS_STEPS,
    biggest,
    count_of,
    firing,
)


def overview():
    collectors = "max by (job, instance, collector) (max_over_time(<linkit_bridge_collector_up>[3m]))"
    ages = "max by (job, instance, collector) (last_over_time(<linkit_bridge_collector_staleness>[3m]))"
    success, each = "<linkit_bridge_push_last_success_timestamp_seconds>", "(job, instance, endpoint)"
    # An endpoint that never took a batch has no time of one.
    failing = (
        f"(time() - max by {each} ({success}) > {limit('LinkitPushFailing')}\n"
        f"or max by {each} (<linkit_bridge_push_queued_batches> offset 10m) unless on {each} "
        f"max_over_time({success.replace('>', '>[10m]')}))"
    )
    none = mapping(v0=("none", "green"))
    to_bridge, to_staging = more("linkit-bridge", "Bridge"), more("linkit-staging", "Staging pipeline")
    to_runtime, to_store = more("linkit-runtime", "Runtime"), more("linkit-store", "Store and capacity")
    up = mapping(v0=("DOWN", "red"), v1=("up", "green"))
    return dashboard(
        "linkit-overview",
        "Linkit / Overview",
        "One screen for three in the morning: what is wrong, how old the figures are, and where to look on.",
        [
            stat(
                "Bridges down",
                "Bridges that Prometheus cannot scrape, or that have pushed nothing for 10 minutes, of those seen within an "
                "hour or alerted on.\n\nNormal: none. LinkitBridgeTargetDown, LinkitBridgeVanished or LinkitTargetAbsent fire "
                "after some minutes. Nothing is known of Linkit through such a bridge: see whether its process runs.",
                "short",
                [(count_of(f"{BRIDGE_UP} == 0", BRIDGE_UP), "down")],
                thresholds=ANY,
                no_value="no bridge",
                mappings=none,
                link=to_bridge,
            ),
            stat(
                "Firing alerts",
                "Alerts of linkit-bridge that fire, for the chosen jobs and instances.\n\nNormal: none. The table below names "
                'them. "no rules" means that alerts/linkit-bridge.rules.yml is not loaded, so nothing would fire.',
                "short",
                [(count_of(firing("Linkit.+"), "<instance:linkit_bridge_collector_staleness:max>"), "firing")],
                thresholds=ANY,
                no_value="no rules",
                mappings=none,
            ),
            stat(
                "Sources not readable",
                "Collectors of which no attempt has succeeded for 3 minutes.\n\nNormal: none. LinkitCollectorDown fires after "
                "5 more: the source is stopped, or address, key or answer are wrong. The dashboard Bridge names the class of "
                "the error.",
                "short",
                [(count_of(f"{collectors} == 0", collectors), "failing")],
                thresholds=ANY,
                mappings=none,
                link=to_bridge,
            ),
            stat(
                "Old figures",
                "Collectors whose figures are stale, expired or were never read.\n\nNormal: none. LinkitTelemetryStale fires: "
                "believe the figures only together with their age.",
                "short",
                [(count_of(f"{ages} > 0", ages), "old")],
                thresholds=ANY,
                mappings=none,
                link=to_bridge,
            ),
            stat(
                "Pipelines stuck",
                "Staging pipelines that LinkitPipelineStalled or LinkitPipelineNoProgress fire for.\n\nNormal: none. Look at the "
                "backend's pipeline workers.",
                "short",
                [(f"count(count {BY} ({firing('LinkitPipeline.+')}))\nor\n{RULES_LOADED}", "stuck")],
                thresholds=ANY,
                no_value="no rules",
                mappings=none,
                link=to_staging,
            ),
            stat(
                "Pushes failing",
                "Endpoints that have taken no batch for longer than LinkitPushFailing allows.\n\nNormal: none. Batches wait and "
                'are delivered later, until queue or spool are full. "no push" where none is configured.',
                "short",
                [(count_of(failing, "<linkit_bridge_push_queued_batches>"), "failing")],
                thresholds=ANY,
                no_value="no push",
                mappings=none,
                link=to_bridge,
            ),
            table(
                "Alerts that fire",
                "The alerts that fire and for how long they have been active.\n\nEmpty is normal. Each alert has its own "
                "section in docs/runbooks.md: what it means, how to look, how to fix.",
                "dtdurations",
                [
                    (
                        "For",
                        'time() - <ALERTS_FOR_STATE, alertname=~"Linkit.+">\nand ignoring (alertstate)\n'
                        + firing("Linkit.+"),
                        "dtdurations",
                        None,
                        None,
                    )
                ],
                (12, 6),
                hide=("otel_scope_name", "otel_scope_version", "alertstate"),
                names={"alertname": "Alert", "severity": "Severity", "job": "Job", "instance": "Instance"},
                styles={
                    "Severity": [
                        {"id": "mappings", "value": words(critical="red", warning="orange")},
                        {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
                    ],
                    "Instance": [{"id": "links", "value": drill_down()}],
                },
            ),
            timeline(
                "Freshness over time",
                "What each collector reads, on the bridge where it is oldest: as many lines for fifty bridges as for one. Which "
                "bridge it is stands below.\n\nNormal: fresh. From stale on LinkitTelemetryStale fires; when a figure is expired "
                "it is withdrawn, never frozen.",
                [("max by (job, collector) (<linkit_bridge_collector_staleness>)", "{{collector}} {{job}}")],
                STALENESS,
                (12, 6),
                STALENESS_STEPS,
            ),
            table(
                "Instances",
                "One line a bridge, for one and for fifty: click a column to sort by it, an instance to see it alone.\n\n"
                "Normal: nothing is red. Bridge is red as in Bridges down, freshness as LinkitTelemetryStale sees it, the pause "
                "from the limits of LinkitGcPauseElevated and LinkitGcPauseHigh.",
                "short",
                [
                    ("Bridge", BRIDGE_UP, "none", steps((1, "green"), base="red"), up),
                    (
                        "Freshness",
                        f"max {BY} (<linkit_bridge_collector_staleness>)",
                        "none",
                        STALENESS_STEPS,
                        STALENESS,
                    ),
                    ("Pending", PENDING, "short", None, None),
                    ("Processing", PROCESSING, "short", None, None),
                    ("Completed per minute", f"60 * sum {BY} (rate(<{DONE}>[$__rate_interval]))", "cpm", None, None),
                    ("Completed today", biggest("<linkit_staging_completed_today>"), "short", None, None),
                    (
                        "Records",
                        f"sum {BY} (max by (job, instance, collection) (<linkit_store_records>))",
                        "short",
                        None,
                        None,
                    ),
                    ("Goroutines", biggest("<linkit_runtime_goroutines>"), "short", None, None),
                    ("Heap", biggest("<linkit_runtime_heap_allocated_bytes>"), "bytes", None, None),
                    (
                        "Typical pause",
                        biggest("<instance:linkit_runtime_gc_last_pause_seconds:p50_10m>"),
                        "s",
                        GC_STEPS,
                        None,
                    ),
                    (
                        "Waiting batches",
                        f"sum {BY} (max by (job, instance, endpoint) (<linkit_bridge_push_queued_batches>))",
                        "short",
                        None,
                        None,
                    ),
                ],
                (24, 7),
                names={"job": "Job", "instance": "Instance"},
                no_value="–",
                styles={"Instance": [{"id": "links", "value": drill_down()}]},
            ),
            graph(
                "Pending items",
                "Items that wait in the staging pipeline.\n\nNormal: it returns to near zero. That it grows while nothing is "
                "worked on is what LinkitPipelineStalled means.",
                "short",
                [(PENDING, INSTANCE)],
                (6, 7),
                link=to_staging,
            ),
            graph(
                "Completed per minute",
                "Items completed, by the counter that goes on across midnight.\n\nNormal: as at this time of other days. Zero "
                "for 30 minutes while items wait fires LinkitPipelineNoProgress.",
                "cpm",
                [(f"60 * sum {BY} (rate(<{DONE}>[$__rate_interval]))", INSTANCE)],
                (6, 7),
                link=to_staging,
            ),
            graph(
                "Goroutines",
                "Concurrent tasks of the backend.\n\nNormal: it settles under load; spikes pass. A floor that rises for hours "
                "fires LinkitGoroutineLeakSuspected.",
                "short",
                [(biggest("<linkit_runtime_goroutines>"), INSTANCE)],
                (6, 7),
                link=to_runtime,
            ),
            graph(
                "Records",
                "Records of all collections together.\n\nNormal: it grows slowly. A sudden drop of a collection fires "
                "LinkitStoreCountDropped.",
                "short",
                [(f"sum {BY} (max by (job, instance, collection) (<linkit_store_records>))", INSTANCE)],
                (6, 7),
                link=to_store,
            ),
        ],
    )
