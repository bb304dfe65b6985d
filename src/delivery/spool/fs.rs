//! The few things a spool asks of a file system, so that a worse one than any machine has can stand in its place.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

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

    /// Gives a file another name, which it takes from the file that has it. After a power loss it has the one or the other.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when all names given, changed and removed so far are on the disk.
    fn sync_names(&self) -> io::Result<()>;

    /// Both: returns when the content of `file`, and all names, are on the disk.
    fn sync_with(&self, file: &mut dyn FsFile) -> io::Result<()>;
}

/// The real one.
pub(in super::super) struct RealFs {
    directory: OwnDirectory,
    handle: File,
    /// Made when it is first of use; `None` if the system has no thread to give.
    beside: OnceCell<Option<Beside>>,
}

/// A thread that syncs the directory while another one syncs a file: a file system with a journal waits for one commit
/// then, and not for two.
struct Beside {
    ask: Sender<()>,
    done: Receiver<io::Result<()>>,
}

impl Beside {
    /// The thread ends with the value.
    fn start(handle: &File) -> Option<Self> {
        let (handle, (ask, asked), (tell, done)) = (handle.try_clone().ok()?, channel(), channel());
        let sync = move || while asked.recv().is_ok() && tell.send(handle.sync_all()).is_ok() {};
        thread::Builder::new().name("spool-sync".to_owned()).stack_size(512 << 10).spawn(sync).ok()?;
        Some(Self { ask, done })
    }
}

impl RealFs {
    pub(in super::super) fn new(directory: OwnDirectory) -> io::Result<Self> {
        let handle = File::open(directory.path())?;
        Ok(Self { directory, handle, beside: OnceCell::new() })
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

    fn sync_with(&self, file: &mut dyn FsFile) -> io::Result<()> {
        let beside = self.beside.get_or_init(|| Beside::start(&self.handle));
        let Some(beside) = beside.as_ref().filter(|beside| beside.ask.send(()).is_ok()) else {
            return file.sync().and_then(|()| self.sync_names());
        };
        let content = file.sync();
        // The answer is taken in any case, or the next one would get it.
        let names = beside.done.recv().unwrap_or_else(|_| self.sync_names());
        content.and(names)
    }
}
