//! opentelemetry-prometheus with the prometheus crate's encoder: what a program on OpenTelemetry's SDK would take.

use bytes::Bytes;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;

use super::Peer;
use super::prometheus::encoded;
use super::sdk::Gauges;
use crate::Result;

/// A registry that an SDK's provider is read into.
pub(super) struct Exporter {
    registry: Registry,
    gauges: Gauges,
}

impl Exporter {
    /// Without scope labels, for the other peers have none.
    pub(super) fn new(series: usize) -> Result<Self> {
        let registry = Registry::new();
        let exporter =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
        let gauges = Gauges::new(SdkMeterProvider::builder().with_reader(exporter), series);
        Ok(Self { registry, gauges })
    }
}

impl Peer for Exporter {
    fn refresh(&mut self, round: u64) {
        self.gauges.set(round);
    }

    fn render(&mut self) -> Bytes {
        encoded(&self.registry).into()
    }
}
