//! What waits, first in, first out, with the place of each body. What is dropped and why is the ledger's business, files
//! are the spool's.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Batch;
use super::stats::DropReason;
use crate::clock::Moment;

/// What can be said of a waiting batch without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// Data points in it.
    pub(super) points: u64,
    /// When it was made.
    pub(super) accepted: Moment,
}

/// A part of a batch that is too large for its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) body: Bytes,
    pub(super) points: u64,
}

/// A waiting batch.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Its place in the order, and its name on disk.
    pub(super) number: u64,
    pub(super) entry: Entry,
    /// The body, unless a spool has it.
    pub(super) body: Option<Bytes>,
    /// Whether a spool has it, or may have it from a writing that failed.
    pub(super) has_file: bool,
    /// The points that are not decided: all of them, until it is sent in parts.
    pub(super) left: u64,
    /// What is left of it in parts, in order, if it is sent so; they are kept in memory, for the whole is still there.
    pub(super) parts: VecDeque<Part>,
    /// Why a part of it was dropped, if one was.
    pub(super) lost: Option<DropReason>,
}

/// Batches in order. A spool takes them in order too, so those that it has come before those that it has not.
#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: VecDeque<Slot>,
    bytes: u64,
    held: usize,
    held_bytes: u64,
    last: u64,
}

impl Queue {
    /// Puts what a spool held from before in front, oldest first. `last` is the highest number that must not come again.
    pub(super) fn restore(&mut self, found: Vec<(u64, Entry)>, last: u64) {
        self.last = self.last.max(last);
        for slot in &mut self.slots {
            self.last += 1;
            slot.number = self.last;
        }
        for (number, entry) in found.into_iter().rev() {
            self.bytes += entry.bytes;
            self.slots.push_front(Slot { has_file: true, ..Slot::new(number, entry, None) });
        }
    }

    pub(super) fn push(&mut self, batch: Batch) {
        let entry = Entry::of(&batch);
        self.last += 1;
        self.bytes += entry.bytes;
        self.held += 1;
        self.held_bytes += entry.bytes;
        self.slots.push_back(Slot::new(self.last, entry, Some(batch.body)));
    }

    /// What waits at `position`, 0 being the oldest.
    pub(super) fn get(&self, position: usize) -> Option<&Slot> {
        self.slots.get(position)
    }

    /// The oldest.
    pub(super) fn first(&mut self) -> Option<&mut Slot> {
        self.slots.front_mut()
    }

    /// Takes what waits at `position` out.
    pub(super) fn remove(&mut self, position: usize) -> Option<Slot> {
        let slot = self.slots.remove(position)?;
        self.bytes -= slot.entry.bytes;
        if slot.body.is_some() {
            self.held -= 1;
            self.held_bytes -= slot.entry.bytes;
        }
        Some(slot)
    }

    /// The place of the oldest batch that is in memory alone.
    pub(super) fn first_held(&self) -> usize {
        self.slots.len() - self.held
    }

    /// Notes that the spool is about to write the oldest batch it has not, and returns it.
    pub(super) fn store_next(&mut self) -> Option<(u64, Batch)> {
        let position = self.first_held();
        let slot = self.slots.get_mut(position)?;
        slot.has_file = true;
        let body = slot.body.clone()?;
        Some((slot.number, Batch { body, points: slot.entry.points, accepted: slot.entry.accepted }))
    }

    /// Notes that the spool has the batch `number`, if it still waits.
    pub(super) fn stored(&mut self, number: u64) {
        let position = self.first_held();
        if let Some(slot) = self.slots.get_mut(position).filter(|slot| slot.number == number) {
            slot.body = None;
            self.held -= 1;
            self.held_bytes -= slot.entry.bytes;
        }
    }

    /// How many batches are in memory alone.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// How many bytes are in memory alone.
    pub(super) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// How many bytes wait.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }
}

impl Slot {
    fn new(number: u64, entry: Entry, body: Option<Bytes>) -> Self {
        Self { number, entry, body, has_file: false, left: entry.points, parts: VecDeque::new(), lost: None }
    }
}

impl Entry {
    /// What can be said of `batch`.
    pub(super) fn of(batch: &Batch) -> Self {
        Self { bytes: batch.body.len() as u64, points: batch.points, accepted: batch.accepted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let mut queue = Queue::default();
        for (body, points) in [("a", 1), ("bb", 2), ("ccc", 3)] {
            queue.push(Batch { body: body.into(), points, accepted: Moment::default() });
        }
        queue
    }

    #[test]
    fn the_first_in_is_the_first_out_and_the_bytes_are_those_that_wait() {
        let mut queue = queue();
        assert_eq!((queue.bytes(), queue.held(), queue.held_bytes()), (6, 3, 6));
        assert_eq!(queue.get(2).unwrap().entry.points, 3);
        assert_eq!(queue.remove(1).unwrap().entry.bytes, 2);
        assert_eq!(queue.remove(0).unwrap().body.unwrap().as_ref(), b"a");
        assert_eq!((queue.bytes(), queue.held(), queue.get(0).unwrap().entry.points), (3, 1, 3));
        assert!(queue.remove(1).is_none() && queue.remove(0).is_some() && queue.get(0).is_none());
    }

    #[test]
    fn what_a_spool_has_is_in_memory_no_more_and_one_dropped_meanwhile_is_none_of_its_business() {
        let mut queue = queue();
        let (first, batch) = queue.store_next().unwrap();
        assert_eq!((first, batch.body.as_ref()), (1, b"a".as_slice()));
        queue.stored(first);
        assert_eq!((queue.bytes(), queue.held(), queue.held_bytes(), queue.first_held()), (6, 2, 5, 1));
        let (second, _) = queue.store_next().unwrap();
        assert!(queue.remove(1).unwrap().has_file);
        queue.stored(second);
        assert_eq!((queue.held(), queue.store_next().unwrap().0), (1, 3));
    }

    #[test]
    fn what_was_there_before_comes_first_and_keeps_its_number() {
        let mut queue = queue();
        let entry = Entry { bytes: 10, points: 1, accepted: Moment::default() };
        queue.restore(vec![(7, entry), (9, entry)], 12);
        let numbers: Vec<_> = queue.slots().map(|slot| slot.number).collect();
        assert_eq!((numbers, queue.bytes(), queue.first_held()), (vec![7, 9, 13, 14, 15], 26, 2));
    }
}
