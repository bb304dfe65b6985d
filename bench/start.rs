//! How soon after exec the bridge answers its first scrape, and how much memory it holds when idle.
//!
//! `LINKIT_BRIDGE_BENCH_CONFIG` names the config of a bridge on a real backend; without it the bridge reads itself.
//! `LINKIT_BRIDGE_BENCH_TLS` names a folder with a `web.yml` and the `server.pem` for `localhost` in it: memory is then that of
//! servers which are scraped over TLS. Beside it stand limits of the same run: an exec of the same binary that does nothing (`--version`), and, where
//! `LINKIT_BRIDGE_BENCH_PEER` names one, a node_exporter. Exits with 1 if an aim is missed.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

mod process;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::{Process, free_address};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const STARTS: usize = 30;
/// Processes whose memory is measured, at the same time.
const RESIDENTS: usize = 7;
const FIRST_SCRAPE_AIM: Duration = Duration::from_millis(50);
const RESIDENT_AIM_BYTES: u64 = 12_000_000;
/// The bridge reads all sources several times in this time, and is scraped each second as a Prometheus would.
const IDLE: Duration = Duration::from_secs(20);

/// Starts a server that takes its address by a flag, and waits until it answers a scrape; the time that took.
fn serving(command: &mut Command, address: SocketAddr, tls: Option<&Tls>) -> Result<(Process, Duration)> {
    Process::serving(command, || scrape(address, tls).is_ok())
}

/// Resident memory after a time of nothing but a scrape each second: the median and the most of several processes.
fn idle_bytes(command: impl Fn(SocketAddr) -> Command, tls: Option<&Tls>) -> Result<(u64, u64)> {
    let start = || -> Result<_> {
        let address = free_address()?;
        let mut command = command(address);
        if let Some(tls) = tls {
            command.arg("--web.config.file").arg(tls.folder.join("web.yml"));
        }
        Ok((serving(&mut command, address, tls)?.0, address))
    };
    let processes = (0..RESIDENTS).map(|_| start()).collect::<Result<Vec<_>>>()?;
    let end = Instant::now() + IDLE;
    while Instant::now() < end {
        processes.iter().try_for_each(|(_, address)| scrape(*address, tls))?;
        std::thread::sleep(Duration::from_secs(1));
    }
    let mut bytes = processes.iter().map(|(process, _)| process.resident_bytes()).collect::<Result<Vec<_>>>()?;
    bytes.sort_unstable();
    Ok((bytes[RESIDENTS / 2], bytes[RESIDENTS - 1]))
}

/// A client that trusts the one certificate of the folder.
struct Tls {
    folder: PathBuf,
    client: Arc<ClientConfig>,
}

impl Tls {
    fn configured() -> Result<Option<Self>> {
        let Some(folder) = std::env::var_os("LINKIT_BRIDGE_BENCH_TLS").map(PathBuf::from) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("server.pem"))?)?;
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Some(Self { folder, client: Arc::new(client) }))
    }
}

/// One whole scrape; an error unless it is answered with 200.
fn scrape(address: SocketAddr, tls: Option<&Tls>) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    match tls {
        None => asked(stream),
        Some(tls) => {
            let client = ClientConnection::new(Arc::clone(&tls.client), ServerName::try_from("localhost")?)?;
            asked(StreamOwned::new(client, stream))
        }
    }
}

fn asked(mut stream: impl Read + Write) -> Result<()> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("not 200".into()) }
}

fn bridge(address: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkit-bridge"));
    command.arg(format!("--web.listen-address={address}"));
    match std::env::var_os("LINKIT_BRIDGE_BENCH_CONFIG") {
        Some(config) => command.arg("--config.file").arg(config),
        None => command.env("LINKIT_BRIDGE_RUNTIME_SOURCE", "self"),
    };
    command
}

fn peer(address: SocketAddr) -> Option<Command> {
    let program = std::env::var_os("LINKIT_BRIDGE_BENCH_PEER").filter(|program| !program.is_empty())?;
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address={address}"));
    Some(command)
}

/// Median and maximum.
fn summary(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

fn repeated(mut once: impl FnMut() -> Result<Duration>) -> Result<(Duration, Duration)> {
    (0..STARTS).map(|_| once()).collect::<Result<Vec<_>>>().map(summary)
}

fn main() -> Result<ExitCode> {
    let bare = repeated(|| {
        let start = Instant::now();
        let status =
            Command::new(env!("CARGO_BIN_EXE_linkit-bridge")).arg("--version").stdout(Stdio::null()).status()?;
        if status.success() { Ok(start.elapsed()) } else { Err("--version failed".into()) }
    })?;
    let first = |command: fn(SocketAddr) -> Option<Command>| -> Result<Option<(Duration, Duration)>> {
        if command(free_address()?).is_none() {
            return Ok(None);
        }
        let once = || {
            let address = free_address()?;
            let mut command = command(address).ok_or("the peer vanished")?;
            serving(&mut command, address, None).map(|(_, took)| took)
        };
        repeated(once).map(Some)
    };
    let ours = first(|address| Some(bridge(address)))?.ok_or("no bridge")?;
    let theirs = first(peer)?;
    println!("{:42} {:>9} {:>9} {:>6}", "exec to first whole scrape", "median", "max", "ratio");
    let line = |name: &str, (median, max): (Duration, Duration)| {
        let ratio = median.as_secs_f64() / bare.0.as_secs_f64();
        println!("{name:42} {median:>9.1?} {max:>9.1?} {ratio:>6.2}");
    };
    line("exec of the same binary, --version", bare);
    line("linkit-bridge", ours);
    if let Some(theirs) = theirs {
        line("node_exporter", theirs);
    }

    let tls = Tls::configured()?;
    let by = if tls.is_some() { "idle but for scrapes over TLS" } else { "idle but for scrapes" };
    println!("\n{:42} {:>9} {:>9}", format!("resident memory in MB, {by}"), "median", "max");
    let row = |name: &str, (median, max): (u64, u64)| {
        println!("{name:42} {:>9.1} {:>9.1}", megabytes(median), megabytes(max));
    };
    let resident = idle_bytes(bridge, tls.as_ref())?;
    row("linkit-bridge", resident);
    if theirs.is_some() {
        row("node_exporter", idle_bytes(|address| peer(address).expect("it was there"), tls.as_ref())?);
    }
    let soon = ours.0 <= FIRST_SCRAPE_AIM;
    let small = resident.0 <= RESIDENT_AIM_BYTES;
    let word = |holds| if holds { "PASS" } else { "FAIL" };
    println!("\nfirst scrape within {FIRST_SCRAPE_AIM:?}: {}; idle under 12 MB: {}", word(soon), word(small));
    Ok(if soon && small { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
