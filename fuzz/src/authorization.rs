//! Who is let in to the JSON: exactly those who present a key in one of the documented ways, whatever else stands in the
//! headers; and who is not is told nothing.
//!
//! An input is the lines of `Authorization`, `X-API-Key`, a digest in a config and a file of keys; what no header can
//! hold is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::reading::Ages;
use linkit_bridge::registry::Registry;
use linkit_bridge::server::{ApiKey, Server, ServerConfig, ServerInfo};
use secrecy::SecretString;
use tower::ServiceExt as _;

/// One usual, one that looks like a scheme, one of other letters, and one that would be there if empty ones were.
const KEYS: [&str; 4] = ["k-5f3c9a", "Bearer of bad news", "ключ", " "];

const UNAUTHORIZED: &[u8] = br#"{"code":401,"error":"Unauthorized","details":"Valid API key required"}"#;

pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let authorization = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok());
    let api_key = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok());
    digest(&String::from_utf8_lossy(lines.next().unwrap_or_default()));
    list(&String::from_utf8_lossy(&lines.collect::<Vec<_>>().join(&b'\n')));

    let is_key = |value: &[u8]| KEYS.iter().any(|key| !key.trim().is_empty() && key.as_bytes() == value);
    let by_scheme = |value: &[u8]| {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        text.starts_with("bearer ") && is_key(value["bearer ".len()..].trim_ascii())
    };
    let value = |header: &Option<HeaderValue>| header.as_ref().map_or(vec![], |value| value.as_bytes().to_vec());
    let is_welcome = is_key(&value(&authorization)) || by_scheme(&value(&authorization)) || is_key(&value(&api_key));

    let (status, body) = ask([("authorization", authorization), ("x-api-key", api_key)]);
    if is_welcome {
        // Nothing has been read yet, which is told to those with a key alone.
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "a key is refused");
    } else {
        assert_eq!((status, &*body), (StatusCode::UNAUTHORIZED, UNAUTHORIZED), "who has no key is let in or told more");
    }
}

/// A digest in a config is 64 hexadecimal digits, with or without a prefix, and nothing else.
fn digest(text: &str) {
    let digits = text.trim();
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    let is_digest = digits.len() == 64 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    assert_eq!(ApiKey::from_sha256_hex("fuzz", text).is_ok(), is_digest, "{text:?}");
}

/// A file of keys has a key for each line that says something, or none at all, with an error that quotes nothing.
fn list(text: &str) {
    match ApiKey::parse_list(text) {
        Ok(keys) => {
            let says = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
            assert_eq!(keys.len(), text.trim_start_matches('\u{feff}').lines().filter(says).count());
            let names: BTreeSet<_> = keys.iter().map(|key| &key.name).collect();
            assert_eq!(names.len(), keys.len(), "two keys of one name");
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with("line ") && !error.contains(char::is_control), "{error:?}");
        }
    }
}

fn ask(headers: [(&'static str, Option<HeaderValue>); 2]) -> (StatusCode, Vec<u8>) {
    thread_local! {
        static ROUTER: Router = router();
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without input or time");
    }
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/api/v1/telemetry");
    for (name, value) in headers {
        if let Some(value) = value {
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    let router = ROUTER.with(Clone::clone);
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let Ok(response) = router.oneshot(request).await;
            let (parts, body) = response.into_parts();
            (parts.status, to_bytes(body, usize::MAX).await.expect("a body in memory").to_vec())
        })
    })
}

fn router() -> Router {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
    let registry = Arc::new(Registry::new(Arc::clone(&clock), Ages::default(), &[]));
    let keys = KEYS.map(|key| ApiKey::from_secret(key, &SecretString::from(key))).to_vec();
    let info = ServerInfo { service: "shop".to_owned(), environment: String::new(), clock };
    let config = ServerConfig { keys, ..ServerConfig::default() };
    Server::new(config, registry, prometheus::Registry::new(), info).expect("the usual path").router()
}
