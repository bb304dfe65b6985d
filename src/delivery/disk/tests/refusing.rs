//! What a disk that refuses costs: nothing while it lasts, one batch for damage, and every loss is counted.

use super::*;
use crate::delivery::spool::testing::{batch, file_bytes};

const BODY: usize = 400;

const ROOM: Bounds = Bounds { bytes_max: 1 << 20, held_bytes_max: 4 * BODY as u64, age_max: Duration::from_secs(3600) };

fn begin(fs: &SimFs) -> Life {
    Life::begin(fs, ROOM, &clock())
}

fn put(life: &mut Life, numbers: std::ops::Range<u64>) {
    for number in numbers {
        life.put(batch(number, BODY, life.disk.clock.now()));
        life.disk.keep();
    }
}

/// Delivers everything; the ids in order.
fn drain(life: &mut Life) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Next::Batch(_, batch) = life.disk.next() {
        ids.push(id(&batch.body));
        life.settle(Outcome::Success);
    }
    ids
}

#[test]
fn while_the_disk_is_full_batches_wait_in_memory_and_go_to_disk_when_there_is_room() {
    let fs = SimFs::new(1, 100);
    let mut life = begin(&fs);
    put(&mut life, 0..2);
    fs.set_faults(0, 100);
    put(&mut life, 2..4);
    assert_eq!((life.stats().queued.batches, life.stats().unstored), (4, 2));
    fs.set_faults(0, 0);
    put(&mut life, 4..5);
    assert_eq!(life.stats().unstored, 0);
    let mut life = begin(&fs);
    put(&mut life, 5..6);
    assert_eq!(drain(&mut life), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn with_memory_full_too_the_oldest_in_memory_are_dropped_and_the_stored_are_kept() {
    let fs = SimFs::new(1, 100);
    let mut life = begin(&fs);
    put(&mut life, 0..2);
    fs.set_faults(0, 100);
    put(&mut life, 2..9);
    let stats = life.stats();
    assert_eq!((stats.queued.batches, stats.unstored, stats.dropped(DropReason::Storage).batches), (6, 4, 3));
    assert_eq!(drain(&mut life), [0, 1, 5, 6, 7, 8]);
}

#[test]
fn the_oldest_files_make_room_within_the_spools_own_bound() {
    let fs = SimFs::new(1, 1000);
    let mut life = Life::begin(&fs, Bounds { bytes_max: 3 * BODY as u64, ..ROOM }, &clock());
    put(&mut life, 0..5);
    assert_eq!((life.stats().dropped(DropReason::Size).batches, fs.all_names().len()), (2, 3));
    assert_eq!(drain(&mut life), [2, 3, 4]);
    assert_eq!(fs.all_names().len(), 0);
}

#[test]
fn damage_found_late_is_set_aside_and_counted_and_the_rest_arrives() {
    let fs = SimFs::new(1, 1000);
    let mut life = begin(&fs);
    put(&mut life, 0..3);
    let name = fs.all_names()[1].clone();
    let mut bytes = fs.bytes(&name).unwrap();
    assert_eq!(bytes.len(), file_bytes(BODY));
    bytes[200] ^= 1;
    fs.set_bytes(&name, bytes.clone());
    assert_eq!(drain(&mut life), [0, 2]);
    assert_eq!(life.stats().dropped(DropReason::Corrupt).batches, 1);
    assert_eq!(fs.all_names(), [name.replace(".batch", ".bad")]);
    // Damage of the head is found at the start, and counts as accepted too.
    bytes[20] ^= 1;
    fs.set_bytes(&name, bytes);
    let life = begin(&fs);
    assert_eq!((life.stats().accepted.batches, life.stats().dropped(DropReason::Corrupt).batches), (1, 1));
}

#[test]
fn a_read_that_fails_is_repeated_and_costs_the_batch_only_if_the_disk_says_so_again_and_again() {
    let fs = SimFs::new(1, 1000);
    let mut life = begin(&fs);
    put(&mut life, 0..2);
    fs.fail("read", libc::EIO);
    for _ in 1..READS_MAX {
        assert!(matches!(life.disk.next(), Next::Wait(_)));
    }
    fs.fail("read", 0);
    let Next::Batch(_, first) = life.disk.next() else { panic!("no batch") };
    assert_eq!(id(&first.body), 0);
    life.settle(Outcome::Retry);
    fs.fail("open", libc::EMFILE);
    for _ in 0..100 {
        assert!(matches!(life.disk.next(), Next::Wait(_)), "too many open files say nothing of a batch");
    }
    fs.fail("open", libc::EIO);
    while !matches!(life.disk.next(), Next::Empty) {}
    assert_eq!(life.stats().dropped(DropReason::Storage).batches, 2);
}

#[test]
fn what_the_disk_will_not_remove_is_not_sent_again_and_goes_when_it_can() {
    let fs = SimFs::new(1, 1000);
    let mut life = begin(&fs);
    put(&mut life, 0..3);
    fs.fail("remove", libc::EIO);
    assert_eq!(drain(&mut life), [0, 1, 2]);
    assert_eq!((drain(&mut life).len(), fs.all_names().len()), (0, 3));
    fs.fail("remove", 0);
    put(&mut life, 3..4);
    assert_eq!((drain(&mut life), fs.all_names().len()), (vec![3], 0));
}

#[test]
fn ages_go_on_while_the_bridge_is_away() {
    let (fs, clock) = (SimFs::new(1, 1000), clock());
    let mut life = Life::begin(&fs, ROOM, &clock);
    put(&mut life, 0..1);
    clock.advance(Duration::from_secs(3000));
    put(&mut life, 1..2);
    clock.advance(Duration::from_secs(601));
    let mut life = Life::begin(&fs, ROOM, &clock);
    put(&mut life, 2..3);
    assert_eq!((drain(&mut life), life.stats().dropped(DropReason::Age).batches), (vec![1, 2], 1));
}

#[test]
fn what_was_delivered_a_second_ago_or_last_does_not_come_back_after_a_power_loss() {
    for seed in 0..20 {
        let (fs, clock) = (SimFs::new(seed, 1000), clock());
        let mut life = Life::begin(&fs, ROOM, &clock);
        put(&mut life, 0..3);
        let Next::Batch(..) = life.disk.next() else { panic!("no batch") };
        life.settle(Outcome::Success);
        clock.advance(SYNC_EVERY);
        let Next::Batch(..) = life.disk.next() else { panic!("no batch") };
        fs.restart(true);
        let mut life = Life::begin(&fs, ROOM, &clock);
        put(&mut life, 3..4);
        assert_eq!(drain(&mut life), [1, 2, 3]);
        fs.restart(true);
        assert_eq!(Life::begin(&fs, ROOM, &clock).waiting(), []);
    }
}
