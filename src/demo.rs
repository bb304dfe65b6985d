//! `linkit-bridge demo`: the bridge on a simulated shop, in an embedded SQLite of PocketBase's layout. Needs nothing,
//! leaves nothing behind: the database lives in a private temporary directory that goes with the process.

pub mod shop;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;
use crate::collector::config::{SectionConfig, SourceKind};
use crate::config::{ApiKeyConfig, Config};
use crate::secret;
use shop::Shop;

/// The simulated shop moves this often.
const BEAT: Duration = Duration::from_millis(500);
/// The demo reads oftener than a bridge would, so that a watcher sees it live.
const INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The key for the JSON; left out, one is made and printed.
    #[arg(long = "api-key", value_name = "KEY")]
    api_key: Option<SecretString>,
    /// The seed of the shop's life: the same seed, the same life.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A shop that is ready to live, and what to tell the user of it.
pub struct Demo {
    shop: Shop,
    _directory: TemporaryDirectory,
    overlay: Overlay,
    path: String,
}

/// What makes any config that of the demo's bridge.
#[derive(Clone)]
pub struct Overlay {
    database: PathBuf,
    key: SecretString,
}

/// Makes the shop, and the config of a bridge that reads it and nothing else, whatever `config` names: what a demo shows
/// and pushes must not pass for the real thing, nor leave anything behind.
///
/// # Errors
/// When the shop's database cannot be made.
pub fn prepare(config: Config, args: &DemoArgs, clock: &dyn Clock) -> anyhow::Result<(Config, Demo)> {
    let directory = TemporaryDirectory::new()?;
    let shop = Shop::create(&directory.0, clock, args.seed).context("failed to make the demo's shop")?;
    if config.runtime.is_some() || config.store.is_some() || config.staging.is_some() || config.state_dir.is_some() {
        tracing::warn!("the demo reads its own shop: configured sources and state_dir are left alone");
    }
    let key = match &args.api_key {
        Some(key) => key.clone(),
        None => secret::key::fresh().context("failed to make a key; give one with --api-key")?,
    };
    let overlay = Overlay { database: shop.path().to_owned(), key };
    let config = overlay.laid_over(config);
    let path = config.web.telemetry_path.clone().unwrap_or_else(|| "/metrics".to_owned());
    Ok((config, Demo { shop, _directory: directory, overlay, path }))
}

impl Overlay {
    /// The config of a bridge that reads the shop and nothing else, as it is at the start and after each reload.
    #[must_use]
    pub fn laid_over(&self, mut config: Config) -> Config {
        let sqlite = || SectionConfig {
            source: Some(SourceKind::Sqlite),
            path: Some(self.database.clone()),
            interval: Some(INTERVAL),
            ..SectionConfig::default()
        };
        let own = || SectionConfig {
            source: Some(SourceKind::SelfRuntime),
            interval: Some(INTERVAL),
            ..SectionConfig::default()
        };
        (config.runtime, config.store, config.staging) = (Some(own()), Some(sqlite()), Some(sqlite()));
        config.state_dir = None;
        config.service.name = Some("linkit-demo".to_owned());
        config.service.environment = Some("demo".to_owned());
        let key = ApiKeyConfig { name: "demo".to_owned(), key: Some(self.key.clone()), ..ApiKeyConfig::default() };
        config.web.api_keys.get_or_insert_default().push(key);
        config
    }
}

impl Demo {
    /// What makes a config that is read again the demo's.
    #[must_use]
    pub fn overlay(&self) -> Overlay {
        self.overlay.clone()
    }

    /// What to open and what to try, of a bridge that listens at `places`: addresses, and Unix sockets as `unix:PATH`.
    #[must_use]
    pub fn welcome(&self, places: &[String], is_tls: bool) -> String {
        let scheme = if is_tls { "https" } else { "http" };
        let of_network = places.iter().find_map(|place| place.parse().ok()).map(|address| reachable(&address));
        let (browser, curl, host) = match (of_network, places.iter().find_map(|place| place.strip_prefix("unix:"))) {
            (None, Some(socket)) => (String::new(), format!("curl --unix-socket '{socket}'"), "localhost".to_owned()),
            (address, _) => {
                let address = address.unwrap_or_else(|| "127.0.0.1:9464".to_owned());
                (format!("In a browser:\n\n  {scheme}://{address}/\n\n"), "curl".to_owned(), address)
            }
        };
        let (key, path) = (self.overlay.key.expose_secret(), &self.path);
        format!(
            "\nA simulated shop is open, and the bridge reads it. {browser}In a shell:\n\n  \
             {curl} -H 'Authorization: {key}' {scheme}://{host}/api/v1/telemetry\n  \
             {curl} {scheme}://{host}{path}\n\nCtrl-C ends it and leaves nothing behind.\n"
        )
    }

    /// Lets the shop live until the future is dropped.
    pub async fn run(mut self, clock: Arc<dyn Clock>) {
        loop {
            tokio::time::sleep(BEAT).await;
            let now = clock.now().wall;
            let moved = tokio::task::spawn_blocking(move || {
                let result = self.shop.tick(now);
                (self, result)
            });
            match moved.await {
                Ok((demo, Ok(()))) => self = demo,
                Ok((_, Err(error))) => return tracing::error!(%error, "the demo's shop stopped moving"),
                Err(_) => return,
            }
        }
    }
}

/// The address to type into a browser: one that listens on all interfaces is reached by this host's own.
fn reachable(address: &SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("127.0.0.1:{}", address.port()) } else { address.to_string() }
}

/// A private directory that is removed with the value.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("linkit-bridge-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        let result = std::fs::DirBuilder::new().mode(0o700).create(&path);
        result.with_context(|| format!("failed to make {}; set TMPDIR to a writable directory", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        tracing::warn!(directory = %directory.display(), %error, "failed to remove the demo's directory");
    }
}
