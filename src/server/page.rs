//! The page for people at `/`, served ready from its cache. It shows nothing a scrape would not.
//!
//! Its only style and script are allowed by their digests, so that nothing injected can run.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::cache::Latest;
use super::{App, ServerInfo, access, encoding};
use crate::output::html::{self, Site};

/// The output's name and its format, as attributes of the bridge's own figures.
pub(super) const HTML: &str = "html";

/// The page, rendered once a snapshot.
#[derive(Debug)]
pub(super) struct HomePage {
    site: Site,
    policy: HeaderValue,
    latest: Latest<encoding::Body>,
}

impl HomePage {
    /// The page of a bridge whose scrape page is at `telemetry_path`.
    pub(super) fn new(info: &ServerInfo, telemetry_path: &str) -> Self {
        let site = Site {
            service: info.service.clone(),
            environment: info.environment.clone(),
            telemetry_path: telemetry_path.to_owned(),
            started: info.clock.now(),
        };
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            digest(html::STYLE),
            digest(html::SCRIPT),
        );
        // Digests are ASCII, so the alternative is never taken; it allows nothing.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { site, policy, latest: Latest::new() }
    }
}

/// `GET /`
pub(super) async fn home(State(app): State<App>, request: Request) -> Response {
    access::to_page(&app, &request, || page(&app, request.headers()))
}

fn page(app: &App, headers: &HeaderMap) -> Response {
    // The face first: what is then gathered is at least as new as it.
    let (face, home) = (app.shown.get(), &app.home);
    let snapshot = app.registry.current();
    let rendered = home.latest.get(snapshot.version, |_| {
        let page = html::render(&snapshot, &home.site, &face.config.links, face.config.version.as_deref());
        app.rendered.count(HTML, HTML, page.len());
        encoding::Body::new(page)
    });
    let (body, encoding) = rendered.for_client(headers);
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, home.policy.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, encoding);
    }
    response
}

/// The policy's source for an element with this text.
fn digest(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())))
}
