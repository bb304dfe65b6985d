//! What an endpoint refuses for its size, in parts. How a message is divided its maker knows; here is how often that is
//! tried, and what is remembered of the sizes that were refused.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::queue::Part;
use super::transport::Encoding;

/// Divides a message, uncompressed, into two with about half of its data points each, and says how many; `None` if it
/// holds no two points. What the two say, in their order, is what the one said.
pub type Halve = fn(&[u8]) -> Option<[(Vec<u8>, u64); 2]>;

/// How often in a row parts of a batch are refused before all that is left of it is given up. A single point is reached
/// after 22 in a batch of four million: who refuses more does not mean the size, and is not asked for every point.
const REFUSALS_MAX: u32 = 32;

/// How long a refused size is remembered: an endpoint that has come to take more is then found out.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The halves of a body with `points`, each compressed as it is. `None` where the message is not what its maker made.
pub(super) fn halves(halve: Halve, body: &Bytes, points: u64) -> Option<[Part; 2]> {
    let encoding = Encoding::of(body);
    let [first, second] = halve(&encoding.unpack(body).ok()?)?;
    if first.1 == 0 || second.1 == 0 || first.1.checked_add(second.1) != Some(points) {
        return None;
    }
    let part = |(message, points)| Some(Part { body: encoding.pack(message).ok()?.into(), points });
    Some([part(first)?, part(second)?])
}

/// What is known of the size that an endpoint takes.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// The smallest body of several points that was refused, and when that was learned.
    refused: Option<(usize, Instant)>,
    /// Refusals since something was taken.
    in_a_row: u32,
}

impl Sizes {
    /// Whether a body so large was refused before: then it need not be sent to know.
    pub(super) fn are_exceeded_by(&self, bytes: usize) -> bool {
        self.refused.is_some_and(|(refused, when)| bytes >= refused && when.elapsed() < REMEMBERED)
    }

    /// Notes that a body of several points was refused; whether parts of it may still be tried.
    pub(super) fn refuse(&mut self, bytes: usize) -> bool {
        self.in_a_row += 1;
        let known = self.refused.filter(|(refused, when)| *refused <= bytes && when.elapsed() < REMEMBERED);
        self.refused = known.or_else(|| Some((bytes, Instant::now())));
        self.in_a_row < REFUSALS_MAX
    }

    /// Notes that a single point was refused, which says nothing of what others may weigh: the same answer.
    pub(super) fn refuse_point(&mut self) -> bool {
        self.in_a_row += 1;
        self.refused = None;
        self.in_a_row < REFUSALS_MAX
    }

    /// Notes that something was taken.
    pub(super) fn begin(&mut self) {
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_two(message: &[u8]) -> Option<[(Vec<u8>, u64); 2]> {
        let (first, second) = message.split_at(message.len() / 2);
        Some([first, second].map(|half| (half.to_vec(), half.len() as u64)))
    }

    #[test]
    fn halves_are_compressed_as_the_whole_and_hold_its_points() {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let body = encoding.pack(b"\x0athe message".to_vec()).unwrap().into();
            let [first, second] = halves(in_two, &body, 12).unwrap();
            assert_eq!((Encoding::of(&first.body), first.points, second.points), (encoding, 6, 6));
            let plain = [&first, &second].map(|part| encoding.unpack(&part.body).unwrap()).concat();
            assert_eq!(plain, b"\x0athe message");
        }
        assert_eq!(halves(in_two, &Bytes::from_static(b"\x0aother"), 12), None, "not the points that were counted");
        assert_eq!(halves(in_two, &Bytes::from_static(b"\x0a"), 1), None, "an empty half");
        assert_eq!(halves(in_two, &Bytes::from_static(b"\x1f\x8bcut"), 4), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_refused_size_is_remembered_for_an_hour() {
        let mut sizes = Sizes::default();
        assert!(!sizes.are_exceeded_by(usize::MAX));
        assert!(sizes.refuse(100) && sizes.refuse(50) && sizes.refuse(70));
        assert!(sizes.are_exceeded_by(50) && !sizes.are_exceeded_by(49));
        tokio::time::advance(REMEMBERED).await;
        assert!(!sizes.are_exceeded_by(100));
        assert!(sizes.refuse(90) && sizes.are_exceeded_by(90) && !sizes.are_exceeded_by(89));
        assert!(sizes.refuse_point() && !sizes.are_exceeded_by(100));
        for _ in 5..REFUSALS_MAX - 1 {
            assert!(sizes.refuse(100));
        }
        assert!(!sizes.refuse(100));
        sizes.begin();
        assert!(sizes.refuse(100));
    }
}
