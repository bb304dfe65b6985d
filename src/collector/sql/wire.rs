//! The wire: what lies between a database's driver and its server, and how long and how much the driver is let work.
//! Knows bytes and time, no protocol and no database.
//!
//! The driver believes its server: it reserves the length that a message announces, keeps rows, notices and parameters
//! as long as they come, and reads on without ever giving way while there is something to read. So a hostile server
//! would grow the bridge by gigabytes, and hold a worker for good: no deadline comes to pass in a task that does not
//! give way. The driver takes no stream of ours, but it takes a Unix socket. So it is given one, with no name in the
//! file system and open to this process alone; a task carries what goes through between it and the real connection, in
//! parts with a breath between them, no more than [`ANSWER_MAX`] a step, and then cuts it. TLS goes through as it is.
//!
//! What is within these bytes is the driver's to judge. Where it panics over them, that is caught here, and told as an
//! answer that is none. Where a few of them would have it take memory without end, the database that brings the driver
//! also brings a judge of the bytes, who has them cut before they are there (`mysql/columns.rs`); he is blind to TLS.

use std::any::Any;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// Most bytes of one answer, and of all that goes before a session is set up: as many as the documented JSON may have.
pub(in crate::collector) const ANSWER_MAX: u64 = 1 << 20;

/// Most rows of one answer, twice what any collector asks for; small ones take the driver many times their bytes.
pub(in crate::collector) const ROWS_MAX: usize = 2_000;

/// Most cells of one answer: each is held apart, 24 bytes and more for the one or two that it takes on MySQL's wire.
pub(in crate::collector) const CELLS_MAX: usize = 100_000;

/// A session that has brought more than this is given up for a new one: a driver keeps some of what it is told.
const SESSION_MAX: u64 = 8 << 20;

const PART: usize = 16 << 10;

/// After so many bytes the driver has nothing to read for a moment, and gives way: a mebibyte of small messages would
/// hold a worker for a tenth of a second, and all who wait for it.
const BREATH: u64 = 64 << 10;
const BREATH_TIME: Duration = Duration::from_millis(1);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::collector) enum Place {
    /// Host and port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Why a driver has brought nothing.
#[derive(Debug)]
pub(in crate::collector) enum Trouble<E> {
    /// It says so itself.
    Driver(E),
    /// Its time was over.
    Late,
    /// The answer is larger than it may be, or would be.
    Oversized,
    /// It panicked over what the server sent.
    Malformed(String),
}

/// The connection to a server, for one session of a driver. It is cut when the value goes.
pub(in crate::collector) struct Wire {
    /// The socket for the driver.
    pub(in crate::collector) socket: PathBuf,
    meter: Arc<Meter>,
    carrier: AbortHandle,
}

#[derive(Default)]
struct Meter {
    /// Bytes since the step began.
    of_step: AtomicU64,
    /// Bytes of the session.
    of_session: AtomicU64,
    is_cut: AtomicBool,
}

impl Wire {
    /// Connects to a server, and lays the wire to it. The driver's socket will have `suffix` at the end of its name.
    /// What the server sends is shown to `admit` part by part; the driver gets neither a part that is not admitted nor
    /// what comes after it.
    ///
    /// # Errors
    /// When the server cannot be reached, or the driver's socket not be made.
    pub(in crate::collector) async fn lay(
        place: &Place,
        suffix: &str,
        admit: impl FnMut(&[u8]) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let name = format!("linkit-bridge-{:032x}", fastrand::u128(..));
        let address = net::SocketAddr::from_abstract_name(format!("{name}{suffix}"))?;
        let listener = net::UnixListener::bind_addr(&address)?;
        listener.set_nonblocking(true)?;
        let (listener, meter) = (UnixListener::from_std(listener)?, Arc::<Meter>::default());
        let carrier = match place {
            Place::Tcp(host, port) => {
                let server = TcpStream::connect((host.as_str(), *port)).await?;
                server.set_nodelay(true)?;
                tokio::spawn(carry(server, listener, Arc::clone(&meter), admit))
            }
            Place::Unix(path) => {
                let server = UnixStream::connect(path).await?;
                tokio::spawn(carry(server, listener, Arc::clone(&meter), admit))
            }
        };
        Ok(Self { socket: PathBuf::from(format!("\0{name}")), meter, carrier: carrier.abort_handle() })
    }

    /// Whether the session is to be given up for a new one.
    pub(in crate::collector) fn is_worn(&self) -> bool {
        self.meter.of_session.load(Ordering::Relaxed) > SESSION_MAX
    }

    /// Cuts it, because the answer has more rows or cells than it may have.
    pub(in crate::collector) fn cut(&self) {
        self.meter.is_cut.store(true, Ordering::Relaxed);
        self.carrier.abort();
    }

    /// One step of the driver, until `end`.
    pub(in crate::collector) async fn drive<T, E>(
        &self,
        end: Instant,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Trouble<E>> {
        self.meter.of_step.store(0, Ordering::Relaxed);
        let done = timeout_at(end, AssertUnwindSafe(work).catch_unwind()).await;
        match done {
            Ok(Ok(Ok(value))) => Ok(value),
            _ if self.meter.is_cut.load(Ordering::Relaxed) => Err(Trouble::Oversized),
            Ok(Ok(Err(error))) => Err(Trouble::Driver(error)),
            Ok(Err(panic)) => Err(Trouble::Malformed(text_of(&*panic))),
            Err(_) => Err(Trouble::Late),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// What a caught panic says.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

/// Carries until one of the two has closed, or the server has sent more than it may.
async fn carry(
    server: impl AsyncRead + AsyncWrite,
    listener: UnixListener,
    meter: Arc<Meter>,
    admit: impl FnMut(&[u8]) -> bool,
) {
    let Ok(driver) = accept(&listener).await else { return };
    drop(listener);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut from_driver, mut to_driver) = driver.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_driver, &mut to_server) => {}
        _ = meter.carry(&mut from_server, &mut to_driver, admit) => {}
    }
}

/// The driver's connection: another process that has found the name is turned away.
async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (driver, _) = listener.accept().await?;
        if driver.peer_cred()?.pid() == i32::try_from(std::process::id()).ok() {
            return Ok(driver);
        }
    }
}

impl Meter {
    async fn carry(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        mut admit: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        let mut part = vec![0; PART];
        loop {
            let length = from.read(&mut part).await?;
            if length == 0 {
                return Ok(());
            }
            let bytes = length as u64;
            self.of_session.fetch_add(bytes, Ordering::Relaxed);
            let before = self.of_step.fetch_add(bytes, Ordering::Relaxed);
            if before + bytes > ANSWER_MAX || !admit(&part[..length]) {
                self.is_cut.store(true, Ordering::Relaxed);
                return Ok(());
            }
            to.write_all(&part[..length]).await?;
            if (before + bytes) / BREATH > before / BREATH {
                tokio::time::sleep(BREATH_TIME).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn soon() -> Instant {
        Instant::now() + PATIENCE
    }

    /// A wire with both of its ends.
    async fn wire(admit: impl FnMut(&[u8]) -> bool + Send + 'static) -> (Wire, UnixStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        let wire = Wire::lay(&place, "/end", admit).await.unwrap();
        let driver = UnixStream::connect(wire.socket.join("end")).await.unwrap();
        (wire, driver, listener.accept().await.unwrap().0)
    }

    async fn read(driver: &mut UnixStream, count: u64) -> io::Result<usize> {
        let mut bytes = vec![0; usize::try_from(count).unwrap()];
        driver.read_exact(&mut bytes).await
    }

    #[tokio::test]
    async fn what_is_within_the_limit_goes_through_each_time_and_what_is_over_it_is_cut() {
        let (wire, mut driver, mut server) = wire(|_| true).await;
        let sender = tokio::spawn(async move { while server.write_all(&[7; 1 << 10]).await.is_ok() {} });
        let began = Instant::now();
        let first = wire.drive(soon(), read(&mut driver, ANSWER_MAX / 2)).await.unwrap();
        assert_eq!(first as u64, ANSWER_MAX / 2);
        let breaths = u32::try_from(ANSWER_MAX / 2 / BREATH).unwrap() - 1;
        assert!(began.elapsed() >= BREATH_TIME * breaths, "no breath between the parts");
        assert!(matches!(wire.drive(soon(), read(&mut driver, 3 * ANSWER_MAX)).await, Err(Trouble::Oversized)));
        timeout(PATIENCE, sender).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_not_admitted_does_not_come_through_and_ends_it() {
        let (wire, mut driver, mut server) = wire(|bytes| !bytes.contains(&8)).await;
        server.write_all(&[7; 9]).await.unwrap();
        assert_eq!(wire.drive(soon(), read(&mut driver, 9)).await.unwrap(), 9);
        server.write_all(&[8; 9]).await.unwrap();
        assert!(matches!(wire.drive(soon(), read(&mut driver, 1)).await, Err(Trouble::Oversized)));
        assert_eq!(timeout(PATIENCE, server.read(&mut [0])).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_wire_that_goes_takes_the_connection_with_it_though_nobody_had_come() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        let wire = Wire::lay(&place, "", |_| true).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        drop(wire);
        assert_eq!(timeout(PATIENCE, server.read(&mut [0])).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn lateness_errors_and_panics_are_told_apart() {
        let (wire, _driver, _server) = wire(|_| true).await;
        let late = wire.drive(Instant::now(), std::future::pending::<Result<(), ()>>()).await;
        assert!(matches!(late, Err(Trouble::Late)));
        assert!(matches!(wire.drive(soon(), async { Err::<(), u8>(3) }).await, Err(Trouble::Driver(3))));
        let panics = async { if soon() > Instant::now() { panic!("planted") } else { Ok::<(), ()>(()) } };
        let malformed = wire.drive(soon(), panics).await;
        assert!(matches!(malformed, Err(Trouble::Malformed(cause)) if cause == "planted"));
    }
}
