//! When a batch is sent again, and after how long. Pure: the rules of the OTLP specification, over HTTP and gRPC.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::fmt::strtime;
use jiff::tz::Offset;

use super::stats::Outcome;
use crate::clock::Wall;
use crate::http_client::HttpError;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Least time from one attempt to the next in a long outage: at most three begin in any minute.
const STEADY_LEAST: Duration = Duration::from_secs(21);

/// A server that asks for more is tried again all the same: it may have meant another unit.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// The three forms of a date in HTTP (RFC 9110, 5.6.7); all are in GMT.
const DATE_FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// What an answer means for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, as far as its status says.
    Taken,
    /// To be sent again.
    Again,
    /// Refused for its size: in parts it may be taken.
    TooLarge,
    /// Refused for good.
    Refused,
}

/// What an answer with `status` means: only 429, 502, 503 and 504 ask for the batch again, 413 for less at once; a
/// redirect is refused too, since none is followed.
#[must_use]
pub const fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Taken,
        413 => Verdict::TooLarge,
        429 | 502 | 503 | 504 => Verdict::Again,
        _ => Verdict::Refused,
    }
}

/// Whether a receiver that refuses says that it does so for the size of the request, where its status has other meanings
/// too. In gRPC's libraries for Go, C, Node, Java, .NET and Rust, and, with status 400, in Go's HTTP server, which is
/// that of the Collector.
pub(super) fn says_too_large(reason: &[u8]) -> bool {
    const TOLD_BY: [&str; 5] = [
        "larger than max",
        "exceeds maximum size",
        "exceeds the maximum configured message size",
        "message length too large",
        "request body too large",
    ];
    let reason = String::from_utf8_lossy(&reason[..reason.len().min(1000)]);
    TOLD_BY.iter().any(|words| reason.contains(words))
}

/// What gRPC's status `code` means: over HTTP and gRPC the specification names the same troubles. A server without
/// resources means to have them again only if it says when.
/// One that says that the message is too large has the same status, or, in Rust, OUT_OF_RANGE.
pub(super) const fn grpc_verdict(code: u32, has_retry_info: bool, is_too_large: bool) -> Verdict {
    match code {
        0 => Verdict::Taken,
        8 | 11 if is_too_large => Verdict::TooLarge,
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Verdict::Again,
        // RESOURCE_EXHAUSTED
        8 if has_retry_info => Verdict::Again,
        _ => Verdict::Refused,
    }
}

/// What no answer means. The batch may have arrived; sent again in order, the receiver finds it the same.
pub(super) const fn verdict_of(error: &HttpError) -> Outcome {
    match error {
        // The specification says so: whoever answers that much is not to be asked the same again.
        HttpError::Oversized { .. } | HttpError::Url => Outcome::Rejected,
        HttpError::Unreachable { .. }
        | HttpError::Timeout { .. }
        | HttpError::Lost { .. }
        | HttpError::Garbled { .. }
        | HttpError::Roots { .. } => Outcome::Unanswered,
    }
}

/// How long the answer asks us to wait, in seconds or until a date, at most 5 min; `None` if it does not say.
pub(super) fn retry_after(headers: &HeaderMap, now: Wall) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too long for 64 bits is longer than the longest wait.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        date(text)?.since(now)
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

fn date(text: &str) -> Option<Wall> {
    let parsed = DATE_FORMS.iter().find_map(|form| strtime::parse(form, text).ok()?.to_datetime().ok())?;
    let time = Offset::UTC.to_timestamp(parsed).ok()?;
    // A date before 1970 is long past.
    Some(Wall(u64::try_from(time.as_nanosecond()).unwrap_or(0)))
}

/// The waits between attempts: 1 s doubling to 30 s, each drawn from the whole span below (full jitter), so that many
/// bridges do not come back to a collector at once.
///
/// At 30 s it is drawn from 21 s up, and counts from the beginning of the attempt before. Full jitter would come to four
/// attempts a minute on average and to any number in a bad one; this way it is three in any minute, and the receiver's
/// return is seen within 30 s or the attempt's own time, whichever is longer. The nine seconds scatter bridges enough,
/// who come to this point scattered already.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) const fn new(random: fastrand::Rng) -> Self {
        Self { failures: 0, random }
    }

    /// The wait after one more failure, of an attempt that took `took`: not less than what the endpoint `asked` for.
    pub(super) fn next(&mut self, took: Duration, asked: Option<Duration>) -> Duration {
        let span = span(self.failures);
        self.failures = self.failures.saturating_add(1);
        let wait = if span < LONGEST {
            span.mul_f64(self.random.f64())
        } else {
            (STEADY_LEAST + (LONGEST - STEADY_LEAST).mul_f64(self.random.f64())).saturating_sub(took)
        };
        // What the endpoint means begins with its answer.
        wait.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX))
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The longest wait after `failures` earlier ones.
fn span(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_taken_sent_again_or_refused_as_the_specification_says() {
        for code in 100..=999_u16 {
            let expected = match code {
                200..=299 => Verdict::Taken,
                413 => Verdict::TooLarge,
                429 | 502 | 503 | 504 => Verdict::Again,
                _ => Verdict::Refused,
            };
            assert_eq!(verdict(StatusCode::from_u16(code).unwrap()), expected, "{code}");
        }
        for (code, expected) in [
            (200, Verdict::Taken),
            (202, Verdict::Taken),
            (301, Verdict::Refused),
            (400, Verdict::Refused),
            (401, Verdict::Refused),
            (404, Verdict::Refused),
            (408, Verdict::Refused),
            (413, Verdict::TooLarge),
            (429, Verdict::Again),
            (500, Verdict::Refused),
            (501, Verdict::Refused),
            (502, Verdict::Again),
            (503, Verdict::Again),
            (504, Verdict::Again),
            (507, Verdict::Refused),
        ] {
            assert_eq!(verdict(StatusCode::from_u16(code).unwrap()), expected, "{code}");
        }
    }

    #[test]
    fn only_an_oversized_answer_and_an_impossible_address_are_final_without_an_answer() {
        let (host, cause) = (String::from("a:1"), String::from("why"));
        let after = Duration::from_secs(1);
        for (error, outcome) in [
            (HttpError::Unreachable { host: host.clone(), cause: cause.clone() }, Outcome::Unanswered),
            (
                HttpError::Timeout { host: host.clone(), step: crate::http_client::Step::Answer, after },
                Outcome::Unanswered,
            ),
            (HttpError::Lost { host: host.clone(), cause: cause.clone() }, Outcome::Unanswered),
            (HttpError::Garbled { host: host.clone(), cause: cause.clone() }, Outcome::Unanswered),
            (HttpError::Roots { cause }, Outcome::Unanswered),
            (HttpError::Oversized { host, max: 1 }, Outcome::Rejected),
            (HttpError::Url, Outcome::Rejected),
        ] {
            assert_eq!(verdict_of(&error), outcome, "{error}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let now = Wall::parse_rfc3339("1994-11-06T08:49:00Z").unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", Some(300)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("Fri, 01 Jan 1960 00:00:00 GMT", Some(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn grpcs_statuses_mean_what_the_specification_says() {
        for code in 0..=17 {
            let expected = match code {
                0 => Verdict::Taken,
                1 | 4 | 10 | 11 | 14 | 15 => Verdict::Again,
                _ => Verdict::Refused,
            };
            assert_eq!(grpc_verdict(code, false, false), expected, "{code}");
        }
        assert_eq!((grpc_verdict(8, true, false), grpc_verdict(3, true, true)), (Verdict::Again, Verdict::Refused));
        assert_eq!([8, 11].map(|code| grpc_verdict(code, false, true)), [Verdict::TooLarge; 2]);
    }

    #[test]
    fn a_refusal_for_the_size_is_told_from_others_by_its_words() {
        for words in [
            "grpc: received message larger than max (6117815 vs. 4194304)",
            "grpc: received message after decompression larger than max 4194304",
            "Received message larger than max (5308389 vs. 4194304)",
            "gRPC message exceeds maximum size 4194304: 5000000",
            "Received message exceeds the maximum configured message size.",
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
            "\x08\x03\x12\x1chttp: request body too large",
        ] {
            assert!(says_too_large(words.as_bytes()), "{words}");
        }
        for words in ["", "quota exceeded", "the limit of 10 requests a second is exceeded", "too many series"] {
            assert!(!says_too_large(words.as_bytes()), "{words}");
        }
    }

    #[test]
    fn waits_double_to_half_a_minute_and_start_anew_after_a_success() {
        assert_eq!([0, 1, 2, 3, 4, 5, 40, u32::MAX].map(|n| span(n).as_secs()), [1, 2, 4, 8, 16, 30, 30, 30]);
        let mut firsts = Vec::new();
        for seed in 0..500 {
            let mut backoff = Backoff::new(fastrand::Rng::with_seed(seed));
            let waits: Vec<_> = (0..40).map(|_| backoff.next(Duration::ZERO, None)).collect();
            assert!(waits.iter().zip(0..).all(|(wait, failures)| *wait <= span(failures)));
            assert!(waits[5..].iter().all(|wait| *wait >= STEADY_LEAST));
            firsts.push(waits[4]);
            backoff.reset();
            assert!(backoff.next(Duration::ZERO, None) <= FIRST);
        }
        let span = Duration::from_secs(16);
        assert!(firsts.iter().any(|wait| *wait < span / 10) && firsts.iter().any(|wait| *wait > span * 9 / 10));
    }

    #[test]
    fn in_a_long_outage_any_minute_sees_three_attempts_and_the_return_is_seen_within_35_s() {
        // The drawn waits cannot be worse than their bounds, so no attempt's length can make them so.
        for took in [0, 2, 10, 29].map(Duration::from_secs) {
            let mut backoff = Backoff::new(fastrand::Rng::with_seed(7));
            let _ = [(); 5].map(|()| backoff.next(took, None));
            let mut begins = vec![Duration::ZERO];
            for _ in 0..1000 {
                let last = begins[begins.len() - 1];
                begins.push(last + took + backoff.next(took, None));
            }
            for window in begins.windows(4) {
                assert!(window[3] - window[0] > Duration::from_secs(60), "{took:?}: {window:?}");
            }
            for pair in begins.windows(2) {
                assert!(pair[1] - pair[0] <= Duration::from_secs(35), "{took:?}: {pair:?}");
            }
        }
    }

    #[test]
    fn what_the_endpoint_asks_for_is_the_least_and_0_is_no_licence_to_hammer() {
        let mut backoff = Backoff::new(fastrand::Rng::with_seed(7));
        let took = Duration::from_secs(9);
        assert_eq!(backoff.next(took, Some(Duration::from_secs(100))), Duration::from_secs(100));
        assert_eq!(backoff.next(took, Some(Duration::from_secs(100_000))), RETRY_AFTER_MAX);
        let waits = (0..20).map(|_| backoff.next(Duration::ZERO, Some(Duration::ZERO)));
        assert!(waits.max().unwrap() > Duration::from_secs(10));
    }
}
