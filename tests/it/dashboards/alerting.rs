//! From a planted fault to the person: backend → bridge → Prometheus with the rules → Alertmanager → webhook, all real.
//!
//! The expressions and windows of the rules are the shipped ones, over a backfilled history of the same fault; only the
//! waiting is shorter here: `for` and `keep_firing_for` are nothing, and Alertmanager tells a group after three
//! seconds and each second. promtool's cases prove both.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::board::text;
use super::history::{History, together};
use super::live::{Chosen, EMPTY_IN_HEALTH, queries};
use crate::support::alertmanager::{Alertmanager, Webhook};
use crate::support::backend::{BACKEND_KEY, Backend, SMALL, Sizes};
use crate::support::bridge::Bridge;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::{Directory, eventually, free_port, http, root};

/// More skus than can be counted in a millisecond, also where nothing else is at work.
const LARGE: Sizes = Sizes { products: 30_000, branches: 20, skus: 600_000, ..SMALL };

/// The shipped rules, but firing as soon as their expressions hold, and no longer: one scrape that a busy machine makes late
/// would be a bridge that is down, and keep all else quiet.
fn impatient_rules() -> String {
    let text = std::fs::read_to_string(root().join("alerts/linkit-bridge.rules.yml")).unwrap();
    let waits = ["        for: ", "        keep_firing_for: "];
    let at_once = |line: &str| {
        let wait = waits.iter().find(|wait| line.starts_with(**wait));
        wait.map_or_else(|| line.to_owned(), |wait| format!("{wait}0s"))
    };
    text.lines().map(at_once).collect::<Vec<_>>().join("\n")
}

/// The shipped Alertmanager config, but telling the webhook, and within seconds: a cause and its consequence may be evaluated
/// a second apart.
pub fn impatient_alertmanager(webhook: &str) -> String {
    let folder = root().join("deploy/alertmanager");
    let text = std::fs::read_to_string(folder.join("alertmanager.yml")).unwrap();
    let text = text
        .replace("/etc/alertmanager/", &format!("{}/", folder.display()))
        .replace("group_wait: 30s", "group_wait: 3s")
        .replace("group_interval: 5m", "group_interval: 1s");
    ["team", "on-call"].iter().fold(text, |text, name| {
        let told = format!("  - name: {name}\n    webhook_configs: [ {{ url: '{webhook}{name}' }} ]\n");
        assert!(text.contains(&format!("  - name: {name}\n")), "no receiver {name}");
        text.replace(&format!("  - name: {name}\n"), &told)
    })
}

async fn plant(backend: &Backend, fault: &str) {
    let url = format!("{}/faults/{fault}", backend.url);
    let answer = http::request("POST", &url, &[("authorization", BACKEND_KEY)], "").await.unwrap();
    assert_eq!(answer.status, 200, "{fault}: {}", answer.body);
}

/// A backend that leaks goroutines and whose pipeline is stalled, far enough that its history can lead up to it.
async fn ill() -> Option<Backend> {
    let backend = Backend::start(&LARGE, &["--work", "--work-rate", "100", "--faults"]).await?;
    plant(&backend, "stall?on=true").await;
    plant(&backend, "leak?rate=1000").await;
    let is_ill = || async {
        let (staging, runtime) = {
            let telemetry = backend.telemetry().await;
            (telemetry["staging"].clone(), telemetry["runtime"].clone())
        };
        let number = |value: &Value| value.as_u64().unwrap();
        let stalled = number(&staging["processing"]) == 0 && number(&staging["pending"]) > 60;
        (stalled && number(&runtime["goroutines"]) > 400).then_some(())
    };
    eventually("a stalled pipeline and many goroutines", is_ill).await;
    Some(backend)
}

/// Five hours in which goroutines rose by one a minute, and the last of them with a pipeline that takes nothing.
fn history_of_illness(job: &str, instance: &str) -> History {
    let mut history = History::scraped(job, instance);
    history.well();
    let record = "instance:linkit_runtime_goroutines:min30m";
    history.with_floor("linkit_runtime_goroutines", record, 0.5, 340.0, 60.0);
    history.series("linkit_staging_items", "state=\"pending\"", |hours| (60.0 - 60.0 * hours).max(0.0));
    history.series("linkit_staging_items", "state=\"processing\"", |hours| if hours < 1.0 { 0.0 } else { 12.0 });
    history
}

fn is(alert: &Value, labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|(label, value)| alert["labels"][*label] == *value)
}

/// Waits until the receiver is told of a firing alert, and checks where it leads.
async fn is_told(webhook: &Webhook, receiver: &str, labels: &[(&str, &str); 2]) {
    let told = || async {
        let told = webhook.told();
        let of_receiver = told.iter().filter(|notification| text(notification, "receiver") == receiver);
        let mut alerts = of_receiver.flat_map(|notification| notification["alerts"].as_array().unwrap());
        alerts.find(|alert| is(alert, labels) && alert["status"] == "firing").cloned()
    };
    let alert = eventually(&format!("{labels:?} at {receiver}"), told).await;
    let runbook = format!("/docs/runbooks.md#{}", labels[0].1.to_lowercase());
    assert_eq!(alert["annotations"]["runbook_url"], runbook);
    assert!(text(&alert["annotations"], "dashboard_url").ends_with(labels[1].1), "{alert}");
}

#[tokio::test]
async fn planted_faults_reach_the_webhook_and_their_consequences_do_not() {
    let (Some(program), Some(promtool), Some(alertmanager)) =
        (peer("prometheus"), peer("promtool"), peer("alertmanager"))
    else {
        return;
    };
    let Some(backend) = ill().await else { return };
    let webhook = Webhook::start().await;
    let alertmanager = Alertmanager::start(&alertmanager, &impatient_alertmanager(&webhook.url)).await;
    let path = backend.database();
    let path = path.display();
    let ill = Bridge::start(&format!(
        "runtime: {{ source: telemetry_json, url: '{}', api_key: {BACKEND_KEY}, interval: 500ms }}\n\
         store: {{ source: sqlite, path: {path}, interval: 500ms, count_budget: 1ms }}\n\
         staging: {{ source: sqlite, path: {path}, interval: 500ms }}\n",
        backend.url
    ))
    .await;
    // A second bridge, whose source is dead, and which pushes to nobody.
    let nobody = free_port();
    let mut dead = Bridge::start(&format!(
        "runtime: {{ source: telemetry_json, url: 'http://127.0.0.1:{nobody}', api_key: none, interval: 500ms }}\n"
    ))
    .await;
    let dead_at = dead.url.trim_start_matches("http://").to_owned();
    let (ill_at, dead_at) = (ill.url.trim_start_matches("http://"), dead_at.as_str());

    let rules = Directory::new("rules");
    let rules = rules.write("impatient.rules.yml", &impatient_rules());
    // What fires before Alertmanager is found goes nowhere, and would be told again after a minute.
    let mut prometheus = Prometheus::prepare(&program, &["--rules.alert.resend-delay=1s"]);
    prometheus.configure(&format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{}']\n\
         alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: ['{}'] }} ] }} ] }}\n\
         scrape_configs:\n  - job_name: linkit-bridge\n    static_configs: [ {{ targets: ['{ill_at}', '{dead_at}'] }} ]\n",
        rules.display(),
        alertmanager.address
    ));
    prometheus.backfill(&promtool, &together(&[history_of_illness("linkit-bridge", ill_at)]));
    prometheus.revive().await;

    let expected = [
        ("on-call", [("alertname", "LinkitPipelineStalled"), ("instance", ill_at)]),
        ("team", [("alertname", "LinkitGoroutineLeakSuspected"), ("instance", ill_at)]),
        ("on-call", [("alertname", "LinkitCollectorDown"), ("instance", dead_at)]),
    ];
    for (receiver, labels) in &expected {
        is_told(&webhook, receiver, labels).await;
    }
    // It fires, and Alertmanager knows it; but its cause fires too.
    let stale = format!("ALERTS{{alertname='LinkitTelemetryStale',alertstate='firing',instance='{dead_at}'}}");
    prometheus.value(&stale).await;
    let names: BTreeSet<_> =
        webhook.alerts().iter().map(|alert| text(&alert["labels"], "alertname").to_owned()).collect();
    assert!(!names.contains("LinkitTelemetryStale"), "a consequence was told too: {names:?}");

    // Nothing comes from a bridge that was killed, not even that its source is dead.
    dead.process.signal("-KILL");
    dead.process.ended().await;
    is_told(&webhook, "on-call", &[("alertname", "LinkitBridgeTargetDown"), ("instance", dead_at)]).await;

    let chosen = Chosen { job: "linkit-bridge", instance: ".+" };
    for (place, at, expr) in queries() {
        if EMPTY_IN_HEALTH.iter().any(|(panel, number, _)| *panel == place && *number == at) {
            let ask =
                || async { Some(prometheus.query(&chosen.fill(&expr)).await).filter(|series| !series.is_empty()) };
            eventually(&format!("data in {place}"), ask).await;
        }
    }
}

#[test]
fn alertmanagers_config_and_its_texts_hold_together() {
    let Some(amtool) = peer("amtool") else { return };
    let directory = Directory::new("amtool");
    let config = directory.write("alertmanager.yml", &impatient_alertmanager("http://127.0.0.1:1/"));
    let output = Command::new(&amtool).arg("check-config").arg(config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let alert = json!({
        "status": "firing", "labels": { "alertname": "LinkitReloadFailed", "instance": "a:1" },
        "annotations": { "summary": "It is so.", "description": "Do this.", "dashboard_url": "/d/linkit-bridge",
                         "runbook_url": "/docs/runbooks.md#linkitreloadfailed" },
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"
    });
    let mut whole = alert.clone();
    whole["annotations"]["dashboard_url"] = json!("https://grafana.shop/d/linkit-bridge");
    whole["annotations"]["runbook_url"] = json!("https://wiki.shop/#linkitreloadfailed");
    let data = json!({ "status": "firing", "alerts": [alert, whole], "groupLabels": { "alertname": "LinkitReloadFailed", "job": "j" } });
    let data = directory.write("data.json", &data.to_string());
    let mut render = Command::new(amtool);
    render.args(["template", "render", "--template.glob", "deploy/alertmanager/*.tmpl", "--template.data"]).arg(data);
    render.args(["--template.text", "{{ template \"linkit.title\" . }}\n{{ template \"linkit.text\" . }}"]);
    let output = render.current_dir(root()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("[FIRING 2] LinkitReloadFailed j\nIt is so.\nDo this.\nDashboard: http"), "{said}");
    // Nobody's address stands in for one that was not set, and a whole one stays as it is.
    for line in [
        "\nRunbook: /docs/runbooks.md#linkitreloadfailed\n",
        "\nDashboard: https://grafana.shop/d/linkit-bridge\n",
        "\nRunbook: https://wiki.shop/#linkitreloadfailed\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn what_alertmanager_inhibits_are_alerts_and_their_labels() {
    let config = std::fs::read_to_string(root().join("deploy/alertmanager/alertmanager.yml")).unwrap();
    let alerts: BTreeSet<_> = super::board::alerts().into_iter().map(|rule| rule.name).collect();
    for name in config.split("alertname=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(alerts.contains(name), "{name} is no alert");
    }
    for group in ["LinkitBridge(TargetDown|Vanished)", "Linkit(GoroutineLeakSuspected|MemoryGrowthSustained|GcPause.+)"]
    {
        assert!(config.contains(group));
        let (prefix, names) = group.trim_end_matches(')').split_once('(').unwrap();
        for name in names.split('|') {
            let name = format!("{prefix}{}", name.trim_end_matches(".+"));
            assert!(alerts.iter().any(|alert| alert.starts_with(&name)), "{name} is no alert");
        }
    }
}
