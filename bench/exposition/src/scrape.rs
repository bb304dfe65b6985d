//! A scrape of the bridge's ordinary page, and of its JSON, against a static body on the same server.
//!
//! Each row is a request as a client would send it. Its answer and the same answer as ready bytes, by a route that does
//! nothing else, are asked for in turns over the same connections; the server is a process of its own with the listener,
//! the limits and the workers of the real one. Judged is the median of the rounds' ratios.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stats::{Quartiles, p99};
use crate::{Result, word};

const ROUNDS: usize = 31;
/// Turns of a round, half of them the bridge's: short, so that what else runs on the machine meets both alike.
const TURNS: usize = 12;
const TURN: Duration = Duration::from_millis(15);
const CONNECTIONS: usize = 4;
const RATE_MIN: f64 = 0.95;
const P99_MAX: f64 = 1.2;

/// The key of the JSON route.
pub(crate) const KEY: &str = "bench-key-5f3c9a";

const FORMATS: [(&str, &str); 5] = [
    ("text 0.0.4", "text/plain;version=0.0.4"),
    ("text 1.0.0", "text/plain;version=1.0.0;escaping=allow-utf-8"),
    ("OpenMetrics 0.0.1", "application/openmetrics-text;version=0.0.1"),
    ("OpenMetrics 1.0.0", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8"),
    (
        "protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
         escaping=allow-utf-8",
    ),
];

const CODINGS: [&str; 3] = ["identity", "gzip", "zstd"];

/// One thing that is asked for.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) path: &'static str,
    /// Where the same answer stands as ready bytes.
    pub(crate) twin: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// All rows, in the order of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (format, wanted) in FORMATS {
        for coding in CODINGS {
            // As Prometheus 3 asks: what it wants most first, then the others it can read.
            let others = FORMATS.iter().rev().filter(|(name, _)| *name != format).zip(["0.5", "0.4", "0.3", "0.2"]);
            let others: String = others.map(|((_, range), q)| format!(",{range};q={q}")).collect();
            let accept = format!("{wanted};q=0.6{others},*/*;q=0.1");
            rows.push(Row {
                name: format!("{format}, {coding}"),
                path: "/metrics",
                twin: format!("/static/{}", rows.len()),
                headers: vec![
                    ("user-agent", "Prometheus/3.5.0".to_owned()),
                    ("accept", accept),
                    ("accept-encoding", coding.to_owned()),
                    ("x-prometheus-scrape-timeout-seconds", "10".to_owned()),
                ],
            });
        }
    }
    let headers = vec![("user-agent", "curl/8.5.0".to_owned()), ("authorization", KEY.to_owned())];
    let twin = format!("/static/{}", rows.len());
    rows.push(Row { name: "JSON with its key".to_owned(), path: "/api/v1/telemetry", twin, headers });
    rows
}

impl Row {
    fn request(&self, path: &str) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{headers}\r\n").into_bytes()
    }
}

/// The server's process, which ends with the value.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Served {
    /// Time of the processors that its threads have had.
    fn cpu_ns(&self) -> Result<u64> {
        let mut all = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let told = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            all += told.split_whitespace().next().ok_or("no time in schedstat")?.parse::<u64>()?;
        }
        Ok(all)
    }
}

/// A kept connection, read through one buffer.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, buffer: vec![0; 1 << 20] })
    }

    /// Sends a request and reads its whole answer; the answer's size.
    fn ask(&mut self, request: &[u8]) -> Result<usize> {
        self.stream.write_all(request)?;
        let (mut read, mut whole) = (0, None);
        while whole.is_none_or(|whole| read < whole) {
            match self.stream.read(&mut self.buffer[read..])? {
                0 => return Err("the server closed a connection".into()),
                bytes => read += bytes,
            }
            if whole.is_none() {
                whole = whole_size(&self.buffer[..read])?;
            }
        }
        Ok(read)
    }
}

/// The size of an answer by its head, once that is whole.
fn whole_size(answer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(text.lines().next().unwrap_or_default().to_owned().into());
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
    Ok(Some(head + 4 + length.parse::<usize>()?))
}

/// What the turns of one side brought.
#[derive(Default)]
struct Side {
    /// Of each request, in nanoseconds.
    times: Vec<u64>,
    took_s: f64,
    /// Time of the processors that the server has had.
    cpu_ns: u64,
}

impl Side {
    /// Requests a second.
    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took_s
    }

    /// Time of the processors that the server took for a request.
    fn cost(&self) -> f64 {
        self.cpu_ns as f64 / self.times.len() as f64
    }

    /// All connections ask for the same as fast as they are answered.
    fn turn(&mut self, served: &Served, connections: &mut [Connection], request: &[u8]) -> Result<()> {
        let (start, before) = (Instant::now(), served.cpu_ns()?);
        for times in asked(connections, request, start) {
            self.times.extend(times?);
        }
        self.took_s += start.elapsed().as_secs_f64();
        self.cpu_ns += served.cpu_ns()? - before;
        Ok(())
    }
}

fn asked(connections: &mut [Connection], request: &[u8], start: Instant) -> Vec<std::result::Result<Vec<u64>, String>> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = connections
            .iter_mut()
            .map(|connection| {
                scope.spawn(move || {
                    let mut times = Vec::with_capacity(1 << 14);
                    while start.elapsed() < TURN {
                        let asked = Instant::now();
                        connection.ask(request).map_err(|error| error.to_string())?;
                        times.push(asked.elapsed().as_nanos() as u64);
                    }
                    Ok::<_, String>(times)
                })
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().map_err(|_| "a client panicked".to_owned())?).collect()
    })
}

/// What the rounds of one row brought.
#[derive(Default)]
struct Measured {
    rates: Vec<f64>,
    rate_ratios: Vec<f64>,
    p99_ratios: Vec<f64>,
    cost_ratios: Vec<f64>,
}

/// Measures all rows and prints the table; whether the bridge holds what is required of it.
pub(crate) fn run() -> Result<bool> {
    let mut child = Command::new(std::env::current_exe()?).arg("server").stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let served = Served(child);
    let mut lines = BufReader::new(output).lines();
    let address = lines.next().ok_or("the server did not start")??.parse()?;
    let series = lines.next().ok_or("the server did not start")??;
    println!(
        "the ordinary page, {series} series, {CONNECTIONS} connections, {ROUNDS} rounds of {TURNS} turns of {TURN:?}\n"
    );
    println!(
        "{:28} {:>9} {:>7} {:>14}      {:>7} {:>14}      {:>5}",
        "ratios to a static body", "req/s", "rate", "quartiles", "p99", "quartiles", "CPU"
    );
    let rows = rows();
    let mut connections = (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    let mut measured: Vec<_> = rows.iter().map(|_| Measured::default()).collect();
    for number in 0..=ROUNDS {
        for (row, measured) in rows.iter().zip(&mut measured) {
            let (bridge, still) = (row.request(row.path), row.request(&row.twin));
            let mut sides = [Side::default(), Side::default()];
            for turn in 0..TURNS {
                // Bridge, static, static, bridge: none is always the one that comes after the other.
                let at = usize::from(turn % 4 == 1 || turn % 4 == 2);
                sides[at].turn(&served, &mut connections, [&bridge, &still][at])?;
            }
            // The first round only warms up.
            if number > 0 {
                let [bridge, still] = &mut sides;
                measured.rates.push(bridge.rate());
                measured.rate_ratios.push(bridge.rate() / still.rate());
                measured.cost_ratios.push(bridge.cost() / still.cost());
                measured.p99_ratios.push(p99(&mut bridge.times) as f64 / p99(&mut still.times) as f64);
            }
        }
    }
    let mut holds = true;
    for (row, measured) in rows.iter().zip(measured) {
        holds &= line(&row.name, measured);
    }
    Ok(holds)
}

/// Prints a row; whether both its ratios are within their limits.
fn line(name: &str, measured: Measured) -> bool {
    let rate = Quartiles::of(measured.rate_ratios);
    let late = Quartiles::of(measured.p99_ratios);
    let quartiles = |of: Quartiles| format!("{:.2} to {:.2}", of.low, of.high);
    println!(
        "{name:28} {:>9.0} {:>7.3} {:>14} {:4} {:>7.2} {:>14} {:4} {:>5.2}",
        Quartiles::of(measured.rates).median,
        rate.median,
        quartiles(rate),
        word(rate.median >= RATE_MIN),
        late.median,
        quartiles(late),
        word(late.median <= P99_MAX),
        Quartiles::of(measured.cost_ratios).median
    );
    rate.median >= RATE_MIN && late.median <= P99_MAX
}
