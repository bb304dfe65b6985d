//! HTTP/2 on one connection, for clients that chose it in the TLS handshake.
//!
//! The same deadlines as for HTTP/1.1, in the terms of many requests at a time: a first request soon after the handshake,
//! an end to the requests under way, and no idling for ever. An answer leaves our hands before it is written, so a client
//! that does not read is found by pings it does not answer. What floods of resets, pings, headers and settings may do is
//! bounded by the library; the figures stand here.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::secure::Stream;
use crate::server::guard::Progress;
use crate::server::limits::Limits;

/// Requests under way on a connection.
const STREAMS_MAX: u32 = 64;
/// Streams that a client may reset before we have seen them; then the connection ends (CVE-2023-44487).
const RESETS_PENDING_MAX: usize = 20;
/// Streams that we may have to reset for a client's errors; then the connection ends.
const RESETS_LOCAL_MAX: usize = 64;
/// Largest head of a request, names and values.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// What a client may send before we read: no route takes a body.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 64 << 10;
/// What waits to be written of one answer.
const SEND_BYTES_MAX: usize = 64 << 10;
/// Time between pings, and for their answers: a client that reads nothing is gone after both.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time the end of an idle connection takes, which the client has to confirm.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until it ends, idles for too long, or `closing` says that the server stops.
pub(super) async fn serve<S>(
    stream: Box<dyn Stream>,
    service: S,
    limits: Limits,
    progress: Progress,
    mut closing: watch::Receiver<()>,
) -> Result<(), hyper::Error>
where
    S: Service<http::Request<Incoming>, Response = Response, Error = std::convert::Infallible>,
    S::Future: Send + 'static,
{
    let activity = Activity::new(progress);
    let service = Counted { service, activity: activity.clone() };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_LOCAL_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut deadline = pin!(sleep_until(activity.deadline(&limits).1));
    // Set once no new request is taken: what is under way gets the time of an answer.
    let mut ends_at = None;
    let end = || match activity.deadline(&limits) {
        (Step::Busy, at) => at,
        _ => Instant::now() + FAREWELL,
    };
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = closing.changed(), if ends_at.is_none() => {
                connection.as_mut().graceful_shutdown();
                ends_at = Some(end());
            }
            () = deadline.as_mut() => {
                let (step, at) = activity.deadline(&limits);
                if let Some(end) = ends_at && Instant::now() >= end {
                    return Ok(());
                }
                if Instant::now() < at {
                    // Something has been going on since.
                } else if step == Step::Idle && ends_at.is_none() {
                    connection.as_mut().graceful_shutdown();
                    ends_at = Some(end());
                } else if ends_at.is_none() {
                    activity.told().progress.late();
                    return Ok(());
                }
            }
        }
        deadline.as_mut().reset(ends_at.unwrap_or_else(|| activity.deadline(&limits).1));
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing has been asked yet.
    New,
    /// Requests are under way.
    Busy,
    /// None is.
    Idle,
}

/// What goes on on a connection, told by its requests.
#[derive(Clone)]
struct Activity(Arc<Mutex<Told>>);

struct Told {
    under_way: usize,
    step: Step,
    /// When a request came or an answer ended, the last of both.
    last: Instant,
    /// What the door sees of it.
    progress: Progress,
}

impl Activity {
    fn new(progress: Progress) -> Self {
        Self(Arc::new(Mutex::new(Told { under_way: 0, step: Step::New, last: Instant::now(), progress })))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Request {
        let mut told = self.told();
        (told.under_way, told.step, told.last) = (told.under_way + 1, Step::Busy, Instant::now());
        Request(self.clone())
    }

    /// Where it stands, and until when it may stay there.
    fn deadline(&self, limits: &Limits) -> (Step, Instant) {
        let told = self.told();
        let limit = match told.step {
            Step::New => limits.header,
            Step::Busy => limits.answer,
            Step::Idle => limits.idle,
        };
        (told.step, told.last + limit)
    }
}

/// One request under way; it ends with the value.
struct Request(Activity);

impl Drop for Request {
    fn drop(&mut self) {
        let mut told = self.0.told();
        (told.under_way, told.last) = (told.under_way - 1, Instant::now());
        if told.under_way == 0 {
            told.step = Step::Idle;
            told.progress.answered();
        }
    }
}

/// A service whose requests are counted until their answers are taken.
struct Counted<S> {
    service: S,
    activity: Activity,
}

impl<S> Service<http::Request<Incoming>> for Counted<S>
where
    S: Service<http::Request<Incoming>, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = http::Response<CountedBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let (under_way, answer) = (self.activity.begin(), self.service.call(request));
        Box::pin(async move { Ok(answer.await?.map(|body| CountedBody { body, _under_way: under_way })) })
    }
}

struct CountedBody {
    body: Body,
    _under_way: Request,
}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
