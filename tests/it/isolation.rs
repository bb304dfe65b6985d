//! Isolation: a source that turns hostile costs its own figures and nothing else, whatever it does, alone or with all
//! others, and is read again once it is well.
//!
//! A siege is a bridge of its own. Its hostile sources are well at first, so that all faces have something to say; then
//! they turn, and while they do their worst the bridge is asked; then they heal. What is judged is how long the answers
//! took, the memory the bridge grew by, that the sources which are well stayed fresh, and that nothing panicked. The
//! sources of each kind are in a file of their own, which is where the next kind goes; `together` has them all at once.

mod files;
mod http;
mod servers;
mod together;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use crate::support::bridge::{Bridge, KEY};
use crate::support::hostile::Host;
use crate::support::http::get_ok;
use crate::support::{Directory, eventually, page};

/// What 99 of 100 answers take at the most, and what each does: less than the least time a database is waited for,
/// 1.25 s, so that none can have waited for a source.
const P99_MAX: Duration = Duration::from_millis(250);
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// A siege that has seen worse asks anew, so often: a neighbour on the machine comes and goes, and what a source does
/// to the bridge is there each time.
const HOLDS_MAX: u32 = 3;

const READ_WITHIN_S: f64 = 4.0;
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const GROWTH_MAX_KIB: u64 = 32 << 10;

/// Far above what a reader takes that stops at its limit of 1 or 2 MiB, with what lies in the sockets' buffers.
const TAKEN_MAX: u64 = 24 << 20;

/// Of a hold; each asks for the page and for the JSON.
const ROUNDS: usize = 110;
const PAUSE: Duration = Duration::from_millis(20);

/// Times of a source, for a config.
const EVERY: &str = "interval: 200ms, max_backoff: 1s";

/// Sieges at once in this process. One holds up the other by its hostile sources, which take what they get of the
/// machine; in truth they are elsewhere.
const PLACES: usize = 4;
static FREE: Semaphore = Semaphore::const_new(PLACES);

type Series = BTreeMap<String, f64>;

/// What reads a source: the name of its collector, and the kind of the source.
type Reader = (String, &'static str);

/// A source that can turn.
trait Hostile: Send + Sync {
    /// Who listens, if it is on the network.
    fn host(&self) -> Option<&Host> {
        None
    }

    fn turn(&mut self);

    fn heal(&mut self);

    /// The classes of errors it is to be counted as.
    fn classes(&self) -> Vec<&'static str>;

    /// A class that it may be counted as too.
    fn may_be(&self) -> Option<&'static str> {
        None
    }

    /// Judges what it has seen of the bridge.
    fn judge(&self, siege: &str) {
        let _ = siege;
    }
}

/// A live backend's file with an empty shop.
struct Shop {
    directory: Directory,
    _owner: rusqlite::Connection,
}

impl Shop {
    fn open() -> Self {
        let directory = Directory::new("shop");
        let owner = rusqlite::Connection::open(directory.path().join("data.db")).unwrap();
        let tables = ["products", "branches", "skus", "orders", "customers"]
            .map(|table| format!("CREATE TABLE {table} (id TEXT PRIMARY KEY); INSERT INTO {table} VALUES ('a');"));
        let staging = "CREATE TABLE staging (id TEXT PRIMARY KEY, status TEXT, completed TEXT);";
        owner.execute_batch(&format!("PRAGMA journal_mode = WAL; {staging} {}", tables.concat())).unwrap();
        Self { directory, _owner: owner }
    }

    fn keys(&self) -> String {
        format!("path: '{}', {EVERY}", self.directory.path().join("data.db").display())
    }
}

/// What a bridge is to read.
struct Camp {
    sections: String,
    figures: String,
    ill: Vec<(Reader, Box<dyn Hostile>)>,
    well: Vec<Reader>,
}

impl Camp {
    /// One that has a figure of a live file, which is well.
    fn new(shop: &Shop) -> Self {
        let mut camp = Self { sections: String::new(), figures: String::new(), ill: Vec::new(), well: Vec::new() };
        let reader = camp.figure("sqlite", &shop.keys(), "SELECT count(*) AS value FROM skus");
        camp.well.push(reader);
        camp
    }

    /// One whose documented sections are well, too.
    fn with_sections(shop: &Shop) -> Self {
        let mut camp = Self::new(shop);
        camp.section_that_is_well("runtime", "self", "interval: 200ms");
        camp.section_that_is_well("store", "sqlite", &shop.keys());
        camp.section_that_is_well("staging", "sqlite", &shop.keys());
        camp
    }

    fn section(&mut self, name: &str, source: &'static str, keys: &str) -> Reader {
        self.sections.push_str(&format!("{name}: {{ source: {source}, {keys} }}\n"));
        (name.to_owned(), source)
    }

    fn section_that_is_well(&mut self, name: &str, source: &'static str, keys: &str) {
        let reader = self.section(name, source, keys);
        self.well.push(reader);
    }

    /// Adds a figure of its own from a database.
    fn figure(&mut self, source: &'static str, keys: &str, query: &str) -> Reader {
        let name = format!("{source}{}", self.figures.lines().count());
        let figure = format!("name: {name}, query: \"{query}\", help: A figure");
        self.figures.push_str(&format!("  {name}: {{ source: {source}, {keys}, figures: [ {{ {figure} }} ] }}\n"));
        (name, source)
    }

    fn ill(&mut self, reader: Reader, source: impl Hostile + 'static) {
        self.ill.push((reader, Box::new(source)));
    }
}

/// A bridge and what is seen of it.
struct Siege {
    name: String,
    ill: Vec<(Reader, Box<dyn Hostile>)>,
    well: Vec<Reader>,
    bridge: Bridge,
    /// What the answers of the last hold took, and how many holds there were.
    took: Vec<Duration>,
    holds: u32,
    rss: u64,
}

impl Siege {
    /// The whole siege; what was measured.
    async fn run(name: &str, camp: Camp) -> String {
        let mut siege = Self::begin(name, camp).await;
        siege.turn();
        while siege.holds == 0 || (siege.holds < HOLDS_MAX && siege.percentile(99) > P99_MAX) {
            siege.took.clear();
            siege.hold(ROUNDS).await;
        }
        siege.are_down().await;
        siege.heal();
        siege.are_up().await;
        siege.each_is_said_once();
        siege.end().await
    }

    /// Starts a bridge and waits until all of its sources are read.
    async fn begin(name: &str, camp: Camp) -> Self {
        let Camp { sections, figures, ill, well } = camp;
        let bridge = Bridge::start(&format!("service: {{ name: linkit }}\n{sections}custom:\n{figures}")).await;
        let mut siege = Self { name: name.to_owned(), ill, well, bridge, took: Vec::new(), holds: 0, rss: 0 };
        siege.bridge.telemetry_ok().await;
        siege.are_up().await;
        // What is used once is to be there before it is measured.
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

    fn turn(&mut self) {
        self.ill.iter_mut().for_each(|(_, source)| source.turn());
    }

    fn heal(&mut self) {
        self.ill.iter_mut().for_each(|(_, source)| source.heal());
    }

    async fn are_up(&self) {
        for (reader, source) in self.ill.iter().map(|(reader, _)| reader).chain(&self.well) {
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

    /// Asks again and again, while the sources that are well stay fresh.
    async fn hold(&mut self, rounds: usize) {
        self.holds += 1;
        let (before, began) = (self.ask().await, Instant::now());
        let mut after = Series::new();
        for _ in 0..rounds {
            after = self.ask().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            for reader in &self.well {
                let age = now - figure(&after, "last_success_timestamp_seconds", reader);
                assert!(age < READ_WITHIN_S, "{}: {reader:?} was read {age} s ago", self.name);
                let staleness = figure(&after, "staleness", reader);
                let is_well = is(staleness, 0.0) && is_up(&after, &reader.0, reader.1);
                assert!(is_well, "{}: {reader:?} suffers", self.name);
            }
            tokio::time::sleep(PAUSE).await;
        }
        let least = began.elapsed().as_secs_f64() / 3.0;
        for reader in &self.well {
            let read = |series| figure(series, "last_success_timestamp_seconds", reader);
            assert!(read(&after) > read(&before) + least, "{}: {reader:?} is not read any more", self.name);
            assert_eq!(errors(&after, &reader.0), [] as [&str; 0], "{}: {reader:?}", self.name);
        }
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took[(took.len() * percent / 100).min(took.len() - 1)]
    }

    /// Waits until each hostile source has failed by its classes, and by no other.
    async fn are_down(&self) {
        for ((reader, _), source) in &self.ill {
            let classes = source.classes();
            let failed = || async {
                let series = self.bridge.series().await;
                let counted = errors(&series, reader);
                classes.iter().all(|class| counted.contains(class)).then_some(series)
            };
            let series = eventually(&format!("{}: {reader} failing by {classes:?}", self.name), failed).await;
            let mut others = errors(&series, reader);
            others.retain(|other| !classes.contains(other) && source.may_be() != Some(*other));
            assert!(others.is_empty(), "{}: {reader}: {others:?}: {}", self.name, self.bridge.process.output());
            source.judge(&self.name);
            let taken = source.host().map_or(0, Host::taken_max);
            assert!(taken < TAKEN_MAX, "{}: {reader}, {classes:?}, could send {taken} bytes", self.name);
        }
    }

    /// The log says of each hostile source what is the matter, and no more often than it changes.
    fn each_is_said_once(&self) {
        let output = self.bridge.process.output();
        for ((reader, _), source) in &self.ill {
            let of_reader = format!("collector={reader} ");
            let said = output.lines().filter(|line| line.contains(&of_reader) && line.contains("failed to read"));
            let mut said: Vec<_> = said.map(|line| line.split_once(' ').unwrap().1).collect();
            let all = said.len();
            said.dedup();
            // One that may be counted as two classes changes as often as it is now the one, now the other.
            let most = if source.may_be().is_some() { usize::MAX } else { 4 * source.classes().len() };
            assert!(all == said.len() && (1..=most).contains(&all), "{}: {reader}: {output}", self.name);
        }
    }

    /// Ends the bridge and judges what it has left: the times and the memory it took, and no panic in its log.
    async fn end(mut self) -> String {
        let (name, rss) = (&self.name, self.rss);
        let growth = memory_kib(self.bridge.process.id(), "VmHWM").saturating_sub(rss);
        let asked = Instant::now();
        self.bridge.process.signal("-TERM");
        let status = self.bridge.process.ended().await;
        let (stopped, output) = (asked.elapsed(), self.bridge.process.output());
        assert!(status.success() && stopped < STOPPED_WITHIN, "{name}: {status} in {stopped:?}: {output}");
        assert!(!output.contains("panicked"), "{name}: {output}");
        let (count, [median, p99, worst]) = (self.took.len(), [50, 99, 100].map(|percent| self.percentile(percent)));
        let taken = self.ill.iter().filter_map(|(_, source)| source.host()).map(Host::taken_max).max().unwrap_or(0);
        let report = format!(
            "{name:<60} {count} answers in hold {}: median {median:.1?}, p99 {p99:.1?}, \
             worst {worst:.1?}; \
             memory {rss} + {growth} KiB; at most {} KiB taken; ended in {stopped:.1?}",
            self.holds,
            taken >> 10
        );
        assert!(growth < GROWTH_MAX_KIB && p99 <= P99_MAX, "{report}");
        report
    }
}

fn figure(series: &Series, name: &str, (collector, source): &Reader) -> f64 {
    let name = format!("linkit_bridge_collector_{name}{{collector=\"{collector}\",source=\"{source}\"}}");
    *series.get(&name).unwrap_or_else(|| panic!("{name} is not there"))
}

/// Whether the last attempt of a reader was good; there may have been none.
fn is_up(series: &Series, reader: &str, source: &str) -> bool {
    let name = format!("linkit_bridge_collector_up{{collector=\"{reader}\",source=\"{source}\"}}");
    series.get(&name).is_some_and(|up| is(*up, 1.0))
}

/// The classes of errors that were counted for a collector, sorted.
fn errors<'a>(series: &'a Series, collector: &str) -> Vec<&'a str> {
    let of_collector = format!("collector=\"{collector}\"");
    let counted = series.iter().filter(|(name, count)| {
        name.starts_with("linkit_bridge_collector_errors_total{") && name.contains(&of_collector) && **count > 0.0
    });
    counted.map(|(name, _)| name.split("class=\"").nth(1).unwrap().split('"').next().unwrap()).collect()
}

fn is(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < f64::EPSILON
}

/// A line of `/proc/PID/status`.
fn memory_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sieges beside each other, as many as have a place.
async fn each(sieges: impl Iterator<Item = impl Future<Output = String> + Send + 'static>) {
    let sieges = sieges.map(|siege| {
        tokio::spawn(async {
            let _place = FREE.acquire().await.unwrap();
            siege.await
        })
    });
    let mut reports = stream::iter(sieges).buffer_unordered(PLACES);
    while let Some(report) = reports.next().await {
        eprintln!("{}", report.unwrap());
    }
}

/// A siege with no other beside it.
async fn alone(siege: impl Future<Output = String>) {
    let _places = FREE.acquire_many(u32::try_from(PLACES).unwrap()).await.unwrap();
    eprintln!("{}", siege.await);
}
