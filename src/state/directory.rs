//! The state's directory: its one file, replaced as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Saved, decode, encode};
use crate::clock::Moment;
use crate::directory::{self, DirectoryError, OwnDirectory};

const FILE: &str = "state.json";
const NEW: &str = "state.json.tmp";
const BAD: &str = "state.json.bad";

/// The setting that names the directory.
const SETTING: &str = "state_dir";

/// No state is larger; a file that is, is none.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Checks that `path` can be the state's directory, or be made one. Changes nothing.
///
/// # Errors
/// When it cannot, as [`directory::check`].
pub fn check(path: &Path) -> Result<(), DirectoryError> {
    directory::check(SETTING, path)
}

/// The directory, which is this process's as long as the value lives.
#[derive(Debug)]
pub struct StateDirectory(OwnDirectory);

impl StateDirectory {
    /// Takes the directory; makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be had, is not private, or another process has it.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        OwnDirectory::open(SETTING, path).map(Self)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.0.path().join(FILE)
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
        let moved = std::fs::rename(&file, self.0.path().join(BAD));
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
        let new = self.0.path().join(NEW);
        let text = encode(saved)?;
        let result = write_new(&new, text.as_bytes()).and_then(|()| std::fs::rename(&new, self.file()));
        if result.is_err() {
            // What a full disk left of it takes room.
            let _ = std::fs::remove_file(&new);
        }
        result?;
        File::open(self.0.path())?.sync_all()
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
