//! Real sockets, with time standing still until nothing else is left to do.

use std::net::SocketAddr;
use std::sync::Mutex;

use axum::routing::{get, post};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::server::{Address, bind};

const HALF_A_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// As many bytes as are read of a body that nobody wants.
const UNWANTED: usize = 64 * 1024;
const GRACE: Duration = Duration::from_millis(500);

struct Running {
    address: SocketAddr,
    door: Arc<Door>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// Methods and codes of requests that no route was asked for.
    refused: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let large = Bytes::from(vec![b'x'; 64 << 20]);
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/large", get(move || async { large }))
            .route("/echo", post(|body: Bytes| async { body }));
        let any = Address::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let sockets = bind(&[any.clone(), any]).unwrap();
        let address = sockets[1].address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let door = Arc::<Door>::default();
        let refused = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&refused);
        let refusals: Refusals =
            Arc::new(move |method, code, _| told.lock().unwrap().push((method.to_string(), code.as_u16())));
        let served = Served { router, limits, door: Arc::clone(&door), web: None, turn: Turn::default(), refusals };
        let task = tokio::spawn(serve(served, sockets, async { _ = stopped.await }, GRACE));
        Self { address, door, stop, task, refused }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn figure(&self, word: &str) -> u64 {
        let readings = self.door.readings();
        readings.iter().find(|reading| reading.attributes[0].1 == word).unwrap().value.unwrap()
    }

    /// Connections dropped for a reason.
    fn dropped(&self, reason: &str) -> u64 {
        self.figure(reason)
    }

    fn open(&self) -> u64 {
        self.figure("half_open") + self.figure("established")
    }

    /// Stops, and says how long that took.
    async fn stop(self) -> Duration {
        let start = Instant::now();
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        start.elapsed()
    }
}

async fn write(stream: &TcpStream, bytes: &[u8]) {
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(bytes).unwrap(), bytes.len());
}

/// Reads until `enough` holds of what was read, or the end.
async fn read_until(stream: &TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    while !enough(&text) {
        stream.readable().await.unwrap();
        let mut buffer = [0; 4096];
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => text.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    text
}

async fn end(stream: &TcpStream) -> String {
    read_until(stream, |_| false).await
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_closed_after_the_header_timeout() {
    let server = Running::start(Limits { header: Duration::from_secs(5), ..Limits::default() });
    let start = Instant::now();
    let (silent, half) = (server.connect().await, server.connect().await);
    write(&half, HALF_A_HEAD).await;
    assert_eq!((end(&silent).await, end(&half).await), (String::new(), String::new()));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(server.stop().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_trickled_head_does_not_move_its_deadline() {
    let server = Running::start(Limits::default());
    let stream = server.connect().await;
    let start = Instant::now();
    for byte in HALF_A_HEAD.chunks(1) {
        if stream.try_write(byte).is_err() || start.elapsed() > Duration::from_secs(20) {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    end(&stream).await;
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_kept_alive_connection_outlives_the_header_timeout_and_ends_in_its_turn() {
    let server = Running::start(Limits::default());
    let stream = server.connect().await;
    for _ in 0..3 {
        write(&stream, REQUEST).await;
        let answer = read_until(&stream, |text| text.ends_with("hello")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        sleep(Duration::from_secs(60)).await;
    }
    let start = Instant::now();
    assert_eq!(end(&stream).await, "");
    assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
    // The head of a second request has its own, short deadline.
    let stream = server.connect().await;
    write(&stream, REQUEST).await;
    read_until(&stream, |text| text.ends_with("hello")).await;
    write(&stream, HALF_A_HEAD).await;
    let start = Instant::now();
    assert_eq!(end(&stream).await, "");
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut() {
    let server = Running::start(Limits { answer: Duration::from_secs(30), ..Limits::default() });
    let start = Instant::now();
    let slow = server.connect().await;
    write(&slow, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    while server.dropped("timeout") == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(31), "{took:?}");
    assert_eq!(server.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_above_its_share_is_closed_at_once() {
    let server = Running::start(Limits { connections_per_address: 2, ..Limits::default() });
    let held = [server.connect().await, server.connect().await];
    let refused = server.connect().await;
    let start = Instant::now();
    assert_eq!(end(&refused).await, "");
    assert_eq!((start.elapsed(), server.dropped("address")), (Duration::ZERO, 1));
    write(&held[0], REQUEST).await;
    read_until(&held[0], |text| text.ends_with("hello")).await;
}

#[tokio::test(start_paused = true)]
async fn the_oldest_half_open_connection_makes_room() {
    let server = Running::start(Limits { connections: 2, ..Limits::default() });
    let (old, young) = (server.connect().await, server.connect().await);
    write(&old, HALF_A_HEAD).await;
    let start = Instant::now();
    let newcomer = server.connect().await;
    write(&newcomer, REQUEST).await;
    let answer = read_until(&newcomer, |text| text.ends_with("hello")).await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!((end(&old).await, server.dropped("evicted")), (String::new(), 1));
    assert_eq!(start.elapsed(), Duration::ZERO);
    write(&young, REQUEST).await;
    read_until(&young, |text| text.ends_with("hello")).await;
}

#[tokio::test(start_paused = true)]
async fn a_trickled_body_does_not_move_the_requests_deadline() {
    let server = Running::start(Limits::default());
    for head in [
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n",
    ] {
        let stream = server.connect().await;
        let start = Instant::now();
        write(&stream, head.as_bytes()).await;
        while stream.try_write(b"x").is_ok() && start.elapsed() < Duration::from_secs(40) {
            sleep(Duration::from_secs(1)).await;
        }
        end(&stream).await;
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(15) && took < Duration::from_secs(18), "{head}: {took:?}");
    }
    assert_eq!(server.dropped("timeout"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_taken_within_its_limit_and_only_where_one_is_wanted() {
    let server = Running::start(Limits { body_bytes: 8, ..Limits::default() });
    let long = "x".repeat(UNWANTED);
    for (request, status, body) in [
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab\nd".to_owned(), 200, "ab\nd"),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabcdefghi".to_owned(), 413, ""),
        (
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabcdefghi\r\n0\r\n\r\n"
                .to_owned(),
            413,
            "",
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd".to_owned(), 413, ""),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {UNWANTED}\r\n\r\n{long}"), 413, ""),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n".to_owned(), 413, ""),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n".to_owned(), 413, ""),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(), 200, "hello"),
    ] {
        let stream = server.connect().await;
        write(&stream, request.as_bytes()).await;
        let answer = end(&stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.ends_with(body) && answer.contains("\r\nconnection: close\r\n"), "{request}: {answer}");
    }
    let told = ["POST", "GET", "GET", "GET", "GET"].map(|method| (method.to_owned(), 413));
    assert_eq!(*server.refused.lock().unwrap(), told, "what a route refuses itself, it tells itself");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_and_what_names_no_host_is_counted() {
    let server = Running::start(Limits::default());
    for (sent, status, malformed) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "400", 0),
        (b"GET / HTTP/1.1\nHost: x\n\n", "400", 1),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", 2),
    ] {
        let stream = server.connect().await;
        write(&stream, sent).await;
        let answer = end(&stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        while server.open() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.dropped("malformed"), malformed, "{answer}");
    }
    // Who goes away in the middle is free to.
    let half = server.connect().await;
    write(&half, HALF_A_HEAD).await;
    drop(half);
    while server.open() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(server.dropped("malformed"), 2);
    assert_eq!(*server.refused.lock().unwrap(), [("GET".to_owned(), 400)]);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let server = Running::start(Limits::default());
    let stream = server.connect().await;
    let three =
        "GET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n";
    write(&stream, three.as_bytes()).await;
    let answers = read_until(&stream, |text| text.contains("404")).await;
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "200", "404"], "{answers}");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_within_grace_whatever_clients_do() {
    let long = Duration::from_secs(3600);
    let limits = Limits { header: long, answer: long, idle: long, ..Limits::default() };
    let server = Running::start(limits);
    let (half, slow, idle) = (server.connect().await, server.connect().await, server.connect().await);
    write(&half, HALF_A_HEAD).await;
    write(&slow, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    write(&idle, REQUEST).await;
    read_until(&idle, |text| text.ends_with("hello")).await;
    let took = server.stop().await;
    assert!(took <= GRACE + Duration::from_millis(1), "{took:?}");
    assert_eq!((end(&half).await, end(&idle).await), (String::new(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn stopping_with_idle_connections_takes_no_time() {
    let server = Running::start(Limits::default());
    let idle = server.connect().await;
    write(&idle, REQUEST).await;
    read_until(&idle, |text| text.ends_with("hello")).await;
    assert_eq!(server.stop().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_oversized_head_is_refused() {
    let server = Running::start(Limits::default());
    for head in [
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX)),
    ] {
        let stream = server.connect().await;
        write(&stream, head.as_bytes()).await;
        let answer = end(&stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
