//! The users of basic authentication, and what checking their passwords may cost.
//!
//! bcrypt is slow of purpose, so guesses must neither keep good users waiting nor tell which users there are: what was
//! right once is kept as a digest and costs nothing again; what was wrong is never kept, so that it drives nothing out;
//! an unknown user costs what a known one does; an address has ten guesses a second, which wait for each other, and two are
//! computed at a time, on threads of their own. So who comes for the first time waits for one guess of each address that
//! floods, not for the flood. It knows headers and addresses, not routes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{AcquireError, Semaphore};
use tokio::time::timeout;

use crate::server::rate::{Buckets, Rate, block};

/// Passwords computed at a time.
const TURNS: usize = 2;
/// Passwords of one address that wait for a turn or have one; more are refused.
const LINE: usize = 10;
/// Passwords that wait for a turn or have one: a line of each of as many addresses as get a turn within [`PATIENCE`], at the
/// usual cost.
const PLACES: usize = 256 * LINE;
/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wrong passwords of one address.
const GUESSES: Rate = Rate { every: Duration::from_millis(100), burst: 10 };
/// Most addresses that are told apart.
const ADDRESSES_MAX: usize = 4096;
/// Right passwords that are kept.
const KEPT_MAX: usize = 256;
/// The cost from which a first answer takes more than a second.
const COST_SLOW: u32 = 14;

/// The users by name, with the hashes of their passwords.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, SecretString>,
    /// What the hashes cost.
    costs: Vec<u32>,
}

impl Users {
    /// Checks that all hashes are of bcrypt.
    pub(super) fn new(hashes: BTreeMap<String, SecretString>) -> Result<Self, String> {
        let mut costs = Vec::new();
        for (name, hash) in &hashes {
            // The cost stands in the same two places in every hash that can be read.
            let parts = bcrypt::HashParts::from_str(hash.expose_secret());
            let cost = parts.ok().map(|parts| parts.get_cost()).filter(|cost| (4..=31).contains(cost));
            let name = shown(name);
            costs.push(cost.ok_or_else(|| {
                format!(
                    "basic_auth_users: the password of {name} is no bcrypt hash; make one with: htpasswd -nBC 10 {name}"
                )
            })?);
        }
        Ok(Self { hashes, costs })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether a first answer will be slow.
    pub(super) fn is_slow(&self) -> bool {
        self.costs.iter().any(|cost| *cost > COST_SLOW)
    }

    /// The hash of a user; of one who is unknown one that nothing has, as costly as some other's, always the same.
    fn hash(&self, name: &str, seed: &RandomState) -> (Cow<'_, str>, bool) {
        if let Some(hash) = self.hashes.get(name) {
            return (Cow::Borrowed(hash.expose_secret()), true);
        }
        let at = usize::try_from(seed.hash_one(name) >> 1).unwrap_or_default();
        let cost = self.costs.get(at % self.costs.len().max(1)).copied().unwrap_or(10);
        (Cow::Owned(format!("$2b${cost:02}${}{}", "abcdefghijklmnopqrstuu", ".".repeat(31))), false)
    }
}

/// A name for an error, which people may have mistaken for the place of the secret.
fn shown(name: &str) -> Cow<'_, str> {
    let is_plain = name.len() <= 32 && name.chars().all(|c| c.is_alphanumeric() || "._-@".contains(c));
    if is_plain && !name.is_empty() { Cow::Borrowed(name) } else { Cow::Borrowed("USER") }
}

/// What a request presents: a name, and a password.
pub(super) struct Credentials {
    name: String,
    password: SecretSlice<u8>,
}

impl Credentials {
    /// What stands in `Authorization` (RFC 7617).
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let decoded = SecretSlice::from(STANDARD.decode(encoded).ok()?);
        let colon = decoded.expose_secret().iter().position(|byte| *byte == b':')?;
        let (name, password) = (&decoded.expose_secret()[..colon], &decoded.expose_secret()[colon + 1..]);
        Some(Self { name: String::from_utf8_lossy(name).into_owned(), password: SecretSlice::from(password.to_vec()) })
    }
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The user is who they say.
    Right,
    /// There is no such user, or the password is another.
    Wrong,
    /// Too much is being guessed: nothing was checked.
    TooMany,
}

/// Compares a password with a hash; slow.
type Compare = dyn Fn(&[u8], &str) -> bool + Send + Sync;

/// Checks passwords within the bounds; lives longer than the users do.
pub(super) struct Checks {
    compare: Box<Compare>,
    kept: Mutex<Kept>,
    guesses: Mutex<Buckets>,
    lines: Mutex<Lines>,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    seed: RandomState,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self::with(|password, hash| bcrypt::verify(password, hash).unwrap_or(false))
    }

    fn with(compare: impl Fn(&[u8], &str) -> bool + Send + Sync + 'static) -> Self {
        Self {
            compare: Box::new(compare),
            kept: Mutex::default(),
            guesses: Mutex::new(Buckets::new(GUESSES, ADDRESSES_MAX)),
            lines: Mutex::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            places: Arc::new(Semaphore::new(PLACES)),
            seed: RandomState::new(),
        }
    }

    /// Checks what a client at `address` presents, at the monotonic time `now`.
    pub(super) async fn check(
        self: &Arc<Self>,
        users: &Users,
        credentials: Credentials,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Verdict {
        let (hash, is_known) = users.hash(&credentials.name, &self.seed);
        let key = digest([credentials.name.as_bytes(), hash.as_bytes(), credentials.password.expose_secret()]);
        if is_known && self.is_kept(&key) {
            return Verdict::Right;
        }
        // Whoever comes without one, as by a Unix socket, shares a bucket.
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        // Taken before it is known to be wrong: many at once must not all be tried.
        if lock(&self.guesses).take(address, now).is_err() {
            return Verdict::TooMany;
        }
        let Some(line) = lock(&self.lines).join(block(address)) else { return Verdict::TooMany };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Verdict::TooMany };
        let turns = Arc::clone(&self.turns);
        let turn = async { Ok::<_, AcquireError>((line.acquire_owned().await?, turns.acquire_owned().await?)) };
        let Ok(Ok(turn)) = timeout(PATIENCE, turn).await else { return Verdict::TooMany };
        let (checks, hash) = (Arc::clone(self), hash.into_owned());
        // Goes on when the client does not wait for it, and keeps its turn until it has ended.
        let compared = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            // Another request of the same client may have been before us.
            let is_kept = is_known && checks.is_kept(&key);
            let is_right = is_kept || (checks.compare)(credentials.password.expose_secret(), &hash) && is_known;
            if is_right {
                lock(&checks.kept).keep(key);
                lock(&checks.guesses).put(address);
            }
            is_right
        });
        if compared.await.unwrap_or(false) { Verdict::Right } else { Verdict::Wrong }
    }

    fn is_kept(&self, key: &Key) -> bool {
        lock(&self.kept).keys.contains(key)
    }
}

/// The lines in which addresses wait: the first of each waits for a turn, the others for the first.
#[derive(Default)]
struct Lines(HashMap<IpAddr, Arc<Semaphore>>);

impl Lines {
    /// The line of an address, unless it is too long. Whoever holds it stands in it.
    fn join(&mut self, address: IpAddr) -> Option<Arc<Semaphore>> {
        if self.0.len() > PLACES {
            self.0.retain(|_, line| Arc::strong_count(line) > 1);
        }
        let line = self.0.entry(address).or_insert_with(|| Arc::new(Semaphore::new(1)));
        // The table holds it too.
        (Arc::strong_count(line) <= LINE).then(|| Arc::clone(line))
    }
}

/// What stands for one user, hash and password.
type Key = [u8; 32];

/// The digest of fields, each with its length, so that no two triples are one (CVE-2022-46146).
fn digest(fields: [&[u8]; 3]) -> Key {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// What was right, the latest of it.
#[derive(Default)]
struct Kept {
    keys: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Kept {
    fn keep(&mut self, key: Key) {
        if self.keys.insert(key) {
            self.order.push_back(key);
            if self.order.len() > KEPT_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.keys.remove(&oldest);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
