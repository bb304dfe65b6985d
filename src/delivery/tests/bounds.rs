//! What does not fit, waits too long, or cannot be stored.

use super::fake::{BYTES, Bench, at, destination};
use super::*;

fn room_for(batches: u64) -> DeliveryConfig {
    DeliveryConfig { queue_bytes_max: batches * BYTES, ..DeliveryConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn without_room_the_oldest_are_dropped() {
    let bench = Bench::with([], room_for(3));
    for _ in 0..5 {
        bench.put();
    }
    let stats = bench.check();
    assert_eq!((stats.queued, stats.queued_bytes, stats.dropped(DropReason::Size)), (amount(3), 3 * BYTES, amount(2)));
    bench.delivery.run(at(60)).await;
    assert_eq!(bench.delivered(), [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_batch_on_its_way_is_never_dropped_for_room() {
    let bench = Bench::with([], room_for(2));
    bench.put_with(destination("key"), BYTES, 1000);
    let flood = async {
        tokio::task::yield_now().await;
        (0..4).for_each(|_| bench.put());
        // One that would need the place of the one on its way too.
        bench.put_sized(destination("key"), 2 * BYTES);
    };
    tokio::join!(bench.delivery.run(at(60)), flood);
    let stats = bench.check();
    assert_eq!((bench.delivered(), stats.delivered.points), (vec![0], 1000));
    assert_eq!(stats.dropped(DropReason::Size), amount(5));
}

#[tokio::test(start_paused = true)]
async fn the_batch_on_its_way_is_never_dropped_for_age() {
    let config = DeliveryConfig { age_max: SECOND / 10, ..DeliveryConfig::default() };
    let bench = Bench::with([], config);
    bench.put_with(destination("key"), BYTES, 1000);
    let later = async {
        tokio::time::sleep(SECOND / 4).await;
        bench.put();
    };
    tokio::join!(bench.delivery.run(at(60)), later);
    // The first was on its way when it grew too old; the second waited for it too long.
    let stats = bench.check();
    assert_eq!((stats.delivered.points, stats.dropped(DropReason::Age)), (1000, amount(1)));
}

#[tokio::test(start_paused = true)]
async fn between_attempts_the_oldest_is_dropped_like_any_other() {
    let bench = Bench::with([Answer::Status(503, Some("100"), vec![])], room_for(1));
    bench.put();
    let later = async {
        tokio::time::sleep(50 * SECOND).await;
        bench.put();
    };
    tokio::join!(bench.delivery.run(at(200)), later);
    assert_eq!((bench.sent(), bench.delivered()), (vec![0, 1], vec![1]));
    assert_eq!(bench.check().dropped(DropReason::Size), amount(1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_queue_is_dropped_alone() {
    let bench = Bench::with([], room_for(2));
    bench.put();
    bench.put_sized(destination("key"), 2 * BYTES + 1);
    let stats = bench.check();
    assert_eq!((stats.queued, stats.dropped(DropReason::Oversize)), (amount(1), amount(1)));
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_dropped() {
    let config = DeliveryConfig { age_max: 100 * SECOND, ..DeliveryConfig::default() };
    let bench = Bench::with(vec![refused(); 1000], config);
    bench.put();
    let later = async {
        tokio::time::sleep(90 * SECOND).await;
        bench.put();
        tokio::time::sleep(50 * SECOND).await;
        let stats = bench.check();
        assert_eq!((stats.queued, stats.dropped(DropReason::Age)), (amount(1), amount(1)));
    };
    tokio::join!(bench.delivery.run(at(400)), later);
    let stats = bench.check();
    assert_eq!((stats.queued, stats.dropped(DropReason::Age), stats.delivered), (amount(0), amount(2), amount(0)));
}

#[tokio::test(start_paused = true)]
async fn the_first_day_of_an_outage_is_kept_whole() {
    let bench = Bench::new(vec![refused(); 6000]);
    let outage = async {
        for _ in 0..5760 {
            bench.put();
            tokio::time::sleep(15 * SECOND).await;
        }
    };
    tokio::join!(bench.delivery.run(at(10 * 24 * 3600)), outage);
    assert_eq!(bench.delivered(), (0..5760).collect::<Vec<_>>());
}
