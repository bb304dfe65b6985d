//! What clients may take: time, and connections. The next limit is one field here, kept by the guard or the listener.

use std::time::Duration;

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the head of a request, from its first byte, or from the start of the connection.
    pub header_read: Duration,
    /// Time from the end of the head until the answer is written whole.
    pub answer: Duration,
    /// Time a connection may idle between requests; above common scrape intervals.
    pub keep_alive: Duration,
    /// Connections at a time; the next ones wait in the system's backlog.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            connections: 2048,
        }
    }
}
