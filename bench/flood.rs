//! A flood of half-open connections from a hundred addresses, and what scrapes, memory and the stop make of it.
//!
//! Beside the bridge stands, where `LINKIT_BRIDGE_BENCH_PEER` names one, a node_exporter with one collector under the same
//! flood. Exits with 1 if an aim is missed. Needs some 11,000 open files.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

mod process;

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use process::{PATIENCE, Process, free_address, resident_bytes};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const FLOOD: usize = 10_000;
const ADDRESSES: usize = 100;
/// Connections the flood opens at the same time.
const AT_ONCE: usize = 64;
/// The pause between two scrapes.
const SCRAPE_PAUSE: Duration = Duration::from_millis(5);
/// Scrapes before the flood.
const QUIET_SCRAPES: usize = 400;

const P99_AIM: Duration = Duration::from_millis(10);
const GROWTH_AIM_MIB: f64 = 64.0;
const SWEEP_AIM: Duration = Duration::from_secs(10);
const STOP_AIM: Duration = Duration::from_secs(10);

const HALF_OPEN_AT_STOP: usize = 1000;
const SLOW_READERS_AT_STOP: usize = 50;

/// Starts a server, and waits until it answers a scrape.
fn serving(command: &mut Command, address: SocketAddr) -> Result<Process> {
    Process::serving(command, || scrape(address).is_ok()).map(|(process, _)| process)
}

/// Sends SIGTERM and waits for the end.
fn stop(process: &mut Process) -> Result<(ExitStatus, Duration)> {
    let asked = Instant::now();
    Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status()?;
    while asked.elapsed() < PATIENCE {
        if let Some(status) = process.0.try_wait()? {
            return Ok((status, asked.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("it did not end".into())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One whole scrape on a connection of its own; an error unless it is answered with 200.
fn scrape(address: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(start.elapsed()) } else { Err("not 200".into()) }
}

/// What scrapes took.
#[derive(Default)]
struct Scrapes {
    times: Vec<Duration>,
    failed: usize,
}

impl Scrapes {
    fn run(address: SocketAddr, goes_on: impl Fn(usize) -> bool) -> Self {
        let mut scrapes = Self::default();
        while goes_on(scrapes.times.len() + scrapes.failed) {
            match scrape(address) {
                Ok(took) => scrapes.times.push(took),
                Err(_) => scrapes.failed += 1,
            }
            std::thread::sleep(SCRAPE_PAUSE);
        }
        scrapes.times.sort();
        scrapes
    }

    fn at(&self, percent: usize) -> Duration {
        self.times.get(self.times.len().saturating_sub(1) * percent / 100).copied().unwrap_or(Duration::MAX)
    }
}

/// The connections of a flood.
#[derive(Default)]
struct Flood {
    opened: AtomicUsize,
    failed: AtomicUsize,
    closed: AtomicUsize,
}

/// Opens half-open connections, each in a task that waits until the server closes it: half of them say nothing, half the
/// half of a head.
async fn open(flood: Arc<Flood>, number: usize, address: SocketAddr) {
    let next = Arc::new(AtomicUsize::new(0));
    let openers = (0..AT_ONCE).map(|_| {
        let (flood, next) = (Arc::clone(&flood), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let at = next.fetch_add(1, Relaxed);
                if at >= number {
                    break;
                }
                let Ok(mut stream) = connect_from(at, address).await else {
                    flood.failed.fetch_add(1, Relaxed);
                    continue;
                };
                flood.opened.fetch_add(1, Relaxed);
                if at % 2 == 0 {
                    let _ = stream.try_write(b"GET /metrics HTTP/1.1\r\nHost: flood\r\n");
                }
                let flood = Arc::clone(&flood);
                tokio::spawn(async move {
                    let mut byte = [0; 16];
                    while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {}
                    flood.closed.fetch_add(1, Relaxed);
                });
            }
        })
    });
    for opener in openers.collect::<Vec<_>>() {
        let _ = opener.await;
    }
}

async fn connect_from(number: usize, to: SocketAddr) -> Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % ADDRESSES)? + 1;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)))?;
    Ok(tokio::time::timeout(PATIENCE, socket.connect(to)).await??)
}

/// What a flood did to a server.
struct Outcome {
    quiet: Scrapes,
    flooded: Scrapes,
    growth_mib: f64,
    /// How long after its last connection the flood was gone; `None` if it was not.
    swept: Option<Duration>,
    left: usize,
}

fn flooded(runtime: &tokio::runtime::Runtime, command: &mut Command, address: SocketAddr) -> Result<Outcome> {
    let process = serving(command, address)?;
    let quiet = Scrapes::run(address, |done| done < QUIET_SCRAPES);
    let before = process.resident_bytes()?;
    let (id, is_over) = (process.0.id(), Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let scraper = std::thread::spawn(move || Scrapes::run(address, |_| !over.load(Relaxed)));
    let over = Arc::clone(&is_over);
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while !over.load(Relaxed) {
            peak = peak.max(resident_bytes(id).unwrap_or(peak));
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let flood = Arc::<Flood>::default();
    runtime.block_on(open(Arc::clone(&flood), FLOOD, address));
    let (opened, whole) = (flood.opened.load(Relaxed), Instant::now());
    let mut swept = None;
    while swept.is_none() && whole.elapsed() < SWEEP_AIM + Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(10));
        swept = (flood.closed.load(Relaxed) == opened).then(|| whole.elapsed());
    }
    is_over.store(true, Relaxed);
    let flooded = scraper.join().map_err(|_| "the scraper panicked")?;
    let peak = watcher.join().map_err(|_| "the watcher panicked")?;
    if flood.failed.load(Relaxed) > 0 {
        println!("{} connections of the flood could not be opened", flood.failed.load(Relaxed));
    }
    let left = opened - flood.closed.load(Relaxed);
    Ok(Outcome { quiet, flooded, growth_mib: mebibytes(peak.saturating_sub(before)), swept, left })
}

fn row(name: &str, outcome: &Outcome) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let swept = match outcome.swept {
        Some(took) => format!("{:.1}s", took.as_secs_f64()),
        None => format!("{} left", outcome.left),
    };
    println!(
        "{name:14} {:>8.2} {:>8.2} {:>8} {:>7} {:>8.2} {:>8.2} {:>8.2} {:>9.1} {swept:>11}",
        ms(outcome.quiet.at(50)),
        ms(outcome.quiet.at(99)),
        outcome.flooded.times.len(),
        outcome.flooded.failed,
        ms(outcome.flooded.at(50)),
        ms(outcome.flooded.at(99)),
        ms(outcome.flooded.at(100)),
        outcome.growth_mib,
    );
}

fn bridge(address: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkit-bridge"));
    command.arg(format!("--web.listen-address={address}")).env("LINKIT_BRIDGE_RUNTIME_SOURCE", "self");
    command
}

fn stored(spool: &Path) -> usize {
    let files = std::fs::read_dir(spool).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|file| file.extension().is_some_and(|extension| extension == "batch")).count()
}

/// Whether a bridge with a dead collector stops in time under half-open and slow clients, with its last batch stored.
fn stops(runtime: &tokio::runtime::Runtime, work: &Path) -> Result<bool> {
    let (address, spool) = (free_address()?, work.join("spool"));
    let mut command = bridge(address);
    command
        .env("LINKIT_BRIDGE_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env("LINKIT_BRIDGE_OTLP_INTERVAL", "1h")
        .env("LINKIT_BRIDGE_OTLP_SPOOL_DIR", &spool);
    let mut process = serving(&mut command, address)?;
    let flood = Arc::<Flood>::default();
    let many = b"GET /metrics HTTP/1.1\r\nHost: slow\r\n\r\n".repeat(4000);
    let slow = (0..SLOW_READERS_AT_STOP).map(|_| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        match stream.write(&many) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(stream),
        }
    });
    let slow = slow.collect::<std::io::Result<Vec<_>>>()?;
    runtime.block_on(open(Arc::clone(&flood), HALF_OPEN_AT_STOP, address));
    let before = stored(&spool);
    let (status, took) = stop(&mut process)?;
    let batches = stored(&spool) - before;
    let is_good = status.success() && took <= STOP_AIM && batches > 0;
    println!(
        "\nSIGTERM under {HALF_OPEN_AT_STOP} half-open, {} slow readers, a dead collector: {status}, {:.1} s, {batches} \
         batch stored\nexit 0 within {STOP_AIM:?} with the last batch: {}",
        slow.len(),
        took.as_secs_f64(),
        word(is_good)
    );
    Ok(is_good)
}

const fn word(holds: bool) -> &'static str {
    if holds { "PASS" } else { "MISSED" }
}

/// A directory that goes with the value.
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn main() -> Result<ExitCode> {
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let work = Work(std::env::temp_dir().join(format!("linkit-bridge-flood-{}", std::process::id())));
    std::fs::create_dir(&work.0)?;

    println!("{FLOOD} half-open connections from {ADDRESSES} addresses; scrapes each on a new connection, in ms\n");
    println!(
        "{:14} {:>8} {:>8} {:>8} {:>7} {:>8} {:>8} {:>8} {:>9} {:>11}",
        "", "p50", "p99", "scrapes", "failed", "p50", "p99", "max", "+MiB", "swept"
    );
    let address = free_address()?;
    let ours = flooded(&runtime, &mut bridge(address), address)?;
    row("linkit-bridge", &ours);
    if let Some(peer) = std::env::var_os("LINKIT_BRIDGE_BENCH_PEER").filter(|peer| !peer.is_empty()) {
        let address = free_address()?;
        let mut command = Command::new(peer);
        command.args(["--collector.disable-defaults", "--collector.time"]);
        command.arg(format!("--web.listen-address={address}"));
        row("node_exporter", &flooded(&runtime, &mut command, address)?);
    }
    let verdicts = [
        ("no failed scrape", ours.flooded.failed == 0),
        ("p99 within 10 ms", ours.flooded.at(99) <= P99_AIM),
        ("at most 64 MiB more", ours.growth_mib <= GROWTH_AIM_MIB),
        ("swept within 10 s", ours.swept.is_some_and(|took| took <= SWEEP_AIM)),
    ];
    println!();
    for (aim, holds) in verdicts {
        println!("{aim}: {}", word(holds));
    }
    let is_good = stops(&runtime, &work.0)? && verdicts.iter().all(|(_, holds)| *holds);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
