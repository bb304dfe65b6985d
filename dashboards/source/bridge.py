"""The bridge itself: its sources, its answers, its deliveries, its upkeep."""

from generate import dashboard, graph, limit, mapping, row, steps, table, timeline
from source.common import BY, INSTANCE, STALENESS, STALENESS_STEPS, B, biggest


def bridge():
    collector = "{{collector}} {{instance}}"
    by = "by (job, instance, collector)"
    endpoint = "{{endpoint}} {{instance}}"
    each = "by (job, instance, endpoint)"

    def quantile(share, name, labels):
        return f"histogram_quantile({share}, sum by (job, instance, {labels}, le) (rate(<{name}_bucket>[$__rate_interval])))"

    def push(name):
        return f"max {each} (<linkit_bridge_push_{name}>)"

    def own(name):
        return f"{name} and on (job, instance) <{B}>"

    web = "linkit_bridge_http_request_duration_seconds"
    day = 86400
    certificate = "linkit_bridge_web_certificate_expiry_timestamp_seconds"
    key = "linkit_bridge_api_key_expiry_timestamp_seconds"
    used = "linkit_bridge_api_key_last_used_timestamp_seconds"
    web_loaded = "linkit_bridge_web_config_last_reload_timestamp_seconds"
    only_scraped = "Only where the bridge is scraped: it pushes no figures of its process."
    return dashboard(
        "linkit-bridge",
        "Linkit / Bridge",
        "The bridge itself: does it read its sources, does it answer, does it deliver, and what will soon expire.",
        [
            row("Collectors: reading the sources"),
            timeline(
                "Freshness",
                "The age of each collector's figures, as a state.\n\nNormal: fresh. From stale on LinkitTelemetryStale fires.",
                [(f"max {by} (<linkit_bridge_collector_staleness>)", collector)],
                STALENESS,
                (12, 8),
                STALENESS_STEPS,
            ),
            timeline(
                "Last attempt",
                "Whether each collector's last attempt succeeded.\n\nNormal: read. LinkitCollectorDown fires when no attempt "
                "has succeeded for 8 minutes.",
                [(f"max {by} (<linkit_bridge_collector_up>)", collector)],
                mapping(v0=("failed", "red"), v1=("read", "green")),
                (12, 8),
                steps((1, "green"), base="red"),
            ),
            graph(
                "Since the last success",
                "How long ago each collector read its source.\n\nNormal: up to its interval. Above the line LinkitTelemetryStale "
                "fires, whatever the bridge says of itself.",
                "s",
                [(f"time() - max {by} (<linkit_bridge_collector_last_success_timestamp_seconds>)", collector)],
                thresholds=steps((limit("LinkitTelemetryStale", 1), "orange")),
            ),
            graph(
                "Collector errors",
                "Failed attempts per minute by class of error.\n\nNormal: zero. The class says where to look: the runbook of "
                "LinkitCollectorDown lists them.",
                "cpm",
                [
                    (
                        "60 * sum by (job, instance, collector, class) (rate(<linkit_bridge_collector_errors_total>"
                        "[$__rate_interval]))",
                        "{{collector}} {{class}} {{instance}}",
                    )
                ],
            ),
            graph(
                "Time of an attempt, 95th percentile",
                "How long attempts take.\n\nNormal: milliseconds. Close to the timeout, the source is overloaded or far away.",
                "s",
                [(quantile(0.95, "linkit_bridge_collector_duration_seconds", "collector"), collector)],
            ),
            graph(
                "Series left out",
                "Label sets of custom figures above the limit, which are shown nowhere.\n\nNormal: zero, or no data without "
                "custom figures. Otherwise group the query's rows.",
                "short",
                [
                    (
                        "max by (job, instance, collector, figure) (<linkit_bridge_collector_overflow>)",
                        "{{figure}} {{instance}}",
                    )
                ],
            ),
            graph(
                "Slowest collectors",
                "The mean time of an attempt.\n\nNormal: steady. A slow rise is a table that grows.",
                "s",
                [
                    (
                        f"sum {by} (rate(<linkit_bridge_collector_duration_seconds_sum>[$__rate_interval]))\n"
                        f"/ (sum {by} (rate(<linkit_bridge_collector_duration_seconds_count>[$__rate_interval])) > 0)",
                        collector,
                    )
                ],
            ),
            row("HTTP: scrapes and the JSON"),
            graph(
                "Requests",
                "Answers a second by route and code.\n\nNormal: 200. 401 is a client with a wrong key, 503 on the JSON figures "
                "that were never read or are expired.",
                "reqps",
                [
                    (
                        f"sum by (job, instance, route, code) (rate(<{web}_count>[$__rate_interval]))",
                        "{{route}} {{code}} {{instance}}",
                    )
                ],
                (6, 8),
            ),
            graph(
                "Open connections",
                "Half-open until a first whole request has come, then established.\n\nNormal: some per scraper. Many half-open "
                "ones are a flood, or clients that never ask.",
                "short",
                [
                    (
                        "sum by (job, instance, state) (<linkit_bridge_http_open_connections>)",
                        "{{state}} {{instance}}",
                    )
                ],
                (6, 8),
            ),
            graph(
                "Connections closed against their will",
                "A minute, by reason.\n\nNormal: zero. address and full are limits that were reached (`web.limits`), evicted "
                "made room for others, timeout was too slow, tls did not agree on TLS (a certificate that expired, or is not "
                "trusted), malformed sent what is no HTTP.",
                "cpm",
                [
                    (
                        "60 * sum by (job, instance, reason) (rate(<linkit_bridge_http_dropped_connections_total>[$__rate_interval]))",
                        "{{reason}} {{instance}}",
                    )
                ],
                (6, 8),
            ),
            graph(
                "Refused for want of a key",
                "Requests a minute that showed no good API key, by reason.\n\nNormal: zero. wrong and limited are somebody who "
                "guesses, or a client that was forgotten when its key was exchanged.",
                "cpm",
                [
                    (
                        "60 * sum by (job, instance, reason) (rate(<linkit_bridge_api_key_refused_total>[$__rate_interval]))",
                        "{{reason}} {{instance}}",
                    )
                ],
                (6, 8),
            ),
            graph(
                "Since a key was last used",
                "Of each key that was used since the start.\n\nNormal: up to its user's interval. A key that nobody uses any more "
                "can be taken away.",
                "s",
                [(f"time() - max by (job, instance, key) (<{used}>)", "{{key}} {{instance}}")],
                (6, 8),
            ),
            graph(
                "Time to answer, 99th percentile",
                "By route.\n\nNormal: a few milliseconds, for no request waits for a source.",
                "s",
                [(quantile(0.99, web, "route"), "{{route}} {{instance}}")],
                (6, 8),
            ),
            graph(
                "Renderings",
                "Renderings a second; answers from a ready rendering are not counted.\n\nNormal: no more than requests and "
                "pushes.",
                "cps",
                [
                    (
                        "sum by (job, instance, output, format) (rate(<linkit_bridge_output_renders_total>[$__rate_interval]))",
                        "{{output}} {{format}} {{instance}}",
                    )
                ],
                (6, 8),
            ),
            graph(
                "Rendered bytes",
                "Bytes rendered a second, before compression.\n\nNormal: steady. A step is a new figure or many new label sets.",
                "Bps",
                [
                    (
                        "sum by (job, instance, output, format) (rate(<linkit_bridge_output_bytes_total>[$__rate_interval]))",
                        "{{output}} {{format}} {{instance}}",
                    )
                ],
                (6, 8),
            ),
            row("Push: delivery and spool"),
            graph(
                "Since the last delivery",
                "How long ago each endpoint took a batch.\n\nNormal: up to the push's interval. Above the line LinkitPushFailing "
                "fires.",
                "s",
                [(f"time() - {push('last_success_timestamp_seconds')}", endpoint)],
                thresholds=steps((limit("LinkitPushFailing"), "orange")),
            ),
            graph(
                "Push attempts",
                "Attempts per minute by outcome.\n\nNormal: success. retry and unanswered are an endpoint that is away, rejected "
                "and partial one that refuses: its answer is in the log.",
                "cpm",
                [
                    (
                        "60 * sum by (job, instance, endpoint, outcome) (rate(<linkit_bridge_push_attempts_total>[$__rate_interval]))",
                        "{{endpoint}} {{outcome}} {{instance}}",
                    )
                ],
            ),
            graph(
                "Accepted and delivered",
                "Batches per minute. What is accepted is delivered, waits or was dropped; nothing else happens to it.\n\nNormal: "
                "the lines lie on each other. Delivered above accepted is a backlog that melts.",
                "cpm",
                [
                    (
                        f"60 * max {each} (rate(<linkit_bridge_push_accepted_total>[$__rate_interval]))",
                        "accepted " + endpoint,
                    ),
                    (
                        f"60 * max {each} (rate(<linkit_bridge_push_delivered_total>[$__rate_interval]))",
                        "delivered " + endpoint,
                    ),
                ],
            ),
            graph(
                "Waiting batches",
                "Batches that wait, and those of them that are in memory alone.\n\nNormal: zero to a few. Unstored for 15 minutes "
                "fires LinkitPushUnstored: with a spool its disk refuses.",
                "short",
                [(push("queued_batches"), "waiting " + endpoint), (push("unstored_batches"), "unstored " + endpoint)],
            ),
            graph(
                "Unstored batches",
                "The fewest batches that were in memory alone in 15 minutes; a restart would lose them.\n\nNormal: zero. Above "
                "the line LinkitPushUnstored fires.",
                "short",
                [(f"min {each} (min_over_time(<linkit_bridge_push_unstored_batches>[15m]))", endpoint)],
                thresholds=steps((limit("LinkitPushUnstored"), "orange")),
            ),
            graph(
                "Waiting bytes",
                "Bytes of the waiting batches.\n\nNormal: small. Above the line and still growing LinkitSpoolFilling fires: bring "
                "the endpoint back, or raise `max_bytes`.",
                "bytes",
                [(push("queued_bytes"), endpoint)],
                thresholds=steps((limit("LinkitSpoolFilling", 0), "orange")),
            ),
            graph(
                "Age of the oldest waiting batch",
                "How far behind the endpoint is; zero where nothing waits.\n\nNormal: seconds. Above the line LinkitSpoolFilling "
                "fires; at `max_age` batches are dropped.",
                "s",
                [(f"time() - {push('oldest_timestamp_seconds')}\nor 0 * {push('queued_batches')}", endpoint)],
                thresholds=steps((limit("LinkitSpoolFilling", 2), "orange")),
            ),
            graph(
                "Batches given up",
                "Batches dropped for good within 10 minutes, by reason.\n\nNormal: zero. Above the line LinkitPushDropping fires; "
                "its runbook lists the reasons.",
                "short",
                [
                    (
                        "sum by (job, instance, endpoint, reason) (increase(<linkit_bridge_push_dropped_total>[10m]))",
                        "{{endpoint}} {{reason}} {{instance}}",
                    )
                ],
                thresholds=steps((limit("LinkitPushDropping"), "red")),
            ),
            graph(
                "Points refused",
                "Points that endpoints refused of batches they took, in 15 minutes.\n\nNormal: zero. Above the line "
                "LinkitPushPointsRefused fires.",
                "short",
                [(f"sum {each} (increase(<linkit_bridge_push_refused_points_total>[15m]))", endpoint)],
                thresholds=steps((limit("LinkitPushPointsRefused"), "orange")),
            ),
            row("Upkeep: what expires, and the process"),
            table(
                "Build and configuration",
                "Each bridge's version and configuration. Bridges with the same configuration have the same hash.\n\nNormal: one "
                "version, and loaded. Red is LinkitReloadFailed: the configuration of before is still in force.",
                "none",
                [
                    ("Build", f"max by (job, instance, version) (<{B}>)", "none", None, mapping(v1=("runs", "green"))),
                    ("Hash", biggest("<linkit_bridge_config_hash>"), "none", None, None),
                    (
                        "Last load",
                        biggest("<linkit_bridge_config_last_reload_successful>"),
                        "none",
                        steps((1, "green"), base="red"),
                        mapping(v0=("refused", "red"), v1=("loaded", "green")),
                    ),
                    (
                        "Loaded ago",
                        f"time() - max {BY} (<linkit_bridge_config_last_reload_timestamp_seconds>)",
                        "dtdurations",
                        None,
                        None,
                    ),
                ],
                (12, 8),
                names={"job": "Job", "instance": "Instance", "version": "Version"},
            ),
            timeline(
                "Web configuration and files of keys",
                "Whether they could be read the last time.\n\nNormal: read, or no data where there are none. Red is "
                "LinkitReloadFailed: what was in force before still is.",
                [
                    (f"max {BY} (<linkit_bridge_web_config_last_reload_successful>)", "web configuration " + INSTANCE),
                    (f"max {BY} (<linkit_bridge_api_key_last_reload_successful>)", "files of keys " + INSTANCE),
                ],
                mapping(v0=("refused", "red"), v1=("read", "green")),
                (6, 8),
                steps((1, "green"), base="red"),
            ),
            graph(
                "Since the web configuration was loaded",
                'How long ago the bridge took a web configuration.\n\nNormal: since its start or the last change. "no data" '
                "without one.",
                "s",
                [(f"time() - max {BY} (<{web_loaded}>)", INSTANCE)],
                (6, 8),
            ),
            graph(
                "Days until the certificate expires",
                "Of the certificate the bridge shows its own clients.\n\nNormal: above the first line. Below it "
                'LinkitCertificateExpiring fires, below the second LinkitCertificateExpiresSoon. "no data" without TLS.',
                "d",
                [(f"(min {BY} (<{certificate}>) - time()) / {day}", INSTANCE)],
                (6, 8),
                steps(
                    (limit("LinkitCertificateExpiresSoon") / day, "orange"),
                    (limit("LinkitCertificateExpiring") / day, "green"),
                    base="red",
                ),
            ),
            graph(
                "Days until an API key expires",
                "Of each key that has an expiry.\n\nNormal: above the line. Below it LinkitKeyExpiring fires: give its user a "
                'new key beside it. "no data" where no key has an expiry.',
                "d",
                [(f"(min by (job, instance, key) (<{key}>) - time()) / {day}", "{{key}} {{instance}}")],
                (6, 8),
                steps((limit("LinkitKeyExpiring", 0) / day, "green"), base="orange"),
            ),
            graph(
                "Resident memory",
                f"Memory of the bridge's process. {only_scraped}\n\nNormal: steady, some ten MB.",
                "bytes",
                [(own("<process_resident_memory_bytes>"), INSTANCE)],
                (6, 8),
            ),
            graph(
                "CPU",
                f"CPU time of the bridge's process, as a share of one CPU. {only_scraped}\n\nNormal: below a few percent.",
                "percentunit",
                [(own("rate(<process_cpu_seconds_total>[$__rate_interval])"), INSTANCE)],
                (6, 8),
            ),
            graph(
                "Open files",
                f"Files and sockets the bridge's process has open, and its limit. {only_scraped}\n\nNormal: some ten, far below "
                "the limit.",
                "short",
                [(own("<process_open_fds>"), "open {{instance}}"), (own("<process_max_fds>"), "limit {{instance}}")],
                (6, 8),
            ),
            graph(
                "Starts and reloads in a day",
                "How often the bridge took a configuration: at its starts and reloads.\n\nNormal: as often as it is deployed. "
                "More is a bridge that crashes: see its log.",
                "short",
                [(f"max {BY} (changes(<linkit_bridge_config_last_reload_timestamp_seconds>[1d]))", INSTANCE)],
                (6, 8),
            ),
        ],
    )
