//! The figures' routes: the documented JSON and the scrape page, both served ready from the caches.

use std::panic::AssertUnwindSafe;

use ::prometheus::proto::MetricFamily;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;

use super::error::{ApiError, json_bytes, method_not_allowed};
use super::face::Face;
use super::measure::measured;
use super::{App, Document, Page, access, encoding};
use crate::output::prometheus::{self, Format, Last, Selection, View};
use crate::output::telemetry_json;
use crate::registry::Snapshot;

const STALE: HeaderName = HeaderName::from_static("x-telemetry-stale");
const ABSENT: HeaderName = HeaderName::from_static("x-telemetry-absent");

/// What the scrape page's answers depend on.
const VARIES: (HeaderName, &str) = (VARY, "Accept, Accept-Encoding");
/// Where the JSON stands.
pub(super) const TELEMETRY_PATH: &str = "/api/v1/telemetry";

/// The outputs' names and the JSON's format, as attributes of the bridge's own figures.
pub(super) const PROMETHEUS: &str = "prometheus";
pub(super) const TELEMETRY_JSON: &str = "telemetry_json";
pub(super) const JSON: &str = "json";

/// `GET /api/v1/telemetry`
pub(super) async fn telemetry(State(app): State<App>, request: Request) -> Response {
    measured(&app, TELEMETRY_PATH, &request, || access::to_telemetry(&app, &request, || document(&app)))
}

fn document(app: &App) -> Response {
    // The face first: what is then gathered is at least as new as it.
    let face = app.shown.get();
    let snapshot = app.registry.current();
    let document = face.documents.get(snapshot.version, |_| render_document(app, &face, &snapshot));
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

fn render_document(app: &App, face: &Face, snapshot: &Snapshot) -> Result<Document, telemetry_json::Unavailable> {
    let rendered = telemetry_json::render(snapshot, &face.config.json)?;
    app.rendered.count(TELEMETRY_JSON, JSON, rendered.body.len());
    let list = |names: String| HeaderValue::try_from(names).ok().filter(|names| !names.is_empty());
    let (stale, absent) = (list(rendered.stale.join(",")), list(rendered.absent.join(",")));
    Ok(Document { body: rendered.body.into(), stale, absent })
}

/// `GET /metrics`
///
/// `X-Prometheus-Scrape-Timeout-Seconds` needs no reading: nothing here waits for a source, so the answer is as early as
/// it can be, whatever time the scraper has.
pub(super) async fn metrics(State(app): State<App>, request: Request) -> Response {
    measured(&app, &app.path, &request, || access::to_page(&app, &request, || page(&app, &request)))
}

/// Either of them by a method it does not serve.
pub(super) async fn refused(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    let route = if path == TELEMETRY_PATH { TELEMETRY_PATH } else { &app.path };
    measured(&app, route, &request, || method_not_allowed(request.uri()))
}

fn page(app: &App, request: &Request) -> Response {
    let Wish { format, content_type, coding } = wish(app, request.headers());
    let face = app.shown.get();
    let snapshot = app.registry.current();
    let selection = match Selection::of(sections(request.uri().query().unwrap_or_default()), &snapshot) {
        Ok(selection) => selection,
        Err(unknown) => {
            return (StatusCode::BAD_REQUEST, [VARIES], format!("{COLLECT}: {unknown}\n")).into_response();
        }
    };
    let view = View { syntax: format.syntax, escaping: format.escaping, selection };
    let page = face.pages.get(&view, snapshot.version, |last| render_page(app, &face, &snapshot, &view, last));
    let (body, encoding) = page.body.coded(coding);
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    let (vary, on) = VARIES;
    headers.insert(vary, HeaderValue::from_static(on));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, encoding);
    }
    response
}

/// What a client gets, by the headers it sends.
#[derive(Clone)]
pub(super) struct Wish {
    format: Format,
    content_type: HeaderValue,
    coding: Option<encoding::Coding>,
}

fn wish(app: &App, headers: &HeaderMap) -> Wish {
    let (accept, encodings) = (headers.get_all(ACCEPT), headers.get_all(ACCEPT_ENCODING));
    // No line of a header can be that.
    let between: [&[u8]; 1] = [b"\n"];
    let bytes = HeaderValue::as_bytes;
    app.wishes.get(
        || accept.iter().map(bytes).chain(between).chain(encodings.iter().map(bytes)),
        || {
            // Bytes outside ASCII may stand in a quoted string (RFC 9110, 5.6.4), and must not void the wishes beside it.
            let lines: Vec<_> = accept.iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
            let format = prometheus::negotiate(lines.iter().map(AsRef::as_ref));
            // All of it is our own text.
            let content_type = HeaderValue::try_from(format.content_type());
            let content_type = content_type.unwrap_or_else(|_| HeaderValue::from_static("text/plain"));
            Wish { format, content_type, coding: encoding::accepted(headers) }
        },
    )
}

/// The parameter that names a section, as often as there are sections to show.
const COLLECT: &str = "collect[]";

/// The sections a query names; other parameters are a scraper's own business.
fn sections(query: &str) -> impl Iterator<Item = String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').map(move |pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(name, _)| decoded(name) == COLLECT).map(move |(_, value)| decoded(value))
}

/// The joined families; none if a collector of an embedding program panics, which must not take our figures with it.
fn gather(joined: &::prometheus::Registry) -> Vec<MetricFamily> {
    std::panic::catch_unwind(AssertUnwindSafe(|| joined.gather())).unwrap_or_else(|_| {
        tracing::error!(
            "a collector of the joined registry panicked: its families are not on the scrape page; mend it"
        );
        Vec::new()
    })
}

fn render_page(app: &App, face: &Face, snapshot: &Snapshot, view: &View, last: Option<&Page>) -> Page {
    let last = last.map(|page| Last::new(page.body.plain(), &page.lines)).unwrap_or_default();
    let rendered = prometheus::render_after(&last, snapshot, &gather(&app.joined), &face.config.page, view);
    app.rendered.count(PROMETHEUS, view.syntax.name(), rendered.body.len());
    for dropped in app.rendered.news(rendered.dropped) {
        tracing::warn!("left out of the scrape page: {dropped}");
    }
    Page { body: encoding::Body::new(rendered.body), lines: rendered.lines }
}
