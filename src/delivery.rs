//! The way of an encoded OTLP request to the network: accepted at once, delivered in order when the endpoint takes it.
//!
//! What [`Delivery::put`] accepted is delivered, or waits, or is counted as dropped with its reason; at every moment
//! `accepted = delivered + queued + dropped`. This module knows bytes, not figures: what is in a batch is its
//! exporter's business. One `Delivery` serves one endpoint; another kind of queue is one more [`Queue`].

mod ledger;
mod queue;
mod reply;
mod retry;
mod sender;
mod stats;
#[cfg(test)]
mod tests;
mod transport;

pub use queue::{Entry, MemoryQueue, Queue};
pub use reply::Reply;
pub use retry::{Verdict, verdict};
pub use stats::{Amount, DeliveryStats, DropReason, Outcome};
pub use transport::{Protocol, Sending, Transport};

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, Moment};
use crate::http_client::{HttpClient, Limits};
use ledger::Ledger;
use sender::Sender;
use transport::HttpTransport;

/// One encoded and compressed OTLP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The body as it goes out.
    pub body: Bytes,
    /// Data points in it, for the count of what is lost.
    pub points: u64,
    /// When it was made.
    pub accepted: Moment,
}

/// Where batches go. It holds keys, so it is kept in memory only, prints nothing, and is never stored with a batch.
#[derive(Clone)]
pub struct Destination {
    /// The endpoint's full address.
    pub uri: http::Uri,
    /// Everything but the length: content type, user agent, keys.
    pub headers: http::HeaderMap,
}

/// The bounds of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Most bytes that wait; above, the oldest batches are dropped.
    pub queue_bytes_max: u64,
    /// Longest wait; older batches are dropped.
    pub age_max: Duration,
    /// How the endpoint is spoken to.
    pub protocol: Protocol,
    /// Limits of one attempt; a larger answer is not read further and its batch not repeated.
    pub limits: Limits,
    /// Time for the last attempts after the stop.
    pub flush: Duration,
}

impl Default for DeliveryConfig {
    /// 64 MiB and 72 h in the queue, 10 s (the OTLP default) and 4 MiB an answer, 3 s for the end.
    fn default() -> Self {
        let limits = Limits { total: Duration::from_secs(10), body_bytes_max: 4 << 20, ..Limits::default() };
        Self {
            queue_bytes_max: 64 << 20,
            age_max: Duration::from_secs(72 * 3600),
            protocol: Protocol::default(),
            limits,
            flush: Duration::from_secs(3),
        }
    }
}

/// Accepts batches and delivers them, one at a time and in order.
pub struct Delivery {
    transport: Box<dyn Transport>,
    clock: Arc<dyn Clock>,
    flush: Duration,
    ledger: Mutex<Ledger>,
    arrived: Notify,
    running: tokio::sync::Mutex<()>,
}

impl Delivery {
    /// A delivery by `http` from a queue in memory; the client must speak HTTP/2 if the protocol is gRPC.
    #[must_use]
    pub fn new(config: DeliveryConfig, http: HttpClient, clock: Arc<dyn Clock>) -> Self {
        let transport = HttpTransport::new(http, config.limits, config.protocol, Arc::clone(&clock));
        Self::with(config, Box::new(transport), Box::new(MemoryQueue::default()), clock)
    }

    /// A delivery by `transport` from `queue`, whose batches from before count as accepted.
    #[must_use]
    pub fn with(
        config: DeliveryConfig,
        transport: Box<dyn Transport>,
        queue: Box<dyn Queue>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            transport,
            clock,
            flush: config.flush,
            ledger: Mutex::new(Ledger::new(queue, config.queue_bytes_max, config.age_max)),
            arrived: Notify::new(),
            running: tokio::sync::Mutex::default(),
        }
    }

    /// Accepts `batch`; it and all that wait go to `destination` from now on. Never waits for the network: what does
    /// not fit drives out the oldest, and is counted.
    pub fn put(&self, destination: Destination, batch: Batch) {
        self.ledger().put(destination, batch, self.clock.now());
        self.arrived.notify_one();
    }

    /// Delivers until `stop`, then tries once more what waits, for at most [`DeliveryConfig::flush`]; what is left
    /// stays queued. While one call runs, another returns at once, so that there is never more than one attempt.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let Ok(_alone) = self.running.try_lock() else { return };
        let (stopping, stopped) = watch::channel(false);
        let mut sending = pin!(Sender::new(self, stopped).run());
        tokio::select! {
            biased;
            () = stop => {}
            () = &mut sending => return,
        }
        stopping.send_replace(true);
        let _ = tokio::time::timeout(self.flush, sending).await;
        self.ledger().release();
        let left = self.stats().queued.batches;
        if left > 0 {
            tracing::warn!(
                batches = left,
                "batches could not be delivered before the stop; a queue in memory loses them"
            );
        }
    }

    /// What has become of all batches so far.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.ledger().stats()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
