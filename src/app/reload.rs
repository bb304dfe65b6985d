//! The reload: the configuration is read again and takes the place of the one that runs, whole or not at all.
//!
//! All that can fail comes first and changes nothing: reading, checking, building, opening. Then everything is turned to
//! what was built. What only a restart can change stays as it is, and is named. What is unchanged is not touched: a
//! collector goes on with its connection, its back-off and its readings, an endpoint with what waits for it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;

use super::figures::Loaded;
use super::keep::Kept;
use super::keys::{KeyFiles, KeySources};
use super::listen::Listen;
use super::push::{Push, Shared, pushes};
use super::pushes::Pushes;
use super::sources::{Collectors, Sources, secret_files};
use super::{Fixed, web};
use crate::catalog::Section;
use crate::collector::config::Databases;
use crate::config::Config;
use crate::delivery::SpoolConfig;
use crate::registry::Change;
use crate::server::{FaceConfig, ServerHandle, WebConfigFile};
use crate::supervisor::Supervisor;

/// Reads the configuration as it was read at the start.
pub(super) type Load = Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// How often the files of secrets are looked at while a source refuses the one it is given.
pub(super) const RENEWAL: Duration = Duration::from_secs(5);

/// Longest time in which files are read: a file system that hangs must not keep the next reload waiting.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Reads that may hang at a time, each of which has a thread.
const HANGING_MAX: usize = 4;

/// All of a running bridge that a reload changes.
pub(super) struct Running {
    pub(super) fixed: Fixed,
    pub(super) load: Option<Load>,
    /// What the bridge was started with, for what only a restart changes.
    pub(super) started: Arc<Config>,
    /// What it runs with.
    pub(super) config: Arc<Config>,
    pub(super) collectors: Collectors,
    pub(super) pushes: Pushes,
    pub(super) server: ServerHandle,
    pub(super) keys: Arc<KeyFiles>,
    pub(super) web_config: Option<WebConfigFile>,
    /// The state's names of the sources, if a state is kept.
    pub(super) kept: Option<Kept>,
    pub(super) loaded: Arc<Loaded>,
    pub(super) supervisor: Arc<Supervisor>,
    /// The files of secrets of sources when they were last read.
    pub(super) secrets: [u8; 32],
    /// Held by whoever reads files for it.
    pub(super) reading: Arc<()>,
}

/// A configuration from which everything is built, and nothing is changed yet.
struct Prepared {
    config: Config,
    sources: Sources,
    secrets: [u8; 32],
    pushes: Vec<Push>,
    keys: KeySources,
    face: FaceConfig,
    needs_restart: Vec<String>,
}

impl Running {
    /// Reads the configuration again. What was done, or in one line why all is as it was.
    pub(super) async fn reload(&mut self) -> Result<String, String> {
        self.supervisor.reloading();
        let result = match self.prepare().await {
            Ok(prepared) => Ok(self.turn_to(prepared).await),
            Err(error) => {
                self.loaded.fail();
                Err(format!("{error:#}").replace(['\n', '\r'], " "))
            }
        };
        self.fixed.registry.refresh();
        match &result {
            Ok(done) => {
                self.supervisor.ready("running");
                tracing::info!(done = done.replace('\n', "; "), "reloaded the configuration");
            }
            Err(error) => {
                self.supervisor.ready(&format!("running; the last reload failed: {error}"));
                tracing::error!(
                    error,
                    "failed to reload the configuration, all is as it was; mend it and reload again"
                );
            }
        }
        result
    }

    /// Reads the files of secrets again while a source refuses the one it was given: it may have been replaced there.
    pub(super) async fn renew_secrets(&mut self) {
        if !self.fixed.registry.has_failed_by("unauthorized") || self.hanging() > 0 {
            return;
        }
        let (fixed, config, databases) =
            (self.fixed.clone(), Arc::clone(&self.config), self.collectors.databases.clone());
        let (held, reading) = (self.secrets, Arc::clone(&self.reading));
        let renewed = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            let secrets = secret_files(&config);
            let is_other = secrets != held;
            is_other.then(|| (secrets, Sources::build(&config, &databases, &fixed.http, &fixed.completed)))
        });
        let Ok(Ok(Some((secrets, sources)))) = timeout(READ_WITHIN, renewed).await else { return };
        self.secrets = secrets;
        match sources {
            Ok(sources) => {
                let config = Arc::clone(&self.config);
                self.turn_sources(&config, sources).await;
                tracing::info!("a file that holds the secret of a source was replaced, and is used from now on");
            }
            Err(error) => {
                tracing::warn!(%error, "a file that holds the secret of a source has changed and cannot be used")
            }
        }
    }

    /// Reads of files that have not come back.
    fn hanging(&self) -> usize {
        Arc::strong_count(&self.reading) - 1
    }

    async fn prepare(&self) -> anyhow::Result<Prepared> {
        anyhow::ensure!(
            self.hanging() < HANGING_MAX,
            "the files of the last reloads are still being read; see to their file system, or to a pipe among them"
        );
        let load =
            self.load.clone().context("this bridge was started without a way to read its configuration again")?;
        let (fixed, started) = (self.fixed.clone(), Arc::clone(&self.started));
        let (databases, spools) = (self.collectors.databases.clone(), self.pushes.spools());
        let (web_config, reading) = (self.web_config.clone(), Arc::clone(&self.reading));
        // Files are read, and a disk may take its time, which no worker of the runtime has.
        let prepared = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            // It is followed by itself as well, and so is not undone if something else fails.
            web_config.as_ref().map(WebConfigFile::reload).transpose()?;
            prepare(&load, &fixed, &started, &databases, &spools)
        });
        let prepared = timeout(READ_WITHIN, prepared).await.with_context(|| {
            format!("the files were not read within {READ_WITHIN:?}; see to their file system, or to a pipe among them")
        })?;
        prepared.context("the reload was broken off; this is a defect, please report it")?
    }

    async fn turn_to(&mut self, prepared: Prepared) -> String {
        let Prepared { config, sources, secrets, pushes, keys, face, needs_restart } = prepared;
        self.secrets = secrets;
        let mut done = self.turn_sources(&config, sources).await;
        self.keys.turn_to(keys);
        self.server.set_face(face);
        self.pushes.turn_to(pushes).await;
        self.loaded.succeed(config.hash, self.fixed.clock.now().wall);
        self.config = Arc::new(config);
        if !needs_restart.is_empty() {
            let settings = needs_restart.join(", ");
            tracing::warn!(settings, "these settings have changed, and stay as they are until a restart");
            done = format!("{done}\nneeds a restart: {settings}");
        }
        format!("reloaded: {done}")
    }

    /// Turns the collectors and all that holds their readings.
    async fn turn_sources(&mut self, config: &Config, sources: Sources) -> String {
        let (named, custom) = (sources.named.clone(), sources.custom.clone());
        let turned = self.collectors.turn_to(sources).await;
        let version = web::face(config, &self.fixed.otel).version;
        // Held together, so that no state is written in between.
        let mut kept = self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
        if turned.anew.contains(&Section::Staging) {
            self.fixed.completed.begin_anew(self.fixed.clock.now());
        }
        self.fixed.registry.change(&Change {
            ages: config.ages(),
            custom: &custom,
            version,
            sections: &turned.sections,
            is_kept: &|section, unit| turned.is_kept(section, unit),
            replaced: &turned.replaced,
            anew: &turned.anew,
        });
        if let Some(kept) = &mut kept {
            **kept = named;
        }
        drop(kept);
        let said = turned.said.clone();
        self.collectors.go_on(turned);
        said
    }
}

fn prepare(
    load: &Load,
    fixed: &Fixed,
    started: &Config,
    databases: &Databases,
    spools: &[(String, Option<SpoolConfig>)],
) -> anyhow::Result<Prepared> {
    let config = load()?;
    let secrets = secret_files(&config);
    let sources = Sources::build(&config, databases, &fixed.http, &fixed.completed)?;
    let keys = KeySources::read(&config.web, fixed.credentials.as_deref())?;
    let face = web::face(&config, &fixed.otel);
    // Not used before a restart, and yet a mistake in it is better said now.
    Listen::new(&config, &|_| None)?;
    let mut needs_restart = needs_restart(started, &config);
    let shared = Shared { http: &fixed.http, clock: &fixed.clock, began: fixed.began };
    let pushes = pushes(config.otlp.as_ref(), &fixed.otel, &shared)?;
    for push in &pushes {
        match spools.iter().find(|(name, _)| *name == push.name) {
            Some((_, spool)) if *spool != push.spool => needs_restart.push(format!("otlp.spool of {}", push.name)),
            Some(_) => {}
            None => push.open_spool()?,
        }
    }
    Ok(Prepared { config, sources, secrets, pushes, keys, face, needs_restart })
}

/// The settings that are other than at the start, and need another one.
fn needs_restart(started: &Config, config: &Config) -> Vec<String> {
    let changed = [
        ("web.listen", started.web.listen != config.web.listen),
        ("web.systemd_socket", started.web.systemd_socket != config.web.systemd_socket),
        ("web.unix_socket_mode", started.web.unix_socket_mode != config.web.unix_socket_mode),
        ("web.limits", started.web.limits != config.web.limits),
        ("web.config_file", started.web.config_file != config.web.config_file),
        ("web.telemetry_path", started.web.telemetry_path != config.web.telemetry_path),
        ("state_dir", started.state_dir != config.state_dir),
        ("service.name", started.service.name != config.service.name),
        ("service.environment", started.service.environment != config.service.environment),
        ("service.instance", started.service.instance != config.service.instance),
    ];
    changed.into_iter().filter(|(_, is_other)| *is_other).map(|(name, _)| name.to_owned()).collect()
}
