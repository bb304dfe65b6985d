//! How often an address may do what is to be done seldom: a token bucket each, in a table that cannot grow.
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

/// The buckets of those who took a token lately. Each is held as the time at which it will be full again (the generic
/// cell rate algorithm), so that a bucket that is full needs no place.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    places: usize,
    full_at: HashMap<IpAddr, Duration>,
    /// The bucket that all share who find no place, so that many addresses get no more than one.
    crowd: Duration,
    swept: Duration,
}

impl Buckets {
    /// Full buckets, with a place for at most `places` that are not.
    pub(super) fn new(rate: Rate, places: usize) -> Self {
        Self { rate, places, full_at: HashMap::new(), crowd: Duration::ZERO, swept: Duration::ZERO }
    }

    /// Takes a token of an address at `now`, by a clock that nobody moves.
    ///
    /// # Errors
    /// The time until there will be one.
    pub(super) fn take(&mut self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let Rate { burst, every } = self.rate;
        let full_at = self.bucket(block(address), now);
        let next = (*full_at).max(now) + every;
        match next.checked_sub(now + every * burst) {
            None | Some(Duration::ZERO) => {
                *full_at = next;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    fn bucket(&mut self, block: IpAddr, now: Duration) -> &mut Duration {
        if !self.full_at.contains_key(&block) && self.full_at.len() >= self.places {
            // Looking through the table costs time, so it is not done at the will of a flood.
            if now >= self.swept + self.rate.every {
                self.swept = now;
                self.full_at.retain(|_, full_at| *full_at > now);
                self.full_at.shrink_to(0);
            }
            if self.full_at.len() >= self.places {
                return &mut self.crowd;
            }
        }
        self.full_at.entry(block).or_default()
    }
}

/// What one subscriber has: an address of IPv4, the first 64 bits of IPv6.
fn block(address: IpAddr) -> IpAddr {
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
        assert_eq!((let_in, buckets.full_at.len()), (10 + 3, 10));
        // Ten seconds later the ten are full again, and their places are free.
        let later = START + Duration::from_secs(10);
        assert_eq!(crowd(5000, 10).filter(|address| buckets.take(*address, later).is_ok()).count(), 10);
        assert_eq!(buckets.full_at.len(), 10);
    }
}
