//! Who may read what: the JSON is for those with a key, the scrape page and the page for people for all or for those
//! with a key that opens them.
//!
//! A guard of the whole server stands before this and tells that it has let somebody in by [`Admitted`]. The next way to
//! guard a route is decided here, and no route knows it.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::App;
use super::error::{ApiError, seconds};
use super::keys::{Refusal, Scope};
use super::lifecycle::RELOAD_PATH;
use super::peer::Peer;
use super::routes::TELEMETRY_PATH;

/// Who may read the scrape page and the page for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Everyone who reaches the server.
    #[default]
    Open,
    /// Those with a key that opens them.
    Key,
}

/// A mark among a request's extensions: a guard of the whole server knows who sent it, and lets that one read the pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted;

/// The answer of the JSON's route, or a refusal.
pub(super) fn to_telemetry(app: &App, request: &Request, answer: impl FnOnce() -> Response) -> Response {
    match admit(app, request, Scope::Telemetry) {
        Ok(()) => answer(),
        Err(refusal) => ApiError::refused(refusal).into_response(),
    }
}

/// The answer of a page's route, or a refusal.
pub(super) fn to_page(app: &App, request: &Request, answer: impl FnOnce() -> Response) -> Response {
    if app.shown.get().config.metrics_access == MetricsAccess::Open {
        return answer();
    }
    let mut response = refusal(app, request).unwrap_or_else(answer);
    // A cache on the way knows of `Authorization`, and not of our other headers.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The refusal of a request that may not read the pages, nor have the bridge reload.
pub(super) fn refusal(app: &App, request: &Request) -> Option<Response> {
    let is_open = app.shown.get().config.metrics_access == MetricsAccess::Open;
    if is_open || request.extensions().get::<Admitted>().is_some() {
        return None;
    }
    admit(app, request, Scope::Metrics).err().map(refused_page)
}

/// Whether the route of `path` asks for a key itself.
pub(super) fn asks_for_key(app: &App, path: &str) -> bool {
    let is_page = path == "/" || path == app.path || path == RELOAD_PATH;
    path == TELEMETRY_PATH || is_page && app.shown.get().config.metrics_access == MetricsAccess::Key
}

fn admit(app: &App, request: &Request, scope: Scope) -> Result<(), Refusal> {
    let address = Peer::of(request.extensions()).address;
    app.keys.admit(request.headers(), scope, address, app.info.clock.now())
}

/// The challenge to show a key (RFC 6750, 3); for one that opens other things with the reason.
pub(super) fn challenge(scope: Scope, is_out_of_scope: bool) -> HeaderValue {
    HeaderValue::from_static(match (scope, is_out_of_scope) {
        (Scope::Telemetry, false) => "Bearer realm=\"telemetry\"",
        (Scope::Telemetry, true) => "Bearer realm=\"telemetry\", error=\"insufficient_scope\", scope=\"telemetry\"",
        (Scope::Metrics, false) => "Bearer realm=\"metrics\"",
        (Scope::Metrics, true) => "Bearer realm=\"metrics\", error=\"insufficient_scope\", scope=\"metrics\"",
    })
}

/// A refusal as pages say it: in a line.
fn refused_page(refusal: Refusal) -> Response {
    let (status, line) = match refusal {
        Refusal::Unauthorized => (
            StatusCode::UNAUTHORIZED,
            "unauthorized: show a key with the scope metrics, as Authorization: Bearer KEY; a browser cannot, \
             for the page set users in the web configuration\n",
        ),
        Refusal::OutOfScope => (StatusCode::FORBIDDEN, "forbidden: this key has not the scope metrics\n"),
        Refusal::TooMany(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "too many requests with wrong keys came from this address\n")
        }
    };
    let mut response = (status, Body::from(line)).into_response();
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match refusal {
        Refusal::TooMany(wait) => headers.insert(RETRY_AFTER, seconds(wait)),
        refused => headers.insert(WWW_AUTHENTICATE, challenge(Scope::Metrics, refused == Refusal::OutOfScope)),
    };
    response
}
