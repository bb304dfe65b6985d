//! The app: builds everything in order from a config, runs it, and stops it in order with a deadline.
//!
//! The one place where sources, registry, outputs, delivery and server meet; each of them knows none of the others.

mod check;
mod figures;
mod keep;
mod keys;
mod listen;
mod push;
mod pushes;
mod reload;
mod sources;
mod watch;
mod web;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::process_collector::ProcessCollector;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::catalog::Section;
use crate::clock::{Clock, Wall};
use crate::collector::Plan;
use crate::collector::completed::Completed;
use crate::collector::config::Databases;
use crate::config::{Config, Env, Otel};
use crate::http_client::HttpClient;
use crate::registry::{InstrumentView, Registry};
pub use crate::server::Reloader;
use crate::server::{self, ReloadRequests, Server, Socket, WebConfigFile};
use crate::state::{self, StateDirectory};
use crate::supervisor::Supervisor;
pub use check::Checked;
use figures::Loaded;
use keep::Keeper;
pub use keys::KeyFiles;
use keys::KeySources;
use listen::Listen;
use push::{Push, Shared};
use pushes::Pushes;
use reload::{Load, Running};
use sources::{Collectors, Sources};

/// Longest time the requests under way get at the stop.
const GRACE: Duration = Duration::from_secs(5);

/// Longest time the last writing of the state gets.
const STATE_GRACE: Duration = Duration::from_secs(2);

/// A bridge that is built and not yet running.
pub struct App {
    fixed: Fixed,
    config: Arc<Config>,
    sources: Sources,
    /// Where the state is kept.
    state_dir: Option<PathBuf>,
    pushes: Vec<Push>,
    server: Server,
    keys: Arc<KeyFiles>,
    web_config: Option<WebConfigFile>,
    joined: prometheus::Registry,
    listen: Listen,
    loaded: Arc<Loaded>,
    load: Option<Load>,
    reloads: (Reloader, ReloadRequests),
    supervisor: Arc<Supervisor>,
}

/// What stays the same as long as a bridge runs.
#[derive(Clone)]
struct Fixed {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    http: HttpClient,
    otel: Arc<Otel>,
    /// Where systemd puts the credentials of the service.
    credentials: Option<PathBuf>,
    completed: Completed,
    /// When it began.
    began: Wall,
}

/// What a bridge has taken from the system: the sockets it listens on, and its state directory. Its spool is with its
/// delivery.
pub struct Listeners {
    sockets: Vec<Socket>,
    keeper: Option<Keeper>,
}

impl Listeners {
    /// Their addresses, with the ports the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(Socket::address).collect()
    }

    /// All of them as the log names them, Unix sockets as `unix:PATH`.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.sockets.iter().map(Socket::to_string).collect()
    }
}

impl App {
    /// Builds a bridge.
    ///
    /// # Errors
    /// When the config does not make one: a source lacks its path, a key's file cannot be read, an address is none.
    pub fn new(config: &Config, env: Env<'_>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::with_views(config, env, clock, Vec::new())
    }

    /// The same with `views` of an embedding program's instruments.
    ///
    /// # Errors
    /// As [`App::new`].
    pub fn with_views(
        config: &Config,
        env: Env<'_>,
        clock: Arc<dyn Clock>,
        views: Vec<InstrumentView>,
    ) -> anyhow::Result<Self> {
        let (began, otel) = (clock.now().wall, Arc::new(Otel::read(env)));
        let listen = Listen::new(config, env)?;
        let resource = web::resource(config, &otel, listen.port());
        let (http, completed) = (HttpClient::new(), Completed::default());
        let sources = Sources::build(config, &Databases::default(), &http, &completed)?;
        let registry = Registry::with_views(Arc::clone(&clock), config.ages(), &resource, &sources.custom, views);
        let registry = Arc::new(registry);
        let loaded = figures::add(&registry, config.hash, clock.now());
        config.state_dir.as_deref().map(state::check).transpose()?;
        let pushes = push::pushes(config.otlp.as_ref(), &otel, &Shared { http: &http, clock: &clock, began })?;
        let joined = prometheus::Registry::new();
        joined.register(Box::new(ProcessCollector::for_self())).context("failed to add the process figures")?;
        let reloads = server::reloads();
        let credentials = keys::credentials(env);
        let sources_of_keys = KeySources::read(&config.web, credentials.as_deref())?;
        let fixed = Fixed { registry, clock, http, otel, credentials, completed, began };
        let server = web::server(config, &sources_of_keys, &listen, &resource, &joined, &fixed, &reloads.0)?;
        let keys = Arc::new(KeyFiles::new(server.keys(), sources_of_keys, Arc::clone(&fixed.clock)));
        let (server, web_config) = web::guarded(config, server, &fixed)?;
        web::warn_if_open(config, web_config.as_ref(), listen.networks());
        let (config, supervisor) = (Arc::new(config.clone()), Arc::default());
        let (state_dir, load) = (config.state_dir.clone(), None);
        Ok(Self {
            fixed,
            config,
            sources,
            state_dir,
            pushes,
            server,
            keys,
            web_config,
            joined,
            listen,
            loaded,
            load,
            reloads,
            supervisor,
        })
    }

    /// The same bridge, which can be reloaded: `load` reads the configuration again as it was read for the start.
    #[must_use]
    pub fn reading_again(mut self, load: impl Fn() -> anyhow::Result<Config> + Send + Sync + 'static) -> Self {
        self.load = Some(Arc::new(load));
        self
    }

    /// The same bridge, which tells a supervisor how it is.
    #[must_use]
    pub fn supervised_by(mut self, supervisor: Supervisor) -> Self {
        self.supervisor = Arc::new(supervisor);
        self
    }

    /// Asks the bridge, when it runs, for reloads.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloads.0.clone()
    }

    /// The API keys, which may be exchanged while it runs.
    #[must_use]
    pub const fn keys(&self) -> &Arc<KeyFiles> {
        &self.keys
    }

    /// The web configuration, to be loaded again at an operator's word; it follows its files by itself.
    #[must_use]
    pub const fn web_config(&self) -> Option<&WebConfigFile> {
        self.web_config.as_ref()
    }

    /// The registry, for the instruments of an embedding program.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.fixed.registry
    }

    /// The registry whose series join the scrape page, for an embedding program's own; it holds the process figures.
    #[must_use]
    pub const fn prometheus_registry(&self) -> &prometheus::Registry {
        &self.joined
    }

    /// What it reads and where it sends, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let describe = |plan: &Plan| {
            let sections: Vec<_> = plan.collector.sections().iter().map(Section::name).collect();
            format!("{} from {} every {:?}", sections.join(", "), plan.collector.source(), plan.interval)
        };
        let sources: Vec<_> = self.sources.plans.iter().map(describe).collect();
        let sources = if sources.is_empty() { "no source".to_owned() } else { sources.join("; ") };
        let pushes: Vec<_> = self.pushes.iter().map(Push::summary).collect();
        let pushes = if pushes.is_empty() { "no push".to_owned() } else { pushes.join("; ") };
        format!("{sources}; {pushes}")
    }

    /// Takes the configured addresses, and the directories of state and spool with what is kept in them.
    ///
    /// # Errors
    /// When one cannot be had, most often because another program has it.
    pub fn bind(&self) -> anyhow::Result<Listeners> {
        let sockets = self.listen.sockets()?;
        if let Listen::Passed(_) = self.listen {
            let addresses = sockets.iter().filter_map(Socket::address);
            web::warn_if_open(&self.config, self.web_config.as_ref(), addresses);
        }
        // The spool may be in the state directory, which is then made first.
        let directory = self.state_dir.as_deref().map(StateDirectory::open).transpose()?;
        self.pushes.iter().try_for_each(Push::open_spool)?;
        // Writes into the state last: a start that fails must not leave it as if a bridge had been killed.
        let Fixed { registry, completed, clock, .. } = &self.fixed;
        let keep = |directory| Keeper::new(directory, self.sources.named.clone(), registry, completed, &**clock);
        Ok(Listeners { sockets, keeper: directory.map(keep) })
    }

    /// Runs until `stop`, then stops in order: no more readings, one last push, requests under way; within ten seconds.
    pub async fn run(self, listeners: Listeners, stop: impl Future<Output = ()>) {
        self.say_what_runs(&listeners);
        let Self { fixed, config, sources, pushes, server, keys, web_config, .. } = self;
        let (loaded, load, reloads, supervisor) = (self.loaded, self.load, self.reloads, self.supervisor);
        let Listeners { sockets, keeper } = listeners;
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let until_stop = || {
            let mut stopped = stopped.clone();
            async move {
                // An error means that the sender is gone, which is a stop too.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let collectors = Collectors::start(sources, &fixed.registry, &fixed.clock);
        let pushes = Pushes::start(pushes, &fixed.registry, &fixed.clock);
        let (kept, pulses) = (keeper.as_ref().map(Keeper::sources), collectors.pulses());
        let kept_by = keeper.map(|keeper| tokio::spawn(keeper.run(until_stop())));
        let (handle, turn) = (server.handle(), server.turn());
        let served = tokio::spawn(server.serve(sockets, until_stop(), GRACE));
        let secrets = sources::secret_files(&config);
        let mut running = Running {
            fixed,
            load,
            started: Arc::clone(&config),
            config,
            collectors,
            pushes,
            server: handle,
            keys: Arc::clone(&keys),
            web_config,
            kept,
            loaded,
            supervisor: Arc::clone(&supervisor),
            secrets,
            reading: Arc::default(),
        };
        supervisor.ready("running");
        let watching = async {
            match supervisor.beat() {
                Some(beat) => watch::watch(&supervisor, beat, &turn, &pulses).await,
                None => std::future::pending().await,
            }
        };
        let following = keys.watch();
        until(stop, async { _ = tokio::join!(watching, following) }, changing(&mut running, reloads.1)).await;
        supervisor.stopping();
        stopping.send_replace(true);
        running.end(kept_by, served).await;
        tracing::info!("stopped");
    }

    fn say_what_runs(&self, listeners: &Listeners) {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting linkit-bridge");
        let plans = &self.sources.plans;
        for plan in plans {
            let sections: Vec<_> = plan.collector.sections().iter().map(Section::name).collect();
            let (source, interval) = (plan.collector.source(), plan.interval);
            tracing::info!(sections = sections.join(","), source, ?interval, "reading");
        }
        let is_read = |section: &Section| plans.iter().any(|plan| plan.collector.sections().contains(section));
        for section in Section::DOCUMENTED.into_iter().filter(|section| !is_read(section)) {
            tracing::warn!(
                section = section.name(),
                "no source is configured: its figures are absent, and the JSON answers 503"
            );
        }
        for push in &self.pushes {
            tracing::info!(push = push.summary(), "pushing");
        }
        let tls = self.web_config.as_ref().is_some_and(WebConfigFile::is_tls);
        for socket in &listeners.sockets {
            tracing::info!(address = %socket, tls, "listening");
        }
    }
}

/// Until `stop`, whatever else goes on; all that ends is the waiting.
async fn until(stop: impl Future<Output = ()>, watching: impl Future<Output = ()>, changing: impl Future<Output = ()>) {
    let (mut watching, mut changing) = (pin!(watching), pin!(changing));
    tokio::select! {
        biased;
        () = stop => {}
        () = &mut watching => {}
        () = &mut changing => {}
    }
}

/// Changes what runs, whenever that is asked for or a secret was replaced. A reload that the stop meets is left as far
/// as it has come.
async fn changing(running: &mut Running, mut requests: ReloadRequests) {
    let mut beat = tokio::time::interval(reload::RENEWAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(answer) = requests.next() => {
                let result = running.reload().await;
                // Who asked may have gone.
                let _ = answer.send(result);
            }
            _ = beat.tick() => running.renew_secrets().await,
        }
    }
}

impl Running {
    /// The stop in order, once keeper and server have been told.
    async fn end(self, kept: Option<JoinHandle<Keeper>>, served: JoinHandle<()>) {
        let Self { collectors, pushes, .. } = self;
        pushes.stop();
        // An attempt that will not be dropped, as a query that will not be interrupted, must not hold up the rest.
        let has_ended = collectors.end().await;
        if let Some(kept) = kept {
            keep_the_last(kept, has_ended).await;
        }
        pushes.end().await;
        say_if_failed("server", served.await);
    }
}

/// Writes the state a last time, when nothing is read any more; a disk that hangs must not hold up the stop.
async fn keep_the_last(kept: tokio::task::JoinHandle<Keeper>, is_all: bool) {
    let last = async {
        match kept.await {
            Ok(keeper) => keeper.close(is_all).await,
            Err(error) => say_if_failed("state", Err(error)),
        }
    };
    if tokio::time::timeout(STATE_GRACE, last).await.is_err() {
        tracing::warn!("the state was not written a last time within {STATE_GRACE:?}; what was kept before is there");
    }
}

fn say_if_failed(part: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(part, %error, "had ended before the stop; this is a defect, please report it");
    }
}
