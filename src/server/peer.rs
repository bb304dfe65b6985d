//! Who is at the other end of a connection. The listener says it with each request; routes never ask the socket.

use std::net::IpAddr;

use http::Extensions;

/// The other end of the connection a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its address; `None` where there is none, as on a Unix socket.
    pub(super) address: Option<IpAddr>,
}

impl Peer {
    /// Who sent a request with these `extensions`; nobody known, where another listener than ours serves the routes.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self { address: None })
    }
}
