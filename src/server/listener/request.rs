//! The requests of one connection: which step each is in, whom it is from, and what of it may come.
//!
//! Only a GET or HEAD without a body leaves the connection open for the next. Where requests disagree about the length of
//! a body, as `Content-Length` beside `Transfer-Encoding`, there is no second request then to smuggle.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use axum::{BoxError, Router};
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HOST};
use http::{HeaderValue, Method, Request, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower_service::Service as _;

use crate::server::door::Place;
use crate::server::error;
use crate::server::guard::Progress;
use crate::server::limits::Limits;
use crate::server::measure::Refusals;
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
    pub(super) refusals: Refusals,
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
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let lacks_host = lacks_host(&request);
        let too_long = request.body().size_hint().lower() > self.limits.body_bytes as u64;
        let mut answer = if lacks_host || has_body && (only_reads || too_long) {
            self.refuse(request, lacks_host).await
        } else {
            let Limits { body_bytes, request: longest, .. } = self.limits;
            let body = |body| {
                let (progress, deadline) = (progress.clone(), Box::pin(sleep(longest)));
                Body::new(Limited::new(Followed { body, progress, deadline }, body_bytes))
            };
            let Ok(answer) = self.router.clone().call(request.map(body)).await;
            answer
        };
        // Each request of HTTP/2 has its own frames, which end where they end.
        if (lacks_host || has_body || !only_reads) && is_http1 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        progress.answering();
        answer
    }

    /// The answer to a request for which no route is asked.
    async fn refuse(&self, request: Request<Incoming>, lacks_host: bool) -> Response {
        let (start, (parts, body)) = (Instant::now(), request.into_parts());
        let answer = if lacks_host {
            error::bad_host(&parts.uri)
        } else {
            // Who waits to be asked for the body is not asked for it. Of HTTP/1.1 the guard keeps the time.
            if !parts.headers.contains_key(EXPECT) {
                let _ = timeout(self.limits.request, read_away(body)).await;
            }
            error::body_too_large(&parts.uri)
        };
        (self.refusals)(&parts.method, answer.status(), start.elapsed());
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

/// A body whose end is seen by the guard, and whose time ends where there is none, as on HTTP/2.
struct Followed {
    body: Incoming,
    progress: Progress,
    deadline: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Followed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.progress.handling();
        } else if polled.is_pending() {
            ready!(self.deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
