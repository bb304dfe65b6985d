"""How many records, how they were counted, how fast they grow."""

from generate import (
    dashboard,
    graph,
    limit,
    mapping,
    query_variable,
    row,
    stat,
    steps,
    table,
    text_variable,
    worst,
)
from source.common import NO_HISTORY, count_of


def store():
    chosen = ', collection=~"$collection"'
    label = "{{collection}} {{instance}}"
    by = "by (job, instance, collection)"
    records = f"max {by} (<linkit_store_records{chosen}>)"
    # Each half hour is enough for a week's trend, and costs a hundredth of every sample where there are many bridges.
    trend = f"max {by} (deriv(<linkit_store_records{chosen}>[7d:30m]))"
    days = f"clamp_min($size - {records}, 0)\n/ (86400 * {trend} > 0)"
    usual = f"min {by} (quantile_over_time(0.5, <linkit_store_records{chosen}>[1h] offset 15m))"
    share = (
        f"max {by} (max_over_time(<linkit_store_records{chosen}>[10m]))\n/ {usual}\n"
        f"and {usual} >= {limit('LinkitStoreCountDropped', 1)}"
    )
    drop = steps((limit("LinkitStoreCountDropped", 0), "green"), base="red")

    def method(name):
        return f'max {by} (<linkit_store_count_method{chosen}, method="{name}"> == 1)'

    added = f"max {by} (delta(<linkit_store_records{chosen}>[%s]))"
    return dashboard(
        "linkit-store",
        "Linkit / Store and capacity",
        "How many records there are, how they were counted, how fast they grow, and when they reach a size of your choice.",
        [
            stat(
                "All records",
                "Records of the chosen collections together.\n\nNormal: it grows slowly.",
                "short",
                [(f"sum({records})", "records")],
                (6, 4),
            ),
            stat(
                "Collections that are estimated",
                "Collections too large to be counted within `count_budget`.\n\nNormal: none, or the known large ones. An "
                "estimate can be off by some percent; the table below says when it was last counted exactly.",
                "short",
                [
                    (
                        count_of(
                            f'<linkit_store_count_method{chosen}, method="estimate"> == 1',
                            f"<linkit_store_records{chosen}>",
                        ),
                        "",
                    )
                ],
                (6, 4),
            ),
            stat(
                "Largest drop",
                "The smallest share of its usual count that a collection has: the best of 10 minutes by the median of an hour, "
                "15 minutes ago.\n\nNormal: 100 % or more. Red is LinkitStoreCountDropped: ask whether records were deleted on "
                "purpose.",
                "percentunit",
                [(f"min({share})", "share")],
                (6, 4),
                drop,
                NO_HISTORY,
            ),
            stat(
                "Soonest at the size",
                "Days until the first collection has the size that stands above, by its growth of the last 7 days, or since the "
                'first figure, each half hour.\n\nNormal: far away. "no growth" where nothing grows.',
                "d",
                [(f"min({days})", "days")],
                (6, 4),
                None,
                "no growth",
            ),
            row("Records"),
            graph(
                "Records",
                "Records of each collection, exact and estimated.\n\nNormal: lines that rise slowly. Where one becomes an "
                "estimate it may step a little; that is no loss.",
                "short",
                [
                    (f"{records}\nand {method('exact')}", "{{collection}} {{instance}}"),
                    (f"{records}\nand {method('estimate')}", "{{collection}} {{instance}}, estimated"),
                ],
                (12, 8),
            ),
            graph(
                "Share of the usual count",
                "Each collection by its median of an hour, 15 minutes ago; those below 100 records are left out.\n\nNormal: "
                "around 100 %. Below the line LinkitStoreCountDropped fires: stop what deletes, then compare with the backup.",
                "percentunit",
                [(share, label)],
                (12, 8),
                drop,
            ),
            row("Capacity"),
            graph(
                "Days until the size",
                "How many days a collection has until the size above at its growth of the last 7 days. Collections that do not "
                "grow are absent.\n\nNormal: it falls by one a day or stays. A line that dives is a bulk import or a fault "
                "that writes.",
                "d",
                [(days, label)],
            ),
            graph(
                "Added in an hour",
                "Records that came or went within an hour.\n\nNormal: as at this time of other days. Below zero, records were "
                "deleted.",
                "short",
                [(added % "1h", label)],
            ),
            worst(
                "Fastest growth in a day",
                "The ten collections that have grown most in 24 hours.\n\nNormal: orders lead.",
                "short",
                added % "1d",
                label,
            ),
            table(
                "Collections",
                "Each collection: its records, its growth, when it has the size above, how it was counted last and when "
                "exactly.\n\nNormal: a recent exact count. An old one is an estimate that has drifted for as long.",
                "short",
                [
                    ("Records", records, "short", None, None),
                    ("In a day", added % "1d", "short", None, None),
                    ("In 7 days", added % "7d:30m", "short", None, None),
                    ("Days until the size", days, "d", None, None),
                    (
                        "Estimated",
                        f'max {by} (<linkit_store_count_method{chosen}, method="estimate">)\nor 0 * {records}',
                        "none",
                        None,
                        mapping(v0=("exact", "green"), v1=("estimate", "orange")),
                    ),
                    (
                        "Counted exactly ago",
                        f"time() - max {by} (<linkit_store_count_last_exact_timestamp_seconds{chosen}>)",
                        "dtdurations",
                        None,
                        None,
                    ),
                ],
                (24, 8),
                names={"job": "Job", "instance": "Instance", "collection": "Collection"},
                no_value="–",
            ),
        ],
        extra=[
            query_variable(
                "collection",
                "Collection",
                "The collections to show",
                'label_values(linkit_store_records{job=~"$job", instance=~"$instance"}, collection)',
            ),
            text_variable("size", "Size", "How many records a collection may have, for the days until then", "1000000"),
        ],
    )
