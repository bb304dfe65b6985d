//! A directory of the bridge's own: private, checked, and one process's at a time. What is kept in it is the business
//! of who opens it; the next thing that must outlive a restart opens one of its own.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file whose lock says whose the directory is.
const LOCK: &str = "lock";

/// Bits of the mode that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a directory cannot be the bridge's own. Each names the setting that named it.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is something else.
    #[error("{setting} {}: it is no directory; name one for the bridge alone", path.display())]
    NoDirectory {
        /// The setting.
        setting: &'static str,
        /// The directory.
        path: PathBuf,
    },
    /// Others could change what the bridge will say.
    #[error("{setting} {}: others may write in it (mode {mode:o}); run: chmod 700 {}", path.display(), path.display())]
    Writable {
        /// The setting.
        setting: &'static str,
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is another user's.
    #[error(
        "{setting} {}: it belongs to user {owner} and the bridge runs as user {user}; give it to the bridge with chown, or name another", path.display()
    )]
    Foreign {
        /// The setting.
        setting: &'static str,
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who the bridge runs as.
        user: u32,
    },
    /// It cannot be made, read or written.
    #[error("{setting} {}: {cause}; name a directory that the bridge can write, whose parent exists", path.display())]
    Io {
        /// The setting.
        setting: &'static str,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another bridge is at work on it.
    #[error(
        "{setting} {}: another linkit-bridge has it ({owner}); stop that one, or name another directory", path.display()
    )]
    Taken {
        /// The setting.
        setting: &'static str,
        /// The directory.
        path: PathBuf,
        /// Who has it.
        owner: String,
    },
}

/// Checks that what is at `path` is a directory of our own that nobody else can write in; that nothing is there is
/// good too. Changes nothing. `setting` is the key that named it.
///
/// # Errors
/// When it is not.
pub fn check(setting: &'static str, path: &Path) -> Result<(), DirectoryError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(DirectoryError::Io { setting, path: path.to_owned(), cause }),
    };
    let (path, mode, user) = (path.to_owned(), metadata.mode() & 0o7777, rustix::process::geteuid().as_raw());
    if !metadata.is_dir() {
        return Err(DirectoryError::NoDirectory { setting, path });
    }
    if metadata.uid() != user {
        return Err(DirectoryError::Foreign { setting, path, owner: metadata.uid(), user });
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(DirectoryError::Writable { setting, path, mode });
    }
    Ok(())
}

/// A directory that is this process's as long as the value lives.
#[derive(Debug)]
pub struct OwnDirectory {
    path: PathBuf,
    /// The lock goes with the open file, however the process ends.
    _lock: File,
}

impl OwnDirectory {
    /// Takes the directory that `setting` names; makes it, with mode 0700, if it is not there.
    ///
    /// # Errors
    /// When it cannot be had, is not private, or another process has it.
    pub fn open(setting: &'static str, path: &Path) -> Result<Self, DirectoryError> {
        let io = |cause| DirectoryError::Io { setting, path: path.to_owned(), cause };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => check(setting, path)?,
        }
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Who has it is a help and no more.
                let _ = (&mut lock).take(64).read_to_string(&mut owner);
                let owner = if owner.trim().is_empty() { "unknown process" } else { owner.trim() }.to_owned();
                return Err(DirectoryError::Taken { setting, path: path.to_owned(), owner });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // On a full disk the lock holds without its owner's name.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "process {}", std::process::id()));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
