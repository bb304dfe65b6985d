//! Every route through the router, over a registry filled as the scheduler would.

mod access;
mod pages;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use tower::ServiceExt as _;

use super::*;
use crate::catalog::{FigureId, Section};
use crate::clock::ManualClock;
use crate::output::prometheus::PageConfig;
use crate::output::telemetry_json::tests::{DOCUMENTED, read, readings, registry};
use crate::reading::{Ages, Reading};
use crate::registry::AttemptReport;

const UNAUTHORIZED: &str = r#"{"code":401,"error":"Unauthorized","details":"Valid API key required"}"#;
const KEY: (&str, &str) = ("authorization", "your_api_key_here");

struct Bridge {
    clock: Arc<ManualClock>,
    registry: Arc<Registry>,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Bridge {
    /// A bridge that has a key and has read nothing.
    fn new() -> Self {
        Self::with(|config| config.keys = vec![ApiKey::from_secret("test", &SecretString::from(KEY.1))])
    }

    fn with(edit: impl FnOnce(&mut ServerConfig)) -> Self {
        let (registry, clock) = registry();
        Self::over(registry, clock, edit)
    }

    fn over(registry: Arc<Registry>, clock: Arc<ManualClock>, edit: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::whole(registry, clock, prometheus::Registry::new(), edit)
    }

    /// A bridge whose page the series of another registry join.
    fn joining(joined: prometheus::Registry) -> Self {
        let (registry, clock) = registry();
        Self::whole(registry, clock, joined, |_| {})
    }

    fn whole(
        registry: Arc<Registry>,
        clock: Arc<ManualClock>,
        joined: prometheus::Registry,
        edit: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        // The scope is the same on every series here; it would only make them long.
        let page = PageConfig { scope_labels: false, ..PageConfig::default() };
        let face = FaceConfig { page, version: Some("1.4.2".to_owned()), ..FaceConfig::default() };
        let mut config = ServerConfig { face, ..ServerConfig::default() };
        edit(&mut config);
        let info = ServerInfo {
            service: "shop <1>".to_owned(),
            environment: "production".to_owned(),
            clock: Arc::<ManualClock>::clone(&clock),
        };
        let server = Server::new(config, Arc::clone(&registry), joined, info).unwrap();
        Self { clock, registry, router: server.router() }
    }

    /// The same after every section has been read as the documented example has it.
    fn filled(self) -> Self {
        read(&self.registry, self.clock.now(), &Section::DOCUMENTED);
        self
    }

    fn fail(&self, section: Section) {
        let errors = [("unreachable", "nothing listens on 10.0.0.7".to_owned())];
        self.registry.report(&AttemptReport { section, took: Duration::ZERO, errors: &errors });
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(Method::GET, path, headers).await
    }

    async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response: Response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

#[tokio::test]
async fn the_documented_request_gets_the_documented_answer() {
    let answer = Bridge::new().filled().get("/api/v1/telemetry", &[KEY]).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, DOCUMENTED));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-telemetry-stale"), None);
    assert_eq!(answer.header("x-telemetry-absent"), None);
}

#[tokio::test]
async fn a_key_is_taken_in_three_ways() {
    let bridge = Bridge::new().filled();
    for header in [KEY, ("authorization", "Bearer your_api_key_here"), ("x-api-key", "your_api_key_here")] {
        assert_eq!(bridge.get("/api/v1/telemetry", &[header]).await.status, StatusCode::OK, "{header:?}");
    }
}

#[tokio::test]
async fn every_way_to_have_no_key_gets_the_documented_refusal() {
    let (keyed, closed) = (Bridge::new().filled(), Bridge::with(|_| {}).filled());
    let no: &[(&str, &str)] = &[];
    for (bridge, path, headers) in [
        (&keyed, "/api/v1/telemetry", no),
        (&keyed, "/api/v1/telemetry", &[("authorization", "wrong")]),
        (&keyed, "/api/v1/telemetry", &[("authorization", "Bearer wrong")]),
        (&keyed, "/api/v1/telemetry", &[("x-api-key", "wrong")]),
        (&keyed, "/api/v1/telemetry?api_key=your_api_key_here&authorization=your_api_key_here", no),
        (&closed, "/api/v1/telemetry", &[KEY]),
        (&closed, "/api/v1/telemetry", &[("authorization", "")]),
        (&closed, "/api/v1/telemetry", no),
    ] {
        let answer = bridge.get(path, headers).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::UNAUTHORIZED, UNAUTHORIZED), "{path} {headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"telemetry\""));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn what_is_old_or_unknowable_is_named_in_headers() {
    let bridge = Bridge::new().filled();
    let mut runtime = readings(Section::Runtime, bridge.clock.now());
    runtime.values[5] = Reading::unknowable(FigureId::RuntimeGcCycles);
    runtime.values[6] = Reading::unknowable(FigureId::RuntimeGcLastPause);
    bridge.registry.publish(vec![runtime]);
    bridge.clock.advance(Duration::from_secs(301));
    read(&bridge.registry, bridge.clock.now(), &[Section::Staging]);
    let answer = bridge.get("/api/v1/telemetry", &[KEY]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("x-telemetry-stale"), Some("runtime,store"));
    assert_eq!(answer.header("x-telemetry-absent"), Some("runtime.num_gc,runtime.gc_pause_ns"));
}

#[tokio::test]
async fn no_document_is_a_503_in_the_documented_shape() {
    let never = Bridge::new();
    let expired = Bridge::new().filled();
    expired.clock.advance(Duration::from_secs(3601));
    for (bridge, cause) in [(&never, "runtime: not read yet, missing goroutines"), (&expired, "runtime: expired, last")]
    {
        let answer = bridge.get("/api/v1/telemetry", &[KEY]).await;
        let start = format!(r#"{{"code":503,"error":"Service Unavailable","details":"{cause}"#);
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text().starts_with(&start), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("15"));
        assert_eq!(bridge.get("/metrics", &[]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_section_without_a_source_keeps_the_document_away() {
    let (_, clock) = registry();
    let registry = Arc::new(Registry::new(Arc::<ManualClock>::clone(&clock), Ages::default(), &[]));
    registry.attach("self", &[Section::Runtime], &[]);
    let keys = vec![ApiKey::from_secret("test", &SecretString::from(KEY.1))];
    let bridge = Bridge::over(registry, clock, |config| config.keys = keys);
    read(&bridge.registry, bridge.clock.now(), &[Section::Runtime]);
    let answer = bridge.get("/api/v1/telemetry", &[KEY]).await;
    let details = "store: no source is configured; staging: no source is configured";
    assert_eq!(answer.text(), format!(r#"{{"code":503,"error":"Service Unavailable","details":"{details}"}}"#));
}

#[tokio::test]
async fn a_failing_collector_of_custom_figures_leaves_the_document_as_it_is() {
    let bridge = Bridge::new().filled();
    let shop = Section::Custom("shop".into());
    bridge.registry.attach("sqlite", std::slice::from_ref(&shop), &[]);
    assert!(bridge.get("/-/ready", &[]).await.text().ends_with("staging (sqlite): up\nshop (sqlite): pending\n"));
    bridge.fail(shop);
    let ready = bridge.get("/-/ready", &[]).await;
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.text().ends_with("shop (sqlite): down, unreachable\n"), "{}", ready.text());
    let document = bridge.get("/api/v1/telemetry", &[KEY]).await;
    assert_eq!((document.status, document.text()), (StatusCode::OK, DOCUMENTED));
    assert_eq!((document.header("x-telemetry-stale"), document.header("x-telemetry-absent")), (None, None));
    let health = bridge.get("/api/v1/health", &[]).await;
    assert_eq!(health.status, StatusCode::OK);
    assert!(health.text().starts_with(r#"{"status":"degraded""#), "{}", health.text());
}

#[tokio::test]
async fn ping_and_health_speak_as_linkits_clients_know_them() {
    let bridge = Bridge::new().filled();
    let ping = bridge.get("/api/v1/ping", &[]).await;
    assert_eq!(ping.text(), r#"{"message":"pong","timestamp":"2024-01-15T10:30:00Z"}"#);
    let healthy = bridge.get("/api/v1/health", &[]).await;
    let rest = r#""version":"1.4.2","environment":"production","timestamp":"2024-01-15T10:30:00Z"}"#;
    assert_eq!(healthy.text(), format!(r#"{{"status":"healthy",{rest}"#));
    bridge.fail(Section::Store);
    let degraded = bridge.get("/api/v1/health", &[]).await;
    assert_eq!(degraded.text(), format!(r#"{{"status":"degraded",{rest}"#));
    let unhealthy = Bridge::new().get("/api/v1/health", &[]).await;
    assert_eq!(unhealthy.text(), format!(r#"{{"status":"unhealthy",{rest}"#));
    let statuses = [healthy, degraded, unhealthy].map(|answer| answer.status.as_u16());
    assert_eq!(statuses, [200, 200, 503]);
}

#[tokio::test]
async fn ready_means_every_collector_has_tried_even_in_vain() {
    let bridge = Bridge::new();
    read(&bridge.registry, bridge.clock.now(), &[Section::Runtime]);
    let answer = bridge.get("/-/ready", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().ends_with("runtime (sqlite): up\nstore (sqlite): pending\nstaging (sqlite): pending\n"));
    bridge.fail(Section::Store);
    read(&bridge.registry, bridge.clock.now(), &[Section::Staging]);
    let answer = bridge.get("/-/ready", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = "ready\nruntime (sqlite): up\nstore (sqlite): down, unreachable\nstaging (sqlite): up\n";
    assert_eq!(answer.text(), body);
    assert_eq!(Bridge::new().get("/-/healthy", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let bridge = Bridge::new().filled();
    for path in
        ["/", "/metrics", "/api/v1/telemetry", "/api/v1/ping", "/api/v1/health", "/-/healthy", "/-/ready", "/no"]
    {
        let get = bridge.get(path, &[KEY]).await;
        let head = bridge.request(Method::HEAD, path, &[KEY]).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for name in ["content-type", "content-length", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_the_shape_of_their_side() {
    let bridge = Bridge::new();
    let missing = bridge.get("/api/v2/telemetry", &[]).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text().starts_with(r#"{"code":404,"error":"Not Found","details":""#));
    let post = bridge.request(Method::POST, "/api/v1/telemetry", &[KEY]).await;
    let shape = r#"{"code":405,"error":"Method Not Allowed","details":"this endpoint is read by GET or HEAD"}"#;
    assert_eq!((post.status, post.text()), (StatusCode::METHOD_NOT_ALLOWED, shape));
    assert_eq!(post.header("allow"), Some("GET,HEAD"));
    let missing = bridge.get("/apiary", &[]).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text().starts_with("not found"));
    for path in ["/", "/metrics", "/-/ready"] {
        let delete = bridge.request(Method::DELETE, path, &[]).await;
        assert_eq!(delete.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(delete.header("allow"), Some("GET,HEAD"), "{path}");
        assert!(delete.text().starts_with("method not allowed"));
    }
}

#[test]
fn a_path_that_cannot_be_served_is_an_error_not_a_panic() {
    for path in ["", "metrics", "/{x}", "/api/v1/telemetry", "/api", "/-/ready", "//", "/a b", "/ä", "/a/../b"] {
        let config = ServerConfig { telemetry_path: path.to_owned(), ..ServerConfig::default() };
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(&format!("{path:?}")) && error.contains("default is /metrics"), "{error}");
    }
}

#[test]
fn f8_i23_the_page_is_at_the_specifications_port_and_for_this_host_alone_unless_told() {
    let config = ServerConfig::default();
    assert_eq!(config.listen, [Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)))]);
    assert_eq!((config.telemetry_path.as_str(), config.face.page), ("/metrics", PageConfig::default()));
}

#[tokio::test]
async fn routes_of_an_embedding_program_stand_beside_the_bridges_own() {
    let (registry, clock) = registry();
    let info = ServerInfo { service: String::new(), environment: String::new(), clock };
    let server = Server::new(ServerConfig::default(), registry, prometheus::Registry::new(), info).unwrap();
    let router = server.with_routes(Router::new().route("/mine", get(async || "mine"))).router();
    for (path, expected) in [("/mine", StatusCode::OK), ("/metrics", StatusCode::OK), ("/none", StatusCode::NOT_FOUND)]
    {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), expected, "{path}");
    }
}
