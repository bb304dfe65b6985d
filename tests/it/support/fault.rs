//! A source on loopback that is well until it is told to turn hostile in one way, on every path it has.
//!
//! It serves the documented JSON, an expvar page, a page of client_golang and a goroutine profile. Threads, not tasks:
//! what it does to its peer must not hold up who measures the peer.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What an endless answer ends at, should its peer never close.
const ENDLESS: u64 = 1 << 30;

const SERIES: u64 = 10_000_000;

/// So many series fit into the 2 MiB that a page may have.
const SERIES_THAT_FIT: u64 = 60_000;

const DEPTH: usize = 100_000;

/// The bomb's members of 1 MiB of zeros; together they are below 1 MiB, so that the whole bomb is read.
const BOMB_MEMBERS: usize = 900;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens any more.
    Refuses,
    /// Takes the request and never answers.
    Hangs,
    /// The head of the answer, a byte a second.
    DripsHead,
    /// The body of the answer, a byte a second.
    DripsBody,
    /// What is no HTTP at all.
    GarbageForHead,
    /// HTTP whose body is noise.
    GarbageForBody,
    /// A head with header lines without end.
    EndlessHead,
    /// A body of 1 GiB that says so.
    AnnouncedGigabyte,
    /// A chunked body without end.
    EndlessBody,
    /// 900 MiB in 900 kB, announced by its Content-Encoding.
    GzipBomb,
    /// JSON that nests 100,000 deep.
    DeepJson,
    /// A page of 10 million series.
    ManySeries,
    /// A page with more series than may be, yet with no more bytes than may be.
    SeriesThatFit,
    /// Elsewhere, where nobody must ever come.
    Redirects,
    /// On each page another: a bomb for expvar, series for the scrape page, no end for the profile.
    EachPage,
}

impl Fault {
    /// The classes of errors it is to be counted as, sorted.
    pub const fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Refuses => &["unreachable"],
            Self::Hangs | Self::DripsHead | Self::DripsBody => &["timeout"],
            Self::GarbageForHead | Self::GarbageForBody | Self::EndlessHead | Self::GzipBomb | Self::DeepJson => {
                &["syntax"]
            }
            Self::AnnouncedGigabyte | Self::EndlessBody | Self::ManySeries | Self::SeriesThatFit => &["oversized"],
            Self::Redirects => &["redirect"],
            Self::EachPage => &["oversized", "syntax"],
        }
    }
}

/// The source; it ends with the value.
pub struct FaultySource {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Fault,
    is_faulty: AtomicBool,
    is_over: AtomicBool,
    /// Connections taken since it turned.
    victims: AtomicU64,
    /// Most bytes one connection has taken.
    taken_max: AtomicU64,
    /// Where redirects lead.
    elsewhere: TcpListener,
    bomb: Vec<u8>,
}

impl FaultySource {
    /// A source that is well.
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            fault,
            is_faulty: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            victims: AtomicU64::new(0),
            taken_max: AtomicU64::new(0),
            elsewhere,
            bomb: if matches!(fault, Fault::GzipBomb | Fault::EachPage) { bomb() } else { Vec::new() },
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || listen(&listener, &of_thread));
        Self { url, shared }
    }

    pub fn turn(&self) {
        self.shared.is_faulty.store(true, Ordering::SeqCst);
    }

    pub fn victims(&self) -> u64 {
        self.shared.victims.load(Ordering::SeqCst)
    }

    /// Most bytes that one connection has taken, those on their way included.
    pub fn taken_max(&self) -> u64 {
        self.shared.taken_max.load(Ordering::SeqCst)
    }

    /// Whether anybody has followed the redirect.
    pub fn was_followed(&self) -> bool {
        self.shared.elsewhere.accept().is_ok()
    }
}

impl Drop for FaultySource {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn is_faulty(&self) -> bool {
        self.is_faulty.load(Ordering::SeqCst)
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.is_over() {
        if shared.is_faulty() && shared.fault == Fault::Refuses {
            return;
        }
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let shared = Arc::clone(shared);
        // A peer that closes in the middle is what is wanted of it.
        std::thread::spawn(move || drop(serve(stream, &shared)));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let page = Page::of(&request(&mut stream)?);
    let mut wire = Wire { stream, shared, taken: 0 };
    if !shared.is_faulty() {
        let body = page.well();
        wire.send(page.head(&format!("content-length: {}", body.len())).as_bytes())?;
        return wire.send(body.as_bytes());
    }
    shared.victims.fetch_add(1, Ordering::SeqCst);
    wire.hurt(page, shared.fault)
}

fn request(stream: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(&part[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[derive(Clone, Copy)]
enum Page {
    Telemetry,
    Expvar,
    Metrics,
    Pprof,
}

impl Page {
    fn of(request: &str) -> Self {
        match request.split(' ').nth(1).unwrap_or("") {
            path if path.starts_with("/debug/vars") => Self::Expvar,
            path if path.starts_with("/debug/pprof") => Self::Pprof,
            path if path.starts_with("/metrics") => Self::Metrics,
            _ => Self::Telemetry,
        }
    }

    fn head(self, lines: &str) -> String {
        let content_type = match self {
            Self::Telemetry | Self::Expvar => "application/json",
            Self::Metrics | Self::Pprof => "text/plain; version=0.0.4",
        };
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n{lines}\r\n\r\n")
    }

    /// What it says while the source is well.
    fn well(self) -> String {
        match self {
            Self::Telemetry => serde_json::json!({
                "version": "1.0.0",
                "runtime": {
                    "goroutines": 7, "cpu_count": 2, "alloc_mb": 3, "total_alloc_mb": 9, "sys_mb": 12, "num_gc": 4,
                    "gc_pause_ns": 40_000,
                },
                "store": { "products": 1, "branches": 1, "skus": 1, "orders": 1, "customers": 1 },
                "staging": { "pending": 1, "processing": 1, "completed_today": 1 },
            })
            .to_string(),
            Self::Expvar => {
                let memstats = serde_json::json!({
                    "Alloc": 3_000_000, "TotalAlloc": 9_000_000, "Sys": 12_000_000, "NumGC": 4,
                    "PauseNs": vec![40_000; 256],
                });
                serde_json::json!({ "memstats": memstats }).to_string()
            }
            Self::Metrics => "go_goroutines 7\ngo_sched_gomaxprocs_threads 2\ngo_memstats_alloc_bytes 3000000\n\
                              go_memstats_alloc_bytes_total 9000000\ngo_memstats_sys_bytes 12000000\n\
                              go_gc_duration_seconds_count 4\n"
                .to_owned(),
            Self::Pprof => "goroutine profile: total 7\n".to_owned(),
        }
    }
}

/// A connection that counts what it takes.
struct Wire<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    taken: u64,
}

impl Wire<'_> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.taken += bytes.len() as u64;
        self.shared.taken_max.fetch_max(self.taken, Ordering::SeqCst);
        Ok(())
    }

    fn hurt(&mut self, page: Page, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::Refuses => Ok(()),
            Fault::Hangs => self.hang(),
            Fault::DripsHead => self.drip(&page.head("content-length: 9")),
            Fault::DripsBody => {
                let body = page.well();
                self.send(page.head(&format!("content-length: {}", body.len())).as_bytes())?;
                self.drip(&body)
            }
            Fault::GarbageForHead => self.send(&noise()),
            Fault::GarbageForBody => {
                let noise = noise();
                self.send(page.head(&format!("content-length: {}", noise.len())).as_bytes())?;
                self.send(&noise)
            }
            Fault::EndlessHead => {
                self.send(b"HTTP/1.1 200 OK\r\n")?;
                self.repeat(format!("x-more: {}\r\n", "a".repeat(1000)).as_bytes())
            }
            Fault::AnnouncedGigabyte => {
                self.send(page.head(&format!("content-length: {ENDLESS}")).as_bytes())?;
                self.repeat(&[b' '; 64 << 10])
            }
            Fault::EndlessBody => {
                self.send(page.head("transfer-encoding: chunked").as_bytes())?;
                self.repeat(&chunk(&[b' '; 64 << 10]))
            }
            Fault::GzipBomb => {
                let lines = format!("content-encoding: gzip\r\ncontent-length: {}", self.shared.bomb.len());
                self.send(page.head(&lines).as_bytes())?;
                let shared = self.shared;
                self.send(&shared.bomb)
            }
            Fault::DeepJson => {
                let body = format!("{{\"runtime\":{}1{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH));
                self.send(page.head(&format!("content-length: {}", body.len())).as_bytes())?;
                self.send(body.as_bytes())
            }
            Fault::ManySeries => self.series(page, SERIES),
            Fault::SeriesThatFit => self.series(page, SERIES_THAT_FIT),
            Fault::Redirects => {
                let to = self.shared.elsewhere.local_addr()?;
                self.send(format!("HTTP/1.1 302 Found\r\nlocation: http://{to}/api/v1/telemetry\r\n").as_bytes())?;
                self.send(b"content-length: 0\r\nconnection: close\r\n\r\n")
            }
            Fault::EachPage => match page {
                Page::Telemetry | Page::Expvar => self.hurt(page, Fault::GzipBomb),
                Page::Metrics => self.hurt(page, Fault::ManySeries),
                Page::Pprof => self.hurt(page, Fault::EndlessBody),
            },
        }
    }

    /// Waits until the peer closes.
    fn hang(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        while !self.shared.is_over() {
            match self.stream.read(&mut [0; 64]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn drip(&mut self, text: &str) -> io::Result<()> {
        for byte in text.bytes() {
            if self.shared.is_over() {
                break;
            }
            self.send(&[byte])?;
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    fn repeat(&mut self, part: &[u8]) -> io::Result<()> {
        while self.taken < ENDLESS && !self.shared.is_over() {
            self.send(part)?;
        }
        Ok(())
    }

    fn series(&mut self, page: Page, count: u64) -> io::Result<()> {
        self.send(page.head("transfer-encoding: chunked").as_bytes())?;
        self.send(&chunk(page.well().as_bytes()))?;
        let mut number = 0;
        while number < count && !self.shared.is_over() {
            let until = count.min(number + 1000);
            let lines: String =
                (number..until).map(|number| format!("hits_total{{path=\"{number:07}\"}} 1\n")).collect();
            self.send(&chunk(lines.as_bytes()))?;
            number = until;
        }
        self.send(b"0\r\n\r\n")
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Bytes that are neither HTTP nor UTF-8.
fn noise() -> Vec<u8> {
    std::iter::once(0xff).chain(std::iter::repeat_with(|| fastrand::u8(..)).take(256 << 10)).collect()
}

/// One compressed megabyte of zeros, many times: a file of several members is one file to all who unpack gzip.
fn bomb() -> Vec<u8> {
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    member.write_all(&vec![0; 1 << 20]).unwrap();
    let bomb = member.finish().unwrap().repeat(BOMB_MEMBERS);
    assert!(bomb.len() < 1 << 20, "a bomb of {} bytes is not read whole", bomb.len());
    bomb
}
