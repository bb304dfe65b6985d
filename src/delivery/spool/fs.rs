//! The few things a spool asks of a file system, so that a worse one than any machine has can stand in its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::directory::OwnDirectory;

/// An open file.
pub(in super::super) trait FsFile: Read + Write {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Returns when its content is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// One directory. Every call may wait for the disk.
pub(in super::super) trait Fs: Send {
    /// The names of its plain files.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes a file that only its owner may read; one that is there is an error.
    fn create(&self, name: &str) -> io::Result<Box<dyn FsFile + '_>>;

    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Box<dyn FsFile + '_>>;

    /// Gives a file another name, which it takes from the file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when all names given, changed and removed so far are on the disk.
    fn sync_names(&self) -> io::Result<()>;
}

/// The real one.
pub(in super::super) struct RealFs {
    directory: OwnDirectory,
    handle: File,
}

impl RealFs {
    pub(in super::super) fn new(directory: OwnDirectory) -> io::Result<Self> {
        let handle = File::open(directory.path())?;
        Ok(Self { directory, handle })
    }
}

impl FsFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Fs for RealFs {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.directory.path())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is no text is none of ours.
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FsFile + '_>> {
        let path = self.directory.path().join(name);
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FsFile + '_>> {
        Ok(Box::new(File::open(self.directory.path().join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.path().join(from), self.directory.path().join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.path().join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}
