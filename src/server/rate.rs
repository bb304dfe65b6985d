//! How often something may be done: a token bucket for all together, or one for each address in a table that cannot grow.
//!
//! Pure: time and addresses are given to it. It knows no request; what is limited says so where it is asked for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How many at once, and how long until one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// What a full bucket holds.
    pub(super) burst: u32,
    /// The time in which one token comes back.
    pub(super) every: Duration,
}

/// A bucket that begins full. It is held as the time at which it will be full again (the generic cell rate algorithm), by
/// a clock that nobody moves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Takes a token.
    ///
    /// # Errors
    /// The time until there will be one.
    pub(super) fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let next = self.full_at.max(now).saturating_add(rate.every);
        let wait = next.saturating_sub(now).saturating_sub(rate.every.saturating_mul(rate.burst));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.full_at = next;
        Ok(())
    }

    fn put(&mut self, rate: Rate) {
        self.full_at = self.full_at.saturating_sub(rate.every);
    }
}

/// The buckets of those who took a token lately: one that is full needs no place.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    places: usize,
    held: HashMap<IpAddr, Bucket>,
    /// The bucket that all share who find no place, so that many addresses get no more than one.
    crowd: Bucket,
    swept: Duration,
}

impl Buckets {
    /// Full buckets, with a place for at most `places` that are not.
    pub(super) fn new(rate: Rate, places: usize) -> Self {
        Self { rate, places, held: HashMap::new(), crowd: Bucket::default(), swept: Duration::ZERO }
    }

    /// Takes a token of an address at `now`.
    ///
    /// # Errors
    /// The time until there will be one.
    pub(super) fn take(&mut self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let rate = self.rate;
        self.bucket(block(address), now).take(rate, now)
    }

    /// Puts a token of an address back.
    pub(super) fn put(&mut self, address: IpAddr) {
        let rate = self.rate;
        self.held.get_mut(&block(address)).unwrap_or(&mut self.crowd).put(rate);
    }

    fn bucket(&mut self, block: IpAddr, now: Duration) -> &mut Bucket {
        if !self.held.contains_key(&block) && self.held.len() >= self.places {
            // Looking through the table costs time, so it is not done at the will of a flood.
            if now >= self.swept + self.rate.every {
                self.swept = now;
                self.held.retain(|_, bucket| bucket.full_at > now);
                self.held.shrink_to(0);
            }
            if self.held.len() >= self.places {
                return &mut self.crowd;
            }
        }
        self.held.entry(block).or_default()
    }
}

/// What one subscriber has: an address of IPv4, the first 64 bits of IPv6.
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, every: Duration::from_secs(6) };
    const START: Duration = Duration::from_secs(1000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn taken(buckets: &mut Buckets, address: &str, now: Duration) -> usize {
        (0..100).take_while(|_| buckets.take(ip(address), now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let mut buckets = Buckets::new(RATE, 10);
        assert_eq!(taken(&mut buckets, "192.0.2.1", START), 3);
        assert_eq!(buckets.take(ip("192.0.2.1"), START), Err(Duration::from_secs(6)));
        assert_eq!(buckets.take(ip("192.0.2.1"), START + Duration::from_secs(4)), Err(Duration::from_secs(2)));
        assert_eq!(taken(&mut buckets, "192.0.2.1", START + Duration::from_secs(6)), 1);
        assert_eq!(taken(&mut buckets, "192.0.2.1", START + Duration::from_secs(3600)), 3);
        assert_eq!(taken(&mut buckets, "192.0.2.2", START), 3, "another address has its own");
    }

    #[test]
    fn addresses_of_one_subscriber_share_a_bucket() {
        let mut buckets = Buckets::new(RATE, 10);
        assert_eq!(taken(&mut buckets, "2001:db8:0:1::1", START), 3);
        assert_eq!(taken(&mut buckets, "2001:db8:0:1:ffff::2", START), 0);
        assert_eq!(taken(&mut buckets, "2001:db8:0:2::1", START), 3);
        assert_eq!(taken(&mut buckets, "192.0.2.1", START), 3);
        assert_eq!(taken(&mut buckets, "::ffff:192.0.2.1", START), 0);
    }

    #[test]
    fn the_table_does_not_grow_and_who_finds_no_place_shares_one() {
        let mut buckets = Buckets::new(RATE, 10);
        let crowd = |from: u32, count: u32| (from..from + count).map(|at| IpAddr::from(at.to_be_bytes()));
        let let_in = crowd(1, 1000).filter(|address| buckets.take(*address, START).is_ok()).count();
        assert_eq!((let_in, buckets.held.len()), (10 + 3, 10));
        // Ten seconds later the ten are full again, and their places are free.
        let later = START + Duration::from_secs(10);
        assert_eq!(crowd(5000, 10).filter(|address| buckets.take(*address, later).is_ok()).count(), 10);
        assert_eq!(buckets.held.len(), 10);
    }

    #[test]
    fn what_is_put_back_can_be_taken_again() {
        let mut buckets = Buckets::new(RATE, 10);
        assert_eq!(taken(&mut buckets, "192.0.2.1", START), 3);
        buckets.put(ip("192.0.2.1"));
        assert_eq!(taken(&mut buckets, "192.0.2.1", START), 1);
    }

    #[test]
    fn without_burst_there_is_nothing_to_take_and_vast_rates_do_not_overflow() {
        let nothing = Rate { burst: 0, every: Duration::from_secs(1) };
        assert!(Bucket::default().take(nothing, START).is_err());
        let vast = Rate { burst: u32::MAX, every: Duration::MAX };
        assert_eq!(Bucket::default().take(vast, START), Ok(()));
    }
}
