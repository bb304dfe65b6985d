//! The whole way over a spool: the sender, the threads that wait for the disk, and a disk that hangs.

use super::fake::{Answer, BYTES, Bench, at};
use super::*;
use crate::delivery::spool::testing::SimFs;

fn bench(fs: &SimFs, script: impl IntoIterator<Item = Answer>) -> Bench {
    let bench = Bench::new(script);
    bench.delivery.open_on(Box::new(fs.clone()), &SpoolConfig::at(PathBuf::new())).unwrap();
    bench
}

#[tokio::test(start_paused = true)]
async fn batches_arrive_in_order_one_at_a_time_and_leave_nothing_behind() {
    let fs = SimFs::new(1, 10_000);
    let bench = bench(&fs, [refused(), Answer::status(200), Answer::status(400), Answer::status(503)]);
    for _ in 0..20 {
        bench.put();
    }
    bench.delivery.keep().await;
    assert_eq!((bench.check().unstored, fs.all_names().len()), (0, 20));
    bench.delivery.run(at(120)).await;
    let stats = bench.check();
    assert_eq!((stats.delivered, stats.dropped(DropReason::Rejected)), (amount(19), amount(1)));
    assert!(bench.sent().is_sorted() && bench.most_at_once() == 1, "{:?}", bench.sent());
    assert_eq!(fs.all_names().len(), 1, "the refused one, set aside: {:?}", fs.all_names());
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_before_counts_as_accepted_and_waits_for_a_destination() {
    let fs = SimFs::new(1, 10_000);
    let before = bench(&fs, []);
    before.put();
    before.put();
    before.delivery.keep().await;
    let bench = bench(&fs, []);
    assert_eq!((bench.check().accepted, bench.check().queued), (amount(2), amount(2)));
    let later = async {
        tokio::time::sleep(SECOND).await;
        assert!(bench.sent().is_empty());
        bench.put();
    };
    tokio::join!(bench.delivery.run(at(60)), later);
    // The third is the first of its own bench.
    assert_eq!((bench.sent(), bench.check().delivered), (vec![0, 1, 0], amount(3)));
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_a_receiver_that_hangs_is_not_waited_for() {
    let bench = bench(&SimFs::new(1, 10_000), [Answer::Hang]);
    bench.put();
    let begun = bench.now();
    bench.delivery.run(at(5)).await;
    assert!(bench.now().saturating_sub(begun) <= 5 * SECOND + SPOOLED_FLUSH + Duration::from_millis(2));
    assert_eq!((bench.check().queued, bench.check().unstored), (amount(1), 0));
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_a_receiver_is_waited_for_while_the_disk_has_not_taken_all() {
    let fs = SimFs::new(1, 10_000);
    let bench = bench(&fs, [Answer::Hang]);
    fs.fail("create", libc::ENOSPC);
    bench.put();
    let begun = bench.now();
    bench.delivery.run(at(5)).await;
    assert!(bench.now().saturating_sub(begun) >= 5 * SECOND + DeliveryConfig::default().flush);
    assert_eq!((bench.check().queued, bench.check().unstored), (amount(1), 1));
}

#[tokio::test]
async fn another_bound_of_memory_is_one_of_what_the_disk_has_not_taken() {
    let fs = SimFs::new(1, 10_000);
    let bench = bench(&fs, []);
    bench.put();
    bench.delivery.keep().await;
    fs.fail("create", libc::ENOSPC);
    bench.put();
    bench.put();
    let config = DeliveryConfig { queue_bytes_max: 2 * BYTES, age_max: Duration::ZERO, ..DeliveryConfig::default() };
    bench.delivery.go_on_with(&config, HttpClient::new());
    bench.put();
    let stats = bench.check();
    assert_eq!((stats.queued, stats.unstored, stats.dropped(DropReason::Storage)), (amount(3), 2, amount(1)));
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_neither_the_account_nor_a_put() {
    let fs = SimFs::new(1, 10_000);
    let bench = bench(&fs, []);
    fs.hang(true);
    bench.put();
    let kept = bench.delivery.keep();
    let mut kept = pin!(kept);
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, &mut kept).await.is_err(), "the disk hangs");
    // Neither waits for the thread that does.
    bench.put();
    assert_eq!((bench.check().queued, bench.check().unstored), (amount(2), 2));
    assert!(tokio::time::timeout(soon, bench.delivery.keep()).await.is_err(), "a second one waits for its turn");
    fs.hang(false);
    kept.await;
    bench.delivery.keep().await;
    assert_eq!((bench.check().queued, bench.check().unstored), (amount(2), 0));
}
