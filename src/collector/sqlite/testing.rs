//! Databases for the tests of these collectors: real files in PocketBase's layout, with an owner that writes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

/// The pipeline's table, without indexes.
pub(super) const STAGING: &str = "CREATE TABLE IF NOT EXISTS staging (completed TEXT DEFAULT '' NOT NULL,
    id TEXT PRIMARY KEY DEFAULT ('r' || lower(hex(randomblob(7)))) NOT NULL, status TEXT DEFAULT '' NOT NULL)";

/// A view that takes minutes to count.
pub(super) const SLOW_VIEW: &str = "CREATE VIEW slow AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000000)
    SELECT 'pending' || i AS status, '' AS completed FROM n";

/// A directory that is removed at the end of its test.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self::named("sqlite")
    }

    pub(super) fn named(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("linkit-bridge {name} {} {number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path("data.db")
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Removes all files, as a restore does.
    pub(super) fn clear(&self) {
        for name in self.names() {
            std::fs::remove_file(self.path(&name)).unwrap();
        }
    }

    /// Starts the owner of the database, which runs `sql` once its tables are there.
    pub(super) fn owner(&self, sql: &str) -> Connection {
        let owner = Connection::open(self.data()).unwrap();
        owner.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").unwrap();
        for collection in ["products", "skus", "orders"] {
            let table = format!("CREATE TABLE IF NOT EXISTS {collection} (id TEXT PRIMARY KEY NOT NULL, name TEXT)");
            owner.execute_batch(&table).unwrap();
        }
        owner.execute_batch(STAGING).unwrap();
        owner.execute_batch(sql).unwrap();
        owner
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
