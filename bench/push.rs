//! What a push costs on its way: to store a batch so that it outlives a power loss, to deliver a backlog, and to export
//! all series beside OpenTelemetry's own exporter.
//!
//! Stored is beside the bare system calls for the same bytes on the same disk, which is that of the build directory or the
//! one `LINKIT_BRIDGE_BENCH_DIR` names; delivered is from the spool and, as its limit, from memory, to a receiver on
//! loopback. Exits with 1 if an aim is missed. The next cost of a push is one more section here.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

#[path = "push/export.rs"]
mod export;

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::delivery::{Batch, Delivery, DeliveryConfig, Destination, SpoolConfig};
use linkit_bridge::http_client::HttpClient;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A push of some 200 series, compressed.
const BODY_BYTES: usize = 6000;
const ROUNDS: usize = 8;
/// Of each way, in a round.
const PUTS: usize = 40;
const BACKLOG: usize = 1000;

const PUT_AIM: f64 = 1.5;
const DRAIN_AIM: f64 = 500.0;

fn main() -> Result<ExitCode> {
    if export::receives()? {
        return Ok(ExitCode::SUCCESS);
    }
    let folder =
        std::env::var_os("LINKIT_BRIDGE_BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let folder = folder.join(format!("push-{:x}", fastrand::u64(..)));
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let kept = runtime.block_on(async { Ok::<_, Box<dyn Error>>(puts(&folder).await? & drains(&folder).await?) });
    export::exports(&runtime, &folder)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(if kept? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn batch(clock: &dyn Clock) -> Batch {
    // As compressed bytes are: nothing that a file system could make smaller.
    let body: Vec<u8> = (0..BODY_BYTES).map(|_| fastrand::u8(..)).collect();
    Batch { body: body.into(), points: 200, accepted: clock.now() }
}

/// The bare calls; with `whole` also that which puts the name on the disk.
fn raw(folder: &Path, handle: &File, name: usize, body: &[u8], whole: bool) -> Result<Duration> {
    let (passing, stored) = (folder.join("raw.tmp"), folder.join(format!("{name}.raw")));
    let begun = Instant::now();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&passing)?;
    file.write_all(body)?;
    file.sync_all()?;
    std::fs::rename(&passing, &stored)?;
    if whole {
        handle.sync_all()?;
    }
    Ok(begun.elapsed())
}

/// Stores batches in turns with the bare calls, each after each other one as often, so that what else the disk does
/// falls on all alike; the medians of a round are set beside each other.
async fn puts(folder: &Path) -> Result<bool> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let delivery = Delivery::new(DeliveryConfig::default(), HttpClient::new(), Arc::clone(&clock));
    delivery.open_spool(&SpoolConfig::at(folder.join("puts")))?;
    let bare = folder.join("raw");
    std::fs::create_dir(&bare)?;
    let handle = File::open(&bare)?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut times: [Vec<Duration>; 3] = Default::default();
        for put in 0..3 * PUTS {
            let (batch, way) = (batch(&*clock), (put + put / 3) % 3);
            let took = if way < 2 {
                raw(&bare, &handle, round * 3 * PUTS + put, &batch.body, way == 1)?
            } else {
                let begun = Instant::now();
                delivery.put(destination("127.0.0.1:9")?, batch);
                delivery.keep().await;
                begun.elapsed()
            };
            times[way].push(took);
        }
        rounds.push(times.map(|mut times| middle(&mut times).as_secs_f64() * 1e3));
    }
    if delivery.stats().unstored > 0 {
        return Err("the disk took not all".into());
    }
    let title = format!("storing {BODY_BYTES} bytes");
    println!("{title:50} {:>9} {:>9} {:>6} {:>6}", "median", "quietest", "of 4", "of 3");
    let of = |way: usize| rounds.iter().map(|medians| medians[way]).collect::<Vec<_>>();
    let beside =
        |way: usize, limit: usize| middle(&mut rounds.iter().map(|all| all[way] / all[limit]).collect::<Vec<_>>());
    let names =
        ["bare write, fsync, rename", "bare write, fsync, rename, fsync of the directory", "put into the spool"];
    for (way, name) in names.iter().enumerate() {
        let quietest = of(way).into_iter().fold(f64::INFINITY, f64::min);
        let ratios = [1, 0].map(|limit| beside(way, limit));
        println!("{name:50} {:7.2}ms {quietest:7.2}ms {:6.2} {:6.2}", middle(&mut of(way)), ratios[0], ratios[1]);
    }
    // The fourth call is what makes the name outlive a power loss: without it nothing was stored for good.
    println!("a put beside the four calls that do the same: {:.2}", beside(2, 1));
    Ok(verdict("a put beside write, fsync and rename alone", beside(2, 0), PUT_AIM, true))
}

/// The median.
fn middle<T: PartialOrd + Copy>(values: &mut [T]) -> T {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

/// Delivers a backlog from memory and from the spool.
async fn drains(folder: &Path) -> Result<bool> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let router = Router::new().route("/v1/metrics", post(|_: axum::body::Bytes| async {}));
    let receiver = tokio::spawn(async move { axum::serve(listener, router).await });
    let from_memory = drain(None, &address).await?;
    let from_spool = drain(Some(&folder.join("drain")), &address).await?;
    let bare = bare_drain(&folder.join("bare"))?;
    receiver.abort();
    println!("\n{:46} {:>9} {:>16}", format!("delivering {BACKLOG} batches on loopback"), "a second", "ratio");
    println!("{:46} {from_memory:9.0} {:16.2}", "from memory", from_memory / bare);
    println!("{:46} {bare:9.0} {:16.2}", "bare read and unlink of as many files", 1.0);
    println!("{:46} {from_spool:9.0} {:16.2}", "from the spool", from_spool / bare);
    Ok(verdict("batches a second from the spool", from_spool, DRAIN_AIM, false))
}

/// Files a second that can be read and removed, with nothing else done.
fn bare_drain(folder: &Path) -> Result<f64> {
    std::fs::create_dir(folder)?;
    let clock = SystemClock::new();
    let names: Vec<_> = (0..BACKLOG).map(|name| folder.join(name.to_string())).collect();
    for name in &names {
        let mut file = File::create(name)?;
        file.write_all(&batch(&clock).body)?;
        file.sync_all()?;
    }
    let begun = Instant::now();
    for name in &names {
        std::fs::read(name)?;
        std::fs::remove_file(name)?;
    }
    Ok(BACKLOG as f64 / begun.elapsed().as_secs_f64())
}

/// Batches a second.
async fn drain(spool: Option<&Path>, address: &str) -> Result<f64> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let delivery = Delivery::new(DeliveryConfig::default(), HttpClient::new(), Arc::clone(&clock));
    if let Some(spool) = spool {
        delivery.open_spool(&SpoolConfig::at(spool.to_owned()))?;
    }
    for _ in 0..BACKLOG {
        delivery.put(destination(address)?, batch(&*clock));
    }
    delivery.keep().await;
    let begun = Instant::now();
    let done = async {
        while delivery.stats().queued.batches > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    delivery.run(done).await;
    if delivery.stats().delivered.batches != BACKLOG as u64 {
        return Err("not all was delivered".into());
    }
    Ok(BACKLOG as f64 / begun.elapsed().as_secs_f64())
}

fn destination(address: &str) -> Result<Destination> {
    let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/x-protobuf".parse()?)]);
    Ok(Destination { uri: format!("http://{address}/v1/metrics").parse()?, headers })
}

fn verdict(what: &str, value: f64, aim: f64, is_most: bool) -> bool {
    let is_kept = if is_most { value <= aim } else { value >= aim };
    let (word, bound) = (if is_kept { "PASS" } else { "FAIL" }, if is_most { "at most" } else { "at least" });
    println!("{what}: {value:.2}, aim {bound} {aim}: {word}");
    is_kept
}
