//! Frames by hand over a pipe, with time standing still until nothing else is left to do.

use std::convert::Infallible;

use axum::Router;
use axum::routing::{get, post};
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::super::Requests;
use super::*;
use crate::server::door::Door;
use crate::server::peer::Peer;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const ACK: u8 = 1;
/// GET / of https://x (RFC 7541, A: 2, 7, 4, and 1 with a literal).
const GET_ROOT: &[u8] = &[0x82, 0x87, 0x84, 0x41, 1, b'x'];
const END_STREAM_AND_HEADERS: u8 = 5;
const END_HEADERS: u8 = 4;

struct Client {
    stream: DuplexStream,
    progress: Progress,
    closing: watch::Sender<()>,
    task: JoinHandle<Result<(), hyper::Error>>,
    start: Instant,
}

impl Client {
    /// A connection that has sent its preface and `settings`.
    async fn new(settings: &[u8]) -> Self {
        let (stream, served) = tokio::io::duplex(1 << 20);
        let closing = watch::Sender::new(());
        let router =
            Router::new().route("/", get(|| async { "hello" })).route("/echo", post(|body: Bytes| async { body }));
        let (peer, limits) = (Peer { address: None }, Limits::default());
        let place = Arc::<Door>::default().admit(peer, &limits).unwrap();
        let progress = place.progress().clone();
        let requests = Arc::new(Requests { router, limits, peer, place, refusals: Arc::new(|_, _, _| {}) });
        let service = service_fn(move |request| {
            let requests = Arc::clone(&requests);
            async move { Ok::<_, Infallible>(requests.answer(request).await) }
        });
        let serving = serve(Box::new(served), service, limits, progress.clone(), closing.subscribe());
        let task = tokio::spawn(serving);
        let mut client = Self { stream, progress, closing, task, start: Instant::now() };
        client.stream.write_all(PREFACE).await.unwrap();
        client.send(SETTINGS, 0, 0, settings).await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        // The server may have gone.
        let _ = self.stream.write_all(&frame).await;
    }

    /// The kind, the stream and the payload of the next frame, pings answered; `None` at the end.
    async fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        if head[3] == PING && head[4] & ACK == 0 {
            self.send(PING, ACK, 0, &payload).await;
        }
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    async fn until(&mut self, kind: u8) -> Option<Vec<u8>> {
        while let Some((got, _, payload)) = self.next().await {
            if got == kind {
                return Some(payload);
            }
        }
        None
    }

    /// The seconds since the start after which the connection ended.
    async fn ended(mut self) -> u64 {
        while self.next().await.is_some() {}
        let _ = self.task.await.unwrap();
        self.start.elapsed().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_closed_soon() {
    let client = Client::new(&[]).await;
    let progress = client.progress.clone();
    assert_eq!(client.ended().await, 5);
    assert!(progress.is_late(), "the door does not count it");
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_and_the_connection_ends_after_it_has_idled() {
    let mut client = Client::new(&[]).await;
    for stream in [1, 3] {
        client.send(HEADERS, END_STREAM_AND_HEADERS, stream, GET_ROOT).await;
        assert_eq!(client.until(DATA).await.unwrap(), b"hello");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // It is told first, so that no request is lost.
    assert!(client.until(GO_AWAY).await.is_some());
    let progress = client.progress.clone();
    assert_eq!(client.ended().await, 76);
    assert!(!progress.is_late(), "to have nothing to ask is no fault");
}

#[tokio::test(start_paused = true)]
async fn a_trickled_body_has_the_time_of_a_request_whatever_else_is_asked() {
    // POST and GET of /echo, and the statuses 400 and 413 (RFC 7541, A: 3, 2 and 12; B).
    for (method, status) in [(0x83, &[0x8c][..]), (0x82, &[0x48, 0x83, 0x68, 0x2c])] {
        let mut client = Client::new(&[]).await;
        let head = [&[method, 0x87, 0x04, 5], &b"/echo"[..], &[0x41, 1, b'x']].concat();
        client.send(HEADERS, END_HEADERS, 1, &head).await;
        let (mut next, start) = (3, Instant::now());
        let answered = loop {
            client.send(DATA, 0, 1, b"x").await;
            if next % 5 == 3 {
                client.send(HEADERS, END_STREAM_AND_HEADERS, next, GET_ROOT).await;
            }
            next += 2;
            let (end, mut found) = (Instant::now() + Duration::from_secs(1), None);
            while let Ok(frame) = tokio::time::timeout_at(end, client.next()).await {
                let (kind, stream, payload) = frame.expect("the connection goes on");
                found = found.or((kind == HEADERS && stream == 1).then_some(payload));
            }
            if found.is_some() || start.elapsed() > Duration::from_secs(60) {
                break found;
            }
        };
        let (answer, took) = (answered.expect("an answer"), start.elapsed());
        assert!(answer.starts_with(status) && took <= Duration::from_secs(16), "{answer:?} after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_closed_in_the_end() {
    // A window of nothing (RFC 9113, 6.5.2, 4).
    let mut client = Client::new(&[0, 4, 0, 0, 0, 0]).await;
    client.send(HEADERS, END_STREAM_AND_HEADERS, 1, GET_ROOT).await;
    assert!(client.until(HEADERS).await.is_some());
    let seconds = client.ended().await;
    assert!((30..=76).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_closed() {
    let mut client = Client::new(&[]).await;
    client.send(HEADERS, END_STREAM_AND_HEADERS, 1, GET_ROOT).await;
    let start = Instant::now();
    let ended = client.task.await.unwrap();
    assert_eq!(start.elapsed(), PING_INTERVAL + PING_TIMEOUT);
    assert!(ended.unwrap_err().is_timeout(), "the listener does not see that it was too slow");
}

#[tokio::test(start_paused = true)]
async fn the_servers_stop_ends_an_idle_connection_at_once() {
    let mut client = Client::new(&[]).await;
    client.send(HEADERS, END_STREAM_AND_HEADERS, 1, GET_ROOT).await;
    client.until(DATA).await.unwrap();
    client.closing.send_replace(());
    assert_eq!(client.ended().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_confirm_the_end_holds_up_no_stop() {
    let mut client = Client::new(&[]).await;
    client.send(HEADERS, END_STREAM_AND_HEADERS, 1, GET_ROOT).await;
    client.until(DATA).await.unwrap();
    client.closing.send_replace(());
    let start = Instant::now();
    let _ = client.task.await.unwrap();
    assert_eq!(start.elapsed(), FAREWELL);
}
