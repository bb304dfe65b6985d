//! The reload from outside: the real program, its file rewritten, a signal or a request. What is the same goes on, what is
//! another is another, what is broken changes nothing, and nobody who scrapes notices.

mod endpoints;
mod linkit;
mod password;
mod supervised;
mod told;

use std::time::{Duration, Instant};

use linkit::Linkit;

use crate::support::bridge::{KEY, command};
use crate::support::http::{Answer, get, get_ok, request};
use crate::support::process::Process;
use crate::support::{Directory, eventually, page};

const DONE: &str = "msg=\"reloaded the configuration\"";
const FAILED: &str = "failed to reload the configuration";

/// A bridge whose file can be rewritten.
struct Bridge {
    process: Process,
    url: String,
    directory: Directory,
    /// Lines of the log that told of a reload and were waited for.
    seen: usize,
}

fn keys(key: &str) -> String {
    format!("web: {{ api_keys: [ {{ name: test, key: {key} }} ] }}\n")
}

impl Bridge {
    async fn start(config: &str, args: &[&str]) -> Self {
        Self::start_with(Directory::new("reload"), config, args, &[]).await
    }

    async fn start_with(directory: Directory, config: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let file = directory.write("bridge.yml", config);
        let mut command = command();
        command.arg("--config.file").arg(&file).args(["--web.listen-address", "127.0.0.1:0"]);
        let mut process = Process::start("the bridge", command.args(args).envs(env.iter().copied()));
        let line = process.line("msg=listening").await;
        let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().trim_matches('"');
        Self { url: format!("http://{address}"), process, directory, seen: 0 }
    }

    fn write(&self, config: &str) {
        self.directory.write("bridge.yml", config);
    }

    /// Sends SIGHUP, and waits for a line that says what came of it.
    async fn hangup(&mut self, what: &str) {
        self.process.signal("-HUP");
        self.seen += 1;
        let count = || {
            let output = self.process.output();
            output
                .lines()
                .filter(|line| line.contains(DONE) || line.contains(FAILED))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let told = || async { count().get(self.seen - 1).cloned() };
        let line = eventually("the end of the reload", told).await;
        assert!(line.contains(what), "{line}");
    }

    async fn reload(&self) -> Answer {
        request("POST", &format!("{}/-/reload", self.url), &[], "").await.unwrap()
    }

    async fn json(&self) -> Answer {
        get(&format!("{}/api/v1/telemetry", self.url), &[("authorization", KEY)]).await.unwrap()
    }

    async fn series(&self) -> std::collections::BTreeMap<String, f64> {
        page::series(&get_ok(&format!("{}/metrics", self.url), &[]).await.body)
    }

    async fn value(&self, series: &str) -> Option<f64> {
        self.series().await.get(series).copied()
    }

    /// Waits until a series has a value.
    async fn has(&self, series: &str, value: Option<f64>) {
        let same = || async { (self.value(series).await == value).then_some(()) };
        eventually(&format!("{series} {value:?}"), same).await;
    }

    async fn is_whole(&self) {
        let whole = || async { (self.json().await.status == 200).then_some(()) };
        eventually("the JSON", whole).await;
    }
}

const SUCCESSFUL: &str = "linkit_bridge_config_last_reload_successful";
const LOADED: &str = "linkit_bridge_config_last_reload_timestamp_seconds";
const HASH: &str = "linkit_bridge_config_hash";
const GOROUTINES: &str = "linkit_runtime_goroutines";
const ALLOCATED: &str = "linkit_runtime_memory_allocated_bytes_total";

#[tokio::test]
async fn another_interval_keeps_the_readings_and_the_others_are_not_touched() {
    let linkit = Linkit::start("k").await;
    let config = |interval: &str| {
        let others = linkit.section("interval: 1h");
        format!("{}runtime: {{ source: self, interval: {interval} }}\nstore: {others}\nstaging: {others}\n", keys(KEY))
    };
    let mut bridge = Bridge::start(&config("1h"), &[]).await;
    bridge.is_whole().await;
    let before = bridge.series().await;
    bridge.write(&config("100ms"));
    bridge.hangup("1 of the collectors go on, 1 were stopped, 1 are started").await;
    assert_eq!(bridge.json().await.status, 200, "readings stay while only the interval changes");
    let after = bridge.series().await;
    assert!(after[LOADED] > before[LOADED] && after[SUCCESSFUL] > 0.5);
    assert!((after[HASH] - before[HASH]).abs() > 0.5);
    let success = "linkit_bridge_collector_last_success_timestamp_seconds{collector=\"runtime\",source=\"self\"}";
    let first = bridge.value(success).await.unwrap();
    eventually("readings at the new interval", || async { bridge.value(success).await.filter(|at| *at > first + 0.3) })
        .await;
    assert_eq!(linkit.asked(), 1, "a collector that is the same was started again");
    bridge.write(&config("100ms"));
    bridge.hangup("2 of the collectors go on, 0 were stopped, 0 are started").await;
}

#[tokio::test]
async fn another_url_is_another_source_and_its_counters_begin_anew() {
    let (one, other) = (Linkit::start("k").await, Linkit::start("k").await);
    other.set(500);
    let config = |linkit: &Linkit| {
        let section = linkit.section("interval: 100ms");
        format!("{}runtime: {section}\nstore: {section}\nstaging: {section}\n", keys(KEY))
    };
    let mut bridge = Bridge::start(&config(&one), &[]).await;
    bridge.is_whole().await;
    bridge.has(GOROUTINES, Some(42.0)).await;
    other.hang(true);
    bridge.write(&config(&other));
    bridge.hangup(DONE).await;
    let answer = bridge.json().await;
    assert_eq!(answer.status, 503, "figures of the old source stand as the new one's: {}", answer.body);
    let series = bridge.series().await;
    for name in [GOROUTINES, ALLOCATED, "linkit_staging_completed_total", "linkit_store_records{collection=\"skus\"}"] {
        assert!(!series.contains_key(name), "{name}");
    }
    assert_eq!(get(&format!("{}/-/ready", bridge.url), &[]).await.unwrap().status, 200, "not ready any more");
    other.hang(false);
    bridge.is_whole().await;
    assert_eq!(bridge.value(GOROUTINES).await, Some(500.0));
    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let created = page::series(&get_ok(&format!("{}/metrics", bridge.url), &accept).await.body);
    let loaded = bridge.value(LOADED).await.unwrap();
    for name in ["linkit_runtime_memory_allocated_bytes_created", "linkit_staging_completed_created"] {
        assert!((created[name] - loaded).abs() < 5.0, "{name} {} and the reload {loaded}", created[name]);
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_says_why_and_a_mended_one_is_taken() {
    let good = format!("{}runtime: {{ source: self, interval: 200ms }}\n", keys(KEY));
    let bridge = Bridge::start(&good, &["--web.enable-lifecycle"]).await;
    eventually("figures", || async { bridge.value(GOROUTINES).await }).await;
    let before = bridge.series().await;
    for (broken, part) in [
        ("runtime:\n  source: self\n  intervall: 1s\n", "bridge.yml:3: unknown key intervall; did you mean interval?"),
        ("runtime: { source: telemetry_json, url: 'http://a', api_key_file: /nowhere }\n", "api_key_file /nowhere"),
        ("web: { api_keys: [ { name: a, key: '' } ] }\n", "key is empty"),
        ("otlp: { endpoint: 'http://user:hunter2@a' }\n", "holds a user or password"),
        ("web: { listen: [nowhere] }\nruntime: [\n", "bridge.yml:"),
    ] {
        bridge.write(broken);
        let answer = bridge.reload().await;
        assert_eq!(answer.status, 500, "{}", answer.body);
        assert!(answer.body.contains(part) && answer.body.lines().count() == 1, "{}", answer.body);
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
        let after = bridge.series().await;
        assert!(after[SUCCESSFUL] < 0.5 && (after[HASH] - before[HASH]).abs() < 0.5, "{broken}");
        assert!((after[LOADED] - before[LOADED]).abs() < 1e-9 && after.contains_key(GOROUTINES), "{broken}");
    }
    assert!(!bridge.process.output().contains("hunter2"));
    bridge.write(&good);
    assert_eq!(bridge.reload().await.status, 200);
    let after = bridge.series().await;
    assert!(after[SUCCESSFUL] > 0.5 && after[LOADED] > before[LOADED]);
}

#[tokio::test]
async fn over_http_it_is_off_unless_it_is_opened_and_is_for_programs_and_the_own_page_alone() {
    let closed = Bridge::start("runtime: { source: self }\n", &[]).await;
    let answer = closed.reload().await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("--web.enable-lifecycle") && answer.body.contains("web.enable_lifecycle"));
    let bridge = Bridge::start("web: { enable_lifecycle: true }\nruntime: { source: self }\n", &[]).await;
    let url = format!("{}/-/reload", bridge.url);
    for (method, headers, status) in [
        ("GET", &[][..], 405),
        ("DELETE", &[], 405),
        ("POST", &[("origin", "http://evil.example")], 403),
        ("POST", &[("sec-fetch-site", "cross-site")], 403),
        ("PUT", &[], 200),
        ("POST", &[], 200),
    ] {
        let answer = request(method, &url, headers, "").await.unwrap();
        assert_eq!(answer.status, status, "{method} {headers:?}: {}", answer.body);
        if status == 405 {
            assert_eq!(answer.headers["allow"], "POST, PUT");
        }
    }
    bridge.write("runtime: { source: self }\n");
    assert_eq!(bridge.reload().await.status, 200);
    assert_eq!(bridge.reload().await.status, 403, "the file has closed it");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_done() {
    let bridge = Bridge::start("runtime: { source: self }\n", &["--web.enable-lifecycle"]).await;
    bridge.write(
        "service: { name: other, version: 9.9.9 }\nweb: { telemetry_path: /other }\nstate_dir: /nowhere/at/all\n\
         runtime: { source: self, interval: 100ms }\n",
    );
    let answer = bridge.reload().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let expected = "needs a restart: web.telemetry_path, state_dir, service.name";
    assert!(answer.body.contains(expected), "{}", answer.body);
    let page = get_ok(&format!("{}/metrics", bridge.url), &[]).await.body;
    let info = page.lines().find(|line| line.starts_with("target_info{")).unwrap();
    assert!(info.contains("service_version=\"9.9.9\"") && info.contains("service_name=\"linkit\""), "{info}");
    let health = get(&format!("{}/api/v1/health", bridge.url), &[]).await.unwrap().json();
    assert_eq!(health["version"], "9.9.9");
}

#[tokio::test]
async fn sources_come_and_go_and_the_bridge_stays_ready() {
    let linkit = Linkit::start("k").await;
    let mut bridge = Bridge::start("runtime: { source: self, interval: 200ms }\n", &[]).await;
    let ready = || async {
        let answer = get(&format!("{}/-/ready", bridge.url), &[]).await.unwrap();
        (answer.status == 200).then_some(answer.body)
    };
    eventually("readiness", ready).await;
    linkit.hang(true);
    bridge.write(&format!(
        "runtime: {{ source: self, interval: 200ms }}\nstore: {}\n",
        linkit.section("interval: 200ms")
    ));
    bridge.hangup(DONE).await;
    let answer = get(&format!("{}/-/ready", bridge.url), &[]).await.unwrap();
    assert!(answer.status == 200 && answer.body.contains("store (telemetry_json): pending"), "{}", answer.body);
    linkit.hang(false);
    let records = "linkit_store_records{collection=\"skus\"}";
    bridge.has(records, Some(42.0)).await;
    bridge.write("runtime: { source: self, interval: 200ms }\n");
    bridge.hangup("1 of the collectors go on, 1 were stopped, 0 are started").await;
    let page = get_ok(&format!("{}/metrics", bridge.url), &[]).await.body;
    let left: Vec<_> =
        page.lines().filter(|line| line.contains("linkit_store") || line.contains("\"store\"")).collect();
    assert_eq!(left, Vec::<&str>::new());
    let asked = linkit.asked();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(linkit.asked(), asked, "a collector that was stopped asks on");
}

#[tokio::test]
async fn replaced_files_of_keys_are_read_again() {
    let linkit = Linkit::start("first").await;
    let directory = Directory::new("reload-keys");
    let (source, own) = (directory.write("source.key", "first\n"), directory.write("own.key", "one\n"));
    let section = format!(
        "{{ source: telemetry_json, url: '{}', api_key_file: {}, interval: 200ms, max_backoff: 400ms }}",
        linkit.url,
        source.display()
    );
    let config = format!(
        "web: {{ api_keys: [ {{ name: test, key_file: {} }} ] }}\nruntime: {section}\nstore: {section}\nstaging: {section}\n",
        own.display()
    );
    let mut bridge = Bridge::start_with(directory, &config, &[], &[]).await;
    let url = format!("{}/api/v1/telemetry", bridge.url);
    let with = |key: &'static str| {
        let url = url.clone();
        async move { get(&url, &[("authorization", key)]).await.unwrap().status }
    };
    eventually("the JSON", || async { (with("one").await == 200).then_some(()) }).await;
    bridge.directory.write("own.key", "two\n");
    assert_eq!((with("one").await.as_u16(), with("two").await.as_u16()), (200, 401));
    bridge.hangup("1 of the collectors go on, 0 were stopped, 0 are started").await;
    assert_eq!((with("one").await.as_u16(), with("two").await.as_u16()), (401, 200));
    // The source's key changes, and nobody reloads.
    linkit.set_key("second");
    linkit.set(77);
    bridge.process.line("class=unauthorized").await;
    bridge.directory.write("source.key", "second\n");
    bridge.has(GOROUTINES, Some(77.0)).await;
    assert_eq!(with("two").await, 200, "readings of the same source stay while its key changes");
}

#[tokio::test]
async fn what_is_kept_over_a_restart_is_of_the_source_that_a_reload_has_chosen() {
    let (one, other) = (Linkit::start("k").await, Linkit::start("k").await);
    other.set(500);
    let state = Directory::new("reload-state");
    let config = |linkit: &Linkit| {
        let section = linkit.section("interval: 100ms");
        let state = state.path().join("state");
        format!(
            "{}runtime: {section}\nstore: {section}\nstaging: {section}\nstate_dir: {}\n",
            keys(KEY),
            state.display()
        )
    };
    let mut bridge = Bridge::start(&config(&one), &[]).await;
    bridge.has(GOROUTINES, Some(42.0)).await;
    bridge.write(&config(&other));
    bridge.hangup(DONE).await;
    bridge.has("linkit_staging_completed_total", Some(500.0)).await;
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    other.hang(true);
    let mut bridge = Bridge::start(&config(&other), &[]).await;
    let series = bridge.series().await;
    for name in [GOROUTINES, "linkit_staging_completed_total", "linkit_store_records{collection=\"skus\"}"] {
        assert_eq!(series.get(name), Some(&500.0), "{name}");
    }
    bridge.write(&config(&one));
    bridge.hangup(DONE).await;
    bridge.has("linkit_staging_completed_total", Some(42.0)).await;
    let output = bridge.process.output();
    assert!(!output.contains("set aside") && !output.contains("of other sources"), "{output}");
}

/// How often a process has a file open.
fn opened(bridge: &Bridge, file: &std::path::Path) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", bridge.process.id())).unwrap();
    files.filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|link| link == file)).count()
}

#[tokio::test]
async fn sections_share_one_connection_over_a_reload_of_one_of_them() {
    let directory = Directory::new("reload-shop");
    let path = directory.path().join("data.db");
    let owner = rusqlite::Connection::open(&path).unwrap();
    owner.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE a (id); INSERT INTO a VALUES (1), (2);").unwrap();
    let config = |interval: &str| {
        format!(
            "store: {{ source: sqlite, path: {0}, interval: 200ms, collections: [a] }}\n\
             custom: {{ c: {{ source: sqlite, path: {0}, interval: {interval}, figures: \
             [ {{ name: n, query: SELECT count(*) AS value FROM a, help: A number }} ] }} }}\n",
            path.display()
        )
    };
    let mut bridge = Bridge::start(&config("200ms"), &[]).await;
    bridge.has("linkit_custom_n", Some(2.0)).await;
    bridge.has("linkit_store_records{collection=\"a\"}", Some(2.0)).await;
    assert_eq!(opened(&bridge, &path), 1);
    bridge.write(&config("250ms"));
    bridge.hangup("1 of the collectors go on, 1 were stopped, 1 are started").await;
    assert_eq!(bridge.value("linkit_custom_n").await, Some(2.0));
    owner.execute("INSERT INTO a VALUES (3)", []).unwrap();
    bridge.has("linkit_custom_n", Some(3.0)).await;
    bridge.has("linkit_store_records{collection=\"a\"}", Some(3.0)).await;
    assert_eq!(opened(&bridge, &path), 1, "a second connection to the same database");
    bridge.write("runtime: { source: self }\n");
    bridge.hangup(DONE).await;
    eventually("no connection", || async { (opened(&bridge, &path) == 0).then_some(()) }).await;
}

/// How many files a process has open.
fn open_files(bridge: &Bridge) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", bridge.process.id())).unwrap().count()
}

#[tokio::test]
async fn fifty_reloads_under_load_fail_no_scrape_and_leave_nothing_behind() {
    let linkit = Linkit::start("k").await;
    let section = linkit.section("interval: 100ms");
    let config = |custom: usize| {
        let listed = ["", "figures"][custom % 2];
        let custom = match listed {
            "" => String::new(),
            _ => format!(
                "custom: {{ c{custom}: {{ source: sqlite, path: /nowhere/data.db, interval: 100ms, figures: \
                 [ {{ name: n, query: SELECT 1, help: A number }} ] }} }}\n"
            ),
        };
        format!("{}runtime: {section}\nstore: {section}\nstaging: {section}\n{custom}", keys(KEY))
    };
    let mut bridge = Bridge::start(&config(0), &["--web.enable-lifecycle"]).await;
    bridge.is_whole().await;
    let end = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let scrapes: Vec<_> = (0..4)
        .map(|number| {
            let (end, url) = (std::sync::Arc::clone(&end), bridge.url.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while !end.load(std::sync::atomic::Ordering::Relaxed) {
                    let path = ["/metrics", "/api/v1/telemetry"][number % 2];
                    let answer = get(&format!("{url}{path}"), &[("authorization", KEY)]).await;
                    let answer = answer.unwrap_or_else(|| panic!("{path} is not answered"));
                    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                    assert!(answer.body.contains("42"), "{path} without its figures");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut files = 0;
    for round in 0..50 {
        bridge.write(&config(round));
        let answer = bridge.reload().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        if round == 9 {
            files = open_files(&bridge);
        }
    }
    end.store(true, std::sync::atomic::Ordering::Relaxed);
    for scrape in scrapes {
        assert!(scrape.await.unwrap() > 0);
    }
    bridge.write(&config(0));
    assert_eq!(bridge.reload().await.status, 200);
    eventually("no more files than before", || async { (open_files(&bridge) <= files).then_some(()) }).await;
    assert!(linkit.connections() <= 2, "{} connections for a collector that is the same", linkit.connections());
    let page = get_ok(&format!("{}/metrics", bridge.url), &[]).await.body;
    assert!(!page.contains("collector=\"c"), "what has gone is still shown");
    // What runs besides is told by the bridge itself: its live tasks.
    bridge.write(&format!("{}runtime: {{ source: self, interval: 100ms }}\n", keys(KEY)));
    assert_eq!(bridge.reload().await.status, 200);
    let few = || async { bridge.value(GOROUTINES).await.filter(|tasks| *tasks < 12.0) };
    eventually("few tasks", few).await;
    let asked = Instant::now();
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_pipe_is_not_read_again_and_what_it_brought_stays() {
    let directory = Directory::new("reload-pipe");
    let pipe = directory.path().join("bridge.yml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let config = "web: { listen: ['127.0.0.1:0'] }\nruntime: { source: self, interval: 200ms }\n";
    let (path, mut command) = (pipe.clone(), command());
    let writing = std::thread::spawn(move || std::fs::write(path, config).unwrap());
    let mut process = Process::start("the bridge", command.arg("--config.file").arg(&pipe));
    let line = process.line("msg=listening").await;
    writing.join().unwrap();
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().trim_matches('"');
    let mut bridge = Bridge { url: format!("http://{address}"), process, directory, seen: 0 };
    bridge.hangup("a pipe is read once; name a file with --config.file, or restart").await;
    eventually("figures", || async { bridge.value(GOROUTINES).await }).await;
}

#[tokio::test]
async fn a_file_that_hangs_holds_up_no_later_reload() {
    let directory = Directory::new("reload-hang");
    let (key, pipe) = (directory.write("own.key", "one\n"), directory.path().join("pipe"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let of = |file: &std::path::Path| {
        format!("web: {{ api_keys: [ {{ name: a, key_file: {} }} ] }}\nruntime: {{ source: self }}\n", file.display())
    };
    let mut bridge = Bridge::start_with(directory, &of(&key), &[], &[]).await;
    bridge.write(&of(&pipe));
    bridge.hangup("the files were not read within 10s").await;
    bridge.write(&of(&key));
    bridge.hangup(DONE).await;
    // A pipe in the place of a file that is followed is not opened: nobody would write into it.
    std::fs::remove_file(&key).unwrap();
    std::fs::rename(&pipe, &key).unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, "two\n").unwrap();
    let url = format!("{}/api/v1/telemetry", bridge.url);
    let is_taken = || async { (get(&url, &[("authorization", "two")]).await?.status == 503).then_some(()) };
    eventually("the next key", is_taken).await;
}

#[tokio::test]
async fn a_demo_stays_a_demo_over_a_reload() {
    let temporary = Directory::new("reload-demo");
    let mut command = command();
    command.args(["demo", "--api-key", KEY, "--web.enable-lifecycle", "--web.listen-address", "127.0.0.1:0"]);
    let mut process = Process::start("the demo", command.env("TMPDIR", temporary.path()));
    let line = process.line("  http://").await;
    let bridge = Bridge { url: line.trim().trim_end_matches('/').to_owned(), process, directory: temporary, seen: 0 };
    bridge.is_whole().await;
    let answer = bridge.reload().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("3 of the collectors go on, 0 were stopped, 0 are started"), "{}", answer.body);
    assert_eq!(bridge.json().await.status, 200);
}
