//! The files: what is stored comes back, and whatever happens to one file happens to its batch alone.

use std::os::unix::fs::PermissionsExt;

use super::testing::{SimFs, batch, file_bytes};
use super::*;
use crate::clock::{Moment, Wall};
use crate::directory::OwnDirectory;

const BODY_BYTES: usize = 300;

fn now() -> Moment {
    Moment { wall: Wall::from_secs(1_705_314_600), ..Moment::default() }
}

/// A file system with the batches 1, 2 and 3.
fn three() -> SimFs {
    let fs = SimFs::new(1, 1000);
    let (mut spool, _) = Spool::open(Box::new(fs.clone())).unwrap();
    for number in 1..=3 {
        spool.put(number, &batch(number, BODY_BYTES, now())).unwrap();
    }
    fs
}

/// What a start finds and reads: the numbers of whole batches, and how many are lost.
fn look(fs: &SimFs) -> (Vec<u64>, usize) {
    let (mut spool, found) = Spool::open(Box::new(fs.clone())).unwrap();
    let (mut whole, mut lost) = (Vec::new(), found.lost.len());
    found.lost.iter().for_each(|(number, _)| spool.set_aside(*number).unwrap());
    for (number, head) in found.batches {
        match spool.get(number, head.length) {
            Ok(body) => {
                let expected = batch(number, BODY_BYTES, now());
                assert_eq!((body, head.points, head.accepted), (expected.body, expected.points, now().wall));
                whole.push(number);
            }
            Err(error) => {
                assert!(matches!(error, Unreadable::Damaged(_)), "{error}");
                spool.set_aside(number).unwrap();
                lost += 1;
            }
        }
    }
    (whole, lost)
}

#[test]
fn what_is_stored_is_there_after_a_power_loss_and_what_was_removed_is_not() {
    let fs = three();
    fs.restart(true);
    assert_eq!(look(&fs), (vec![1, 2, 3], 0));
    let (mut spool, found) = Spool::open(Box::new(fs.clone())).unwrap();
    assert_eq!(found.last, 3);
    spool.remove(2).unwrap();
    spool.remove(9).unwrap();
    spool.sync().unwrap();
    fs.restart(true);
    assert_eq!(look(&fs), (vec![1, 3], 0));
}

#[test]
fn a_cut_at_any_byte_costs_the_batch_it_is_in() {
    let fs = three();
    let (name, whole) = (name(2, STORED), fs.bytes(&name(2, STORED)).unwrap());
    assert_eq!(whole.len(), file_bytes(BODY_BYTES));
    for length in 0..whole.len() {
        fs.set_bytes(&name, whole[..length].to_vec());
        assert_eq!(look(&fs), (vec![1, 3], 1), "cut at {length}");
    }
    let longer = [whole.clone(), vec![0]].concat();
    fs.set_bytes(&name, longer);
    assert_eq!(look(&fs), (vec![1, 3], 1));
    fs.set_bytes(&name, whole);
    assert_eq!(look(&fs), (vec![1, 2, 3], 0));
}

#[test]
fn ten_thousand_bit_flips_are_seen_and_cost_a_batch_each_at_most() {
    let fs = three();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..10_000 {
        let number = random.u64(1..=3);
        let name = name(number, STORED);
        let whole = fs.bytes(&name).unwrap();
        let mut bytes = whole.clone();
        let (at, bit) = (random.usize(..bytes.len()), random.u8(..8));
        bytes[at] ^= 1 << bit;
        fs.set_bytes(&name, bytes);
        let others: Vec<_> = (1..=3).filter(|other| *other != number).collect();
        assert_eq!(look(&fs), (others, 1), "bit {bit} of byte {at} of {number}");
        fs.set_bytes(&name, whole);
    }
}

#[test]
fn files_that_change_places_are_not_sent_in_the_wrong_order() {
    let fs = three();
    let (second, third) = (fs.bytes(&name(2, STORED)).unwrap(), fs.bytes(&name(3, STORED)).unwrap());
    fs.set_bytes(&name(2, STORED), third);
    fs.set_bytes(&name(3, STORED), second);
    assert_eq!(look(&fs), (vec![1], 2));
}

#[test]
fn sixteen_are_set_aside_and_the_oldest_of_those_goes() {
    let fs = three();
    for number in 4..=20 {
        fs.set_bytes(&name(number, STORED), vec![0; 100]);
    }
    assert_eq!(look(&fs), (vec![1, 2, 3], 17));
    let bad = || fs.all_names().into_iter().filter(|name| name.ends_with(".bad")).collect::<Vec<_>>();
    assert_eq!((bad().len(), bad()[0].as_str()), (16, "00000000000000000005.bad"));
    // They are known after a restart, and their numbers do not come again.
    fs.set_bytes(&name(21, STORED), vec![]);
    assert_eq!(look(&fs), (vec![1, 2, 3], 1));
    assert_eq!((bad().len(), bad()[0].as_str()), (16, "00000000000000000006.bad"));
    let (_, found) = Spool::open(Box::new(fs)).unwrap();
    assert_eq!(found.last, 21);
}

#[test]
fn what_a_kill_left_goes_and_what_is_not_ours_stays() {
    let fs = three();
    for name in ["00000000000000000004.tmp", "lock", "notes.txt", "5.batch", "0000000000000000000x.batch"] {
        fs.set_bytes(name, vec![1]);
    }
    assert_eq!(look(&fs), (vec![1, 2, 3], 0));
    let left = fs.all_names();
    assert!(!left.iter().any(|name| name.ends_with(".tmp")), "{left:?}");
    assert_eq!(left.len(), 7, "{left:?}");
}

#[test]
fn a_version_from_the_future_is_set_aside() {
    let fs = three();
    let mut bytes = fs.bytes(&name(2, STORED)).unwrap();
    bytes[8] = 2;
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&bytes[..48]);
    bytes[48..52].copy_from_slice(&sum.to_le_bytes());
    fs.set_bytes(&name(2, STORED), bytes);
    let (_, found) = Spool::open(Box::new(fs)).unwrap();
    assert_eq!(found.lost[0].1.to_string(), "its version is 2, and this bridge knows 1");
}

#[test]
fn a_writing_that_fails_leaves_nothing_and_can_be_repeated() {
    for call in ["create", "write", "sync", "sync_names"] {
        let fs = three();
        let (mut spool, _) = Spool::open(Box::new(fs.clone())).unwrap();
        fs.fail(call, libc::ENOSPC);
        assert!(spool.put(4, &batch(4, BODY_BYTES, now())).is_err(), "{call}");
        assert!(!fs.all_names().iter().any(|name| name.ends_with(".tmp")), "{call}: {:?}", fs.all_names());
        fs.fail(call, 0);
        spool.put(4, &batch(4, BODY_BYTES, now())).unwrap();
        fs.restart(true);
        assert_eq!(look(&fs), (vec![1, 2, 3, 4], 0), "{call}");
    }
}

#[test]
fn what_was_synced_is_there_under_its_passing_name_too() {
    let fs = three();
    let (mut spool, _) = Spool::open(Box::new(fs.clone())).unwrap();
    fs.fail("rename", libc::EIO);
    for number in 4..=6 {
        spool.put(number, &batch(number, BODY_BYTES, now())).unwrap();
    }
    assert_eq!(spool.get(4, BODY_BYTES as u64).unwrap(), batch(4, BODY_BYTES, now()).body);
    spool.remove(5).unwrap();
    fs.fail("rename", 0);
    spool.set_aside(6).unwrap();
    spool.sync().unwrap();
    fs.restart(true);
    let left: Vec<_> = fs.all_names().into_iter().filter(|name| !name.ends_with(".batch")).collect();
    assert_eq!(left, [name(4, PASSING), name(6, BAD)]);
    assert_eq!(look(&fs), (vec![1, 2, 3, 4], 0));
    fs.restart(true);
    assert_eq!(look(&fs), (vec![1, 2, 3, 4], 0));
    assert!(!fs.all_names().iter().any(|name| name.ends_with(".tmp")), "{:?}", fs.all_names());
}

#[test]
fn a_passing_file_is_taken_whole_or_not_at_all_and_synced_before() {
    for length in 0..=file_bytes(BODY_BYTES) {
        let fs = three();
        let (mut spool, _) = Spool::open(Box::new(fs.clone())).unwrap();
        spool.put(4, &batch(4, BODY_BYTES, now())).unwrap();
        let bytes = fs.bytes(&name(4, STORED)).unwrap();
        spool.remove(4).unwrap();
        fs.set_bytes(&name(4, PASSING), bytes[..length].to_vec());
        let is_whole = length == bytes.len();
        assert_eq!(look(&fs), (if is_whole { vec![1, 2, 3, 4] } else { vec![1, 2, 3] }, 0), "cut at {length}");
        assert!(!fs.all_names().iter().any(|name| name.ends_with(".tmp")), "{:?}", fs.all_names());
        // A disk that will not sync it does not make it a stored one.
        if is_whole {
            let fs = three();
            fs.set_bytes(&name(4, PASSING), bytes);
            fs.fail("sync", libc::EIO);
            assert_eq!(look(&fs), (vec![1, 2, 3], 1));
        }
    }
}

#[test]
fn on_a_real_disk_the_files_are_private_and_the_directory_has_one_owner() {
    let path = std::env::temp_dir().join(format!("linkit-bridge-spool-{:x}", fastrand::u64(..)));
    let open = || OwnDirectory::open("otlp.spool.dir", &path);
    let real = || Box::new(RealFs::new(open().unwrap()).unwrap());
    let (mut spool, _) = Spool::open(real()).unwrap();
    let stored = batch(1, BODY_BYTES, now());
    spool.put(1, &stored).unwrap();
    spool.put(2, &stored).unwrap();
    let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode(&name(1, STORED))), (0o700, 0o600));
    let error = open().unwrap_err().to_string();
    assert!(error.starts_with("otlp.spool.dir /") && error.contains("another linkit-bridge has it"), "{error}");
    spool.set_aside(2).unwrap();
    drop(spool);
    let (mut spool, found) = Spool::open(real()).unwrap();
    assert_eq!((found.batches.len(), found.lost.len(), found.last), (1, 0, 2));
    assert_eq!(spool.get(1, BODY_BYTES as u64).unwrap(), stored.body);
    spool.remove(1).unwrap();
    spool.sync().unwrap();
    drop(spool);
    let left: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the lock and the one set aside: {left:?}");
    std::fs::remove_dir_all(&path).unwrap();
}
