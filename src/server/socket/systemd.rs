//! Sockets that systemd passes to a service it starts for them (sd_listen_fds(3): `LISTEN_FDS`, `LISTEN_PID`,
//! `LISTEN_FDNAMES`). Their files, modes and ends are systemd's own.

use std::io;
use std::os::fd::AsFd;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use tokio::net::{TcpListener, UnixListener};

use super::Socket;

/// The first descriptor that is passed.
const FIRST: usize = 3;

/// The sockets passed to this process, which can be taken once. `names` is what `LISTEN_FDNAMES` holds, for errors.
/// Must be called within a tokio runtime, and before other threads read the environment, from which the sockets go.
///
/// # Errors
/// If none is passed, or one that is not a listening stream socket; the error names it and the remedy.
pub fn inherited(names: Option<&str>) -> io::Result<Vec<Socket>> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "systemd has passed no socket; start the .socket unit, or leave web.systemd_socket away",
        ));
    }
    let mut names = names.unwrap_or_default().split(':');
    (0..passed.len())
        .map(|at| {
            let name = names.next().unwrap_or_default();
            take(&mut passed, at).map_err(|error| {
                let number = FIRST + at;
                io::Error::new(error.kind(), format!("socket {number} {name:?}, passed by systemd: {error}"))
            })
        })
        .collect()
}

fn take(passed: &mut ListenFd, at: usize) -> io::Result<Socket> {
    if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
        check(&listener)?;
        listener.set_nonblocking(true)?;
        return TcpListener::from_std(listener).map(Socket::from);
    }
    if let Ok(Some(listener)) = passed.take_unix_listener(at) {
        check(&listener)?;
        listener.set_nonblocking(true)?;
        return UnixListener::from_std(listener).map(Socket::from);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no stream socket; write ListenStream= and Accept=no in the .socket unit",
    ))
}

fn check(listener: &impl AsFd) -> io::Result<()> {
    if socket_acceptconn(listener)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is one connection; write Accept=no in the .socket unit"))
}
