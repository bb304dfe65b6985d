//! What clients may take: time, connections and bytes. The next limit is one field here, kept by the guard (time), the
//! door (connections) or the listener (bytes).
//!
//! Renderings need no limit of their own: each is made once for all who ask for its snapshot, and one at a time for
//! each of the runtime's workers.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// Open files that all else than connections may need: sources, spool, state, push.
const OTHER_FILES: usize = 128;

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time of one address; of IPv6 of one /64 network, which is what one subscriber has.
    pub connections_per_address: usize,
    /// Time to agree on TLS, from the start of the connection.
    pub handshake: Duration,
    /// Time for the head of a request, from its first byte, or from the start of the connection.
    pub header: Duration,
    /// Time for a whole request, with its body, from the first byte.
    pub request: Duration,
    /// Time until the answer to a whole request is ready, and again until it is written whole.
    pub answer: Duration,
    /// Time a connection may idle between requests; above common scrape intervals.
    pub idle: Duration,
    /// Bytes of a body, for routes of an embedding program that take one; the bridge's own take none.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            connections_per_address: 64,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(5),
            request: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            body_bytes: 1 << 20,
        }
    }
}

impl Limits {
    /// The same with no more connections than the system lets the process have files for.
    pub(super) fn within_files(self) -> Self {
        let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
        let room = files.map_or(usize::MAX, |files| files.saturating_sub(OTHER_FILES).max(files / 2).max(1));
        if room < self.connections {
            tracing::warn!(
                connections = room,
                "fewer connections at a time than web.limits.connections, for want of files; raise the limit of open files"
            );
        }
        Self { connections: self.connections.min(room), ..self }
    }
}
