//! OpenTelemetry's SDK: its gauges, and its collection without a page, the floor under whoever collects through it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, MeterProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    InstrumentKind, ManualReader, MeterProviderBuilder, Pipeline, SdkMeterProvider, Temporality,
};

use super::{Family, Peer, families};

/// Synchronous gauges, the faster kind, with their label sets made ahead.
pub(super) struct Gauges {
    gauges: Vec<(Family, Gauge<f64>, Vec<[KeyValue; 3]>)>,
    _provider: SdkMeterProvider,
}

impl Gauges {
    pub(super) fn new(builder: MeterProviderBuilder, series: usize) -> Self {
        let provider = builder.build();
        let meter = provider.meter("exposition");
        let gauge = |family: Family| {
            let labels = family.labels().map(|labels| labels.map(|(key, value)| KeyValue::new(key, value)));
            let gauge = meter.f64_gauge(family.name()).with_description(family.help()).build();
            (family, gauge, labels.collect())
        };
        let gauges = families(series).map(gauge).collect();
        Self { gauges, _provider: provider }
    }

    pub(super) fn set(&self, round: u64) {
        for (family, gauge, labels) in &self.gauges {
            labels.iter().enumerate().for_each(|(at, labels)| gauge.record(family.value(at, round), labels));
        }
    }
}

/// A [`ManualReader`] that the provider and the peer share.
#[derive(Clone, Debug)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The collection alone.
pub(super) struct Collected {
    reader: Shared,
    gauges: Gauges,
}

impl Collected {
    pub(super) fn new(series: usize) -> Self {
        let reader = Shared(Arc::new(ManualReader::builder().build()));
        let gauges = Gauges::new(SdkMeterProvider::builder().with_reader(reader.clone()), series);
        Self { reader, gauges }
    }
}

impl Peer for Collected {
    fn refresh(&mut self, round: u64) {
        self.gauges.set(round);
    }

    /// No page, only the data of one.
    fn render(&mut self) -> Bytes {
        let mut metrics = ResourceMetrics::default();
        // The provider lives as long as the peer.
        let _ = self.reader.collect(&mut metrics);
        Bytes::new()
    }
}
