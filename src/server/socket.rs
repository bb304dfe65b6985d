//! The sockets the server listens on: bound by itself, or passed by systemd. The next kind of socket is one more arm
//! here, in [`Kind`] and in `stream`.
//!
//! It knows how to listen and accept, not whom to let in nor what is said.

mod systemd;
mod unix;

pub use systemd::inherited;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::address::Address;
use super::peer::Peer;
use super::stream::Stream;
use unix::SocketFile;

/// Connections the system keeps for us until they are accepted; it takes less where `net.core.somaxconn` is less.
const BACKLOG: u32 = 4096;

/// A socket that is listened on.
#[derive(Debug)]
pub struct Socket {
    kind: Kind,
    /// The file of a Unix socket of our own, which goes with it.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl From<TcpListener> for Socket {
    fn from(listener: TcpListener) -> Self {
        Self { kind: Kind::Tcp(listener), _file: None }
    }
}

impl From<UnixListener> for Socket {
    fn from(listener: UnixListener) -> Self {
        Self { kind: Kind::Unix(listener), _file: None }
    }
}

impl Socket {
    /// Its address on the network, with the port that the system chose; `None` of a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(_) => None,
        }
    }

    /// The next connection, and who is at its other end.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        Poll::Ready(match &self.kind {
            Kind::Tcp(listener) => ready!(listener.poll_accept(cx)).map(|(stream, from)| {
                // An answer is written at once; waiting for more to send only delays it.
                let _ = stream.set_nodelay(true);
                // An IPv4 client of an IPv6 socket is the same client.
                (Stream::Tcp(stream), Peer { address: Some(from.ip().to_canonical()) })
            }),
            Kind::Unix(listener) => {
                ready!(listener.poll_accept(cx)).map(|(stream, _)| (Stream::Unix(stream), Peer { address: None }))
            }
        })
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("unknown"),
            },
            Kind::Unix(listener) => match listener.local_addr().ok().as_ref().and_then(|address| address.as_pathname())
            {
                Some(path) => write!(f, "unix:{}", path.display()),
                None => f.write_str("unix:unnamed"),
            },
        }
    }
}

/// Listens on each address. Must be called within a tokio runtime.
///
/// # Errors
/// If an address cannot be listened on; the error names it and the remedy.
pub fn bind(addresses: &[Address]) -> io::Result<Vec<Socket>> {
    let listen = |address: &Address| match address {
        Address::Tcp(tcp) => {
            listen(*tcp).map(Socket::from).map_err(|error| explained(address, &error, tcp_remedy(error.kind())))
        }
        Address::Unix { path, mode } => unix::listen(path, *mode)
            .map(|(listener, file)| Socket { kind: Kind::Unix(listener), _file: Some(file) })
            .map_err(|error| explained(address, &error, unix::remedy(error.kind()))),
    };
    addresses.iter().map(listen).collect()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn explained(address: &Address, error: &io::Error, remedy: &str) -> io::Error {
    io::Error::new(error.kind(), format!("failed to listen on {address}: {error}; {remedy}"))
}

fn tcp_remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "stop the program that uses it or choose another web.listen address",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine for web.listen",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 for web.listen or grant the right to bind it",
        _ => "check web.listen",
    }
}

#[cfg(test)]
mod tests;
