//! Every query of every panel before a real Prometheus, fed by a real bridge of a backend at work: once by scrape, once by
//! OTLP. None may be empty in health but those listed, and these are not empty under the fault they are there for.

use std::path::Path;

use serde_json::Value;

use super::board::{dashboards, list, panels, place, plain, text};
use super::history::{History, together};
use crate::support::backend::{BACKEND_KEY, Backend, SMALL};
use crate::support::bridge::Bridge;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::{Directory, eventually, root};

/// Queries that are empty in health, by panel and number, with the reason; alerting.rs plants the fault for each.
pub const EMPTY_IN_HEALTH: [(&str, usize, &str); 2] = [
    ("linkit-overview: Alerts that fire", 0, "no alert fires"),
    ("linkit-store: Records", 1, "no collection needs an estimate"),
];

/// Panels that only scrapes fill: a bridge pushes no figures of its own process.
const ONLY_SCRAPED: [&str; 3] = ["linkit-bridge: Resident memory", "linkit-bridge: CPU", "linkit-bridge: Open files"];

/// Bridges that once pushed beside the real one: what is shown of one must also be shown of many.
const FLEET: usize = 50;

/// What a person has chosen in the variables.
pub struct Chosen<'a> {
    pub job: &'a str,
    pub instance: &'a str,
}

impl Chosen<'_> {
    /// The query as Grafana would send it.
    pub fn fill(&self, expr: &str) -> String {
        let escaped = |value: &str| if value == ".+" { value.to_owned() } else { value.replace('.', "\\\\.") };
        let variables =
            [("$job", escaped(self.job)), ("$instance", escaped(self.instance)), ("$collection", ".+".to_owned())];
        variables.iter().fold(plain(expr), |expr, (name, value)| expr.replace(name, value))
    }
}

/// Each query with the panel's place and its number there.
pub fn queries() -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for dashboard in &dashboards() {
        for panel in panels(dashboard) {
            let place = place(dashboard, panel);
            let targets = list(panel, "targets").enumerate();
            found.extend(targets.map(|(at, target)| (place.clone(), at, text(target, "expr").to_owned())));
        }
    }
    assert!(found.len() > 80, "only {} queries", found.len());
    found
}

/// The queries that bring nothing, or something that is no number.
async fn without_data(prometheus: &Prometheus, chosen: &Chosen<'_>, of: &[(String, usize, String)]) -> Vec<String> {
    let mut without = Vec::new();
    for (place, at, expr) in of {
        let series = prometheus.query(&chosen.fill(expr)).await;
        if series.is_empty() || series.iter().any(|(_, value)| !value.is_finite()) {
            without.push(format!("{place}, {at}: {expr}"));
        }
    }
    without
}

/// The rules as they are, where Prometheus can find them whatever its config's folder.
pub fn rule_files() -> String {
    format!("rule_files: ['{}']\n", root().join("alerts/*.rules.yml").display())
}

/// A bridge of every kind of collector, which is scraped and pushes into the same Prometheus.
async fn bridge(backend: &Backend, prometheus: &Prometheus, spool: &Path) -> Bridge {
    let (path, url) = (backend.database(), &backend.url);
    let path = path.display();
    Bridge::start(&format!(
        "service: {{ name: shop, instance: shop-1 }}\n\
         runtime: {{ source: telemetry_json, url: '{url}', api_key: {BACKEND_KEY}, interval: 500ms }}\n\
         store: {{ source: sqlite, path: {path}, interval: 500ms }}\n\
         staging: {{ source: sqlite, path: {path}, interval: 500ms }}\n\
         custom:\n  sales: {{ source: sqlite, path: {path}, interval: 1s, figures: [ {{ name: orders.all, \
         query: SELECT count(*) AS value FROM orders, unit: '{{order}}', help: All orders. }} ] }}\n\
         otlp: {{ endpoint: '{}/api/v1/otlp', interval: 1s, spool: {{ dir: {} }} }}\n",
        prometheus.url,
        spool.display()
    ))
    .await
}

/// A week of a shop that is well: a backlog that melts, records that become more.
fn healthy(mut history: History) -> History {
    history.well();
    history.with_floor("linkit_runtime_goroutines", "instance:linkit_runtime_goroutines:min30m", 0.5, 10.0, 0.0);
    let (heap, floor) = ("linkit_runtime_heap_allocated_bytes", "instance:linkit_runtime_heap_allocated_bytes:min1h");
    history.with_floor(heap, floor, 1.0, 1e6, 0.0);
    history.series("linkit_staging_items", "state=\"pending\"", |hours| (100.0 + 800.0 * hours).min(300.0));
    history.series("linkit_staging_items", "state=\"processing\"", |_| 12.0);
    history.series("linkit_staging_completed_total", "", |hours| 20_000.0 - 100.0 * hours);
    history.series("linkit_staging_completed_today", "", |hours| if hours > 24.0 { 900.0 } else { 500.0 - hours });
    for collection in ["products", "branches", "skus", "orders", "customers"] {
        let labels = format!("collection=\"{collection}\"");
        history.series("linkit_store_records", &labels, |hours| 500.0 - hours / 24.0);
    }
    history
}

#[tokio::test]
async fn every_panel_has_data_by_scrape_and_by_otlp() {
    let (Some(program), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    let mut prometheus = Prometheus::prepare(&program, &["--web.enable-otlp-receiver"]);
    let spool = Directory::new("dashboards-spool");
    let bridge = bridge(&backend, &prometheus, &spool.path().join("spool")).await;
    let address = bridge.url.trim_start_matches("http://");
    let options = "storage: { tsdb: { out_of_order_time_window: 30m } }\n";
    prometheus.configure(&Prometheus::scraping(address, &format!("{options}{}", rule_files())));
    let mut histories: Vec<_> =
        (0..FLEET).map(|at| healthy(History::pushed("fleet", &format!("pod-{at}")).lately())).collect();
    histories.push(healthy(History::scraped("linkit-bridge", address)));
    histories.push(healthy(History::pushed("shop", "shop-1")));
    prometheus.backfill(&promtool, &together(&histories));
    prometheus.revive().await;

    let scraped = Chosen { job: "linkit-bridge", instance: address };
    let pushed = Chosen { job: "shop", instance: "shop-1" };
    let all = Chosen { job: ".+", instance: ".+" };
    let mut expected = queries();
    expected.retain(|(place, at, _)| !EMPTY_IN_HEALTH.iter().any(|(panel, number, _)| panel == place && number == at));
    for (chosen, is_scraped) in [(&scraped, true), (&pushed, false), (&all, true)] {
        let is_there = |place: &str| is_scraped || !ONLY_SCRAPED.contains(&place);
        let (there, absent): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|(place, ..)| is_there(place));
        let last = std::sync::Mutex::new(Vec::new());
        let whole = || async {
            let without = without_data(&prometheus, chosen, &there).await;
            let is_whole = without.is_empty();
            *last.lock().unwrap() = without;
            is_whole.then_some(())
        };
        if tokio::time::timeout(crate::support::PATIENCE / 2, eventually("data in every panel", whole)).await.is_err() {
            panic!("{}: no data in\n{}", chosen.job, last.lock().unwrap().join("\n"));
        }
        let still_absent = without_data(&prometheus, chosen, &absent).await;
        assert_eq!(still_absent.len(), absent.len(), "listed as only scraped, but pushed too");
    }
    for (place, at, expr) in queries() {
        if EMPTY_IN_HEALTH.iter().any(|(panel, number, _)| *panel == place && *number == at) {
            let series = prometheus.query(&all.fill(&expr)).await;
            assert!(series.is_empty(), "{place} is listed as empty in health: {series:?}");
        }
    }
    for_many(&prometheus, &all).await;
    for dashboard in &dashboards() {
        for annotation in list(&dashboard["annotations"], "list") {
            prometheus.query(&all.fill(text(annotation, "expr"))).await;
        }
        for variable in list(&dashboard["templating"], "list").filter(|variable| variable["type"] == "query") {
            resolves(&prometheus, variable, &[&scraped, &pushed]).await;
        }
    }
}

/// With all instances chosen the lists of the worst stay short, and the table of instances has them all.
async fn for_many(prometheus: &Prometheus, all: &Chosen<'_>) {
    for (place, _, expr) in queries() {
        let series = prometheus.query(&all.fill(&expr)).await.len();
        assert!(!expr.contains("topk(") || series <= 10, "{place} shows {series} bars");
        let is_list = place == "linkit-overview: Instances" && expr.contains("linkit_bridge_build_info");
        assert!(!is_list || series == FLEET + 2, "{place} has {series} rows");
    }
}

/// A variable has the values of both ways.
async fn resolves(prometheus: &Prometheus, variable: &Value, ways: &[&Chosen<'_>]) {
    let query = text(variable, "query").strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
    let (series, label) = query.rsplit_once(',').unwrap();
    for chosen in ways {
        let found = prometheus.query(&chosen.fill(&format!("count by ({label}) ({series})"))).await;
        assert!(!found.is_empty(), "{variable}");
        let own = match text(variable, "name") {
            "job" => chosen.job,
            "instance" => chosen.instance,
            _ => continue,
        };
        assert!(found.iter().any(|(labels, _)| labels[label.trim()] == own), "{own} is not in {found:?}");
    }
}
