//! Which files a database has at this moment, told by `stat` alone.
//!
//! What is no file is not opened: opening a pipe may take for ever, and nothing interrupts that.
//!
//! What remains: a pipe that takes a file's place in the instant between the look and SQLite's own opening holds one
//! thread until somebody opens its other end; its source says so meanwhile, and no other suffers. SQLite opens by name
//! alone, following even `/proc/self/fd` to the name behind it. To open the file first would not help, and to close it
//! again would drop the locks that SQLite holds on it in this process.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::explain_io;
use crate::collector::{CollectError, ErrorClass};

/// The paths of the files that a database may have beside it.
pub(super) struct Beside {
    wal: PathBuf,
    shm: PathBuf,
    journal: PathBuf,
}

impl Beside {
    pub(super) fn of(real: &Path) -> Self {
        let with = |suffix| {
            let mut path = OsString::from(real);
            path.push(suffix);
            PathBuf::from(path)
        };
        Self { wal: with("-wal"), shm: with("-shm"), journal: with("-journal") }
    }
}

/// Which files are there, by device and inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    data: (u64, u64),
    wal: Option<(u64, u64)>,
    shm: Option<(u64, u64)>,
}

impl Files {
    pub(super) fn look(path: &Path, beside: &Beside) -> Result<Self, CollectError> {
        let data = path.metadata().map_err(|error| explain_io(&error, path))?;
        if !data.is_file() || data.len() == 0 {
            let text = format!("database {}: an empty file or none; check the path", path.display());
            return Err(CollectError::new(ErrorClass::NotFound, text));
        }
        let identity = |of: &Metadata| (of.dev(), of.ino());
        let look = |path: &Path| match path.metadata() {
            Ok(found) if !found.is_file() => {
                let text = format!("database file {}: it is no file; remove it", path.display());
                Err(CollectError::new(ErrorClass::Damaged, text))
            }
            found => Ok(found.ok().as_ref().map(identity)),
        };
        look(&beside.journal)?;
        Ok(Self { data: identity(&data), wal: look(&beside.wal)?, shm: look(&beside.shm)? })
    }

    pub(super) fn are_of_a_live_wal(self) -> bool {
        self.wal.is_some() && self.shm.is_some()
    }
}
