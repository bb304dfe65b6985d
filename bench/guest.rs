//! What a bridge costs the PocketBase it reads: the writer's times, the size of its WAL, how long a checkpoint takes.
//!
//! `LINKIT_BRIDGE_BENCH_URL` is a backend served with `--measure` and the key `bench`, `LINKIT_BRIDGE_BENCH_DB` its
//! `data.db`; `bench/guest` starts one. In each round the backend's own writer is measured alone, beside a bridge with
//! default intervals and beside one that reads each second, in turns, for the machine's mood changes from minute to
//! minute: what is judged is the median of the rounds' ratios. Exits with 1 if a limit is passed.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use rusqlite::Connection;
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RATE: u32 = 500;
/// So much of the rate must have been kept, or the times say nothing.
const RATE_KEPT_MIN: f64 = 0.98;
const CHECKPOINT_EVERY: &str = "500ms";

const P99_RATIO_MAX: f64 = 1.1;
const WAL_RATIO_MAX: f64 = 1.2;
const CHECKPOINT_MAX_MS: f64 = 1000.0;

/// What stands beside the writer: nothing, or a bridge with more keys for both sections, and for the store.
type Beside = Option<(&'static str, &'static str)>;

const MODES: [(&str, Beside); 3] =
    [("alone", None), ("default", Some(("", ""))), ("1 s", Some((", interval: 1s", "")))];

/// The worst that a bridge can do: each second a count that goes on until its budget ends it.
const SLOW: (&str, Beside) =
    ("1 s, counts over budget", Some((", interval: 1s, max_backoff: 1s", ", collections: [slow]")));
const SLOW_VIEW: &str = "CREATE VIEW slow AS SELECT a.id FROM skus a, skus b";

/// What the backend says of a round.
#[derive(Deserialize)]
struct Measured {
    transactions: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    wal_peak_bytes: f64,
    checkpoints: u32,
    checkpoints_busy: u32,
    checkpoint_max_us: f64,
}

/// The backend, and how long it is measured at a time.
struct Backend {
    host: String,
    database: PathBuf,
    seconds: u32,
}

impl Backend {
    /// A round of writing beside a bridge, or alone.
    fn measure(&self, beside: Beside, checkpoint: &str) -> Result<Measured> {
        let bridge = beside.map(|keys| Bridge::start(self, keys)).transpose()?;
        let path = format!("/measure?rate={RATE}&for={}s&checkpoint={checkpoint}", self.seconds);
        let body = ask(&self.host, "POST", &path)?;
        let measured: Measured = serde_json::from_str(&body)?;
        if measured.transactions < f64::from(RATE * self.seconds) * RATE_KEPT_MIN
            || measured.seconds > f64::from(self.seconds) / RATE_KEPT_MIN
        {
            return Err(format!("this machine does not keep {RATE} transactions a second: {body}").into());
        }
        if let Some((bridge, (_, store))) = bridge.zip(beside) {
            bridge.reads("staging")?;
            // Counts over their budget bring nothing, that is their sense.
            if store.is_empty() {
                bridge.reads("store")?;
            }
        }
        Ok(measured)
    }
}

/// The body of an answer, which must be a 200.
fn ask(host: &str, method: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: bench\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(format!("{method} {path}: {answer}").into()),
    }
}

/// A bridge on the backend, which ends with the value.
struct Bridge {
    process: Child,
    host: String,
}

impl Bridge {
    /// Starts one and waits until it listens.
    fn start(backend: &Backend, (both, store): (&str, &str)) -> Result<Self> {
        let Backend { host, database, .. } = backend;
        let sqlite = format!("source: sqlite, path: '{}'{both}", database.display());
        let config = database.with_file_name("bridge.yml");
        let text = format!(
            "web: {{ listen: ['127.0.0.1:0'], page: {{ scope_labels: false }} }}\nruntime: {{ source: go, url: 'http://{host}' }}\n\
             store: {{ {sqlite}{store} }}\nstaging: {{ {sqlite} }}\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_linkit-bridge"));
        let process = command.arg("--config.file").arg(config).stderr(Stdio::piped()).spawn()?;
        let mut bridge = Self { process, host: String::new() };
        let mut lines = BufReader::new(bridge.process.stderr.take().ok_or("no stderr")?).lines();
        let listens = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("msg=listening")));
        let line = listens.ok_or("the bridge does not listen")??;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        address.ok_or("no address")?.trim_matches('"').clone_into(&mut bridge.host);
        // It must not wait for a reader of what else it says.
        std::thread::spawn(move || lines.count());
        Ok(bridge)
    }

    /// An error unless it reads the section: a bridge that reads nothing costs nothing.
    fn reads(&self, section: &str) -> Result<()> {
        let page = ask(&self.host, "GET", "/metrics")?;
        let up = format!("linkit_bridge_collector_up{{collector=\"{section}\",source=\"sqlite\"}} 1");
        if page.lines().any(|line| line == up) { Ok(()) } else { Err(format!("{section} is not read: {page}").into()) }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The quartiles.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

fn word(holds: bool) -> &'static str {
    if holds { "PASS" } else { "FAIL" }
}

/// Prints a ratio to the writer alone beside its limit; whether it is kept.
fn judge(name: &str, ratios: Vec<f64>, limit: f64) -> bool {
    let [low, median, high] = quartiles(ratios);
    let kept = median <= limit;
    println!("{name:32} {median:>6.2}   {low:>5.2} to {high:<5.2} {limit:>8.1}   {}", word(kept));
    kept
}

/// Checkpoints as at midnight while the backend writes, beside each bridge and the worst one; whether none waited long.
fn checkpoints(backend: &Backend) -> Result<bool> {
    Connection::open(&backend.database)?.execute_batch(SLOW_VIEW)?;
    let title = format!("TRUNCATE every {CHECKPOINT_EVERY}, {} s", backend.seconds * 3);
    println!("\n{title:32} {:>6} {:>6} {:>8} {:>8}", "number", "busy", "max ms", "limit");
    let mut kept = true;
    for (name, beside) in MODES.into_iter().chain([SLOW]) {
        let rounds = (0..3).map(|_| backend.measure(beside, CHECKPOINT_EVERY)).collect::<Result<Vec<_>>>()?;
        let number: u32 = rounds.iter().map(|round| round.checkpoints).sum();
        let busy: u32 = rounds.iter().map(|round| round.checkpoints_busy).sum();
        let longest = rounds.iter().map(|round| round.checkpoint_max_us / 1e3).fold(0.0, f64::max);
        let held = busy == 0 && longest <= CHECKPOINT_MAX_MS;
        println!("{name:32} {number:>6} {busy:>6} {longest:>8.1} {CHECKPOINT_MAX_MS:>8.0}   {}", word(held));
        kept &= held;
    }
    Ok(kept)
}

fn main() -> Result<ExitCode> {
    let set =
        |name: &str| std::env::var(format!("LINKIT_BRIDGE_BENCH_{name}")).map_err(|_| format!("{name} is not set"));
    let host = set("URL")?.trim_start_matches("http://").to_owned();
    let backend = Backend { host, database: set("DB")?.into(), seconds: set("SECONDS")?.parse()? };
    let rounds: usize = set("ROUNDS")?.parse()?;

    println!(
        "writer at {RATE} transactions a second, {rounds} rounds of {} s; times in ms, WAL in MB",
        backend.seconds
    );
    println!("{:>5} {:>23} {:>23} {:>23}", "", MODES[0].0, MODES[1].0, MODES[2].0);
    println!("{:>5}{}", "round", format!(" {:>7} {:>7} {:>7}", "p50", "p99", "WAL").repeat(3));
    let mut measured: [Vec<Measured>; 3] = Default::default();
    backend.measure(None, "0s")?; // so that the first is not the cold one
    for round in 0..rounds {
        // Each time another begins.
        for turn in 0..MODES.len() {
            let mode = (round + turn) % MODES.len();
            measured[mode].push(backend.measure(MODES[mode].1, "0s")?);
        }
        print!("{:>5}", round + 1);
        for mode in &measured {
            let Measured { p50_us, p99_us, wal_peak_bytes, .. } = mode[round];
            print!(" {:>7.2} {:>7.2} {:>7.2}", p50_us / 1e3, p99_us / 1e3, wal_peak_bytes / 1e6);
        }
        println!();
    }

    println!("\n{:32} {:>6}   {:>14} {:>8}", "ratio to the writer alone", "median", "quartiles", "limit");
    let ratios = |mode: usize, of: fn(&Measured) -> f64| -> Vec<f64> {
        measured[mode].iter().zip(&measured[0]).map(|(beside, alone)| of(beside) / of(alone)).collect()
    };
    let mut kept = true;
    for (mode, (name, _)) in MODES.iter().enumerate().skip(1) {
        kept &= judge(&format!("p99, bridge {name}"), ratios(mode, |round| round.p99_us), P99_RATIO_MAX);
        kept &= judge(&format!("WAL, bridge {name}"), ratios(mode, |round| round.wal_peak_bytes), WAL_RATIO_MAX);
    }
    kept &= checkpoints(&backend)?;
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
