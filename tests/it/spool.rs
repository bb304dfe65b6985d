//! The spool from outside: the real binary, real disks, a receiver that remembers, and an account kept by none of them.

mod account;
mod kills;
mod outage;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::bridge::{Bridge, command};
use crate::support::peers::may_mount;
use crate::support::process::Process;
use crate::support::receiver::{BatchId, Manner, Receiver, batch_id};
use crate::support::{Directory, eventually};

/// Bytes before the body of a stored batch.
const HEAD_BYTES: usize = 52;

/// A bridge that reads itself, so that each push has something new, and keeps what it pushes in `spool`.
fn config(receiver: &Receiver, spool: &Path) -> String {
    format!(
        "runtime: {{ source: self, interval: 100ms }}\n\
         otlp: {{ endpoint: '{}', interval: 500ms, spool: {{ dir: {} }} }}\n",
        receiver.endpoint,
        spool.display()
    )
}

/// The stored batches, in order.
fn stored(spool: &Path) -> Vec<(PathBuf, BatchId)> {
    let whole = |file: PathBuf| (file.clone(), id_in(&file).unwrap_or_else(|| panic!("{}", file.display())));
    named(spool, "batch").into_iter().map(whole).collect()
}

/// The files with names of one kind, in order.
fn named(spool: &Path, kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == kind));
    files.sort();
    files
}

/// Which batch a file holds; `None` if it is not whole.
fn id_in(file: &Path) -> Option<BatchId> {
    batch_id(std::fs::read(file).unwrap().get(HEAD_BYTES..)?)
}

/// What a page says of the bridge's batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    accepted: i64,
    delivered: i64,
    dropped: i64,
    queued: i64,
    /// Of those that wait, how many do so in memory alone.
    unstored: i64,
}

/// Asserts that every accepted batch is in one place, and returns what the page says of them.
async fn account(bridge: &Bridge) -> Said {
    said(&bridge.series().await)
}

fn said(series: &BTreeMap<String, f64>) -> Said {
    let push = |name: &str| series[&format!("linkit_bridge_push_{name}{{endpoint=\"default\"}}")] as i64;
    let dropped = series.iter().filter(|(name, _)| name.starts_with("linkit_bridge_push_dropped_total"));
    let said = Said {
        accepted: push("accepted_total"),
        delivered: push("delivered_total"),
        dropped: dropped.map(|(_, value)| *value as i64).sum(),
        queued: push("queued_batches"),
        unstored: push("unstored_batches"),
    };
    assert_eq!(said.accepted, said.delivered + said.queued + said.dropped, "{series:?}");
    said
}

/// Runs a bridge that is expected to end by itself.
async fn ends(directory: &Directory, config: &str) -> (Option<i32>, String) {
    let file = directory.write("other.yml", &format!("web: {{ listen: ['127.0.0.1:0'] }}\n{config}"));
    let mut process = Process::start("the other bridge", command().arg("--config.file").arg(file));
    (process.ended().await.code(), process.output())
}

#[tokio::test]
async fn what_waits_at_the_stop_is_stored_at_once_and_goes_first_after_the_start() {
    let (receiver, directory) = (Receiver::start().await, Directory::new("spool"));
    // The parent is made first, though it is named for another use.
    let spool = directory.path().join("state/spool");
    let config = format!("{}state_dir: {}\n", config(&receiver, &spool), directory.path().join("state").display());
    receiver.set(Manner::Hang);
    let mut bridge = Bridge::start(&config).await;
    eventually("batches waiting", || async { (account(&bridge).await.queued >= 2).then_some(()) }).await;
    let before = stored(&spool);
    bridge.process.signal("-TERM");
    let begun = Instant::now();
    assert!(bridge.process.ended().await.success(), "{}", bridge.process.output());
    assert!(begun.elapsed() < Duration::from_secs(5), "the stop waits for no receiver: {:?}", begun.elapsed());
    let after = stored(&spool);
    assert!(after.len() > before.len(), "the last collection is stored: {before:?} {after:?}");
    assert_eq!(receiver.taken(), []);
    receiver.set(Manner::Take);
    let bridge = Bridge::start(&config).await;
    eventually("an empty spool", || async { stored(&spool).is_empty().then_some(()) }).await;
    let waited: Vec<_> = after.iter().map(|(_, id)| *id).collect();
    assert_eq!(receiver.taken()[..waited.len()], waited);
    account(&bridge).await;
}

#[tokio::test]
async fn a_damaged_file_costs_its_batch_and_no_start() {
    let (receiver, directory) = (Receiver::start().await, Directory::new("spool"));
    let spool = directory.path().join("spool");
    receiver.set(Manner::Refuse);
    let mut bridge = Bridge::start(&config(&receiver, &spool)).await;
    eventually("three stored", || async { (stored(&spool).len() >= 3).then_some(()) }).await;
    bridge.process.signal("-KILL");
    bridge.process.ended().await;
    let waiting = stored(&spool);
    let whole = std::fs::read(&waiting[1].0).unwrap();
    std::fs::write(&waiting[1].0, &whole[..40]).unwrap();
    receiver.set(Manner::Take);
    let bridge = Bridge::start(&config(&receiver, &spool)).await;
    let others: Vec<_> = waiting.iter().map(|(_, id)| *id).filter(|id| *id != waiting[1].1).collect();
    let taken = || async { Some(receiver.taken()).filter(|taken| taken.len() > others.len()) };
    assert_eq!(eventually("the others", taken).await[..others.len()], others);
    account(&bridge).await;
    let series = bridge.series().await;
    assert!(series["linkit_bridge_push_dropped_total{endpoint=\"default\",reason=\"corrupt\"}"] > 0.5, "{series:?}");
    assert!(waiting[1].0.with_extension("bad").exists());
}

#[tokio::test]
async fn a_spool_has_one_owner_must_be_private_and_holds_no_key() {
    let (receiver, directory) = (Receiver::start().await, Directory::new("spool"));
    let spool = directory.path().join("spool");
    let config = config(&receiver, &spool).replace("interval: 500ms", "interval: 100ms, headers: { x-key: canary }");
    receiver.set(Manner::Refuse);
    let bridge = Bridge::start(&config).await;
    eventually("stored batches", || async { (stored(&spool).len() >= 3).then_some(()) }).await;
    for (file, _) in stored(&spool) {
        let bytes = std::fs::read(&file).unwrap();
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[HEAD_BYTES..]), &mut plain).unwrap();
        let has = |word: &[u8]| [&bytes, &plain].iter().any(|text| text.windows(word.len()).any(|part| part == word));
        assert!(!has(b"canary") && !has(receiver.endpoint.as_bytes()), "{}", file.display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (code, output) = ends(&directory, &config).await;
    let owner = format!("another linkit-bridge has it (process {})", bridge.process.id());
    assert!(code == Some(1) && output.contains(&owner) && output.contains("otlp.spool.dir"), "{code:?}: {output}");
    std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o770)).unwrap();
    let (code, output) = ends(&directory, &config).await;
    assert!(code == Some(2) && output.contains("chmod 700"), "{code:?}: {output}");
}

/// A disk of its own, which goes with the value.
struct Mount(Directory);

impl Mount {
    fn of_4_mib() -> Option<Self> {
        may_mount().then(|| {
            let directory = Directory::new("tmpfs");
            let mut mount = Command::new("mount");
            assert!(
                mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(directory.path()).status().unwrap().success()
            );
            Self(directory)
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_filled_by_another_costs_nothing_and_hinders_no_scrape() {
    let Some(disk) = Mount::of_4_mib() else { return };
    let (receiver, spool) = (Receiver::start().await, disk.0.path().join("spool"));
    receiver.set(Manner::Refuse);
    let mut bridge = Bridge::start(&config(&receiver, &spool)).await;
    eventually("two stored", || async { (stored(&spool).len() >= 2).then_some(()) }).await;
    let filler = disk.0.path().join("filler");
    let full = std::fs::write(&filler, vec![1; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    eventually("batches in memory alone", || async { (account(&bridge).await.unstored >= 3).then_some(()) }).await;
    let on_disk = stored(&spool).len();
    for _ in 0..50 {
        let begun = Instant::now();
        account(&bridge).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    assert!(stored(&spool).len() >= on_disk, "what is stored is not given up");
    std::fs::remove_file(&filler).unwrap();
    eventually("all stored", || async { (account(&bridge).await.unstored == 0).then_some(()) }).await;
    bridge.process.signal("-KILL");
    bridge.process.ended().await;
    let waited: Vec<_> = stored(&spool).iter().map(|(_, id)| *id).collect();
    let numbers: Vec<_> = waited.iter().map(|id| id.accepted_before).collect();
    assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>(), "none is missing");
    receiver.set(Manner::Take);
    let bridge = Bridge::start(&config(&receiver, &spool)).await;
    let taken = || async { Some(receiver.taken()).filter(|taken| taken.len() > waited.len()) };
    assert_eq!(eventually("all of them", taken).await[..waited.len()], waited);
    account(&bridge).await;
    drop(bridge);
}
