//! The accept loop: hyper under limits, and an end that always comes.
//!
//! `axum::serve` has no header timeout and its graceful shutdown waits for the slowest client, hence this loop of our
//! own. It knows connections, not routes. Whoever is let in by the door is first secured (see `secure`), then served.

mod http2;
mod request;
mod secure;

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::door::{Door, Place, Reason};
use super::guard::Guarded;
use super::limits::Limits;
use super::measure::Refusals;
use super::peer::Peer;
use super::socket::Socket;
use super::stream::Stream;
use super::web_config::WebConfigFile;
use request::Requests;
use secure::{Secured, secure};

/// The pause after the system refused to accept, most often for want of file descriptors: closing connections frees
/// some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How often the log says of a kind of trouble that it is there, while it is.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Largest head of a request; hyper answers 431 to larger ones.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// How long the loop may take to show that it turns.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Shows whether the accept loop still turns; clones show the same loop's.
#[derive(Clone, Debug, Default)]
pub struct Turn(Arc<Signs>);

#[derive(Debug, Default)]
struct Signs {
    asked: Notify,
    given: Notify,
}

impl Turn {
    /// Whether the loop comes round within some seconds.
    pub async fn turns(&self) -> bool {
        // One that was given late answers another question.
        let given = self.0.given.notified();
        self.0.asked.notify_one();
        timeout(TURN_MAX, given).await.is_ok()
    }
}

/// What is served, and under which terms.
pub(super) struct Served {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) door: Arc<Door>,
    pub(super) web: Option<WebConfigFile>,
    pub(super) turn: Turn,
    /// Told of requests that are refused here.
    pub(super) refusals: Refusals,
}

/// Serves until `stop`, then lets requests under way finish for at most `grace`; what is still open then is cut.
pub(super) async fn serve(served: Served, sockets: Vec<Socket>, stop: impl Future<Output = ()>, grace: Duration) {
    let Served { router, limits, door, web, turn, refusals } = served;
    let mut connections = Connections {
        router,
        limits: limits.within_files(),
        door: Arc::clone(&door),
        web,
        refusals,
        closing: watch::Sender::new(()),
        graceful: GracefulShutdown::new(),
        tasks: JoinSet::new(),
        said: Said::default(),
    };
    let mut stop = pin!(stop);
    let (mut next, mut said) = (0, Said::default());
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = turn.0.asked.notified() => turn.0.given.notify_waiters(),
            (stream, peer) = accept(&sockets, &mut next, &door, &mut said) => connections.start(stream, peer),
        }
    }
    drop(sockets);
    connections.finish(grace).await;
}

/// The next connection of any socket, in turns: a flood at one must not keep the others waiting. Survives every error: a
/// server that stops accepting is worse than a slow one.
async fn accept(sockets: &[Socket], next: &mut usize, door: &Door, said: &mut Said) -> (Stream, Peer) {
    loop {
        let accepted = poll_fn(|cx| {
            for step in 0..sockets.len() {
                let at = (*next + step) % sockets.len();
                if let Poll::Ready(accepted) = sockets[at].poll_accept(cx) {
                    *next = at + 1;
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        });
        let error = match accepted.await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        // The client is to blame for these, and its connection is gone already.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            continue;
        }
        if said.is_due() {
            tracing::warn!(
                %error,
                "failed to accept connections, trying on, said once a minute; raise the limit of open files if reached"
            );
        }
        door.make_room();
        sleep(ACCEPT_PAUSE).await;
    }
}

/// When the log last said something.
#[derive(Default)]
struct Said(Option<Instant>);

impl Said {
    /// Whether it is to be said again; then it has been.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.0.is_none_or(|said| now - said >= SAID_EVERY);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// The connections under way.
struct Connections {
    router: Router,
    limits: Limits,
    door: Arc<Door>,
    web: Option<WebConfigFile>,
    refusals: Refusals,
    /// Tells handshakes and HTTP/2 that the server stops.
    closing: watch::Sender<()>,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
    /// That connections are refused.
    said: Said,
}

impl Connections {
    /// Serves one connection in a task of its own, which keeps its place until it ends, if there is a place.
    fn start(&mut self, stream: Stream, peer: Peer) {
        while self.tasks.try_join_next().is_some() {}
        let place = match self.door.admit(peer, &self.limits) {
            Ok(place) => place,
            Err(reason) => {
                stream.refuse();
                return self.say_refused(reason, peer);
            }
        };
        let ticket = place.ticket();
        let (router, limits, refusals) = (self.router.clone(), self.limits, Arc::clone(&self.refusals));
        let tls = self.web.as_ref().and_then(WebConfigFile::tls);
        // Counts the connection from now on; a handshake is given up when the server stops.
        let (watcher, mut closing) = (self.graceful.watcher(), self.closing.subscribe());
        let task = self.tasks.spawn(async move {
            // Until the handshake is done, and a whole head has come, the connection is half-open.
            let secured = tokio::select! {
                biased;
                secured = timeout(limits.handshake, secure(stream, tls)) => secured,
                _ = closing.changed() => return,
            };
            match secured {
                Ok(Ok(Some(secured))) => {
                    let (requests, is_http2) =
                        (Arc::new(Requests { router, limits, peer, place, refusals }), secured.is_http2);
                    if let Err(error) = serve_one(secured, Arc::clone(&requests), closing, watcher).await {
                        tracing::debug!(%error, "a connection ended badly");
                        blame(&requests.place, &error, is_http2);
                    }
                }
                Ok(Ok(None)) => place.fails(Reason::Tls),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a client does not agree on TLS");
                    // Who goes away before it has said anything, as a balancer that looks for a port, disagrees on nothing.
                    if error.kind() == io::ErrorKind::InvalidData {
                        place.fails(Reason::Tls);
                    }
                }
                Err(_) => place.progress().late(),
            }
        });
        self.door.serves(ticket, task);
    }

    fn say_refused(&mut self, reason: Reason, peer: Peer) {
        if self.said.is_due() {
            let address = peer.address.map_or_else(|| "unix".to_owned(), |address| address.to_string());
            tracing::warn!(
                address,
                reason = reason.name(),
                "refusing connections, said once a minute; linkit_bridge_http_dropped_connections_total counts them, and \
                 web.limits sets how many there may be"
            );
        }
    }

    /// Ends within `grace`: idle connections now, busy ones after their answer, the rest by force.
    async fn finish(self, grace: Duration) {
        let Self { closing, graceful, mut tasks, .. } = self;
        closing.send_replace(());
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::info!(open = tasks.len(), "cutting connections that did not finish in time");
        }
        tasks.shutdown().await;
    }
}

/// Notes why a connection ended badly, where its client is to blame.
fn blame(place: &Place, error: &hyper::Error, is_http2: bool) {
    // What the network does is an error of I/O, and no breach of HTTP/2.
    let is_breach = || is_http2 && error.source().is_some_and(|source| !source.is::<io::Error>());
    if error.is_timeout() {
        place.progress().late();
    } else if error.is_parse() || is_breach() {
        place.fails(Reason::Malformed);
    }
}

/// Serves one connection to its end.
async fn serve_one(
    Secured { stream, is_http2 }: Secured,
    requests: Arc<Requests>,
    closing: watch::Receiver<()>,
    watcher: Watcher,
) -> hyper::Result<()> {
    let answering = Arc::clone(&requests);
    let service = service_fn(move |request| {
        let requests = Arc::clone(&answering);
        async move { Ok::<_, Infallible>(requests.answer(request).await) }
    });
    if is_http2 {
        // It ends by `closing`; held to the end, the watcher makes the stop wait for it.
        let _watcher = watcher;
        return http2::serve(stream, service, requests.limits, requests.place.progress().clone(), closing).await;
    }
    let io = TokioIo::new(Guarded::new(stream, requests.limits, requests.place.progress().clone()));
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // The guard keeps the time, see there.
        .header_read_timeout(None)
        .serve_connection(io, service);
    watcher.watch(connection).await
}

#[cfg(test)]
mod tests;
