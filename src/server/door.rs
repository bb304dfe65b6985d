//! The door: who is let in, and who makes room for others. A flood, from one address or from thousands, must never keep
//! a scraper out.
//!
//! No address gets more than its share. When all places are taken a newcomer gets the place of a connection that has
//! not yet sent a whole head, the oldest of the address with most of them; where those are few, of the least needed
//! connection of the address with most connections. So whoever comes from an address without a connection gets in. It
//! knows connections by their address and [`Progress`], no bytes and no routes.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::guard::Progress;
use super::limits::Limits;
use super::peer::Peer;
use crate::catalog::FigureId;
use crate::reading::Reading;

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(Ipv4Addr),
    /// A /64: the rest of an address is its owner's to choose.
    V6([u16; 4]),
    /// Who comes by a Unix socket: most often a proxy, that is many.
    Local,
}

impl Client {
    fn of(peer: Peer) -> Self {
        match peer.address {
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
            None => Self::Local,
        }
    }

    /// How many connections it may have.
    fn share(self, limits: &Limits) -> usize {
        match self {
            // Guarded by the mode of its file; half, so that it never takes the places of the network.
            Self::Local => limits.connections.div_ceil(2),
            Self::V4(_) | Self::V6(_) => limits.connections_per_address,
        }
    }
}

/// Why a connection was closed against its client's will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its address had its share.
    Address,
    /// All places were taken, by no address that had more than its own.
    Full,
    /// It made room for another.
    Evicted,
    /// It was too slow.
    Timeout,
    /// It did not agree on TLS, or spoke plain HTTP where TLS is spoken.
    Tls,
    /// What came by it was no HTTP.
    Malformed,
}

impl Reason {
    pub(super) const ALL: [Self; 6] =
        [Self::Address, Self::Full, Self::Evicted, Self::Timeout, Self::Tls, Self::Malformed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Full => "full",
            Self::Evicted => "evicted",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Malformed => "malformed",
        }
    }
}

/// The share of the places, as a divisor, that connections without a whole head may have before they are the first to go:
/// as many as there are clients that have just come, in the best of times.
const HALF_OPEN_DIVISOR: usize = 8;

/// The door of one server.
#[derive(Debug, Default)]
pub(super) struct Door(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    holders: HashMap<Client, Holder>,
    open: usize,
    half_open: usize,
    /// Connections ever let in, which numbers them.
    admitted: u64,
    dropped: [u64; Reason::ALL.len()],
}

/// The connections of one client, oldest first.
#[derive(Debug, Default)]
struct Holder {
    connections: Vec<Connection>,
    half_open: usize,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    /// Whether no whole head has come by it yet.
    is_half_open: bool,
    progress: Progress,
    task: Option<AbortHandle>,
}

impl Holder {
    /// The number of its oldest half-open connection.
    fn oldest_half_open(&self) -> Option<u64> {
        self.connections.iter().find(|connection| connection.is_half_open).map(|connection| connection.number)
    }

    /// How much its least needed connection is needed, and which it is.
    fn least_needed(&self) -> Option<(u8, u64)> {
        self.connections.iter().map(|connection| (connection.progress.need(), connection.number)).min()
    }
}

impl Door {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, if need be in the place of another.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer, limits: &Limits) -> Result<Place, Reason> {
        let (client, progress) = (Client::of(peer), Progress::new());
        let mut inside = self.inside();
        let held = inside.holders.get(&client).map_or(0, |holder| holder.connections.len());
        if held >= client.share(limits) {
            return Err(inside.count(Reason::Address));
        }
        if inside.open >= limits.connections && !inside.make_room(held, limits.connections) {
            return Err(inside.count(Reason::Full));
        }
        inside.admitted += 1;
        inside.open += 1;
        inside.half_open += 1;
        let number = inside.admitted;
        let holder = inside.holders.entry(client).or_default();
        holder.half_open += 1;
        let connection = Connection { number, is_half_open: true, progress: progress.clone(), task: None };
        holder.connections.push(connection);
        Ok(Place { door: Arc::clone(self), client, number, progress, is_half_open: AtomicBool::new(true) })
    }

    /// Tells which task serves the connection in a place; ending the task ends the connection.
    pub(super) fn serves(&self, ticket: Ticket, task: AbortHandle) {
        if let Some(connection) = self.inside().connection(ticket) {
            connection.task = Some(task);
        }
    }

    /// Has one connection make room although not all places are taken, as when the system has no more files.
    pub(super) fn make_room(&self) {
        self.inside().make_room(0, 0);
    }

    /// What the bridge says of its own connections.
    pub(super) fn readings(&self) -> Vec<Reading> {
        let inside = self.inside();
        let of = |figure, key, word: &str, value: usize| Reading::of_series(figure, key, word, value as u64);
        let open = FigureId::HttpOpenConnections;
        let mut readings = vec![
            of(open, "state", "established", inside.open - inside.half_open),
            of(open, "state", "half_open", inside.half_open),
        ];
        readings.extend(Reason::ALL.map(|reason| {
            let dropped = inside.dropped[reason as usize];
            Reading::of_series(FigureId::HttpDroppedConnections, "reason", reason.name(), dropped)
        }));
        readings
    }
}

impl Inside {
    const fn count(&mut self, reason: Reason) -> Reason {
        self.dropped[reason as usize] += 1;
        reason
    }

    fn connection(&mut self, ticket: Ticket) -> Option<&mut Connection> {
        let holder = self.holders.get_mut(&ticket.client)?;
        holder.connections.iter_mut().find(|connection| connection.number == ticket.number)
    }

    /// Ends one connection in favour of a newcomer whose address holds `held`; whether one had to give way.
    fn make_room(&mut self, held: usize, places: usize) -> bool {
        let of_half_open = || {
            let holders = self.holders.iter().filter(|(_, holder)| holder.half_open > 0);
            let most = holders.max_by_key(|(_, holder)| (holder.half_open, Reverse(holder.oldest_half_open())));
            most.and_then(|(client, holder)| Some((*client, holder.oldest_half_open()?)))
        };
        let of_all = || {
            let most = self
                .holders
                .iter()
                .max_by_key(|(_, holder)| (holder.connections.len(), Reverse(holder.least_needed())));
            let most = most.filter(|(_, holder)| held == 0 || holder.connections.len() > held + 1);
            most.and_then(|(client, holder)| Some((*client, holder.least_needed()?.1)))
        };
        let found = if self.half_open > places / HALF_OPEN_DIVISOR { of_half_open() } else { of_all() };
        let Some((client, number)) = found else { return false };
        if let Some(connection) = self.remove(Ticket { client, number })
            && let Some(task) = connection.task
        {
            task.abort();
        }
        self.count(Reason::Evicted);
        true
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Connection> {
        let holder = self.holders.get_mut(&ticket.client)?;
        let at = holder.connections.iter().position(|connection| connection.number == ticket.number)?;
        let connection = holder.connections.remove(at);
        let half_open = usize::from(connection.is_half_open);
        holder.half_open -= half_open;
        if holder.connections.is_empty() {
            self.holders.remove(&ticket.client);
        }
        self.open -= 1;
        self.half_open -= half_open;
        Some(connection)
    }

    fn established(&mut self, ticket: Ticket) {
        let Some(connection) = self.connection(ticket) else { return };
        connection.is_half_open = false;
        if let Some(holder) = self.holders.get_mut(&ticket.client) {
            holder.half_open -= 1;
        }
        self.half_open -= 1;
    }
}

/// Names a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    client: Client,
    number: u64,
}

/// The place of one connection; free again when the value goes.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    client: Client,
    number: u64,
    progress: Progress,
    is_half_open: AtomicBool,
}

impl Place {
    pub(super) const fn ticket(&self) -> Ticket {
        Ticket { client: self.client, number: self.number }
    }

    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Its client did something for which the connection ends.
    pub(super) fn fails(&self, reason: Reason) {
        self.door.inside().count(reason);
    }

    /// A whole head has come.
    pub(super) fn established(&self) {
        if self.is_half_open.swap(false, Ordering::Relaxed) {
            self.door.inside().established(self.ticket());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        if inside.remove(self.ticket()).is_some() && self.progress.is_late() {
            inside.count(Reason::Timeout);
        }
    }
}

#[cfg(test)]
mod tests;
