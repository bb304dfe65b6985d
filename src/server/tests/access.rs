//! Who is let in where: keys by scope, expiry and address, through the routes.

use std::net::IpAddr;

use super::*;
use crate::clock::Wall;
use crate::reading::Number;
use crate::server::access::Admitted;
use crate::server::peer::Peer;

fn key(name: &str) -> ApiKey {
    ApiKey::from_secret(name, &SecretString::from(name))
}

/// A bridge with a key a scope, one for both, and guarded pages.
fn guarded() -> Bridge {
    Bridge::with(|config| {
        config.face.metrics_access = MetricsAccess::Key;
        config.keys =
            vec![key("telemetry"), key("metrics").with_scopes(&[Scope::Metrics]), key("both").with_scopes(&Scope::ALL)];
    })
    .filled()
}

fn from(address: &str) -> Peer {
    Peer { address: Some(address.parse::<IpAddr>().unwrap()) }
}

async fn ask(bridge: &Bridge, path: &str, key: &str, peer: Peer) -> Answer {
    let mut request = Request::get(path).header("authorization", key).body(Body::empty()).unwrap();
    request.extensions_mut().insert(peer);
    send(bridge, request).await
}

async fn send(bridge: &Bridge, request: Request<Body>) -> Answer {
    let response: Response = bridge.router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

fn refused(bridge: &Bridge, reason: &str) -> Option<Number> {
    bridge.registry.current().value(FigureId::ApiKeyRefused, Some(reason))
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say() {
    let bridge = guarded();
    let (telemetry, page, home) = ("/api/v1/telemetry", "/metrics", "/");
    for (key, path, status) in [
        ("telemetry", telemetry, 200),
        ("telemetry", page, 403),
        ("telemetry", home, 403),
        ("metrics", telemetry, 403),
        ("metrics", page, 200),
        ("metrics", home, 200),
        ("both", telemetry, 200),
        ("both", page, 200),
        ("both", home, 200),
        ("none", telemetry, 401),
        ("none", page, 401),
        ("none", home, 401),
    ] {
        for headers in [[("authorization", key)], [("x-api-key", key)]] {
            let answer = bridge.get(path, &headers).await;
            assert_eq!(answer.status, status, "{key} {path}");
            let head = bridge.request(Method::HEAD, path, &headers).await;
            assert_eq!((head.status, head.body.len()), (answer.status, 0), "{key} {path}");
        }
    }
    for path in ["/api/v1/ping", "/api/v1/health", "/-/healthy", "/-/ready"] {
        assert_eq!(bridge.get(path, &[]).await.status, 200, "{path}");
    }
    for path in [telemetry, page, home] {
        for method in [Method::OPTIONS, Method::POST] {
            assert_eq!(bridge.request(method, path, &[]).await.status, 405, "{path}");
        }
    }
}

#[tokio::test]
async fn refusals_name_what_is_asked_for_in_the_shape_of_their_side() {
    let bridge = guarded();
    let page = bridge.get("/metrics", &[]).await;
    assert_eq!(
        (page.status, page.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, Some("Bearer realm=\"metrics\""))
    );
    assert!(page.text().starts_with("unauthorized: ") && page.text().lines().count() == 1, "{}", page.text());
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let page = bridge.get("/metrics", &[("authorization", "Bearer telemetry")]).await;
    let challenge = "Bearer realm=\"metrics\", error=\"insufficient_scope\", scope=\"metrics\"";
    assert_eq!((page.status, page.header("www-authenticate")), (StatusCode::FORBIDDEN, Some(challenge)));
    let json = bridge.get("/api/v1/telemetry", &[("authorization", "metrics")]).await;
    let shape = r#"{"code":403,"error":"Forbidden","details":"this key has not the scope telemetry"}"#;
    assert_eq!((json.status, json.text()), (StatusCode::FORBIDDEN, shape));
    let good = bridge.get("/metrics", &[("authorization", "Bearer metrics")]).await;
    assert_eq!((good.status, good.header("cache-control")), (StatusCode::OK, Some("no-store")));
    for (reason, count) in [("missing", 1), ("scope", 2), ("wrong", 0), ("expired", 0), ("limited", 0)] {
        bridge.clock.advance(Duration::from_secs(2));
        assert_eq!(refused(&bridge, reason), Some(Number::Int(count)), "{reason}");
    }
}

#[tokio::test]
async fn open_pages_ask_for_no_key_and_whom_the_whole_servers_guard_admitted_needs_none() {
    let open = Bridge::new().filled();
    for path in ["/", "/metrics"] {
        assert_eq!(open.get(path, &[("authorization", "anything")]).await.status, 200, "{path}");
    }
    let bridge = guarded();
    for (path, status) in [("/", 200), ("/metrics", 200), ("/api/v1/telemetry", 401)] {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Admitted);
        assert_eq!(send(&bridge, request).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_key_is_refused_from_its_expiry_on() {
    let expires = Wall::parse_rfc3339("2024-01-15T10:31:00Z");
    let bridge = Bridge::with(|config| config.keys = vec![key("guest").expiring(expires)]).filled();
    let status = async || bridge.get("/api/v1/telemetry", &[("authorization", "guest")]).await;
    bridge.clock.advance(Duration::from_millis(59_999));
    assert_eq!(status().await.status, StatusCode::OK);
    bridge.clock.advance(Duration::from_millis(1));
    let answer = status().await;
    assert_eq!((answer.status, answer.text()), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
    bridge.clock.advance(Duration::from_secs(2));
    let page = bridge.get("/metrics", &[]).await;
    for line in [
        "linkit_bridge_api_key_expiry_timestamp_seconds{key=\"guest\"} 1705314660",
        "linkit_bridge_api_key_last_used_timestamp_seconds{key=\"guest\"} 1705314659.999",
        "linkit_bridge_api_key_refused_total{reason=\"expired\"} 1",
    ] {
        assert!(page.text().contains(line), "{line} is not in {}", page.text());
    }
}

#[tokio::test]
async fn wrong_keys_are_limited_by_address_and_good_ones_never() {
    let bridge = Bridge::new().filled();
    let (attacker, other) = (from("192.0.2.1"), from("192.0.2.2"));
    let path = "/api/v1/telemetry";
    for _ in 0..10 {
        assert_eq!(ask(&bridge, path, "wrong", attacker).await.status, 401);
    }
    let limited = ask(&bridge, path, "wrong", attacker).await;
    let shape = r#"{"code":429,"error":"Too Many Requests","details":"too many requests with wrong keys came from this address"}"#;
    assert_eq!((limited.status, limited.text()), (StatusCode::TOO_MANY_REQUESTS, shape));
    assert_eq!((limited.header("retry-after"), limited.header("www-authenticate")), (Some("6"), None));
    assert_eq!(ask(&bridge, path, KEY.1, attacker).await.status, 200, "who has a key is let in from there too");
    assert_eq!(ask(&bridge, path, "", attacker).await.status, 401, "who shows nothing guesses nothing");
    assert_eq!(ask(&bridge, path, "wrong", other).await.status, 401);
    bridge.clock.advance(Duration::from_secs(6));
    assert_eq!(ask(&bridge, path, "wrong", attacker).await.status, 401);
    assert_eq!(ask(&bridge, path, "wrong", attacker).await.status, 429);
    assert_eq!(refused(&bridge, "limited"), Some(Number::Int(2)));
}

#[tokio::test]
async fn pages_are_limited_with_the_json_and_say_so_in_a_line() {
    let bridge = guarded();
    let attacker = from("2001:db8::1");
    for path in ["/metrics", "/api/v1/telemetry"].repeat(5) {
        assert_eq!(ask(&bridge, path, "wrong", attacker).await.status, 401);
    }
    let limited = ask(&bridge, "/metrics", "wrong", from("2001:db8::2")).await;
    assert_eq!((limited.status, limited.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("6")));
    assert_eq!(limited.text(), "too many requests with wrong keys came from this address\n");
}
