//! API keys of the running program: exchanged under load, revoked, scoped, limited, made and hashed on the command line.

use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::bridge::{Bridge, KEY, command};
use crate::support::http::get;
use crate::support::peers::peer;
use crate::support::prometheus::Prometheus;
use crate::support::{Directory, eventually};
use crate::web::HASH;

/// Longest time a key that was taken out of its file may still be let in.
const REVOKED_WITHIN: Duration = Duration::from_secs(6);

/// The requests of one client to the next, at 50 a second.
const BEAT: Duration = Duration::from_millis(20);

/// `linkit-bridge key …` with a standard input.
fn key(args: &[&str], input: &str) -> Output {
    let mut command = command();
    command.arg("key").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A child that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A line of a file of keys, as the program makes it.
fn line(name: &str, secret: &str) -> String {
    let line = printed(&key(&["hash", "--name", name], secret));
    format!("{} scopes=telemetry,metrics\n", line.trim_end())
}

/// A bridge whose pages are guarded and whose further keys stand in a file.
async fn guarded(list: &str) -> (Bridge, Directory) {
    let directory = Directory::new("keys");
    let file = directory.write("keys", list);
    let env =
        [("LINKIT_BRIDGE_WEB_METRICS_ACCESS", "key"), ("LINKIT_BRIDGE_WEB_API_KEYS_FILE", file.to_str().unwrap())];
    (Bridge::start_with("runtime: { source: self }\n", &env).await, directory)
}

async fn status(bridge: &Bridge, path: &str, key: &str) -> u16 {
    get(&format!("{}{path}", bridge.url), &[("authorization", key)]).await.unwrap().status.as_u16()
}

async fn eventually_status(bridge: &Bridge, key: &str, expected: u16) {
    let ask = || async { (status(bridge, "/metrics", key).await == expected).then_some(()) };
    eventually(&format!("{expected} for {key}"), ask).await;
}

#[tokio::test]
async fn keys_are_exchanged_under_load_without_a_failure_and_a_revoked_one_is_refused_in_time() {
    let (old, new) = (line("old", "first-key-91c2b7aa"), line("new", "second-key-44f0e2d9"));
    let (mut bridge, directory) = guarded(&old).await;
    let key = Arc::new(Mutex::new("first-key-91c2b7aa"));
    let (url, shown) = (format!("{}/metrics", bridge.url), Arc::clone(&key));
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let (answers, answered) = tokio::sync::watch::channel(0);
    let load = tokio::spawn(async move {
        let (mut beat, mut statuses) = (tokio::time::interval(BEAT), Vec::new());
        while stopped.try_recv().is_err() {
            beat.tick().await;
            let key = *shown.lock().unwrap();
            statuses.push(get(&url, &[("authorization", key)]).await.map(|answer| answer.status.as_u16()));
            answers.send_replace(statuses.len());
        }
        statuses
    });
    directory.write("keys", &format!("{old}{new}"));
    eventually_status(&bridge, "second-key-44f0e2d9", 200).await;
    *key.lock().unwrap() = "second-key-44f0e2d9";
    assert_eq!(status(&bridge, "/metrics", "first-key-91c2b7aa").await, 200);
    // A request that still shows the old key may be under way: the one after it does not.
    let at_exchange = *answered.borrow();
    eventually("requests with the new key", || async { (*answered.borrow() > at_exchange + 1).then_some(()) }).await;
    directory.write("keys", &new);
    let revoked = Instant::now();
    eventually_status(&bridge, "first-key-91c2b7aa", 401).await;
    let took = revoked.elapsed();
    assert!(took <= REVOKED_WITHIN, "a revoked key was taken for {took:?}");
    stop.send(()).unwrap();
    let statuses = load.await.unwrap();
    assert!(statuses.len() > 50, "{}", statuses.len());
    assert!(statuses.iter().all(|status| *status == Some(200)), "{statuses:?}");
    bridge.process.line("API keys have changed").await;
    let output = bridge.process.output();
    assert!(!output.contains("-key-"), "{output}");
}

#[tokio::test]
async fn a_broken_file_keeps_its_keys_and_is_a_figure_and_one_line_until_it_is_mended() {
    let (mut bridge, directory) = guarded(&line("ops", "ops-key-91c2b7aa31d0")).await;
    let figure = "linkit_bridge_api_key_last_reload_successful";
    let url = format!("{}/metrics", bridge.url);
    let is = |expected: f64| {
        let url = &url;
        async move {
            let ask = || async {
                let page = get(url, &[("authorization", "ops-key-91c2b7aa31d0")]).await.unwrap();
                assert_eq!(page.status, 200);
                let value = *crate::support::page::series(&page.body).get(figure).unwrap();
                ((value - expected).abs() < f64::EPSILON).then_some(())
            };
            eventually(&format!("{figure} {expected}"), ask).await;
        }
    };
    is(1.0).await;
    directory.write("keys", "hunter2\n");
    is(0.0).await;
    // Further looks say nothing new.
    bridge.process.line("web.api_keys_file").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let said = bridge.process.output();
    assert_eq!(said.matches("what was in it before goes on being taken").count(), 1, "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    directory.write("keys", &line("ops", "ops-key-91c2b7aa31d0"));
    is(1.0).await;
    bridge.process.line("it can be read again").await;
}

#[tokio::test]
async fn scopes_and_limits_hold_over_the_wire() {
    let (bridge, _directory) = guarded(&line("both", "both-key-91c2b7aa31d0")).await;
    for (key, path, expected) in [
        (KEY, "/metrics", 403),
        (KEY, "/", 403),
        ("both-key-91c2b7aa31d0", "/metrics", 200),
        ("Bearer both-key-91c2b7aa31d0", "/", 200),
        // Nothing is known of the store here, which is told to those with a key alone.
        (KEY, "/api/v1/telemetry", 503),
        ("both-key-91c2b7aa31d0", "/api/v1/telemetry", 503),
        ("", "/-/healthy", 200),
    ] {
        assert_eq!(status(&bridge, path, key).await, expected, "{key} {path}");
    }
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(status(&bridge, "/api/v1/telemetry", "guess").await);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert!(statuses[10..].contains(&429), "{statuses:?}");
    let limited = || async {
        let answer = get(&format!("{}/api/v1/telemetry", bridge.url), &[("x-api-key", "guess")]).await.unwrap();
        (answer.status == 429).then_some(answer)
    };
    let answer = eventually("a refusal for too many guesses", limited).await;
    assert_eq!((&answer.json()["code"], &answer.json()["error"]), (&429.into(), &"Too Many Requests".into()));
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(status(&bridge, "/api/v1/telemetry", KEY).await, 503, "a good key is let in from a limited address");
}

#[tokio::test]
async fn a_start_says_which_keys_are_weak_or_expired_and_where_the_page_is_open_to_all() {
    let directory = Directory::new("credentials");
    directory.write("bridge", "hunter2\n");
    let env = [
        ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap()),
        ("LINKIT_BRIDGE_API_KEY_CREDENTIAL", "bridge"),
        ("LINKIT_BRIDGE_API_KEY_EXPIRES", "2020-01-01"),
        ("LINKIT_BRIDGE_WEB_LISTEN", "0.0.0.0:0"),
    ];
    let bridge = Bridge::start_with("", &env).await;
    let said = bridge.process.output();
    for part in [
        "key \\\"environment\\\": the key is weak: it has fewer than 16 characters",
        "this API key has expired",
        "the scrape page is open to all who reach this address: set web.metrics_access to key",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("hunter2") && !said.contains(KEY), "{said}");
    let url = bridge.url.replace("0.0.0.0", "127.0.0.1");
    let answer = get(&format!("{url}/api/v1/telemetry"), &[("authorization", "hunter2")]).await.unwrap();
    assert_eq!(answer.status, 401, "an expired key is let in");
    let meant = [("LINKIT_BRIDGE_WEB_LISTEN", "0.0.0.0:0"), ("LINKIT_BRIDGE_WEB_METRICS_ACCESS", "open")];
    let said = Bridge::start_with("", &meant).await.process.output();
    assert!(!said.contains("the scrape page is open"), "{said}");
    // A web configuration is a guard if it asks who comes.
    let directory = Directory::new("web-open");
    for (web, is_warned) in [
        ("http_server_config: { headers: { X-Frame-Options: deny } }\n".to_owned(), true),
        (format!("basic_auth_users: {{ scraper: '{HASH}' }}\n"), false),
    ] {
        let web = directory.write("web.yml", &web);
        let env = [("LINKIT_BRIDGE_WEB_LISTEN", "0.0.0.0:0"), ("LINKIT_BRIDGE_WEB_CONFIG_FILE", web.to_str().unwrap())];
        let said = Bridge::start_with("", &env).await.process.output();
        assert_eq!(said.contains("the scrape page is open"), is_warned, "{said}");
    }
}

#[tokio::test]
async fn prometheus_scrapes_a_guarded_page_with_a_key_from_a_file_and_follows_its_exchange() {
    let Some(program) = peer("prometheus") else { return };
    let (first, second) = ("scrape-key-91c2b7aa31d0", "scrape-key-44f0e2d9c7b1");
    let (bridge, directory) = guarded(&line("prometheus", first)).await;
    let credentials = directory.write("credentials", first);
    let options = format!("    authorization: {{ credentials_file: '{}' }}\n", credentials.display());
    let address = bridge.url.trim_start_matches("http://").to_owned();
    let prometheus = Prometheus::start(&program, &Prometheus::scraping(&address, &options), &[]).await;
    let is = async |health: &str| {
        let ask = || async { (prometheus.target().await.0 == health).then_some(()) };
        eventually(&format!("a scrape that is {health}"), ask).await;
    };
    is("up").await;
    directory.write("keys", &line("prometheus", second));
    is("down").await;
    assert!(prometheus.target().await.1.contains("401"), "{:?}", prometheus.target().await);
    directory.write("credentials", second);
    is("up").await;
    let used = prometheus.value("linkit_bridge_api_key_last_used_timestamp_seconds{key=\"prometheus\"}").await;
    assert!(used > 1.7e9, "{used}");
}

#[test]
fn a_new_key_is_printed_with_its_digest_and_alone_for_a_pipe() {
    let told = printed(&key(&["new", "--name", "ci"], ""));
    let word = |row: &str| {
        let row = told.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row} is not in {told}"));
        row.split_whitespace().nth(1).unwrap().to_owned()
    };
    let (fresh, digest) = (word("key"), word("sha256"));
    assert!(fresh.starts_with("lb_") && fresh.len() == 35, "{fresh}");
    assert_eq!(printed(&key(&["hash"], &fresh)), format!("sha256:{digest}\n"));
    assert_eq!(printed(&key(&["hash", "--name", "ci"], &format!("{fresh}\n"))), format!("ci:sha256:{digest}\n"));
    assert!(told.contains(&format!("ci:sha256:{digest}")), "{told}");
    let config = told.lines().find_map(|line| line.strip_prefix("config")).unwrap().trim();
    linkit_bridge::config::Config::parse("printed", config, &|_| None).unwrap();
    let alone = printed(&key(&["new", "-q"], ""));
    assert!(alone.starts_with("lb_") && alone.trim_end().len() == 35 && alone.lines().count() == 1, "{alone}");
    assert_ne!(alone.trim_end(), fresh);
}

#[test]
fn what_is_no_key_has_no_digest_and_a_weak_one_is_said_to_be() {
    for (args, input) in [
        (&["hash"][..], ""),
        (&["hash"], "\n"),
        (&["hash"], "two\nlines"),
        (&["hash", "--name", "a:b"], "x"),
        (&[], ""),
    ] {
        let output = key(args, input);
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{args:?} {input:?}");
    }
    let output = key(&["hash"], "hunter2");
    assert!(printed(&output).starts_with("sha256:"));
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("the key is weak") && !warning.contains("hunter2"), "{warning}");
}
