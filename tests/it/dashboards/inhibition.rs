//! Which alert keeps which quiet: each rule of the shipped Alertmanager config before a real Alertmanager, with a cause, its
//! consequences, and what looks like one and is none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::alerting::impatient_alertmanager;
use super::board::text;
use crate::support::alertmanager::Alertmanager;
use crate::support::peers::peer;
use crate::support::{eventually, http};

/// A cause, and of the same job and instance what it keeps quiet and what it does not; `Alert key=value`.
const CASES: [(&str, &[&str], &[&str]); 10] = [
    (
        "BridgeTargetDown",
        &[
            "CollectorDown collector=store",
            "TelemetryStale collector=store",
            "PipelineStalled",
            "PipelineNoProgress",
            "StoreCountDropped collection=skus",
            "GoroutineLeakSuspected",
            "MemoryGrowthSustained",
            "GcPauseElevated",
            "GcPauseHigh",
            "PushFailing endpoint=a",
            "PushDropping endpoint=a",
            "PushPointsRefused endpoint=a",
            "SpoolFilling endpoint=a",
            "PushUnstored endpoint=a",
            "ReloadFailed",
            "CertificateExpiring",
            "CertificateExpiresSoon",
            "KeyExpiring key=ci",
        ],
        &[],
    ),
    ("BridgeVanished", &["PushFailing endpoint=a", "CollectorDown collector=store"], &[]),
    (
        "CollectorDown collector=runtime",
        &[
            "TelemetryStale collector=runtime",
            "GoroutineLeakSuspected",
            "MemoryGrowthSustained",
            "GcPauseElevated",
            "GcPauseHigh",
        ],
        &["TelemetryStale collector=store", "PipelineStalled", "StoreCountDropped collection=skus", "ReloadFailed"],
    ),
    (
        "CollectorDown collector=staging",
        &["TelemetryStale collector=staging", "PipelineStalled", "PipelineNoProgress"],
        &["GcPauseHigh", "StoreCountDropped collection=skus"],
    ),
    (
        "CollectorDown collector=store",
        &["StoreCountDropped collection=skus"],
        &["PipelineNoProgress", "GcPauseElevated"],
    ),
    ("PipelineStalled", &["PipelineNoProgress"], &["GoroutineLeakSuspected"]),
    ("GcPauseHigh", &["GcPauseElevated"], &["MemoryGrowthSustained"]),
    ("CertificateExpiresSoon", &["CertificateExpiring"], &["KeyExpiring key=ci"]),
    (
        "PushFailing endpoint=a",
        &["PushUnstored endpoint=a"],
        &["PushUnstored endpoint=b", "PushDropping endpoint=a", "SpoolFilling endpoint=a"],
    ),
    ("ReloadFailed", &[], &["CertificateExpiring", "PushFailing endpoint=a"]),
];

fn alert(said: &str, job: &str, instance: &str) -> Value {
    let (name, label) = said.split_once(' ').unwrap_or((said, ""));
    let mut labels = json!({ "alertname": format!("Linkit{name}"), "job": job, "instance": instance });
    if let Some((key, value)) = label.split_once('=') {
        labels[key] = json!(value);
    }
    json!({ "labels": labels })
}

/// Its labels in one order, as Alertmanager may have another.
fn labels(alert: &Value) -> String {
    let labels: BTreeMap<_, _> = alert["labels"].as_object().unwrap().iter().collect();
    format!("{labels:?}")
}

#[tokio::test]
async fn a_cause_keeps_its_consequences_quiet_and_nothing_else() {
    let Some(program) = peer("alertmanager") else { return };
    let alertmanager = Alertmanager::start(&program, &impatient_alertmanager("http://127.0.0.1:1/")).await;
    let (mut alerts, mut quiet) = (Vec::new(), BTreeSet::new());
    for (at, (cause, consequences, others)) in CASES.iter().enumerate() {
        let instance = format!("bridge-{at}");
        let mut add = |said: &&str, job: &str, instance: &str, is_quiet: bool| {
            let alert = alert(said, job, instance);
            if is_quiet {
                quiet.insert(labels(&alert));
            }
            alerts.push(alert);
        };
        add(cause, "shop", &instance, false);
        consequences.iter().for_each(|said| add(said, "shop", &instance, true));
        others.iter().for_each(|said| add(said, "shop", &instance, false));
        // The same of another bridge has another cause.
        consequences
            .iter()
            .for_each(|said| add(said, "shop", &format!("other-{at}-{}", said.replace(' ', "-")), false));
    }
    // Of targets that are all gone each is gone; of another job none.
    alerts.push(alert("TargetAbsent", "linkit-bridge", "none"));
    let gone = alert("BridgeVanished", "linkit-bridge", "bridge-x");
    quiet.insert(labels(&gone));
    alerts.push(gone);
    alerts.push(alert("BridgeVanished", "pushing", "bridge-y"));

    let url = format!("http://{}/api/v2/alerts", alertmanager.address);
    let body = Value::Array(alerts.clone()).to_string();
    let answer = http::request("POST", &url, &[("content-type", "application/json")], &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let all = || async {
        let found = http::get(&url, &[]).await?.json();
        (found.as_array()?.len() == alerts.len()).then_some(found)
    };
    let found = eventually("all alerts at Alertmanager", all).await;
    for alert in found.as_array().unwrap() {
        let is_quiet = text(&alert["status"], "state") == "suppressed";
        assert_eq!(is_quiet, quiet.contains(&labels(alert)), "{alert}");
    }
}
