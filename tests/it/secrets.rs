//! A canary in every place where a secret can stand, and then the bridge is listened to wherever it speaks: while all is
//! well, while nobody answers, while it is refused and while it is answered nonsense, all by servers that tell back what
//! they are told.
//!
//! The places come from the types of the configuration: a new field of a secret fails here until it has its canary.

mod gossip;

use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use linkit_bridge::app::App;
use linkit_bridge::clock::SystemClock;
use linkit_bridge::config::Config;
use sha2::{Digest, Sha256};
use tracing_subscriber::fmt::MakeWriter;

use crate::docs::settings;
use crate::support::bridge::command;
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::{Directory, eventually};
use gossip::{Gossip, Manner, Speech};

/// Each place of a secret in the types, and what is put there: a canary of its own, in the file or in a variable.
const PLACES: [(&str, &str); 6] = [
    ("ApiKeyConfig.key", "canary-01-of-a-web-key"),
    ("ApiKeyConfig.sha256", "ca9a2702"),
    ("DemoArgs.api_key", "canary-03-of-the-demo"),
    ("OtlpSection.headers", "canary-04-of-a-header"),
    ("SectionConfig.api_key", "canary-05-of-a-source"),
    ("SectionConfig.password", "canary-06-of-a-database"),
];
/// Those of the web configuration have theirs in `web/secrets.rs`.
const WEB_PLACES: [&str; 2] = ["TlsSettings.key", "WebSettings.basic_auth_users"];
/// In the files that twins name.
const WEB_KEY_FILE: &str = "canary-07-in-a-web-key-file";
const PASSWORD_FILE: &str = "canary-08-in-a-password-file";
/// In the variables of OpenTelemetry.
const OTEL_HEADER: &str = "canary-09-of-otel";

fn canary(place: &str) -> &'static str {
    PLACES.iter().find(|(known, _)| *known == place).unwrap().1
}

fn digest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest as it may be configured, with a canary in it.
fn configured_digest() -> String {
    format!("{:0>64}", canary("ApiKeyConfig.sha256"))
}

/// All that must be nowhere: the secrets, and what they are easily found from.
fn forbidden() -> Vec<String> {
    let secrets = PLACES.iter().map(|(_, canary)| *canary).chain([WEB_KEY_FILE, PASSWORD_FILE, OTEL_HEADER]);
    let mut forbidden = Vec::new();
    for secret in secrets {
        let base64 = BASE64_STANDARD.encode(secret);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let bytes = format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned();
        forbidden.extend([secret.to_owned(), base64.trim_end_matches('=').to_owned(), hex, bytes, digest(secret)]);
    }
    forbidden
}

fn is_silent(what: &str, said: &[u8]) {
    let said = String::from_utf8_lossy(said);
    for secret in forbidden() {
        if let Some(at) = said.find(&secret) {
            let start = (0..=at.saturating_sub(300)).rev().find(|start| said.is_char_boundary(*start)).unwrap();
            panic!("{what} tells {secret}: {}", said[start..].chars().take(900).collect::<String>());
        }
    }
}

/// What the sources and the receiver of a run are.
struct Neighbours {
    http: Gossip,
    postgres: Gossip,
    mysql: Gossip,
    receiver: Gossip,
}

impl Neighbours {
    async fn start(manner: Manner) -> Self {
        let of = |speech| Gossip::start(speech, manner);
        Self {
            http: of(Speech::Http).await,
            postgres: of(Speech::Postgres).await,
            mysql: of(Speech::Mysql).await,
            receiver: of(Speech::Http).await,
        }
    }

    /// Each has been asked, and what came of it was told.
    async fn have_been_asked(&self) {
        let all = [&self.http, &self.postgres, &self.mysql, &self.receiver];
        eventually("a third question to each", || async { all.iter().all(|one| one.asked() >= 3).then_some(()) }).await;
    }

    /// The config, with its secrets in the file or left to variables.
    fn config(&self, directory: &Directory, has_secrets: bool, protocol: &str) -> String {
        let secret = |key: &str, place: &str| match has_secrets {
            true => format!(", {key}: {}", canary(place)),
            false => String::new(),
        };
        let headers = match has_secrets {
            true => format!(", headers: {{ authorization: 'Bearer {}' }}", canary("OtlpSection.headers")),
            false => String::new(),
        };
        directory.write("web.key", WEB_KEY_FILE);
        directory.write("password", PASSWORD_FILE);
        let every = "interval: 200ms, max_backoff: 200ms";
        let (http, postgres) = (self.http.port, self.postgres.port);
        let (mysql, receiver) = (self.mysql.port, self.receiver.port);
        format!(
            "web:\n  listen: ['127.0.0.1:0']\n  api_keys:\n    - {{ name: a{} }}\n    - {{ name: b, key_file: WHERE/web.key }}\n    \
             - {{ name: c, sha256: '{}' }}\n\
             runtime: {{ source: telemetry_json, url: 'http://127.0.0.1:{http}', {every}{} }}\n\
             store: {{ source: postgres, url: 'postgres://bridge@127.0.0.1:{postgres}/linkit', {every}{} }}\n\
             staging: {{ source: mysql, url: 'mysql://bridge@127.0.0.1:{mysql}/linkit', {every}, password_file: WHERE/password }}\n\
             otlp: {{ endpoint: 'http://127.0.0.1:{receiver}', protocol: {protocol}, compression: none, interval: 200ms, \
             spool: {{ dir: WHERE/spool }}{headers} }}\nstate_dir: WHERE/state\n",
            if has_secrets { secret("key", "ApiKeyConfig.key") } else { format!(", key: {}", canary("ApiKeyConfig.key")) },
            configured_digest(),
            secret("api_key", "SectionConfig.api_key"),
            secret("password", "SectionConfig.password"),
        )
        .replace("WHERE", directory.path().to_str().unwrap())
    }
}

/// The same secrets by variables.
fn variables() -> Vec<(&'static str, String)> {
    vec![
        ("LINKIT_BRIDGE_API_KEY", canary("DemoArgs.api_key").to_owned()),
        ("LINKIT_BRIDGE_RUNTIME_API_KEY", canary("SectionConfig.api_key").to_owned()),
        ("LINKIT_BRIDGE_STORE_PASSWORD", canary("SectionConfig.password").to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{OTEL_HEADER}")),
    ]
}

/// Every file below a directory.
fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for path in std::fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

/// Runs the real program beside such neighbours, and listens to all that it says.
async fn listen_to(manner: Manner, format: &str, has_secrets: bool) {
    let (neighbours, directory) = (Neighbours::start(manner).await, Directory::new("secrets"));
    let file = directory.write("bridge.yml", &neighbours.config(&directory, has_secrets, "http/protobuf"));
    let arguments = ["--log.level=debug", "--log.format", format, "--config.file", file.to_str().unwrap()];
    let given = if has_secrets { Vec::new() } else { variables() };
    let program = || {
        let mut program = command();
        program.args(arguments).envs(given.iter().map(|(name, value)| (*name, value.as_str())));
        program
    };
    let what = format!("{manner:?}, {format}");
    for command in ["--config.check", "check"] {
        let mut program = program();
        program.arg(command);
        let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
        is_silent(&format!("{what}: {command}"), &[output.stdout, output.stderr].concat());
    }
    let mut bridge = Process::start("the bridge", &mut program());
    let line = bridge.line("listening").await;
    let at = line.find("127.0.0.1:").unwrap();
    let address: String = line[at..].chars().take_while(|c| !"\" ,".contains(*c)).collect();
    neighbours.have_been_asked().await;
    is_silent("the command line", &std::fs::read(format!("/proc/{}/cmdline", bridge.id())).unwrap());
    for path in ["/", "/metrics", "/api/v1/telemetry", "/api/v1/health", "/api/v1/ping", "/-/ready", "/-/healthy", "/x"]
    {
        let keys = [WEB_KEY_FILE, canary("ApiKeyConfig.key"), "wrong"].map(|key| vec![("authorization", key)]);
        for headers in keys.into_iter().chain([vec![("accept", "application/openmetrics-text")], vec![]]) {
            let answer = get(&format!("http://{address}{path}"), &headers).await.unwrap();
            is_silent(&format!("{what}: {path}"), format!("{:?}{}", answer.headers, answer.body).as_bytes());
        }
    }
    bridge.signal("-TERM");
    assert!(bridge.ended().await.success(), "{}", bridge.output());
    is_silent(&format!("{what}: the log"), bridge.output().as_bytes());
    is_silent(&format!("{what}: what is pushed"), &neighbours.receiver.heard());
    let mut kept = Vec::new();
    files(&directory.path().join("spool"), &mut kept);
    files(&directory.path().join("state"), &mut kept);
    assert!(!kept.is_empty(), "{what}: nothing is kept");
    for (name, bytes) in kept {
        is_silent(&name, &bytes);
    }
    let has_failed = bridge.output().contains("failed to read the source");
    assert!(has_failed, "{what}: no error of a source in {}", bridge.output());
}

#[test]
fn every_place_of_a_secret_has_a_canary() {
    let places: Vec<_> = PLACES.iter().map(|(place, _)| *place).chain(WEB_PLACES).collect();
    assert_eq!(settings::secrets(), places, "give the new secret a canary in this test");
}

#[tokio::test]
async fn no_secret_is_told_while_all_is_well() {
    tokio::join!(listen_to(Manner::Well, "logfmt", true), listen_to(Manner::Well, "json", false));
}

#[tokio::test]
async fn no_secret_is_told_while_nobody_answers() {
    tokio::join!(listen_to(Manner::Away, "logfmt", false), listen_to(Manner::Away, "json", true));
}

#[tokio::test]
async fn no_secret_is_told_by_those_who_refuse_and_tell_it_back() {
    tokio::join!(listen_to(Manner::Refusing, "logfmt", true), listen_to(Manner::Refusing, "json", false));
}

#[tokio::test]
async fn no_secret_is_told_by_those_who_answer_nonsense() {
    tokio::join!(listen_to(Manner::Wrong, "logfmt", false), listen_to(Manner::Wrong, "json", true));
}

#[test]
fn a_secret_in_a_url_is_refused_and_not_told() {
    let secret = canary("SectionConfig.password");
    for config in [
        format!("runtime: {{ source: telemetry_json, url: 'http://u:{secret}@a' }}"),
        format!("runtime: {{ source: telemetry_json, url: 'http://{secret}@a' }}"),
        format!("runtime: {{ source: telemetry_json, url: 'http://a/?key={secret}' }}"),
        format!("runtime: {{ source: go, url: 'http://u:{secret}@a' }}"),
        format!("store: {{ source: postgres, url: 'postgres://u:{secret}@a/b' }}"),
        format!("store: {{ source: postgres, url: 'postgres://u@a/b?password={secret}' }}"),
        format!("store: {{ source: mysql, url: 'mysql://u:{secret}@a/b' }}"),
        format!("store: {{ source: mysql, url: 'mysql://u@a/b?password={secret}' }}"),
        format!("otlp: {{ endpoint: 'http://u:{secret}@a' }}"),
        format!("otlp: {{ endpoint: 'http://a/?key={secret}' }}"),
        format!("otlp: {{ endpoint: 'u:{secret}@a:4317', protocol: grpc }}"),
    ] {
        let directory = Directory::new("url");
        let file = directory.write("bridge.yml", &config);
        let output = command().args(["--config.check", "--config.file"]).arg(file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        is_silent(&config, &said);
        assert_eq!(output.status.code(), Some(2), "{config}: {}", String::from_utf8_lossy(&said));
    }
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://u:{secret}@a")),
        ("LINKIT_BRIDGE_RUNTIME_URL", format!("http://u:{secret}@a")),
    ] {
        let env = [(name, value.as_str()), ("LINKIT_BRIDGE_RUNTIME_SOURCE", "telemetry_json")];
        let output = command().arg("--config.check").envs(env).output().unwrap();
        is_silent(name, &[output.stdout, output.stderr].concat());
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn a_mistyped_flag_does_not_tell_its_secret() {
    let secret = canary("DemoArgs.api_key");
    for arguments in [
        vec!["demo".to_owned(), format!("--api-kye={secret}")],
        vec!["demo".to_owned(), format!("--api-key={secret}"), "--web.listen-address=nowhere".to_owned()],
    ] {
        let output = command().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        is_silent(&format!("{arguments:?}"), &[output.stdout, output.stderr].concat());
    }
}

/// Everything that is traced.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Ear {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A program that embeds the bridge may listen to every library at its lowest level; all of it is on this one thread.
#[tokio::test]
async fn not_even_the_libraries_tell_a_secret_at_their_lowest_level() {
    // While there is but one listener, whether a place in the code is heard is asked of the thread that comes by first,
    // which may be another test's.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    for (manner, protocol) in [
        (Manner::Well, "http/protobuf"),
        (Manner::Away, "grpc"),
        (Manner::Refusing, "http/json"),
        (Manner::Wrong, "grpc"),
    ] {
        let (neighbours, directory, ear) = (Neighbours::start(manner).await, Directory::new("trace"), Ear::default());
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(ear.clone()).finish();
        let _listening = tracing::subscriber::set_default(subscriber);
        let text = neighbours.config(&directory, true, protocol);
        let config = Config::parse("bridge.yml", &text, &|_| None).unwrap();
        is_silent("the config itself", format!("{config:?} {config:#?}").as_bytes());
        let app = App::new(&config, &|_| None, Arc::new(SystemClock::new())).unwrap();
        let listeners = app.bind().unwrap();
        app.run(listeners, neighbours.have_been_asked()).await;
        let traced = ear.0.lock().unwrap().clone();
        is_silent(&format!("{manner:?}, {protocol}: a library"), &traced);
        assert!(String::from_utf8_lossy(&traced).contains("TRACE hyper"), "hyper is not heard");
    }
}
