//! A database server on loopback that is well until it is told to turn hostile in one way, and well again when told so.
//!
//! It speaks just enough of PostgreSQL or MySQL for a figure of the operator's own. Threads, not tasks: what it does to
//! its peer must not hold up who measures the peer.

mod mysql;
mod postgres;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What an endless answer ends at, should its peer never close.
const ENDLESS: u64 = 2 << 30;

const ROWS: u64 = 10_000_000;

/// Whose protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Postgres,
    Mysql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// Nobody listens any more.
    Refuses,
    /// Takes the connection and never says a word.
    Hangs,
    /// Takes the statement and never answers.
    HangsInAnswer,
    /// The greeting, a byte a second.
    DripsGreeting,
    /// The answer, a byte a second.
    DripsAnswer,
    /// Noise for a greeting.
    GarbageForGreeting,
    /// Noise for an answer.
    GarbageForAnswer,
    /// Agrees to TLS and sends noise.
    GarbageForTls,
    /// A well-framed greeting that ends too early.
    ShortGreeting,
    /// A well-framed row whose cell ends behind it.
    ShortRow,
    /// Closes in the middle of the answer.
    ClosesInAnswer,
    /// A greeting whose length is 2 GiB, and all of them.
    EndlessGreeting,
    /// Parameters of the session without end, each another; only PostgreSQL has them.
    EndlessParameters,
    /// An answer that is never begun for notices (PostgreSQL) or empty results (MySQL).
    EndlessNotices,
    /// One cell of a gibibyte.
    EndlessCell,
    /// 10 million rows.
    ManyRows,
    /// Two million cells of a byte each; only MySQL has such small ones.
    ManyCells,
    /// A result that announces 2^28 columns; only MySQL can.
    ManyColumns,
    /// A result that announces more columns than any memory has room for.
    CountlessColumns,
}

impl Ill {
    pub fn is_of(self, speech: Speech) -> bool {
        match self {
            Self::EndlessParameters => speech == Speech::Postgres,
            Self::ManyCells | Self::ManyColumns | Self::CountlessColumns => speech == Speech::Mysql,
            _ => true,
        }
    }

    /// The class of errors it is to be counted as.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Refuses
            | Self::GarbageForGreeting
            | Self::GarbageForAnswer
            | Self::GarbageForTls
            | Self::ShortGreeting
            | Self::ShortRow
            | Self::ClosesInAnswer => "unreachable",
            Self::Hangs | Self::HangsInAnswer | Self::DripsGreeting | Self::DripsAnswer => "timeout",
            Self::EndlessGreeting
            | Self::EndlessParameters
            | Self::EndlessNotices
            | Self::EndlessCell
            | Self::ManyRows
            | Self::ManyCells
            | Self::ManyColumns
            | Self::CountlessColumns => "oversized",
        }
    }
}

/// The server; it ends with the value.
pub struct HostileServer {
    pub speech: Speech,
    pub ill: Ill,
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    speech: Speech,
    ill: Ill,
    is_ill: AtomicBool,
    is_over: AtomicBool,
    /// Connections taken since it turned.
    victims: AtomicU64,
    /// Most bytes one connection has taken.
    taken_max: AtomicU64,
}

impl HostileServer {
    /// A server that is well.
    pub fn start(speech: Speech, ill: Ill) -> Self {
        let shared = Arc::new(Shared {
            speech,
            ill,
            is_ill: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            victims: AtomicU64::new(0),
            taken_max: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || listen(listener, port, &of_thread));
        Self { speech, ill, port, shared }
    }

    pub fn source(&self) -> &'static str {
        match self.speech {
            Speech::Postgres => "postgres",
            Speech::Mysql => "mysql",
        }
    }

    pub fn url(&self) -> String {
        format!("{}://bridge@127.0.0.1:{}/linkit", self.source(), self.port)
    }

    pub fn turn(&self) {
        self.shared.is_ill.store(true, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.shared.is_ill.store(false, Ordering::SeqCst);
    }

    pub fn victims(&self) -> u64 {
        self.shared.victims.load(Ordering::SeqCst)
    }

    /// Most bytes that one connection has taken, those on their way included.
    pub fn taken_max(&self) -> u64 {
        self.shared.taken_max.load(Ordering::SeqCst)
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn is_ill(&self) -> bool {
        self.is_ill.load(Ordering::SeqCst)
    }
}

fn listen(listener: TcpListener, port: u16, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    let mut listener = Some(listener);
    while !shared.is_over() {
        let refuses = shared.is_ill() && shared.ill == Ill::Refuses;
        if refuses {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).ok();
            let _ = listener.as_ref().map(|listener| listener.set_nonblocking(true));
        }
        let Some(Ok((stream, _))) = listener.as_ref().map(TcpListener::accept) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let shared = Arc::clone(shared);
        // A peer that closes in the middle is what is wanted of it.
        std::thread::spawn(move || drop(serve(stream, &shared)));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    let ill = shared.is_ill().then_some(shared.ill);
    shared.victims.fetch_add(ill.is_some().into(), Ordering::SeqCst);
    let wire = Wire { stream, shared, ill, taken: 0 };
    match shared.speech {
        Speech::Postgres => postgres::serve(wire),
        Speech::Mysql => mysql::serve(wire),
    }
}

/// A connection that counts what it takes. It ends when the server turns, and when it heals.
struct Wire<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    ill: Option<Ill>,
    taken: u64,
}

impl Wire<'_> {
    fn is_over(&self) -> bool {
        self.shared.is_over() || self.shared.is_ill() != self.ill.is_some()
    }

    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            match self.stream.read(&mut bytes[have..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => have += more,
                Err(error) if !is_late(&error) => return Err(error),
                Err(_) if self.is_over() => return Err(io::ErrorKind::ConnectionAborted.into()),
                Err(_) => {}
            }
        }
        Ok(bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.taken += bytes.len() as u64;
        self.shared.taken_max.fetch_max(self.taken, Ordering::SeqCst);
        Ok(())
    }

    /// Says nothing until the peer closes.
    fn hang(&mut self) -> io::Result<()> {
        loop {
            self.bytes(1)?;
        }
    }

    fn drip(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.send(&[*byte])?;
            for _ in 0..20 {
                if self.is_over() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Sends what `part` makes of a running number, again and again.
    fn repeat(&mut self, count: u64, part: impl Fn(u64) -> Vec<u8>) -> io::Result<()> {
        let mut number = 0;
        while number < count && self.taken < ENDLESS && !self.is_over() {
            let mut parts = Vec::with_capacity(80 << 10);
            while parts.len() < 64 << 10 && number < count {
                parts.extend(part(number));
                number += 1;
            }
            self.send(&parts)?;
        }
        Ok(())
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The same noise each time, so that it is the same error each time.
fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::once(0xff).chain(std::iter::repeat_with(|| random.u8(..)).take(256 << 10)).collect()
}
