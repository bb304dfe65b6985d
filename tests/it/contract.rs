//! The documented endpoint: its three client examples run unchanged but for host and key, its answers are its bytes.

use std::process::Command;

use serde_json::Value;

use crate::support::backend::{BACKEND_KEY, Backend, SMALL};
use crate::support::bridge::{Bridge, KEY};
use crate::support::http::{get, request};
use crate::support::peers::{peer, program};
use crate::support::{Directory, eventually};

const CURL: &str = include_str!("contract/curl.sh");
const FETCH: &str = include_str!("contract/fetch.mjs");
const REQUESTS: &str = include_str!("contract/requests.py");

const UNAUTHORIZED: &str = r#"{"code":401,"error":"Unauthorized","details":"Valid API key required"}"#;

/// A bridge whose three sections come from the backend's own endpoint.
async fn bridge() -> Option<(Backend, Bridge)> {
    let backend = Backend::start(&SMALL, &[]).await?;
    let section = format!("{{ source: telemetry_json, url: '{}', api_key: {BACKEND_KEY} }}", backend.url);
    let bridge = Bridge::start(&format!("runtime: {section}\nstore: {section}\nstaging: {section}\n")).await;
    bridge.telemetry_ok().await;
    Some((backend, bridge))
}

/// A client example with host and key of a bridge.
fn for_bridge(example: &str, bridge: &Bridge) -> String {
    assert!(example.contains("https://linkit.works") && example.contains("your_api_key_here"));
    example.replace("https://linkit.works", &bridge.url).replace("your_api_key_here", KEY)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_documents_curl_example_runs() {
    let (Some(_curl), Some((_backend, bridge))) = (program("curl"), bridge().await) else { return };
    let printed = output(Command::new("bash").args(["-c", &for_bridge(CURL, &bridge)]));
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["store"]["skus"], 600);
}

#[tokio::test]
async fn the_documents_javascript_example_runs() {
    let (Some(node), Some((_backend, bridge))) = (program("node"), bridge().await) else { return };
    let script = format!("{}\nconsole.log(JSON.stringify(telemetry));\n", for_bridge(FETCH, &bridge));
    let directory = Directory::new("fetch");
    let printed = output(Command::new(node).arg(directory.write("example.mjs", &script)));
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["store"]["customers"], 30);
}

#[tokio::test]
async fn the_documents_python_example_runs() {
    let (Some(python), Some((_backend, bridge))) = (peer("python"), bridge().await) else { return };
    let script = format!("{}\nimport json\nprint(json.dumps(telemetry))\n", for_bridge(REQUESTS, &bridge));
    let printed = output(Command::new(python).args(["-c", &script]));
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["staging"]["completed_today"], 17);
}

/// The keys of a JSON text in the order they stand in it, and whether every number is an integer.
fn shape(json: &str) -> (Vec<&str>, bool) {
    let keys = json.split('"').skip(1).step_by(2).zip(json.split('"').skip(2).step_by(2));
    let keys = keys.filter(|(_, after)| after.trim_start().starts_with(':')).map(|(key, _)| key).collect();
    (keys, !json.replace("1.0.0", "").contains('.'))
}

#[tokio::test]
async fn the_json_has_the_documents_fields_in_its_order_as_integers() {
    let Some((backend, bridge)) = bridge().await else { return };
    let bridged = bridge.telemetry().await;
    assert_eq!(bridged.headers["content-type"], "application/json");
    let (keys, is_whole) = shape(&bridged.body);
    assert_eq!(
        keys.join(" "),
        "version measured runtime goroutines cpu_count alloc_mb total_alloc_mb sys_mb num_gc gc_pause_ns \
         store products branches skus orders customers staging pending processing completed_today"
    );
    assert!(is_whole && !bridged.body.contains("null"), "{}", bridged.body);
    let json = bridged.json();
    let measured = json["measured"].as_str().unwrap();
    let is_time = measured.len() == 20 && measured.ends_with('Z') && measured.as_bytes()[10] == b'T';
    assert!(is_time, "{measured}");
    let own = backend.telemetry().await;
    assert_eq!((&json["store"], &json["staging"]), (&own["store"], &own["staging"]));
    assert_eq!(json["version"], own["version"]);
    assert_eq!(json["runtime"]["cpu_count"], own["runtime"]["cpu_count"]);
    // A live program may take more memory from the system between two looks at it.
    eventually("the same sys_mb on both", || async {
        let (bridged, own) = (bridge.telemetry_ok().await, backend.telemetry().await);
        (bridged["runtime"]["sys_mb"] == own["runtime"]["sys_mb"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_missing_or_wrong_key_gets_the_documents_bytes() {
    let Some((backend, bridge)) = bridge().await else { return };
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for headers in [vec![], vec![("authorization", "wrong")], vec![("authorization", digest)], vec![("x-api-key", "")]]
    {
        for url in [&bridge.url, &backend.url] {
            let answer = get(&format!("{url}/api/v1/telemetry"), &headers).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.trim_end()), (401, UNAUTHORIZED), "{headers:?}");
        }
        let answer = get(&format!("{}/api/v1/telemetry", bridge.url), &headers).await.unwrap();
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"telemetry\"");
    }
    let in_query = format!("{}/api/v1/telemetry?api_key={KEY}", bridge.url);
    assert_eq!(get(&in_query, &[]).await.unwrap().status, 401);
}

#[tokio::test]
async fn every_documented_and_promised_way_to_show_a_key_works() {
    let Some((_backend, bridge)) = bridge().await else { return };
    let url = format!("{}/api/v1/telemetry", bridge.url);
    for (name, value) in [
        ("authorization", KEY.to_owned()),
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer {KEY}")),
        ("x-api-key", KEY.to_owned()),
    ] {
        assert_eq!(get(&url, &[(name, &value)]).await.unwrap().status, 200, "{name}: {value}");
    }
    let head = request("HEAD", &url, &[("authorization", KEY)], "").await.unwrap();
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    let post = request("POST", &url, &[("authorization", KEY)], "").await.unwrap();
    assert_eq!((post.status.as_u16(), &post.json()["code"]), (405, &Value::from(405)));
    assert!(post.headers["allow"].to_str().unwrap().contains("GET"));
    let absent = get(&format!("{}/api/v1/nothing", bridge.url), &[]).await.unwrap();
    assert_eq!((absent.status.as_u16(), &absent.json()["code"]), (404, &Value::from(404)));
}

#[tokio::test]
async fn ping_and_health_answer_as_linkits_do() {
    let Some((backend, bridge)) = bridge().await else { return };
    for url in [&bridge.url, &backend.url] {
        let ping = get(&format!("{url}/api/v1/ping"), &[]).await.unwrap().json();
        assert_eq!(ping["message"], "pong");
        let health = get(&format!("{url}/api/v1/health"), &[]).await.unwrap();
        assert_eq!((health.status.as_u16(), &health.json()["status"]), (200, &Value::from("healthy")));
        let keys: Vec<_> = health.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["environment", "status", "timestamp", "version"]);
    }
    let ready = get(&format!("{}/-/ready", bridge.url), &[]).await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
}
