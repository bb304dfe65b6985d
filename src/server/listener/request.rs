//! The requests of one connection: which step each is in, whom it is from, and what of it may come.
//!
//! Only a GET or HEAD without a body leaves the connection open for the next. Where requests disagree about the length of
//! a body, as `Content-Length` beside `Transfer-Encoding`, there is no second request then to smuggle.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, Request, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tower_service::Service as _;

use crate::server::door::Place;
use crate::server::error;
use crate::server::guard::Progress;
use crate::server::limits::Limits;
use crate::server::peer::Peer;

/// Most of an unwanted body that is read away before its request is refused: a client that still sends would have its
/// connection reset and may never see the answer.
const UNWANTED_MAX: usize = 64 * 1024;

/// Answers the requests of one connection.
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) peer: Peer,
    pub(super) place: Place,
}

impl Requests {
    pub(super) async fn answer(&self, mut request: Request<Incoming>) -> Response {
        self.place.established();
        let progress = self.place.progress();
        let has_body = !request.body().is_end_stream();
        let is_http1 = request.version() != Version::HTTP_2;
        if has_body {
            progress.reading_body();
        } else {
            progress.handling();
        }
        request.extensions_mut().insert(self.peer);
        if lacks_host(&request) {
            let mut answer = error::bad_host(request.uri());
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            progress.answering();
            return answer;
        }
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let too_long = request.body().size_hint().lower() > self.limits.body_bytes as u64;
        let mut answer = if has_body && (only_reads || too_long) {
            let (parts, body) = request.into_parts();
            read_away(body).await;
            error::body_too_large(&parts.uri)
        } else {
            let limit = self.limits.body_bytes;
            let body = |body| Body::new(Limited::new(Followed { body, progress: progress.clone() }, limit));
            let Ok(answer) = self.router.clone().call(request.map(body)).await;
            answer
        };
        // Each request of HTTP/2 has its own frames, which end where they end.
        if (has_body || !only_reads) && is_http1 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        progress.answering();
        answer
    }
}

/// Whether it is not said once which host is meant (RFC 9112, 3.2).
fn lacks_host(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1
}

/// Reads a body that nobody wants, if that is soon done.
async fn read_away(body: Incoming) {
    if body.size_hint().upper().is_none_or(|bytes| bytes <= UNWANTED_MAX as u64) {
        let mut body = Limited::new(body, UNWANTED_MAX);
        while let Some(Ok(_)) = body.frame().await {}
    }
}

/// A body whose end is seen by the guard.
struct Followed {
    body: Incoming,
    progress: Progress,
}

impl hyper::body::Body for Followed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.progress.handling();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
