//! Where the server listens: an address of the network, or the path of a Unix socket, as operators write them.
//!
//! It knows how an address is written, not how it is listened on; that is `socket`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// What an address of a Unix socket begins with.
const UNIX: &str = "unix:";

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of the network.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its file.
        path: PathBuf,
        /// The file's mode: who may connect needs the right to write.
        mode: u32,
    },
}

impl Address {
    /// The mode of a Unix socket unless another is set: for its owner and its group.
    pub const MODE: u32 = 0o660;

    /// The port, of an address of the network.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix { .. } => None,
        }
    }

    /// The same with `mode`, if it is a Unix socket.
    #[must_use]
    pub fn with_mode(self, mode: u32) -> Self {
        match self {
            Self::Unix { path, .. } => Self::Unix { path, mode },
            tcp @ Self::Tcp(_) => tcp,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen address {text}: write it as HOST:PORT, :PORT or {UNIX}PATH")]
pub struct BadAddress {
    text: String,
    source: Option<io::Error>,
}

impl FromStr for Address {
    type Err = BadAddress;

    /// Reads `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `unix:PATH`; a host's name is looked up.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |source| BadAddress { text: text.to_owned(), source };
        if let Some(path) = text.strip_prefix(UNIX) {
            // An abstract name would begin with NUL; such sockets have no mode, so anybody could connect.
            if path.is_empty() || path.contains('\0') || path.ends_with('/') {
                return Err(bad(None));
            }
            return Ok(Self::Unix { path: PathBuf::from(path), mode: Self::MODE });
        }
        // The Go exporters' way to say "all interfaces"; an IPv6 socket takes IPv4 as well, where there is IPv6.
        let all = if std::net::TcpListener::bind("[::]:0").is_ok() { "[::]" } else { "0.0.0.0" };
        let full = if text.starts_with(':') { format!("{all}{text}") } else { text.to_owned() };
        let mut found = full.to_socket_addrs().map_err(|error| bad(Some(error)))?;
        found.next().map(Self::Tcp).ok_or_else(|| bad(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:9464", "[::1]:9464", "unix:/run/linkit-bridge.sock", "unix:here.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let all: Address = ":9464".parse().unwrap();
        assert_eq!(all.port(), Some(9464));
        assert!(matches!(all, Address::Tcp(address) if address.ip().is_unspecified()));
        let unix: Address = "unix:/run/x".parse().unwrap();
        assert_eq!(unix.clone().with_mode(0o600), Address::Unix { path: "/run/x".into(), mode: 0o600 });
        assert_eq!(unix, Address::Unix { path: "/run/x".into(), mode: 0o660 });
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_ways_to_write_one() {
        for text in ["nowhere", "127.0.0.1", "unix:", "unix:\0x", "unix:/run/", "::1:x", ""] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.starts_with("listen address ") && error.contains("unix:PATH"), "{error}");
        }
    }
}
