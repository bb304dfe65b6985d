//! Requests of every wrong shape. Each gets one refusal or none, and its connection ends: what stands behind it is never
//! taken for a request of its own.

use crate::server::{address, connect, talk};
use crate::support::bridge::Bridge;

/// What an attacker hides behind a request. Its answer would be the only one with 200.
const HIDDEN: &str = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";

/// Heads and bodies that are wrong, or that readers of HTTP are known to disagree about.
const SHAPES: &[(&str, &str)] = &[
    (
        "length and chunks",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks and length",
        "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    ("two lengths", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n"),
    ("two lengths in a list", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 36\r\n\r\n"),
    ("a signed length", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n"),
    ("a negative length", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
    ("a length with a space", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3 6\r\n\r\n"),
    ("a length beyond numbers", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    ("a length before a colon", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n"),
    ("chunked twice", "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (
        "chunked in two lines",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked and not last",
        "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    ("nearly chunked", "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked behind a tab", "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    ("chunked before a colon", "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in HTTP/1.0", "POST /metrics HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a chunk of no size", "GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n"),
    (
        "a chunk beyond numbers",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    ),
    (
        "a chunk's extension with LF",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;a\n\r\n\r\n",
    ),
    ("a body of a GET", "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"),
    ("a body that is a request", "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n"),
    ("lines of LF", "GET /metrics HTTP/1.1\nHost: x\n\n"),
    ("one line of LF", "GET /metrics HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"),
    ("an end of LF", "GET /metrics HTTP/1.1\r\nHost: x\r\n\n"),
    ("a lone CR", "GET /metrics HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 36\r\n\r\n"),
    ("a folded line", "GET /metrics HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
    ("a folded first line", "GET /metrics HTTP/1.1\r\n Host: x\r\n\r\n"),
    ("a NUL", "GET /metrics HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n"),
    ("a header without colon", "GET /metrics HTTP/1.1\r\nHost: x\r\nA\r\n\r\n"),
    ("a header without name", "GET /metrics HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n"),
    ("no host", "GET /metrics HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    ("a space in the path", "GET /metrics x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("HTTP/0.9", "GET /metrics\r\n"),
    ("HTTP/0.9 as a version", "GET /metrics HTTP/0.9\r\n\r\n"),
    ("HTTP/3 as a version", "GET /metrics HTTP/3.0\r\nHost: x\r\n\r\n"),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a proxy's tunnel", "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n"),
    ("an upgrade of a POST", "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_shape_is_refused_once_and_ends_its_connection() {
    let bridge = Bridge::start_with("", &[("LINKIT_BRIDGE_WEB_LIMITS_HEADER_TIMEOUT", "1s")]).await;
    let to = address(&bridge);
    for (name, shape) in SHAPES {
        let sent = format!("{shape}{HIDDEN}");
        let answer = tokio::task::spawn_blocking(move || talk(connect(to), sent.as_bytes())).await.unwrap();
        let answer = answer.unwrap_or_else(|error| panic!("{name}: the connection stays open: {error}"));
        let answer = String::from_utf8_lossy(&answer);
        let statuses: Vec<_> = answer.split("HTTP/1.").skip(1).map(|rest| rest[2..5].to_owned()).collect();
        assert!(statuses.len() <= 1, "{name}: {} answers: {answer}", statuses.len());
        assert!(statuses.iter().all(|status| status.starts_with('4')), "{name}: {answer}");
    }
    bridge.get("/metrics").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_and_noise_end_their_connection() {
    let bridge = Bridge::start_with("", &[("LINKIT_BRIDGE_WEB_LIMITS_HEADER_TIMEOUT", "1s")]).await;
    let to = address(&bridge);
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    hello.extend((0..510_u16).map(|at| at.to_le_bytes()[0]));
    let noise: Vec<_> = (0..20_000).map(|_| fastrand::u8(..)).collect();
    for (name, bytes) in [
        ("TLS", hello),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("a proxy's header", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("zeros", vec![0; 20_000]),
        ("noise", noise.clone()),
        ("a head without end", [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; 100_000]].concat()),
        ("headers without end", [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(20_000)].concat()),
    ] {
        let answer = tokio::task::spawn_blocking(move || talk(connect(to), &bytes)).await.unwrap();
        let answer = answer.unwrap_or_else(|error| panic!("{name}: the connection stays open: {error}, {noise:?}"));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{name}: {answer}");
    }
    bridge.get("/metrics").await;
}
