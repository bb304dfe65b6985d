//! The scrape page before strangers: promtool of two lines, Python's strict parser, real Prometheus servers.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use linkit_bridge::catalog::{FIGURES, Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::backend::{Backend, SMALL};
use crate::support::bridge::Bridge;
use crate::support::http::get_ok;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::{PATIENCE, eventually, page};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// A bridge that reads a small shop, after its first readings.
async fn bridge_on_a_shop() -> Option<(Backend, Bridge)> {
    bridge_on_a_shop_with("", &[]).await
}

/// Figures that an operator adds.
const CUSTOM: &str = "\
custom:
  shop:
    source: sqlite
    path: DATABASE
    figures:
      - { name: orders.open, unit: '{order}', query: 'SELECT count(*) AS value FROM orders', help: Orders there are }
      - { name: orders.paid, kind: counter, query: 'SELECT count(*) AS value FROM orders', help: Orders paid }
";

/// The same with more config, in which `DATABASE` is the shop's, and environment.
pub async fn bridge_on_a_shop_with(more: &str, env: &[(&str, &str)]) -> Option<(Backend, Bridge)> {
    let backend = Backend::start(&SMALL, &[]).await?;
    let path = backend.database();
    let (path, url) = (path.display(), &backend.url);
    let config = format!(
        "service: {{ version: '1.0.0', environment: test }}\n\
         runtime: {{ source: telemetry_json, url: '{url}', api_key: {key} }}\n\
         store: {{ source: sqlite, path: {path} }}\n\
         staging: {{ source: sqlite, path: {path} }}\n\
         otlp: {{ endpoint: 'http://127.0.0.1:1', interval: 100ms }}\n{more}",
        more = more.replace("DATABASE", &path.to_string()),
        key = crate::support::backend::BACKEND_KEY,
    );
    let bridge = Bridge::start_with(&config, env).await;
    bridge.telemetry_ok().await;
    Some((backend, bridge))
}

/// Feeds `text` to a program; panics unless it ends well and says nothing.
fn accepts(program: &mut Command, text: &str) {
    let (succeeded, said) = output(program, text);
    assert!(succeeded && said.trim().is_empty(), "{program:?}: {said}\n{text}");
}

/// Whether a program that is fed `text` ends well, and what it says.
fn output(program: &mut Command, text: &str) -> (bool, String) {
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the peer starts");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[tokio::test]
async fn strangers_parsers_have_nothing_to_say() {
    let Some((_backend, bridge)) = bridge_on_a_shop().await else { return };
    let url = format!("{}/metrics", bridge.url);
    let text = get_ok(&url, &[]).await;
    assert!(text.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let openmetrics = get_ok(&url, &[("accept", OPENMETRICS)]).await;
    assert!(openmetrics.headers["content-type"].to_str().unwrap().starts_with(OPENMETRICS));
    strangers_accept(&text.body, &openmetrics.body, 20);
    // The newer text, where names may be quoted, and the older OpenMetrics.
    let text = get_ok(&url, &[("accept", "text/plain;version=1.0.0;escaping=allow-utf-8")]).await;
    let openmetrics = get_ok(&url, &[("accept", "application/openmetrics-text;version=0.0.1")]).await;
    strangers_accept(&text.body, &openmetrics.body, 20);
}

/// Feeds a page in both formats to those who read it; it must have more families than `families`.
pub fn strangers_accept(text: &str, openmetrics: &str, families: usize) {
    for promtool in ["promtool2", "promtool"] {
        let Some(promtool) = peer(promtool) else { continue };
        accepts(Command::new(promtool).args(["check", "metrics"]), text);
    }
    python_accepts(openmetrics, families);
}

/// Feeds a page to Python's strict parser of OpenMetrics; it must have more families than `families`.
fn python_accepts(openmetrics: &str, families: usize) {
    let Some(python) = peer("python") else { return };
    let parse = format!(
        "import sys\n\
         from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
         families = list(parse(sys.stdin.read()))\n\
         assert len(families) > {families}, len(families)\n"
    );
    accepts(Command::new(python).args(["-c", &parse]), openmetrics);
}

#[tokio::test]
async fn every_figure_of_the_catalogue_is_on_the_page() {
    let Some((_backend, bridge)) = bridge_on_a_shop().await else { return };
    // Absent for a reason: there is no custom figure, nothing has been delivered, no key expires or has a file, and
    // there is no web configuration.
    let absent = [
        "linkit_bridge_api_key_expiry_timestamp_seconds",
        "linkit_bridge_api_key_last_reload_successful",
        "linkit_bridge_collector_overflow",
        "linkit_bridge_push_last_success_timestamp_seconds",
        "linkit_bridge_web_certificate_expiry_timestamp_seconds",
        "linkit_bridge_web_config_last_reload_successful",
        "linkit_bridge_web_config_last_reload_timestamp_seconds",
    ];
    let missing = |series: &std::collections::BTreeMap<String, f64>| {
        let samples = FIGURES.iter().map(|figure| {
            let name = figure.prometheus_name();
            if figure.kind == Kind::Histogram { format!("{name}_count") } else { name }
        });
        let is_there =
            |sample: &String| series.keys().any(|key| key == sample || key.starts_with(&format!("{sample}{{")));
        samples.filter(|sample| !is_there(sample)).collect::<BTreeSet<_>>()
    };
    let whole = || async { Some(bridge.series().await).filter(|series| missing(series).iter().eq(absent)) };
    let series = eventually("every figure on the page", whole).await;
    for name in ["process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds"] {
        assert!(series.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn prometheus_2_and_3_scrape_it() {
    let Some((_backend, bridge)) = bridge_on_a_shop().await else { return };
    for program in ["prometheus2", "prometheus"] {
        let Some(program) = peer(program) else { continue };
        let address = bridge.url.trim_start_matches("http://");
        let prometheus = Prometheus::start(&program, &Prometheus::scraping(address, ""), &[]).await;
        let healthy = || async {
            Some(prometheus.target().await).filter(|(health, _)| !["", "unknown"].contains(&health.as_str()))
        };
        assert_eq!(eventually("a scrape", healthy).await, ("up".to_owned(), String::new()));
        for (query, value) in [
            ("linkit_store_records{collection='skus'}", 600.0),
            ("linkit_staging_items{state='pending'}", 4.0),
            ("linkit_staging_completed_today", 17.0),
            ("linkit_staging_completed_total", 17.0),
            ("sum(linkit_bridge_collector_up)", 3.0),
        ] {
            assert!((prometheus.value(query).await - value).abs() < f64::EPSILON, "{query}");
        }
    }
}

#[tokio::test]
async fn every_text_format_shows_the_same_series() {
    let Some((_backend, bridge)) = bridge_on_a_shop().await else { return };
    let url = format!("{}/metrics", bridge.url);
    // Created times are OpenMetrics' own, and requests and renderings are counted between the two answers.
    let apart = ["_created", "_http_request_", "format="];
    let names = |text: &str| -> Vec<_> {
        page::series(text).into_keys().filter(|name| !apart.iter().any(|part| name.contains(part))).collect()
    };
    let text = names(&get_ok(&url, &[]).await.body);
    for accept in [OPENMETRICS, "application/openmetrics-text;version=0.0.1", "text/plain;version=1.0.0"] {
        assert_eq!(text, names(&get_ok(&url, &[("accept", accept)]).await.body), "{accept}");
    }
}

/// Feeds a page to promtool of both lines, which may find fault only with counters whose names an operator's translation
/// strategy left without `_total`.
pub fn promtool_misses_only_totals(text: &str) {
    let counters = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let expected: BTreeSet<_> = counters
        .filter(|name| !name.ends_with("_total"))
        .map(|name| format!("{name} counter metrics should have \"_total\" suffix"))
        .collect();
    for promtool in ["promtool2", "promtool"] {
        let Some(promtool) = peer(promtool) else { continue };
        let (succeeded, said) = output(Command::new(promtool).args(["check", "metrics"]), text);
        assert_eq!(said.lines().map(ToOwned::to_owned).collect::<BTreeSet<_>>(), expected, "{text}");
        assert_eq!(succeeded, expected.is_empty());
    }
}

#[tokio::test]
async fn i1_i10_promtool_finds_fault_only_with_what_the_operator_chose() {
    for (strategy, has_suffixes) in [
        ("UnderscoreEscapingWithSuffixes", true),
        ("UnderscoreEscapingWithoutSuffixes", false),
        ("NoUTF8EscapingWithSuffixes", true),
        ("NoTranslation", false),
    ] {
        let env = [("LINKIT_BRIDGE_WEB_PAGE_TRANSLATION_STRATEGY", strategy)];
        let Some((_backend, bridge)) = bridge_on_a_shop_with(CUSTOM, &env).await else { return };
        let custom = || async {
            let answer = bridge.get("/metrics").await.body;
            Some(answer).filter(|page| page.contains("linkit_custom_orders_paid"))
        };
        let text = eventually("the custom figures", custom).await;
        assert_eq!(text.contains("_total counter\n") && !text.contains("_errors counter\n"), has_suffixes, "{text}");
        promtool_misses_only_totals(&text);
        // promtool reads the old text alone; names as they are Python's strict parser judges.
        let url = format!("{}/metrics", bridge.url);
        let openmetrics = get_ok(&url, &[("accept", &format!("{OPENMETRICS};escaping=allow-utf-8"))]).await.body;
        assert_eq!(openmetrics.contains("# TYPE \"linkit."), strategy.starts_with("No"), "{openmetrics}");
        python_accepts(&openmetrics, 20);
    }
}

/// What a server answers to the bytes of one request: the status, and the lines of the head.
async fn answer_to(bridge: &Bridge, request: &[u8]) -> (u16, Vec<String>) {
    let mut stream = TcpStream::connect(bridge.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("an end of the answer").unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let head = answer.split("\r\n\r\n").next().unwrap();
    let mut lines = head.split("\r\n").map(ToOwned::to_owned);
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (status, lines.collect())
}

#[tokio::test]
async fn a1_a10_hostile_wishes_over_the_wire_are_answered_with_one_type_or_refused() {
    let bridge = Bridge::start("").await;
    let one = |accept: &[u8]| [b"accept: ", accept, b"\r\n"].concat();
    let list = |part: &str, size: usize| part.repeat(size / part.len()).into_bytes();
    let wish = b"application/openmetrics-text;q=0.5";
    for (accept, expected) in [
        (one(b"\"\xff\xfe\", application/openmetrics-text;x=\"\xc3\xa9\""), Some("application/openmetrics-text")),
        (one(b"\tapplication/openmetrics-text\t;\tq=1\t,\ttext/plain;q=0.1"), Some("application/openmetrics-text")),
        (one(&[list("text/html;q=0.9,", 15_000), wish.to_vec()].concat()), Some("application/openmetrics-text")),
        (one(&[list(";;;,\"\\\"\",", 15_000), wish.to_vec()].concat()), Some("application/openmetrics-text")),
        ([one(b"a/b").repeat(50), one(wish)].concat(), Some("application/openmetrics-text")),
        (one(b"text/plain;version=0.0.4;version=1.0.0;q=0;q=1"), Some("text/plain; version=0.0.4")),
        (one(b"text/plain;escaping=\"\\\r\\\n\""), None),
        (one(b"\x00"), None),
        (one(b"a/b").repeat(100), None),
        (one(&list("a/b,", 60_000)), None),
    ] {
        let request = [b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n", &*accept, b"\r\n"].concat();
        let (status, head) = answer_to(&bridge, &request).await;
        let types: Vec<_> = head.iter().filter_map(|line| line.strip_prefix("content-type: ")).collect();
        let shown = String::from_utf8_lossy(&accept).chars().take(60).collect::<String>();
        match expected {
            Some(kind) => assert!(status == 200 && types.len() == 1 && types[0].starts_with(kind), "{shown}: {head:?}"),
            // Refused before there is a route: an answer without content has no type.
            None => assert!([400, 431].contains(&status) && types.is_empty(), "{shown}: {status} {head:?}"),
        }
    }
    assert!(bridge.get("/metrics").await.body.contains("process_open_fds"));
}
