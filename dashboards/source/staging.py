"""What waits, how fast it goes, how long it takes to work off."""

from generate import (
    ANY,
    dashboard,
    graph,
    limit,
    mapping,
    row,
    stat,
    steps,
    timeline,
    worst,
)
from source.common import BY, DONE, INSTANCE, NO_HISTORY, PENDING, PROCESSING, biggest


def staging():
    rate = f"sum {BY} (rate(<{DONE}>[15m]))"
    falling = f'(max {BY} (deriv(<linkit_staging_items, state="pending">[15m])) < 0)'
    drain = f"{PENDING}\n/ ({rate} > 0)"
    today = biggest("<linkit_staging_completed_today>")
    before = f"max {BY} (<linkit_staging_completed_today> offset 7d)"
    growth = f'60 * max {BY} (deriv(<linkit_staging_items, state="pending">[15m]))'
    stalled = (
        f"({growth} > bool {limit('LinkitPipelineStalled', 0)})\n"
        f'* (min {BY} (min_over_time(<linkit_staging_items, state="pending">[10m])) > bool {limit("LinkitPipelineStalled", 1)})\n'
        f'* (max {BY} (max_over_time(<linkit_staging_items, state="processing">[10m])) <= bool {limit("LinkitPipelineStalled", 2)})'
    )
    stuck = (
        f'(min {BY} (min_over_time(<linkit_staging_items, state="pending">[30m])) > bool 0)\n'
        f"* (sum {BY} (increase(<{DONE}>[30m])) == bool 0)\n"
        f"and on (job, instance) <linkit_staging_completed_today> offset 30m\n"
        f'unless on (job, instance) max_over_time(<linkit_bridge_collector_staleness, collector="staging">[30m]) > 0'
    )
    states = mapping(
        v0=("moves or rests", "green"),
        v1=("stalled", "red"),
        v2=("without progress", "red"),
        v3=("stalled, no progress", "dark-red"),
    )
    return dashboard(
        "linkit-staging",
        "Linkit / Staging pipeline",
        "What waits, what is worked on, how fast it goes, and how long it takes to work off.",
        [
            stat(
                "Pending",
                "Items that wait, all instances together.\n\nNormal: it returns to near zero.",
                "short",
                [(f"sum({PENDING})", "pending")],
            ),
            stat(
                "Processing",
                "Items that are worked on, all instances together.\n\nNormal: above zero while items wait.",
                "short",
                [(f"sum({PROCESSING})", "processing")],
            ),
            stat(
                "Throughput",
                "Items completed per minute over 15 minutes, all instances together.\n\nNormal: as at this time of other days.",
                "cpm",
                [(f"60 * sum({rate})", "per minute")],
            ),
            stat(
                "Longest time to drain",
                "How long the slowest instance needs for what waits, at its throughput of 15 minutes, if nothing new came.\n\n"
                "Normal: seconds to minutes. Hours are a backlog: more workers, or fewer imports at once.",
                "s",
                [(f"max({drain})", "to drain")],
                no_value="no throughput",
            ),
            stat(
                "Completed today",
                "Items completed since 00:00 UTC, all instances together.\n\nNormal: it starts again from 0 each day.",
                "short",
                [(f"sum({today})", "today")],
            ),
            stat(
                "Against the same weekday",
                "Today's items by those of the same weekday a week ago at this time.\n\nNormal: around 100 %, but for holidays.",
                "percentunit",
                [(f"sum({today})\n/ (sum({before}) > 0)", "of a week ago")],
                no_value=NO_HISTORY,
            ),
            timeline(
                "State",
                "Whether each pipeline moves. Stalled: the queue grows and next to nothing is worked on, as LinkitPipelineStalled "
                "sees it. Without progress: items wait and none was completed in 30 minutes, LinkitPipelineNoProgress.\n\n"
                "Normal: moves or rests. The alerts fire when it lasts: look at the backend's workers.",
                [(f"{stalled}\n+ on (job, instance)\n(2 * ({stuck}) or on (job, instance) 0 * {PENDING})", INSTANCE)],
                states,
                (24, 5),
                ANY,
            ),
            row("The queue"),
            graph(
                "Queue",
                "Items that wait and that are worked on.\n\nNormal: pending comes and goes, processing stays above zero as long.",
                "short",
                [(PENDING, "pending {{instance}}"), (PROCESSING, "processing {{instance}}")],
            ),
            graph(
                "Growth of the queue",
                "By how many items per minute the queue grows, over 15 minutes.\n\nNormal: around zero. Above the line for long, "
                "with next to nothing in processing, LinkitPipelineStalled fires.",
                "cpm",
                [(growth, INSTANCE)],
                thresholds=steps((limit("LinkitPipelineStalled", 0), "orange")),
            ),
            worst(
                "Longest queues",
                "The ten instances with most items waiting.\n\nNormal: short bars of like length.",
                "short",
                PENDING,
                INSTANCE,
            ),
            row("The flow"),
            graph(
                "Completed per minute",
                "Throughput, by the counter that goes on across midnight and restarts.\n\nNormal: it follows the day.",
                "cpm",
                [(f"60 * sum {BY} (rate(<{DONE}>[$__rate_interval]))", INSTANCE)],
            ),
            graph(
                "Completed in 30 minutes",
                "What LinkitPipelineNoProgress looks at.\n\nNormal: above zero whenever items wait. At zero while items wait the "
                "alert fires.",
                "short",
                [(f"sum {BY} (increase(<{DONE}>[30m]))", INSTANCE)],
                thresholds=steps((limit("LinkitPipelineNoProgress", 0), "green"), base="red"),
            ),
            graph(
                "Time to drain",
                "How long until nothing waits: if nothing new came, at the throughput of 15 minutes; and at the speed at which "
                "the queue really shrinks, where it does.\n\nNormal: short, and the two close together.",
                "s",
                [
                    (drain, "if nothing came {{instance}}"),
                    (f"{PENDING}\n/ -{falling}", "as it shrinks {{instance}}"),
                ],
            ),
            graph(
                "Today and the same weekday",
                "Items completed since 00:00 UTC, today and a week ago.\n\nNormal: the lines lie close. A gap that opens at some "
                "moment shows when something changed.",
                "short",
                [(today, "today {{instance}}"), (before, "a week ago {{instance}}")],
                (12, 8),
            ),
            graph(
                "Completed each hour",
                "Items completed within an hour.\n\nNormal: the shape of the day. It shows bulk jobs as steps.",
                "short",
                [(f"sum {BY} (increase(<{DONE}>[1h]))", INSTANCE)],
                (12, 8),
            ),
        ],
    )
