//! The sender: takes the oldest batch, sends it until it is decided, and only then the next.
//!
//! The answer of the OTLP specification, with the points that were refused, is decoded here: it belongs to the protocol
//! of delivery like the statuses and `Retry-After`, and no exporter could give another decoder.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tokio::sync::watch;

use super::disk::Next;
use super::retry::{Backoff, Verdict, retry_after, verdict, verdict_of};
use super::stats::Outcome;
use super::{Batch, Delivery, Destination};
use crate::http_client::{HttpClient, HttpError, Limits, host_of};

/// How much of an endpoint's reason is repeated.
const REASON_CHARS_MAX: usize = 200;

/// The future of one attempt; dropping it breaks the attempt off.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// What carries a batch to its destination, once.
pub trait Transport: Send + Sync + 'static {
    /// Posts `body` and brings the whole answer.
    fn post<'a>(&'a self, destination: &'a Destination, body: Bytes) -> Sending<'a>;
}

/// HTTP by the bridge's own client.
pub(super) struct HttpTransport {
    pub(super) http: HttpClient,
    pub(super) limits: Limits,
}

impl Transport for HttpTransport {
    fn post<'a>(&'a self, destination: &'a Destination, body: Bytes) -> Sending<'a> {
        let mut headers = destination.headers.clone();
        // These describe one body, and the headers may have been given with another.
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        label(&mut headers, &body);
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = destination.uri.clone();
        *request.headers_mut() = headers;
        Box::pin(async move { self.http.send(request, &self.limits).await })
    }
}

/// Makes `Content-Encoding` say how this body is compressed: it may have waited since before the setting was changed.
/// gzip starts with its mark; an uncompressed request starts with the tag of its first field.
pub(super) fn label(headers: &mut HeaderMap, body: &[u8]) {
    if body.starts_with(&[0x1f, 0x8b]) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    } else if body.first().is_none_or(|first| *first == 0x0a) {
        headers.remove(header::CONTENT_ENCODING);
    }
}

/// One run of a delivery.
pub(super) struct Sender<'a> {
    delivery: &'a Delivery,
    stopped: watch::Receiver<bool>,
    backoff: Backoff,
    /// What the last settling brought along.
    ahead: Option<Next>,
    /// The last trouble that was logged, so that an outage is told once and not every 30 s.
    told: Option<String>,
}

/// What an attempt came to.
struct Decision {
    outcome: Outcome,
    refused: u64,
    asked: Option<Duration>,
    trouble: Option<String>,
}

impl Decision {
    const fn of(outcome: Outcome, trouble: Option<String>) -> Self {
        Self { outcome, refused: 0, asked: None, trouble }
    }
}

impl<'a> Sender<'a> {
    pub(super) fn new(delivery: &'a Delivery, stopped: watch::Receiver<bool>) -> Self {
        Self { delivery, stopped, backoff: Backoff::new(fastrand::Rng::new()), ahead: None, told: None }
    }

    /// Sends until the stop, and after it until the queue is empty or an attempt fails.
    pub(super) async fn run(mut self) {
        loop {
            let next = match self.ahead.take() {
                Some(next) => next,
                None => self.delivery.next().await,
            };
            match next {
                Next::Batch(destination, batch) => {
                    if let Some(wait) = self.attempt(&destination, batch).await {
                        if *self.stopped.borrow() {
                            return;
                        }
                        // The stop ends the wait, for one last attempt.
                        let _ = tokio::time::timeout(wait, stop(&mut self.stopped)).await;
                    }
                }
                _ if *self.stopped.borrow() => return,
                Next::Wait(wait) => drop(tokio::time::timeout(wait, stop(&mut self.stopped)).await),
                Next::Empty => tokio::select! {
                    () = self.delivery.arrived.notified() => {}
                    () = stop(&mut self.stopped) => {}
                },
            }
        }
    }

    /// One attempt, settled; the wait before the next one of the same batch.
    async fn attempt(&mut self, destination: &Destination, batch: Batch) -> Option<Duration> {
        let points = batch.points;
        let answer = self.delivery.transport.post(destination, batch.body).await;
        let now = self.delivery.clock.now();
        let decision = match answer {
            Ok(answer) => decide(&answer, destination, now.wall),
            Err(error) => Decision::of(verdict_of(&error), Some(error.to_string())),
        };
        self.ahead = self.delivery.settle(decision.outcome, decision.refused, now).await;
        self.tell(&decision, points);
        match decision.outcome {
            Outcome::Retry | Outcome::Unanswered => Some(self.backoff.next(decision.asked)),
            Outcome::Success | Outcome::Partial | Outcome::Rejected => {
                self.backoff.reset();
                None
            }
        }
    }

    fn tell(&mut self, decision: &Decision, points: u64) {
        if decision.trouble == self.told {
            return;
        }
        let refused = decision.refused;
        match (decision.outcome, &decision.trouble) {
            (Outcome::Success, None) => tracing::info!("batches are delivered again"),
            (Outcome::Success | Outcome::Partial, trouble) => {
                let remark = trouble.as_deref().unwrap_or_default();
                tracing::warn!(
                    points,
                    refused,
                    remark,
                    "the endpoint took a batch with a remark; refused points are not sent again"
                );
            }
            (Outcome::Rejected, trouble) => {
                let cause = trouble.as_deref().unwrap_or_default();
                tracing::error!(
                    points,
                    cause,
                    "a batch was refused for good and is dropped; check the endpoint and its headers"
                );
            }
            (Outcome::Retry | Outcome::Unanswered, trouble) => {
                let cause = trouble.as_deref().unwrap_or_default();
                tracing::warn!(cause, "a batch could not be delivered; it waits and is sent again");
            }
        }
        self.told.clone_from(&decision.trouble);
    }
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the run itself is gone, and with it this future.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// What an answer means for the batch it answers.
fn decide(answer: &Response<Bytes>, destination: &Destination, now: crate::clock::Wall) -> Decision {
    let (status, body) = (answer.status(), answer.body());
    let trouble = || {
        let host = host_of(&destination.uri).unwrap_or_default();
        let reason = reason(body, &destination.headers);
        Some(format!("{host} answered with status {status}: {reason}"))
    };
    match verdict(status) {
        Verdict::Taken => decide_taken(body, destination),
        Verdict::Again => {
            Decision { asked: retry_after(answer.headers(), now), ..Decision::of(Outcome::Retry, trouble()) }
        }
        Verdict::Refused => Decision::of(Outcome::Rejected, trouble()),
    }
}

/// A body that is no OTLP answer changes nothing: the status has said that the batch was taken.
fn decide_taken(body: &Bytes, destination: &Destination) -> Decision {
    let partial = ExportMetricsServiceResponse::decode(body.clone()).ok().and_then(|answer| answer.partial_success);
    let Some(partial) = partial else { return Decision::of(Outcome::Success, None) };
    let refused = u64::try_from(partial.rejected_data_points).unwrap_or(0);
    let outcome = if refused > 0 { Outcome::Partial } else { Outcome::Success };
    let has_remark = refused > 0 || !partial.error_message.is_empty();
    let remark = has_remark.then(|| reason(partial.error_message.as_bytes(), &destination.headers));
    Decision { refused, ..Decision::of(outcome, remark) }
}

/// The readable start of what an endpoint says, without anything we sent it in a header: it may repeat our key.
pub(super) fn reason(body: &[u8], headers: &HeaderMap) -> String {
    let start = &body[..body.len().min(4 * REASON_CHARS_MAX)];
    let text = String::from_utf8_lossy(start);
    let readable: String = text.chars().map(|c| if c.is_control() || c == '\u{fffd}' { ' ' } else { c }).collect();
    let mut words: Vec<_> = readable.split_whitespace().collect();
    if start.len() < body.len() {
        // The last word may be half a key, which would not be recognised.
        words.pop();
    }
    let mut reason = words.join(" ");
    let harmless = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::USER_AGENT, header::ACCEPT];
    for (name, value) in headers {
        // Not `to_str`: a key may have letters that are not ASCII.
        let Some(value) = str::from_utf8(value.as_bytes()).ok().filter(|_| !harmless.contains(name)) else { continue };
        for word in value.split_whitespace().filter(|word| word.len() >= 4) {
            reason = reason.replace(word, "***");
        }
    }
    reason.chars().take(REASON_CHARS_MAX).collect()
}
