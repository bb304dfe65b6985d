//! The way of an encoded OTLP request to the network: accepted at once, delivered in order when the endpoint takes it.
//!
//! What [`Delivery::put`] accepted is delivered, or waits, or is counted as dropped with its reason; at every moment
//! `accepted = delivered + queued + dropped`. This module knows bytes, not figures: what is in a batch, and how it is
//! [divided](Halve), is its exporter's business. One `Delivery` serves one endpoint. Batches wait in memory; with a
//! [`SpoolConfig`] on disk, and outlive the process: what [`Delivery::keep`] has seen through is there after any kill.

mod disk;
mod divide;
mod ledger;
mod queue;
mod reply;
mod retry;
mod sender;
mod spool;
mod stats;
#[cfg(test)]
mod tests;
mod transport;

pub use divide::Halve;
pub use reply::Reply;
pub use retry::{Verdict, verdict};
pub use stats::{Amount, DeliveryStats, DropReason, Outcome};
pub use transport::{Protocol, Sending, Transport};

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, Moment};
use crate::directory::{self, DirectoryError, OwnDirectory};
use crate::http_client::{HttpClient, Limits};
use disk::{Disk, Next};
use ledger::{Bounds, Ledger};
use sender::Sender;
use spool::{Found, Fs, RealFs};
use transport::HttpTransport;

/// The setting that names a spool's directory.
const SPOOL_SETTING: &str = "otlp.spool.dir";

/// Time for the last attempts after the stop if what waits is safe on disk: one attempt under way may yet be decided,
/// which saves the receiver a repetition.
const SPOOLED_FLUSH: Duration = Duration::from_secs(1);

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
    /// Most bytes that wait in memory; above, the oldest batches are dropped.
    pub queue_bytes_max: u64,
    /// Longest wait without a spool; older batches are dropped.
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
        let limits = Limits { body_bytes_max: 4 << 20, ..Limits::default() }.within(Duration::from_secs(10));
        Self {
            queue_bytes_max: 64 << 20,
            age_max: Duration::from_secs(72 * 3600),
            protocol: Protocol::default(),
            limits,
            flush: Duration::from_secs(3),
        }
    }
}

/// Where batches wait on disk, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// A directory for this one endpoint; it is made if it is not there.
    pub directory: PathBuf,
    /// Most bytes that wait; above, the oldest batches are dropped.
    pub bytes_max: u64,
    /// Longest wait; older batches are dropped.
    pub age_max: Duration,
}

impl SpoolConfig {
    /// A spool of 256 MiB and 72 h.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory, bytes_max: 256 << 20, age_max: Duration::from_secs(72 * 3600) }
    }
}

/// Checks that a spool can be at `path`, or be made there. Changes nothing.
///
/// # Errors
/// When what is there is not a directory of our own that nobody else can write in.
pub fn check_spool(path: &Path) -> Result<(), DirectoryError> {
    directory::check(SPOOL_SETTING, path)
}

/// Accepts batches and delivers them, one at a time and in order.
pub struct Delivery {
    transport: Mutex<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    config: DeliveryConfig,
    ledger: Arc<Mutex<Ledger>>,
    /// One at a time has it, and a disk that hangs keeps one thread and no worker.
    disk: OnceLock<Arc<tokio::sync::Mutex<Disk>>>,
    /// The bounds of what is on it, in bytes and in age.
    spooled: OnceLock<(u64, Duration)>,
    arrived: Notify,
    running: tokio::sync::Mutex<()>,
    halve: Option<Halve>,
}

impl Delivery {
    /// A delivery by `http` from a queue in memory; the client must speak HTTP/2 if the protocol is gRPC.
    #[must_use]
    pub fn new(config: DeliveryConfig, http: HttpClient, clock: Arc<dyn Clock>) -> Self {
        let transport = HttpTransport::new(http, config.limits, config.protocol, Arc::clone(&clock));
        Self::with(config, Box::new(transport), clock)
    }

    /// A delivery by `transport` from a queue in memory.
    #[must_use]
    pub fn with(config: DeliveryConfig, transport: Box<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        let DeliveryConfig { queue_bytes_max, age_max, .. } = config;
        let transport = Mutex::new(Arc::from(transport));
        let bounds = Bounds { bytes_max: queue_bytes_max, held_bytes_max: queue_bytes_max, age_max };
        Self {
            transport,
            clock,
            config,
            ledger: Arc::new(Mutex::new(Ledger::new(bounds))),
            disk: OnceLock::new(),
            spooled: OnceLock::new(),
            arrived: Notify::new(),
            running: tokio::sync::Mutex::default(),
            halve: None,
        }
    }

    /// The same, which sends in parts what the endpoint refuses as too large: each part is half of what was refused, in
    /// order, until it is taken or is a single point. The batch waits whole until its last part is decided. Refused sizes
    /// are remembered for an hour.
    #[must_use]
    pub fn halving(mut self, halve: Halve) -> Self {
        self.halve = Some(halve);
        self
    }

    /// Goes on by `http`, and with the queue and the limits of `config`, from the next attempt on. What waits stays, and
    /// a spool keeps its bounds.
    pub fn go_on_with(&self, config: &DeliveryConfig, http: HttpClient) {
        let transport = HttpTransport::new(http, config.limits, config.protocol, Arc::clone(&self.clock));
        *self.transport.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(transport);
        let DeliveryConfig { queue_bytes_max: held_bytes_max, age_max, .. } = *config;
        let (bytes_max, age_max) = self.spooled.get().copied().unwrap_or((held_bytes_max, age_max));
        self.ledger().set_bounds(Bounds { bytes_max, held_bytes_max, age_max });
    }

    fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has batches wait in a spool, whose batches from before count as accepted and go first, with the first
    /// destination that is given. To be called once and before anything is put; waits for the disk.
    ///
    /// # Errors
    /// When the directory cannot be had, is not private, or another process has it. Damage in it is none.
    pub fn open_spool(&self, config: &SpoolConfig) -> Result<(), DirectoryError> {
        let path = &config.directory;
        let directory = OwnDirectory::open(SPOOL_SETTING, path)?;
        let io = |cause| DirectoryError::Io { setting: SPOOL_SETTING, path: path.clone(), cause };
        let fs = RealFs::new(directory).map_err(io)?;
        let found = self.open_on(Box::new(fs), config).map_err(io)?;
        let (batches, damaged) = (found.batches.len(), found.lost.len());
        tracing::info!(spool = %path.display(), batches, damaged, "opened the spool");
        for (number, reason) in &found.lost {
            tracing::error!(number, %reason, "a batch of the spool is damaged, is counted as dropped, and is set aside");
        }
        Ok(())
    }

    fn open_on(&self, fs: Box<dyn Fs>, config: &SpoolConfig) -> std::io::Result<Found> {
        let SpoolConfig { bytes_max, age_max, .. } = *config;
        let bounds = Bounds { bytes_max, held_bytes_max: self.config.queue_bytes_max, age_max };
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.clock));
        let (disk, found) = Disk::open(fs, bounds, ledger, clock)?;
        self.disk.get_or_init(|| Arc::new(tokio::sync::Mutex::new(disk)));
        self.spooled.get_or_init(|| (bytes_max, age_max));
        Ok(found)
    }

    /// Accepts `batch`; it and all that wait go to `destination` from now on. Waits neither for the network nor for the
    /// disk: what does not fit drives out the oldest, and is counted.
    pub fn put(&self, destination: Destination, batch: Batch) {
        self.ledger().put(destination, batch, self.clock.now());
        self.arrived.notify_one();
    }

    /// Returns when the spool, if there is one, has taken what was put before, or its disk has refused it: then it waits
    /// in memory and is tried again. May be broken off; the work goes on.
    pub async fn keep(&self) {
        self.on_disk(Disk::keep).await;
    }

    /// Delivers until `stop`, then tries once more what waits: for at most [`DeliveryConfig::flush`], or a second if all
    /// of it is in a spool. What is left stays queued. While one call runs, another returns at once, so that there is never
    /// more than one attempt.
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
        let is_safe = self.stats().unstored == 0;
        let flush = if is_safe { SPOOLED_FLUSH.min(self.config.flush) } else { self.config.flush };
        let _ = tokio::time::timeout(flush, sending).await;
        self.ledger().release();
        let DeliveryStats { queued: Amount { batches, .. }, unstored, .. } = self.stats();
        if unstored > 0 {
            tracing::warn!(
                batches = unstored,
                "batches could not be delivered before the stop; a queue in memory loses them"
            );
        } else if batches > 0 {
            tracing::info!(batches, "batches wait in the spool for the next start");
        }
    }

    /// What has become of all batches so far. Never waits.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.ledger().stats()
    }

    async fn next(&self) -> Next {
        if self.disk.get().is_some() {
            // Without an answer the process is at its end, or the disk's work is broken; either way there is nothing now.
            return self.on_disk(Disk::next).await.unwrap_or(Next::Wait(Duration::from_secs(1)));
        }
        let Some(begun) = self.ledger().begin(self.clock.now()) else { return Next::Empty };
        // Without a spool every body is in memory.
        let body = begun.body.unwrap_or_default();
        let batch = Batch { body, points: begun.entry.points, accepted: begun.entry.accepted };
        Next::Batch(begun.destination, batch)
    }

    /// Books how the attempt went. Where a batch was decided and a disk has to follow, it brings the next one along: a
    /// long backlog then waits for one thread a batch.
    async fn settle(&self, outcome: Outcome, refused: u64, now: Moment) -> Option<Next> {
        self.ledger().settle(outcome, refused, now);
        if matches!(outcome, Outcome::Retry | Outcome::Unanswered) {
            return None;
        }
        self.on_disk(Disk::next).await
    }

    /// Has the disk work, if there is one, on a thread that may wait.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&mut Disk) -> T + Send + 'static) -> Option<T> {
        let mut disk = Arc::clone(self.disk.get()?).lock_owned().await;
        tokio::task::spawn_blocking(move || work(&mut disk)).await.ok()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
