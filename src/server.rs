//! The server: routes over a hardened listener.
//!
//! It serves what the outputs render and knows no source: every answer comes from the registry's snapshot, ready or
//! rendered once, so a request never waits for anything. The next route is one line in `router` and its handler in
//! the file of its kind; the next output's route gets a cache beside `Shared::pages`.

mod access;
mod address;
mod cache;
mod door;
mod encoding;
mod error;
mod face;
mod guard;
mod heads;
mod health;
mod keys;
mod lifecycle;
mod limits;
mod listener;
mod measure;
mod page;
mod peer;
mod rate;
mod routes;
mod socket;
mod stream;
mod web_config;

pub use access::MetricsAccess;
pub use address::{Address, BadAddress};
pub use face::{FaceConfig, ServerHandle};
pub use keys::{ApiKey, BadDigest, BadLine, Expiry, Keys, Scope};
pub use lifecycle::{ReloadRequests, Reloaded, Reloader, reloads};
pub use limits::Limits;
pub use listener::Turn;
pub use socket::{Socket, bind, inherited};
pub use web_config::{BadSettings, WebConfigError, WebConfigFile, WebSettings};

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderValue, Uri};

use crate::clock::Clock;
use crate::output::prometheus::{Lines, Syntax};
use crate::registry::Registry;
use cache::{Answers, Rendered};
use door::Door;
use face::Shown;
use listener::Served;

/// The server's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to listen on.
    pub listen: Vec<Address>,
    /// The path of the scrape page; at `/` it takes the place of the page for people.
    pub telemetry_path: String,
    /// Who may read the JSON; nobody, if empty. [`Server::keys`] exchanges them later.
    pub keys: Vec<ApiKey>,
    /// What can change while it runs.
    pub face: FaceConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)).into()],
            telemetry_path: "/metrics".to_owned(),
            keys: Vec::new(),
            face: FaceConfig::default(),
        }
    }
}

impl ServerConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// If the telemetry path is not a plain path, or one of the server's own.
    pub fn check(&self) -> Result<(), BadPath> {
        let path = &self.telemetry_path;
        let is_plain = path.starts_with('/')
            && path.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.~".contains(c))
            && !path.contains("//")
            && !path.split('/').any(|part| part == "." || part == "..");
        let is_ours = ["/api", "/-"].iter().any(|own| path == own || path.starts_with(&format!("{own}/")));
        if is_plain && !is_ours { Ok(()) } else { Err(BadPath { path: path.clone() }) }
    }
}

/// A telemetry path that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "telemetry path {path:?} cannot be served: it must begin with /, hold letters, digits and - _ . ~ only, \
     and lie outside /api and /-; the default is /metrics"
)]
pub struct BadPath {
    path: String,
}

/// What the server says of the thing it speaks for, and when.
#[derive(Clone)]
pub struct ServerInfo {
    /// The service's name.
    pub service: String,
    /// Where it runs, such as `production`; empty if nobody said.
    pub environment: String,
    /// Tells the time of day for answers.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ServerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInfo")
            .field("service", &self.service)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// The server; a value, so that one process can hold several.
#[derive(Clone)]
pub struct Server {
    router: Router,
    limits: Limits,
    door: Arc<Door>,
    app: App,
    web: Option<WebConfigFile>,
    turn: Turn,
}

impl Server {
    /// A server of what `registry` holds. The series of `joined` appear on the scrape page too: those of the process
    /// collector, or of an embedding program. One server a registry, which from now on shows what this one renders.
    ///
    /// # Errors
    /// If the telemetry path cannot be served.
    pub fn new(
        config: ServerConfig,
        registry: Arc<Registry>,
        joined: prometheus::Registry,
        info: ServerInfo,
    ) -> Result<Self, BadPath> {
        Self::with_reloads(config, registry, joined, info, None)
    }

    /// The same, at which reloads can be asked for, if its face's settings open that.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub fn with_reloads(
        config: ServerConfig,
        registry: Arc<Registry>,
        joined: prometheus::Registry,
        info: ServerInfo,
        reloader: Option<Reloader>,
    ) -> Result<Self, BadPath> {
        config.check()?;
        let pages = Syntax::ALL.map(|syntax| (routes::PROMETHEUS, syntax.name()));
        let others = [(routes::TELEMETRY_JSON, routes::JSON), (page::HTML, page::HTML)];
        let rendered = Arc::new(Rendered::of(pages.into_iter().chain(others)));
        let counted = Arc::clone(&rendered);
        registry.add_live(move |_| counted.readings());
        let ServerConfig { telemetry_path: path, keys, face, .. } = config;
        let keys = Keys::new(keys);
        let judging = keys.clone();
        registry.add_live(move |_| judging.readings());
        let door = Arc::<Door>::default();
        let counting = Arc::clone(&door);
        registry.add_live(move |_| counting.readings());
        let home = page::HomePage::new(&info, &path);
        let (wishes, shown) = (Answers::new(), Arc::new(Shown::new(face)));
        let app = App(Arc::new(Shared { path, keys, shown, reloader, registry, joined, info, home, wishes, rendered }));
        Ok(Self { router: router(app.clone()), limits: Limits::default(), turn: Turn::default(), door, app, web: None })
    }

    /// The keys in force, to be exchanged while it serves.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.app.keys.clone()
    }

    /// The way to change it while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shown: Arc::clone(&self.app.shown) }
    }

    /// What shows whether connections are still accepted.
    #[must_use]
    pub fn turn(&self) -> Turn {
        self.turn.clone()
    }

    /// The same server with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same server with routes of an embedding program, on the same listener under the same limits. What they answer
    /// is not among the bridge's own figures. Panics, as axum does, where both have a route of the same path.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.router = self.router.merge(routes);
        self
    }

    /// The same server under a web configuration: its TLS, its passwords, its headers and its limit, for all routes.
    #[must_use]
    pub fn with_web_config(mut self, web: WebConfigFile) -> Self {
        self.web = Some(web);
        self
    }

    /// The routes alone, for an embedding program that has a listener of its own. Of a web configuration all holds but
    /// TLS, and the bound on the guesses of an address, which they cannot know.
    pub fn router(&self) -> Router {
        let router = self.router.clone();
        let Some(file) = self.web.clone() else { return router };
        let guard = web_config::Guard { file, app: self.app.clone() };
        router.layer(from_fn_with_state(guard, web_config::guard))
    }

    /// Serves on `sockets` until `stop`, and returns within `grace` after it, whatever clients do.
    pub async fn serve(self, sockets: Vec<Socket>, stop: impl Future<Output = ()>, grace: Duration) {
        let (router, web) = (self.router(), self.web.clone());
        let Self { limits, door, turn, app, .. } = self;
        let refusals = measure::refusals(app);
        let served = Served { router, limits, door, web: web.clone(), turn, refusals };
        let served = listener::serve(served, sockets, stop, grace);
        let Some(web) = web else { return served.await };
        tokio::select! {
            () = served => {}
            () = web.follow() => {}
        }
    }
}

/// What handlers share.
#[derive(Clone)]
struct App(Arc<Shared>);

struct Shared {
    /// Where the scrape page is.
    path: String,
    keys: Keys,
    shown: Arc<Shown>,
    reloader: Option<Reloader>,
    registry: Arc<Registry>,
    joined: prometheus::Registry,
    info: ServerInfo,
    home: page::HomePage,
    wishes: Answers<routes::Wish>,
    rendered: Arc<Rendered>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    /// Now, as the documented JSON writes time.
    fn timestamp(&self) -> String {
        self.info.clock.now().wall.to_rfc3339()
    }
}

/// A scrape page, and what of it the next one may take.
struct Page {
    body: encoding::Body,
    lines: Lines,
}

/// The documented JSON with its headers.
struct Document {
    body: Bytes,
    stale: Option<HeaderValue>,
    absent: Option<HeaderValue>,
}

fn router(app: App) -> Router {
    let path = app.path.as_str();
    let mut router = Router::new()
        .route("/api/v1/ping", get(health::ping))
        .route("/api/v1/health", get(health::health))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route(
            lifecycle::RELOAD_PATH,
            post(lifecycle::reload).put(lifecycle::reload).fallback(lifecycle::wrong_method),
        );
    if path != "/" {
        router = router.route("/", get(page::home));
    }
    router
        .fallback(error::not_found)
        .method_not_allowed_fallback(async |uri: Uri| error::method_not_allowed(&uri))
        .layer(from_fn_with_state(app.clone(), measure::measure))
        // These measure themselves.
        .route(routes::TELEMETRY_PATH, get(routes::telemetry).fallback(routes::refused))
        .route(path, get(routes::metrics).fallback(routes::refused))
        .with_state(app)
}

#[cfg(test)]
mod tests;
