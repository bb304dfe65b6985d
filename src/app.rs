//! The app: builds everything in order from a config, runs it, and stops it in order with a deadline.
//!
//! The one place where sources, registry, outputs, delivery and server meet; each of them knows none of the others.

mod check;
mod figures;
mod keep;
mod keys;
mod listen;
mod push;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::process_collector::ProcessCollector;
use tokio::task::JoinSet;

use crate::catalog::Section;
use crate::clock::Clock;
use crate::collector::completed::Completed;
use crate::collector::config::Built;
use crate::collector::{self, Plan};
use crate::config::{Config, Env, Otel};
use crate::http_client::HttpClient;
use crate::output::telemetry_json::JsonConfig;
use crate::registry::{InstrumentView, Registry};
use crate::scheduler;
use crate::server::{Address, Server, ServerConfig, ServerInfo, Socket, WebConfigFile};
use crate::state::{self, StateDirectory};
pub use check::Checked;
use keep::Keeper;
pub use keys::KeyFiles;
use keys::Sources;
use listen::Listen;
use push::{Push, Shared};

/// Longest time the requests under way get at the stop.
const GRACE: Duration = Duration::from_secs(5);

/// Longest time running attempts get to be cancelled in.
const COLLECTORS_GRACE: Duration = Duration::from_secs(1);

/// Longest time the last writing of the state gets.
const STATE_GRACE: Duration = Duration::from_secs(2);

/// A bridge that is built and not yet running.
pub struct App {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    plans: Vec<Plan>,
    completed: Completed,
    /// Where the state is kept, and what each section's source is.
    state: Option<(PathBuf, BTreeMap<Section, String>)>,
    pushes: Vec<Push>,
    server: Server,
    keys: Arc<KeyFiles>,
    web_config: Option<WebConfigFile>,
    joined: prometheus::Registry,
    listen: Listen,
}

/// What a bridge has taken from the system: the sockets it listens on, and its state directory. Its spool is with its
/// delivery.
pub struct Listeners {
    sockets: Vec<Socket>,
    keeper: Option<Keeper>,
}

impl Listeners {
    /// Their addresses on the network, with the ports the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(Socket::address).collect()
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
        let (began, otel) = (clock.now().wall, Otel::read(env));
        let listen = Listen::new(config, env)?;
        let resource = resource(config, &otel, listen.port());
        let http = HttpClient::new();
        let sections = [config.runtime.as_ref(), config.store.as_ref(), config.staging.as_ref()];
        let completed = Completed::default();
        let none = BTreeMap::new();
        let custom = config.custom.as_ref().unwrap_or(&none);
        let Built { plans, custom } = collector::config::build(sections, custom, config.megabyte(), &http, &completed)?;
        let registry = Registry::with_views(Arc::clone(&clock), config.ages(), &resource, &custom, views);
        let registry = Arc::new(registry);
        figures::add(&registry, config.hash, clock.now());
        let state = match &config.state_dir {
            Some(path) => {
                state::check(path)?;
                let identities = collector::config::identities(sections, config.megabyte()).into_iter();
                let sources = identities.map(|(section, source)| (section, state::fingerprint(&source)));
                Some((path.clone(), sources.collect()))
            }
            None => None,
        };
        let shared = Shared { registry: &registry, http: &http, clock: &clock, began };
        let pushes = push::pushes(config.otlp.as_ref(), &otel, &shared)?;
        let joined = prometheus::Registry::new();
        joined.register(Box::new(ProcessCollector::for_self())).context("failed to add the process figures")?;
        let keys = Sources::read(&config.web, env)?;
        let mut server = server(config, &keys, &listen, &resource, &registry, &joined, &clock)?;
        let keys = Arc::new(KeyFiles::new(server.keys(), keys, Arc::clone(&clock)));
        let web_config = config.web.config_file.as_deref();
        let web_config = web_config.map(|file| WebConfigFile::load(file, Arc::clone(&clock))).transpose()?;
        if let Some(file) = &web_config {
            figures::add_web_config(&registry, file.clone());
            server = server.with_web_config(file.clone());
        }
        Ok(Self { registry, clock, plans, completed, state, pushes, server, keys, web_config, joined, listen })
    }

    /// The API keys, which may be exchanged while it runs.
    #[must_use]
    pub const fn keys(&self) -> &Arc<KeyFiles> {
        &self.keys
    }

    /// The registry, for the instruments of an embedding program.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The registry whose series join the scrape page, for an embedding program's own; it holds the process figures.
    #[must_use]
    pub const fn prometheus_registry(&self) -> &prometheus::Registry {
        &self.joined
    }

    /// The web configuration, to be loaded again at an operator's word; it follows its files by itself.
    #[must_use]
    pub const fn web_config(&self) -> Option<&WebConfigFile> {
        self.web_config.as_ref()
    }

    /// What it reads and where it sends, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let describe = |plan: &Plan| {
            let sections: Vec<_> = plan.collector.sections().iter().map(Section::name).collect();
            format!("{} from {} every {:?}", sections.join(", "), plan.collector.source(), plan.interval)
        };
        let sources: Vec<_> = self.plans.iter().map(describe).collect();
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
        // The spool may be in the state directory, which is then made first.
        let take = |(path, sources): &(PathBuf, BTreeMap<Section, String>)| {
            StateDirectory::open(path).map(|directory| (directory, sources.clone()))
        };
        let state = self.state.as_ref().map(take).transpose()?;
        self.pushes.iter().try_for_each(Push::open_spool)?;
        // Writes into the state last: a start that fails must not leave it as if a bridge had been killed.
        let keep =
            |(directory, sources)| Keeper::new(directory, sources, &self.registry, &self.completed, &*self.clock);
        let keeper = state.map(keep);
        Ok(Listeners { sockets, keeper })
    }

    /// Runs until `stop`, then stops in order: no more readings, one last push, requests under way; within ten seconds.
    pub async fn run(self, listeners: Listeners, stop: impl Future<Output = ()>) {
        self.say_what_runs(&listeners);
        let mut collectors = JoinSet::new();
        for plan in self.plans {
            collectors.spawn(scheduler::run(plan, Arc::clone(&self.registry), Arc::clone(&self.clock)));
        }
        collectors.spawn(self.keys.watch());
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let until_stop = || {
            let mut stopped = stopped.clone();
            async move {
                // An error means that the sender is gone, which is a stop too.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let kept = listeners.keeper.map(|keeper| tokio::spawn(keeper.run(until_stop())));
        let served = tokio::spawn(self.server.serve(listeners.sockets, until_stop(), GRACE));
        let run = |push: Push| tokio::spawn(push.run(Arc::clone(&self.registry), until_stop()));
        let pushed: Vec<_> = self.pushes.into_iter().map(run).collect();
        stop.await;
        stopping.send_replace(true);
        // An attempt that will not be dropped, as a query that will not be interrupted, must not hold up the rest.
        let has_ended = tokio::time::timeout(COLLECTORS_GRACE, collectors.shutdown()).await.is_ok();
        if let Some(kept) = kept {
            keep_the_last(kept, has_ended).await;
        }
        for pushed in pushed {
            say_if_failed("push", pushed.await);
        }
        say_if_failed("server", served.await);
        tracing::info!("stopped");
    }

    fn say_what_runs(&self, listeners: &Listeners) {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting linkit-bridge");
        for plan in &self.plans {
            let sections: Vec<_> = plan.collector.sections().iter().map(Section::name).collect();
            let (source, interval) = (plan.collector.source(), plan.interval);
            tracing::info!(sections = sections.join(","), source, ?interval, "reading");
        }
        let is_read = |section: &Section| self.plans.iter().any(|plan| plan.collector.sections().contains(section));
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

/// The attributes of the service the figures are of. What the config leaves out comes from the `OTEL_*` variables.
fn resource(config: &Config, otel: &Otel, port: Option<u16>) -> Vec<(String, String)> {
    let service = &config.service;
    let mut resource = otel.resource.clone();
    let mut set = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            resource.retain(|(held, _)| held != key);
            resource.push((key.to_owned(), value.clone()));
        }
    };
    set("service.name", &service.name);
    set("service.version", &service.version);
    set("deployment.environment.name", &service.environment);
    set("service.instance.id", &service.instance);
    let mut fill = |key: &str, value: String| {
        if !resource.iter().any(|(held, _)| held == key) {
            resource.push((key.to_owned(), value));
        }
    };
    fill("service.name", "linkit".to_owned());
    // As a scrape would label it, so that both ways lead to the same instance; a random id would be a new one each start.
    let host = sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_owned());
    fill("service.instance.id", port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")));
    resource
}

fn server(
    config: &Config,
    keys: &Sources,
    listen: &Listen,
    resource: &[(String, String)],
    registry: &Arc<Registry>,
    joined: &prometheus::Registry,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Server> {
    let default = ServerConfig::default();
    keys.warn(&**clock);
    let held = keys.keys();
    if held.is_empty() {
        tracing::warn!("no API key is configured: the JSON refuses all; set web.api_keys or LINKIT_BRIDGE_API_KEY");
    }
    let is_public = |address: &&Address| matches!(address, Address::Tcp(address) if !address.ip().is_loopback());
    for address in listen.addresses().iter().filter(|at| config.web.metrics_access.is_none() && is_public(at)) {
        tracing::warn!(
            %address,
            "the scrape page is open to all who reach this address: set web.metrics_access to key, or to open if it is meant"
        );
    }
    let server_config = ServerConfig {
        listen: listen.addresses().to_vec(),
        telemetry_path: config.web.telemetry_path.clone().unwrap_or(default.telemetry_path),
        keys: held,
        metrics_access: config.web.metrics_access.unwrap_or_default(),
        page: config.web.page(),
        json: JsonConfig { version: config.service.version.clone(), megabyte: config.megabyte() },
    };
    let of = |key: &str| resource.iter().find(|(held, _)| held == key).map(|(_, value)| value.clone());
    let info = ServerInfo {
        service: of("service.name").unwrap_or_default(),
        version: of("service.version"),
        environment: of("deployment.environment.name").unwrap_or_default(),
        clock: Arc::clone(clock),
    };
    let server = Server::new(server_config, Arc::clone(registry), joined.clone(), info)?;
    Ok(server.with_limits(listen::limits(config)))
}
