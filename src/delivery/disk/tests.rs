//! A delivery's disk on a file system that is as bad as one may be, judged by an oracle that keeps its own account.

mod refusing;
mod simulation;

use super::*;
use crate::clock::{ManualClock, Wall};
use crate::delivery::spool::testing::SimFs;
use crate::delivery::{DeliveryStats, Outcome};

/// One life of a process.
struct Life {
    ledger: Arc<Mutex<Ledger>>,
    disk: Disk,
    found: Found,
}

impl Life {
    fn begin(fs: &SimFs, bounds: Bounds, clock: &Arc<ManualClock>) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(bounds)));
        let (disk, found) =
            Disk::open(Box::new(fs.clone()), bounds, Arc::clone(&ledger), Arc::clone(clock) as _).unwrap();
        Self { ledger, disk, found }
    }

    fn put(&self, batch: Batch) {
        let destination =
            Destination { uri: "http://collector:4318".parse().unwrap(), headers: http::HeaderMap::new() };
        let now = self.disk.clock.now();
        self.ledger.lock().unwrap().put(destination, batch, now);
    }

    fn settle(&mut self, outcome: Outcome) {
        let now = self.disk.clock.now();
        self.ledger.lock().unwrap().settle(outcome, 0, now);
        self.disk.keep();
    }

    /// The numbers of what waits, and whether each is in the spool.
    fn waiting(&self) -> Vec<(u64, bool)> {
        self.ledger.lock().unwrap().queue.slots().map(|slot| (slot.number, slot.body.is_none())).collect()
    }

    /// The account, whole.
    fn stats(&self) -> DeliveryStats {
        let stats = self.ledger.lock().unwrap().stats();
        let mut sum = stats.delivered;
        sum += stats.queued;
        stats.dropped.iter().for_each(|dropped| sum += *dropped);
        assert_eq!(stats.accepted, sum, "{stats:?}");
        let waiting = self.waiting();
        assert_eq!(stats.queued.batches, waiting.len() as u64);
        assert_eq!(stats.unstored, waiting.iter().filter(|(_, is_stored)| !is_stored).count() as u64);
        stats
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)))
}

/// The number of a batch of the tests, which its body repeats.
fn id(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().unwrap())
}
