//! A simulated shop: a database in PocketBase's layout that lives, for the demo.
//!
//! [`Shop`] plays the backend's part: it owns `data.db`, holds the writing connection, and knows nothing of the
//! bridge, which reads the file as it would read a real one. The same seed and the same ticks make the same shop.

mod fill;
mod life;
mod records;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::clock::{Clock, Wall};
use life::Life;

/// Why the shop cannot open or go on.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// There is a database already, perhaps somebody's real one.
    #[error("demo database {}: a file is there already; name an empty directory", .0.display())]
    Exists(PathBuf),
    /// SQLite failed.
    #[error("demo database {}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// A shop that is open.
pub struct Shop {
    path: PathBuf,
    connection: Connection,
    life: Life,
}

impl Shop {
    /// Makes `data.db` in `dir`, which must be there, filled as if the shop had been open for long, and opens.
    ///
    /// # Errors
    /// If there is such a file already, or SQLite fails.
    pub fn create(dir: &Path, clock: &dyn Clock, seed: u64) -> Result<Self, ShopError> {
        let path = dir.join("data.db");
        if path.exists() {
            return Err(ShopError::Exists(path));
        }
        let made = connect(&path).and_then(|mut connection| {
            let life = fill::fill(&mut connection, seed, clock.now().wall)?;
            Ok((connection, life))
        });
        match made {
            Ok((connection, life)) => Ok(Self { path, connection, life }),
            Err(source) => Err(ShopError::Database { path, source }),
        }
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the shop live until `now`: orders come in, items move through the pipeline. Meant to be called every
    /// second or so; a time before the last tick changes nothing.
    ///
    /// # Errors
    /// If SQLite fails; the shop can go on with the next tick.
    pub fn tick(&mut self, now: Wall) -> Result<(), ShopError> {
        let Self { path, connection, life } = self;
        life.tick(connection, now).map_err(|source| ShopError::Database { path: path.clone(), source })
    }
}

/// Opens the database as PocketBase does.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
    connection.execute_batch(records::LAYOUT)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::catalog::FigureId;
    use crate::clock::ManualClock;
    use crate::collector::Collector;
    use crate::collector::sql::{Staging, StagingTable, Store};
    use crate::collector::sqlite;

    const BUDGET: Duration = Duration::from_secs(5);
    /// 2024-01-15T10:30:00Z
    const START: Wall = Wall::from_secs(1_705_314_600);

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("linkit-bridge shop {name} {}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// The values the collectors read of a figure, in the order of its series.
    async fn read(collector: &mut impl Collector, clock: &Arc<ManualClock>, figure: FigureId) -> Vec<u64> {
        let clock: Arc<dyn Clock> = clock.clone();
        let outcome = collector.collect(&clock).await;
        assert!(outcome.errors.is_empty(), "{outcome:?}");
        let values = outcome.readings.into_iter().flat_map(|readings| readings.values);
        values.filter(|reading| reading.figure == figure).filter_map(|reading| reading.value).collect()
    }

    #[tokio::test]
    async fn the_collectors_read_a_shop_whose_figures_move() {
        let directory = Directory::new("read");
        let clock = Arc::new(ManualClock::at(START));
        let began = Instant::now();
        let mut shop = Shop::create(&directory.0, clock.as_ref(), 7).unwrap();
        assert!(began.elapsed() < BUDGET, "{:?}", began.elapsed());
        let collections = ["products", "branches", "skus", "orders", "customers"];
        let collections = collections.map(|name| (name.to_owned(), name.to_owned())).to_vec();
        let source = sqlite::source(shop.path().to_owned());
        let mut store = Store::new(source.clone(), collections, BUDGET);
        let mut staging = Staging::new(source, StagingTable::default(), BUDGET);
        let records = read(&mut store, &clock, FigureId::StoreRecords).await;
        assert_eq!(records, [1_500, 25, 12_000, 2_000, 900]);
        assert_eq!(read(&mut staging, &clock, FigureId::StagingItems).await, [14, 4]);

        let completed = read(&mut staging, &clock, FigureId::StagingCompletedToday).await;
        assert!(completed[0] > 5_000, "{completed:?}");
        let (mut waiting, mut at_work) = (Vec::new(), Vec::new());
        for _ in 0..1_800 {
            clock.advance(Duration::from_secs(1));
            shop.tick(clock.now().wall).unwrap();
            waiting.push(shop.life.pending);
            at_work.push(shop.life.processing);
        }
        assert!(waiting.contains(&0) && waiting.iter().any(|count| *count > 10), "{waiting:?}");
        assert!(at_work.contains(&1) && at_work.contains(&6), "{at_work:?}");
        let items = read(&mut staging, &clock, FigureId::StagingItems).await;
        assert_eq!(items, [shop.life.pending, shop.life.processing].map(u64::from));
        let later = read(&mut staging, &clock, FigureId::StagingCompletedToday).await;
        assert!((300..700).contains(&(later[0] - completed[0])), "{completed:?} {later:?}");
        let grown = read(&mut store, &clock, FigureId::StoreRecords).await;
        assert!(grown[0] > records[0] && grown[2] > records[2] && grown[3] > records[3] && grown[4] > records[4]);
    }

    #[test]
    fn the_same_seed_makes_the_same_shop() {
        let dump = |name: &str, seed| {
            let directory = Directory::new(name);
            let mut shop = Shop::create(&directory.0, &ManualClock::at(START), seed).unwrap();
            for second in 1..100 {
                shop.tick(START.plus(Duration::from_secs(second))).unwrap();
            }
            ["skus", "orders", "staging"].map(|table| {
                let sql = format!("SELECT group_concat(id || created) || count(*) FROM {table}");
                shop.connection.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap()
            })
        };
        assert!(dump("first", 1) == dump("second", 1));
        assert!(dump("first", 1) != dump("other", 2));
    }

    #[test]
    fn items_of_earlier_days_go_but_yesterdays_stay() {
        let directory = Directory::new("days");
        let mut shop = Shop::create(&directory.0, &ManualClock::at(START), 1).unwrap();
        let oldest = |shop: &Shop| {
            let sql = "SELECT min(completed) FROM staging WHERE status = 'completed'";
            shop.connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
        };
        shop.tick(START.plus(Duration::from_secs(86_400))).unwrap();
        assert!(oldest(&shop).starts_with("2024-01-15 00:0"), "{}", oldest(&shop));
        for second in 0..200 {
            shop.tick(START.plus(Duration::from_secs(2 * 86_400 + second))).unwrap();
        }
        assert!(oldest(&shop).starts_with("2024-01-16"), "{}", oldest(&shop));
    }

    #[test]
    fn a_shop_never_opens_over_a_file_that_is_there() {
        let directory = Directory::new("exists");
        std::fs::write(directory.0.join("data.db"), "somebody's").unwrap();
        let error = Shop::create(&directory.0, &ManualClock::at(START), 1).err().unwrap();
        assert!(matches!(error, ShopError::Exists(_)), "{error}");
    }
}
