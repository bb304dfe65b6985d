//! The source `go`: its page parser against the OpenMetrics project's cases, and the whole against a real Go program.

use std::collections::BTreeMap;

use linkit_bridge::collector::go::Route;
use linkit_bridge::collector::go::page::{Dialect, parse};
use linkit_bridge::config::Config;
use serde_json::Value;

use crate::support::backend::{Backend, SMALL};
use crate::support::bridge::Bridge;
use crate::support::eventually;
use crate::support::http::{get, get_ok};
use crate::support::page;
use crate::support::peers::peer_file;

#[test]
fn the_parser_agrees_with_every_case_of_the_openmetrics_project() {
    let Some(cases) = peer_file("openmetrics") else { return };
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(cases).unwrap() {
        let folder = entry.unwrap().path();
        let case: Value = serde_json::from_slice(&std::fs::read(folder.join("test.json")).unwrap()).unwrap();
        let page = std::fs::read(folder.join(case["file"].as_str().unwrap())).unwrap();
        let should_parse = case["shouldParse"].as_bool().unwrap();
        *(if should_parse { &mut good } else { &mut bad }) += 1;
        let parsed = parse(&page, Dialect::OpenMetrics);
        if parsed.is_ok() != should_parse {
            wrong.push(format!("{}: {:?}", folder.file_name().unwrap().display(), parsed.err()));
        }
        // The other format never panics on them either.
        let _ = parse(&page, Dialect::Text);
    }
    assert!(wrong.is_empty(), "{} of {} are judged wrongly: {wrong:#?}", wrong.len(), good + bad);
    assert!(good >= 44 && bad >= 167, "{good} good and {bad} bad cases are fewer than there were");
}

#[tokio::test]
async fn the_backends_real_page_is_read_whole() {
    let Some(backend) = Backend::start(&SMALL, &[]).await else { return };
    let body = get_ok(&format!("{}/metrics", backend.url), &[]).await.body;
    let page = parse(body.as_bytes(), Dialect::Text).unwrap();
    let samples = body.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(page.len(), samples);
}

fn config(backend: &Backend, more: &str) -> String {
    let url = &backend.url;
    let own = format!("{{ source: telemetry_json, url: '{url}', api_key: {} }}", crate::support::backend::BACKEND_KEY);
    format!("runtime: {{ source: go, url: '{url}', interval: 200ms{more} }}\nstore: {own}\nstaging: {own}\n")
}

#[test]
fn pages_are_named_and_switched_off_in_the_environment_too() {
    let env = |name: &str| match name {
        "LINKIT_BRIDGE_RUNTIME_EXPVAR" => Some("false".to_owned()),
        "LINKIT_BRIDGE_RUNTIME_METRICS" => Some("/own".to_owned()),
        _ => None,
    };
    let text = "runtime: { source: go, url: 'http://a', expvar: /v, pprof: false }\n";
    let runtime = Config::parse("c", text, &env).unwrap().runtime.unwrap();
    assert_eq!((runtime.expvar, runtime.pprof), (Some(Route::Off), Some(Route::Off)));
    assert_eq!(runtime.metrics, Some(Route::Path("/own".to_owned())));
}

fn runtime(json: &Value) -> BTreeMap<String, u64> {
    let fields = json["runtime"].as_object().unwrap_or_else(|| panic!("no runtime in {json}"));
    fields.iter().map(|(name, value)| (name.clone(), value.as_u64().unwrap())).collect()
}

/// The bridge's runtime figures lie between two of the backend's own: exactly where they only rise, nearly elsewhere.
fn lie_between(before: &Value, bridged: &Value, after: &Value) -> Result<(), String> {
    let [before, bridged, after] = [before, bridged, after].map(runtime);
    for (name, value) in &bridged {
        let (low, high) = (before[name].min(after[name]), before[name].max(after[name]));
        let slack = match name.as_str() {
            "total_alloc_mb" | "num_gc" | "cpu_count" => 0,
            "goroutines" => 20,
            "gc_pause_ns" if before["num_gc"] != after["num_gc"] => u64::MAX,
            "gc_pause_ns" => 0,
            _ => 32,
        };
        if value.saturating_add(slack) < low || *value > high.saturating_add(slack) {
            return Err(format!("{name}: {value} is not between {low} and {high}"));
        }
    }
    Ok(())
}

async fn agrees(backend: &Backend, bridge: &Bridge) {
    let last = std::cell::RefCell::new(String::new());
    let ask = || async {
        let before = backend.telemetry().await;
        let read = |series: &BTreeMap<String, f64>| series["linkit_bridge_collector_last_success_timestamp_seconds{collector=\"runtime\",source=\"go\"}"];
        let asked = read(&bridge.series().await);
        // Two successes later, the whole attempt lay after the backend's own figures.
        let newer = || async { Some(bridge.series().await).filter(|series| read(series) > asked + 0.25) };
        eventually("a newer reading", newer).await;
        let bridged = bridge.telemetry_ok().await;
        let after = backend.telemetry().await;
        lie_between(&before, &bridged, &after).map_err(|problem| last.replace(problem)).ok()
    };
    let agreed = tokio::time::timeout(std::time::Duration::from_secs(30), eventually("agreement", ask)).await;
    assert!(agreed.is_ok(), "the bridge's JSON is not the backend's own: {}", last.borrow());
}

#[tokio::test]
async fn a_real_go_program_is_read_as_it_reads_itself() {
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    let mut bridge = Bridge::start(&config(&backend, "")).await;
    bridge.telemetry_ok().await;
    agrees(&backend, &bridge).await;
    let answer = bridge.telemetry().await;
    assert!(answer.headers.get("x-telemetry-absent").is_none(), "{:?}", answer.headers);
    assert!(runtime(&answer.json())["gc_pause_ns"] > 0);
    let line = bridge.process.line("which figure comes from where").await;
    assert!(line.contains("gc_pause_ns: expvar"), "{line}");
    assert!(line.contains("goroutines: page"), "{line}");

    let without = Bridge::start(&config(&backend, ", expvar: false")).await;
    without.telemetry_ok().await;
    agrees_but_for_the_pause(&without).await;
    let profiled = Bridge::start(&config(&backend, ", metrics: false")).await;
    profiled.telemetry_ok().await;
    agrees(&backend, &profiled).await;
}

/// Without expvar all is there but the last pause, which is 0 in the JSON, named in the header, and on no page.
async fn agrees_but_for_the_pause(bridge: &Bridge) {
    let answer = bridge.telemetry().await;
    assert_eq!(answer.headers["x-telemetry-absent"], "runtime.gc_pause_ns");
    let figures = runtime(&answer.json());
    assert_eq!(figures["gc_pause_ns"], 0);
    assert!(figures.iter().all(|(name, value)| name == "gc_pause_ns" || *value > 0), "{figures:?}");
    let series = bridge.series().await;
    assert!(!series.contains_key("linkit_runtime_gc_last_pause_seconds"));
    assert!(series["linkit_runtime_heap_allocated_bytes"] > 0.0);
}

/// Value and start of the counter of memory ever allocated, as OpenMetrics tells them.
async fn allocated(bridge: &Bridge) -> Option<(f64, f64)> {
    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let page = get(&format!("{}/metrics", bridge.url), &accept).await?.body;
    let series = page::series(&page);
    let value = |suffix: &str| series.get(&format!("linkit_runtime_memory_allocated_bytes{suffix}")).copied();
    Some((value("_total")?, value("_created")?))
}

async fn start_of(backend: &Backend) -> f64 {
    let page = get_ok(&format!("{}/metrics", backend.url), &[]).await.body;
    let line = page.lines().find_map(|line| line.strip_prefix("process_start_time_seconds "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_restarted_go_program_shows_as_a_reset_with_its_own_start() {
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    let port = backend.url.rsplit(':').next().unwrap().to_owned();
    let bridge = Bridge::start(&config(&backend, "")).await;
    bridge.telemetry_ok().await;
    let first = start_of(&backend).await;
    let (value, created) = eventually("a counter with its start", || allocated(&bridge)).await;
    assert!((created - first).abs() < 2.0, "{created} is not {first}");
    assert!(value > 0.0);
    // A start is told to the second, and moves by as much when the clock is set a little.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let backend = backend.again(&["--work", "--http", &format!("127.0.0.1:{port}")]).await;
    let second = start_of(&backend).await;
    assert!(second > first + 2.0);
    let reset = || async { allocated(&bridge).await.filter(|(_, created)| (created - second).abs() < 0.01) };
    eventually("the new start", reset).await;
    agrees(&backend, &bridge).await;
    let up = "linkit_bridge_collector_up{collector=\"runtime\",source=\"go\"}";
    assert!((bridge.series().await[up] - 1.0).abs() < f64::EPSILON);
}
