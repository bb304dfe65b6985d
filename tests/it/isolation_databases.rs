//! Isolation from databases: a server or a file that turns hostile costs its own figures and nothing else, and is read
//! again once it is well.
//!
//! Each case is a bridge of its own that reads a figure of the operator's own from each hostile database, and the
//! documented sections from a live SQLite file. As in `isolation`, how long an answer took is printed and not judged,
//! but that none waits for a database.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};

use crate::isolation::{Series, errors, figure, is, memory_kib};
use crate::support::bridge::{Bridge, KEY};
use crate::support::hostile::{HostileServer, Ill, Speech};
use crate::support::http::get_ok;
use crate::support::{Directory, PATIENCE, eventually, page};

/// Below the least time a database is waited for, 1.25 s, so that nothing can have waited for one.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
const READ_WITHIN_S: f64 = 4.0;
const GROWTH_MAX_KIB: u64 = 32 << 10;

/// What is taken of one answer, 2 MiB, with what lies in the sockets' buffers.
const TAKEN_MAX: u64 = 24 << 20;

const SIEGE: Duration = Duration::from_secs(3);
/// With back-off there is an attempt every 0.75 s at the most, once it has grown; by the interval alone there were four.
const ATTEMPTS_FIRST: u128 = 5;
const ATTEMPT_EVERY_MS: u128 = 750;

const PAUSE: Duration = Duration::from_millis(40);
const AT_ONCE: usize = 4;

const ILLS: &[Ill] = &[
    Ill::Refuses,
    Ill::Hangs,
    Ill::HangsInAnswer,
    Ill::DripsGreeting,
    Ill::DripsAnswer,
    Ill::GarbageForGreeting,
    Ill::GarbageForAnswer,
    Ill::GarbageForTls,
    Ill::ShortGreeting,
    Ill::ShortRow,
    Ill::ClosesInAnswer,
    Ill::EndlessGreeting,
    Ill::EndlessParameters,
    Ill::EndlessNotices,
    Ill::EndlessCell,
    Ill::ManyRows,
    Ill::ManyCells,
    Ill::ManyColumns,
    Ill::CountlessColumns,
];

/// A live backend's file with an empty shop.
pub struct Shop {
    directory: Directory,
    _owner: rusqlite::Connection,
}

impl Shop {
    pub fn open() -> Self {
        let directory = Directory::new("shop");
        let owner = rusqlite::Connection::open(directory.path().join("data.db")).unwrap();
        let tables = ["products", "branches", "skus", "orders", "customers"]
            .map(|table| format!("CREATE TABLE {table} (id TEXT PRIMARY KEY); INSERT INTO {table} VALUES ('a');"));
        let staging = "CREATE TABLE staging (id TEXT PRIMARY KEY, status TEXT, completed TEXT);";
        owner.execute_batch(&format!("PRAGMA journal_mode = WAL; {staging} {}", tables.concat())).unwrap();
        Self { directory, _owner: owner }
    }

    /// The documented sections of a config.
    pub fn config(&self) -> String {
        let source =
            format!("source: sqlite, path: '{}', interval: 200ms", self.directory.path().join("data.db").display());
        format!(
            "service: {{ name: linkit }}\nruntime: {{ source: self, interval: 200ms }}\n\
             store: {{ {source} }}\nstaging: {{ {source} }}\ncustom:\n"
        )
    }
}

/// What reads a figure from a database: its name, and its source.
pub type Reader = (String, &'static str);

/// A bridge and what is seen of it.
pub struct Siege {
    name: String,
    readers: Vec<Reader>,
    bridge: Bridge,
    took: Vec<Duration>,
    rss: u64,
}

impl Siege {
    /// Starts a bridge and waits until all of its sources are read.
    pub async fn begin(name: String, config: &str, readers: Vec<Reader>) -> Self {
        let bridge = Bridge::start(config).await;
        let mut siege = Self { name, readers, bridge, took: Vec::new(), rss: 0 };
        siege.bridge.telemetry_ok().await;
        siege.are_up().await;
        for _ in 0..20 {
            siege.ask().await;
        }
        siege.took.clear();
        let pid = siege.bridge.process.id();
        siege.rss = memory_kib(pid, "VmRSS");
        // From here on VmHWM is the peak of the siege, not that of the start.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        siege
    }

    pub async fn are_up(&self) {
        for (reader, source) in &self.readers {
            let up = || async { is_up(&self.bridge.series().await, reader, source).then_some(()) };
            eventually(&format!("{}: {reader} being up", self.name), up).await;
        }
    }

    /// One request for the page and one for the JSON, each answered soon and with 200.
    async fn ask(&mut self) -> Series {
        let mut body = String::new();
        for (path, headers) in [("/api/v1/telemetry", &[("authorization", KEY)][..]), ("/metrics", &[])] {
            let (url, asked) = (format!("{}{path}", self.bridge.url), Instant::now());
            body = get_ok(&url, headers).await.body;
            let took = asked.elapsed();
            assert!(took < ANSWERED_WITHIN, "{}: {path} took {took:?}", self.name);
            self.took.push(took);
        }
        page::series(&body)
    }

    /// Asks for `time`; the documented sections stay fresh all the while.
    pub async fn hold(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let series = self.ask().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            for (section, source) in [("runtime", "self"), ("store", "sqlite"), ("staging", "sqlite")] {
                let of = |name| figure(&series, name, section, source);
                let age = now - of("last_success_timestamp_seconds");
                assert!(age < READ_WITHIN_S, "{}: {section} was read {age} s ago", self.name);
                assert!(is(of("staleness"), 0.0) && is(of("up"), 1.0), "{}: {section} suffers", self.name);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until each reader has failed by its class. By no other: but that on a busy machine there may be no time to
    /// send too much.
    pub async fn are_down(&self, classes: &[&str]) {
        for ((reader, _), class) in self.readers.iter().zip(classes) {
            let failed =
                || async { Some(self.bridge.series().await).filter(|series| errors(series, reader).contains(class)) };
            let series = eventually(&format!("{}: {reader} failing by {class}", self.name), failed).await;
            let mut others = errors(&series, reader);
            others.retain(|other| other != class && (*class, *other) != ("oversized", "timeout"));
            assert!(others.is_empty(), "{}: {reader}: {others:?}: {}", self.name, self.bridge.process.output());
        }
    }

    /// Ends the bridge and judges what it has left: the memory it took, and no panic in its log.
    pub async fn end(mut self) -> String {
        let growth = memory_kib(self.bridge.process.id(), "VmHWM").saturating_sub(self.rss);
        assert!(growth < GROWTH_MAX_KIB, "{}: grew by {growth} KiB over {} KiB", self.name, self.rss);
        self.bridge.process.signal("-TERM");
        let status = self.bridge.process.ended().await;
        let output = self.bridge.process.output();
        assert!(status.success() && !output.contains("panicked"), "{}: {status}: {output}", self.name);
        self.took.sort_unstable();
        let (count, last) = (self.took.len(), self.took.len() - 1);
        let [median, p99, worst] = [count / 2, count * 99 / 100, last].map(|at| self.took[at].as_secs_f64() * 1e3);
        let (name, rss) = (&self.name, self.rss);
        format!(
            "{name:<44} {count} answers: median {median:5.1} ms, p99 {p99:6.1} ms, worst {worst:6.1} ms; \
             memory {rss} + {growth} KiB"
        )
    }

    /// The log says of each reader what is the matter, and no more often than it changes.
    pub fn each_is_said_once(&self) {
        let output = self.bridge.process.output();
        for (reader, _) in &self.readers {
            let of_reader = format!("collector={reader} ");
            let said = output.lines().filter(|line| line.contains(&of_reader) && line.contains("failed to read"));
            let mut said: Vec<_> = said.map(|line| line.split_once(' ').unwrap().1).collect();
            let all = said.len();
            said.dedup();
            assert!(all == said.len() && (1..=4).contains(&all), "{}: {reader}: {output}", self.name);
        }
    }
}

/// Whether the last attempt of a reader was good; there may have been none.
fn is_up(series: &Series, reader: &str, source: &str) -> bool {
    let name = format!("linkit_bridge_collector_up{{collector=\"{reader}\",source=\"{source}\"}}");
    series.get(&name).is_some_and(|up| is(*up, 1.0))
}

/// The part of a config for a figure of its own from a database.
pub fn reader(name: &str, source: &str, query: &str) -> String {
    let figure = format!("name: {name}, query: \"{query}\", help: A figure");
    format!("  {name}: {{ {source}, interval: 200ms, figures: [ {{ {figure} }} ] }}\n")
}

fn start(ills: &[Ill]) -> Vec<HostileServer> {
    let both = ills.iter().flat_map(|ill| [Speech::Postgres, Speech::Mysql].map(|speech| (speech, *ill)));
    both.filter(|(speech, ill)| ill.is_of(*speech)).map(|(speech, ill)| HostileServer::start(speech, ill)).collect()
}

/// A config that reads a figure from each server.
fn config(shop: &Shop, servers: &[HostileServer], keys: &str) -> (String, Vec<Reader>) {
    let (mut config, mut readers) = (shop.config(), Vec::new());
    for (number, server) in servers.iter().enumerate() {
        let (kind, url) = (server.source(), server.url());
        let name = format!("{kind}{number}");
        config.push_str(&reader(&name, &format!("source: {kind}, url: '{url}', {keys}"), "SELECT 7 AS value"));
        readers.push((name, kind));
    }
    (config, readers)
}

async fn servers(ills: &[Ill]) -> String {
    let shop = Shop::open();
    let servers = start(ills);
    let (config, readers) = config(&shop, &servers, "max_backoff: 1s");
    let name = if let [ill] = ills { format!("{ill:?}") } else { format!("{} servers", servers.len()) };
    let mut siege = Siege::begin(name, &config, readers).await;
    let turned = Instant::now();
    servers.iter().for_each(HostileServer::turn);
    siege.hold(SIEGE).await;
    let classes: Vec<_> = servers.iter().map(|server| server.ill.class()).collect();
    siege.are_down(&classes).await;
    for server in &servers {
        let (ill, taken) = (server.ill, server.taken_max());
        assert!(server.victims() > 0 || ill == Ill::Refuses, "{}: {ill:?} was not asked", siege.name);
        let (asked, most) = (server.victims(), ATTEMPTS_FIRST + turned.elapsed().as_millis() / ATTEMPT_EVERY_MS);
        assert!(u128::from(asked) <= most, "{}: {ill:?} was asked {asked} times", siege.name);
        assert!(taken < TAKEN_MAX, "{}: {:?} {ill:?} could send {taken} bytes", siege.name, server.speech);
    }
    servers.iter().for_each(HostileServer::heal);
    siege.are_up().await;
    siege.each_is_said_once();
    let taken = servers.iter().map(HostileServer::taken_max).max().unwrap_or(0) >> 10;
    format!("{}; at most {taken} KiB taken", siege.end().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_server_costs_its_own_figures_and_is_read_again_when_it_is_well() {
    let sieges = stream::iter(ILLS.chunks(1)).map(|ill| tokio::spawn(servers(ill)));
    let mut reports = sieges.buffer_unordered(AT_ONCE);
    while let Some(report) = reports.next().await {
        eprintln!("{}", report.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hostile_servers_at_once_cost_their_own_figures() {
    eprintln!("{}", servers(ILLS).await);
}

/// Sockets and threads of a process, and the live tasks that a bridge says it has.
async fn held(bridge: &Bridge) -> [u64; 3] {
    // The number of tasks is read at its interval too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = bridge.process.id();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let sockets = links.filter(|link| link.display().to_string().starts_with("socket:")).count();
    let tasks = bridge.series().await["linkit_runtime_goroutines"];
    [sockets as u64, memory_kib(pid, "Threads"), format!("{tasks:.0}").parse().unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_dropped_at_their_deadline_leave_no_socket_thread_or_task() {
    let shop = Shop::open();
    let servers = start(&[Ill::Hangs, Ill::HangsInAnswer]);
    let (config, readers) = config(&shop, &servers, "timeout: 100ms, max_backoff: 100ms");
    let config = config.replace("interval: 200ms, figures", "interval: 100ms, figures");
    let mut siege = Siege::begin("dropped attempts".to_owned(), &config, readers).await;
    let before = held(&siege.bridge).await;
    servers.iter().for_each(HostileServer::turn);
    let began = Instant::now();
    while servers.iter().any(|server| server.victims() < 50) {
        assert!(began.elapsed() < PATIENCE, "50 attempts at each server took too long");
        siege.hold(PAUSE).await;
    }
    let after = held(&siege.bridge).await;
    // The last attempt of each may hold one socket more than a session does, the listener of its wire.
    let most = [before[0] + servers.len() as u64, before[1] + 2, before[2] + servers.len() as u64];
    assert!(after.iter().zip(most).all(|(now, most)| *now <= most), "from {before:?} to {after:?}");
    servers.iter().for_each(HostileServer::heal);
    siege.are_up().await;
    eprintln!("sockets, threads and tasks: {before:?}, after 50 attempts {after:?}; {}", siege.end().await);
}
