//! prometheus-client, the official library: gauges in families, written as OpenMetrics, the text it has.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Family, Peer, families};

type Labels = [(&'static str, String); 3];
type Gauges = prometheus_client::metrics::family::Family<Labels, Gauge<f64, AtomicU64>>;

/// A registry with the gauges it holds.
pub(super) struct Client {
    registry: Registry,
    gauges: Vec<(Family, Vec<Gauge<f64, AtomicU64>>)>,
}

impl Client {
    pub(super) fn new(series: usize) -> Self {
        let mut registry = Registry::default();
        let gauges = families(series).map(|family| {
            let gauges = Gauges::default();
            registry.register(family.name(), family.help(), gauges.clone());
            (family, family.labels().map(|labels| gauges.get_or_create(&labels).clone()).collect())
        });
        let gauges = gauges.collect();
        Self { registry, gauges }
    }
}

impl Peer for Client {
    fn refresh(&mut self, round: u64) {
        for (family, gauges) in &self.gauges {
            gauges.iter().enumerate().for_each(|(at, gauge)| _ = gauge.set(family.value(at, round)));
        }
    }

    fn render(&mut self) -> Bytes {
        let mut page = String::new();
        // Writing into a text cannot fail.
        let _ = encode(&mut page, &self.registry);
        page.into()
    }
}
