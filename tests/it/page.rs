//! The scrape page before strangers: promtool of two lines, Python's strict parser, real Prometheus servers.

use std::io::Write;
use std::process::{Command, Stdio};

use linkit_bridge::catalog::{FIGURES, Kind};

use crate::support::backend::{Backend, SMALL};
use crate::support::bridge::Bridge;
use crate::support::http::get_ok;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::{eventually, page};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// A bridge that reads a small shop, after its first readings.
async fn bridge_on_a_shop() -> Option<(Backend, Bridge)> {
    let backend = Backend::start(&SMALL, &[]).await?;
    let path = backend.database();
    let (path, url) = (path.display(), &backend.url);
    let bridge = Bridge::start(&format!(
        "service: {{ version: '1.0.0', environment: test }}\n\
         runtime: {{ source: telemetry_json, url: '{url}', api_key: {key} }}\n\
         store: {{ source: sqlite, path: {path} }}\n\
         staging: {{ source: sqlite, path: {path} }}\n\
         otlp: {{ endpoint: 'http://127.0.0.1:1', interval: 100ms }}\n",
        key = crate::support::backend::BACKEND_KEY,
    ))
    .await;
    bridge.telemetry_ok().await;
    Some((backend, bridge))
}

/// Feeds `text` to a program; panics unless it ends well and says nothing.
fn accepts(program: &mut Command, text: &str) {
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the peer starts");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{program:?}: {said}\n{text}");
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
    // Absent for a reason: there is no custom figure, and nothing has been delivered.
    let absent = ["linkit_bridge_collector_overflow", "linkit_bridge_push_last_success_timestamp_seconds"];
    let missing = |series: &std::collections::BTreeMap<String, f64>| {
        let samples = FIGURES.iter().map(|figure| {
            let name = figure.prometheus_name();
            if figure.kind == Kind::Histogram { format!("{name}_count") } else { name }
        });
        let is_there =
            |sample: &String| series.keys().any(|key| key == sample || key.starts_with(&format!("{sample}{{")));
        samples.filter(|sample| !is_there(sample)).collect::<Vec<_>>()
    };
    let whole = || async { Some(bridge.series().await).filter(|series| missing(series) == absent) };
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
