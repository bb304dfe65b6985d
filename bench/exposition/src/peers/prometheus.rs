//! The prometheus crate: gauge vectors, gathered and encoded.

use bytes::Bytes;
use prometheus::{Encoder, Gauge, GaugeVec, Opts, Registry, TextEncoder};

use super::{Family, Peer, families};
use crate::Result;

/// A registry with the gauges it holds.
pub(super) struct Gathered {
    registry: Registry,
    gauges: Vec<(Family, Vec<Gauge>)>,
}

impl Gathered {
    pub(super) fn new(series: usize) -> Result<Self> {
        let registry = Registry::new();
        let vector = |family: Family| -> Result<_> {
            let vector = GaugeVec::new(Opts::new(family.name(), family.help()), &["branch", "kind", "region"])?;
            registry.register(Box::new(vector.clone()))?;
            let gauge = |labels: [(&str, String); 3]| vector.with_label_values(&labels.map(|(_, value)| value));
            Ok((family, family.labels().map(gauge).collect()))
        };
        let gauges = families(series).map(vector).collect::<Result<_>>()?;
        Ok(Self { registry, gauges })
    }
}

impl Peer for Gathered {
    fn refresh(&mut self, round: u64) {
        for (family, gauges) in &self.gauges {
            gauges.iter().enumerate().for_each(|(at, gauge)| gauge.set(family.value(at, round)));
        }
    }

    fn render(&mut self) -> Bytes {
        encoded(&self.registry).into()
    }
}

/// The page of a registry.
pub(super) fn encoded(registry: &Registry) -> Vec<u8> {
    let mut page = Vec::new();
    // Writing into a vector cannot fail, and no family is empty.
    let _ = TextEncoder::new().encode(&registry.gather(), &mut page);
    page
}
