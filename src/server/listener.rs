//! The accept loop: hyper under limits, and an end that always comes.
//!
//! `axum::serve` has no header timeout and its graceful shutdown waits for the slowest client, hence this loop of our
//! own. It knows connections, not routes. TLS and caps per address belong between accepting and [`Connections::start`].

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::guard::{Guarded, Progress};
use super::limits::Limits;
use super::peer::Peer;

/// Connections the system keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// The pause after the system refused to accept, most often for want of file descriptors: closing connections frees
/// some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Largest head of a request; hyper answers 431 to larger ones.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// Listens on each address. Must be called within a tokio runtime.
///
/// # Errors
/// If an address cannot be listened on; the error names it and the remedy.
pub fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    addresses.iter().map(|address| listen(*address).map_err(|error| explain(*address, &error))).collect()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the last run to be forgotten.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "stop the program that uses it or choose another web.listen address",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine for web.listen",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 for web.listen or grant the right to bind it",
        _ => "check web.listen",
    };
    io::Error::new(error.kind(), format!("failed to listen on {address}: {error}; {remedy}"))
}

/// Serves until `stop`, then lets requests under way finish for at most `grace`; what is still open then is cut.
pub(super) async fn serve(
    router: Router,
    limits: Limits,
    listeners: Vec<TcpListener>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let mut connections = Connections { router, limits, graceful: GracefulShutdown::new(), tasks: JoinSet::new() };
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut stop = pin!(stop);
    loop {
        let next = async {
            // A closed semaphore cannot be: nobody closes it.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (accept(&listeners).await, place)
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            ((stream, peer), place) = next => connections.start(stream, peer, place),
        }
    }
    drop(listeners);
    connections.finish(grace).await;
}

/// The next connection of any listener. Survives every error: a server that stops accepting is worse than a slow one.
async fn accept(listeners: &[TcpListener]) -> (TcpStream, Peer) {
    let mut is_failing = false;
    loop {
        let accepted = poll_fn(|cx| {
            let ready = listeners.iter().find_map(|listener| match listener.poll_accept(cx) {
                Poll::Ready(accepted) => Some(accepted),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        let error = match accepted.await {
            // An IPv4 client of an IPv6 socket is the same client.
            Ok((stream, from)) => return (stream, Peer { address: Some(from.ip().to_canonical()) }),
            Err(error) => error,
        };
        // The client is to blame for these, and its connection is gone already.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            continue;
        }
        if !is_failing {
            tracing::warn!(%error, "failed to accept connections, trying on; raise the limit of open files if reached");
        }
        is_failing = true;
        sleep(ACCEPT_PAUSE).await;
    }
}

/// The connections under way.
struct Connections {
    router: Router,
    limits: Limits,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    /// Serves one connection in a task of its own, which keeps `place` until it ends.
    fn start(&mut self, stream: TcpStream, peer: Peer, place: Option<OwnedSemaphorePermit>) {
        while self.tasks.try_join_next().is_some() {}
        // An answer is written at once; waiting for more to send only delays it.
        let _ = stream.set_nodelay(true);
        let progress = Progress::new();
        let io = TokioIo::new(Guarded::new(stream, self.limits, progress.clone()));
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            progress.handling();
            let (answer, progress) = (router.call(request), progress.clone());
            async move {
                let answer: Result<_, Infallible> = answer.await;
                progress.answering();
                answer
            }
        });
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            // The guard keeps the time, see there.
            .header_read_timeout(None)
            .serve_connection(io, service);
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }

    /// Ends within `grace`: idle connections now, busy ones after their answer, the rest by force.
    async fn finish(self, grace: Duration) {
        let Self { graceful, mut tasks, .. } = self;
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::info!(open = tasks.len(), "cutting connections that did not finish in time");
        }
        tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
