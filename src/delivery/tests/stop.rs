//! The end: one last try, within its time, and nothing lost from the account.

use super::fake::{BYTES, Bench, at};
use super::*;

const FLUSH: Duration = Duration::from_secs(3);

/// Runs until a stop after `seconds` and returns how long the end took.
async fn end_after(bench: &Bench, seconds: u64) -> Duration {
    let start = bench.now();
    bench.delivery.run(at(seconds)).await;
    bench.check();
    bench.now().saturating_sub(start + Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn with_nothing_waiting_it_ends_at_once() {
    assert_eq!(end_after(&Bench::new([]), 5).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_stop_ends_a_wait_for_one_last_try_and_a_good_one_takes_the_rest_along() {
    let bench = Bench::new([Answer::Status(503, Some("300"), vec![])]);
    (0..3).for_each(|_| bench.put());
    assert!(end_after(&bench, 10).await <= FLUSH);
    assert_eq!(bench.sent(), [0, 0, 1, 2]);
    assert_eq!(bench.check().delivered, amount(3));
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_gets_one_last_try_and_no_more() {
    let bench = Bench::new(vec![Answer::Status(503, Some("300"), vec![]); 9]);
    (0..3).for_each(|_| bench.put());
    assert!(end_after(&bench, 10).await <= FLUSH);
    assert_eq!(bench.sent(), [0, 0]);
    assert_eq!(bench.check().queued, amount(3));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_holds_it_up_for_the_flush_and_not_longer() {
    let bench = Bench::new([Answer::Hang]);
    bench.put();
    let took = end_after(&bench, 10).await;
    assert!(took >= FLUSH && took <= FLUSH + Duration::from_millis(2), "{took:?}");
    assert_eq!((bench.sent(), bench.check().queued), (vec![0], amount(1)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_broken_off_by_the_stop_leaves_an_ordinary_batch() {
    let config = DeliveryConfig { queue_bytes_max: BYTES, ..DeliveryConfig::default() };
    let bench = Bench::with([Answer::Hang], config);
    bench.put();
    end_after(&bench, 1).await;
    bench.put();
    end_after(&bench, 1).await;
    assert_eq!((bench.sent(), bench.check().dropped(DropReason::Size)), (vec![0, 1], amount(1)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_under_way_at_the_stop_is_finished_and_not_repeated() {
    let bench = Bench::new([]);
    bench.put();
    // The attempt takes half a second; the stop comes in the middle of it.
    bench.delivery.run(tokio::time::sleep(Duration::from_millis(250))).await;
    assert_eq!((bench.sent(), bench.check().delivered), (vec![0], amount(1)));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_flush_can_take_stays_queued_and_a_later_run_delivers_it() {
    let bench = Bench::new([refused()]);
    (0..20).for_each(|_| bench.put());
    bench.delivery.run(std::future::ready(())).await;
    assert_eq!(bench.check().queued, amount(20));
    bench.delivery.run(std::future::ready(())).await;
    let delivered = bench.check().delivered.batches;
    assert!((1..20).contains(&delivered), "{delivered}");
    bench.delivery.run(at(60)).await;
    assert_eq!(bench.check().delivered, amount(20));
}
