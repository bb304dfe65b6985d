//! The queue and the account of it: every batch is in exactly one place, and every move is booked where it is made.
//!
//! It never waits: whoever shows the account must get it though a disk hangs. What is to be done on disk it leaves for
//! [`Disk`](super::disk::Disk).

use std::time::Duration;

use super::queue::{Entry, Part, Queue, Slot};
use super::stats::{Amount, DeliveryStats, DropReason, Outcome};
use super::{Batch, Destination};
use crate::clock::Moment;

/// What may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of all batches.
    pub(super) bytes_max: u64,
    /// Bytes of those that are in memory because the spool could not store them; without a spool all are.
    pub(super) held_bytes_max: u64,
    pub(super) age_max: Duration,
}

/// What is left to do with the file of a batch that no longer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) number: u64,
    /// Whether people may want to look at it.
    pub(super) is_kept: bool,
    /// Whether it was dropped undelivered: should it come back, it would come behind later ones.
    pub(super) is_dropped: bool,
}

/// The oldest batch, or the next part of it, on its way.
pub(super) struct Begun {
    pub(super) destination: Destination,
    pub(super) number: u64,
    pub(super) entry: Entry,
    /// The body, unless the spool has it, which it never has of a part.
    pub(super) body: Option<bytes::Bytes>,
}

pub(super) struct Ledger {
    pub(super) queue: Queue,
    bounds: Bounds,
    /// The last one given: a key that was changed serves the batches from before too.
    destination: Option<Destination>,
    /// Whether the oldest batch is on its way: then it may not be dropped, for it may just be arriving.
    is_underway: bool,
    /// Whether it was said that batches are dropped, since the last delivery.
    has_said: bool,
    leavings: Vec<Leaving>,
    /// Its bytes, its age and what is held of `queued` are the queue's to say; the rest is booked here.
    booked: DeliveryStats,
}

impl Ledger {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            queue: Queue::default(),
            bounds,
            destination: None,
            is_underway: false,
            has_said: false,
            leavings: Vec::new(),
            booked: DeliveryStats::default(),
        }
    }

    /// Has other bounds, which what waits already is held to when the next batch is put.
    pub(super) const fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Takes over what a spool held, and its bounds. What was found `damaged` is accepted and dropped at once.
    pub(super) fn restore(
        &mut self,
        bounds: Bounds,
        found: Vec<(u64, Entry)>,
        last: u64,
        damaged: impl Iterator<Item = DropReason>,
    ) {
        self.bounds = bounds;
        for (_, entry) in &found {
            self.booked.accepted += entry.amount();
            self.booked.queued += entry.amount();
        }
        self.queue.restore(found, last);
        for reason in damaged {
            let unknown = Amount { batches: 1, points: 0 };
            self.booked.accepted += unknown;
            self.booked.dropped[reason as usize] += unknown;
        }
    }

    pub(super) fn put(&mut self, destination: Destination, batch: Batch, now: Moment) {
        self.destination = Some(destination);
        let entry = Entry::of(&batch);
        self.booked.accepted += entry.amount();
        self.drop_old(now);
        if entry.bytes > self.bounds.bytes_max {
            return self.book_drop(entry.amount(), DropReason::Oversize);
        }
        while self.queue.bytes() + entry.bytes > self.bounds.bytes_max {
            // Nothing is left to make room with but the batch on its way.
            if !self.drop_at(usize::from(self.is_underway), DropReason::Size) {
                return self.book_drop(entry.amount(), DropReason::Size);
            }
        }
        while self.queue.held_bytes() + entry.bytes > self.bounds.held_bytes_max {
            let oldest = self.queue.first_held().max(usize::from(self.is_underway));
            // One batch is always taken: the disk may be ready for it.
            if !self.drop_at(oldest, DropReason::Storage) {
                break;
            }
        }
        self.queue.push(batch);
        self.booked.queued += entry.amount();
    }

    /// Sets the oldest batch on its way, until it is [settled](Self::settle), [given up](Self::give_up) or
    /// [released](Self::release).
    pub(super) fn begin(&mut self, now: Moment) -> Option<Begun> {
        // What was on its way is so no more, and may be too old by now.
        self.is_underway = false;
        self.drop_old(now);
        let (destination, slot) = (self.destination.clone()?, self.queue.get(0)?);
        self.is_underway = true;
        let (points, body) = match slot.parts.front() {
            Some(part) => (part.points, Some(part.body.clone())),
            None => (slot.left, slot.body.clone()),
        };
        Some(Begun { destination, number: slot.number, entry: Entry { points, ..slot.entry }, body })
    }

    /// Has what is on its way go in two parts, of which the first is next.
    pub(super) fn divide(&mut self, [first, second]: [Part; 2]) {
        let Some(slot) = self.queue.first().filter(|_| self.is_underway) else { return };
        slot.parts.pop_front();
        slot.parts.push_front(second);
        slot.parts.push_front(first);
    }

    /// Has all that is left of the batch on its way be settled at once.
    pub(super) fn unite(&mut self) {
        if let Some(slot) = self.queue.first().filter(|_| self.is_underway) {
            slot.parts.clear();
        }
    }

    /// Books how the attempt with what is on its way went. `refused` are the points of it that were not taken.
    pub(super) fn settle(&mut self, outcome: Outcome, refused: u64, now: Moment) {
        self.is_underway = false;
        self.booked.attempts[outcome as usize] += 1;
        match outcome {
            Outcome::Success | Outcome::Partial => {
                let points = self.end(None);
                self.booked.refused_points += refused.min(points);
                self.booked.last_success = Some(now.wall);
                self.has_said = false;
            }
            Outcome::Rejected => drop(self.end(Some(DropReason::Rejected))),
            Outcome::Retry | Outcome::Unanswered | Outcome::Divided => {}
        }
    }

    /// Ends the oldest batch, or its next part, as delivered or as `lost`; its points.
    fn end(&mut self, lost: Option<DropReason>) -> u64 {
        let Some(slot) = self.queue.first() else { return 0 };
        let points = slot.parts.pop_front().map_or(slot.left, |part| part.points);
        slot.left -= points;
        slot.lost = slot.lost.or(lost);
        let is_done = slot.parts.is_empty();
        self.booked.queued.points -= points;
        let done = if is_done { self.remove(0, false, false) } else { None };
        let (batches, fate) = (u64::from(is_done), done.map_or(lost, |slot| slot.lost));
        match lost {
            Some(reason) => self.booked.dropped[reason as usize].points += points,
            None => self.booked.delivered.points += points,
        }
        match fate {
            Some(reason) => self.booked.dropped[reason as usize].batches += batches,
            None => self.booked.delivered.batches += batches,
        }
        points
    }

    /// Drops the oldest batch, which is of no use; its file is kept for people.
    pub(super) fn give_up(&mut self, reason: DropReason) {
        self.is_underway = false;
        if let Some(slot) = self.remove(0, true, true) {
            self.book_drop_of(&slot, reason);
        }
    }

    /// Says that no batch is on its way: the attempt was broken off undecided.
    pub(super) fn release(&mut self) {
        self.is_underway = false;
    }

    /// What is to be done on disk with batches that no longer wait.
    pub(super) fn take_leavings(&mut self) -> Vec<Leaving> {
        std::mem::take(&mut self.leavings)
    }

    #[cfg(test)]
    pub(super) fn has_leavings(&self) -> bool {
        !self.leavings.is_empty()
    }

    pub(super) fn stats(&self) -> DeliveryStats {
        let oldest_accepted = self.queue.get(0).map(|slot| slot.entry.accepted.wall);
        let (queued_bytes, unstored) = (self.queue.bytes(), self.queue.held() as u64);
        DeliveryStats { queued_bytes, unstored, oldest_accepted, ..self.booked.clone() }
    }

    /// Drops what has waited too long, by the clock that nobody moves.
    fn drop_old(&mut self, now: Moment) {
        let position = usize::from(self.is_underway);
        let is_old = |entry: Entry| now.since(entry.accepted) > self.bounds.age_max;
        let mut old = 0;
        while self.queue.get(position + old).is_some_and(|slot| is_old(slot.entry)) {
            old += 1;
        }
        for _ in 0..old {
            self.drop_at(position, DropReason::Age);
        }
    }

    /// Whether there was one to drop.
    fn drop_at(&mut self, position: usize, reason: DropReason) -> bool {
        let Some(slot) = self.remove(position, false, true) else { return false };
        self.book_drop_of(&slot, reason);
        true
    }

    /// A batch of which a part was dropped is kept and removed as a dropped one.
    fn remove(&mut self, position: usize, is_kept: bool, is_dropped: bool) -> Option<Slot> {
        let slot = self.queue.remove(position)?;
        self.booked.queued.batches -= 1;
        self.booked.queued.points -= slot.left;
        if slot.has_file {
            let has_lost = slot.lost.is_some();
            let (is_kept, is_dropped) = (is_kept || has_lost, is_dropped || has_lost);
            self.leavings.push(Leaving { number: slot.number, is_kept, is_dropped });
        }
        Some(slot)
    }

    /// What is left of a batch is dropped; the batch counts where the first loss of it does.
    fn book_drop_of(&mut self, slot: &Slot, reason: DropReason) {
        self.booked.dropped[slot.lost.unwrap_or(reason) as usize].batches += 1;
        self.book_drop(Amount { batches: 0, points: slot.left }, reason);
    }

    fn book_drop(&mut self, amount: Amount, reason: DropReason) {
        self.booked.dropped[reason as usize] += amount;
        // A long outage drops a batch with every one that comes: said once, counted always.
        if reason != DropReason::Rejected && !std::mem::replace(&mut self.has_said, true) {
            let (reason, points) = (reason.name(), amount.points);
            tracing::warn!(
                reason,
                points,
                "a batch is dropped undelivered; further ones until the next delivery are only counted"
            );
        }
    }
}

impl Entry {
    const fn amount(self) -> Amount {
        Amount { batches: 1, points: self.points }
    }
}
