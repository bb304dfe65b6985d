//! A Unix socket of our own: its file is there as long as the socket is, and nobody else's is taken away.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};
use tokio::net::UnixListener;

use super::BACKLOG;

/// The file of a socket; it is removed with the value, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens on a new socket at `path`, in place of one that nobody listens on any more.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let (name, socket) = (SocketAddrUnix::new(path)?, new_socket()?);
    match bind(&socket, &name) {
        Err(Errno::ADDRINUSE) => {
            remove_stale(path, &name)?;
            bind(&socket, &name)?;
        }
        bound => bound?,
    }
    let file = SocketFile::of(path)?;
    // Before it is listened on, so that nobody comes by the mode of the umask.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG.cast_signed())?;
    Ok((UnixListener::from_std(net::UnixListener::from(socket))?, file))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

/// Removes what a killed program has left; an error if it is anything else.
fn remove_stale(path: &Path, name: &SocketAddrUnix) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there"));
    }
    match connect(&new_socket()?, name) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        // Also if it is busy, or not ours to connect to: then it is not ours to remove.
        _ => Err(Errno::ADDRINUSE.into()),
    }
}

pub(super) fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "stop the program that listens on it or choose another path for web.listen",
        io::ErrorKind::AlreadyExists => "remove it or choose another path for web.listen",
        io::ErrorKind::NotFound => "make its directory or choose another path for web.listen",
        io::ErrorKind::PermissionDenied => "grant the right to write into its directory",
        io::ErrorKind::InvalidFilename => "choose a path of at most 107 bytes for web.listen",
        _ => "check web.listen",
    }
}
