//! Real sockets, with time standing still until nothing else is left to do.

use axum::routing::get;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const HALF_A_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const GRACE: Duration = Duration::from_millis(500);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let large = Bytes::from(vec![b'x'; 64 << 20]);
        let router = Router::new().route("/", get(|| async { "hello" })).route("/large", get(move || async { large }));
        let listeners = bind(&[SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([127, 0, 0, 1], 0))]).unwrap();
        let address = listeners[1].local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(router, limits, listeners, async { _ = stopped.await }, GRACE));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
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
    let server = Running::start(Limits { header_read: Duration::from_secs(5), ..Limits::default() });
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
    let server = Running::start(Limits { connections: 1, answer: Duration::from_secs(30), ..Limits::default() });
    let start = Instant::now();
    let slow = server.connect().await;
    write(&slow, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // The only place is taken until then.
    let next = server.connect().await;
    write(&next, REQUEST).await;
    let answer = read_until(&next, |text| text.ends_with("hello")).await;
    assert!(answer.ends_with("hello"), "{answer}");
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(31), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_within_grace_whatever_clients_do() {
    let long = Duration::from_secs(3600);
    let limits = Limits { header_read: long, answer: long, keep_alive: long, ..Limits::default() };
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

#[tokio::test]
async fn an_address_in_use_is_named_with_the_remedy() {
    let held = bind(&[SocketAddr::from(([127, 0, 0, 1], 0))]).unwrap();
    let address = held[0].local_addr().unwrap();
    let error = bind(&[address]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.starts_with(&format!("failed to listen on {address}: ")) && text.contains("choose another"), "{text}");
}
