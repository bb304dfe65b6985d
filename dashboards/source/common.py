"""Expressions that several dashboards share.

Series are aggregated by the labels that are named, because scraped series carry labels of their scope and pushed ones do
not.
"""

from generate import limit, mapping, steps

BY = "by (job, instance)"
INSTANCE = "{{instance}}"
NO_HISTORY = "no history yet"

B = "linkit_bridge_build_info"
# 1 or 0 of each bridge seen within an hour: by its scrape, or by whether it still pushes; and 0 for as long as the alert says
# that it is down, for an hour after the end of its figures nothing else does.
BRIDGE_UP = (
    f"(max {BY} (<up> and on (job, instance) max_over_time(<{B}>[1h]))\n"
    f"or max {BY} (last_over_time(<{B}>[10m]))\n"
    f"or 0 * max {BY} (max_over_time(<{B}>[1h]))\n"
    f'or 0 * max {BY} (<ALERTS, alertstate="firing", alertname=~"LinkitBridge(TargetDown|Vanished)">))'
)
RULES_LOADED = "0 * count(<instance:linkit_bridge_collector_staleness:max>)"
STALENESS = mapping(v0=("fresh", "green"), v1=("stale", "orange"), v2=("expired", "red"), v3=("never read", "dark-red"))
STALENESS_STEPS = steps((1, "orange"), (2, "red"), (3, "dark-red"))


def firing(alerts):
    return f'<ALERTS, alertstate="firing", alertname=~"{alerts}">'


def count_of(bad, all_of):
    """How many are bad: 0 where none is, nothing where nothing is known."""
    return f"count({bad})\nor\n0 * count({all_of})"


def biggest(expr):
    return f"max {BY} ({expr})"


PENDING = biggest('<linkit_staging_items, state="pending">')
PROCESSING = biggest('<linkit_staging_items, state="processing">')
DONE = "linkit_staging_completed_total"
GC_STEPS = steps((limit("LinkitGcPauseElevated"), "orange"), (limit("LinkitGcPauseHigh"), "red"))
