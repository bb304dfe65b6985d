//! Whatever the endpoint does and whenever batches come: the account is whole, and the order is kept.

use super::fake::{Answer, BYTES, Bench, at, destination, refused};
use super::*;

fn any_answer(random: &mut fastrand::Rng) -> Answer {
    match random.u8(0..12) {
        0 => Answer::status(429),
        1 => Answer::Status(503, Some(["0", "7", "400", "Mon, 15 Jan 2024 11:30:00 GMT"][random.usize(0..4)]), vec![]),
        2 => Answer::status(504),
        3 => refused(),
        4 => Answer::status(400),
        5 => Answer::status(500),
        6 => Answer::partial(random.i64(-2..20), "some"),
        7 => Answer::Error(HttpError::Oversized { host: "a:1".into(), max: 1 }),
        _ => Answer::status(200),
    }
}

async fn one_life(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let script: Vec<_> = (0..random.usize(0..80)).map(|_| any_answer(&mut random)).collect();
    let config = DeliveryConfig {
        queue_bytes_max: random.u64(1..20) * BYTES,
        age_max: Duration::from_secs(random.u64(20..2000)),
        ..DeliveryConfig::default()
    };
    let bench = Bench::with(script, config);
    let puts = async {
        for _ in 0..random.usize(1..60) {
            bench.put_with(destination("key"), random.u64(8..4 * BYTES), random.u64(1..1 << 40));
            tokio::time::sleep(Duration::from_millis(random.u64(0..30_000))).await;
            let stats = bench.check();
            assert!(stats.queued_bytes <= config.queue_bytes_max, "seed {seed}: {stats:?}");
        }
    };
    let watch = async {
        // Looks in between attempts and puts; the identity holds there too.
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(2499)).await;
            bench.check();
        }
    };
    tokio::join!(bench.delivery.run(at(1000)), puts, watch);

    let stats = bench.check();
    assert!(bench.most_at_once() <= 1, "seed {seed}");
    let delivered = bench.delivered();
    assert!(delivered.is_sorted_by(|a, b| a < b), "seed {seed}: {delivered:?}");
    assert!(bench.sent().is_sorted(), "seed {seed}: no batch overtakes another");
    assert_eq!(stats.delivered.batches, delivered.len() as u64, "seed {seed}");
    assert_eq!(stats.delivered.points, bench.delivered_points(), "seed {seed}: what is booked is what was taken");
    assert_eq!(stats.attempts.iter().sum::<u64>(), bench.sent().len() as u64, "seed {seed}");
    let refusals = stats.attempts(Outcome::Rejected);
    assert_eq!(stats.dropped(DropReason::Rejected).batches, refusals, "seed {seed}");
}

#[test]
fn the_account_is_whole_and_the_order_kept_over_many_lives() {
    for seed in 0..300 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(one_life(seed));
    }
}
