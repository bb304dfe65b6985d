"""The backend's process, by trend rather than by level."""

from generate import dashboard, graph, limit, row, stat, steps, worst
from source.common import BY, GC_STEPS, INSTANCE, NO_HISTORY, biggest


def runtime():
    floor = biggest("<instance:linkit_runtime_goroutines:min30m>")
    heap = biggest("<instance:linkit_runtime_heap_allocated_bytes:min1h>")

    def growth(series, back):
        return f"{biggest(f'<{series}>')} - max {BY} (<{series}> offset {back})"

    goroutine_growth = growth("instance:linkit_runtime_goroutines:min30m", "1h")
    heap_growth = growth("instance:linkit_runtime_heap_allocated_bytes:min1h", "2h")
    pause = biggest("<instance:linkit_runtime_gc_last_pause_seconds:p50_10m>")
    leak = steps((limit("LinkitGoroutineLeakSuspected"), "orange"))
    swell = steps((limit("LinkitMemoryGrowthSustained"), "orange"))
    allocated = "linkit_runtime_memory_allocated_bytes_total"
    return dashboard(
        "linkit-runtime",
        "Linkit / Runtime",
        "The backend's process: goroutines, memory and garbage collection, by trend rather than by level.",
        [
            stat(
                "Fastest goroutine growth",
                "By how much the floor of the goroutines rose in an hour, on the instance where it rose most.\n\nNormal: near "
                "zero. LinkitGoroutineLeakSuspected fires when it is above the limit two hours in a row. It needs an hour of "
                "history.",
                "short",
                [(f"max({goroutine_growth})", "growth")],
                (5, 4),
                leak,
                NO_HISTORY,
            ),
            stat(
                "Fastest heap growth",
                "By how much the floor of the heap rose in two hours, on the instance where it rose most.\n\nNormal: near zero. "
                "LinkitMemoryGrowthSustained fires when it is above the limit twice in a row. It needs two hours of history.",
                "bytes",
                [(f"max({heap_growth})", "growth")],
                (5, 4),
                swell,
                NO_HISTORY,
            ),
            stat(
                "Longest typical pause",
                "The median of the garbage collection pauses seen in 10 minutes, on the instance where it is longest.\n\n"
                "Normal: below 1 ms. LinkitGcPauseElevated and LinkitGcPauseHigh fire at the limits.",
                "s",
                [(f"max({pause})", "pause")],
                (5, 4),
                GC_STEPS,
                "not known",
            ),
            stat(
                "Restarts of Linkit in a day",
                "How often the memory ever allocated fell back, which it does when the backend starts anew.\n\nNormal: as often "
                "as it is deployed. More is a backend that crashes.",
                "short",
                [(f"sum(max {BY} (resets(<{allocated}>[1d])))", "restarts")],
                (5, 4),
            ),
            stat(
                "CPUs",
                "Logical CPUs that the backends may use, all together.\n\nNormal: what they were given. Fewer than expected "
                "lengthen pauses first.",
                "short",
                [(f"sum({biggest('<linkit_runtime_cpus>')})", "CPUs")],
                (4, 4),
            ),
            row("Goroutines"),
            graph(
                "Goroutines",
                "Concurrent tasks now, and their floor: the least of 30 minutes.\n\nNormal: the floor is flat, or follows the "
                "day. Spikes are load, a floor that never comes down is a leak.",
                "short",
                [(biggest("<linkit_runtime_goroutines>"), "now {{instance}}"), (floor, "floor {{instance}}")],
            ),
            graph(
                "Growth of the floor in an hour",
                "What LinkitGoroutineLeakSuspected looks at; the line is its limit.\n\nNormal: around zero. Above the limit two "
                "hours in a row: take two goroutine profiles ten minutes apart and compare them.",
                "short",
                [(goroutine_growth, INSTANCE)],
                thresholds=leak,
            ),
            worst(
                "Most goroutines",
                "The ten instances with the most goroutines.\n\nNormal: instances with the same load stand close together. One "
                "that stands out is where to look.",
                "short",
                biggest("<linkit_runtime_goroutines>"),
                INSTANCE,
            ),
            row("Memory"),
            graph(
                "Memory",
                "Heap in use, its floor over an hour, and what was obtained from the operating system.\n\nNormal: a saw-tooth "
                "on a flat floor. The gap up to what was obtained is free to be used again.",
                "bytes",
                [
                    (biggest("<linkit_runtime_heap_allocated_bytes>"), "heap {{instance}}"),
                    (heap, "floor {{instance}}"),
                    (biggest("<linkit_runtime_memory_sys_bytes>"), "obtained {{instance}}"),
                ],
            ),
            graph(
                "Growth of the floor in two hours",
                "What LinkitMemoryGrowthSustained looks at; the line is its limit.\n\nNormal: around zero. Above the limit twice "
                "in a row: take two heap profiles an hour apart and compare them.",
                "bytes",
                [(heap_growth, INSTANCE)],
                thresholds=swell,
            ),
            worst(
                "Largest heaps",
                "The ten instances with the largest heaps.\n\nNormal: instances with the same load stand close together.",
                "bytes",
                biggest("<linkit_runtime_heap_allocated_bytes>"),
                INSTANCE,
            ),
            graph(
                "Allocation rate",
                "Memory allocated a second, freed memory included.\n\nNormal: it follows the load. It is what the garbage "
                "collector has to clear away.",
                "Bps",
                [(f"max {BY} (rate(<{allocated}>[$__rate_interval]))", INSTANCE)],
            ),
            graph(
                "Heap of what was obtained",
                "The heap in use as a share of the memory obtained.\n\nNormal: below 1, most often around a half. Close to 1 for "
                "long, the process is about to grow.",
                "percentunit",
                [
                    (
                        f"{biggest('<linkit_runtime_heap_allocated_bytes>')}\n/ (max {BY} "
                        "(<linkit_runtime_memory_sys_bytes>) > 0)",
                        INSTANCE,
                    )
                ],
            ),
            graph(
                "Goroutines of a CPU",
                "Goroutines divided by the CPUs.\n\nNormal: steady. It makes instances of different size comparable.",
                "short",
                [(f"{biggest('<linkit_runtime_goroutines>')}\n/ (max {BY} (<linkit_runtime_cpus>) > 0)", INSTANCE)],
            ),
            row("Garbage collection"),
            graph(
                "Pauses",
                "The last pause as it was read, the longest seen in 10 minutes, and their median, the typical pause. Readings "
                "see only some of the pauses.\n\nNormal: the median is below 1 ms. LinkitGcPauseElevated and LinkitGcPauseHigh "
                "judge the median; the lines are their limits.",
                "s",
                [
                    (pause, "typical {{instance}}"),
                    (biggest("<linkit_runtime_gc_last_pause_seconds>"), "last {{instance}}"),
                    (f"max {BY} (max_over_time(<linkit_runtime_gc_last_pause_seconds>[10m]))", "longest {{instance}}"),
                ],
                thresholds=GC_STEPS,
            ),
            graph(
                "Collections per minute",
                "Completed garbage collections.\n\nNormal: it follows the allocation rate. Many with little allocated means a "
                "heap close to its limit.",
                "cpm",
                [(f"60 * max {BY} (rate(<linkit_runtime_gc_cycles_total>[$__rate_interval]))", INSTANCE)],
            ),
            worst(
                "Longest typical pauses",
                "The ten instances with the longest median pause.\n\nNormal: green. Orange is LinkitGcPauseElevated, red "
                "LinkitGcPauseHigh: look for CPU starvation first.",
                "s",
                pause,
                INSTANCE,
                thresholds=GC_STEPS,
            ),
        ],
    )
