//! Where batches wait: first in, first out. What is dropped and why is not the queue's business.

use std::collections::VecDeque;
use std::io;

use super::Batch;
use crate::clock::Moment;

/// What can be said of a waiting batch without reading its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Bytes it takes up.
    pub bytes: u64,
    /// Data points in it.
    pub points: u64,
    /// When it was made.
    pub accepted: Moment,
}

/// A queue of batches. A durable one has stored a batch when `push` returns, and holds it until `remove`.
pub trait Queue: Send + 'static {
    /// Appends a batch.
    ///
    /// # Errors
    /// Fails if the batch could not be stored; then it is not in the queue.
    fn push(&mut self, batch: Batch) -> io::Result<()>;

    /// The oldest batch, which stays in the queue.
    ///
    /// # Errors
    /// Fails if its body cannot be read back whole; then it is still in the queue.
    fn front(&mut self) -> Option<io::Result<Batch>>;

    /// What waits at `position`, 0 being the oldest.
    fn entry(&self, position: usize) -> Option<Entry>;

    /// Removes what waits at `position`, for good. The sender takes 0; 1 is taken to make room while 0 is on its way.
    fn remove(&mut self, position: usize) -> Option<Entry>;

    /// How many batches wait.
    fn len(&self) -> usize;

    /// How many bytes wait.
    fn bytes(&self) -> u64;

    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the oldest.
    fn pop_front(&mut self) -> Option<Entry> {
        self.remove(0)
    }
}

/// A queue in memory, gone with the process.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    batches: VecDeque<Batch>,
    bytes: u64,
}

impl Queue for MemoryQueue {
    fn push(&mut self, batch: Batch) -> io::Result<()> {
        self.bytes += Entry::of(&batch).bytes;
        self.batches.push_back(batch);
        Ok(())
    }

    fn front(&mut self) -> Option<io::Result<Batch>> {
        self.batches.front().cloned().map(Ok)
    }

    fn entry(&self, position: usize) -> Option<Entry> {
        self.batches.get(position).map(Entry::of)
    }

    fn remove(&mut self, position: usize) -> Option<Entry> {
        let entry = Entry::of(&self.batches.remove(position)?);
        self.bytes -= entry.bytes;
        Some(entry)
    }

    fn len(&self) -> usize {
        self.batches.len()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Entry {
    /// What can be said of `batch`.
    #[must_use]
    pub fn of(batch: &Batch) -> Self {
        Self { bytes: batch.body.len() as u64, points: batch.points, accepted: batch.accepted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_is_the_first_out_and_the_bytes_are_those_that_wait() {
        let mut queue = MemoryQueue::default();
        for (body, points) in [("a", 1), ("bb", 2), ("ccc", 3)] {
            queue.push(Batch { body: body.into(), points, accepted: Moment::default() }).unwrap();
        }
        assert_eq!((queue.len(), queue.bytes()), (3, 6));
        assert_eq!(queue.front().unwrap().unwrap().body.as_ref(), b"a");
        assert_eq!((queue.len(), queue.entry(2).unwrap().points), (3, 3));
        assert_eq!(queue.remove(1).unwrap().bytes, 2);
        assert_eq!(queue.pop_front().unwrap().bytes, 1);
        assert_eq!((queue.len(), queue.bytes(), queue.front().unwrap().unwrap().points), (1, 3, 3));
        assert_eq!((queue.remove(1), queue.pop_front().is_some(), queue.is_empty()), (None, true, true));
    }
}
