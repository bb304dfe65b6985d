//! The sender: takes the oldest batch, sends it until it is decided, and only then the next.

use std::time::Duration;

use http::{HeaderMap, header};
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk::Next;
use super::divide::{Sizes, halves};
use super::reply::Reply;
use super::retry::{Backoff, Verdict, verdict_of};
use super::stats::Outcome;
use super::{Batch, Delivery, Destination};
use crate::http_client::host_of;
use crate::outage::{Outage, Word};

/// How much of an endpoint's reason is repeated.
const REASON_CHARS_MAX: usize = 200;

/// One run of a delivery.
pub(super) struct Sender<'a> {
    delivery: &'a Delivery,
    stopped: watch::Receiver<bool>,
    backoff: Backoff,
    sizes: Sizes,
    /// What the last settling brought along.
    ahead: Option<Next>,
    /// The trouble since the last delivery, so that it is told once and not every 30 s.
    outage: Option<Outage>,
    /// What the endpoint had to say of batches that it took, or takes in parts: told as seldom.
    remarks: Option<Outage>,
}

/// What an attempt came to.
struct Decision {
    outcome: Outcome,
    refused: u64,
    asked: Option<Duration>,
    trouble: Option<String>,
    /// The status of the answer, if there was one.
    status: Option<String>,
}

impl Decision {
    const fn of(outcome: Outcome, trouble: Option<String>) -> Self {
        Self { outcome, refused: 0, asked: None, trouble, status: None }
    }

    /// Says why there is trouble with a batch of so many points.
    fn say(&self, cause: &str, points: u64) {
        match self.outcome {
            Outcome::Success | Outcome::Partial => tracing::warn!(
                points,
                refused = self.refused,
                remark = cause,
                "the endpoint took a batch with a remark; refused points are not sent again"
            ),
            Outcome::Divided => tracing::warn!(
                points,
                cause,
                "a batch is too large for the endpoint and is sent in parts; have it take more, or lower otlp.max_request_bytes"
            ),
            Outcome::Rejected => tracing::error!(
                points,
                cause,
                "a batch was refused for good and is dropped; check the endpoint and its headers"
            ),
            Outcome::Retry | Outcome::Unanswered => {
                tracing::warn!(cause, "a batch could not be delivered; it waits and is sent again");
            }
        }
    }
}

impl<'a> Sender<'a> {
    pub(super) fn new(delivery: &'a Delivery, stopped: watch::Receiver<bool>) -> Self {
        let (backoff, sizes) = (Backoff::new(fastrand::Rng::new()), Sizes::default());
        Self { delivery, stopped, backoff, sizes, ahead: None, outage: None, remarks: None }
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

    /// One attempt, settled; the wait before the next one of the same batch. Where the size is known to be refused there
    /// is none, and the parts of the batch are next.
    async fn attempt(&mut self, destination: &Destination, batch: Batch) -> Option<Duration> {
        if self.sizes.are_exceeded_by(batch.body.len()) && self.divide(&batch).await {
            return None;
        }
        let (points, began) = (batch.points, Instant::now());
        let transport = self.delivery.transport();
        let answer = transport.post(destination, batch.body.clone()).await;
        let mut decision = match answer {
            Ok(answer) => decide(&answer, destination),
            Err(error) => Decision::of(verdict_of(&error), Some(error.to_string())),
        };
        if decision.outcome == Outcome::Divided && !self.goes_on_in_parts(&batch).await {
            decision.outcome = Outcome::Rejected;
        }
        let now = self.delivery.clock.now();
        self.ahead = self.delivery.settle(decision.outcome, decision.refused, now).await;
        self.tell(&decision, points);
        match decision.outcome {
            Outcome::Retry | Outcome::Unanswered => Some(self.backoff.next(began.elapsed(), decision.asked)),
            Outcome::Success | Outcome::Partial => {
                self.sizes.begin();
                self.backoff.reset();
                None
            }
            Outcome::Divided | Outcome::Rejected => {
                self.backoff.reset();
                None
            }
        }
    }

    /// What was refused as too large is divided. If it cannot be, it is to be given up, and if the endpoint has refused
    /// too much of its batch, all that is left of that with it.
    async fn goes_on_in_parts(&mut self, batch: &Batch) -> bool {
        let may_go_on = if batch.points > 1 { self.sizes.refuse(batch.body.len()) } else { self.sizes.refuse_point() };
        if !may_go_on {
            self.sizes = Sizes::default();
            self.delivery.ledger().unite();
            return false;
        }
        self.divide(batch).await
    }

    /// Whether what is on its way goes in two parts now.
    async fn divide(&self, batch: &Batch) -> bool {
        let (Some(halve), body, points) = (self.delivery.halve, batch.body.clone(), batch.points) else { return false };
        // Unpacking and packing a large body takes long enough to hold up a worker.
        let parts = match points {
            0 | 1 => None,
            _ => tokio::task::spawn_blocking(move || halves(halve, &body, points)).await.ok().flatten(),
        };
        let Some(parts) = parts else { return false };
        self.delivery.ledger().divide(parts);
        true
    }

    fn tell(&mut self, decision: &Decision, points: u64) {
        let now = self.delivery.clock.now().mono;
        let is_taken = matches!(decision.outcome, Outcome::Success | Outcome::Partial);
        if is_taken && let Some(outage) = self.outage.take() {
            let extent = outage.extent(now);
            let (attempts, after) = (extent.failures, extent.lasting);
            tracing::info!(attempts, ?after, "batches are delivered again");
        }
        let Some(cause) = decision.trouble.as_deref() else { return };
        // Of what is decided each reason is news; of what waits the status is, for a reason may name the time.
        let is_decided = is_taken || decision.outcome == Outcome::Rejected;
        let status = decision.status.as_deref().filter(|_| !is_decided);
        let kind = format!("{} {}", decision.outcome.name(), status.unwrap_or(cause));
        let is_remark = is_taken || decision.outcome == Outcome::Divided;
        let told = if is_remark { &mut self.remarks } else { &mut self.outage };
        match told.get_or_insert_with(|| Outage::beginning(now)).fail(&kind, now) {
            Some(Word::News) => decision.say(cause, points),
            Some(Word::Still(extent)) => {
                let (times, after, outcome) = (extent.failures, extent.lasting, decision.outcome.name());
                if is_remark {
                    tracing::warn!(outcome, cause, times, ?after, "the endpoint goes on with its remarks");
                } else {
                    tracing::warn!(outcome, cause, attempts = times, ?after, "deliveries go on in trouble");
                }
            }
            None => {}
        }
    }
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the run itself is gone, and with it this future.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// What an answer means for the batch it answers.
fn decide(answer: &Reply, destination: &Destination) -> Decision {
    let reason = reason(&answer.reason, &destination.headers);
    let trouble = || {
        let host = host_of(&destination.uri).unwrap_or_default();
        Some(format!("{host} answered with {}: {reason}", answer.status))
    };
    let (outcome, trouble) = match answer.verdict {
        Verdict::Taken => {
            let outcome = if answer.refused > 0 { Outcome::Partial } else { Outcome::Success };
            (outcome, Some(&reason).filter(|reason| answer.refused > 0 || !reason.is_empty()).cloned())
        }
        Verdict::Again => (Outcome::Retry, trouble()),
        // Whether it can be divided is seen there.
        Verdict::TooLarge => (Outcome::Divided, trouble()),
        Verdict::Refused => (Outcome::Rejected, trouble()),
    };
    let asked = answer.asked.filter(|_| answer.verdict == Verdict::Again);
    Decision { refused: answer.refused, asked, status: Some(answer.status.clone()), ..Decision::of(outcome, trouble) }
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
