//! The table of what collectors answer over HTTP, each met with exactly one act, by a real listener.

use std::io::{Read, Write, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;

use super::*;
use crate::clock::SystemClock;
use crate::http_client::testing::{RawServer, Trap, ok, until_closed};

/// What is to become of the batch that is answered so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It is delivered; so many of its points were refused, and none is sent again.
    Delivered(u64),
    /// It is sent again before anything else, after this long or more.
    Again(Duration),
    /// It is sent in halves, in order and at once.
    Halved,
    /// It is given up, and holds up nobody.
    GivenUp,
}

/// Points of each batch.
pub(super) const EACH: u64 = 4;

/// Time for one attempt where the endpoint does not answer: the act is to wait for it and send again.
pub(super) const TIMEOUT: Duration = Duration::from_millis(700);
const BODY_MAX: usize = 1000;

pub(super) fn config(protocol: Protocol, act: Act) -> DeliveryConfig {
    // A busy machine may not turn another answer into none.
    let total = if act == Act::Again(TIMEOUT) { TIMEOUT } else { Duration::from_secs(10) };
    let limits = Limits { total, body_bytes_max: BODY_MAX, ..DeliveryConfig::default().limits };
    DeliveryConfig { limits, protocol, ..DeliveryConfig::default() }
}

/// The two halves of a message, with half of the points each.
pub(super) fn halve(message: &[u8]) -> Option<[(Vec<u8>, u64); 2]> {
    let (first, second) = message.split_at(message.len() / 2);
    Some([first, second].map(|half| (half.to_vec(), EACH / 2)))
}

/// Puts two batches of different lengths, delivers until nothing waits, and checks the account against `act`.
pub(super) async fn deliver(delivery: &Delivery, uri: &str, act: Act, row: &str) {
    let headers = ::http::HeaderMap::from_iter([(::http::header::AUTHORIZATION, "s3cr3t".parse().unwrap())]);
    let destination = Destination { uri: uri.parse().unwrap(), headers };
    for body in [&b"\x0afirst"[..], b"\x0asecond"] {
        let accepted = SystemClock::new().now();
        let batch = Batch { body: Bytes::from_static(body), points: EACH, accepted };
        delivery.put(destination.clone(), batch);
    }
    let settled = async {
        while delivery.stats().queued.batches > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), delivery.run(settled)).await.unwrap_or_else(|_| panic!("{row}"));
    let stats = delivery.stats();
    let amount = |batches| Amount { batches, points: batches * EACH };
    let again = stats.attempts(Outcome::Retry) + stats.attempts(Outcome::Unanswered);
    let expected = match act {
        Act::Delivered(refused) => (amount(2), amount(0), refused, 0),
        Act::Again(_) => (amount(2), amount(0), 0, 1),
        Act::Halved => (amount(2), amount(0), 0, 0),
        Act::GivenUp => (amount(1), amount(1), 0, 0),
    };
    assert_eq!((stats.delivered, stats.dropped(DropReason::Rejected), stats.refused_points, again), expected, "{row}");
    let outcomes = [Outcome::Divided, Outcome::Rejected].map(|outcome| stats.attempts(outcome));
    assert_eq!(outcomes, [u64::from(act == Act::Halved), u64::from(act == Act::GivenUp)], "{row}");
}

/// Checks when which batch was asked for, by the lengths of the bodies, before which the protocol has `prefix` bytes.
pub(super) fn check(requests: &[(Instant, u64)], prefix: u64, act: Act, row: &str) {
    let sent: Vec<_> = requests.iter().map(|(_, length)| *length).collect();
    let [half, first, second] = [3, 6, 7].map(|length| prefix + length);
    let wait = requests[1].0 - requests[0].0;
    match act {
        Act::Again(least) => {
            assert_eq!(sent, [first, first, second], "{row}");
            // A server hears of an attempt some time after it began, and cannot tell how long it was waited for.
            assert!(least == TIMEOUT || wait >= least, "{row}: {wait:?}");
        }
        Act::Delivered(_) => assert_eq!(sent, [first, second], "{row}"),
        Act::Halved => {
            // The second batch is larger than what was refused, and is not asked for whole.
            assert_eq!(sent, [first, half, half, half, half + 1], "{row}");
            assert!(wait < Duration::from_secs(1), "{row}: {wait:?}");
        }
        Act::GivenUp => {
            assert_eq!(sent, [first, second], "{row}");
            assert!(wait < Duration::from_secs(1), "{row}: {wait:?}");
        }
    }
}

/// How the first request is answered; the others are taken.
enum First {
    Says(Vec<u8>),
    /// Whatever is done on the connection.
    Does(Box<dyn Fn(&mut TcpStream) + Send + Sync>),
}

fn says(status: &str, headers: &str, body: &[u8]) -> First {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    First::Says([head.as_bytes(), body].concat())
}

fn does(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> First {
    First::Does(Box::new(act))
}

fn partial(rejected_data_points: i64, error_message: &str) -> Vec<u8> {
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: error_message.to_owned() };
    ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

/// A date as HTTP writes it.
fn date_in(seconds: u64) -> String {
    let at = SystemClock::new().now().wall.plus(Duration::from_secs(seconds));
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap();
    jiff::fmt::strtime::format("%a, %d %b %Y %H:%M:%S GMT", jiff::tz::Offset::UTC.to_datetime(at)).unwrap()
}

type Row = (&'static str, First, Act);

/// Answers that say the batch was taken.
fn takes() -> Vec<Row> {
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    vec![
        ("200 without a body", says("200 OK", "", b""), Act::Delivered(0)),
        ("200 with an empty partial success", says("200 OK", "", b"\x0a\x00"), Act::Delivered(0)),
        ("200 with another answer", says("200 OK", "", b"<html>fine</html>"), Act::Delivered(0)),
        ("200 of a wrong type", says("200 OK", "Content-Type: text/html\r\n", b"\xff\xff"), Act::Delivered(0)),
        ("200 with bad gzip", says("200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8bnone"), Act::Delivered(0)),
        ("202", says("202 Accepted", "", b""), Act::Delivered(0)),
        ("204", First::Says(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec()), Act::Delivered(0)),
        ("partial success", says("200 OK", "", &partial(3, "out of order")), Act::Delivered(3)),
        ("partial success with a warning", says("200 OK", "", &partial(0, "slow down")), Act::Delivered(0)),
        ("partial success that lies", says("200 OK", "", &partial(i64::MAX, "all")), Act::Delivered(EACH)),
        ("partial success below 0", says("200 OK", "", &partial(-7, "what")), Act::Delivered(0)),
        (
            "partial success in JSON",
            says("200 OK", json, br#"{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"old"}}"#),
            Act::Delivered(2),
        ),
        (
            "partial success in JSON with a number",
            says("200 OK", json, br#"{"partialSuccess":{"rejectedDataPoints":1}}"#),
            Act::Delivered(1),
        ),
        ("bad JSON", says("200 OK", json, b"{"), Act::Delivered(0)),
    ]
}

/// Answers that refuse the batch for good; redirects lead to `trap`.
fn refuses(trap: SocketAddr) -> Vec<Row> {
    let redirect = move |status: &str| says(status, &format!("Location: http://{trap}/\r\n"), b"");
    let given_up = |(row, first)| (row, first, Act::GivenUp);
    let rows = vec![
        ("301", redirect("301 Moved Permanently")),
        ("302", redirect("302 Found")),
        ("307", redirect("307 Temporary Redirect")),
        ("308", redirect("308 Permanent Redirect")),
        ("400", says("400 Bad Request", "", b"\x08\x03\x12\x0cout of order")),
        ("400 with Retry-After", says("400 Bad Request", "Retry-After: 1\r\n", b"")),
        ("401", says("401 Unauthorized", "", b"bad token s3cr3t")),
        ("403", says("403 Forbidden", "", b"")),
        ("404", says("404 Not Found", "", b"404 page not found")),
        ("405", says("405 Method Not Allowed", "", b"")),
        ("408", says("408 Request Timeout", "", b"")),
        ("415", says("415 Unsupported Media Type", "", b"")),
        ("500", says("500 Internal Server Error", "", b"oh no")),
        ("501", says("501 Not Implemented", "", b"")),
        ("505", says("505 HTTP Version Not Supported", "", b"")),
        ("507", says("507 Insufficient Storage", "", b"")),
    ];
    rows.into_iter().map(given_up).collect()
}

/// Answers that refuse the batch for its size.
fn too_large() -> Vec<Row> {
    vec![
        ("413", says("413 Payload Too Large", "", b""), Act::Halved),
        ("413 with Retry-After", says("413 Content Too Large", "Retry-After: 1\r\n", b"too big"), Act::Halved),
        (
            "400 of a server in Go that read enough",
            says("400 Bad Request", "", b"\x08\x03\x12\x1chttp: request body too large"),
            Act::Halved,
        ),
    ]
}

/// Answers that ask for the batch again, and what is none.
fn asks_again() -> Vec<Row> {
    let (soon, second) = (Act::Again(Duration::ZERO), Act::Again(Duration::from_secs(1)));
    vec![
        ("429", says("429 Too Many Requests", "", b""), soon),
        ("429 for seconds", says("429 Too Many Requests", "Retry-After: 1\r\n", b""), second),
        (
            "429 until a date",
            // Dates have no fractions: what is three seconds on is at least two away.
            says("429 Too Many Requests", &format!("Retry-After: {}\r\n", date_in(3)), b""),
            Act::Again(Duration::from_millis(500)),
        ),
        ("502", says("502 Bad Gateway", "", b""), soon),
        ("503", says("503 Service Unavailable", "", b""), soon),
        ("503 for seconds", says("503 Service Unavailable", "Retry-After: 1\r\n", b""), second),
        ("503 for no sense", says("503 Service Unavailable", "Retry-After: soon\r\n", b""), soon),
        ("503 with bad gzip", says("503 Service Unavailable", "Content-Encoding: gzip\r\n", b"\x1f\x8bnone"), soon),
        ("504", says("504 Gateway Timeout", "", b""), soon),
        ("no answer", does(until_closed), Act::Again(TIMEOUT)),
        ("closed before the answer", First::Says(Vec::new()), soon),
        ("closed within the head", First::Says(b"HTTP/1.1 200 OK\r\nConte".to_vec()), soon),
        ("closed within the body", First::Says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123".to_vec()), soon),
        ("no HTTP", First::Says(b"220 mail.example ESMTP\r\n".to_vec()), soon),
        ("a body without an end", drip(), Act::Again(TIMEOUT)),
    ]
}

/// Answers that are larger than is read; `written` are the bytes that were taken of one.
fn too_much(written: &Arc<AtomicU64>) -> Vec<Row> {
    let written = Arc::clone(written);
    let declares = does(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        until_closed(stream);
    });
    let sends = does(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while written.load(Ordering::Relaxed) < 1 << 30 && stream.write_all(&[0; 4096]).is_ok() {
            written.fetch_add(4096, Ordering::Relaxed);
        }
    });
    vec![("a declared GiB", declares, Act::GivenUp), ("a GiB", sends, Act::GivenUp)]
}

fn drip() -> First {
    does(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    })
}

/// A way to `server` whose first connection is reset.
fn through_a_reset(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // To close with something unread is to reset.
        listener.accept().unwrap().0.read_exact(&mut [0]).unwrap();
        for stream in listener.incoming() {
            let (mut near, mut far) = (stream.unwrap(), TcpStream::connect(server).unwrap());
            let (mut back_from, mut back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || copy(&mut back_from, &mut back_to));
            std::thread::spawn(move || copy(&mut near, &mut far));
        }
    });
    address
}

#[tokio::test]
async fn each_reply_is_met_with_exactly_its_act() {
    let (trap, written) = (Trap::set(), Arc::new(AtomicU64::new(0)));
    let table = [takes(), refuses(trap.address()), too_large(), asks_again(), too_much(&written)];
    let mut rows = tokio::task::JoinSet::new();
    for (row, first, act) in table.into_iter().flatten() {
        rows.spawn(async move {
            let requests: Arc<Mutex<Vec<(Instant, u64)>>> = Arc::default();
            let kept = Arc::clone(&requests);
            let server = RawServer::start_by_head(move |number, head, stream| {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                kept.lock().unwrap().push((Instant::now(), length.unwrap()));
                let _ = match (&first, number) {
                    (First::Says(text), 0) => stream.write_all(text),
                    (First::Does(act), 0) => {
                        act(stream);
                        Ok(())
                    }
                    _ => stream.write_all(ok("").as_bytes()),
                };
                false
            });
            let delivery =
                Delivery::new(config(Protocol::HttpProtobuf, act), HttpClient::new(), Arc::new(SystemClock::new()))
                    .halving(halve);
            deliver(&delivery, &format!("{}/v1/metrics", server.url()), act, row).await;
            check(&requests.lock().unwrap(), 0, act, row);
        });
    }
    while let Some(row) = rows.join_next().await {
        row.unwrap();
    }
    assert!(trap.is_untouched(), "a redirect was followed");
    let written = written.load(Ordering::Relaxed);
    assert!(written < 64 << 20, "{written} bytes of an answer were taken");
}

#[tokio::test]
async fn a_reset_is_an_answer_that_did_not_come() {
    let server = RawServer::answering(ok(""));
    let act = Act::Again(Duration::ZERO);
    let delivery = Delivery::new(config(Protocol::HttpProtobuf, act), HttpClient::new(), Arc::new(SystemClock::new()));
    let uri = format!("http://{}/v1/metrics", through_a_reset(server.address));
    deliver(&delivery, &uri, act, "reset").await;
    assert_eq!(server.heads().len(), 2);
}
