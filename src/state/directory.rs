//! The directory: private, owned by one bridge at a time, its one file replaced as a whole.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Saved, decode, encode};
use crate::clock::Moment;

const FILE: &str = "state.json";
const NEW: &str = "state.json.tmp";
const BAD: &str = "state.json.bad";
const LOCK: &str = "lock";

/// No state is larger; a file that is, is none.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Bits of the mode that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a directory cannot keep the state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is something else.
    #[error("state_dir {}: it is no directory; name one for the bridge alone", .0.display())]
    NoDirectory(PathBuf),
    /// Others could change what the bridge will say.
    #[error("state_dir {}: others may write in it (mode {mode:o}); run: chmod 700 {}", path.display(), path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is another user's.
    #[error(
        "state_dir {}: it belongs to user {owner} and the bridge runs as user {user}; give it to the bridge with chown, or name another", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who the bridge runs as.
        user: u32,
    },
    /// It cannot be made, read or written.
    #[error("state_dir {}: {cause}; name a directory that the bridge can write, whose parent exists", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another bridge is at work on it.
    #[error(
        "state_dir {}: another linkit-bridge has it ({owner}); stop that one, or name another directory", path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Who has it.
        owner: String,
    },
}

/// Checks that what is at `path` is a directory of our own that nobody else can write in; that nothing is there is
/// good too. Changes nothing.
///
/// # Errors
/// When it is not.
pub fn check(path: &Path) -> Result<(), StateError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(StateError::Io { path: path.to_owned(), cause }),
    };
    let (path, mode, user) = (path.to_owned(), metadata.mode() & 0o7777, rustix::process::geteuid().as_raw());
    if !metadata.is_dir() {
        return Err(StateError::NoDirectory(path));
    }
    if metadata.uid() != user {
        return Err(StateError::Foreign { path, owner: metadata.uid(), user });
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(StateError::Writable { path, mode });
    }
    Ok(())
}

/// The directory, which is this process's as long as the value lives.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// The lock goes with the open file, however the process ends.
    _lock: File,
}

impl StateDirectory {
    /// Takes the directory; makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be had, is not private, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let io = |cause| StateError::Io { path: path.to_owned(), cause };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => check(path)?,
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
                return Err(StateError::Taken { path: path.to_owned(), owner });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // On a full disk the lock holds without its owner's name.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "process {}", std::process::id()));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// The state that was kept, its times placed on the clocks that show `now`. A file that cannot be read as one is
    /// set aside.
    #[must_use]
    pub fn load(&self, now: Moment) -> Option<Saved> {
        let text = match self.read() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.set_aside(&format!("it cannot be read ({error})"));
                return None;
            }
        };
        decode(&text, now).map_err(|reason| self.set_aside(&reason.to_string())).ok()
    }

    fn read(&self) -> io::Result<String> {
        let mut text = String::new();
        let read = File::open(self.file())?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it is too large"));
        }
        Ok(text)
    }

    /// Moves the file out of the way of the next one, for people to look at.
    pub fn set_aside(&self, reason: &str) {
        let file = self.file();
        let moved = std::fs::rename(&file, self.path.join(BAD));
        let file = file.display();
        match moved {
            Ok(()) => tracing::warn!(%file, reason, "the kept state is of no use here and is set aside as {BAD}"),
            Err(error) => tracing::warn!(%file, reason, %error, "the kept state is of no use here and is overwritten"),
        }
    }

    /// Replaces the file as a whole: whenever the machine fails, one of the two is there, whole.
    ///
    /// # Errors
    /// When it cannot be written; then the old one is there.
    pub fn save(&self, saved: &Saved) -> io::Result<()> {
        let new = self.path.join(NEW);
        let text = encode(saved)?;
        let result = write_new(&new, text.as_bytes()).and_then(|()| std::fs::rename(&new, self.file()));
        if result.is_err() {
            // What a full disk left of it takes room.
            let _ = std::fs::remove_file(&new);
        }
        result?;
        File::open(&self.path)?.sync_all()
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The directory is ours alone, so what is there is what a crash left.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
