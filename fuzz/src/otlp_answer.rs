//! The answer of an OTLP receiver: whatever it says, each batch is booked once and as its status demands, no more points
//! count as refused than were sent, the wait is bounded, and no key of ours comes back in a log line.
//!
//! An input is a status, choices, `Retry-After` and the body, which every attempt gets for answer.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::delivery::{
    Batch, Delivery, DeliveryConfig, DeliveryStats, Destination, DropReason, Outcome, Reply, Sending, Transport,
    Verdict, verdict,
};
use prost::Message;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

use super::bytes::Bytes;

/// Points of each batch.
const POINTS: u64 = 10;

/// The keys a bridge may send; a log line holds none.
const KEYS: [&str; 4] = ["Bearer hunter2-key", "k-5f3c9a", "one two-words three-words", "ключ-от-дома"];

/// Shorter words may stand in any text.
const WORD_BYTES_MIN: usize = 4;

/// The choice of a body that is called JSON.
const JSON: usize = 3;

/// A little longer than the longest wait that an answer can ask for.
const RUNS: Duration = Duration::from_secs(301);

/// The answer of the specification, as far as it counts, by its field numbers.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// When all answers come.
const NOW: Wall = Wall(1_705_314_600_000_000_000);

pub fn check(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let status = match bytes.byte() {
        // Mostly those that mean something.
        usual @ 0..=9 => [200, 202, 299, 301, 400, 429, 500, 502, 503, 504][usize::from(usual)],
        other => 100 + u16::from(other) * 3,
    };
    let key = bytes.one_of(&KEYS);
    let batches = 1 + bytes.below(3) as u64;
    let length = bytes.below(48);
    let retry_after = HeaderValue::from_bytes(bytes.take(length)).ok();
    let kind = bytes.below(4);
    let body = match kind {
        // What many receivers do: they repeat the request they refuse.
        0 => format!("{}{key}{}", bytes.text(40), String::from_utf8_lossy(bytes.rest())).into_bytes(),
        1 => {
            let rejected = bytes.uint().cast_signed();
            let message = format!("{}{key}{}", bytes.text(40), String::from_utf8_lossy(bytes.rest()));
            Answer { partial: Some(Partial { rejected, message }) }.encode_to_vec()
        }
        _ => bytes.rest().to_vec(),
    };
    let status = StatusCode::from_u16(status).expect("from 100 to 999");
    let is_json = kind == JSON;
    let (stats, log) = deliver(key, batches, Fixed { status, retry_after, is_json, body: body.clone().into() });
    judge(&stats, batches, status, if is_json { refused_in_json(&body) } else { refused_in(&body) });
    is_harmless(&log, key);
}

fn is_harmless(log: &str, key: &str) {
    for word in key.split_whitespace().filter(|word| word.len() >= WORD_BYTES_MIN) {
        assert!(!log.contains(word), "{word} in {log:?}");
    }
    assert!(log.lines().all(|line| !line.contains(char::is_control) && line.len() < 2_000), "{log:?}");
}

/// Points that an answer in protobuf says were refused.
fn refused_in(body: &[u8]) -> u64 {
    let partial = Answer::decode(body).ok().and_then(|answer| answer.partial);
    partial.map_or(0, |partial| u64::try_from(partial.rejected).unwrap_or(0))
}

/// The same in JSON: a number, or as a text, which is how JSON has those of 64 bits.
fn refused_in_json(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let refused = answer.pointer("/partialSuccess/rejectedDataPoints");
    let refused = refused.and_then(|refused| refused.as_i64().or_else(|| refused.as_str()?.parse().ok()));
    refused.map_or(0, |refused| u64::try_from(refused).unwrap_or(0))
}

fn judge(stats: &DeliveryStats, batches: u64, status: StatusCode, refused: u64) {
    let dropped: u64 = DropReason::ALL.iter().map(|reason| stats.dropped(*reason).batches).sum();
    let found = [stats.delivered.batches, dropped, stats.queued.batches];
    let attempts = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| stats.attempts(*outcome)).sum::<u64>();
    let expected = match verdict(status) {
        Verdict::Taken => [batches, 0, 0],
        // Nobody here can divide what is too large.
        Verdict::Refused | Verdict::TooLarge => [0, batches, 0],
        // All wait behind the first.
        Verdict::Again => [0, 0, batches],
    };
    assert_eq!((found, stats.accepted.batches), (expected, batches), "{status}: {stats:?}");
    assert_eq!(stats.accepted.points, batches * POINTS);
    let refused = if verdict(status) == Verdict::Taken { refused } else { 0 };
    assert_eq!(stats.refused_points, batches * refused.min(POINTS), "{stats:?}");
    let partial = if refused > 0 { batches } else { 0 };
    assert_eq!(attempts(&[Outcome::Partial]), partial, "{stats:?}");
    match verdict(status) {
        // The first, another before the longest wait is over, and one more at the stop.
        Verdict::Again => assert!(attempts(&[Outcome::Retry]) >= 3, "an answer puts off for too long: {stats:?}"),
        Verdict::Taken | Verdict::Refused | Verdict::TooLarge => {
            assert_eq!(attempts(&Outcome::ALL), batches, "{stats:?}")
        }
    }
}

/// A receiver that always says the same.
struct Fixed {
    status: StatusCode,
    retry_after: Option<HeaderValue>,
    is_json: bool,
    body: Body,
}

impl Transport for Fixed {
    fn post<'a>(&'a self, _: &'a Destination, _: Body) -> Sending<'a> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        if let Some(retry_after) = &self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after.clone());
        }
        if self.is_json {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let reply = Reply::of_http(&response, NOW);
        Box::pin(async { Ok(reply) })
    }
}

/// Puts batches, and delivers while the time of the runtime, which is not that of the world, goes by.
fn deliver(key: &str, batches: u64, answer: Fixed) -> (DeliveryStats, String) {
    thread_local! {
        static LOG: Dispatch = Dispatch::new(Lines);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let delivery = Delivery::with(DeliveryConfig::default(), Box::new(answer), Arc::clone(&clock));
    let value = HeaderValue::from_bytes(key.as_bytes()).expect("a key that can be sent");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
    let uri = http::Uri::from_static("http://collector:4318/v1/metrics");
    for _ in 0..batches {
        let batch = Batch { body: Body::from_static(b"figures"), points: POINTS, accepted: clock.now() };
        delivery.put(Destination { uri: uri.clone(), headers: headers.clone() }, batch);
    }
    LINES.with(|lines| lines.borrow_mut().clear());
    let run = async { delivery.run(tokio::time::sleep(RUNS)).await };
    let dispatch = LOG.with(Clone::clone);
    tracing::dispatcher::with_default(&dispatch, || runtime.expect("a runtime with time alone").block_on(run));
    (delivery.stats(), LINES.with(|lines| lines.borrow().clone()))
}

thread_local! {
    /// What the thread has logged.
    static LINES: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what is logged, raw, one event a line.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("linkit_bridge")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        LINES.with(|lines| {
            let mut lines = lines.borrow_mut();
            event.record(&mut Line(&mut lines));
            lines.push('\n');
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, "{field}={value} ");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}
