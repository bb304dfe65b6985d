//! The delivery over a scripted transport and tokio's paused clock, then over HTTP.

mod bounds;
mod divide;
mod fake;
mod http;
mod json;
mod log;
mod outage;
mod property;
mod replies;
mod replies_grpc;
mod spooled;
mod stop;

use fake::{Answer, Bench, at, refused};

use super::*;
use crate::http_client::HttpError;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn batches_arrive_in_order_and_one_at_a_time() {
    let bench = Bench::new([]);
    let puts = async {
        for _ in 0..5 {
            bench.put();
            tokio::time::sleep(SECOND / 3).await;
        }
    };
    tokio::join!(bench.delivery.run(at(60)), puts);
    assert_eq!(bench.delivered(), [0, 1, 2, 3, 4]);
    assert_eq!(bench.most_at_once(), 1);
    let stats = bench.delivery.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.attempts(Outcome::Success)), (amount(5), amount(5), 5));
    assert_eq!((stats.queued, stats.queued_bytes, stats.oldest_accepted), (Amount::default(), 0, None));
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_a_retry_is_sent_again_before_anything_else() {
    for (answer, outcome) in [
        (Answer::status(429), Outcome::Retry),
        (Answer::status(502), Outcome::Retry),
        (Answer::status(503), Outcome::Retry),
        (Answer::status(504), Outcome::Retry),
        (refused(), Outcome::Unanswered),
        (Answer::Error(HttpError::Lost { host: "a:1".into(), cause: "connection reset".into() }), Outcome::Unanswered),
    ] {
        let bench = Bench::new([answer.clone(), answer]);
        bench.put();
        bench.put();
        bench.delivery.run(at(60)).await;
        assert_eq!(bench.sent(), [0, 0, 0, 1], "{outcome:?}");
        let stats = bench.delivery.stats();
        assert_eq!((stats.attempts(outcome), stats.delivered), (2, amount(2)), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_dropped_counted_and_holds_up_nobody() {
    for answer in [
        Answer::status(400),
        Answer::status(401),
        Answer::status(413),
        Answer::status(500),
        Answer::status(307),
        Answer::Error(HttpError::Oversized { host: "a:1".into(), max: 4 << 20 }),
        Answer::Error(HttpError::Url),
    ] {
        let bench = Bench::new([answer]);
        bench.put();
        bench.put();
        let start = bench.now();
        bench.delivery.run(at(60)).await;
        assert_eq!((bench.sent(), bench.delivered()), (vec![0, 1], vec![1]));
        assert!(bench.times()[1].saturating_sub(start) < 2 * SECOND, "the next waits for nothing");
        let stats = bench.delivery.stats();
        assert_eq!((stats.dropped(DropReason::Rejected), stats.attempts(Outcome::Rejected)), (amount(1), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_partial_success_is_delivered_its_refused_points_counted_and_never_sent_again() {
    for (refused, message, outcome, counted) in [
        (3, "out of order", Outcome::Partial, 3),
        (0, "a warning", Outcome::Success, 0),
        (i64::MAX, "a lie", Outcome::Partial, fake::POINTS),
        (-1, "another", Outcome::Success, 0),
    ] {
        let bench = Bench::new([Answer::partial(refused, message)]);
        bench.put();
        bench.put();
        bench.delivery.run(at(60)).await;
        let stats = bench.delivery.stats();
        assert_eq!(
            (bench.sent(), stats.delivered, stats.refused_points),
            (vec![0, 1], amount(2), counted),
            "{message}"
        );
        assert_eq!(stats.attempts(outcome), if outcome == Outcome::Partial { 1 } else { 2 }, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_with_a_body_that_is_no_answer_is_a_success() {
    let bench = Bench::new([Answer::Status(200, None, b"<html>fine</html>".to_vec())]);
    bench.put();
    bench.delivery.run(at(60)).await;
    assert_eq!(bench.delivery.stats().attempts(Outcome::Success), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_grow_to_half_a_minute_and_the_backlog_starts_within_it() {
    let bench = Bench::new(vec![refused(); 40]);
    bench.put();
    bench.delivery.run(at(3600)).await;
    let times = bench.times();
    assert_eq!((times.len(), bench.delivered()), (41, vec![0]));
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    for (gap, longest) in gaps.iter().zip([1, 2, 4, 8, 16].into_iter().chain(std::iter::repeat(30))) {
        // A refused connection takes no time here, and tokio's timers are good to a millisecond.
        assert!(*gap <= Duration::from_millis(longest * 1000 + 1), "{gaps:?}");
    }
    let most_in_a_minute = (5..times.len())
        .map(|at| times[5..].iter().filter(|time| **time >= times[at] && **time < times[at] + 60 * SECOND).count());
    assert!(most_in_a_minute.max() <= Some(3), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_day_without_a_receiver_loses_nothing_and_asks_three_times_a_minute() {
    const BATCHES: u64 = 24 * 3600 / 15;
    // At 25.5 s each on average.
    let bench = Bench::new(vec![refused(); 3390]);
    let puts = async {
        for _ in 0..BATCHES {
            bench.put();
            tokio::time::sleep(15 * SECOND).await;
        }
    };
    tokio::join!(bench.delivery.run(at(36 * 3600)), puts);
    assert_eq!(bench.delivered(), (0..BATCHES).collect::<Vec<_>>());
    assert_eq!(bench.delivery.stats().delivered, bench.delivery.stats().accepted);
    let outage = &bench.times()[5..3390];
    assert!(outage[outage.len() - 1] - outage[0] > 23 * 3600 * SECOND);
    assert!(outage.windows(4).all(|begins| begins[3] - begins[0] > 60 * SECOND));
    assert!(outage.windows(2).all(|begins| begins[1] - begins[0] <= 30 * SECOND + SECOND / 100));
}

#[tokio::test(start_paused = true)]
async fn after_a_success_waits_begin_small_again() {
    let script = [vec![refused(); 20], vec![Answer::status(200), refused()]].concat();
    for _ in 0..20 {
        let bench = Bench::new(script.clone());
        bench.put();
        bench.put();
        bench.delivery.run(at(1200)).await;
        let times = bench.times();
        assert_eq!(bench.sent()[20..], [0, 1, 1]);
        assert!(times[22].saturating_sub(times[21]) <= Duration::from_millis(1001));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_and_capped() {
    for (text, least, most) in [
        ("120", 120, 121),
        ("100000", 300, 301),
        ("Mon, 15 Jan 2024 10:32:00 GMT", 120, 121),
        ("Mon, 15 Jan 2024 09:00:00 GMT", 0, 2),
        ("soon", 0, 2),
    ] {
        let bench = Bench::new([Answer::Status(503, Some(text), vec![])]);
        bench.put();
        bench.delivery.run(at(600)).await;
        let times = bench.times();
        // The answer itself takes the fake a second or less.
        let gap = times[1].saturating_sub(times[0]);
        assert!(gap >= (least * SECOND).saturating_sub(SECOND) && gap <= most * SECOND + SECOND, "{text}: {gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_serves_the_batches_that_already_wait() {
    let bench = Bench::new([refused()]);
    bench.put();
    let rotate = async {
        tokio::task::yield_now().await;
        bench.put_to(fake::destination("new-key"));
    };
    tokio::join!(bench.delivery.run(at(60)), rotate);
    assert_eq!(bench.keys().last().map(String::as_str), Some("new-key"));
    assert_eq!((bench.sent(), bench.keys()[1].as_str()), (vec![0, 0, 1], "new-key"));
}

#[tokio::test(start_paused = true)]
async fn a_second_run_leaves_the_first_alone() {
    let bench = Bench::new([Answer::Hang]);
    bench.put();
    let second = async {
        tokio::time::sleep(SECOND).await;
        bench.delivery.run(std::future::pending()).await;
    };
    tokio::join!(bench.delivery.run(at(5)), second);
    assert_eq!(bench.sent(), [0]);
}

#[test]
fn a_reason_is_short_readable_and_repeats_no_key() {
    let headers: ::http::HeaderMap =
        [("authorization", "Bearer s3cr3t-t0ken"), ("x-scope", "tenant-9"), ("content-type", "application/x-protobuf")]
            .into_iter()
            .map(|(name, value)| (name.parse::<::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
    for (body, expected) in [
        (b"\x08\x03\x12\x0cout of order".as_slice(), "out of order"),
        (b"line one\r\nline two\x1b[31m", "line one line two [31m"),
        (b"bad token s3cr3t-t0ken of tenant-9", "bad token *** of ***"),
        (b"unsupported application/x-protobuf", "unsupported application/x-protobuf"),
        (b"\xff\xfe", ""),
        (b"", ""),
    ] {
        assert_eq!(sender::reason(body, &headers), expected);
    }
    // Redaction shortens what is read, and the end of what is read may be half a key.
    let key = "0123456789abcdef".repeat(4);
    let headers = ::http::HeaderMap::from_iter([(::http::header::AUTHORIZATION, key.parse().unwrap())]);
    let reason = sender::reason(format!("{key} ").repeat(100).as_bytes(), &headers);
    assert!(reason.len() <= 200 && !reason.contains("0123"), "{reason}");
}

#[test]
fn a_key_of_any_letters_is_not_repeated() {
    let value = ::http::HeaderValue::from_str("Bearer ключ-от-дома").unwrap();
    let headers = ::http::HeaderMap::from_iter([(::http::header::AUTHORIZATION, value)]);
    assert_eq!(sender::reason("no key ключ-от-дома here".as_bytes(), &headers), "no key *** here");
}

/// `batches` of the fake's.
fn amount(batches: u64) -> Amount {
    Amount { batches, points: batches * fake::POINTS }
}
