//! The push loop: at its interval, the registry's snapshot is rendered as an OTLP request and given to delivery, which
//! stores it before the next one is due if there is a spool.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::MissedTickBehavior;

use super::figures;
use crate::clock::Clock;
use crate::config::{Otel, OtlpCompression, OtlpSection, SpoolSection};
use crate::delivery::{Batch, Delivery, DeliveryConfig, Destination, SpoolConfig, check_spool};
use crate::directory::DirectoryError;
use crate::http_client::{HttpClient, Limits};
use crate::output::otlp::{Endpoint, Otlp, OtlpConfig};
use crate::registry::Registry;

const INTERVAL: Duration = Duration::from_secs(15);

/// Longest time a push waits for the spool's disk. What a disk that hangs has not taken waits in memory meanwhile.
const KEEP_MAX: Duration = Duration::from_secs(2);

/// Push to one endpoint.
pub(super) struct Push {
    otlp: Otlp,
    delivery: Arc<Delivery>,
    spool: Option<SpoolConfig>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    name: String,
    host: String,
}

impl Push {
    /// The push that config or environment ask for, if they do.
    pub(super) fn new(
        section: Option<&OtlpSection>,
        otel: &Otel,
        registry: &Registry,
        http: &HttpClient,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Self>> {
        if otel.disabled || (section.is_none() && otel.endpoint.is_none()) {
            if section.is_some() {
                tracing::info!("nothing is pushed: OTEL_SDK_DISABLED or OTEL_METRICS_EXPORTER says so");
            }
            return Ok(None);
        }
        let section = section.cloned().unwrap_or_default();
        if let Some(protocol) = otel.unknown_protocol.as_ref().filter(|_| section.protocol.is_none()) {
            anyhow::bail!("OTEL_EXPORTER_OTLP_PROTOCOL: {protocol} is not there; use http/protobuf");
        }
        let endpoint = section.endpoint.map(Endpoint::Base).or_else(|| otel.endpoint.clone());
        let endpoint =
            endpoint.context("otlp.endpoint is missing; name the receiver, such as http://collector:4318")?;
        let compression = section.compression.or(otel.compression).unwrap_or(OtlpCompression::Gzip);
        let otlp = Otlp::new(&OtlpConfig {
            endpoint,
            headers: section.headers.unwrap_or_default(),
            uncompressed: compression == OtlpCompression::None,
        })?;
        let default = DeliveryConfig::default();
        let queue = section.queue.unwrap_or_default();
        let total = section.timeout.or(otel.timeout).unwrap_or(default.limits.total);
        let config = DeliveryConfig {
            queue_bytes_max: queue.max_bytes.map_or(default.queue_bytes_max, |bytes| bytes.as_u64()),
            age_max: queue.max_age.unwrap_or(default.age_max),
            limits: Limits { total, ..default.limits },
            ..default
        };
        let spool = section.spool.and_then(spool_config);
        if let Some(spool) = &spool {
            check_spool(&spool.directory)?;
        }
        let delivery = Arc::new(Delivery::new(config, http.clone(), Arc::clone(clock)));
        let name = section.name.unwrap_or_else(|| "default".to_owned());
        figures::add_push(registry, Arc::clone(&delivery), name.clone());
        let interval = section.interval.or(otel.interval).unwrap_or(INTERVAL);
        let host = otlp.host().to_owned();
        Ok(Some(Self { otlp, delivery, spool, clock: Arc::clone(clock), interval, name, host }))
    }

    /// Takes the spool's directory, if one is configured, with what waits in it.
    pub(super) fn open_spool(&self) -> Result<(), DirectoryError> {
        self.spool.as_ref().map_or(Ok(()), |spool| self.delivery.open_spool(spool))
    }

    pub(super) fn summary(&self) -> String {
        format!("push to {} ({}) every {:?}", self.name, self.host, self.interval)
    }

    /// Pushes until `stop`, then once more, so that the last readings are not lost.
    pub(super) async fn run(self, registry: Arc<Registry>, stop: impl Future<Output = ()> + Send + 'static) {
        let delivery = Arc::clone(&self.delivery);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let delivered = tokio::spawn(async move {
            // The sender being gone is a stop too.
            delivery.run(async { drop(stopped.await) }).await;
        });
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + self.interval, self.interval);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = beat.tick() => self.push(&registry).await,
            }
        }
        self.push(&registry).await;
        let _ = stopping.send(());
        let _ = delivered.await;
    }

    async fn push(&self, registry: &Registry) {
        match self.otlp.render(&registry.current()).await {
            Ok(Some(request)) => {
                let destination = Destination { uri: request.uri, headers: request.headers };
                let batch = Batch { body: request.body, points: request.points, accepted: self.clock.now() };
                self.delivery.put(destination, batch);
                let _ = tokio::time::timeout(KEEP_MAX, self.delivery.keep()).await;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "failed to render a push"),
        }
    }
}

/// The spool that a section asks for; without a directory it asks for none.
fn spool_config(section: SpoolSection) -> Option<SpoolConfig> {
    let default = SpoolConfig::at(section.dir?);
    Some(SpoolConfig {
        bytes_max: section.max_bytes.map_or(default.bytes_max, |bytes| bytes.as_u64()),
        age_max: section.max_age.unwrap_or(default.age_max),
        ..default
    })
}
