//! The keys in force: exchanged while the server runs, and the account of those who showed one.
//!
//! It judges and counts; where keys come from is its owner's matter, how a refusal looks is that of the routes.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderMap;

use super::{ApiKey, Scope, Verdict, judge};
use crate::catalog::FigureId;
use crate::clock::Moment;
use crate::reading::Reading;
use crate::server::rate::{Buckets, Rate};

/// How often an address may show what is no key: ten times at once, then ten times a minute.
const WRONG: Rate = Rate { burst: 10, every: Duration::from_secs(6) };

/// Most addresses that are told apart.
const ADDRESSES_MAX: usize = 4096;

/// Why a request was refused, as the figure tells it.
#[derive(Clone, Copy)]
enum Reason {
    Missing,
    Wrong,
    Expired,
    Scope,
    Limited,
}

impl Reason {
    /// All in order, with the values of `reason`.
    const ALL: [(Self, &str); 5] = [
        (Self::Missing, "missing"),
        (Self::Wrong, "wrong"),
        (Self::Expired, "expired"),
        (Self::Scope, "scope"),
        (Self::Limited, "limited"),
    ];
}

/// The keys of a server: a handle, which all copies share.
#[derive(Clone)]
pub struct Keys(Arc<Ring>);

struct Ring {
    held: RwLock<Arc<Held>>,
    wrong: Mutex<Buckets>,
    /// In the order of [`Reason`].
    refused: [AtomicU64; Reason::ALL.len()],
    files: AtomicU8,
}

#[derive(Default)]
struct Held {
    keys: Vec<ApiKey>,
    /// When each was last used, in nanoseconds of wall time; 0 if it never was.
    used: Vec<Arc<AtomicU64>>,
}

/// Why somebody is not let in, as far as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Refusal {
    /// No good key was shown.
    Unauthorized,
    /// A good key was shown, which opens other things.
    OutOfScope,
    /// So many wrong keys came from this address that it is not told more, for this time.
    TooMany(Duration),
}

impl Keys {
    /// A handle of `keys`.
    pub(in crate::server) fn new(keys: Vec<ApiKey>) -> Self {
        let ring = Self(Arc::new(Ring {
            held: RwLock::default(),
            wrong: Mutex::new(Buckets::new(WRONG, ADDRESSES_MAX)),
            refused: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            files: AtomicU8::new(Files::None as u8),
        }));
        ring.replace(keys);
        ring
    }

    /// Puts `keys` in the place of those in force, in one step: a request is judged by the ones or by the others. A key
    /// that goes on under its name has its last use further on.
    pub fn replace(&self, keys: Vec<ApiKey>) {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let used = |key: &ApiKey| {
            let before = held.keys.iter().position(|before| before.name == key.name);
            before.and_then(|at| held.used.get(at)).map(Arc::clone).unwrap_or_default()
        };
        let used = keys.iter().map(used).collect();
        *held = Arc::new(Held { keys, used });
    }

    /// Tells whether the files of keys could be read when they were last looked at, `None` if there are none: a figure.
    pub fn note_files(&self, are_good: Option<bool>) {
        let files = are_good.map_or(Files::None, |are_good| if are_good { Files::Good } else { Files::Bad });
        self.0.files.store(files as u8, Ordering::Relaxed);
    }

    /// Lets a request in that shows a key for `scope`, whatever else came from its address before. Who shows no good key
    /// is refused, and who does so often from one address is not even told so. An address that is not known is not
    /// limited: behind another listener everybody has the same.
    pub(in crate::server) fn admit(
        &self,
        headers: &HeaderMap,
        scope: Scope,
        address: Option<IpAddr>,
        now: Moment,
    ) -> Result<(), Refusal> {
        let held = self.held();
        let (refusal, reason) = match judge(&held.keys, headers, scope, now.wall) {
            Verdict::Granted(at) => {
                if let Some(used) = held.used.get(at) {
                    used.store(now.wall.0, Ordering::Relaxed);
                }
                return Ok(());
            }
            // Neither guesses: there is nothing to limit.
            Verdict::Missing => (Refusal::Unauthorized, Reason::Missing),
            Verdict::OutOfScope => (Refusal::OutOfScope, Reason::Scope),
            verdict => match self.may_be_wrong(address, now) {
                Err(wait) => (Refusal::TooMany(wait), Reason::Limited),
                Ok(()) if verdict == Verdict::Expired => (Refusal::Unauthorized, Reason::Expired),
                Ok(()) => (Refusal::Unauthorized, Reason::Wrong),
            },
        };
        self.0.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        Err(refusal)
    }

    fn may_be_wrong(&self, address: Option<IpAddr>, now: Moment) -> Result<(), Duration> {
        let Some(address) = address else { return Ok(()) };
        self.0.wrong.lock().unwrap_or_else(PoisonError::into_inner).take(address, now.mono)
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.0.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its figures: expiry and last use of each key, refusals, and whether its files can be read.
    pub(in crate::server) fn readings(&self) -> Vec<Reading> {
        let held = self.held();
        let mut readings = Vec::new();
        for (at, (key, used)) in held.keys.iter().zip(&held.used).enumerate() {
            // One name is one series, though an embedding program may give it twice.
            if held.keys[..at].iter().any(|before| before.name == key.name) {
                continue;
            }
            let of = |figure, value| Reading::of_series(figure, "key", &key.name, value);
            readings.extend(key.expires.map(|expires| of(FigureId::ApiKeyExpiry, expires.0)));
            let used = Some(used.load(Ordering::Relaxed)).filter(|used| *used > 0);
            readings.extend(used.map(|used| of(FigureId::ApiKeyLastUsed, used)));
        }
        readings.extend(Reason::ALL.map(|(reason, name)| {
            let count = self.0.refused[reason as usize].load(Ordering::Relaxed);
            Reading::of_series(FigureId::ApiKeyRefused, "reason", name, count)
        }));
        let files = self.0.files.load(Ordering::Relaxed);
        let is_good = u64::from(files == Files::Good as u8);
        let has_files = files != Files::None as u8;
        readings.extend(has_files.then(|| Reading::of(FigureId::ApiKeyLastReloadSuccessful, is_good)));
        readings
    }
}

/// What is known of the files of keys.
enum Files {
    None = 0,
    Good = 1,
    Bad = 2,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.held().keys).finish()
    }
}
