//! `linkit-bridge demo` as a newcomer meets it: one command, a key, the lines to try, and a page that lives.

use std::process::Command;

use crate::support::bridge::command;
use crate::support::http::get;
use crate::support::peers::{peer, program};
use crate::support::process::Process;
use crate::support::{Directory, eventually, free_port, root};
use crate::web::{certified, tls};

struct Demo {
    process: Process,
    url: String,
    temporary: Directory,
}

async fn demo(args: &[&str]) -> Demo {
    demo_with(args, &[]).await
}

async fn demo_with(args: &[&str], env: &[(&str, &str)]) -> Demo {
    let temporary = Directory::new("demo");
    let mut command = command();
    command.arg("demo").args(["--web.listen-address", "127.0.0.1:0"]).args(args).env("TMPDIR", temporary.path());
    command.envs(env.iter().copied());
    let mut process = Process::start("the demo", &mut command);
    let line = process.line("  http://").await;
    let url = line.trim().trim_end_matches('/').to_owned();
    Demo { process, url, temporary }
}

#[tokio::test]
async fn it_prints_lines_that_work_and_leaves_nothing_behind() {
    let mut demo = demo(&[]).await;
    let curl = demo.process.line("curl -H").await;
    let json = || async {
        let output = Command::new("bash").args(["-c", &format!("{} --silent --fail", curl.trim())]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()
    };
    if program("curl").is_some() {
        let json = eventually("the JSON by the printed line", json).await;
        assert!(json["store"]["skus"].as_u64().unwrap() > 1000);
    }
    let completed = || async {
        let body = get(&format!("{}/metrics", demo.url), &[]).await?.body;
        crate::support::page::series(&body).get("linkit_staging_completed_total").copied()
    };
    let first = eventually("a first figure", completed).await;
    let moved = || async { completed().await.filter(|now| *now > first) };
    eventually("a figure that moves", moved).await;
    demo.process.signal("-INT");
    assert!(demo.process.ended().await.success(), "{}", demo.process.output());
    assert_eq!(std::fs::read_dir(demo.temporary.path()).unwrap().count(), 0, "something was left behind");
}

#[tokio::test]
async fn its_lines_work_over_tls_and_a_unix_socket_too() {
    let (Some(curl), Some(directory)) = (program("curl"), certified("demo-tls")) else { return };
    let web = directory.write("web.yml", &tls(""));
    let unix = format!("--web.listen-address=unix:{}", directory.path().join("demo.sock").display());
    let authority = format!("--cacert '{}'", directory.path().join("authority.pem").display());
    for (args, start) in [
        (vec!["--web.config.file", web.to_str().unwrap()], "https://127.0.0.1:"),
        (vec![unix.as_str()], "http://localhost/api"),
    ] {
        let temporary = Directory::new("demo");
        let mut command = command();
        let listen = ["--web.listen-address", "127.0.0.1:0"].into_iter().take(if args.len() == 2 { 2 } else { 0 });
        command.arg("demo").args(listen).args(args).env("TMPDIR", temporary.path());
        let mut process = Process::start("the demo", &mut command);
        let line = process.line("/api/v1/telemetry").await;
        assert!(line.contains(start), "{line}");
        let line = line.trim().replacen("curl", &format!("{} --silent --fail {authority}", curl.display()), 1);
        let json = || async {
            let output = Command::new("bash").args(["-c", &line]).output().unwrap();
            serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()
        };
        eventually(&format!("the JSON by {line}"), json).await;
    }
}

#[tokio::test]
async fn a_given_key_is_the_key() {
    let demo = demo(&["--api-key", "a-key-of-mine"]).await;
    let url = format!("{}/api/v1/telemetry", demo.url);
    let ask = || async { get(&url, &[("authorization", "a-key-of-mine")]).await.filter(|answer| answer.status == 200) };
    let answer = eventually("the JSON", ask).await;
    assert_eq!(answer.headers["x-telemetry-absent"], "runtime.num_gc,runtime.gc_pause_ns");
    assert_eq!(get(&url, &[]).await.unwrap().status, 401);
}

/// What looks at a page in a browser, if there is one: at its figures and lines at a desk, on a phone, by a screen reader
/// and the keyboard, without a script, behind a proxy, or at trouble.
fn browser(url: &str, look: &str) -> Option<Command> {
    let (Some(_chromium), Some(node)) = (peer("chromium"), program("node")) else { return None };
    let mut browser = Command::new(node);
    browser.arg(root().join("tests/it/demo/page.mjs")).args([url, look]);
    browser.arg(std::env::var_os("LINKIT_BRIDGE_SCREENSHOTS").unwrap_or_default());
    browser.env("PEERS", root().join("target/peers"));
    Some(browser)
}

#[tokio::test]
async fn its_page_shows_the_figures_live_in_a_browser() {
    // A receiver that is not there: what waits for it is shown too.
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_METRIC_EXPORT_INTERVAL", "200")];
    let demo = demo_with(&[], &env).await;
    for look in ["desk", "phone"] {
        let Some(mut browser) = browser(&demo.url, look) else { return };
        let output = browser.output().unwrap();
        assert!(output.status.success(), "{look}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn its_page_is_for_screen_readers_and_keyboards_and_needs_no_script_and_no_root() {
    let demo = demo(&[]).await;
    let is_fresh = || async {
        let page = get(&demo.url, &[]).await?.body;
        page.contains(">All is well<").then_some(())
    };
    eventually("figures on the page", is_fresh).await;
    for look in ["reader", "still", "behind"] {
        let Some(mut browser) = browser(&demo.url, look) else { return };
        let output = browser.output().unwrap();
        assert!(output.status.success(), "{look}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn its_page_says_what_has_stopped_and_when_nobody_answers() {
    let demo = demo(&[]).await;
    let Some(mut browser) = browser(&demo.url, "trouble") else { return };
    let read = || async { get(&demo.url, &[]).await.filter(|page| page.body.contains(">All is well<")) };
    eventually("figures on the page", read).await;
    // The shop's database goes away beneath the bridge.
    let folder = std::fs::read_dir(demo.temporary.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(&folder, demo.temporary.path().join("gone")).unwrap();
    let mut looking = Process::start("the browser", &mut browser);
    looking.line("seen").await;
    drop(demo.process);
    assert!(looking.ended().await.success(), "{}", looking.output());
}
