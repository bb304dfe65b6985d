//! The main job, whole: a Linkit-like backend of the document's size at work, the bridge beside it on its database
//! and on its endpoint, a real Prometheus that scrapes, a real Prometheus that takes OTLP; all hold the same figures.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::backend::{BACKEND_KEY, Backend, FULL, SMALL, Sizes};
use crate::support::bridge::Bridge;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::{PATIENCE, eventually, free_port};

const SECTIONS: [(&str, &[&str]); 3] = [
    ("runtime", &["goroutines", "cpu_count", "alloc_mb", "total_alloc_mb", "sys_mb", "num_gc", "gc_pause_ns"]),
    ("store", &["products", "branches", "skus", "orders", "customers"]),
    ("staging", &["pending", "processing", "completed_today"]),
];

fn on_the_database(backend: &Backend) -> String {
    let path = backend.database();
    let (path, url) = (path.display(), &backend.url);
    format!(
        "service: {{ name: linkit, version: '1.0.0', instance: linkit-1 }}\n\
         runtime: {{ source: telemetry_json, url: '{url}', api_key: {BACKEND_KEY}, interval: 200ms }}\n\
         store: {{ source: sqlite, path: {path}, interval: 200ms }}\n\
         staging: {{ source: sqlite, path: {path}, interval: 200ms }}\n"
    )
}

fn on_the_endpoint(backend: &Backend) -> String {
    let section =
        format!("{{ source: telemetry_json, url: '{}', api_key: {BACKEND_KEY}, interval: 200ms }}", backend.url);
    format!("service: {{ name: linkit }}\nruntime: {section}\nstore: {section}\nstaging: {section}\n")
}

fn number(json: &Value, section: &str, field: &str) -> u64 {
    json[section][field].as_u64().unwrap_or_else(|| panic!("{section}.{field} in {json}"))
}

/// The bridge's JSON lies between two of the backend's own, asked before and after: equal but for what moved.
fn lies_between(before: &Value, bridged: &Value, after: &Value) -> Result<(), String> {
    for (section, fields) in &SECTIONS[1..] {
        for field in *fields {
            let [low, value, high] = [before, bridged, after].map(|json| number(json, section, field));
            // Open states go up and down; they move by no more than the work of the time between.
            let slack = if matches!(*field, "pending" | "processing") { 60 } else { 0 };
            if value + slack < low.min(high) || value > low.max(high) + slack {
                return Err(format!("{section}.{field}: {value} is not between {low} and {high}"));
            }
        }
    }
    for field in ["total_alloc_mb", "num_gc"] {
        let [low, value, high] = [before, bridged, after].map(|json| number(json, "runtime", field));
        if value < low || value > high {
            return Err(format!("runtime.{field}: {value} is not between {low} and {high}"));
        }
    }
    if number(before, "runtime", "cpu_count") != number(bridged, "runtime", "cpu_count") {
        return Err("runtime.cpu_count differs".to_owned());
    }
    Ok(())
}

/// Asks backend, bridge, backend until the bridge has read between the two.
async fn agrees(backend: &Backend, bridge: &Bridge) {
    let last = std::cell::RefCell::new(String::new());
    let ask = || async {
        let before = backend.telemetry().await;
        // Each section must have been read after the backend was asked, by an attempt that began after it, too.
        let asked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + 0.1;
        let oldest = |series: &std::collections::BTreeMap<String, f64>| -> f64 {
            let times = series.iter().filter(|(name, _)| name.contains("last_success_timestamp"));
            times.map(|(_, time)| *time).fold(f64::MAX, f64::min)
        };
        let newer = || async { Some(bridge.series().await).filter(|series| oldest(series) > asked) };
        eventually("a newer reading of each section", newer).await;
        let bridged = bridge.telemetry_ok().await;
        let after = backend.telemetry().await;
        lies_between(&before, &bridged, &after).map_err(|problem| last.replace(problem)).ok()
    };
    let agreed = tokio::time::timeout(PATIENCE, eventually("agreement", ask)).await;
    assert!(agreed.is_ok(), "the bridge's JSON is not the backend's own: {}", last.borrow());
}

/// Every documented figure is held by a Prometheus, and is the bridge's.
async fn holds_every_figure(prometheus: &Prometheus, job: &str) {
    for query in [
        "linkit_runtime_goroutines",
        "linkit_runtime_cpus",
        "linkit_runtime_heap_allocated_bytes",
        "linkit_runtime_memory_allocated_bytes_total",
        "linkit_runtime_memory_sys_bytes",
        "linkit_runtime_gc_cycles_total",
        "linkit_runtime_gc_last_pause_seconds",
        "linkit_staging_items",
        "linkit_staging_completed_today",
        "linkit_staging_completed_total",
    ] {
        assert!(prometheus.value(&format!("{query}{{job='{job}'}}")).await >= 0.0, "{query}");
    }
    for (collection, count) in
        [("products", FULL.products), ("branches", FULL.branches), ("skus", FULL.skus), ("customers", FULL.customers)]
    {
        let value = prometheus.value(&format!("linkit_store_records{{job='{job}',collection='{collection}'}}")).await;
        assert!(value >= count as f64, "{collection}: {value}");
    }
    let grows = format!("increase(linkit_staging_completed_total{{job='{job}'}}[20s])");
    eventually(&format!("{grows} above 0"), || async {
        prometheus.query(&grows).await.first().map(|(_, value)| *value).filter(|value| *value > 0.0)
    })
    .await;
}

fn files_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backend_at_work_is_the_same_on_every_face() {
    let (Some(program), Some(backend)) = (peer("prometheus"), Backend::start(&FULL, &["--work"]).await) else { return };
    let receiver = Prometheus::start(
        &program,
        "storage: { tsdb: { out_of_order_time_window: 30m } }\n",
        &["--web.enable-otlp-receiver"],
    )
    .await;
    let otlp = format!("otlp: {{ endpoint: '{}/api/v1/otlp', interval: 1s }}\n", receiver.url);
    let files = files_in(backend.directory.path());
    let bridge = Bridge::start(&format!("{}{otlp}", on_the_database(&backend))).await;
    let address = bridge.url.trim_start_matches("http://");
    let scraper = Prometheus::start(&program, &Prometheus::scraping(address, ""), &[]).await;
    agrees(&backend, &bridge).await;
    holds_every_figure(&scraper, "linkit-bridge").await;
    holds_every_figure(&receiver, "linkit").await;
    let other = Bridge::start(&on_the_endpoint(&backend)).await;
    agrees(&backend, &other).await;
    let series = bridge.series().await;
    let is_error =
        |(name, count): &(&String, &f64)| name.starts_with("linkit_bridge_collector_errors") && **count > 0.0;
    let failed: Vec<_> = series.iter().filter(is_error).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(files_in(backend.directory.path()), files, "the bridge left something beside the database");
}

#[tokio::test]
async fn a_restarted_backend_starts_writes_and_is_read_again() {
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    let port = backend.url.rsplit(':').next().unwrap().to_owned();
    let bridge = Bridge::start(&on_the_database(&backend)).await;
    bridge.telemetry_ok().await;
    let again = format!("127.0.0.1:{port}");
    // The stopped backend's database is not touched; what was read stays, and is said to be down.
    let backend = backend.again(&["--work", "--http", &again]).await;
    let completed = || async {
        let series = bridge.series().await;
        let up =
            series.iter().filter(|(name, up)| name.starts_with("linkit_bridge_collector_up") && **up > 0.0).count();
        (up == 3 && series["linkit_staging_completed_today"] > 17.0).then_some(())
    };
    eventually("the work of the restarted backend", completed).await;
    agrees(&backend, &bridge).await;
}

#[tokio::test]
async fn a_dead_backend_is_said_and_its_figures_stay_with_their_true_time() {
    let Some(backend) = Backend::start(&SMALL, &[]).await else { return };
    let bridge = Bridge::start(&on_the_endpoint(&backend)).await;
    let before = bridge.telemetry_ok().await;
    let Backend { process, directory: _directory, .. } = backend;
    process.stop().await;
    let down = || async {
        let series = bridge.series().await;
        series.iter().all(|(name, up)| !name.starts_with("linkit_bridge_collector_up") || *up < 1.0).then_some(series)
    };
    let series = eventually("every collector being down", down).await;
    let errors =
        "linkit_bridge_collector_errors_total{class=\"unreachable\",collector=\"store\",source=\"telemetry_json\"}";
    assert!(series[errors] >= 1.0);
    let after = bridge.telemetry_ok().await;
    assert_eq!(before["store"], after["store"]);
    assert!(after["measured"].as_str() >= before["measured"].as_str());
    let health = crate::support::http::get(&format!("{}/api/v1/health", bridge.url), &[]).await.unwrap();
    assert_eq!(health.json()["status"], "degraded");
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_file_each_have_their_class() {
    let sizes = Sizes { ..SMALL };
    let Some(backend) = Backend::start(&sizes, &[]).await else { return };
    let wrong = format!("{{ source: telemetry_json, url: '{}', api_key: wrong-canary }}", backend.url);
    let nobody = format!("{{ source: telemetry_json, url: 'http://127.0.0.1:{}' }}", free_port());
    let bridge = Bridge::start(&format!(
        "runtime: {wrong}\nstore: {{ source: sqlite, path: /nowhere/data.db }}\nstaging: {nobody}\n"
    ))
    .await;
    for (class, collector, source) in [
        ("unauthorized", "runtime", "telemetry_json"),
        ("not_found", "store", "sqlite"),
        ("unreachable", "staging", "telemetry_json"),
    ] {
        let name = format!(
            "linkit_bridge_collector_errors_total{{class=\"{class}\",collector=\"{collector}\",source=\"{source}\"}}"
        );
        let ask = || async { bridge.series().await.get(&name).copied().filter(|count| *count > 0.0) };
        assert!(eventually(&name, ask).await >= 1.0);
    }
    let answer = bridge.telemetry().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["code"], 503);
    let ready = crate::support::http::get(&format!("{}/-/ready", bridge.url), &[]).await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(!bridge.process.output().contains("wrong-canary"));
}
