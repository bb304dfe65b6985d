//! What a poll of the store costs, beside what SQLite alone costs in the same run.
//!
//! `LINKIT_BRIDGE_BENCH_DB` names the `data.db` of a running PocketBase; use a copy, since a branch is renamed before
//! each recount (and at the end has its name back). Without it the bench makes a database of the full size in
//! PocketBase's layout, with a writing connection open. Exits with 1 if an aim is missed.
//!
//! All rows are measured in turns, round by round. An aim is judged by the median of all; the ratio is that of the
//! quietest rounds, for what else runs on the machine, and how long its idle cores take to wake, only ever adds. A poll
//! of an unchanged store is one job on tokio's blocking pool, so its limit is an empty job together with a bare
//! `PRAGMA data_version`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use linkit_bridge::catalog::FigureId;
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::collector::Collector;
use linkit_bridge::collector::sql::Store;
use linkit_bridge::collector::sqlite;
use rusqlite::{Connection, OpenFlags};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COLLECTIONS: [(&str, u32); 5] =
    [("products", 15_000), ("branches", 25), ("skus", 375_000), ("orders", 50_000), ("customers", 12_000)];
const ROUNDS: usize = 10;
const POLLS_PER_ROUND: usize = 200;
const RECOUNTS_PER_ROUND: usize = 20;
const UNCHANGED_AIM: Duration = Duration::from_micros(50);
const RECOUNT_AIM: Duration = Duration::from_millis(25);

fn main() -> Result<ExitCode> {
    let made = match std::env::var_os("LINKIT_BRIDGE_BENCH_DB") {
        Some(path) => Database { path: PathBuf::from(path), directory: None },
        None => Database::make()?,
    };
    // First of all connections in this process, as the writer it is.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let owner = Connection::open_with_flags(&made.path, flags)?;
    owner.busy_timeout(Duration::from_secs(10))?;
    owner.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;

    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let bare = Connection::open_with_flags(&made.path, flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let collections = COLLECTIONS.map(|(name, _)| (name.to_owned(), name.to_owned())).to_vec();
    let mut store = Store::new(sqlite::source(made.path.clone()), collections, Duration::from_millis(250));
    let mut poll = || runtime.block_on(poll(&mut store, &clock));
    let Polled { records, counted } = poll()?;
    let mut last = counted;

    let [mut version, mut hop, mut unchanged, mut counts, mut recount] = [const { Times::new() }; 5];
    for _ in 0..ROUNDS {
        version.round(POLLS_PER_ROUND, || Ok(()), || data_version(&bare))?;
        hop.round(POLLS_PER_ROUND, || Ok(()), || Ok(runtime.block_on(runtime.spawn_blocking(|| ()))?))?;
        unchanged.round(
            POLLS_PER_ROUND,
            || Ok(()),
            || check(poll()?.counted == last, "an unchanged store was counted again"),
        )?;
        counts.round(RECOUNTS_PER_ROUND, || rename(&owner), || count_all(&bare))?;
        last = poll()?.counted;
        recount.round(
            RECOUNTS_PER_ROUND,
            || rename(&owner),
            || {
                let counted = poll()?.counted;
                check(counted > last, "a changed store was not counted again")?;
                last = counted;
                Ok(())
            },
        )?;
    }

    println!("{} with {records} records in {} collections", made.path.display(), COLLECTIONS.len());
    println!("{:34} {:>9} {:>9} {:>9} {:>6} {:>6}", "", "median", "p99", "quietest", "ratio", "aim");
    version.line("bare PRAGMA data_version", None);
    hop.line("empty job on the blocking pool", None);
    let limit = version.quietest() + hop.quietest();
    let quick = unchanged.line("poll of an unchanged store", Some((limit, UNCHANGED_AIM)));
    counts.line("five bare count(*) after a commit", None);
    let counted = recount.line("poll after a commit, full recount", Some((counts.quietest(), RECOUNT_AIM)));
    Ok(if quick && counted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Commits a real change: an update that leaves a row as it is writes no page, and leaves nothing to be counted.
fn rename(owner: &Connection) -> Result<()> {
    owner.execute_batch(
        "UPDATE branches SET name = CASE WHEN name LIKE '% ' THEN rtrim(name) ELSE name || ' ' END
         WHERE rowid = (SELECT min(rowid) FROM branches)",
    )?;
    Ok(())
}

/// What a poll brought: all records, and when the first of the collections was counted.
struct Polled {
    records: u64,
    counted: u64,
}

/// One poll through the collector.
async fn poll(store: &mut Store, clock: &Arc<dyn Clock>) -> Result<Polled> {
    let outcome = store.collect(clock).await;
    if let Some((_, error)) = outcome.errors.into_iter().next() {
        return Err(error.into());
    }
    let values = |figure| {
        let all = outcome.readings.iter().flat_map(|readings| &readings.values);
        all.filter(move |reading| reading.figure == figure).filter_map(|reading| reading.value)
    };
    let records = values(FigureId::StoreRecords).sum();
    let counted = values(FigureId::StoreCountLastExact).min().ok_or("no collection was counted")?;
    Ok(Polled { records, counted })
}

fn check(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn data_version(bare: &Connection) -> Result<u64> {
    Ok(bare.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

fn count_all(bare: &Connection) -> Result<u64> {
    let mut records = 0;
    for (name, _) in COLLECTIONS {
        records +=
            bare.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    }
    Ok(records)
}

/// Times of one thing, round by round; each round is sorted.
struct Times(Vec<Vec<Duration>>);

impl Times {
    const fn new() -> Self {
        Self(Vec::new())
    }

    /// Times `what`, each time after `before`, which is not timed.
    fn round<T>(
        &mut self,
        times: usize,
        before: impl Fn() -> Result<()>,
        mut what: impl FnMut() -> Result<T>,
    ) -> Result<()> {
        let mut taken = Vec::with_capacity(times);
        for _ in 0..times {
            before()?;
            let began = Instant::now();
            std::hint::black_box(what()?);
            taken.push(began.elapsed());
        }
        taken.sort_unstable();
        self.0.push(taken);
        Ok(())
    }

    /// The median of the quietest round.
    fn quietest(&self) -> Duration {
        self.0.iter().map(|round| round[round.len() / 2]).min().unwrap_or_default()
    }

    /// Prints a line of the table, with the ratio to a limit and an aim if there are; whether the aim is kept.
    fn line(&self, name: &str, judged: Option<(Duration, Duration)>) -> bool {
        let mut all = self.0.concat();
        all.sort_unstable();
        let [median, p99] = [50, 99].map(|share| all[all.len() * share / 100]);
        let quietest = self.quietest();
        let [a, b, c] = [median, p99, quietest].map(|time| format!("{time:.1?}"));
        print!("{name:34} {a:>9} {b:>9} {c:>9}");
        let Some((limit, aim)) = judged else {
            println!();
            return true;
        };
        let ratio = quietest.as_secs_f64() / limit.as_secs_f64();
        let kept = median <= aim;
        println!(" {ratio:>6.2} {:>6} {}", format!("{aim:.0?}"), if kept { "PASS" } else { "FAIL" });
        kept
    }
}

struct Database {
    path: PathBuf,
    /// Removed at the end, if it was made for this run.
    directory: Option<PathBuf>,
}

impl Database {
    fn make() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("linkit-bridge-bench-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        let database = Self { path: directory.join("data.db"), directory: Some(directory) };
        fill(&database.path)?;
        Ok(database)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// Tables as a PocketBase has them, each with its text key and a few columns of the usual width.
fn fill(path: &Path) -> Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")?;
    for (name, records) in COLLECTIONS {
        connection.execute_batch(&format!(
            "CREATE TABLE `{name}` (`code` TEXT DEFAULT '' NOT NULL, `created` TEXT DEFAULT '' NOT NULL,
             `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, `name` TEXT DEFAULT '' NOT NULL,
             `price` NUMERIC DEFAULT 0 NOT NULL)"
        ))?;
        let transaction = connection.transaction()?;
        transaction.execute(
            &format!(
                "INSERT INTO `{name}` (code, created, id, name, price)
                 WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {records})
                 SELECT printf('%c%07d', '{name}', i), '2024-01-15 10:30:00.000Z', lower(hex(randomblob(7))) || 'r',
                        '{name} number ' || i, i % 997 / 10.0 FROM n"
            ),
            [],
        )?;
        transaction.commit()?;
    }
    Ok(())
}
