//! The command line from outside: flags, exit codes, one clear line for each mistake, and the stop.

use std::ffi::OsStr;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Output;
use std::time::{Duration, Instant};

use linkit_bridge::catalog::FIGURES;

use crate::support::Directory;
use crate::support::bridge::{Bridge, KEY, command};
use crate::support::http::get;

#[path = "../../examples/assets.rs"]
#[allow(dead_code, reason = "its `main` is for the example")]
mod assets;

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    command().args(args).envs(env.iter().copied()).output().unwrap()
}

fn check(config: &str) -> (Option<i32>, String, String) {
    let directory = Directory::new("cli");
    let file = directory.write("bridge.yml", config);
    let output = run(&["--config.check", "--log.level=error", "--config.file", file.to_str().unwrap()], &[]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(file.to_str().unwrap(), "bridge.yml");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let (code, said, _) = check(
        "store: { source: sqlite, path: /srv/data.db }\n\
         otlp: { endpoint: 'http://collector:4318', name: main }\n",
    );
    assert_eq!(code, Some(0));
    assert_eq!(
        said,
        "the configuration is good: store from sqlite every 15s; push to main (collector:4318) every 15s\n"
    );
}

#[test]
fn a_bad_configuration_is_one_line_with_place_and_remedy_and_exit_code_2() {
    for (config, part) in [
        ("store:\n  sorce: sqlite\n", "bridge.yml:2: unknown key sorce; did you mean source?"),
        ("store: { path: /srv/data.db }\n", "store: source is missing"),
        ("store: { source: sqlite }\n", "store: path is missing"),
        (
            "store: { source: self }\n",
            "store: source self cannot read this section; use sqlite or postgres or mysql or telemetry_json",
        ),
        ("store: { source: sqlite, path: /a, url: 'http://b' }\n", "store: url has no meaning for source sqlite"),
        (
            "store: { source: sqlite, path: /a, count_budget: 5s, timeout: 5s }\n",
            "store: timeout 5s is no longer than count_budget 5s",
        ),
        (
            "store: { source: mysql, url: 'mysql://a@b/c', count_budget: 20s1ms }\n",
            "store: count_budget 20.001s is longer than 20s, and a server would work on a query so long for a bridge that \
             has gone",
        ),
        (
            "custom: { own: { source: postgres, url: 'postgres://a@b/c', query_budget: 1m, timeout: 2m, figures: [ { \
             name: n, query: SELECT 1, help: N } ] } }\n",
            "own: query_budget 60s is longer than 20s",
        ),
        ("runtime: { source: telemetry_json, url: 'ftp://a' }\n", "runtime: "),
        ("runtime: { source: telemetry_json, url: 'http://u:hunter2@a' }\n", "runtime: "),
        ("web: { api_keys: [ { name: ops } ] }\n", "key \"ops\": nothing is set"),
        ("web: { api_keys: [ { name: ops, sha256: abc } ] }\n", "64 hexadecimal digits"),
        ("web: { api_keys: [ { name: ops, key_file: /nowhere/key } ] }\n", "key_file /nowhere/key: "),
        ("web: { listen: ['nowhere'] }\n", "listen address nowhere"),
        ("otlp: { endpoint: 'collector:4318' }\n", "otlp: the endpoint "),
        ("otlp: { protocol: quic }\n", "bridge.yml:1: protocol: unknown value quic"),
        ("otlp: [ { name: a, endpoint: 'http://a' }, { endpoint: 'http://b' } ]\n", "an endpoint without name"),
        (
            "otlp: [ { name: a, endpoint: 'http://a' }, { name: a, endpoint: 'http://b' } ]\n",
            "two endpoints called \"a\"",
        ),
        ("otlp:\n  - name: a\n    endpont: 'http://a'\n", "bridge.yml:3: unknown key endpont; did you mean endpoint?"),
        ("otlp: { endpoint: 'http://a/v1/metrics', protocol: grpc }\n", "holds a path, which gRPC does not have"),
        (
            "otlp: { endpoint: 'http://a', tls: { ca_file: /a } }\n",
            "otlp.tls is set, and the endpoint is one without TLS",
        ),
        ("otlp: { endpoint: 'https://a', tls: { cert_file: /a } }\n", "cert_file and key_file go together"),
        ("otlp: { endpoint: 'https://a', tls: { ca_file: /nowhere/ca.pem } }\n", "in its place: /nowhere/ca.pem: "),
        ("otlp: { endpoint: 'https://a', tls: { ca_file: /dev/null } }\n", "in its place: /dev/null: it holds none"),
        ("otlp: { endpoint: 'http://a', max_request_bytes: 10B }\n", "otlp.max_request_bytes is less than 1KiB"),
        ("otlp: { endpoint: 'http://a', queue: { max_bytes: 0B } }\n", "otlp.queue or otlp.spool has a bound of 0"),
        (
            "otlp: { endpoint: 'http://a', spool: { dir: /a, max_age: 0s } }\n",
            "otlp.queue or otlp.spool has a bound of 0",
        ),
        (
            "otlp: { endpoint: 'http://a:431800', headers: { x-key: hunter2 } }\n",
            "a port that is no number up to 65535",
        ),
        ("otlp: { interval: 5s }\n", "otlp.endpoint is missing"),
        ("otlp: { endpoint: 'http://a', headers: { 'api key': hunter2 } }\n", "the header \"api key\" cannot be sent"),
        ("web: { api_keys: [ { name: ops, key: '' } ] }\n", "key is empty"),
        (
            "runtime: { source: telemetry_json, url: 'http://a', timeout: 1s }\n\
             store: { source: telemetry_json, url: 'http://a', timeout: 2s }\n",
            "store: timeout differs from that of another section",
        ),
    ] {
        let (code, said, error) = check(config);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{config}: {error}");
        assert!(error.contains(part) && error.lines().count() == 1, "{config}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn bad_usage_is_exit_code_2_and_help_and_version_are_0() {
    let output = run(&["--web.listen-adress=:1"], &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("--web.listen-address"), "no suggestion in {error}");
    assert_eq!(run(&["--config.file", "/nowhere.yml"], &[]).status.code(), Some(2));
    for (name, value) in
        [("LINKIT_BRIDGE_STALE_AFTER", "soon"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@my_host x:4318")]
    {
        let output = run(&["--config.check"], &[(name, value)]);
        assert_eq!(output.status.code(), Some(2));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    let unused = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere")];
    assert_eq!(run(&["--config.check"], &unused).status.code(), Some(0));
    for (arguments, nearest) in [(["figurs"].as_slice(), "figures"), (&["figures", "--format=yaml"], "markdown")] {
        let output = run(arguments, &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(error.contains(nearest), "no suggestion in {error}");
    }
    for flag in ["--help", "--version"] {
        let output = run(&[flag], &[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("linkit-bridge"));
    }
}

#[test]
fn a_variable_of_opentelemetry_that_says_nothing_is_warned_of_and_ignored() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
    for (name, good, bad) in [
        ("OTEL_SDK_DISABLED", "FALSE", "0"),
        ("OTEL_METRICS_EXPORTER", "otlp,prometheus", "otlp,statsd"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000", "5"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "0", "10s"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%20b", "a=%2"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory", "sometimes"),
        ("OTEL_EXPORTER_OTLP_{}PROTOCOL", "HTTP/JSON", "quic"),
        ("OTEL_EXPORTER_OTLP_{}HEADERS", "a=b%3D,c=d", "a"),
        ("OTEL_EXPORTER_OTLP_{}TIMEOUT", "10000", "-1"),
        ("OTEL_EXPORTER_OTLP_{}COMPRESSION", "zstd", "br"),
        ("OTEL_EXPORTER_OTLP_{}INSECURE", "true", "1"),
    ] {
        let forms: &[&str] = if name.contains("{}") { &["", "METRICS_"] } else { &[""] };
        for name in forms.iter().map(|form| name.replace("{}", form)) {
            for (value, is_warned) in [(good, false), ("", false), (bad, true)] {
                let output = run(&["--config.check"], &[endpoint, (&name, value)]);
                let error = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(0), "{name}={value}: {error}");
                let warned = error.lines().filter(|line| line.contains("warn") && line.contains(&name)).count();
                assert_eq!(warned, usize::from(is_warned), "{name}={value}: {error}");
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(said.contains("push to default (a:4318) every 15s"), "{name}={value}: {said}");
            }
        }
    }
}

#[test]
fn the_version_is_told_as_prometheus_exporters_do() {
    let said = String::from_utf8(run(&["--version"], &[]).stdout).unwrap();
    let first = format!("linkit-bridge, version {} (revision: ", env!("CARGO_PKG_VERSION"));
    assert!(said.starts_with(&first) && said.contains("\n  platform: linux/"), "{said}");
}

#[test]
fn figures_need_no_config_and_fear_none() {
    let env = [("LINKIT_BRIDGE_CONFIG_FILE", "/nowhere.yml"), ("LINKIT_BRIDGE_STALE_AFTER", "soon")];
    let output = run(&["figures", "--format", "json"], &env);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let figures: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures.len(), FIGURES.len());
    let table = run(&["figures"], &[]);
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().count(), FIGURES.len() + 1);
}

#[test]
fn packages_get_a_manual_and_completions_that_know_every_flag() {
    let directory = Directory::new("assets");
    assets::write(directory.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let names = ["linkit-bridge.1", "linkit-bridge.bash", "_linkit-bridge", "linkit-bridge.fish"];
    let flags = linkit_bridge::cli::command();
    for flag in flags.get_arguments().filter_map(|argument| argument.get_long()) {
        for name in names {
            // A manual's dashes are written so that they can be copied.
            assert!(read(name).replace('\\', "").contains(flag), "{name} does not know --{flag}");
        }
    }
    assert!(read("linkit-bridge-figures.1").contains("format"));
    let bash = directory.path().join("linkit-bridge.bash");
    let is_good = std::process::Command::new("bash").arg("-n").arg(bash).status().unwrap();
    assert!(is_good.success());
}

#[test]
fn an_address_that_is_taken_is_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--web.listen-address", &address], &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("failed to listen on {address}")), "{error}");
}

#[tokio::test]
async fn variables_alone_are_a_configuration() {
    let env = [("LINKIT_BRIDGE_RUNTIME_SOURCE", "self"), ("LINKIT_BRIDGE_SERVICE_ENVIRONMENT", "by-variable")];
    let bridge = Bridge::start_with("", &env).await;
    let health = get(&format!("{}/api/v1/health", bridge.url), &[]).await.unwrap().json();
    assert_eq!(health["environment"], "by-variable");
    let series = bridge.series().await;
    for name in ["linkit_runtime_goroutines", "linkit_runtime_heap_allocated_bytes", "linkit_runtime_cpus"] {
        assert!(series[name] >= 1.0, "{name}");
    }
    assert!(series["linkit_runtime_memory_allocated_bytes_total"] >= series["linkit_runtime_heap_allocated_bytes"]);
    assert!(!series.contains_key("linkit_runtime_gc_cycles_total"), "a Rust process has no garbage collection");
}

#[tokio::test]
async fn without_a_source_the_json_is_503_and_says_which() {
    let bridge = Bridge::start("runtime: { source: self }\n").await;
    let answer = bridge.telemetry().await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    let json = answer.json();
    assert_eq!((&json["code"], &json["error"]), (&503.into(), &"Service Unavailable".into()));
    let details = json["details"].as_str().unwrap();
    assert!(details.contains("store") && details.contains("staging") && !details.contains("runtime"), "{details}");
}

#[tokio::test]
async fn without_a_key_the_json_refuses_all() {
    let mut child =
        crate::support::process::Process::start("the bridge", command().args(["--web.listen-address", "127.0.0.1:0"]));
    let line = child.line("msg=listening").await;
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().trim_matches('"');
    let answer = get(&format!("http://{address}/api/v1/telemetry"), &[("authorization", "")]).await.unwrap();
    assert_eq!(answer.status, 401);
    assert!(child.output().contains("no API key is configured"));
}

#[tokio::test]
async fn a_mistyped_variable_is_said() {
    let env = [("LINKIT_BRIDGE_STORE_INTERVALL", "5s")];
    let bridge = Bridge::start_with("runtime: { source: self }\n", &env).await;
    bridge.get("/metrics").await;
    assert!(bridge.process.output().contains("nearest=LINKIT_BRIDGE_STORE_INTERVAL"), "{}", bridge.process.output());
}

#[test]
fn a_setting_that_is_no_text_is_named_and_not_lost() {
    let no_text = OsStr::from_bytes(b"hunter2\xff");
    for name in ["LINKIT_BRIDGE_API_KEY", "OTEL_EXPORTER_OTLP_HEADERS"] {
        let output = command().arg("--config.check").env(name, no_text).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let expected = format!("linkit-bridge: {name}: this is no text in UTF-8; set it to one, or unset it\n");
        assert_eq!((output.status.code(), &*error), (Some(2), &*expected));
    }
    let other = command().arg("--config.check").env("LESSOPEN", no_text).output().unwrap();
    assert!(other.status.success(), "a variable of somebody else");
}

#[tokio::test]
async fn sigterm_is_a_clean_stop_even_with_half_open_connections() {
    let mut bridge = Bridge::start("runtime: { source: self }\n").await;
    let address = bridge.url.trim_start_matches("http://");
    let half_open: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    bridge.get("/metrics").await;
    let asked = Instant::now();
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(half_open);
    let output = bridge.process.output();
    assert!(output.contains("msg=stopped") && !output.contains(KEY), "{output}");
}

#[tokio::test]
async fn a_probe_says_whether_a_bridge_is_ready() {
    let bridge = Bridge::start("runtime: { source: self }\n").await;
    bridge.get("/-/ready").await;
    let probe = |url: String| async move {
        // A file that was broken since changes nothing of a bridge that runs.
        let broken = [("LINKIT_BRIDGE_CONFIG_FILE", "/nowhere.yml")];
        let output = tokio::task::spawn_blocking(move || run(&["probe", &url], &broken)).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(probe(format!("{}/-/ready", bridge.url)).await, (Some(0), String::new()));
    let (code, error) = probe(format!("{}/api/v1/telemetry", bridge.url)).await;
    assert!(code == Some(1) && error.contains("not ready: 401") && error.lines().count() == 1, "{error}");
    let (code, error) = probe("http://127.0.0.1:1/-/ready".to_owned()).await;
    assert!(code == Some(1) && error.contains("127.0.0.1:1"), "{error}");
    assert_eq!(probe("nowhere".to_owned()).await.0, Some(1));
    // What is wrong with the environment is the business of the next start.
    let url = format!("{}/-/ready", bridge.url);
    let env = [("LINKIT_BRIDGE_OTLP_SPOOL_MAX_AGE", "1h"), ("LINKIT_BRIDGE_STALE_AFTER", "soon")];
    let output = tokio::task::spawn_blocking(move || run(&["probe", &url], &env)).await.unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
