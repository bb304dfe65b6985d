//! The pushes, one an endpoint. Each is a loop: at its interval, the registry's snapshot is rendered as OTLP requests and
//! given to delivery, which stores them before the next are due if there is a spool. What runs is in `pushes.rs`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::{Clock, Wall};
use crate::config::{Otel, OtelExporter, OtlpEndpoints, OtlpProtocol, OtlpSection, SpoolSection, TlsSection};
use crate::delivery::{Batch, Delivery, DeliveryConfig, Destination, Protocol, SpoolConfig, check_spool};
use crate::directory::DirectoryError;
use crate::http_client::{HttpClient, TlsFiles, Version};
use crate::output::otlp::{Endpoint, Otlp, OtlpConfig, Route, halve};
use crate::registry::Registry;

const INTERVAL: Duration = Duration::from_secs(15);

/// Longest time a push waits for the spool's disk. What a disk that hangs has not taken waits in memory meanwhile.
const KEEP_MAX: Duration = Duration::from_secs(2);

/// Push to one endpoint.
pub(super) struct Push {
    pub(super) name: String,
    pub(super) delivery: Arc<Delivery>,
    pub(super) spool: Option<SpoolConfig>,
    pub(super) way: Way,
    clock: Arc<dyn Clock>,
}

/// How an endpoint is reached and what it is told: all that can be another after a reload while what waits goes on.
pub(super) struct Way {
    otlp: Otlp,
    config: DeliveryConfig,
    http: HttpClient,
    interval: Duration,
    /// Of all its settings and secrets, to see whether it is another.
    pub(super) fingerprint: [u8; 32],
}

/// What all pushes share.
pub(super) struct Shared<'a> {
    pub(super) http: &'a HttpClient,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// When the bridge began.
    pub(super) began: Wall,
}

/// The pushes that config or environment ask for.
pub(super) fn pushes(config: Option<&OtlpEndpoints>, otel: &Otel, shared: &Shared<'_>) -> anyhow::Result<Vec<Push>> {
    if otel.disabled {
        if config.is_some() {
            tracing::info!("nothing is pushed: OTEL_SDK_DISABLED or OTEL_METRICS_EXPORTER says so");
        }
        return Ok(Vec::new());
    }
    // The variables of the exporter are meant for one receiver: with several, another would get its key.
    let none = OtelExporter::default();
    let exporter = if config.is_some_and(|config| config.0.len() > 1) { &none } else { &otel.exporter };
    let by_environment = OtlpSection::default();
    let sections = match config {
        Some(config) => &*config.0,
        None if exporter.endpoint.is_some() => std::slice::from_ref(&by_environment),
        None => &[],
    };
    sections.iter().map(|section| Push::new(section, exporter, otel.interval, shared)).collect()
}

impl Push {
    fn new(
        section: &OtlpSection,
        exporter: &OtelExporter,
        interval: Option<Duration>,
        shared: &Shared<'_>,
    ) -> anyhow::Result<Self> {
        let protocol = section.protocol.or(exporter.protocol).unwrap_or_default();
        let otlp = Otlp::new(&otlp_config(section, exporter, protocol, shared.began)?)?;
        let default = DeliveryConfig::default();
        let queue = section.queue.unwrap_or_default();
        let total = section.timeout.or(exporter.timeout).unwrap_or(default.limits.total);
        let config = DeliveryConfig {
            queue_bytes_max: queue.max_bytes.map_or(default.queue_bytes_max, |bytes| bytes.as_u64()),
            age_max: queue.max_age.unwrap_or(default.age_max),
            protocol: match protocol {
                OtlpProtocol::HttpProtobuf => Protocol::HttpProtobuf,
                OtlpProtocol::HttpJson => Protocol::HttpJson,
                OtlpProtocol::Grpc => Protocol::Grpc,
            },
            limits: default.limits.within(total),
            ..default
        };
        let none = TlsSection::default();
        let tls = match &section.tls {
            Some(_) if !otlp.is_secure() => {
                anyhow::bail!(
                    "otlp.tls is set, and the endpoint is one without TLS; write it as https:// or leave out tls"
                )
            }
            Some(tls) => tls,
            // The variables may be there for other programs.
            None if otlp.is_secure() => &exporter.tls,
            None => &none,
        };
        let http = client(tls, protocol, shared.http)?;
        let spool = section.spool.as_ref().and_then(spool_config);
        if let Some(spool) = &spool {
            check_spool(&spool.directory)?;
        }
        let clock = Arc::clone(shared.clock);
        let delivery = Arc::new(Delivery::new(config, http.clone(), Arc::clone(&clock)).halving(halve));
        let name = section.name.clone().unwrap_or_else(|| "default".to_owned());
        let interval = section.interval.or(interval).unwrap_or(INTERVAL);
        let fingerprint = fingerprint(section, exporter, tls, interval);
        let way = Way { otlp, config, http, interval, fingerprint };
        Ok(Self { name, delivery, spool, way, clock })
    }

    /// Takes the spool's directory, if one is configured, with what waits in it.
    pub(super) fn open_spool(&self) -> Result<(), DirectoryError> {
        self.spool.as_ref().map_or(Ok(()), |spool| self.delivery.open_spool(spool))
    }

    pub(super) fn summary(&self) -> String {
        format!("push to {} ({}) every {:?}", self.name, self.way.otlp.host(), self.way.interval)
    }

    /// Pushes until `stop`, then once more, so that the last readings are not lost; from time to time by another way.
    pub(super) async fn run(
        mut self,
        registry: Arc<Registry>,
        mut ways: mpsc::Receiver<Way>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let delivery = Arc::clone(&self.delivery);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let delivered = tokio::spawn(async move {
            // The sender being gone is a stop too.
            delivery.run(async { drop(stopped.await) }).await;
        });
        let mut beat = beat(self.way.interval);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(way) = ways.recv() => {
                    if way.interval != self.way.interval {
                        beat = self::beat(way.interval);
                    }
                    self.go(way);
                }
                _ = beat.tick() => self.push(&registry).await,
            }
        }
        self.push(&registry).await;
        let _ = stopping.send(());
        let _ = delivered.await;
    }

    /// Goes on by another way.
    fn go(&mut self, way: Way) {
        let before = std::mem::replace(&mut self.way, way);
        self.way.otlp.go_on_from(before.otlp);
        self.delivery.go_on_with(&self.way.config, self.way.http.clone());
    }

    async fn push(&self, registry: &Registry) {
        match self.way.otlp.render(&registry.current()).await {
            Ok(requests) => {
                for request in requests {
                    let destination = Destination { uri: request.uri, headers: request.headers };
                    let batch = Batch { body: request.body, points: request.points, accepted: self.clock.now() };
                    self.delivery.put(destination, batch);
                }
                let _ = tokio::time::timeout(KEEP_MAX, self.delivery.keep()).await;
            }
            Err(error) => tracing::error!(%error, "failed to render a push"),
        }
    }
}

fn beat(interval: Duration) -> Interval {
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// Of all that makes the way to an endpoint what it is, the texts of its certificates too.
fn fingerprint(section: &OtlpSection, exporter: &OtelExporter, tls: &TlsSection, interval: Duration) -> [u8; 32] {
    let section = OtlpSection { name: None, spool: None, ..section.clone() };
    let settings = format!("{section:?} {exporter:?} {interval:?}");
    let headers = section.headers.iter().chain([&exporter.headers]).flatten();
    let headers = headers.flat_map(|(name, value)| [name.as_bytes(), value.expose_secret().as_bytes()]);
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file].into_iter().flatten();
    let files: Vec<_> = files.map(|path| std::fs::read(path).unwrap_or_default()).collect();
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    };
    add(settings.as_bytes());
    headers.for_each(&mut add);
    files.iter().for_each(|text| add(text));
    digest.finalize().into()
}

/// The spool that a section asks for; without a directory it asks for none.
fn spool_config(section: &SpoolSection) -> Option<SpoolConfig> {
    let default = SpoolConfig::at(section.dir.clone()?);
    Some(SpoolConfig {
        bytes_max: section.max_bytes.map_or(default.bytes_max, |bytes| bytes.as_u64()),
        age_max: section.max_age.unwrap_or(default.age_max),
        ..default
    })
}

/// How requests to an endpoint are rendered. Headers of the config shut out those of the environment, which may hold
/// the key of another receiver.
fn otlp_config(
    section: &OtlpSection,
    exporter: &OtelExporter,
    protocol: OtlpProtocol,
    began: Wall,
) -> anyhow::Result<OtlpConfig> {
    let default = OtlpConfig::default();
    let endpoint = section.endpoint.clone().map(Endpoint::Base).or_else(|| exporter.endpoint.clone());
    let endpoint = endpoint.context("otlp.endpoint is missing; name the receiver, such as http://collector:4318")?;
    Ok(OtlpConfig {
        endpoint,
        route: match protocol {
            OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => Route::Http,
            OtlpProtocol::Grpc => Route::Grpc { insecure: exporter.insecure },
        },
        headers: section
            .headers
            .clone()
            .filter(|headers| !headers.is_empty())
            .unwrap_or_else(|| exporter.headers.clone()),
        compression: section.compression.or(exporter.compression).unwrap_or_default(),
        temporality: section.temporality.or(exporter.temporality).unwrap_or_default(),
        message_bytes_max: section
            .max_request_bytes
            .map_or(default.message_bytes_max, |bytes| usize::try_from(bytes.as_u64()).unwrap_or(usize::MAX)),
        began,
    })
}

/// The client for an endpoint: the shared one, unless it needs what that does not have.
fn client(tls: &TlsSection, protocol: OtlpProtocol, shared: &HttpClient) -> anyhow::Result<HttpClient> {
    let identity = match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (None, None) => None,
        _ => {
            return Err(anyhow!(
                "otlp.tls, or the variables in its place: cert_file and key_file go together, and one is missing"
            ));
        }
    };
    let files = TlsFiles { authority: tls.ca_file.clone(), identity, server_name: None };
    if protocol != OtlpProtocol::Grpc && files.is_empty() {
        return Ok(shared.clone());
    }
    let version = if protocol == OtlpProtocol::Grpc { Version::Http2 } else { Version::Http1 };
    HttpClient::with(version, &files).context("otlp.tls, or the variables in its place")
}
