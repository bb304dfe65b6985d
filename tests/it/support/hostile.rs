//! A source on loopback that is well until it is told to turn hostile, and well again when told so.
//!
//! Here is what all of them have: who listens, and a wire that counts. What is said on it, and how it hurts, is each
//! protocol's own. Threads, not tasks, and of low priority: what it does to its peer must not hold up who measures the
//! peer, nor take the peer's time on the machine. In truth it is elsewhere.

pub mod http;
mod mysql;
mod postgres;
pub mod server;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What an endless answer ends at, should its peer never close.
const ENDLESS: u64 = 2 << 30;

/// How much lower than usual; Linux has it by thread, and threads that are started by one have its own.
const NICE: i32 = 10;

/// Who listens; it ends with the value.
pub struct Host {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_ill: AtomicBool,
    is_over: AtomicBool,
    /// Connections taken since it turned.
    victims: AtomicU64,
    /// Most bytes one connection has taken.
    taken_max: AtomicU64,
}

impl Host {
    /// One that is well, and does with each connection what `serve` does. One that `refuses` listens to nobody while it
    /// is ill.
    fn start(refuses: bool, serve: impl Fn(Wire) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::<Shared>::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || listen(listener, port, refuses, &of_thread, &Arc::new(serve)));
        Self { port, shared }
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

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

fn listen<S>(listener: TcpListener, port: u16, refuses: bool, shared: &Arc<Shared>, serve: &Arc<S>)
where
    S: Fn(Wire) -> io::Result<()> + Send + Sync + 'static,
{
    rustix::process::nice(NICE).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut listener = Some(listener);
    while !shared.is_over.load(Ordering::SeqCst) {
        if refuses && shared.is_ill.load(Ordering::SeqCst) {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).ok();
            let _ = listener.as_ref().map(|listener| listener.set_nonblocking(true));
        }
        let Some(Ok((stream, _))) = listener.as_ref().map(TcpListener::accept) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let (shared, serve) = (Arc::clone(shared), Arc::clone(serve));
        // A peer that closes in the middle is what is wanted of it.
        std::thread::spawn(move || Wire::new(stream, shared).and_then(|wire| serve(wire)));
    }
}

/// A connection that counts what it takes. It ends when the source turns, and when it heals.
struct Wire {
    stream: TcpStream,
    shared: Arc<Shared>,
    is_ill: bool,
    taken: u64,
}

impl Wire {
    fn new(stream: TcpStream, shared: Arc<Shared>) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        let is_ill = shared.is_ill.load(Ordering::SeqCst);
        shared.victims.fetch_add(is_ill.into(), Ordering::SeqCst);
        Ok(Self { stream, shared, is_ill, taken: 0 })
    }

    fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::SeqCst) || self.shared.is_ill.load(Ordering::SeqCst) != self.is_ill
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

    /// A byte a second.
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

/// The same noise each time, so that it is the same error each time; neither a protocol nor UTF-8.
fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::once(0xff).chain(std::iter::repeat_with(|| random.u8(..)).take(256 << 10)).collect()
}
