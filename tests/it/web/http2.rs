//! HTTP/2, and what comes to a TLS port that is no TLS.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::reload::{connector, figure};
use super::{Server, certified, tls};
use crate::support::{PATIENCE, eventually};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty frame of settings.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn a_client_gets_http2_unless_it_is_switched_off() {
    for (more, version) in
        [("", "2"), ("http_server_config: { http2: true }\n", "2"), ("http_server_config: { http2: false }\n", "1.1")]
    {
        let Some(directory) = certified("web-http2") else { return };
        let server = Server::start(directory, &format!("{}{more}", tls(""))).await;
        let told = ["--http2", "--write-out", "<%{http_version}>"];
        let Some(curled) = server.curl("/metrics", &told) else { return };
        assert!(curled.status() == 200 && curled.text.contains(&format!("<{version}>")), "{more}: {}", curled.text);
        let old = server.curl("/metrics", &["--http1.1", "--write-out", "<%{http_version}>"]).unwrap();
        assert!(old.status() == 200 && old.text.contains("<1.1>"), "{}", old.text);
    }
}

#[tokio::test]
async fn a_hundred_requests_on_one_connection_are_all_answered() {
    let Some(directory) = certified("web-parallel") else { return };
    let server = Server::start(directory, &tls("")).await;
    let arguments = ["--http2", "--parallel", "--parallel-max", "100", "--output", "out.#1"];
    let path = "/metrics?[1-100]";
    let Some(curled) = server.curl(path, &arguments) else { return };
    assert!(curled.is_answered, "{}", curled.text);
    for number in 1..=100 {
        let got = std::fs::read_to_string(server.directory.path().join(format!("out.{number}"))).unwrap();
        assert!(got.starts_with("HTTP/2 200") && got.contains("linkit_bridge_build_info"), "{number}: {got}");
    }
}

/// What the server says to some bytes, and how long it takes to end the connection.
async fn said(address: &str, bytes: &[u8]) -> (String, Duration) {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said).await {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    (String::from_utf8_lossy(&said).into_owned(), start.elapsed())
}

#[tokio::test]
async fn what_is_no_tls_is_told_so_or_shut_out_in_time() {
    let Some(directory) = certified("web-garbage") else { return };
    let mut server = Server::start(directory, &tls("")).await;
    let address = server.address.clone();
    let (answer, _) = said(&address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "{answer}");
    let (_, took) = said(&address, b"\x00\xff garbage that is no record").await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    // Nothing, half a record, and a record that is drawn out: all end with the deadline of the handshake.
    let half: &[u8] = &[22, 3, 1, 2, 0, 1, 0];
    let (silent, half, letter) = tokio::join!(said(&address, b""), said(&address, half), said(&address, b"G"));
    for (_, took) in [silent, half, letter] {
        assert!(took > Duration::from_millis(4500) && took < Duration::from_secs(20), "{took:?}");
    }
    let Some(count) = figure(&server, "linkit_bridge_http_dropped_connections_total{reason=\"tls\"}") else { return };
    assert!((count - 2.0).abs() < 0.5, "the request and the garbage, of {count}");
    // And those under way hold up no stop.
    let _held = TcpStream::connect(&address).await.unwrap();
    let idle = http2(&server).await;
    let start = Instant::now();
    server.process.signal("-TERM");
    assert!(server.process.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    drop(idle);
}

/// A connection that speaks HTTP/2 and has asked for nothing.
async fn http2(server: &Server) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(&server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector(server.directory.path(), "h2").connect(name, stream).await.unwrap();
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// GET / of https://x (RFC 7541, A).
const GET_ROOT: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 1, b'x'];

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Requests, each of which is reset at once.
fn resets() -> Vec<u8> {
    let each = |stream| [frame(1, 5, stream, &GET_ROOT), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    (1..20_000).step_by(2).flat_map(each).collect()
}

/// A head that goes on and on, in frames that hold `payload`.
fn continuations(payload: &[u8]) -> Vec<u8> {
    let more = std::iter::repeat_n(frame(9, 0, 1, payload), 20_000).flatten();
    frame(1, 1, 1, &GET_ROOT).into_iter().chain(more).collect()
}

#[tokio::test]
async fn a_flood_of_frames_ends_its_connection_and_no_other_and_is_counted() {
    let Some(directory) = certified("web-frames") else { return };
    let server = Server::start(directory, &tls("")).await;
    let floods = [resets(), continuations(&[]), continuations(b"\x00\x01a\x40".repeat(16).as_slice())];
    for (number, flood) in (1..).zip(floods) {
        let mut stream = http2(&server).await;
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut all = Vec::new();
        // Both end, in an error or not, once the server has had enough.
        let ended = async { tokio::join!(writer.write_all(&flood), reader.read_to_end(&mut all)) };
        assert!(tokio::time::timeout(PATIENCE, ended).await.is_ok(), "flood {number} goes on");
        let Some(curled) = server.curl("/metrics", &["--http2"]) else { return };
        assert_eq!(curled.status(), 200, "{}", curled.text);
        let is_counted = || async {
            let count = figure(&server, "linkit_bridge_http_dropped_connections_total{reason=\"malformed\"}")?;
            (count > f64::from(number) - 0.5).then_some(())
        };
        eventually(&format!("flood {number} in its figure"), is_counted).await;
    }
}
