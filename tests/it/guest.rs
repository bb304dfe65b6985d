//! The bridge as a guest of a live PocketBase: nothing it does keeps its host from starting, writing or checkpointing,
//! and whatever becomes of the database is said honestly and followed without help.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linkit_bridge::catalog::Section;
use linkit_bridge::clock::{Clock, Moment, TokioClock, Wall};
use linkit_bridge::collector::completed::Completed;
use linkit_bridge::collector::config::build;
use linkit_bridge::collector::{Attempt, Collector};
use linkit_bridge::config::Config;
use linkit_bridge::http_client::HttpClient;
use linkit_bridge::reading::Ages;
use linkit_bridge::registry::Registry;
use linkit_bridge::scheduler;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::backend::{Backend, SMALL, Shop};
use crate::support::bridge::Bridge;
use crate::support::program::Program;
use crate::support::{eventually, free_port, http};

/// Neither is root, who may do everything.
const OWNER: u32 = 65_533;
const GUEST: u32 = 65_534;

const SECTIONS: [&str; 2] = ["store", "staging"];

type Series = BTreeMap<String, f64>;

fn on(database: &Path) -> String {
    let sqlite = format!("{{ source: sqlite, path: '{}', interval: 100ms, max_backoff: 200ms }}", database.display());
    format!("runtime: {{ source: self }}\nstore: {sqlite}\nstaging: {sqlite}\n")
}

/// An own figure of one section's collector.
fn own(figure: &str, section: &str) -> String {
    format!("linkit_bridge_collector_{figure}{{collector=\"{section}\",source=\"sqlite\"}}")
}

fn errors(class: &str, section: &str) -> String {
    own("errors_total", section).replace('{', &format!("{{class=\"{class}\","))
}

fn records(collection: &str) -> String {
    format!("linkit_store_records{{collection=\"{collection}\"}}")
}

fn is_up(series: &Series) -> bool {
    SECTIONS.iter().all(|section| series.get(&own("up", section)) == Some(&1.0))
}

async fn until(bridge: &Bridge, what: &str, condition: impl Fn(&Series) -> bool) -> Series {
    eventually(what, || async { Some(bridge.series().await).filter(&condition) }).await
}

/// Waits until both sections fail again and again with a class; what was read before stays, with its old time.
async fn down(bridge: &Bridge, class: &str, told: Option<&Value>) {
    let failing = |before: Series| async move {
        let fails = |series: &Series| {
            SECTIONS.iter().all(|section| {
                let name = errors(class, section);
                series.get(&own("up", section)) == Some(&0.0) && series[&name] > before[&name]
            })
        };
        until(bridge, &format!("both sections down as {class}"), fails).await
    };
    let first = failing(bridge.series().await).await;
    let then = failing(first.clone()).await;
    for section in SECTIONS {
        let time = own("last_success_timestamp_seconds", section);
        assert_eq!(first.get(&time), then.get(&time), "{section} succeeded while {class}");
    }
    let answer = bridge.telemetry().await;
    let Some(told) = told else { return assert_eq!(answer.status, 503, "nothing was ever read: {}", answer.body) };
    assert_eq!(answer.status, 200, "{}", answer.body);
    let now = answer.json();
    assert_eq!((&now["store"], &now["staging"]), (&told["store"], &told["staging"]), "while {class}");
}

/// Waits until the backend has written, and the bridge has read what it wrote.
async fn writes_and_is_followed(backend: &Backend, bridge: &Bridge) {
    let orders = |json: &Value| json["store"]["orders"].as_f64().unwrap();
    let before = orders(&backend.telemetry().await);
    let written = || async { Some(orders(&backend.telemetry().await)).filter(|now| *now > before) };
    let written = eventually("a write of the backend", written).await;
    let follows = |series: &Series| is_up(series) && series.get(&records("orders")).is_some_and(|now| *now >= written);
    until(bridge, "what the backend wrote", follows).await;
    let said = backend.process.output();
    assert!(!said.contains("work:"), "a write failed: {said}");
}

/// The files of the database with their owners.
fn files(directory: &Path) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().uid()));
    let mut files: Vec<_> = named.filter(|(name, _)| name.starts_with("data.db")).collect();
    files.sort();
    files
}

/// A backend that is stopped and started in every way, with a bridge beside it all the time.
async fn stops_and_starts(shop: Shop, guest: Option<u32>) {
    let directory = shop.directory.path().to_owned();
    let owner = shop.database().metadata().unwrap().uid();
    let only_its_own = |names: &[&str]| {
        let expected: Vec<_> = names.iter().map(|name| ((*name).to_owned(), owner)).collect();
        assert_eq!(files(&directory), expected);
    };
    const LIVE: &[&str] = &["data.db", "data.db-shm", "data.db-wal"];
    let flags = ["--work", "--work-rate", "50"];

    let bridge = Bridge::start_as(guest, &on(&shop.database()), &[]).await;
    down(&bridge, "stopped", None).await;
    only_its_own(&["data.db"]);
    let mut backend = shop.serve(&flags).await;
    writes_and_is_followed(&backend, &bridge).await;
    for signal in ["-TERM", "-KILL", "-TERM"] {
        let shop = backend.end(signal).await;
        bridge.telemetry_ok().await;
        // Whatever is left is the backend's own; a restart finds what it left.
        assert!(files(&directory).iter().all(|(_, user)| *user == owner), "{:?}", files(&directory));
        backend = shop.serve(&flags).await;
        writes_and_is_followed(&backend, &bridge).await;
        only_its_own(LIVE);
    }
    drop(bridge);
    let shop = backend.end("-TERM").await;
    only_its_own(&["data.db"]);
    // One that comes to the stopped database, and is there when it starts.
    let bridge = Bridge::start_as(guest, &on(&shop.database()), &[]).await;
    down(&bridge, "stopped", None).await;
    only_its_own(&["data.db"]);
    writes_and_is_followed(&shop.serve(&flags).await, &bridge).await;
}

#[tokio::test]
async fn a_stopped_backend_starts_and_writes_beside_a_bridge_of_the_same_user() {
    let Some(shop) = Shop::seed(&SMALL) else { return };
    stops_and_starts(shop, None).await;
}

#[tokio::test]
async fn a_stopped_backend_starts_and_writes_beside_a_bridge_of_another_user() {
    let Some(shop) = Shop::seed_as(OWNER, &SMALL) else { return };
    std::fs::set_permissions(shop.directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // The trap is open: this user can make files there.
    let made = shop.directory.path().join("made");
    assert!(Program::of(Path::new("/bin/touch"), Some(GUEST)).command().arg(&made).status().unwrap().success());
    std::fs::remove_file(made).unwrap();
    stops_and_starts(shop, Some(GUEST)).await;
}

#[tokio::test]
async fn a_database_that_is_missing_damaged_or_renamed_is_said_and_comes_back() {
    let Some(shop) = Shop::seed(&SMALL) else { return };
    let database = shop.database();
    let away = database.with_file_name("away.db");
    let rename = |from: &Path, to: &Path| std::fs::rename(from, to).unwrap();
    rename(&database, &away);
    let bridge = Bridge::start(&on(&database)).await;
    down(&bridge, "not_found", None).await;
    std::fs::write(&database, "no database, but as long as one".repeat(1000)).unwrap();
    down(&bridge, "damaged", None).await;
    rename(&away, &database);
    down(&bridge, "stopped", None).await;
    let backend = shop.serve(&[]).await;
    until(&bridge, "the database", is_up).await;

    let told = bridge.telemetry_ok().await;
    rename(&database, &away);
    down(&bridge, "not_found", Some(&told)).await;
    rename(&away, &database);
    until(&bridge, "the database under its old name", is_up).await;

    let pages = Pages::of(&database, &["sqlite_autoindex_skus_1", "idx_staging_open", "idx_staging_completed"]);
    pages.damage();
    // Without a commit nothing is counted, and nothing can be seen.
    product(&database, "one-more");
    let more = SMALL.products as f64 + 1.0;
    until(&bridge, "the collection beside the damage", |series| series[&records("products")] == more).await;
    let mut expected = told.clone();
    expected["store"]["products"] = Value::from(SMALL.products + 1);
    down(&bridge, "damaged", Some(&expected)).await;
    pages.mend();
    until(&bridge, "the mended database", is_up).await;
    drop(backend);
}

/// Pages of a database file as they were.
struct Pages<'a> {
    database: &'a Path,
    pages: Vec<(u64, Vec<u8>)>,
}

impl<'a> Pages<'a> {
    /// The root pages of some indexes, once they are in the file and not only in the WAL.
    fn of(database: &'a Path, indexes: &[&str]) -> Self {
        let connection = owner(database);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        let root = |index: &&str| -> u32 {
            let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
            connection.query_row(sql, [index], |row| row.get(0)).unwrap()
        };
        let roots: Vec<u32> = indexes.iter().map(root).collect();
        drop(connection);
        let file = std::fs::File::open(database).unwrap();
        let read = |page: u32| {
            let at = u64::from(page - 1) * u64::from(size);
            let mut bytes = vec![0; size as usize];
            file.read_exact_at(&mut bytes, at).unwrap();
            (at, bytes)
        };
        Self { database, pages: roots.into_iter().map(read).collect() }
    }

    fn damage(&self) {
        self.write(|page| vec![0xa5; page.len()]);
    }

    fn mend(&self) {
        self.write(<[u8]>::to_vec);
    }

    fn write(&self, change: impl Fn(&[u8]) -> Vec<u8>) {
        let file = std::fs::File::options().write(true).open(self.database).unwrap();
        for (at, page) in &self.pages {
            file.write_all_at(&change(page), *at).unwrap();
        }
    }
}

fn owner(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

fn product(database: &Path, id: &str) {
    let sql = "INSERT INTO products (id, code, name, price) VALUES (?1, ?1, ?1, 1)";
    assert_eq!(owner(database).execute(sql, [id]).unwrap(), 1);
}

#[tokio::test]
async fn a_locked_database_is_said_and_read_again_once_it_is_free() {
    let Some(shop) = Shop::seed(&SMALL) else { return };
    let owner = owner(&shop.database());
    // In a WAL nobody shuts readers out.
    owner.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    let bridge = Bridge::start(&on(&shop.database())).await;
    until(&bridge, "the database", is_up).await;
    let told = bridge.telemetry_ok().await;
    owner.execute_batch("BEGIN EXCLUSIVE; DELETE FROM products WHERE id = 'prd000000000000'").unwrap();
    down(&bridge, "locked", Some(&told)).await;
    owner.execute_batch("COMMIT").unwrap();
    let less = SMALL.products as f64 - 1.0;
    until(&bridge, "the free database", |series| is_up(series) && series[&records("products")] == less).await;
}

/// A request to PocketBase's own API that must be answered with success.
async fn api(backend: &Backend, token: &str, path: &str, body: &str) -> String {
    let headers = [("authorization", token), ("content-type", "application/json")];
    let answer = http::request("POST", &format!("{}/api/{path}", backend.url), &headers, body).await.unwrap();
    assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
    answer.body
}

#[tokio::test]
async fn a_database_replaced_by_a_restore_is_followed() {
    let Some(shop) = Shop::seed(&SMALL) else { return };
    let database = shop.database();
    let copy = database.with_file_name("copy.db");
    std::fs::copy(&database, &copy).unwrap();
    let (identity, password) = ("ops@example.com", "password-0123456789");
    let mut superuser = shop.command("superuser");
    superuser.args(["upsert", identity, password]);
    shop.run(superuser);
    let address = format!("127.0.0.1:{}", free_port());
    let backend = shop.serve(&["--http", &address]).await;
    let bridge = Bridge::start(&on(&database)).await;
    let sold = SMALL.products as f64;
    let has = |products: f64| move |series: &Series| is_up(series) && series[&records("products")] == products;
    until(&bridge, "the database", is_up).await;

    let login = format!("{{\"identity\":\"{identity}\",\"password\":\"{password}\"}}");
    let answer = api(&backend, "", "collections/_superusers/auth-with-password", &login).await;
    let token = serde_json::from_str::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned();
    api(&backend, &token, "backups", r#"{"name":"backup.zip"}"#).await;
    product(&database, "after-backup");
    until(&bridge, "what came after the backup", has(sold + 1.0)).await;
    // It puts the files in place and then starts itself anew.
    api(&backend, &token, "backups/backup.zip/restore", "").await;
    until(&bridge, "the restored database", has(sold)).await;
    product(&database, "after-restore");
    until(&bridge, "what came after the restore", has(sold + 1.0)).await;

    // Somebody forgets that the backend is at work, and puts the copy in place by hand.
    let told = bridge.telemetry_ok().await;
    for name in ["data.db", "data.db-wal", "data.db-shm"] {
        std::fs::remove_file(database.with_file_name(name)).unwrap();
    }
    std::fs::rename(&copy, &database).unwrap();
    down(&bridge, "stopped", Some(&told)).await;
    let _backend = backend.again(&[]).await;
    until(&bridge, "the copy", has(sold)).await;
    product(&database, "after-copy");
    until(&bridge, "what came after the copy", has(sold + 1.0)).await;
}

/// A collector that notes when it is asked.
struct Noted {
    inner: Box<dyn Collector>,
    attempts: Arc<Mutex<Vec<(Section, Moment)>>>,
}

impl Collector for Noted {
    fn source(&self) -> &'static str {
        self.inner.source()
    }

    fn sections(&self) -> &[Section] {
        self.inner.sections()
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        self.attempts.lock().unwrap().push((self.inner.sections()[0].clone(), clock.now()));
        self.inner.collect(clock)
    }
}

/// PocketBase checkpoints at 00:00 UTC, and a reader would hold that up.
#[tokio::test]
async fn midnight_belongs_to_the_backend_and_the_new_day_is_read_within_two_seconds() {
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    tokio::time::pause();
    let midnight = Wall::parse_rfc3339("2024-01-16T00:00:00Z").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(Wall(midnight.0 - 10_000_000_000)));
    let registry = Arc::new(Registry::new(Arc::clone(&clock), Ages::default(), &[]));
    let config = Config::parse("bridge.yml", &on(&backend.database()), &|_| None).unwrap();
    let sections = [None, config.store.as_ref(), config.staging.as_ref()];
    let attempts = Arc::<Mutex<Vec<_>>>::default();
    let built = build(sections, &BTreeMap::new(), config.megabyte(), &HttpClient::new(), &Completed::default());
    for mut plan in built.unwrap().plans {
        plan.collector = Box::new(Noted { inner: plan.collector, attempts: Arc::clone(&attempts) });
        tokio::spawn(scheduler::run(plan, Arc::clone(&registry), Arc::clone(&clock)));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(registry.current().collectors.iter().all(|collector| collector.up == Some(true)));
    let attempts = attempts.lock().unwrap();
    for section in [Section::Store, Section::Staging] {
        let times = attempts.iter().filter(|(of, _)| *of == section).map(|(_, at)| at.wall);
        let (before, after): (Vec<_>, Vec<_>) = times.partition(|at| *at < midnight);
        assert!(before.len() > 50 && after.len() > 50, "{section:?}: {} and {} attempts", before.len(), after.len());
        assert!(before.iter().all(|at| midnight.since(*at) > Duration::from_millis(500)), "{section:?}: {before:?}");
        let first = after.iter().min().unwrap().since(midnight);
        assert!((Duration::from_secs(1)..Duration::from_secs(2)).contains(&first), "{section:?}: {first:?}");
    }
}
