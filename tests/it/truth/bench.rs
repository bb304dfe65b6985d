//! A bridge in the test's own process, from real sources over its scheduler to its routes, whose time stands until it
//! is moved. Nothing between source and face is replaced; a panic can be planted in a collector.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt;
use linkit_bridge::catalog::{Section, json_fields};
use linkit_bridge::clock::{Clock, TokioClock, Wall};
use linkit_bridge::collector::completed::Completed;
use linkit_bridge::collector::config::{Built, build};
use linkit_bridge::collector::{Attempt, Collector, ErrorClass, Plan};
use linkit_bridge::config::Config;
use linkit_bridge::http_client::HttpClient;
use linkit_bridge::registry::{Registry, Snapshot};
use linkit_bridge::scheduler;
use linkit_bridge::server::{ApiKey, Server, ServerConfig, ServerInfo};
use rusqlite::Connection;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::said::said;
use crate::support::bridge::KEY;
use crate::support::http::Answer;
use crate::support::{Directory, PATIENCE};

/// Where the sections come from; the figures of `shop` always come from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// All three from one documented JSON.
    Document,
    /// Runtime from a documented JSON, store and staging from a database.
    Database,
    /// Runtime from the scrape page of a Go program, store and staging from a documented JSON.
    GoPage,
}

/// What a figure is of: the collectors' names.
pub const SECTIONS: [&str; 4] = ["runtime", "store", "staging", "shop"];

pub const SCHEMA: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    CREATE TABLE products (id INTEGER PRIMARY KEY); CREATE TABLE branches (id INTEGER PRIMARY KEY);
    CREATE TABLE skus (id INTEGER PRIMARY KEY); CREATE TABLE orders (id INTEGER PRIMARY KEY);
    CREATE TABLE customers (id INTEGER PRIMARY KEY);
    CREATE TABLE staging (id INTEGER PRIMARY KEY, status TEXT NOT NULL, completed TEXT NOT NULL DEFAULT '');
    CREATE TABLE shop (open, paid); INSERT INTO shop VALUES (0, 0);";

const SECTION: &str = "interval: 10s, max_backoff: 10s";

/// What the source over HTTP says: the fields of each section, as they are written.
type Tokens = BTreeMap<&'static str, Vec<(&'static str, String)>>;

pub struct Bench {
    pub registry: Arc<Registry>,
    pub started: Wall,
    clock: Arc<dyn Clock>,
    router: Router,
    plans: Vec<Plan>,
    tokens: Arc<Mutex<Tokens>>,
    database: Connection,
    panics: BTreeMap<String, Arc<AtomicBool>>,
    tasks: JoinSet<()>,
    _directory: Directory,
    _standing: mpsc::Sender<()>,
}

impl Bench {
    /// A bridge that has read nothing yet, in a paused runtime; its sources say what they say first.
    pub async fn new(world: World, at: Wall) -> Self {
        let standing = stand_still();
        let (directory, tokens) = (Directory::new("truth"), Arc::default());
        let database = Connection::open(directory.path().join("data.db")).unwrap();
        database.execute_batch(SCHEMA).unwrap();
        let mut tasks = JoinSet::new();
        let url = serve(world, Arc::clone(&tokens), &mut tasks).await;
        let path = directory.path().join("data.db").display().to_string();
        let config = Config::parse("truth", &config(world, &url, &path), &|_| None).unwrap();
        let sections = [config.runtime.as_ref(), config.store.as_ref(), config.staging.as_ref()];
        let custom = config.custom.as_ref().unwrap();
        let built = build(sections, custom, config.megabyte(), &HttpClient::new(), &Completed::default());
        let Built { plans, custom, .. } = built.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(at));
        let registry = Arc::new(Registry::with_custom(Arc::clone(&clock), config.ages(), &[], &custom));
        let mut panics = BTreeMap::new();
        let plans = plans.into_iter().map(|plan| plantable(plan, &mut panics)).collect();
        let router = router(&registry, &clock);
        let bench = Self {
            registry,
            started: at,
            clock,
            router,
            plans,
            tokens,
            database,
            panics,
            tasks,
            _directory: directory,
            _standing: standing,
        };
        SECTIONS.iter().for_each(|section| bench.say(section, "first"));
        bench
    }

    /// Starts the collectors, and waits until each has read once.
    pub async fn start(&mut self) {
        for plan in std::mem::take(&mut self.plans) {
            let job = scheduler::run(plan, Arc::clone(&self.registry), Arc::clone(&self.clock));
            self.tasks.spawn(job);
        }
        self.until_read(&[1; 4]).await;
    }

    /// Moves the time, and waits until each of the collectors of `sections` has read once more.
    pub async fn pass(&self, time: Duration, sections: &[&str]) {
        let mut attempts = self.attempts();
        for (section, attempts) in SECTIONS.iter().zip(&mut attempts) {
            *attempts += u64::from(sections.contains(section));
        }
        tokio::time::advance(time).await;
        self.until_read(&attempts).await;
    }

    async fn until_read(&self, attempts: &[u64]) {
        let began = Instant::now();
        while self.attempts() != attempts {
            assert!(began.elapsed() < PATIENCE, "{:?} attempts instead of {attempts:?}", self.attempts());
            tokio::task::yield_now().await;
        }
    }

    fn attempts(&self) -> Vec<u64> {
        self.snapshot().collectors.iter().map(|collector| collector.attempts).collect()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.current()
    }

    pub fn now(&self) -> Wall {
        self.clock.now().wall
    }

    /// Lets a section's source say what it says at the reading called `name`.
    pub fn say(&self, section: &'static str, name: &str) {
        let values = said(section, name);
        if section == "shop" {
            self.database.execute("UPDATE shop SET open = ?1, paid = ?2", [values[0], values[1]]).unwrap();
            return;
        }
        let of_section = Section::DOCUMENTED.into_iter().find(|documented| documented.name() == section).unwrap();
        let fields = json_fields(&of_section).map(|(_, field)| field.name);
        let fields: Vec<_> = fields.zip(values.iter().map(ToString::to_string)).collect();
        for (field, value) in &fields {
            self.fill(section, field, value.parse().unwrap());
        }
        self.tokens.lock().unwrap().insert(section, fields);
    }

    /// Adds rows to the database until it has as many as are said.
    fn fill(&self, section: &str, field: &str, rows: u64) {
        let state = field.trim_end_matches("_today");
        let (table, row) = match section {
            "store" => (field, "DEFAULT VALUES".to_owned()),
            "staging" => {
                let time = self.now().to_rfc3339().replace('T', " ");
                let time = if state == "completed" { time.as_str() } else { "" };
                ("staging", format!("(status, completed) VALUES ('{state}', '{time}')"))
            }
            _ => return,
        };
        let filter = if table == "staging" { format!("WHERE status = '{state}'") } else { String::new() };
        let count = format!("SELECT count(*) FROM {table} {filter}");
        // A table that is away gets nothing.
        let Ok(held) = self.database.query_row(&count, [], |row| row.get::<_, i64>(0)) else { return };
        for _ in held.unsigned_abs()..rows {
            self.database.execute(&format!("INSERT INTO {table} {row}"), []).unwrap();
        }
    }

    /// Lets the first field of a section of the document be written as `token`, or be missing; of `shop`, the counter.
    pub fn lie(&self, section: &'static str, token: &str) {
        if section == "shop" {
            return self.sql(&format!("UPDATE shop SET paid = {token}"));
        }
        let mut tokens = self.tokens.lock().unwrap();
        let fields = tokens.get_mut(section).unwrap();
        if token == "missing" {
            fields.remove(0);
        } else {
            token.clone_into(&mut fields[0].1);
        }
    }

    /// What the owner of the database does to it.
    pub fn sql(&self, sql: &str) {
        self.database.execute_batch(sql).unwrap();
    }

    /// Lets the next attempt of the collector that reads `section` panic.
    pub fn panic(&self, section: &str) {
        self.panics[section].store(true, Ordering::SeqCst);
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// Paused time runs on by itself whenever there is nothing to do, even while a socket is waited for; but not while a
/// thread is at work, as it is here until the value goes.
fn stand_still() -> mpsc::Sender<()> {
    let (standing, until) = mpsc::channel::<()>();
    drop(tokio::task::spawn_blocking(move || until.recv()));
    standing
}

/// Serves the documented JSON and a page of client_golang; returns the address.
async fn serve(world: World, tokens: Arc<Mutex<Tokens>>, tasks: &mut JoinSet<()>) -> String {
    let document = {
        let tokens = Arc::clone(&tokens);
        move || async move { document(world, &tokens.lock().unwrap()) }
    };
    let page = move || async move { go_page(&tokens.lock().unwrap()["runtime"]) };
    let router = Router::new().route("/api/v1/telemetry", get(document)).route("/metrics", get(page));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn document(world: World, tokens: &Tokens) -> String {
    let members = |fields: &[(&str, String)]| {
        fields.iter().map(|(name, token)| format!("\"{name}\": {token}")).collect::<Vec<_>>().join(", ")
    };
    let sections = tokens.iter().filter(|(section, _)| world != World::GoPage || **section != "runtime");
    let sections = sections.map(|(section, fields)| format!(", \"{section}\": {{ {} }}", members(fields)));
    format!("{{ \"version\": \"1.0.0\"{} }}", sections.collect::<String>())
}

/// What the page of a Go program has of the runtime's fields: all but the last pause.
fn go_page(fields: &[(&str, String)]) -> String {
    let line = |(field, token): &(&str, String)| {
        let name = match *field {
            "goroutines" => "go_goroutines",
            "cpu_count" => "go_sched_gomaxprocs_threads",
            "alloc_mb" => "go_memstats_alloc_bytes",
            "total_alloc_mb" => "go_memstats_alloc_bytes_total",
            "sys_mb" => "go_memstats_sys_bytes",
            "num_gc" => "go_gc_duration_seconds_count",
            _ => return None,
        };
        let bytes = token.parse::<u64>().ok().filter(|_| name.contains("bytes")).map(|value| (value << 20).to_string());
        Some(format!("{name} {}\n", bytes.as_ref().unwrap_or(token)))
    };
    fields.iter().filter_map(line).collect()
}

fn config(world: World, url: &str, path: &str) -> String {
    let document = format!("{{ source: telemetry_json, url: '{url}', {SECTION} }}");
    let database = format!("{{ source: sqlite, path: '{path}', {SECTION} }}");
    let page = format!("{{ source: go, url: '{url}', expvar: false, pprof: false, {SECTION} }}");
    let [runtime, others] = match world {
        World::Document => [&document, &document],
        World::Database => [&document, &database],
        World::GoPage => [&page, &document],
    };
    format!(
        "runtime: {runtime}\nstore: {others}\nstaging: {others}\ncustom:\n  shop:\n    source: sqlite\n    path: {path}\n    \
         interval: 10s\n    max_backoff: 10s\n    figures:\n      \
         - {{ name: orders.open, query: SELECT open AS value FROM shop, help: Open orders }}\n      \
         - {{ name: orders.paid, kind: counter, query: SELECT paid AS value FROM shop, help: Paid orders }}\n"
    )
}

fn router(registry: &Arc<Registry>, clock: &Arc<dyn Clock>) -> Router {
    let keys = vec![ApiKey::from_secret("test", &SecretString::from(KEY))];
    let config = ServerConfig { keys, ..ServerConfig::default() };
    let info = ServerInfo { service: "shop".to_owned(), environment: "test".to_owned(), clock: Arc::clone(clock) };
    Server::new(config, Arc::clone(registry), prometheus::Registry::new(), info).unwrap().router()
}

/// A collector in which a panic can be planted.
struct Plantable {
    inner: Box<dyn Collector>,
    panics: Arc<AtomicBool>,
}

impl Collector for Plantable {
    fn source(&self) -> &'static str {
        self.inner.source()
    }

    fn sections(&self) -> &[Section] {
        self.inner.sections()
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        self.inner.error_classes()
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        if self.panics.swap(false, Ordering::SeqCst) {
            return Box::pin(async { panic!("planted") });
        }
        self.inner.collect(clock)
    }
}

fn plantable(plan: Plan, all: &mut BTreeMap<String, Arc<AtomicBool>>) -> Plan {
    let panics = Arc::<AtomicBool>::default();
    all.extend(plan.collector.sections().iter().map(|section| (section.name().to_owned(), Arc::clone(&panics))));
    Plan { collector: Box::new(Plantable { inner: plan.collector, panics }), ..plan }
}
