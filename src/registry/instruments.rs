//! The SDK's side: the provider for what is recorded into, the one reader on it, and from its data to families.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::metrics::{Histogram as SdkHistogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};
use opentelemetry_sdk::resource::{Resource, TelemetryResourceDetector};

use super::durations::Durations;
use super::exponential;
use super::guests::{Guests, InstrumentView};
use super::sdk::{SdkFigures, SdkMetrics};
use super::snapshot::{Family, Histogram, Point, PointValue, Scope};
use crate::catalog::{CustomFigure, FIGURES, Figure, FigureId, Kind};
use crate::reading::Number;

/// Buckets of the bridge's own durations: from a skipped poll of SQLite to the longest deadline.
const DURATION_BOUNDS_S: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A [`ManualReader`] that the provider and the registry share: the SDK offers no other way to read on demand.
#[derive(Clone, Debug)]
pub(super) struct SharedReader(Arc<ManualReader>);

impl SharedReader {
    pub(super) fn new() -> Self {
        Self(Arc::new(ManualReader::builder().with_temporality(Temporality::Cumulative).build()))
    }
}

impl MetricReader for SharedReader {
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

/// The provider of an embedding program's instruments and of the bridge's own durations, and what makes the figures
/// the SDK's.
pub(super) struct Instruments {
    reader: SharedReader,
    /// Without it the reader has nothing to read.
    _provider: SdkMeterProvider,
    guests: Guests,
    resource: Vec<(String, String)>,
    scope: Arc<Scope>,
    durations: Durations,
    figures: Mutex<Arc<SdkFigures>>,
}

impl Instruments {
    pub(super) fn new(resource: &[(String, String)], custom: &[Arc<CustomFigure>], views: Vec<InstrumentView>) -> Self {
        let attributes = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(attributes)
            .build();
        let mut told: Vec<_> = resource.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        told.sort();
        let reader = SharedReader::new();
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).with_resource(resource.clone()).build();
        let ours =
            InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = provider.meter_with_scope(ours.clone());
        let scope = Arc::new(scope(&ours));
        Self {
            reader,
            _provider: provider,
            guests: Guests::new(resource.clone(), views),
            resource: told,
            scope,
            durations: Durations::new(histograms(&meter)),
            figures: Mutex::new(Arc::new(SdkFigures::new(resource, ours, custom))),
        }
    }

    /// The provider of an embedding program's instruments.
    pub(super) const fn provider(&self) -> &SdkMeterProvider {
        self.guests.provider()
    }

    /// The resource's attributes, sorted by key.
    pub(super) fn resource(&self) -> &[(String, String)] {
        &self.resource
    }

    /// The scope of the bridge's own families.
    pub(super) const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Has other custom figures from now on; snapshots that are out keep theirs.
    pub(super) fn set_custom(&self, custom: &[Arc<CustomFigure>]) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if !figures.is_of(custom) {
            *figures = Arc::new(figures.with_custom(custom));
        }
    }

    fn figures(&self) -> Arc<SdkFigures> {
        Arc::clone(&self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records a duration; `attributes` sorted by key.
    pub(super) fn record(&self, figure: FigureId, seconds: f64, attributes: &[(&'static str, &str)]) {
        self.durations.record(figure, seconds, attributes);
    }

    /// Collects what was recorded: in the SDK's form and as families, those of an embedding program behind ours.
    pub(super) fn collect(&self) -> Result<(SdkMetrics, Vec<Family>), OTelSdkError> {
        let mut metrics = ResourceMetrics::default();
        let observed = self.durations.observe();
        self.reader.collect(&mut metrics)?;
        let mut families = families(&metrics);
        observed.attach(&mut families);
        let mut recorded = vec![metrics];
        if let Some((metrics, guests)) = self.guests.collect().filter(|(_, guests)| !guests.is_empty()) {
            recorded.push(metrics);
            families.extend(guests);
        }
        Ok((SdkMetrics::new(recorded, self.figures()), families))
    }

    /// The same where nothing could be collected.
    pub(super) fn nothing(&self) -> (SdkMetrics, Vec<Family>) {
        (SdkMetrics::new(Vec::new(), self.figures()), Vec::new())
    }
}

/// The histograms among the figures.
fn histograms(meter: &Meter) -> Vec<(FigureId, SdkHistogram<f64>)> {
    let histograms = FIGURES.iter().filter(|figure| figure.kind == Kind::Histogram);
    let build = |figure: &Figure| {
        let histogram = meter.f64_histogram(figure.name).with_unit(figure.unit).with_description(figure.description());
        (figure.id, histogram.with_boundaries(DURATION_BOUNDS_S.to_vec()).build())
    };
    histograms.map(build).collect()
}

/// From the SDK's data to families sorted by name, and their points by attributes.
pub(super) fn families(metrics: &ResourceMetrics) -> Vec<Family> {
    let mut families: Vec<Family> = metrics
        .scope_metrics()
        .flat_map(|held| {
            let scope = Arc::new(scope(held.scope()));
            held.metrics().map(move |metric| family(metric, &scope))
        })
        .filter(|family| !family.points.is_empty())
        .collect();
    families.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    families
}

fn scope(scope: &InstrumentationScope) -> Scope {
    Scope {
        name: scope.name().to_owned(),
        version: scope.version().map(ToOwned::to_owned),
        schema_url: scope.schema_url().map(ToOwned::to_owned),
        attributes: attributes(scope.attributes()),
    }
}

fn family(metric: &Metric, scope: &Arc<Scope>) -> Family {
    let (kind, mut points) = match metric.data() {
        AggregatedMetrics::U64(data) => points(data, |value| Number::Int(value.into())),
        AggregatedMetrics::I64(data) => points(data, |value| Number::Int(value.into())),
        AggregatedMetrics::F64(data) => points(data, Number::Float),
    };
    points.sort_by(|a, b| a.attributes.cmp(&b.attributes));
    let (name, unit, help) = (metric.name().to_owned(), metric.unit().to_owned(), metric.description().to_owned());
    let points = points.into();
    Family { name, unit, help, kind, scope: Arc::clone(scope), section: None, points, layout: None }
}

/// The series of one instrument.
fn points<T: Copy>(data: &MetricData<T>, number: impl Fn(T) -> Number) -> (Kind, Vec<Point>) {
    match data {
        MetricData::Gauge(gauge) => {
            let time = unix_ns(gauge.time());
            let points = gauge.data_points().map(|point| Point {
                attributes: attributes(point.attributes()),
                start: None,
                time,
                value: PointValue::Number(number(point.value())),
            });
            (Kind::Gauge, points.collect())
        }
        MetricData::Sum(sum) => {
            let (start, time) = (unix_ns(sum.start_time()), unix_ns(sum.time()));
            let points = sum.data_points().map(|point| Point {
                attributes: attributes(point.attributes()),
                start: sum.is_monotonic().then_some(start),
                time,
                value: PointValue::Number(number(point.value())),
            });
            (if sum.is_monotonic() { Kind::Counter } else { Kind::Gauge }, points.collect())
        }
        MetricData::Histogram(histogram) => {
            let (start, time) = (unix_ns(histogram.start_time()), unix_ns(histogram.time()));
            let points = histogram.data_points().map(|point| Point {
                attributes: attributes(point.attributes()),
                start: Some(start),
                time,
                value: PointValue::Histogram(Box::new(Histogram {
                    bounds: point.bounds().collect(),
                    counts: point.bucket_counts().collect(),
                    sum: number(point.sum()).to_float(),
                    count: point.count(),
                    native: None,
                })),
            });
            (Kind::Histogram, points.collect())
        }
        MetricData::ExponentialHistogram(histogram) => {
            let (start, time) = (unix_ns(histogram.start_time()), unix_ns(histogram.time()));
            let points = histogram.data_points().map(|point| Point {
                attributes: attributes(point.attributes()),
                start: Some(start),
                time,
                value: PointValue::Histogram(Box::new(exponential::histogram(point, number(point.sum()).to_float()))),
            });
            (Kind::Histogram, points.collect())
        }
    }
}

fn attributes<'a>(pairs: impl Iterator<Item = &'a KeyValue>) -> Vec<(String, String)> {
    let text = |pair: &KeyValue| (pair.key.as_str().to_owned(), Cow::into_owned(pair.value.as_str()));
    let mut pairs: Vec<_> = pairs.map(text).collect();
    pairs.sort();
    pairs
}

fn unix_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
