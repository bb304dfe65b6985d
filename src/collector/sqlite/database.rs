//! One connection to one file, and the rules by which it is opened, watched and given up. Blocking.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};

use super::error::{explain, explain_io};
use super::files::{Beside, Files};
use crate::collector::sql::Version;
use crate::collector::{CollectError, ErrorClass};

const BUSY_TIMEOUT: Duration = Duration::from_millis(1000);

/// A small cache: a count reads each page once, and a commit of the owner empties the cache anyhow.
const CACHE_KIB: u32 = 256;

/// Longest value that a statement may read or make, in bytes: a longer one is an error, before memory is taken for it.
/// What PocketBase lets a field hold, unless it is told otherwise, fits in. A statement may hold several at once.
const VALUE_MAX: i32 = 1 << 20;

/// The database at a path, open or not yet.
pub(super) struct Database {
    path: PathBuf,
    session: Option<Session>,
    openings: u64,
}

struct Session {
    connection: Connection,
    interrupt: Arc<InterruptHandle>,
    files: Files,
    beside: Beside,
    /// An error came that a new connection may heal.
    suspect: bool,
}

impl Database {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, session: None, openings: 0 }
    }

    /// Sees that the connection is open and to the file that is now at the path; the version of its data.
    pub(super) fn version(&mut self) -> Result<Version, CollectError> {
        if let Some(session) = &self.session
            && (session.suspect || Files::look(&self.path, &session.beside)? != session.files)
        {
            self.session = None;
        }
        let session = match &mut self.session {
            Some(session) => session,
            None => {
                let session = Session::open(&self.path)?;
                self.openings += 1;
                self.session.insert(session)
            }
        };
        let data: i64 = session.run("data version", &self.path, |connection| {
            connection.query_row("PRAGMA data_version", [], |row| row.get(0))
        })?;
        Ok(Version { opening: self.openings, data: Some(data.to_string()) })
    }

    /// What cancels a query on the open connection.
    pub(super) fn interrupt(&self) -> Option<Arc<InterruptHandle>> {
        self.session.as_ref().map(|session| Arc::clone(&session.interrupt))
    }

    /// Asks the open connection; errors speak of `thing`.
    pub(super) fn query<T>(
        &mut self,
        thing: &str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CollectError> {
        match &mut self.session {
            Some(session) => session.run(thing, &self.path, ask),
            None => Err(CollectError::new(ErrorClass::Other, format!("{thing} in {}: not open", self.path.display()))),
        }
    }
}

impl Session {
    fn open(path: &Path) -> Result<Self, CollectError> {
        let real = path.canonicalize().map_err(|error| explain_io(&error, path))?;
        let beside = Beside::of(&real);
        let files = Files::look(path, &beside)?;
        if !files.are_of_a_live_wal() && says_wal(&real).map_err(|error| explain(&error, "header", path))? {
            return Err(stopped(path));
        }
        let connection = connect(&real).map_err(|error| explain(&error, "schema", path))?;
        let interrupt = Arc::new(connection.get_interrupt_handle());
        Ok(Self { connection, interrupt, files, beside, suspect: false })
    }

    fn run<T>(
        &mut self,
        thing: &str,
        path: &Path,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CollectError> {
        ask(&self.connection).map_err(|error| {
            let error = explain(&error, thing, path);
            self.suspect |= !matches!(
                error.class,
                ErrorClass::NotFound
                    | ErrorClass::Type
                    | ErrorClass::Budget
                    | ErrorClass::Locked
                    | ErrorClass::Oversized
            );
            error
        })
    }
}

fn connect(real: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(uri(real, "mode=ro"), flags())?;
    for (setting, on) in [
        // Without these an unknown column in double quotes would silently be a text.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!("PRAGMA query_only = 1; PRAGMA cache_size = -{CACHE_KIB}"))?;
    Ok(connection)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI
}

/// Whether the header says WAL. The module's text explains why it is asked in this way.
fn says_wal(real: &Path) -> rusqlite::Result<bool> {
    let passing = Connection::open_with_flags(uri(real, "mode=ro&nolock=1"), flags())?;
    match passing.query_row("PRAGMA schema_version", [], |_| Ok(())) {
        Ok(()) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => Ok(true),
        Err(error) => Err(error),
    }
}

fn stopped(path: &Path) -> CollectError {
    CollectError::new(
        ErrorClass::Stopped,
        format!(
            "database {}: the backend that owns it is not running, or was not asked anything for minutes (no -wal and \
             -shm beside it), and opening it would leave files that break its writes; start the backend, or ask it \
             something",
            path.display()
        ),
    )
}

/// A path as SQLite's URI, with every byte escaped that could mean something there.
fn uri(path: &Path, parameters: &str) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri + "?" + parameters
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::os::unix::fs::MetadataExt;

    use super::super::testing::Directory;
    use super::*;

    const ROLLBACK: &str = "PRAGMA journal_mode = DELETE";

    fn class(directory: &Directory) -> ErrorClass {
        Database::new(directory.data()).version().unwrap_err().class
    }

    #[test]
    fn a_rollback_journal_database_is_read_and_followed_into_wal() {
        let directory = Directory::new();
        let owner = directory.owner(ROLLBACK);
        let mut database = Database::new(directory.data());
        let first = database.version().unwrap();
        assert_eq!(database.version().unwrap(), first);
        assert_eq!(directory.names(), ["data.db"]);
        owner.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO products (id) VALUES ('a')").unwrap();
        assert_ne!(database.version().unwrap(), first);
        assert_eq!(directory.names(), ["data.db", "data.db-shm", "data.db-wal"]);
    }

    #[test]
    fn half_of_the_files_of_a_live_wal_are_not_enough() {
        let directory = Directory::new();
        drop(directory.owner(""));
        for left in ["data.db-shm", "data.db-wal"] {
            std::fs::write(directory.path(left), "").unwrap();
            let before = directory.names();
            assert_eq!(class(&directory), ErrorClass::Stopped);
            assert_eq!(directory.names(), before);
            std::fs::remove_file(directory.path(left)).unwrap();
        }
    }

    #[test]
    fn a_hot_journal_is_left_to_the_owner() {
        let directory = Directory::new();
        let owner = directory.owner(ROLLBACK);
        // A cache too small for the transaction spills it into the file, and so makes the journal hot.
        let spilling = "PRAGMA cache_size = 2; BEGIN; INSERT INTO products (id, name)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
            SELECT i, hex(zeroblob(99)) FROM n";
        owner.execute_batch(spilling).unwrap();
        let crashed = Directory::new();
        for name in ["data.db", "data.db-journal"] {
            std::fs::copy(directory.path(name), crashed.path(name)).unwrap();
        }
        assert_eq!(class(&crashed), ErrorClass::Stopped);
        assert_eq!(crashed.names(), ["data.db", "data.db-journal"]);
    }

    #[test]
    fn a_pipe_is_not_opened_where_a_file_should_be() {
        for name in ["data.db", "data.db-wal", "data.db-journal"] {
            let directory = Directory::new();
            drop(directory.owner(ROLLBACK));
            let _ = std::fs::remove_file(directory.path(name));
            let made = std::process::Command::new("mkfifo").arg(directory.path(name)).status();
            assert!(made.unwrap().success());
            let expected = if name == "data.db" { ErrorClass::NotFound } else { ErrorClass::Damaged };
            assert_eq!(class(&directory), expected, "{name}");
        }
    }

    #[test]
    fn a_value_too_long_is_an_error_before_it_is_made() {
        let directory = Directory::new();
        let _owner = directory.owner("INSERT INTO products (id, name) VALUES ('a', zeroblob(5000000)), ('b', 'c')");
        let mut database = Database::new(directory.data());
        database.version().unwrap();
        let mut ask = |sql: &'static str| {
            database.query("test", |connection| connection.query_row(sql, [], |row| row.get::<_, i64>(0)))
        };
        assert_eq!(ask("SELECT length(zeroblob(900000000))").unwrap_err().class, ErrorClass::Oversized);
        assert_eq!(ask("SELECT sum(hex(name) = '') FROM products").unwrap_err().class, ErrorClass::Oversized);
        assert_eq!(ask("SELECT count(*) FROM products WHERE id > ''").unwrap(), 2, "a row beside it is no error");
    }

    #[test]
    fn files_replaced_under_the_connection_are_opened_anew() {
        let directory = Directory::new();
        let owner = directory.owner("");
        let mut database = Database::new(directory.data());
        let first = database.version().unwrap();
        drop(owner);
        for name in ["data.db-wal", "data.db-shm"] {
            std::fs::remove_file(directory.path(name)).unwrap();
        }
        assert_eq!(database.version().unwrap_err().class, ErrorClass::Stopped);
        let _owner = directory.owner("");
        assert_ne!(database.version().unwrap(), first);
    }

    #[test]
    fn closing_neither_removes_nor_checkpoints() {
        let directory = Directory::new();
        let owner = directory.owner("");
        let mut database = Database::new(directory.data());
        database.version().unwrap();
        owner.execute_batch("INSERT INTO products (id) VALUES ('a')").unwrap();
        drop(owner);
        let length = || directory.path("data.db-wal").metadata().unwrap().len();
        let before = length();
        drop(database);
        assert_eq!((directory.names().len(), length()), (3, before));
        assert!(before > 0);
    }

    #[test]
    fn the_connection_cannot_write() {
        let directory = Directory::new();
        let _owner = directory.owner("");
        let mut database = Database::new(directory.data());
        database.version().unwrap();
        let write = |sql: &'static str| move |connection: &Connection| connection.execute_batch(sql);
        assert!(database.query("test", write("DELETE FROM products")).is_err());
        assert!(database.query("test", write("SELECT \"no such column\" FROM products")).is_err());
    }

    #[test]
    fn a_path_with_signs_of_its_own_is_a_path() {
        assert_eq!(uri(Path::new("/a b/c?d#e%f.db"), "mode=ro"), "file:/a%20b/c%3Fd%23e%25f.db?mode=ro");
        let directory = Directory::named("what? 100% #1 ü");
        let _owner = directory.owner("");
        let link = directory.path("link.db");
        std::os::unix::fs::symlink(directory.data(), &link).unwrap();
        assert!(Database::new(link).version().is_ok());
    }

    /// The locks that POSIX holds on a file, of this process or another.
    #[cfg(target_os = "linux")]
    fn locks_on(path: &Path) -> usize {
        let inode = format!(":{} ", path.metadata().unwrap().ino());
        std::fs::read_to_string("/proc/locks").unwrap().lines().filter(|line| line.contains(&inode)).count()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn looking_at_the_header_drops_no_lock_of_this_process() {
        let directory = Directory::new();
        let owner = directory.owner(ROLLBACK);
        owner.execute_batch("BEGIN IMMEDIATE; INSERT INTO products (id) VALUES ('a')").unwrap();
        let held = locks_on(&directory.data());
        assert!(held > 0);
        assert!(!says_wal(&directory.data()).unwrap());
        assert_eq!(locks_on(&directory.data()), held);
        drop(std::fs::File::open(directory.data()).unwrap());
        assert_eq!(locks_on(&directory.data()), 0, "which a file of our own would have done");
    }
}
