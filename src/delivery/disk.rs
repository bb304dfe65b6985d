//! What a delivery does on disk: stores what came, fetches what is next, removes what is done. Every call may wait for
//! the disk, so none is made by a worker of the runtime, and the ledger is locked only in between.
//!
//! A disk that refuses costs nothing by itself: batches wait in memory, in their order, and are stored when it takes them
//! again. Stored ones are not given up for room that another program may fill next.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ledger::{Bounds, Leaving, Ledger};
use super::queue::Entry;
use super::spool::{Found, Fs, Head, Spool, Unreadable};
use super::stats::DropReason;
use super::{Batch, Destination};
use crate::clock::{Clock, Moment};

/// Longest time a removal may wait to be on the disk while others follow. A power loss then brings back what was
/// delivered since; syncing each would make a long backlog as slow as the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How often a disk that cannot read a batch is asked again, and after how long: others wait at most a second for it.
const READS_MAX: u32 = 4;
const READ_AGAIN: Duration = Duration::from_millis(250);

/// What the sender is to do.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and most are batches")]
pub(super) enum Next {
    /// Send this; it waits until it is settled.
    Batch(Destination, Batch),
    /// Ask again after this time.
    Wait(Duration),
    /// Wait for a batch to come.
    Empty,
}

/// The disk's side of a ledger.
pub(super) struct Disk {
    spool: Spool,
    ledger: Arc<Mutex<Ledger>>,
    clock: Arc<dyn Clock>,
    /// What the disk has not yet let go of.
    leavings: Vec<Leaving>,
    synced: Moment,
    failed_reads: u32,
    /// What was last said of a disk that refuses.
    told: Option<String>,
}

impl Disk {
    /// Opens the spool in a directory and gives `ledger` what waits in it.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn open(
        fs: Box<dyn Fs>,
        bounds: Bounds,
        ledger: Arc<Mutex<Ledger>>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<(Self, Found)> {
        let (spool, found) = Spool::open(fs)?;
        let now = clock.now();
        let entry = |(number, head): &(u64, Head)| {
            (*number, Entry { bytes: head.length, points: head.points, accepted: now.back_to(head.accepted) })
        };
        let lost = found.lost.iter().map(|(_, reason)| match reason {
            Unreadable::Damaged(_) => DropReason::Corrupt,
            Unreadable::Io(_) => DropReason::Storage,
        });
        // Numbers begin at the time, so that what a power loss brings back of an earlier life is lower than any of this.
        let last = found.last.max(now.wall.0 / 1_000_000);
        let batches = found.batches.iter().map(entry).collect();
        ledger.lock().unwrap_or_else(PoisonError::into_inner).restore(bounds, batches, last, lost);
        let aside = |(number, _): &(u64, Unreadable)| Leaving { number: *number, is_kept: true, is_dropped: true };
        let leavings = found.lost.iter().map(aside).collect();
        let mut disk = Self { spool, ledger, clock, leavings, synced: now, failed_reads: 0, told: None };
        disk.keep();
        Ok((disk, found))
    }

    /// Does what is left to do: removals, which make room, then writings.
    pub(super) fn keep(&mut self) {
        let mut trouble = None;
        loop {
            if let Err(error) = self.clear() {
                trouble = Some(format!("cannot remove a batch: {error}"));
            }
            let Some((number, batch)) = self.ledger().queue.store_next() else { break };
            if let Err(error) = self.spool.put(number, &batch) {
                trouble = Some(format!("cannot store a batch: {error}"));
                break;
            }
            self.ledger().queue.stored(number);
        }
        let is_idle = self.ledger().queue.get(0).is_none();
        if is_idle || self.clock.now().since(self.synced) >= SYNC_EVERY {
            self.sync();
        }
        self.tell(trouble);
    }

    /// The next batch to send. Once it is chosen, and before it goes, what came is stored, so that nothing is on its way
    /// while it is written, and what was dropped is removed for good: should it come back, it would come behind this one.
    pub(super) fn next(&mut self) -> Next {
        loop {
            let begun = self.ledger().begin(self.clock.now());
            self.keep();
            let Some(begun) = begun else { return Next::Empty };
            let read = match begun.body {
                Some(body) => Ok(body),
                None => self.spool.get(begun.number, begun.entry.bytes),
            };
            match read {
                Ok(body) => {
                    self.failed_reads = 0;
                    let batch = Batch { body, points: begun.entry.points, accepted: begun.entry.accepted };
                    return Next::Batch(begun.destination, batch);
                }
                Err(error) => {
                    if let Some(wait) = self.unreadable(begun.number, &error) {
                        return Next::Wait(wait);
                    }
                }
            }
        }
    }

    /// Gives up the batch on its way, or says after how long to try it again.
    fn unreadable(&mut self, number: u64, error: &Unreadable) -> Option<Duration> {
        self.failed_reads += 1;
        let reason = drop_reason(error, self.failed_reads);
        if let Some(reason) = reason {
            tracing::error!(number, %error, "a stored batch cannot be read back; it is set aside in the spool");
            self.failed_reads = 0;
            self.ledger().give_up(reason);
            return None;
        }
        self.ledger().release();
        if self.failed_reads == 1 {
            tracing::warn!(number, %error, "a stored batch cannot be read now and is read again; check the disk and the limit of open files");
        }
        Some(READ_AGAIN)
    }

    /// Removes the files of batches that no longer wait, in order; what the disk keeps is tried again next time. If it keeps
    /// one until the process ends, the next start takes it for a batch that waits: there is no telling it otherwise on a
    /// disk that refuses, for a directory that lets go of no name takes none either.
    fn clear(&mut self) -> io::Result<()> {
        let new = self.ledger().take_leavings();
        self.leavings.extend(new);
        let (mut done, mut must_sync) = (0, false);
        let result = self.leavings.iter().try_for_each(|leaving| {
            let Leaving { number, is_kept, is_dropped } = *leaving;
            if is_kept { self.spool.set_aside(number) } else { self.spool.remove(number) }?;
            done += 1;
            must_sync |= is_dropped;
            Ok(())
        });
        self.leavings.drain(..done);
        if must_sync {
            self.sync();
        }
        result
    }

    /// A failure shows at the next writing, which syncs too.
    fn sync(&mut self) {
        if self.spool.is_unsynced() && self.spool.sync().is_ok() {
            self.synced = self.clock.now();
        }
    }

    /// Says what the disk refuses, once, and that it no longer does.
    fn tell(&mut self, trouble: Option<String>) {
        match &trouble {
            Some(cause) if self.told != trouble => tracing::error!(
                cause,
                "the spool's disk refuses; batches wait in memory and are stored when it takes them again: free space, or check the disk"
            ),
            None if self.told.is_some() => tracing::info!("the spool's disk takes batches again"),
            _ => {}
        }
        self.told = trouble;
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a batch that could not be read `times` times in a row is given up; `None` while it may still be read. An error
/// that says nothing of the batch, such as too many open files, never costs one.
fn drop_reason(error: &Unreadable, times: u32) -> Option<DropReason> {
    match error {
        Unreadable::Damaged(_) => Some(DropReason::Corrupt),
        Unreadable::Io(error) if error.kind() == io::ErrorKind::NotFound => Some(DropReason::Storage),
        Unreadable::Io(error) if error.raw_os_error() == Some(libc::EIO) => {
            (times >= READS_MAX).then_some(DropReason::Storage)
        }
        Unreadable::Io(_) => None,
    }
}

#[cfg(test)]
mod tests;
