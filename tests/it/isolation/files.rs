//! Isolation from SQLite files: whatever a view makes of a query, and whatever stands in the file's place, costs the
//! figures read from it and nothing else, and they are read again once it is well.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::Connection;

use super::{Camp, EVERY, Hostile, Shop, Siege};
use crate::support::Directory;

const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000)";

/// How a file turns hostile.
#[derive(Clone, Copy, Debug)]
enum Ill {
    /// Its view becomes another.
    View(&'static str),
    /// Another connection holds it, and lets nobody read.
    Locked,
    /// Something else stands in its place.
    Pipe,
    Directory,
    Device,
    Noise,
    /// Its directory is gone, as when a mount is missing.
    NoMount,
}

/// Each with the class of errors it is to be counted as.
const ILLS: &[(Ill, &str)] = &[
    (Ill::View("SELECT zeroblob(900000000) AS value"), "oversized"),
    (Ill::View("SELECT length(CAST(zeroblob(900000000) AS TEXT)) AS value"), "oversized"),
    (Ill::View("SELECT replace(printf('%.*c', 1000000, 'x'), 'x', '7777777777') AS value"), "oversized"),
    (
        Ill::View(
            "WITH RECURSIVE n(i, t) AS (SELECT 1, 'x' UNION ALL SELECT i + 1, t || t FROM n) \
             SELECT max(length(t)) AS value FROM n",
        ),
        "oversized",
    ),
    (Ill::View("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS value FROM n"), "other"),
    (Ill::View("WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT max(i) AS value FROM n"), "budget"),
    (
        Ill::View("SELECT max(v) AS value FROM (NUMBERS SELECT row_number() OVER (ORDER BY random()) AS v FROM n)"),
        "budget",
    ),
    (Ill::View("SELECT count(*) AS value FROM (NUMBERS SELECT a.i FROM n AS a, n AS b)"), "budget"),
    (Ill::Locked, "locked"),
    (Ill::Pipe, "not_found"),
    (Ill::Directory, "not_found"),
    (Ill::Device, "not_found"),
    (Ill::Noise, "damaged"),
    (Ill::NoMount, "not_found"),
];

/// A database in rollback-journal mode, in a directory of its own.
struct File {
    directory: Directory,
    ill: Ill,
    class: &'static str,
    /// Only to lock it; a connection is for one thread at a time.
    holder: Mutex<Option<Connection>>,
}

impl File {
    fn create(ill: Ill, class: &'static str) -> Self {
        let file = Self { directory: Directory::new("file"), ill, class, holder: Mutex::default() };
        std::fs::create_dir(file.mount()).unwrap();
        let owner = Connection::open(file.data()).unwrap();
        // A view that reads no table is not looked at again when it has become another.
        owner.execute_batch("CREATE TABLE one (id INTEGER); INSERT INTO one VALUES (1)").unwrap();
        file.show("SELECT 7 AS value");
        file
    }

    fn mount(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    fn data(&self) -> PathBuf {
        self.mount().join("data.db")
    }

    fn away(&self) -> PathBuf {
        self.directory.path().join("away")
    }

    fn show(&self, select: &str) {
        let select = select.replace("(NUMBERS ", &format!("({NUMBERS} "));
        let owner = Connection::open(self.data()).unwrap();
        owner.busy_timeout(Duration::from_secs(5)).unwrap();
        owner.execute_batch(&format!("DROP VIEW IF EXISTS shown; CREATE VIEW shown AS {select}")).unwrap();
    }
}

impl Hostile for File {
    fn classes(&self) -> Vec<&'static str> {
        vec![self.class]
    }

    fn turn(&mut self) {
        let data = self.data();
        if matches!(self.ill, Ill::Pipe | Ill::Directory | Ill::Device | Ill::Noise) {
            std::fs::rename(&data, self.away()).unwrap();
        }
        match self.ill {
            Ill::View(select) => self.show(select),
            Ill::Locked => {
                let holder = Connection::open(data).unwrap();
                holder.busy_timeout(Duration::from_secs(5)).unwrap();
                holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
                *self.holder.get_mut().unwrap() = Some(holder);
            }
            Ill::Pipe => pipe(&data),
            Ill::Directory => std::fs::create_dir(data).unwrap(),
            Ill::Device => std::os::unix::fs::symlink("/dev/zero", data).unwrap(),
            Ill::Noise => std::fs::write(data, [0xa7; 64 << 10]).unwrap(),
            Ill::NoMount => std::fs::rename(self.mount(), self.away()).unwrap(),
        }
    }

    fn heal(&mut self) {
        let data = self.data();
        match self.ill {
            Ill::View(_) => self.show("SELECT 7 AS value"),
            Ill::Locked => *self.holder.get_mut().unwrap() = None,
            Ill::Directory => std::fs::remove_dir(&data).unwrap(),
            Ill::Pipe | Ill::Device | Ill::Noise => std::fs::remove_file(&data).unwrap(),
            Ill::NoMount => std::fs::rename(self.away(), self.mount()).unwrap(),
        }
        if matches!(self.ill, Ill::Pipe | Ill::Directory | Ill::Device | Ill::Noise) {
            std::fs::rename(self.away(), data).unwrap();
        }
    }
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Adds a figure from a file of each ill.
pub fn add(camp: &mut Camp) {
    for (ill, class) in ILLS {
        let file = File::create(*ill, class);
        let keys = format!("path: '{}', {EVERY}", file.data().display());
        let reader = camp.figure("sqlite", &keys, "SELECT value FROM shown, one");
        camp.ill(reader, file);
    }
}

async fn files() -> String {
    let shop = Shop::open();
    let mut camp = Camp::with_sections(&shop);
    add(&mut camp);
    Siege::run("files", camp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hostile_files_at_once_cost_their_own_figures() {
    super::alone(files()).await;
}
