//! The figures' routes: the documented JSON and the scrape page, both served ready from the caches.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::{ApiError, json_bytes};
use super::{App, Document, encoding, keys};
use crate::output::prometheus::{self, Syntax};
use crate::output::telemetry_json;
use crate::registry::Snapshot;

const STALE: HeaderName = HeaderName::from_static("x-telemetry-stale");
const ABSENT: HeaderName = HeaderName::from_static("x-telemetry-absent");

/// The outputs' names and the JSON's format, as attributes of the bridge's own figures.
pub(super) const PROMETHEUS: &str = "prometheus";
pub(super) const TELEMETRY_JSON: &str = "telemetry_json";
pub(super) const JSON: &str = "json";

/// `GET /api/v1/telemetry`
pub(super) async fn telemetry(State(app): State<App>, headers: HeaderMap) -> Response {
    if !keys::accepts(&app.config.keys, &headers) {
        return ApiError::unauthorized().into_response();
    }
    let snapshot = app.registry.current();
    let document = app.documents.get(snapshot.version, || render_document(&app, &snapshot));
    match &*document {
        Ok(document) => {
            let mut response = json_bytes(StatusCode::OK, Body::from(document.body.clone()));
            for (name, value) in [(STALE, &document.stale), (ABSENT, &document.absent)] {
                if let Some(value) = value {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            response
        }
        Err(unavailable) => ApiError::unavailable(&unavailable.details).into_response(),
    }
}

fn render_document(app: &App, snapshot: &Snapshot) -> Result<Document, telemetry_json::Unavailable> {
    let rendered = telemetry_json::render(snapshot, &app.config.json)?;
    app.rendered.count(TELEMETRY_JSON, JSON, rendered.body.len());
    let list = |names: String| HeaderValue::try_from(names).ok().filter(|names| !names.is_empty());
    let (stale, absent) = (list(rendered.stale.join(",")), list(rendered.absent.join(",")));
    Ok(Document { body: rendered.body.into(), stale, absent })
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = prometheus::negotiate(accept);
    let snapshot = app.registry.current();
    let page = app.pages.get(format.syntax, snapshot.version, || render_page(&app, &snapshot, format.syntax));
    let (body, encoding) = page.for_client(&headers);
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, encoding);
    }
    response
}

fn render_page(app: &App, snapshot: &Snapshot, syntax: Syntax) -> encoding::Body {
    let rendered = prometheus::render(snapshot, &app.joined.gather(), syntax);
    app.rendered.count(PROMETHEUS, syntax.name(), rendered.body.len());
    for dropped in app.rendered.news(rendered.dropped) {
        tracing::warn!("left out of the scrape page: {dropped}");
    }
    encoding::Body::new(rendered.body)
}
