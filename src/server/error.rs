//! Errors as clients see them: under `/api/` the documented `{"code":…,"error":…,"details":…}`, elsewhere a line.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER as RETRY_AFTER_HEADER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use serde::Serialize;

use super::access::challenge;
use super::keys::{Refusal, Scope};

/// Time after which to ask again: the shortest interval at which the document tells clients to poll.
const RETRY_AFTER: Duration = Duration::from_secs(15);

/// What the documented answer says to who has no valid key.
const UNAUTHORIZED: &str = "Valid API key required";

/// An answer in the documented error shape.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    details: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Shape<'a> {
    code: u16,
    error: &'a str,
    details: &'a str,
}

impl ApiError {
    /// Who shows no key, a wrong one or an expired one gets the same answer, so that it tells nothing.
    pub(super) fn refused(refusal: Refusal) -> Self {
        let shown = challenge(Scope::Telemetry, refusal == Refusal::OutOfScope);
        let (status, details, header) = match refusal {
            Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, UNAUTHORIZED, (WWW_AUTHENTICATE, shown)),
            Refusal::OutOfScope => {
                (StatusCode::FORBIDDEN, "this key has not the scope telemetry", (WWW_AUTHENTICATE, shown))
            }
            Refusal::TooMany(wait) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests with wrong keys came from this address",
                (RETRY_AFTER_HEADER, seconds(wait)),
            ),
        };
        Self { status, details: Cow::Borrowed(details), header: Some(header) }
    }

    /// There is no answer now, but there may be one later.
    pub(super) fn unavailable(details: &str) -> Self {
        let header = Some((RETRY_AFTER_HEADER, seconds(RETRY_AFTER)));
        Self { status: StatusCode::SERVICE_UNAVAILABLE, details: Cow::Owned(details.to_owned()), header }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = self.status.canonical_reason().unwrap_or_default();
        let mut response = json(self.status, &Shape { code: self.status.as_u16(), error, details: &self.details });
        response.headers_mut().extend(self.header);
        response
    }
}

/// A time as `Retry-After` has it: in whole seconds, and not too early.
pub(super) fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
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

/// The answer to a request that does not say once which host it is for.
pub(super) fn bad_host(uri: &Uri) -> Response {
    refuse(uri, StatusCode::BAD_REQUEST, "a request has one Host header", "bad request: send one Host header\n")
}

/// The answer to a request with a body that is not taken.
pub(super) fn body_too_large(uri: &Uri) -> Response {
    let details = "the request's body is larger than this endpoint takes; a GET has none";
    refuse(uri, StatusCode::PAYLOAD_TOO_LARGE, details, "body too large: a GET has none\n")
}

/// The answer to who presents no password, or none that is right, where one is asked for.
pub(super) fn password_required(uri: &Uri) -> Response {
    refuse(uri, StatusCode::UNAUTHORIZED, UNAUTHORIZED, "unauthorized: a user and a password are asked for\n")
}

/// The answer to a request too many, or to a password too many.
pub(super) fn too_many(uri: &Uri) -> Response {
    let details = "too many requests; ask more seldom";
    let mut response = refuse(uri, StatusCode::TOO_MANY_REQUESTS, details, "too many requests: ask more seldom\n");
    response.headers_mut().insert(RETRY_AFTER_HEADER, HeaderValue::from_static("1"));
    response
}

fn refuse(uri: &Uri, status: StatusCode, details: &'static str, line: &'static str) -> Response {
    let path = uri.path();
    if path == "/api" || path.starts_with("/api/") {
        ApiError { status, details: Cow::Borrowed(details), header: None }.into_response()
    } else {
        (status, line).into_response()
    }
}
