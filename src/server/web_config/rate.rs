//! How often something may be done: a bucket of tokens, as that of Go's `golang.org/x/time/rate`.
//!
//! It keeps one instant, the time at which it will be full again (the generic cell rate algorithm), and so is exact and
//! small: one for all requests, one for each address that guesses passwords.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// So many at once, and one more in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) interval: Duration,
    pub(super) burst: u32,
}

impl Rate {
    /// How long an emptied bucket takes to be full.
    const fn span(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

/// A bucket that begins full. Times are monotonic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let full_at = self.full_at.max(now).saturating_add(rate.interval);
        let is_there = full_at.saturating_sub(now) <= rate.span();
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }

    /// Puts a token back.
    fn put(&mut self, rate: Rate) {
        self.full_at = self.full_at.saturating_sub(rate.interval);
    }
}

/// Most keys that have a bucket of their own at a time.
const KEYS_MAX: usize = 4096;

/// A bucket for each key; no more memory than for [`KEYS_MAX`], whoever comes.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    by_key: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, by_key: HashMap::new() }
    }

    /// Takes a token of `key`, if there is one. Where all places are taken by keys in debt, a new key has none.
    pub(super) fn take(&mut self, key: K, now: Duration) -> bool {
        if self.by_key.len() >= KEYS_MAX && !self.by_key.contains_key(&key) {
            // A full bucket is as good as none.
            self.by_key.retain(|_, bucket| bucket.full_at > now);
            if self.by_key.len() >= KEYS_MAX {
                return false;
            }
        }
        self.by_key.entry(key).or_default().take(self.rate, now)
    }

    /// Puts a token of `key` back.
    pub(super) fn put(&mut self, key: &K) {
        if let Some(bucket) = self.by_key.get_mut(key) {
            bucket.put(self.rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(bucket: &mut Bucket, rate: Rate, now: Duration) -> usize {
        (0..1000).take_while(|_| bucket.take(rate, now)).count()
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_by_one_an_interval() {
        let (rate, mut bucket, start) = (Rate { interval: SECOND, burst: 3 }, Bucket::default(), 100 * SECOND);
        assert_eq!(taken(&mut bucket, rate, start), 3);
        assert_eq!(taken(&mut bucket, rate, start + SECOND - Duration::from_nanos(1)), 0);
        assert_eq!(taken(&mut bucket, rate, start + SECOND), 1);
        assert_eq!(taken(&mut bucket, rate, start + 3 * SECOND), 2);
        assert_eq!(taken(&mut bucket, rate, start + 1000 * SECOND), 3);
    }

    #[test]
    fn without_burst_there_is_nothing_to_take() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take(Rate { interval: SECOND, burst: 0 }, 100 * SECOND));
        let vast = Rate { interval: Duration::MAX, burst: u32::MAX };
        assert!(bucket.take(vast, 100 * SECOND));
    }

    #[test]
    fn keys_do_not_share_and_what_is_put_back_can_be_taken() {
        let mut buckets = Buckets::new(Rate { interval: SECOND, burst: 1 });
        assert!(buckets.take('a', SECOND) && !buckets.take('a', SECOND) && buckets.take('b', SECOND));
        buckets.put(&'a');
        assert!(buckets.take('a', SECOND));
        buckets.put(&'c');
    }

    #[test]
    fn many_keys_take_no_more_than_their_places_and_those_that_have_filled_make_room() {
        let mut buckets = Buckets::new(Rate { interval: SECOND, burst: 1 });
        let taken = |buckets: &mut Buckets<usize>, from: usize, now| {
            (from..from + 2 * KEYS_MAX).filter(|key| buckets.take(*key, now)).count()
        };
        assert_eq!(taken(&mut buckets, 0, SECOND), KEYS_MAX);
        assert_eq!(taken(&mut buckets, 3 * KEYS_MAX, 2 * SECOND), KEYS_MAX);
        assert_eq!(buckets.by_key.len(), KEYS_MAX);
    }
}
