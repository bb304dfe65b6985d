//! An endpoint that is away for long: how often it is asked, how soon its return is seen, and what it then gets.

use super::fake::{Answer, Bench, at};
use super::*;
use crate::delivery::spool::testing::SimFs;
use crate::http_client::Step;

/// Attempts whose waits are still drawn from less than the longest span.
const FIRST_ATTEMPTS: usize = 5;

/// How an endpoint may be away.
fn away(random: &mut fastrand::Rng) -> Answer {
    let host = || "a:1".to_owned();
    match random.u8(0..5) {
        0 => refused(),
        1 => Answer::status([429, 502, 503, 504][random.usize(0..4)]),
        2 => Answer::Error(HttpError::Lost { host: host(), cause: "connection reset".into() }),
        3 => {
            let after = 2 * SECOND;
            Answer::Late(after, HttpError::Timeout { host: host(), step: Step::Connect, after })
        }
        _ => {
            let after = DeliveryConfig::default().limits.total;
            Answer::Late(after, HttpError::Timeout { host: host(), step: Step::Answer, after })
        }
    }
}

/// Checks the times at which a whole outage's attempts began. The receiver returns at any moment between two of them, so
/// the longest time between is the longest that a return is not seen.
fn assert_polite_and_prompt(begins: &[Duration], what: &str) {
    let steady = &begins[FIRST_ATTEMPTS..];
    for four in steady.windows(4) {
        assert!(four[3] - four[0] > 60 * SECOND, "{what}: four attempts in {:?}", four[3] - four[0]);
    }
    for pair in begins.windows(2) {
        assert!(pair[1] - pair[0] <= 35 * SECOND, "{what}: not asked for {:?}", pair[1] - pair[0]);
    }
}

#[test]
fn however_the_endpoint_is_away_it_is_asked_three_times_a_minute_and_its_return_is_seen_within_35_s() {
    for seed in 0..500 {
        // The sender's waits are drawn from this thread's numbers.
        fastrand::seed(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let away = |random: &mut fastrand::Rng| match seed % 3 {
            0 => refused(),
            1 => Answer::Late(10 * SECOND, HttpError::Lost { host: "a:1".into(), cause: "gone".into() }),
            _ => away(random),
        };
        let script: Vec<_> = (0..60).map(|_| away(&mut random)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new(script);
            bench.put();
            bench.put();
            bench.delivery.run(at(2 * 3600)).await;
            assert_eq!(bench.delivered(), [0, 1], "seed {seed}");
            // The last but one is the first attempt after the return.
            let times = bench.times();
            assert_eq!(times.len(), 62, "seed {seed}");
            assert_polite_and_prompt(&times[..61], &format!("seed {seed}"));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_without_a_receiver_and_with_a_kill_at_noon_is_delivered_from_the_spool_once_and_in_order() {
    const HALF: u64 = 12 * 3600 / 15;
    let fs = SimFs::new(1, 100_000);
    let over = |refusals: usize| {
        let bench = Bench::new(vec![refused(); refusals]);
        bench.delivery.open_on(Box::new(fs.clone()), &SpoolConfig::at(PathBuf::new())).unwrap();
        bench
    };
    let puts = async |bench: &Bench| {
        for _ in 0..HALF {
            bench.put();
            bench.delivery.keep().await;
            assert_eq!(bench.check().unstored, 0, "memory does not grow with the outage");
            tokio::time::sleep(15 * SECOND).await;
        }
    };
    let morning = over(10_000);
    tokio::select! {
        () = morning.delivery.run(std::future::pending()) => {}
        () = puts(&morning) => {}
    }
    assert_polite_and_prompt(&morning.times(), "in the morning");
    fs.restart(false);
    // At 25.5 s each on average, the last of them comes at about midnight.
    let evening = over(1700);
    assert_eq!((evening.check().queued, evening.delivered()), (amount(HALF), vec![]));
    tokio::join!(evening.delivery.run(at(24 * 3600)), puts(&evening));
    let outage = &evening.times()[..1701];
    assert_polite_and_prompt(outage, "in the evening");
    assert!(outage[1700] - outage[0] > 11 * 3600 * SECOND);
    let taken: Vec<_> = (0..HALF).chain(0..HALF).collect();
    assert_eq!(evening.delivered(), taken, "what the morning left, then the evening's");
    assert_eq!(evening.sent().len(), 1700 + taken.len(), "each is sent once to who takes it");
    assert_eq!((evening.check().delivered, fs.all_names().len()), (amount(2 * HALF), 0));
}
