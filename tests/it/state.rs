//! `state_dir` from outside: what a bridge counted and read outlives it, however it ends, and nothing is counted twice.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use linkit_bridge::catalog::Section;
use linkit_bridge::clock::{Clock, SystemClock, Wall};
use linkit_bridge::collector::completed::CompletedState;
use linkit_bridge::collector::config::identities;
use linkit_bridge::config::Config;
use linkit_bridge::state::{Saved, StateDirectory, fingerprint};
use rusqlite::{Connection, OpenFlags};

use crate::support::backend::{BACKEND_KEY, Backend, SMALL};
use crate::support::bridge::{Bridge, command};
use crate::support::process::Process;
use crate::support::{Directory, eventually, page};

const TOTAL: &str = "linkit_staging_completed_total";
const CREATED: &str = "linkit_staging_completed_created";

/// Items completed so long ago that the database has them no more.
const LONG_AGO: u64 = 100;

/// What the page says of the counter, as OpenMetrics: its value and its start.
async fn counter(bridge: &Bridge) -> Option<(f64, f64)> {
    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let page = crate::support::http::get_ok(&format!("{}/metrics", bridge.url), &accept).await.body;
    let series = page::series(&page);
    Some((*series.get(TOTAL)?, *series.get(CREATED)?))
}

/// The items that are completed in the database, since a time.
fn completed_since(backend: &Backend, start: f64) -> f64 {
    let connection = Connection::open_with_flags(backend.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    let start = Wall::from_secs(start as u64).to_rfc3339().replace('T', " ");
    let sql = "SELECT count(*) FROM staging WHERE status = 'completed' AND completed >= ?1";
    connection.query_row(sql, [start.trim_end_matches('Z')], |row| row.get::<_, i64>(0)).unwrap() as f64
}

/// Looks at the counter for some time: it must not fall, nor start anew.
async fn watch(bridge: &Bridge, last: &mut Option<(f64, f64)>, looks: usize) {
    for _ in 0..looks {
        let Some((total, created)) = counter(bridge).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if let Some((before, start)) = *last {
            assert!(total >= before, "the counter fell from {before} to {total}");
            assert_eq!(created, start, "the counter started anew");
        }
        *last = Some((total, created));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A bridge that was stopped yesterday, when it had seen 3 of that day's 7 completed items.
fn stopped_yesterday(backend: &Backend, config: &str, state_dir: &std::path::Path) -> Wall {
    let today = SystemClock::new().now().wall.day();
    let yesterday = linkit_bridge::clock::Day(today.0 - 1);
    let start = linkit_bridge::clock::Day(today.0 - 2).start();
    let connection = Connection::open(backend.database()).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let noon = yesterday.start().plus(Duration::from_secs(43_200)).to_rfc3339().replace('T', " ").replace('Z', ".000Z");
    let sql = "UPDATE staging SET completed = ?1 \
               WHERE id IN (SELECT id FROM staging WHERE status = 'completed' ORDER BY completed LIMIT 7)";
    assert_eq!(connection.execute(sql, [noon]).unwrap(), 7);
    let config = Config::parse("c", config, &|_| None).unwrap();
    let source = &identities([None, None, config.staging.as_ref()], 1 << 20)[&Section::Staging];
    let completed = CompletedState {
        total: LONG_AGO + 3,
        start: Some(start),
        day: yesterday,
        counted: [(yesterday, 3)].into(),
        latest: None,
    };
    let sources = [(Section::Staging, fingerprint(source))].into();
    let saved = Saved { is_final: true, sources, completed: Some(completed), ..Saved::default() };
    StateDirectory::open(state_dir).unwrap().save(&saved).unwrap();
    start
}

#[tokio::test]
async fn the_counter_goes_on_over_restarts_and_counts_nothing_twice() {
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    let directory = Directory::new("state");
    let state_dir = directory.path().join("state");
    let config = format!(
        "staging: {{ source: sqlite, path: {}, interval: 200ms }}\nstate_dir: {}\n",
        backend.database().display(),
        state_dir.display()
    );
    let start = stopped_yesterday(&backend, &config, &state_dir);
    let mut last = Some((LONG_AGO as f64, (start.0 / 1_000_000_000) as f64));
    let mut bridge = Bridge::start(&config).await;
    for signal in ["-TERM", "-KILL", "-KILL", "-TERM"] {
        eventually("the counter", || counter(&bridge)).await;
        watch(&bridge, &mut last, 60).await;
        let (total, start) = last.unwrap();
        bridge.process.signal(signal);
        bridge.process.ended().await;
        let goes_on = || async { (LONG_AGO as f64 + completed_since(&backend, start) > total + 5.0).then_some(()) };
        eventually("work while the bridge is down", goes_on).await;
        bridge = Bridge::start(&config).await;
        if signal == "-TERM" {
            assert!(counter(&bridge).await.is_some(), "what was kept is there at once");
        }
        watch(&bridge, &mut last, 20).await;
    }
    let backend = backend.again(&[]).await;
    let (_, start) = last.unwrap();
    let is_exact = || async {
        let total = counter(&bridge).await.map(|(total, _)| total);
        (total == Some(LONG_AGO as f64 + completed_since(&backend, start))).then_some(())
    };
    eventually("exactly the completed items of the database", is_exact).await;
    watch(&bridge, &mut last, 5).await;
}

#[tokio::test]
async fn a_restarted_bridge_of_a_dead_backend_answers_with_the_old_time_until_it_expires() {
    let Some(backend) = Backend::start(&SMALL, &[]).await else { return };
    let directory = Directory::new("state");
    let section =
        format!("{{ source: telemetry_json, url: '{}', api_key: {BACKEND_KEY}, interval: 200ms }}", backend.url);
    let state_dir = directory.path().join("state");
    let config =
        format!("runtime: {section}\nstore: {section}\nstaging: {section}\nstate_dir: {}\n", state_dir.display());
    let mut bridge = Bridge::start(&config).await;
    bridge.telemetry_ok().await;
    let Backend { process, directory: _directory, .. } = backend;
    process.stop().await;
    let is_down = |bridge: &Bridge| {
        let url = bridge.url.clone();
        async move {
            let series = page::series(&crate::support::http::get_ok(&format!("{url}/metrics"), &[]).await.body);
            let up: Vec<_> = series.iter().filter(|(name, _)| name.starts_with("linkit_bridge_collector_up")).collect();
            (up.len() == 3 && up.iter().all(|(_, up)| **up < 1.0)).then_some(series)
        }
    };
    let before = eventually("every collector being down", || is_down(&bridge)).await;
    let told = bridge.telemetry_ok().await;
    for signal in ["-TERM", "-KILL"] {
        bridge.process.signal(signal);
        bridge.process.ended().await;
        bridge = Bridge::start(&config).await;
        let answer = bridge.telemetry().await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, told.clone()), "after {signal}");
        let after = eventually("every collector being down", || is_down(&bridge)).await;
        for name in ["linkit_runtime_gc_cycles_total", "linkit_staging_completed_today"] {
            assert_eq!(before[name], after[name], "{name} after {signal}");
        }
        // A killed bridge may have shown more than it kept.
        assert_eq!(after.get(TOTAL), before.get(TOTAL).filter(|_| signal == "-TERM"), "after {signal}");
    }
    let kept = std::fs::read_to_string(state_dir.join("state.json")).unwrap();
    assert!(!kept.contains(BACKEND_KEY) && !kept.contains("http"), "{kept}");
    bridge.process.signal("-TERM");
    bridge.process.ended().await;
    let bridge = Bridge::start(&format!("{config}stale_after: 100ms\nexpire_after: 500ms\n")).await;
    assert_eq!(bridge.telemetry().await.status, 503);
}

/// Runs a bridge that is expected to end by itself.
async fn ends(directory: &Directory, state_dir: &std::path::Path) -> (Option<i32>, String) {
    let text = format!("web: {{ listen: ['127.0.0.1:0'] }}\nstate_dir: {}\n", state_dir.display());
    let file = directory.write("other.yml", &text);
    let mut process = Process::start("the other bridge", command().arg("--config.file").arg(file));
    (process.ended().await.code(), process.output())
}

#[tokio::test]
async fn a_state_directory_has_one_owner_and_must_be_private() {
    let directory = Directory::new("state");
    let state_dir = directory.path().join("state");
    let config = format!("runtime: {{ source: self }}\nstate_dir: {}\n", state_dir.display());
    let bridge = Bridge::start(&config).await;
    let (code, output) = ends(&directory, &state_dir).await;
    let owner = format!("another linkit-bridge has it (process {})", bridge.process.id());
    assert!(code == Some(1) && output.contains(&owner), "{code:?}: {output}");
    assert_eq!(bridge.get("/-/healthy").await.status, 200);
    std::fs::set_permissions(&state_dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (code, output) = ends(&directory, &state_dir).await;
    assert!(code == Some(2) && output.contains("chmod 700"), "{code:?}: {output}");
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_and_the_bridge_starts() {
    let directory = Directory::new("state");
    directory.write("state.json", "{\"format\":\"linkit-bridge state\",\"version\":1,");
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(directory.path(), private).unwrap();
    let bridge = Bridge::start(&format!("state_dir: {}\n", directory.path().display())).await;
    assert!(bridge.process.output().contains("set aside as state.json.bad"), "{}", bridge.process.output());
    assert!(directory.path().join("state.json.bad").exists() && directory.path().join("state.json").exists());
}
