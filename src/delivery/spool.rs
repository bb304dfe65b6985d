//! The spool: waiting batches on disk, one file each. Knows files and their order, not what may wait and how long.
//!
//! A batch is written under a passing name, and file and directory are synced, at once, which a journal does in one go:
//! from then on it is there whatever fails. Then it is renamed, which says that it was synced and need not outlive a power
//! loss itself: a start takes a passing file that is whole for the batch it is, syncs it, and removes any other. Its end is
//! the removal of its file. There is no other file: nothing about the whole can be lost or be wrong, damage costs the batch
//! it is in, and a full disk can always be relieved.

mod file;
mod fs;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind};

use bytes::Bytes;

use super::Batch;
pub(super) use file::{Damage, Head};
pub(super) use fs::{Fs, RealFs};

/// How many damaged and refused batches are kept for people to look at.
const BAD_MAX: usize = 16;

/// How often a start tries to read a head.
const HEAD_READS_MAX: u32 = 4;

const STORED: &str = "batch";
const PASSING: &str = "tmp";
const BAD: &str = "bad";

/// The files of waiting batches.
pub(super) struct Spool {
    fs: Box<dyn Fs>,
    /// The numbers of what was set aside, oldest first.
    bad: VecDeque<u64>,
    /// The numbers of what may have its passing name.
    passing: BTreeSet<u64>,
    /// Whether a removal may not be on the disk yet.
    is_unsynced: bool,
}

/// What a start found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whole batches, as far as their heads say, oldest first.
    pub(super) batches: Vec<(u64, Head)>,
    /// The numbers of those that cannot be read, and why: they are to be set aside.
    pub(super) lost: Vec<(u64, Unreadable)>,
    /// The highest number in use; 0 if there is none.
    pub(super) last: u64,
}

/// Why a batch could not be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The file is there and not the batch.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk said so.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Spool {
    /// Opens what is in a directory. What a kill left half written goes.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn open(fs: Box<dyn Fs>) -> io::Result<(Self, Found)> {
        let (mut numbers, bad, passing) = (Vec::new(), VecDeque::new(), BTreeSet::new());
        let mut spool = Self { fs, bad, passing, is_unsynced: true };
        for name in spool.fs.names()? {
            match number(&name) {
                Some((number, STORED)) => numbers.push(number),
                Some((number, BAD)) => spool.bad.push_back(number),
                Some((number, PASSING)) => drop(spool.passing.insert(number)),
                _ => {}
            }
        }
        let mut lost = Vec::new();
        for number in spool.passing.clone() {
            let read = (1..HEAD_READS_MAX).fold(spool.read_passing(number), |read, _| match read {
                Err(Unreadable::Io(_)) => spool.read_passing(number),
                read => read,
            });
            match read.and_then(|()| Ok(spool.pass(number)?)) {
                Ok(()) => numbers.push(number),
                Err(Unreadable::Io(error)) => lost.push((number, error.into())),
                // It was never said to be stored. If it stays, the next start finds it so again.
                Err(Unreadable::Damaged(_)) => {
                    spool.passing.remove(&number);
                    let _ = spool.fs.remove(&name(number, PASSING));
                }
            }
        }
        numbers.sort_unstable();
        spool.bad.make_contiguous().sort_unstable();
        let last = numbers.last().max(spool.bad.back()).copied().unwrap_or_default();
        let last = lost.iter().map(|(number, _)| *number).fold(last, u64::max);
        let mut found = Found { last, lost, ..Found::default() };
        for number in numbers {
            // A disk that stumbles once costs nothing.
            let read = (1..HEAD_READS_MAX).fold(spool.head(number), |read, _| match read {
                Err(Unreadable::Io(_)) => spool.head(number),
                read => read,
            });
            match read {
                Ok(head) => found.batches.push((number, head)),
                Err(reason) => found.lost.push((number, reason)),
            }
        }
        let _ = spool.sync();
        Ok((spool, found))
    }

    fn read_passing(&self, number: u64) -> Result<(), Unreadable> {
        read_whole(&mut *self.fs.open(&name(number, PASSING))?, number).map(drop)
    }

    /// Makes sure of a batch that has its passing name: its process may have ended before it was synced. A sync that fails
    /// is not tried again, for the next one may succeed without having written anything.
    fn pass(&mut self, number: u64) -> io::Result<()> {
        let passing = name(number, PASSING);
        let mut file = self.fs.open(&passing)?;
        self.fs.sync_with(&mut *file)?;
        drop(file);
        if self.fs.rename(&passing, &name(number, STORED)).is_ok() {
            self.passing.remove(&number);
        }
        Ok(())
    }

    /// Opens the file of a batch under the name that it has.
    fn opened(&self, number: u64) -> io::Result<Box<dyn fs::FsFile + '_>> {
        match self.fs.open(&name(number, STORED)) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.passing.contains(&number) => {
                self.fs.open(&name(number, PASSING))
            }
            opened => opened,
        }
    }

    fn head(&self, number: u64) -> Result<Head, Unreadable> {
        let mut file = self.opened(number)?;
        let (length, mut bytes) = (file.length()?, [0; file::HEAD_BYTES]);
        let read = read_up_to(&mut *file, &mut bytes)?;
        Ok(file::read_head(&bytes[..read], number, length)?)
    }

    /// Stores a batch; when this returns `Ok` it is on the disk. What is there under its number is replaced.
    ///
    /// # Errors
    /// When the disk does not take it; then the file may be there all the same, whole, and is to be removed.
    pub(super) fn put(&mut self, number: u64, batch: &Batch) -> io::Result<()> {
        let passing = name(number, PASSING);
        self.passing.insert(number);
        if let Err(error) = self.write(&passing, number, batch) {
            // What a full disk left of it takes room.
            if is_gone(self.fs.remove(&passing)).is_ok() {
                self.passing.remove(&number);
                self.is_unsynced = true;
            }
            return Err(error);
        }
        // All names were synced with it.
        self.is_unsynced = false;
        if self.fs.rename(&passing, &name(number, STORED)).is_ok() {
            self.passing.remove(&number);
        }
        Ok(())
    }

    fn write(&self, passing: &str, number: u64, batch: &Batch) -> io::Result<()> {
        let mut file = match self.fs.create(passing) {
            // What an earlier attempt left and could not remove.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.fs.remove(passing)?;
                self.fs.create(passing)?
            }
            created => created?,
        };
        file.write_all(&file::head(number, batch))?;
        file.write_all(&batch.body)?;
        self.fs.sync_with(&mut *file)
    }

    /// Reads the body of a batch that is stored with `length` bytes, checked.
    ///
    /// # Errors
    /// When it is not there whole.
    pub(super) fn get(&self, number: u64, length: u64) -> Result<Bytes, Unreadable> {
        let mut file = self.opened(number)?;
        if file.length()?.checked_sub(file::HEAD_BYTES as u64) != Some(length) {
            return Err(Damage::Length.into());
        }
        read_whole(&mut *file, number)
    }

    /// Removes a batch. That it is gone is on the disk after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// When the disk refuses; one that is not there is no error.
    pub(super) fn remove(&mut self, number: u64) -> io::Result<()> {
        self.is_unsynced = true;
        is_gone(self.fs.remove(&name(number, STORED)))?;
        if self.passing.contains(&number) {
            is_gone(self.fs.remove(&name(number, PASSING)))?;
            self.passing.remove(&number);
        }
        Ok(())
    }

    /// Moves a batch out of the queue, for people to look at; the oldest of those goes.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub(super) fn set_aside(&mut self, number: u64) -> io::Result<()> {
        self.is_unsynced = true;
        is_gone(self.fs.rename(&name(number, STORED), &name(number, BAD)))?;
        if self.passing.contains(&number) {
            is_gone(self.fs.rename(&name(number, PASSING), &name(number, BAD)))?;
            self.passing.remove(&number);
        }
        if !self.bad.contains(&number) {
            self.bad.push_back(number);
        }
        while self.bad.len() > BAD_MAX {
            let Some(oldest) = self.bad.pop_front() else { break };
            // One too many does no harm, and the next start counts again.
            let _ = self.fs.remove(&name(oldest, BAD));
        }
        Ok(())
    }

    /// Whether a removal may not be on the disk yet.
    pub(super) const fn is_unsynced(&self) -> bool {
        self.is_unsynced
    }

    /// Returns when every removal is on the disk.
    ///
    /// # Errors
    /// When the disk refuses; then it is to be asked again.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.is_unsynced {
            self.fs.sync_names()?;
            self.is_unsynced = false;
        }
        Ok(())
    }
}

fn is_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Twenty digits, so that names sort as numbers do.
fn name(number: u64, kind: &str) -> String {
    format!("{number:020}.{kind}")
}

fn number(name: &str) -> Option<(u64, &str)> {
    let (digits, kind) = name.split_once('.')?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then_some((digits.parse().ok()?, kind))
}

/// The body of the batch `number` in `file`, checked.
fn read_whole(file: &mut dyn fs::FsFile, number: u64) -> Result<Bytes, Unreadable> {
    let length = file.length()?;
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| Damage::Length)?];
    let read = read_up_to(file, &mut bytes)?;
    bytes.truncate(read);
    let head = file::read_head(&bytes, number, length)?;
    let body = Bytes::from(bytes).slice(file::HEAD_BYTES..);
    head.check(&body)?;
    Ok(body)
}

/// Fills `bytes` as far as the file goes.
fn read_up_to(file: &mut dyn fs::FsFile, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
