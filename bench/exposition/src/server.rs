//! The server under load: the bridge's own, on its listener with its limits and workers, with the figures of a backend
//! that is read once a second. Beside its routes stand their answers as ready bytes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use linkit_bridge::catalog::{Section, json_fields};
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::reading::{Ages, Reading, Readings};
use linkit_bridge::registry::{AttemptReport, Registry};
use linkit_bridge::server::{ApiKey, FaceConfig, Server, ServerConfig, ServerInfo, bind};
use secrecy::SecretString;
use tower::ServiceExt as _;

use crate::Result;
use crate::scrape::{KEY, Row, rows};

/// Serves until it is killed; prints its address and how many series its page has.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::new());
        let resource = [("service.name", "linkit"), ("service.version", "1.0.0")];
        let resource = resource.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let registry = Arc::new(Registry::new(clock.clone(), Ages::default(), &resource));
        for section in Section::DOCUMENTED {
            registry.attach("sqlite", std::slice::from_ref(&section), &["unreachable", "timeout", "invalid", "panic"]);
            registry.read_every(&[section], Duration::from_secs(5));
        }
        read(&registry, &*clock, 0);
        let config = ServerConfig {
            keys: vec![ApiKey::from_secret("bench", &SecretString::from(KEY))],
            face: FaceConfig { version: Some("1.0.0".to_owned()), ..FaceConfig::default() },
            ..ServerConfig::default()
        };
        let info = ServerInfo { service: "linkit".to_owned(), environment: "bench".to_owned(), clock: clock.clone() };
        let joined = prometheus::Registry::new();
        joined.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let server = Server::new(config, Arc::clone(&registry), joined, info)?;
        // The durations of these requests are on the page too, so the ready answers are those after them.
        for row in rows() {
            answer(server.router(), &row).await?;
        }
        read(&registry, &*clock, 0);
        let mut still = Router::new();
        for row in rows() {
            let answer = Arc::new(answer(server.router(), &row).await?);
            still = still.route(&row.twin, get(move || std::future::ready(ready(&answer))));
        }
        let page = answer(server.router(), &rows()[0]).await?.1;
        let listeners = bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()])?;
        println!("{}", listeners[0].address().ok_or("no address")?);
        println!("{}", String::from_utf8_lossy(&page).lines().filter(|line| !line.starts_with('#')).count());
        tokio::spawn(async move {
            for round in 1.. {
                tokio::time::sleep(Duration::from_secs(1)).await;
                read(&registry, &*clock, round);
            }
        });
        server.with_routes(still).serve(listeners, std::future::pending(), Duration::ZERO).await;
        Ok(())
    })
}

/// Publishes all sections as their collectors would.
fn read(registry: &Registry, clock: &dyn Clock, round: u64) {
    for section in Section::DOCUMENTED {
        let value = |at: usize| 1000 * (at as u64 + 1) + round;
        let readings = json_fields(&section).enumerate().map(|(at, (figure, field))| match field.series {
            Some(series) => Reading::of_series(figure.id, figure.attributes[0], series, value(at)),
            None => Reading::of(figure.id, value(at)),
        });
        registry.publish(vec![Readings::new(section.clone(), clock.now(), readings.collect())]);
        registry.report(&AttemptReport { section, took: Duration::from_micros(300 + round % 50), errors: &[] });
    }
}

/// A row's answer, as the server's routes give it.
async fn answer(router: Router, row: &Row) -> Result<(HeaderMap, Bytes)> {
    let mut request = Request::get(row.path);
    for (name, value) in &row.headers {
        request = request.header(*name, value);
    }
    let response =
        router.oneshot(request.body(Body::empty())?).await.unwrap_or_else(|never: Infallible| match never {});
    if response.status() != 200 {
        return Err(format!("{} was answered with {}", row.name, response.status()).into());
    }
    let (parts, body) = response.into_parts();
    Ok((parts.headers, body.collect().await?.to_bytes()))
}

/// The same answer as ready bytes.
fn ready((headers, body): &(HeaderMap, Bytes)) -> Response {
    let mut response = Response::new(Body::from(body.clone()));
    *response.headers_mut() = headers.clone();
    response
}
