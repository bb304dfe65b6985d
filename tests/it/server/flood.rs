//! Floods in short; `bench/flood` has the long forms beside another exporter.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::server::{HALF_A_HEAD, address, connect, connect_from, scrape};
use crate::support::bridge::{Bridge, command};
use crate::support::process::Process;
use crate::support::{Directory, eventually};

const HALF_OPEN: &str = "linkit_bridge_http_open_connections{state=\"half_open\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_half_open_connections_costs_no_scrape_and_is_swept() {
    let limits = [("LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS", "128"), ("LINKIT_BRIDGE_WEB_LIMITS_HEADER_TIMEOUT", "2s")];
    let bridge = Bridge::start_with("", &limits).await;
    let to = address(&bridge);
    let flood = tokio::spawn(async move {
        let mut held = Vec::new();
        for number in 0..1000 {
            let stream = connect_from(number, to).await.unwrap();
            // Half are silent.
            if number % 2 == 0 {
                let _ = stream.try_write(HALF_A_HEAD);
            }
            held.push(stream);
        }
        held
    });
    let mut scrapes = 0;
    while !flood.is_finished() || scrapes < 50 {
        let page = tokio::task::spawn_blocking(move || scrape(to)).await.unwrap();
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "scrape {scrapes}: {page}");
        scrapes += 1;
    }
    let held = flood.await.unwrap();
    // Own figures are up to a second old.
    let is_full = |series: &Series| series[&dropped("evicted")] >= 800.0;
    let series = becomes(&bridge, "room was made", is_full).await;
    assert_eq!(series[&dropped("full")], 0.0);
    // Perhaps the one that asks is left.
    let is_swept = |series: &Series| series[HALF_OPEN] <= 1.0 && series[&dropped("timeout")] > 50.0;
    becomes(&bridge, "the sweep", is_swept).await;
    drop(held);
}

type Series = BTreeMap<String, f64>;

fn dropped(reason: &str) -> String {
    format!("linkit_bridge_http_dropped_connections_total{{reason=\"{reason}\"}}")
}

/// The series of a bridge once `holds` is true of them.
async fn becomes(bridge: &Bridge, what: &str, holds: impl Fn(&Series) -> bool) -> Series {
    eventually(what, || async { Some(bridge.series().await).filter(&holds) }).await
}

#[tokio::test]
async fn one_address_has_its_share_and_keeps_no_other_out() {
    let limits = [("LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS_PER_ADDRESS", "8")];
    let bridge = Bridge::start_with("", &limits).await;
    let to = address(&bridge);
    let mut held = Vec::new();
    for _ in 0..40 {
        // One that is refused may be reset before this side has seen it open.
        held.extend(connect_from(7, to).await.ok());
    }
    becomes(&bridge, "32 refusals", |series| series[&dropped("address")] == 32.0).await;
}

#[tokio::test]
async fn running_out_of_files_is_survived() {
    let program = env!("CARGO_BIN_EXE_linkit-bridge");
    let mut limited = command_under("prlimit", &["--nofile=32:32", program]);
    let mut process = Process::start("the bridge", limited.args(["--web.listen-address", "127.0.0.1:0"]));
    let line = process.line("msg=listening").await;
    let to = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let to = to.trim_matches('"').parse().unwrap();
    let mut held = Vec::new();
    for number in 0..200 {
        held.push(connect_from(number, to).await.unwrap());
        if number % 20 == 0 {
            assert!(scrape(to).starts_with("HTTP/1.1 200 "), "after {number}");
        }
    }
    drop(held);
    assert!(scrape(to).starts_with("HTTP/1.1 200 "));
    let output = process.output();
    assert_eq!(output.matches("failed to accept connections").count(), 1, "it is said again and again: {output}");
    assert!(output.contains("raise the limit of open files"), "{output}");
    assert!(process.stop().await.success());
}

fn command_under(program: &str, args: &[&str]) -> std::process::Command {
    let clean = command();
    let mut command = std::process::Command::new(program);
    command.args(args);
    for (name, value) in clean.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_ends_under_half_open_and_slow_clients_and_a_dead_collector() {
    let directory = Directory::new("stop");
    let spool = directory.path().join("spool");
    let push = format!(
        "runtime: {{ source: self }}\notlp: {{ endpoint: 'http://127.0.0.1:9', interval: 1h, spool: {{ dir: {} }} }}\n",
        spool.display()
    );
    let mut bridge = Bridge::start(&push).await;
    let to = address(&bridge);
    let mut held = Vec::new();
    for number in 0..200 {
        held.push(connect_from(number, to).await.unwrap());
    }
    // More than the system's buffers take, of which nothing is read.
    let many = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    let slow: Vec<_> = (0..5).map(|_| connect(to)).collect();
    for stream in &slow {
        stream.set_nonblocking(true).unwrap();
        let _ = std::io::Write::write(&mut &*stream, &many);
    }
    let before = stored(&spool);
    let asked = Instant::now();
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(stored(&spool) > before, "the last batch is not in the spool");
}

fn stored(spool: &std::path::Path) -> usize {
    let files = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "batch")).count()
}
