//! A file system in memory that is as bad as one may be: after a power loss it holds what was synced and any part of the
//! rest, block by block and name by name; calls fail with and without effect; it is full, also through others; and the
//! machine stops in the middle of any call.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::super::Batch;
use super::file;
use super::fs::{Fs, FsFile};
use crate::clock::Moment;

/// Bytes that are on the disk together or not at all, and the unit of its size.
pub(in super::super) const BLOCK: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Whether a sync failed, so that the next one finds nothing to write.
    is_forgotten: bool,
}

#[derive(Clone)]
enum Change {
    Set(String, usize),
    Gone(String),
    /// From a name to another: both or neither, as on every file system with a journal.
    Moved(String, String, usize),
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
    random: fastrand::Rng,
    /// Of 1,000 calls, how many fail with EIO.
    eio: u32,
    /// Blocks there are, and those that others have taken.
    blocks: usize,
    foreign: usize,
    /// Calls until the machine stops.
    calls_left: Option<usize>,
    stopped: bool,
    /// Failures that are asked for, by what is called.
    failing: BTreeMap<&'static str, i32>,
}

/// The file system; all clones are the same one.
#[derive(Clone)]
pub(in super::super) struct SimFs(Arc<Mutex<World>>, Arc<Gate>);

/// What holds up whoever wants to make a file, while it is shut.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

pub(in super::super) struct SimFile {
    fs: SimFs,
    inode: usize,
    read: usize,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl SimFs {
    pub(in super::super) fn new(seed: u64, blocks: usize) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self(Arc::new(Mutex::new(World { random, blocks, ..World::default() })), Arc::default())
    }

    /// Has the disk hang, or no longer.
    pub(in super::super) fn hang(&self, hangs: bool) {
        *self.1.is_shut.lock().unwrap() = hangs;
        self.1.opened.notify_all();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(in super::super) fn set_faults(&self, eio: u32, foreign: usize) {
        let mut world = self.world();
        (world.eio, world.foreign) = (eio, foreign);
    }

    /// Has every call of this name fail with this error of the system; 0 ends it.
    pub(in super::super) fn fail(&self, call: &'static str, errno: i32) {
        self.world().failing.insert(call, errno);
    }

    pub(in super::super) fn stop_after(&self, calls: usize) {
        self.world().calls_left = Some(calls);
    }

    pub(in super::super) fn is_stopped(&self) -> bool {
        self.world().stopped
    }

    /// The process is started anew; with the power gone in between, what was not synced is lost or not, as it falls.
    pub(in super::super) fn restart(&self, has_lost_power: bool) {
        let mut world = self.world();
        let World { inodes, names, durable, pending, random, .. } = &mut *world;
        if has_lost_power {
            for change in std::mem::take(pending) {
                if random.bool() {
                    apply(durable, change);
                }
            }
            names.clone_from(durable);
            for inode in inodes.iter_mut() {
                inode.data = torn(inode, random);
                (inode.durable, inode.is_forgotten) = (inode.data.clone(), false);
            }
        }
        (world.calls_left, world.stopped) = (None, false);
    }

    /// What a file holds, to look at and to damage.
    pub(in super::super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.world();
        world.names.get(name).map(|inode| world.inodes[*inode].data.clone())
    }

    pub(in super::super) fn set_bytes(&self, name: &str, data: Vec<u8>) {
        let mut world = self.world();
        let inode = Inode { durable: data.clone(), data, is_forgotten: false };
        world.inodes.push(inode);
        let number = world.inodes.len() - 1;
        world.names.insert(name.to_owned(), number);
        world.durable.insert(name.to_owned(), number);
    }

    pub(in super::super) fn all_names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }
}

/// What a power loss leaves of a file: of each block that was written since the last sync the old or the new content.
fn torn(inode: &Inode, random: &mut fastrand::Rng) -> Vec<u8> {
    let (old, new) = (&inode.durable, &inode.data);
    if old == new {
        return new.clone();
    }
    let length = random.usize(old.len().min(new.len())..=old.len().max(new.len()));
    let mut bytes = vec![0; length];
    for start in (0..length).step_by(BLOCK) {
        let source = if random.bool() { old } else { new };
        let end = (start + BLOCK).min(length);
        let block = source.get(start..end.min(source.len())).unwrap_or_default();
        bytes[start..start + block.len()].copy_from_slice(block);
    }
    bytes
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Set(name, inode) => drop(names.insert(name, inode)),
        Change::Gone(name) => drop(names.remove(&name)),
        Change::Moved(from, to, inode) => {
            names.remove(&from);
            names.insert(to, inode);
        }
    }
}

impl World {
    /// Begins a call: `Err(true)` if it fails though it has its effect.
    fn call(&mut self, name: &'static str) -> Result<(), (io::Error, bool)> {
        if self.stopped {
            return Err((io::Error::other("the machine has stopped"), false));
        }
        if let Some(calls) = &mut self.calls_left {
            if *calls == 0 {
                self.stopped = true;
                return Err((io::Error::other("the machine stops"), self.random.bool()));
            }
            *calls -= 1;
        }
        match self.failing.get(name) {
            Some(0) | None => {}
            Some(errno) => return Err((io::Error::from_raw_os_error(*errno), false)),
        }
        if self.random.u32(0..1000) < self.eio { Err((eio(), self.random.bool())) } else { Ok(()) }
    }

    /// Makes changes of names, as a call of this name.
    fn change(&mut self, name: &'static str, changes: Vec<Change>) -> io::Result<()> {
        let result = self.call(name);
        if matches!(result, Ok(()) | Err((_, true))) {
            for change in changes {
                apply(&mut self.names, change.clone());
                self.pending.push(change);
            }
        }
        result.map_err(|(error, _)| error)
    }

    fn free_bytes(&self) -> usize {
        let used: usize = self.names.values().map(|inode| self.inodes[*inode].data.len().div_ceil(BLOCK)).sum();
        self.blocks.saturating_sub(used + self.foreign) * BLOCK
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Fs for SimFs {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.world().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FsFile + '_>> {
        drop(self.1.opened.wait_while(self.1.is_shut.lock().unwrap(), |is_shut| *is_shut).unwrap());
        let mut world = self.world();
        if world.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.change("create", vec![Change::Set(name.to_owned(), inode)])?;
        Ok(Box::new(SimFile { fs: self.clone(), inode, read: 0 }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FsFile + '_>> {
        let mut world = self.world();
        world.call("open").map_err(|(error, _)| error)?;
        let inode = world.find(name)?;
        Ok(Box::new(SimFile { fs: self.clone(), inode, read: 0 }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        let inode = world.find(from)?;
        world.change("rename", vec![Change::Moved(from.to_owned(), to.to_owned(), inode)])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.find(name)?;
        world.change("remove", vec![Change::Gone(name.to_owned())])
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut world = self.world();
        let result = world.call("sync_names");
        if matches!(result, Ok(()) | Err((_, true))) {
            let World { pending, durable, .. } = &mut *world;
            std::mem::take(pending).into_iter().for_each(|change| apply(durable, change));
        }
        result.map_err(|(error, _)| error)
    }

    /// In either order, for they are at work at once.
    fn sync_with(&self, file: &mut dyn FsFile) -> io::Result<()> {
        let is_content_first = self.world().random.bool();
        if is_content_first {
            file.sync().and(self.sync_names())
        } else {
            let names = self.sync_names();
            file.sync().and(names)
        }
    }
}

impl Read for SimFile {
    /// Reads a part, as every read may.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.fs.world();
        world.call("read").map_err(|(error, _)| error)?;
        let World { inodes, random, .. } = &mut *world;
        let rest = &inodes[self.inode].data[self.read..];
        let most = rest.len().min(buffer.len());
        let read = if most == 0 { 0 } else { random.usize(1..=most) };
        buffer[..read].copy_from_slice(&rest[..read]);
        self.read += read;
        Ok(read)
    }
}

impl Write for SimFile {
    /// Writes a part, as every write may; on a full disk what still goes, then nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.fs.world();
        let result = world.call("write");
        let slack = world.inodes[self.inode].data.len().next_multiple_of(BLOCK) - world.inodes[self.inode].data.len();
        let room = bytes.len().min(world.free_bytes() + slack);
        if room == 0 && !bytes.is_empty() && result.is_ok() {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let written = if room == 0 { 0 } else { world.random.usize(1..=room) };
        if matches!(result, Ok(()) | Err((_, true))) {
            world.inodes[self.inode].data.extend_from_slice(&bytes[..written]);
        }
        result.map(|()| written).map_err(|(error, _)| error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FsFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.fs.world().inodes[self.inode].data.len() as u64)
    }

    /// As Linux does it, a sync that fails forgets what was to be written: the next one succeeds without it.
    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.fs.world();
        let result = world.call("sync");
        let World { inodes, random, stopped, .. } = &mut *world;
        let inode = &mut inodes[self.inode];
        match &result {
            Ok(()) if inode.is_forgotten => {}
            Ok(()) => inode.durable.clone_from(&inode.data),
            // Who is killed while it waits leaves the rest to be written.
            Err(_) => (inode.durable, inode.is_forgotten) = (torn(inode, random), inode.is_forgotten || !*stopped),
        }
        result.map_err(|(error, _)| error)
    }
}

/// A batch whose body tells which one it is.
pub(in super::super) fn batch(number: u64, bytes: usize, accepted: Moment) -> Batch {
    let body: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(bytes.max(8)).collect();
    Batch { body: body.into(), points: number % 7 + 1, accepted }
}

/// The length of a file that holds a body of `bytes`.
pub(in super::super) const fn file_bytes(bytes: usize) -> usize {
    file::HEAD_BYTES + bytes
}
