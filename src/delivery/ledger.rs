//! The queue and the account of it: every batch is in exactly one place, and every move is booked where it is made.

use std::time::Duration;

use super::queue::{Entry, Queue};
use super::stats::{Amount, DeliveryStats, DropReason, Outcome};
use super::{Batch, Destination};
use crate::clock::Moment;

pub(super) struct Ledger {
    queue: Box<dyn Queue>,
    bytes_max: u64,
    age_max: Duration,
    /// The last one given: a key that was changed serves the batches from before too.
    destination: Option<Destination>,
    /// Whether the oldest batch is on its way: then it may not be dropped, for it may just be arriving.
    is_underway: bool,
    /// Whether it was said that batches are dropped, since the last delivery.
    has_said: bool,
    /// `queued`, its bytes and its age are the queue's to say; the rest is booked here.
    booked: DeliveryStats,
}

impl Ledger {
    pub(super) fn new(queue: Box<dyn Queue>, bytes_max: u64, age_max: Duration) -> Self {
        let mut booked = DeliveryStats::default();
        for position in 0..queue.len() {
            booked.accepted += queue.entry(position).map(Entry::amount).unwrap_or_default();
        }
        booked.queued = booked.accepted;
        Self { queue, bytes_max, age_max, destination: None, is_underway: false, has_said: false, booked }
    }

    pub(super) fn put(&mut self, destination: Destination, batch: Batch, now: Moment) {
        self.destination = Some(destination);
        let entry = Entry::of(&batch);
        self.booked.accepted += entry.amount();
        self.drop_old(now);
        if entry.bytes > self.bytes_max {
            return self.book_drop(entry, DropReason::Oversize);
        }
        while self.queue.bytes() + entry.bytes > self.bytes_max {
            // Nothing is left to make room with but the batch on its way.
            let Some(oldest) = self.remove(usize::from(self.is_underway)) else {
                return self.book_drop(entry, DropReason::Size);
            };
            self.book_drop(oldest, DropReason::Size);
        }
        match self.queue.push(batch) {
            Ok(()) => self.booked.queued += entry.amount(),
            Err(error) => {
                tracing::error!(%error, "failed to store a batch for delivery; check the disk of the spool");
                self.book_drop(entry, DropReason::Storage);
            }
        }
    }

    /// The next batch to send. It stays queued until it is [settled](Self::settle) or [released](Self::release).
    pub(super) fn start(&mut self, now: Moment) -> Option<(Destination, Batch)> {
        self.drop_old(now);
        let destination = self.destination.clone()?;
        loop {
            match self.queue.front()? {
                Ok(batch) => {
                    self.is_underway = true;
                    return Some((destination, batch));
                }
                Err(error) => {
                    tracing::error!(%error, "a stored batch cannot be read back and is dropped");
                    let damaged = self.remove(0)?;
                    self.book_drop(damaged, DropReason::Storage);
                }
            }
        }
    }

    /// Books how the attempt with the oldest batch went. `refused` are the points of it that were not taken.
    pub(super) fn settle(&mut self, outcome: Outcome, refused: u64, now: Moment) {
        self.is_underway = false;
        self.booked.attempts[outcome as usize] += 1;
        match outcome {
            Outcome::Success | Outcome::Partial => {
                let Some(entry) = self.remove(0) else { return };
                self.booked.delivered += entry.amount();
                self.booked.refused_points += refused.min(entry.points);
                self.booked.last_success = Some(now.wall);
                self.has_said = false;
            }
            Outcome::Rejected => {
                if let Some(entry) = self.remove(0) {
                    self.book_drop(entry, DropReason::Rejected);
                }
            }
            Outcome::Retry | Outcome::Unanswered => {}
        }
    }

    /// Says that no batch is on its way: the attempt was broken off undecided.
    pub(super) fn release(&mut self) {
        self.is_underway = false;
    }

    pub(super) fn stats(&self) -> DeliveryStats {
        let oldest_accepted = self.queue.entry(0).map(|entry| entry.accepted.wall);
        DeliveryStats { queued_bytes: self.queue.bytes(), oldest_accepted, ..self.booked.clone() }
    }

    /// Drops what has waited too long, by the clock that nobody moves.
    fn drop_old(&mut self, now: Moment) {
        let position = usize::from(self.is_underway);
        while self.queue.entry(position).is_some_and(|entry| now.since(entry.accepted) > self.age_max) {
            let Some(entry) = self.remove(position) else { return };
            self.book_drop(entry, DropReason::Age);
        }
    }

    fn remove(&mut self, position: usize) -> Option<Entry> {
        let entry = self.queue.remove(position)?;
        self.booked.queued.batches -= 1;
        self.booked.queued.points -= entry.points;
        Some(entry)
    }

    fn book_drop(&mut self, entry: Entry, reason: DropReason) {
        self.booked.dropped[reason as usize] += entry.amount();
        // A long outage drops a batch with every one that comes: said once, counted always.
        if reason != DropReason::Rejected && !std::mem::replace(&mut self.has_said, true) {
            let (reason, points) = (reason.name(), entry.points);
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
