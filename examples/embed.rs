//! A service that embeds the bridge: its own OpenTelemetry instruments and its own `prometheus` metrics stand on the
//! bridge's page, and it has routes and a stop of its own. `docs/embedding.md` explains it step by step.
//!
//! ```console
//! $ cargo run --example embed                   # the parts: one listener for the bridge's pages and the routes
//! $ cargo run --example embed -- bridge.yml     # the whole bridge by its configuration, and a listener beside it
//! ```

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use linkit_bridge::app::App;
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::collector::Plan;
use linkit_bridge::collector::self_runtime::SelfRuntime;
use linkit_bridge::config::{Config, Env};
use linkit_bridge::reading::Ages;
use linkit_bridge::registry::Registry;
use linkit_bridge::scheduler;
use linkit_bridge::server::{Server, ServerConfig, ServerInfo, Socket};
use opentelemetry::metrics::{Counter, MeterProvider};
use prometheus::IntGauge;
use tokio::net::TcpListener;

/// The service: what it counts, by either library.
#[derive(Clone)]
struct Shop {
    orders: Counter<u64>,
    carts: IntGauge,
}

impl Shop {
    /// An instrument of `registry` is on every output, a metric of `joined` on the scrape page.
    fn new(registry: &Registry, joined: &prometheus::Registry) -> anyhow::Result<Self> {
        let meter = registry.meter_provider().meter("shop");
        let orders = meter.u64_counter("shop.orders").with_unit("{order}").with_description("Orders taken.").build();
        let carts = IntGauge::new("shop_open_carts", "Carts that are open.")?;
        joined.register(Box::new(carts.clone()))?;
        Ok(Self { orders, carts })
    }

    fn routes(self) -> Router {
        let open = async |State(shop): State<Self>| shop.carts.inc();
        let buy = async |State(shop): State<Self>| {
            shop.carts.dec();
            shop.orders.add(1, &[]);
        };
        Router::new().route("/cart", get(open)).route("/buy", get(buy)).with_state(self)
    }
}

/// The parts, for a program that chooses them itself: a registry, one collector, and a server with the service's routes
/// on the same listener, under the same limits.
pub async fn parts(sockets: Vec<Socket>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let resource = [("service.name".to_owned(), "shop".to_owned())];
    let registry = Arc::new(Registry::new(Arc::clone(&clock), Ages::default(), &resource));
    let joined = prometheus::Registry::new();
    let shop = Shop::new(&registry, &joined)?;

    let plan = Plan {
        collector: Box::new(SelfRuntime::new()),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        max_backoff: Duration::from_secs(60),
        avoids_midnight: false,
    };
    let reading = tokio::spawn(scheduler::run(plan, Arc::clone(&registry), Arc::clone(&clock)));

    let info = ServerInfo { service: "shop".to_owned(), environment: String::new(), clock };
    let server = Server::new(ServerConfig::default(), registry, joined, info)?.with_routes(shop.routes());
    server.serve(sockets, stop, Duration::from_secs(5)).await;
    reading.abort();
    Ok(())
}

/// The whole bridge, with its sources, its push and its addresses as configured; the service has a listener of its own.
pub async fn whole(
    config: &Config,
    env: Env<'_>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let app = App::new(config, env, Arc::new(SystemClock::new()))?;
    let shop = Shop::new(app.registry(), app.prometheus_registry())?;

    let (stop_bridge, stopped) = tokio::sync::oneshot::channel::<()>();
    let listeners = app.bind()?;
    let bridge = tokio::spawn(app.run(listeners, async {
        // An error means that the sender is gone, which is a stop too.
        let _ = stopped.await;
    }));
    let serving = async { axum::serve(listener, shop.routes()).await };
    tokio::select! {
        () = stop => {}
        served = serving => served?,
    }
    // The service first: so the bridge's last push has its last figures.
    drop(stop_bridge);
    Ok(bridge.await?)
}

#[tokio::main]
#[allow(clippy::disallowed_methods, reason = "the environment is a parameter of the library, and read here")]
async fn main() -> anyhow::Result<()> {
    let stop = async {
        // Without a handler for the signal the service stops at once, rather than never.
        let _ = tokio::signal::ctrl_c().await;
    };
    match std::env::args_os().nth(1) {
        Some(file) => {
            let env = |name: &str| std::env::var(name).ok();
            let config = Config::load(Some(Path::new(&file)), &env)?;
            whole(&config, &env, TcpListener::bind((Ipv4Addr::LOCALHOST, 8080)).await?, stop).await
        }
        None => parts(vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 9464)).await?.into()], stop).await,
    }
}
