//! The API keys as the configuration names them: in place, as digests, in files, as credentials of systemd. The files
//! are read again and again while the bridge runs, by content: a watch on a file misses what Kubernetes does, which
//! exchanges a link above it.
//!
//! It knows where keys come from; the server judges by them. The next place for a key is one more arm in
//! [`Origin::read`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;
use crate::config::{ApiKeyConfig, Env, WebConfig};
use crate::secret::{self, key};
use crate::server::{ApiKey, Keys};

/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Time from one look at the files to the next; a key taken out of its file is refused after this time.
const EVERY: Duration = Duration::from_secs(3);

/// Where keys come from, and which these were when last they could be read.
#[derive(Clone)]
pub(super) struct KeySources(Vec<Source>);

#[derive(Clone)]
struct Source {
    origin: Origin,
    held: Held,
    /// Why it cannot be read now.
    problem: Option<String>,
}

#[derive(Clone)]
enum Origin {
    /// An entry of `web.api_keys`, and the directory of systemd's credentials.
    Entry(ApiKeyConfig, Option<PathBuf>),
    /// `web.api_keys_file`.
    List(PathBuf),
}

#[derive(Clone, PartialEq, Eq)]
struct Held {
    keys: Vec<ApiKey>,
    weakness: Option<&'static str>,
}

/// Where systemd has put the credentials of this service, if it has any.
pub(super) fn credentials(env: Env<'_>) -> Option<PathBuf> {
    env(CREDENTIALS).map(PathBuf::from)
}

impl KeySources {
    /// The sources a configuration names, read for the first time.
    ///
    /// # Errors
    /// When one cannot be read, is no key, or two keys have one name.
    pub(super) fn read(web: &WebConfig, credentials: Option<&Path>) -> anyhow::Result<Self> {
        let origin = |entry: &ApiKeyConfig| Origin::Entry(entry.clone(), credentials.map(Path::to_owned));
        let entries = web.api_keys.iter().flatten().map(origin);
        let mut sources = Self(Vec::new());
        for origin in entries.chain(web.api_keys_file.clone().map(Origin::List)) {
            let held = origin.read().map_err(|problem| anyhow!("{origin}: {problem}"))?;
            sources.0.push(Source { origin, held, problem: None });
        }
        let twice = sources.0.iter().enumerate().find_map(|(at, source)| sources.name_before(at, &source.held));
        match twice {
            Some(name) => Err(anyhow!("web.api_keys_file: {}", called_twice(&name))),
            None => Ok(sources),
        }
    }

    /// All keys that are to be in force.
    pub(super) fn keys(&self) -> Vec<ApiKey> {
        self.0.iter().flat_map(|source| source.held.keys.clone()).collect()
    }

    /// Says what is weak or has expired, by name.
    pub(super) fn warn(&self, clock: &dyn Clock) {
        if self.0.is_empty() {
            tracing::warn!("no API key is configured: the JSON refuses all; set web.api_keys or LINKIT_BRIDGE_API_KEY");
        }
        for source in &self.0 {
            source.warn_of_weakness();
        }
        let now = clock.now().wall;
        for key in self.keys().iter().filter(|key| !key.is_live(now)) {
            tracing::warn!(
                key = key.name,
                "this API key has expired and is refused; make a new one or move its expiry"
            );
        }
    }

    fn has_files(&self) -> bool {
        self.0.iter().any(|source| source.origin.file().is_some())
    }

    /// The same, its files read anew. What cannot be read keeps its keys: a slip must not lock everybody out.
    fn read_again(mut self) -> Self {
        for at in 0..self.0.len() {
            let origin = &self.0[at].origin;
            if origin.file().is_none_or(|file| secret::is_pipe(&file)) {
                continue;
            }
            let read = origin.read().and_then(|held| match self.name_before(at, &held) {
                Some(name) => Err(called_twice(&name)),
                None => Ok(held),
            });
            let source = &mut self.0[at];
            match read {
                Ok(held) => (source.held, source.problem) = (held, None),
                Err(problem) => source.problem = Some(problem),
            }
        }
        self
    }

    /// A name that keys of the source at this place would share with those of one before it.
    fn name_before(&self, at: usize, held: &Held) -> Option<String> {
        let is_before = |key: &&ApiKey| {
            self.0[..at].iter().flat_map(|source| &source.held.keys).any(|before| before.name == key.name)
        };
        held.keys.iter().find(is_before).map(|key| key.name.clone())
    }

    /// Says what has changed since `before`, the same sources at an earlier time.
    fn say_changes(&self, before: &Self) {
        for (source, before) in self.0.iter().zip(&before.0) {
            let origin = &source.origin;
            if source.held != before.held {
                let names: Vec<_> = source.held.keys.iter().map(|key| key.name.as_str()).collect();
                tracing::info!(keys = names.join(","), "API keys have changed: {origin}");
                source.warn_of_weakness();
            }
            match &source.problem {
                Some(problem) if source.problem != before.problem => {
                    tracing::error!("{origin}: {problem}; what was in it before goes on being taken");
                }
                None if before.problem.is_some() => tracing::info!("{origin}: it can be read again"),
                _ => {}
            }
        }
    }
}

impl Source {
    fn warn_of_weakness(&self) {
        if let Some(weakness) = self.held.weakness {
            tracing::warn!("{}: the key is weak: {weakness}; make one with: linkit-bridge key new", self.origin);
        }
    }
}

impl Origin {
    /// The file it is read from, if it is one.
    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Entry(entry, credentials) => {
                let credential = || Some(credentials.as_ref()?.join(entry.credential.as_ref()?));
                entry.key_file.clone().or_else(|| entry.sha256_file.clone()).or_else(credential)
            }
            Self::List(file) => Some(file.clone()),
        }
    }

    fn read(&self) -> Result<Held, String> {
        match self {
            Self::List(file) => {
                let text = secret::read_text("the file", file)?;
                let keys = ApiKey::parse_list(text.expose_secret()).map_err(|error| error.to_string())?;
                Ok(Held { keys, weakness: None })
            }
            Self::Entry(entry, credentials) => {
                let (key, weakness) = entry_key(entry, credentials.as_deref())?;
                let expires = entry.expires.map(|expires| expires.0);
                let key = match &entry.scopes {
                    Some(scopes) => key.with_scopes(scopes),
                    None => key,
                };
                Ok(Held { keys: vec![key.expiring(expires)], weakness })
            }
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(entry, _) => write!(f, "web.api_keys, key {:?}", entry.name),
            Self::List(file) => write!(f, "web.api_keys_file {}", file.display()),
        }
    }
}

fn called_twice(name: &str) -> String {
    format!("a key called {name:?} stands in web.api_keys too; name each after its user")
}

/// The key of an entry, and why it is weak if its own text is there to judge.
fn entry_key(entry: &ApiKeyConfig, credentials: Option<&Path>) -> Result<(ApiKey, Option<&'static str>), String> {
    let given = [
        ("key", entry.key.is_some()),
        ("key_file", entry.key_file.is_some()),
        ("sha256", entry.sha256.is_some()),
        ("sha256_file", entry.sha256_file.is_some()),
        ("credential", entry.credential.is_some()),
    ];
    let given: Vec<_> = given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect();
    match given[..] {
        [] => return Err("nothing is set; give key, key_file, sha256, sha256_file or credential".to_owned()),
        [_] => {}
        [one, other, ..] => return Err(format!("{one} and {other} are both set; keep one of them")),
    }
    let digest = secret::from_twins("sha256", entry.sha256.as_ref(), entry.sha256_file.as_deref())?;
    if let Some(hex) = digest {
        let key = ApiKey::from_sha256_hex(&entry.name, hex.expose_secret()).map_err(|error| error.to_string())?;
        return Ok((key, None));
    }
    let key = match &entry.credential {
        Some(name) => Some(credential(name, credentials)?),
        None => secret::from_twins("key", entry.key.as_ref(), entry.key_file.as_deref())?,
    };
    let key = key.ok_or("nothing is set")?;
    if key.expose_secret().trim().contains(char::is_control) {
        return Err("the key holds more than one line, or what no header can carry; give it alone".to_owned());
    }
    Ok((ApiKey::from_secret(&entry.name, &key), key::weakness(&key)))
}

fn credential(name: &str, directory: Option<&Path>) -> Result<SecretString, String> {
    let directory = directory.ok_or_else(|| {
        format!("credential {name:?}: there is no {CREDENTIALS}; set LoadCredential= in the unit of systemd")
    })?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(format!("credential {name:?}: give the name it has in LoadCredential=, not a path"));
    }
    secret::read("credential", &directory.join(name))
}

/// The keys of a running bridge: their files are followed, a reload turns to those of another configuration.
pub struct KeyFiles {
    keys: Keys,
    /// Counted up with each reload, so that what was read of the files before it is not taken after it.
    sources: Mutex<(u64, KeySources)>,
    clock: Arc<dyn Clock>,
}

impl KeyFiles {
    pub(super) fn new(keys: Keys, sources: KeySources, clock: Arc<dyn Clock>) -> Self {
        let files = Self { keys, sources: Mutex::new((0, sources)), clock };
        files.note(&files.sources().1);
        files
    }

    /// Takes the keys of another configuration. A request is judged by the keys before or by those after.
    pub(super) fn turn_to(&self, read: KeySources) {
        read.warn(&*self.clock);
        let mut sources = self.sources();
        *sources = (sources.0 + 1, read);
        self.keys.replace(sources.1.keys());
        self.note(&sources.1);
    }

    /// Reads the files again and again, until the future is dropped.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let files = Arc::clone(&self);
            let mut reading = tokio::task::spawn_blocking(move || files.read_again());
            if tokio::time::timeout(EVERY, &mut reading).await.is_err() {
                tracing::error!("files of API keys were not read within {EVERY:?}; the keys before go on being taken");
                self.keys.note_files(Some(false));
                // Another look beside one that hangs would only hang too.
                let _ = reading.await;
            }
        }
    }

    fn read_again(&self) {
        let (generation, before) = self.sources().clone();
        if !before.has_files() {
            return;
        }
        let after = before.clone().read_again();
        let mut sources = self.sources();
        if sources.0 != generation {
            return;
        }
        after.say_changes(&before);
        let (old, new) = (before.keys(), after.keys());
        if old != new {
            self.keys.replace(new);
        }
        self.note(&after);
        sources.1 = after;
    }

    fn note(&self, sources: &KeySources) {
        let are_good = sources.0.iter().all(|source| source.problem.is_none());
        self.keys.note_files(sources.has_files().then_some(are_good));
    }

    fn sources(&self) -> MutexGuard<'_, (u64, KeySources)> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
