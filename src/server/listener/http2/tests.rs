//! Frames by hand over a pipe, with time standing still until nothing else is left to do.

use axum::Router;
use axum::routing::get;
use http::Request as HttpRequest;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::*;

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

struct Client {
    stream: DuplexStream,
    closing: watch::Sender<()>,
    task: JoinHandle<Result<(), hyper::Error>>,
    start: Instant,
}

impl Client {
    /// A connection that has sent its preface and `settings`.
    async fn new(settings: &[u8]) -> Self {
        let (stream, served) = tokio::io::duplex(1 << 20);
        let closing = watch::Sender::new(());
        let router = Router::new().route("/", get(|| async { "hello" }));
        let service = hyper::service::service_fn(move |request: HttpRequest<Incoming>| {
            TowerToHyperService::new(router.clone()).call(request)
        });
        let task =
            tokio::spawn(serve(Box::new(served), service, Limits::default(), Progress::new(), closing.subscribe()));
        let mut client = Self { stream, closing, task, start: Instant::now() };
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

    /// The kind and the payload of the next frame, pings answered; `None` at the end.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        if head[3] == PING && head[4] & ACK == 0 {
            self.send(PING, ACK, 0, &payload).await;
        }
        Some((head[3], payload))
    }

    async fn until(&mut self, kind: u8) -> Option<Vec<u8>> {
        while let Some((got, payload)) = self.next().await {
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
    assert_eq!(Client::new(&[]).await.ended().await, 5);
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
    assert_eq!(client.ended().await, 76);
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
    let _ = client.task.await.unwrap();
    assert_eq!(start.elapsed(), PING_INTERVAL + PING_TIMEOUT);
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
