//! A source over HTTP that serves the documented JSON, an expvar page, a page of client_golang and a goroutine profile,
//! and is hostile on each path in the same way.

use std::io::{self, Write};
use std::net::TcpListener;

use super::{Host, Wire, noise};

const SERIES: u64 = 10_000_000;

/// So many series fit into the 2 MiB that a page may have.
const SERIES_THAT_FIT: u64 = 60_000;

/// Series are sent so many at a time.
const SERIES_OF_CHUNK: u64 = 1000;

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
    pub fault: Fault,
    pub host: Host,
    /// Where redirects lead.
    elsewhere: TcpListener,
}

impl FaultySource {
    /// A source that is well.
    pub fn start(fault: Fault) -> Self {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let redirect = format!("http://{}/api/v1/telemetry", elsewhere.local_addr().unwrap());
        let bomb = if matches!(fault, Fault::GzipBomb | Fault::EachPage) { bomb() } else { Vec::new() };
        let host = Host::start(fault == Fault::Refuses, move |mut wire| {
            let page = Page::of(&request(&mut wire)?);
            if wire.is_ill {
                return Harm { wire, bomb: &bomb, redirect: &redirect }.hurt(page, fault);
            }
            wire.send(page.whole(page.well().as_bytes()).as_slice())
        });
        Self { url: format!("http://127.0.0.1:{}", host.port), fault, host, elsewhere }
    }

    /// Whether anybody has followed the redirect.
    pub fn was_followed(&self) -> bool {
        self.elsewhere.accept().is_ok()
    }
}

fn request(wire: &mut Wire) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(wire.bytes(1)?);
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

    /// A whole answer.
    fn whole(self, body: &[u8]) -> Vec<u8> {
        [self.head(&format!("content-length: {}", body.len())).as_bytes(), body].concat()
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

/// A connection to a victim.
struct Harm<'a> {
    wire: Wire,
    bomb: &'a [u8],
    redirect: &'a str,
}

impl Harm<'_> {
    fn hurt(&mut self, page: Page, fault: Fault) -> io::Result<()> {
        let wire = &mut self.wire;
        match fault {
            Fault::Refuses => Ok(()),
            Fault::Hangs => wire.hang(),
            Fault::DripsHead => wire.drip(page.head("content-length: 9").as_bytes()),
            Fault::DripsBody => {
                let body = page.well();
                wire.send(page.head(&format!("content-length: {}", body.len())).as_bytes())?;
                wire.drip(body.as_bytes())
            }
            Fault::GarbageForHead => wire.send(&noise()),
            Fault::GarbageForBody => wire.send(&page.whole(&noise())),
            Fault::EndlessHead => {
                wire.send(b"HTTP/1.1 200 OK\r\n")?;
                wire.repeat(u64::MAX, |_| format!("x-more: {}\r\n", "a".repeat(1000)).into_bytes())
            }
            Fault::AnnouncedGigabyte => {
                wire.send(page.head(&format!("content-length: {}", 1 << 30)).as_bytes())?;
                wire.repeat(u64::MAX, |_| vec![b' '; 64 << 10])
            }
            Fault::EndlessBody => {
                wire.send(page.head("transfer-encoding: chunked").as_bytes())?;
                wire.repeat(u64::MAX, |_| chunk(&[b' '; 64 << 10]))
            }
            Fault::GzipBomb => {
                let lines = format!("content-encoding: gzip\r\ncontent-length: {}", self.bomb.len());
                wire.send(page.head(&lines).as_bytes())?;
                wire.send(self.bomb)
            }
            Fault::DeepJson => {
                let body = format!("{{\"runtime\":{}1{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH));
                wire.send(&page.whole(body.as_bytes()))
            }
            Fault::ManySeries => self.series(page, SERIES),
            Fault::SeriesThatFit => self.series(page, SERIES_THAT_FIT),
            Fault::Redirects => {
                wire.send(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\n", self.redirect).as_bytes())?;
                wire.send(b"content-length: 0\r\nconnection: close\r\n\r\n")
            }
            Fault::EachPage => match page {
                Page::Telemetry | Page::Expvar => self.hurt(page, Fault::GzipBomb),
                Page::Metrics => self.hurt(page, Fault::ManySeries),
                Page::Pprof => self.hurt(page, Fault::EndlessBody),
            },
        }
    }

    fn series(&mut self, page: Page, count: u64) -> io::Result<()> {
        self.wire.send(page.head("transfer-encoding: chunked").as_bytes())?;
        self.wire.send(&chunk(page.well().as_bytes()))?;
        self.wire.repeat(count.div_ceil(SERIES_OF_CHUNK), |number| {
            let numbers = number * SERIES_OF_CHUNK..count.min((number + 1) * SERIES_OF_CHUNK);
            let lines: String = numbers.map(|number| format!("hits_total{{path=\"{number:07}\"}} 1\n")).collect();
            chunk(lines.as_bytes())
        })?;
        self.wire.send(b"0\r\n\r\n")
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// One compressed megabyte of zeros, many times: a file of several members is one file to all who unpack gzip.
fn bomb() -> Vec<u8> {
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    member.write_all(&vec![0; 1 << 20]).unwrap();
    let bomb = member.finish().unwrap().repeat(BOMB_MEMBERS);
    assert!(bomb.len() < 1 << 20, "a bomb of {} bytes is not read whole", bomb.len());
    bomb
}
