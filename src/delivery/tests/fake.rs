//! A transport that answers by script, and a delivery over it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Response};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;

use super::super::*;
use crate::clock::{TokioClock, Wall};
use crate::http_client::HttpError;

/// Points and bytes of every batch of the bench.
pub(super) const POINTS: u64 = 10;
pub(super) const BYTES: u64 = 100;

/// How long an answered attempt takes.
const TAKES: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(super) enum Answer {
    /// A status, with a `Retry-After` and a body.
    Status(u16, Option<&'static str>, Vec<u8>),
    Error(HttpError),
    /// No answer, ever.
    Hang,
    /// No answer, which takes so long to be known.
    Late(Duration, HttpError),
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self::Status(status, None, vec![])
    }

    pub(super) fn partial(rejected_data_points: i64, error_message: &str) -> Self {
        let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: error_message.into() };
        Self::Status(200, None, ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    }
}

pub(super) fn refused() -> Answer {
    Answer::Error(HttpError::Unreachable { host: "a:1".into(), cause: "connection refused".into() })
}

/// The stop, some seconds from now.
pub(super) fn at(seconds: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_secs(seconds))
}

pub(super) fn destination(key: &str) -> Destination {
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, key.parse().unwrap())]);
    Destination { uri: "http://collector:4318/v1/metrics".parse().unwrap(), headers }
}

struct Sent {
    when: Duration,
    number: u64,
    key: String,
    is_taken: bool,
}

/// What the transport and the test both see.
#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    sent: Mutex<Vec<Sent>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

struct Scripted(Arc<Shared>, Arc<dyn Clock>);

impl Transport for Scripted {
    fn post<'a>(&'a self, destination: &'a Destination, body: Bytes) -> Sending<'a> {
        let Self(shared, clock) = self;
        // After the script, everything is taken.
        let answer = shared.script.lock().unwrap().pop_front().unwrap_or_else(|| Answer::status(200));
        let sent = Sent {
            when: clock.now().mono,
            number: number(&body),
            key: destination.headers["authorization"].to_str().unwrap().to_owned(),
            is_taken: matches!(answer, Answer::Status(200..=299, ..)),
        };
        shared.sent.lock().unwrap().push(sent);
        Box::pin(async move {
            let at_once = shared.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            shared.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            let result = match answer {
                Answer::Hang => std::future::pending().await,
                Answer::Error(error) => Err(error),
                Answer::Late(after, error) => {
                    tokio::time::sleep(after).await;
                    Err(error)
                }
                Answer::Status(status, retry_after, body) => {
                    tokio::time::sleep(TAKES).await;
                    let mut response = Response::builder().status(status);
                    if let Some(retry_after) = retry_after {
                        response = response.header("retry-after", retry_after);
                    }
                    Ok(Reply::of_http(&response.body(Bytes::from(body)).unwrap(), clock.now().wall))
                }
            };
            shared.at_once.fetch_sub(1, Ordering::SeqCst);
            result
        })
    }
}

/// The number of a batch, which its body starts with.
pub(super) fn number(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().unwrap())
}

/// A delivery over the scripted transport; its batches are numbered from 0 in the order of their puts.
pub(super) struct Bench {
    pub(super) delivery: Delivery,
    pub(super) clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// The points of each batch.
    puts: Mutex<Vec<u64>>,
}

impl Bench {
    pub(super) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        Self::with(script, DeliveryConfig::default())
    }

    pub(super) fn with(script: impl IntoIterator<Item = Answer>, config: DeliveryConfig) -> Self {
        let wall = Wall::parse_rfc3339("2024-01-15T10:30:00Z").unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(wall));
        let shared = Arc::new(Shared { script: Mutex::new(script.into_iter().collect()), ..Shared::default() });
        let transport = Scripted(Arc::clone(&shared), Arc::clone(&clock));
        let delivery = Delivery::with(config, Box::new(transport), Arc::clone(&clock));
        Self { delivery, clock, shared, puts: Mutex::default() }
    }

    pub(super) fn put(&self) {
        self.put_to(destination("key"));
    }

    pub(super) fn put_to(&self, destination: Destination) {
        self.put_sized(destination, BYTES);
    }

    pub(super) fn put_sized(&self, destination: Destination, bytes: u64) {
        self.put_with(destination, bytes, POINTS);
    }

    pub(super) fn put_with(&self, destination: Destination, bytes: u64, points: u64) {
        let mut puts = self.puts.lock().unwrap();
        let mut body = (puts.len() as u64).to_be_bytes().to_vec();
        body.resize(bytes as usize, 0);
        puts.push(points);
        self.delivery.put(destination, Batch { body: body.into(), points, accepted: self.clock.now() });
        drop(puts);
        self.check();
    }

    /// The points of the batches that were taken, by what was put and not by what is booked.
    pub(super) fn delivered_points(&self) -> u64 {
        let puts = self.puts.lock().unwrap();
        self.delivered().into_iter().map(|number| puts[number as usize]).sum()
    }

    /// The identity that holds at every moment.
    pub(super) fn check(&self) -> DeliveryStats {
        let stats = self.delivery.stats();
        let mut sum = stats.delivered;
        sum += stats.queued;
        stats.dropped.iter().for_each(|dropped| sum += *dropped);
        assert_eq!(stats.accepted, sum, "{stats:?}");
        assert_eq!(stats.queued_bytes > 0, stats.queued.batches > 0, "{stats:?}");
        assert_eq!(stats.oldest_accepted.is_some(), stats.queued.batches > 0, "{stats:?}");
        stats
    }

    /// The numbers of all attempts.
    pub(super) fn sent(&self) -> Vec<u64> {
        self.shared.sent.lock().unwrap().iter().map(|sent| sent.number).collect()
    }

    /// The numbers of the batches that were taken.
    pub(super) fn delivered(&self) -> Vec<u64> {
        self.shared.sent.lock().unwrap().iter().filter(|sent| sent.is_taken).map(|sent| sent.number).collect()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.shared.sent.lock().unwrap().iter().map(|sent| sent.key.clone()).collect()
    }

    /// When the attempts were made.
    pub(super) fn times(&self) -> Vec<Duration> {
        self.shared.sent.lock().unwrap().iter().map(|sent| sent.when).collect()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now().mono
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }
}
