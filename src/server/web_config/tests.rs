//! The file as a value: loaded, changed under its hands, and broken; without TLS, whose files are made outside.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use tower::ServiceExt as _;

use super::*;
use crate::clock::ManualClock;
use crate::output::telemetry_json::tests::registry;
use crate::server::{ApiKey, Server, ServerConfig, ServerInfo};

struct Written {
    directory: PathBuf,
    clock: Arc<ManualClock>,
    file: WebConfigFile,
}

impl Written {
    fn new(text: &str) -> Self {
        let unique = format!("linkit-bridge-web-{}-{:x}", std::process::id(), fastrand::u64(..));
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("web.yml"), text).unwrap();
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let file = WebConfigFile::load(&directory.join("web.yml"), clock.clone()).unwrap();
        Self { directory, clock, file }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.directory.join("web.yml"), text).unwrap();
    }

    fn header(&self) -> Option<String> {
        let ready = self.file.current();
        ready.headers.first().map(|(_, value)| value.to_str().unwrap().to_owned())
    }

    fn figures(&self) -> BTreeMap<FigureId, u64> {
        self.file.readings().into_iter().map(|reading| (reading.figure, reading.value.unwrap())).collect()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn frames(value: &str) -> String {
    format!("http_server_config: {{ headers: {{ X-Frame-Options: {value} }} }}\n")
}

#[test]
fn a_change_counts_once_it_has_settled() {
    let written = Written::new(&frames("deny"));
    written.file.look();
    assert_eq!(written.header().as_deref(), Some("deny"));
    written.write(&frames("same"));
    written.file.look();
    // It was being written.
    written.write(&frames("sameorigin"));
    written.file.look();
    assert_eq!(written.header().as_deref(), Some("deny"));
    written.file.look();
    assert_eq!(written.header().as_deref(), Some("sameorigin"));
    // What changes and changes back has not changed.
    written.write(&frames("deny"));
    written.file.look();
    written.write(&frames("sameorigin"));
    written.file.look();
    assert!(lock(&written.file.0.state).changed.is_none());
}

#[test]
fn a_broken_file_keeps_the_last_good_one_is_tried_once_and_shows() {
    let written = Written::new(&frames("deny"));
    let (good, start) = (FigureId::WebConfigLastReloadSuccessful, written.clock.now().wall.0);
    assert_eq!(written.figures(), BTreeMap::from([(good, 1), (FigureId::WebConfigLastReloadTimestamp, start)]));
    written.clock.advance(Duration::from_secs(60));
    written.write(&frames("nonsense"));
    written.file.look();
    written.file.look();
    assert_eq!(written.header().as_deref(), Some("deny"));
    assert_eq!(written.figures(), BTreeMap::from([(good, 0), (FigureId::WebConfigLastReloadTimestamp, start)]));
    written.file.look();
    assert!(lock(&written.file.0.state).changed.is_none(), "it would be tried again and again");
    std::fs::remove_file(written.directory.join("web.yml")).unwrap();
    written.file.look();
    written.file.look();
    assert_eq!((written.header().as_deref(), written.figures()[&good]), (Some("deny"), 0));
    written.write(&frames("sameorigin"));
    written.file.reload().unwrap();
    let expected = [(good, 1), (FigureId::WebConfigLastReloadTimestamp, start + 60_000_000_000)];
    assert_eq!((written.header().as_deref(), written.figures()), (Some("sameorigin"), BTreeMap::from(expected)));
}

#[test]
fn a_pipe_is_read_once_and_what_it_brought_stays() {
    let pipe = Written::new("").directory.with_extension("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (path, clock) = (pipe.clone(), Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600))));
    let writing = std::thread::spawn(move || std::fs::write(path, frames("deny")).unwrap());
    let file = WebConfigFile::load(&pipe, clock).unwrap();
    writing.join().unwrap();
    // Nobody writes any more: who opened it would wait for ever.
    file.look();
    file.look();
    let error = file.reload().unwrap_err().to_string();
    assert!(error.ends_with("a pipe is read once; name a file, or restart; name a readable file"), "{error}");
    assert_eq!(file.current().headers.len(), 1);
    std::fs::remove_file(&pipe).unwrap();
}

#[test]
fn files_that_become_directories_or_empty_or_vanish_change_nothing() {
    let written = Written::new(&frames("deny"));
    let path = written.directory.join("web.yml");
    let good = FigureId::WebConfigLastReloadSuccessful;
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    written.file.look();
    written.file.look();
    assert_eq!((written.header().as_deref(), written.figures()[&good]), (Some("deny"), 0));
    std::fs::remove_dir(&path).unwrap();
    // As Kubernetes swaps it: a link to a link.
    for (version, value) in [("..1", "sameorigin"), ("..2", "deny")] {
        std::fs::create_dir(written.directory.join(version)).unwrap();
        std::fs::write(written.directory.join(version).join("web.yml"), frames(value)).unwrap();
        std::os::unix::fs::symlink(version, written.directory.join("..next")).unwrap();
        std::fs::rename(written.directory.join("..next"), written.directory.join("..data")).unwrap();
        if version == "..1" {
            std::os::unix::fs::symlink("..data/web.yml", &path).unwrap();
        }
        written.file.look();
        written.file.look();
        assert_eq!((written.header().as_deref(), written.figures()[&good]), (Some(value), 1));
    }
}

#[test]
fn tls_is_not_switched_by_a_reload() {
    let written = Written::new("");
    written.write("tls_server_config: { cert_file: a, key_file: b }\n");
    let error = written.file.reload().unwrap_err().to_string();
    assert!(error.contains("by a restart alone") && error.contains("web.yml"), "{error}");
}

#[test]
fn a_file_that_was_cut_off_opens_nothing() {
    let hash = bcrypt::hash("a", 4).unwrap();
    let written = Written::new(&format!("{}basic_auth_users: {{ alice: '{hash}' }}\n", frames("deny")));
    assert!(written.file.is_guarded());
    for cut in [String::new(), frames("deny"), "basic_auth_users:\n".to_owned()] {
        written.write(&cut);
        let error = written.file.reload().unwrap_err().to_string();
        assert!(error.contains("basic_auth_users is gone") && error.ends_with("put it back, or restart"), "{error}");
        assert!(written.file.is_guarded() && written.header().is_some());
    }
    written.write(&format!("basic_auth_users: {{ bob: '{hash}' }}\n"));
    written.file.reload().unwrap();
    assert!(!Written::new(&frames("deny")).file.is_guarded());
}

#[test]
fn a_reload_fills_no_bucket_unless_the_limit_is_another() {
    let written = Written::new("rate_limit: { interval: 1s, burst: 1 }\n");
    let admits = || written.file.current().limiter.as_ref().unwrap().admits(written.clock.now().mono);
    assert!(admits() && !admits());
    written.file.reload().unwrap();
    assert!(!admits());
    written.clock.advance(Duration::from_secs(1));
    assert!(admits() && !admits());
    written.write("rate_limit: { interval: 1s, burst: 2 }\n");
    written.file.reload().unwrap();
    assert!(admits() && admits() && !admits());
}

/// The routes of a bridge under a file, and an answer's status, headers and text.
async fn answer(written: &Written, path: &str, header: Option<(&str, &str)>) -> (StatusCode, http::HeaderMap, String) {
    let (registry, clock) = registry();
    let key = ApiKey::from_secret("test", &SecretString::from("k-1"));
    let info = ServerInfo { service: "shop".to_owned(), environment: String::new(), clock };
    let config = ServerConfig { keys: vec![key], ..ServerConfig::default() };
    let server = Server::new(config, registry, prometheus::Registry::new(), info).unwrap();
    let routes = axum::Router::new().route("/own", axum::routing::get(|| async { "own" }));
    let router = server.with_routes(routes).with_web_config(written.file.clone()).router();
    let mut request = Request::builder().uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let (parts, body) = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

#[tokio::test]
async fn every_answer_carries_the_headers_and_refusals_have_the_shape_of_their_path() {
    let hash = bcrypt::hash("a", 4).unwrap();
    let users = format!("basic_auth_users: {{ alice: '{hash}' }}\n{}", frames("deny"));
    let written = Written::new(&users);
    let alice = Some(("authorization", "Basic YWxpY2U6YQ=="));
    for (path, header, status) in [
        ("/own", None, 401),
        ("/own", alice, 200),
        ("/metrics", alice, 200),
        ("/nowhere", alice, 404),
        ("/metrics", Some(("x-api-key", "k-1")), 401),
        ("/api/v1/telemetry", Some(("x-api-key", "k-1")), 503),
        ("/api/v1/telemetry", Some(("x-api-key", "k-2")), 401),
        ("/api/v1/telemetry?x=/metrics", Some(("authorization", "k-1")), 503),
        ("/api/v1/ping", Some(("authorization", "k-1")), 401),
    ] {
        let (got, headers, text) = answer(&written, path, header).await;
        assert_eq!((got.as_u16(), &headers["x-frame-options"]), (status, &HeaderValue::from_static("deny")), "{path}");
        if got == StatusCode::UNAUTHORIZED {
            let challenges: Vec<_> = headers.get_all("www-authenticate").iter().collect();
            assert!(
                challenges.iter().any(|value| value.to_str().unwrap().starts_with("Basic realm=")),
                "{challenges:?}"
            );
            assert_eq!(text.starts_with(r#"{"code":401,"error":"Unauthorized""#), path.starts_with("/api"), "{text}");
        }
    }
    written.write(&format!("{users}rate_limit: {{ interval: 1h, burst: 0 }}\n"));
    written.file.reload().unwrap();
    for path in ["/metrics", "/api/v1/telemetry"] {
        let (status, headers, text) = answer(&written, path, alice).await;
        assert_eq!((status.as_u16(), headers.contains_key("x-frame-options")), (429, true));
        assert_eq!(text.starts_with(r#"{"code":429,"error":"Too Many Requests""#), path.starts_with("/api"), "{text}");
    }
}
