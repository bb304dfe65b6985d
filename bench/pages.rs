//! How the pages are answered while pushing is in trouble: a receiver that refuses or hangs, a full disk, a backlog on its
//! way. Each page is asked of a bridge in that trouble and of a twin in none, in turns, request by request, so that what
//! else the machine does falls on both; they are as old as each other, for both are started anew in each round.
//!
//! What is judged is the median over the rounds of the ratio of the two 99th percentiles. Exits with 1 if one is above its
//! limit. The full disk is a file system of its own, which only root can make. The next trouble is one more [`Trouble`].
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::delivery::{Batch, Delivery, DeliveryConfig, Destination, SpoolConfig};
use linkit_bridge::http_client::HttpClient;
use tokio::sync::watch;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_secs(2);
/// Far oftener than anybody pushes: each push, and what it costs on disk, is to fall on some requests.
const INTERVAL: Duration = Duration::from_millis(100);
/// A round from a backlog ends with it.
const BACKLOG: usize = 12_000;
/// A push of some 100 series, compressed.
const BODY_BYTES: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(20);

const P99_RATIO_MAX: f64 = 1.2;

const KEY: &str = "bench";
const PAGES: [(&str, &str); 2] = [("/metrics", "/metrics"), ("JSON", "/api/v1/telemetry")];

/// What a bridge's pushes meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// None: the receiver takes everything. Two of these tell how much of a ratio is chance.
    None,
    /// 503.
    Refuses,
    /// No answer.
    Hangs,
    /// 503, and the spool's disk has been filled by another.
    FullDisk,
    /// What waited in the spool is taken as fast as it comes.
    Drains,
}

const TROUBLES: [(Trouble, &str); 5] = [
    (Trouble::None, "none, as its twin"),
    (Trouble::Refuses, "a collector that refuses"),
    (Trouble::Hangs, "a collector that hangs"),
    (Trouble::FullDisk, "a full disk"),
    (Trouble::Drains, "a backlog on its way"),
];

/// The source and the receivers, which bridges and twins share.
struct Surroundings {
    address: SocketAddr,
    folder: PathBuf,
    /// Whether the receiver of a backlog takes it.
    gate: watch::Sender<bool>,
    drained: Arc<AtomicU64>,
}

impl Surroundings {
    async fn start(folder: PathBuf) -> Result<Self> {
        let (gate, open) = watch::channel(false);
        let (drained, readings) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&drained);
        let drain = move |_: Bytes| {
            let (mut open, counted) = (open.clone(), Arc::clone(&counted));
            async move {
                let _ = open.wait_for(|open| *open).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let document = move || std::future::ready(document(readings.fetch_add(1, Ordering::Relaxed)));
        let router = Router::new()
            .route("/api/v1/telemetry", get(document))
            .route("/none/v1/metrics", post(|_: Bytes| async {}))
            .route("/refuses/v1/metrics", post(|_: Bytes| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/hangs/v1/metrics", post(|_: Bytes| std::future::pending::<()>()))
            .route("/drains/v1/metrics", post(drain));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, folder, gate, drained })
    }

    /// A spool's directory with the backlog: the same files under more names.
    fn backlog(&self, spool: &Path) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(spool)?;
        for entry in std::fs::read_dir(self.folder.join("backlog"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "batch") {
                std::fs::hard_link(&path, spool.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}

/// A backend's document that differs from the last one.
fn document(reading: u64) -> String {
    let (measured, moving) = (jiff::Timestamp::now(), 40 + reading % 50);
    format!(
        r#"{{"version":"1.0.0","measured":"{measured}","runtime":{{"goroutines":{moving},"cpu_count":8,"alloc_mb":128,
        "total_alloc_mb":4096,"sys_mb":256,"num_gc":156,"gc_pause_ns":1234567}},"store":{{"products":15000,"branches":25,
        "skus":375000,"orders":{moving},"customers":12000}},"staging":{{"pending":0,"processing":{moving},
        "completed_today":5432}}}}"#
    )
}

/// Stores a backlog.
async fn store_backlog(folder: &Path) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let delivery = Delivery::new(DeliveryConfig::default(), HttpClient::new(), Arc::clone(&clock));
    delivery.open_spool(&SpoolConfig::at(folder.to_owned()))?;
    let destination = Destination { uri: "http://127.0.0.1:9/".parse()?, headers: http::HeaderMap::new() };
    for _ in 0..BACKLOG {
        let body: Vec<u8> = (0..BODY_BYTES).map(|_| fastrand::u8(..)).collect();
        delivery.put(destination.clone(), Batch { body: body.into(), points: 100, accepted: clock.now() });
    }
    delivery.keep().await;
    if delivery.stats().unstored > 0 { Err("the disk took not all of the backlog".into()) } else { Ok(()) }
}

/// A file system of 4 MiB that goes with the value.
struct Mount(PathBuf);

impl Mount {
    fn at(path: PathBuf) -> Result<Self> {
        std::fs::create_dir(&path)?;
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output()?;
        let told = String::from_utf8_lossy(&mount.stderr);
        if mount.status.success() { Ok(Self(path)) } else { Err(told.trim().to_owned().into()) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A bridge, which ends with the value and before its disk does.
struct Bridge {
    process: Child,
    client: Client,
    _disk: Option<Mount>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Bridge {
    /// Starts one and waits until its pages are there and its pushes are where they should be.
    fn start(around: &Surroundings, trouble: Trouble, name: &str) -> Result<Self> {
        let folder = around.folder.join(name);
        std::fs::create_dir(&folder)?;
        let (disk, spool) = match trouble {
            Trouble::FullDisk => (Some(Mount::at(folder.join("disk"))?), folder.join("disk/spool")),
            _ => (None, folder.join("spool")),
        };
        if trouble == Trouble::Drains {
            around.backlog(&spool)?;
        }
        let receiver = match trouble {
            Trouble::None => "none",
            Trouble::Refuses | Trouble::FullDisk => "refuses",
            Trouble::Hangs => "hangs",
            Trouble::Drains => "drains",
        };
        let (source, spool) = (around.address, spool.display());
        let section = format!("{{ source: telemetry_json, url: 'http://{source}', api_key: {KEY}, interval: 1s }}");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.join("bridge.yml");
        std::fs::write(
            &config,
            format!(
                "web: {{ listen: ['{address}'], api_keys: [ {{ name: bench, key: {KEY} }} ] }}\n\
                 runtime: {section}\nstore: {section}\nstaging: {section}\n\
                 otlp: {{ endpoint: 'http://{source}/{receiver}', interval: {}ms, spool: {{ dir: '{spool}' }} }}\n",
                INTERVAL.as_millis()
            ),
        )?;
        let process = Command::new(env!("CARGO_BIN_EXE_linkit-bridge"))
            .arg("--config.file")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .spawn()?;
        let began = Instant::now();
        let mut bridge = Self { process, client: Client::connect(address, began)?, _disk: disk };
        bridge.settle(trouble, &folder).map_err(|error| {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            format!("{trouble:?} did not come about: {error}\n{log}")
        })?;
        Ok(bridge)
    }

    fn settle(&mut self, trouble: Trouble, folder: &Path) -> Result<()> {
        match trouble {
            Trouble::None => self.until("delivered_total", 2.0)?,
            Trouble::Refuses | Trouble::Hangs => self.until("queued_batches", 3.0)?,
            Trouble::FullDisk => {
                self.until("queued_batches", 2.0)?;
                // It ends with an error, when all is full.
                let _ = std::fs::write(folder.join("disk/filler"), vec![1; 8 << 20]);
                self.until("unstored_batches", 3.0)?;
            }
            Trouble::Drains => self.until("queued_batches", BACKLOG as f64)?,
        }
        let (_, path) = PAGES[1];
        let began = Instant::now();
        while self.client.ask(path).is_err() {
            if began.elapsed() > PATIENCE {
                return Err("no JSON".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until the page says that there are as many.
    fn until(&mut self, name: &str, least: f64) -> Result<()> {
        let (start, began) = (format!("linkit_bridge_push_{name}{{"), Instant::now());
        while began.elapsed() < PATIENCE {
            self.client.ask("/metrics")?;
            let page = self.client.text();
            let line = page.lines().find(|line| line.starts_with(&start)).ok_or("no such series")?;
            if line.rsplit(' ').next().ok_or("no value")?.parse::<f64>()? >= least {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{name} did not come to {least}").into())
    }
}

/// A kept connection, read through one buffer.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
    read: usize,
}

impl Client {
    fn connect(address: SocketAddr, began: Instant) -> Result<Self> {
        loop {
            match TcpStream::connect(address) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(Self { stream, address, buffer: vec![0; 1 << 20], read: 0 });
                }
                Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Asks for a page and reads its whole answer; an error unless that is a 200.
    fn ask(&mut self, path: &str) -> Result<Duration> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {KEY}\r\n\r\n", self.address);
        let began = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        self.read = 0;
        let mut whole = None;
        while whole.is_none_or(|whole| self.read < whole) {
            match self.stream.read(&mut self.buffer[self.read..])? {
                0 => return Err("the bridge closed a connection".into()),
                bytes => self.read += bytes,
            }
            if whole.is_none() {
                whole = whole_size(&self.buffer[..self.read])?;
            }
        }
        let took = began.elapsed();
        if self.buffer.starts_with(b"HTTP/1.1 200") { Ok(took) } else { Err("not 200".into()) }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.buffer[..self.read])
    }
}

/// The size of an answer by its head, once that is whole.
fn whole_size(answer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
    Ok(Some(head + 4 + length.parse::<usize>()?))
}

/// The 99th percentiles of one round, in milliseconds, by page: that in trouble and its twin's.
type Round = [[f64; 2]; PAGES.len()];

fn round(around: &Surroundings, trouble: Trouble, number: usize) -> Result<Round> {
    let (name, twin) = (format!("{trouble:?}-{number}"), format!("{trouble:?}-{number}-twin"));
    around.gate.send_replace(false);
    around.drained.store(0, Ordering::Relaxed);
    let mut bridges = [Bridge::start(around, trouble, &name)?, Bridge::start(around, Trouble::None, &twin)?];
    around.gate.send_replace(true);
    let mut times: [[Vec<Duration>; 2]; PAGES.len()] = Default::default();
    let began = Instant::now();
    let mut turn = 0;
    while began.elapsed() < ROUND && around.drained.load(Ordering::Relaxed) < BACKLOG as u64 {
        for (page, (_, path)) in PAGES.iter().enumerate() {
            // Each turn another begins.
            for side in [turn % 2, (turn + 1) % 2] {
                times[page][side].push(bridges[side].client.ask(path)?);
            }
        }
        turn += 1;
    }
    drop(bridges);
    for name in [name, twin] {
        std::fs::remove_dir_all(around.folder.join(name))?;
    }
    Ok(times.map(|sides| sides.map(p99_ms)))
}

/// The value that 99 of 100 do not exceed.
fn p99_ms(mut times: Vec<Duration>) -> f64 {
    let at = (times.len() * 99 / 100).min(times.len() - 1);
    times.select_nth_unstable(at).1.as_secs_f64() * 1e3
}

/// The quartiles.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// Prints a page's row; whether its ratio is within the limit.
fn line(name: &str, page: usize, rounds: &[Round]) -> bool {
    let of = |side: usize| quartiles(rounds.iter().map(|round| round[page][side]))[1];
    let [low, median, high] = quartiles(rounds.iter().map(|round| round[page][0] / round[page][1]));
    let kept = median <= P99_RATIO_MAX;
    let word = if kept { "PASS" } else { "FAIL" };
    let (name, page) = (if page == 0 { name } else { "" }, PAGES[page].0);
    println!(
        "{name:26} {page:9} {:7.3}ms {:7.3}ms {median:6.2}   {low:5.2} to {high:<5.2} {P99_RATIO_MAX:6.1}   {word}",
        of(0),
        of(1)
    );
    kept
}

fn main() -> Result<ExitCode> {
    let folder =
        std::env::var_os("LINKIT_BRIDGE_BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let folder = folder.join(format!("pages-{:x}", fastrand::u64(..)));
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let kept = measure(&runtime, &folder);
    std::fs::remove_dir_all(&folder)?;
    Ok(if kept? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(runtime: &tokio::runtime::Runtime, folder: &Path) -> Result<bool> {
    runtime.block_on(store_backlog(&folder.join("backlog")))?;
    let around = runtime.block_on(Surroundings::start(folder.to_owned()))?;
    let can_mount = match Mount::at(folder.join("probe")) {
        Ok(_goes_again) => true,
        Err(cause) => {
            println!("a full disk is NOT measured, for no file system can be mounted: {cause}");
            false
        }
    };
    let title = format!("{ROUNDS} rounds of {ROUND:?}; the trouble");
    println!(
        "{title:26} {:9} {:>9} {:>9} {:>6}   {:>14} {:>6}",
        "page", "p99", "twin's", "ratio", "quartiles", "limit"
    );
    let mut kept = true;
    for (trouble, name) in TROUBLES {
        if trouble == Trouble::FullDisk && !can_mount {
            continue;
        }
        let rounds = (0..ROUNDS).map(|number| round(&around, trouble, number)).collect::<Result<Vec<_>>>()?;
        for page in 0..PAGES.len() {
            let within = line(name, page, &rounds);
            // Chance alone is nobody's fault.
            kept &= within || trouble == Trouble::None;
        }
    }
    Ok(kept)
}
