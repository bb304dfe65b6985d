//! metrics-exporter-prometheus, the exporter of the `metrics` crate.

use bytes::Bytes;
use metrics::{Key, KeyName, Label, Level, Metadata, Recorder as _, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Family, Peer, families};

/// A recorder with the gauges it holds.
pub(super) struct Recorder {
    handle: PrometheusHandle,
    gauges: Vec<(Family, Vec<metrics::Gauge>)>,
}

impl Recorder {
    pub(super) fn new(series: usize) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metadata = Metadata::new("exposition", Level::INFO, None);
        let gauges = families(series).map(|family| {
            let name = KeyName::from(family.name());
            recorder.describe_gauge(name.clone(), None, SharedString::from(family.help()));
            let gauge = |labels: [(&'static str, String); 3]| {
                let labels: Vec<_> = labels.into_iter().map(|(key, value)| Label::new(key, value)).collect();
                recorder.register_gauge(&Key::from_parts(name.clone(), labels), &metadata)
            };
            (family, family.labels().map(gauge).collect())
        });
        let gauges = gauges.collect();
        Self { handle: recorder.handle(), gauges }
    }
}

impl Peer for Recorder {
    fn refresh(&mut self, round: u64) {
        for (family, gauges) in &self.gauges {
            gauges.iter().enumerate().for_each(|(at, gauge)| gauge.set(family.value(at, round)));
        }
    }

    fn render(&mut self) -> Bytes {
        self.handle.render().into()
    }
}
