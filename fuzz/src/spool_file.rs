//! A file of the spool: whatever it holds, the start goes on; the batch it is arrives as it was, or is counted as damaged
//! and set aside as it is, and the one after it arrives either way.
//!
//! An input is which fields are set right, one bit each, and the file. What a file means is judged by a second reading of
//! the format, which shares no line with the bridge's.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes as Body;
use http::{HeaderMap, Response, Uri};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::delivery::{
    Amount, Batch, Delivery, DeliveryConfig, Destination, DropReason, Reply, Sending, SpoolConfig, Transport,
};

/// The number that the file's name says.
const NUMBER: u64 = 7;

const HEAD_BYTES: usize = 52;

/// More points than this are in no batch.
const POINTS_MAX: u64 = 1 << 48;

const NOW: Wall = Wall(1_705_314_600_000_000_000);

pub fn check(input: &[u8]) {
    let (mends, file) = input.split_first().map_or((0, &[][..]), |(mends, file)| (*mends, file));
    let mut file = file.to_vec();
    mend(&mut file, mends);
    let folder = folder();
    DirBuilder::new().mode(0o700).create(&folder).expect("a folder of its own");
    let name = |kind: &str| folder.join(format!("{NUMBER:020}.{kind}"));
    fs::write(name("batch"), &file).expect("a file in it");
    let (taken, whole) = (deliver(&folder), read(&file));
    let (stats, bodies) = &taken;
    let last = Body::from_static(b"the next");
    match whole {
        Some((points, body)) => {
            assert_eq!(*bodies, [Body::copy_from_slice(body), last], "{stats:?}");
            assert_eq!(stats.delivered, Amount { batches: 2, points: points + 1 });
            assert!(!name("bad").exists(), "set aside though whole");
        }
        None => {
            assert_eq!(*bodies, [last], "{stats:?}");
            assert_eq!(stats.dropped(DropReason::Corrupt), Amount { batches: 1, points: stats.accepted.points - 1 });
            assert_eq!(fs::read(name("bad")).expect("set aside"), file);
        }
    }
    assert_eq!((stats.accepted.batches, stats.queued), (2, Amount::default()), "{stats:?}");
    assert!(!name("batch").exists(), "it would come again");
    fs::remove_dir_all(&folder).expect("the folder goes");
}

/// A folder in memory where there is such a place: on a disk, most of the time would go into waiting for it.
fn folder() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    base.join(format!("linkit-bridge-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Sets fields right, so that an input gets past the first of the checks.
fn mend(file: &mut [u8], mends: u8) {
    if file.len() < HEAD_BYTES {
        return;
    }
    let (head, body) = file.split_at_mut(HEAD_BYTES);
    let mut set = |bit: u8, at: usize, bytes: &[u8]| {
        if mends & (1 << bit) != 0 {
            head[at..at + bytes.len()].copy_from_slice(bytes);
        }
    };
    set(0, 0, b"LBSPOOL\0");
    set(1, 8, &1_u16.to_le_bytes());
    set(2, 12, &NUMBER.to_le_bytes());
    set(3, 36, &(body.len() as u64).to_le_bytes());
    set(4, 44, &crc32c(body).to_le_bytes());
    let sum = crc32c(&head[..48]).to_le_bytes();
    if mends & (1 << 5) != 0 {
        head[48..].copy_from_slice(&sum);
    }
}

/// The points and the body of a whole file.
fn read(file: &[u8]) -> Option<(u64, &[u8])> {
    let (head, body) = file.split_at_checked(HEAD_BYTES)?;
    let number = |range: std::ops::Range<usize>| {
        head[range].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let is_whole = head[..8] == *b"LBSPOOL\0"
        && number(8..10) == 1
        && number(12..20) == NUMBER
        && number(28..36) <= POINTS_MAX
        && number(36..44) == body.len() as u64
        && number(44..48) == u64::from(crc32c(body))
        && number(48..52) == u64::from(crc32c(&head[..48]));
    is_whole.then(|| (number(28..36), body))
}

/// The checksum of iSCSI (RFC 3720, 12.1), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

/// A receiver that takes everything.
struct Keeps(Arc<Mutex<Vec<Body>>>);

impl Transport for Keeps {
    fn post<'a>(&'a self, _: &'a Destination, body: Body) -> Sending<'a> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        Box::pin(async { Ok(Reply::of_http(&Response::new(Body::new()), NOW)) })
    }
}

/// Starts on the folder, puts one more batch, and delivers all.
fn deliver(folder: &Path) -> (linkit_bridge::delivery::DeliveryStats, Vec<Body>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let transport = Box::new(Keeps(Arc::clone(&taken)));
    let delivery = Delivery::with(DeliveryConfig::default(), transport, Arc::clone(&clock));
    // Its age is not what is looked at here.
    let spool = SpoolConfig { age_max: Duration::MAX, ..SpoolConfig::at(folder.to_owned()) };
    delivery.open_spool(&spool).expect("damage does not stop a start");
    let destination =
        Destination { uri: Uri::from_static("http://collector:4318/v1/metrics"), headers: HeaderMap::new() };
    delivery.put(destination, Batch { body: Body::from_static(b"the next"), points: 1, accepted: clock.now() });
    let settled = async {
        while delivery.stats().queued.batches > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    runtime.expect("a runtime with time alone").block_on(delivery.run(settled));
    let bodies = taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (delivery.stats(), bodies)
}
