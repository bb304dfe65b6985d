//! The exporter-toolkit's web configuration file: TLS, passwords, headers and a rate limit for the whole server.
//!
//! The file and those it names are read again when their content has changed. What is new is made ready whole and then
//! swapped in; what is broken changes nothing, is said once, and shows as a figure. It knows no route and no socket: the
//! listener asks for [`WebConfigFile::tls`], the router for the guard. The next key is a field in `settings.rs` and its
//! effect in the file of its kind.

mod certificate;
mod clients;
mod files;
mod guard;
mod names;
mod settings;
mod tls;
mod users;

pub use settings::{BadSettings, WebSettings};

pub(super) use guard::{Guard, guard};

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use tokio::time::{MissedTickBehavior, interval};

use super::rate::{Bucket, Rate};
use crate::catalog::FigureId;
use crate::clock::{Clock, Wall};
use crate::reading::Reading;
use files::{Files, Seen};
use tls::Tls;
use users::{Checks, Users};

/// How often the files are looked at. What has changed counts at the second look that finds it the same, so that a file
/// is not taken while it is being written, nor a certificate before its key.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A web configuration file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("web configuration {}: {problem}", file.display())]
pub struct WebConfigError {
    file: PathBuf,
    problem: String,
}

/// A web configuration file in force; clones are the same one.
#[derive(Clone)]
pub struct WebConfigFile(Arc<Shared>);

struct Shared {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    checks: Arc<Checks>,
    ready: Mutex<Arc<Ready>>,
    /// Held while the files are read, so that two who do it take turns.
    state: Mutex<State>,
    outcome: Mutex<Outcome>,
}

/// What requests and handshakes are served with.
#[derive(Debug)]
struct Ready {
    tls: Option<Tls>,
    headers: Vec<(HeaderName, HeaderValue)>,
    users: Users,
    limiter: Option<Arc<Limiter>>,
}

impl Ready {
    /// Whether strangers are kept out by certificates.
    fn asks_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.asks_certificates)
    }

    /// The guard that would be gone if this took the place of `before`. A file that was cut off must not open a server that
    /// was closed, and looks like one from which a guard was taken.
    fn lacks_guard_of(&self, before: &Self) -> Option<&'static str> {
        if self.users.is_empty() && !before.users.is_empty() {
            Some("basic_auth_users is gone, and everybody would be let in")
        } else if before.asks_certificates() && !self.asks_certificates() {
            Some("RequireAndVerifyClientCert is gone, and clients without a certificate would be let in")
        } else {
            None
        }
    }
}

/// How the files were found.
#[derive(Debug)]
struct State {
    /// At the last load, good or bad.
    loaded: Seen,
    /// At the last look, where they were not as loaded.
    changed: Option<Seen>,
}

/// What became of the last loads; by itself, so that nobody who asks waits for a file system.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    is_good: bool,
    last_success: Wall,
}

/// The limit that all requests share.
#[derive(Debug)]
struct Limiter {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

impl Limiter {
    fn admits(&self, now: Duration) -> bool {
        lock(&self.bucket).take(self.rate, now).is_ok()
    }
}

impl WebConfigFile {
    /// Loads a file and those it names.
    ///
    /// # Errors
    /// If one cannot be read or used; the error names the file, the line or the key, and the remedy.
    pub fn load(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, WebConfigError> {
        let (ready, loaded) = prepare(path, None);
        let ready = ready.map_err(|problem| WebConfigError { file: path.to_owned(), problem })?;
        warn(&ready);
        let outcome = Outcome { is_good: true, last_success: clock.now().wall };
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            clock,
            checks: Arc::new(Checks::new()),
            ready: Mutex::new(Arc::new(ready)),
            state: Mutex::new(State { loaded, changed: None }),
            outcome: Mutex::new(outcome),
        })))
    }

    /// Loads the files again, now, whether they have changed or not. Reads files: not for a thread that must not wait.
    ///
    /// # Errors
    /// As [`WebConfigFile::load`], or if TLS would be switched on or off or a guard would go; what was in force then stays
    /// in force.
    pub fn reload(&self) -> Result<(), WebConfigError> {
        self.reload_with(&mut lock(&self.0.state))
    }

    fn reload_with(&self, state: &mut State) -> Result<(), WebConfigError> {
        let now = self.current();
        let (ready, loaded) = prepare(&self.0.path, Some(&now));
        (state.loaded, state.changed) = (loaded, None);
        match ready {
            Ok(ready) => {
                warn(&ready);
                *lock(&self.0.ready) = Arc::new(ready);
                *lock(&self.0.outcome) = Outcome { is_good: true, last_success: self.0.clock.now().wall };
                tracing::info!(file = %self.0.path.display(), "the web configuration was reloaded");
                Ok(())
            }
            Err(problem) => {
                lock(&self.0.outcome).is_good = false;
                let error = WebConfigError { file: self.0.path.clone(), problem };
                tracing::error!(%error, "the web configuration was not reloaded, the last good one stays in force");
                Err(error)
            }
        }
    }

    /// Looks whether the files have changed and, once they have settled, loads them.
    fn look(&self) {
        let mut state = lock(&self.0.state);
        let seen = state.loaded.again();
        if seen == state.loaded {
            state.changed = None;
        } else if state.changed.as_ref() == Some(&seen) {
            // Said and counted there.
            let _ = self.reload_with(&mut state);
        } else {
            state.changed = Some(seen);
        }
    }

    /// Follows the files until it is dropped.
    pub(super) async fn follow(self) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let file = self.clone();
            // A file system may hang.
            if tokio::task::spawn_blocking(move || file.look()).await.is_err() {
                tracing::error!("reading the web configuration panicked; this is a defect, please report it");
            }
        }
    }

    /// What handshakes are made with now; `None` without TLS.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.current().tls.as_ref().map(|tls| Arc::clone(&tls.config))
    }

    /// Whether clients come by TLS. It stays so.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.current().tls.is_some()
    }

    /// Whether strangers are kept out, by passwords or by certificates. It stays so.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        let ready = self.current();
        !ready.users.is_empty() || ready.asks_certificates()
    }

    /// What is in force now.
    fn current(&self) -> Arc<Ready> {
        Arc::clone(&lock(&self.0.ready))
    }

    /// Its own figures: how the last load went, and when the certificate expires.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let Outcome { is_good, last_success } = *lock(&self.0.outcome);
        let expires = self.current().tls.as_ref().map(|tls| Wall::from_secs(tls.expires.min(EXPIRES_MAX)));
        let mut readings = vec![
            Reading::of(FigureId::WebConfigLastReloadSuccessful, u64::from(is_good)),
            Reading::of(FigureId::WebConfigLastReloadTimestamp, last_success.0),
        ];
        readings.extend(expires.map(|expires| Reading::of(FigureId::WebCertificateExpiry, expires.0)));
        readings
    }
}

/// The latest time a figure can have, in seconds; some certificates are valid for longer.
const EXPIRES_MAX: u64 = i64::MAX.unsigned_abs() / 1_000_000_000;

impl fmt::Debug for WebConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfigFile").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// Reads a file and those it names, and makes everything ready; `before` is what is in force.
fn prepare(path: &Path, before: Option<&Ready>) -> (Result<Ready, String>, Seen) {
    let mut files = Files::beside(path, before.is_some());
    let text = files
        .get(path)
        .map_err(|cause| format!("it cannot be read: {cause}; name a readable file"))
        .and_then(|bytes| String::from_utf8(bytes.to_vec()).map_err(|_| "it is not UTF-8".to_owned()));
    let ready = text
        .and_then(|text| WebSettings::parse(&text).map_err(|error| error.to_string()))
        .and_then(|settings| ready(settings, &mut files, before));
    (ready, files.seen())
}

fn ready(settings: WebSettings, files: &mut Files, before: Option<&Ready>) -> Result<Ready, String> {
    let headers = settings.headers()?;
    let is_http2 = settings.is_http2();
    let WebSettings { tls_server_config, basic_auth_users, rate_limit, .. } = settings;
    let users = Users::new(basic_auth_users)?;
    let is_on = tls_server_config.is_on();
    if before.is_some_and(|before| before.tls.is_some() != is_on) {
        return Err("TLS is switched on and off by a restart alone; put tls_server_config back, or restart".to_owned());
    }
    let tls = is_on.then(|| tls::build(&tls_server_config, is_http2, files)).transpose()?;
    let rate = Rate { every: rate_limit.interval, burst: rate_limit.burst };
    let kept = before.and_then(|before| before.limiter.clone()).filter(|limiter| limiter.rate == rate);
    // A reload fills no bucket.
    let limiter =
        kept.or_else(|| (!rate.every.is_zero()).then(|| Arc::new(Limiter { rate, bucket: Mutex::default() })));
    let ready = Ready { tls, headers, users, limiter };
    match before.and_then(|before| ready.lacks_guard_of(before)) {
        Some(lacking) => Err(format!("{lacking}; put it back, or restart")),
        None => Ok(ready),
    }
}

/// Says what loads and yet will surprise.
fn warn(ready: &Ready) {
    if ready.limiter.as_ref().is_some_and(|limiter| limiter.rate.burst == 0) {
        tracing::warn!("rate_limit has no burst: every request is refused; set burst to 1 or more");
    }
    if ready.users.is_slow() {
        tracing::warn!("a bcrypt cost is above 14: the first answer to its user takes seconds; 10 to 12 will do");
    }
    if ready.tls.as_ref().is_some_and(|tls| tls.trusts_all) {
        tracing::warn!("clients of every authority of the system are let in; set client_ca_file");
    }
    if !ready.users.is_empty() && ready.tls.is_none() {
        tracing::warn!("basic_auth_users without TLS: passwords can be read on the way; set tls_server_config");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
