//! Errors as clients see them: under `/api/` the documented `{"code":…,"error":…,"details":…}`, elsewhere a line.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode, Uri};
use serde::Serialize;

/// Seconds after which to ask again: the shortest interval at which the document tells clients to poll.
const RETRY_AFTER_S: &str = "15";

/// An answer in the documented error shape.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    details: Cow<'static, str>,
}

#[derive(Serialize)]
struct Shape<'a> {
    code: u16,
    error: &'a str,
    details: &'a str,
}

impl ApiError {
    /// No key or a wrong one: the same answer, so that it tells nothing.
    pub(super) const fn unauthorized() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, details: Cow::Borrowed("Valid API key required") }
    }

    /// There is no answer now, but there may be one later.
    pub(super) fn unavailable(details: &str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, details: Cow::Owned(details.to_owned()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = self.status.canonical_reason().unwrap_or_default();
        let mut response = json(self.status, &Shape { code: self.status.as_u16(), error, details: &self.details });
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"telemetry\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
            }
            _ => {}
        }
        response
    }
}

/// An answer in JSON, not to be kept by anyone on the way.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    json_bytes(status, body.into())
}

/// As [`json`], already written.
pub(super) fn json_bytes(status: StatusCode, body: Body) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// The answer for paths nobody serves.
pub(super) async fn not_found(uri: Uri) -> Response {
    let details = "no such endpoint; there are /api/v1/telemetry, /api/v1/ping and /api/v1/health";
    refuse(&uri, StatusCode::NOT_FOUND, details, "not found: the page at / links to what there is\n")
}

/// The answer for methods a route does not serve; the router adds `Allow`.
pub(super) fn method_not_allowed(uri: &Uri) -> Response {
    let details = "this endpoint is read by GET or HEAD";
    refuse(uri, StatusCode::METHOD_NOT_ALLOWED, details, "method not allowed: use GET or HEAD\n")
}

fn refuse(uri: &Uri, status: StatusCode, details: &'static str, line: &'static str) -> Response {
    let path = uri.path();
    if path == "/api" || path.starts_with("/api/") {
        ApiError { status, details: Cow::Borrowed(details) }.into_response()
    } else {
        (status, line).into_response()
    }
}
