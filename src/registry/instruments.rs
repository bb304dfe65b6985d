//! The SDK's side: instruments built from the catalogue, the one reader, and from its data to families.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::metrics::{AsyncInstrument, Histogram as SdkHistogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use opentelemetry_sdk::resource::{Resource, TelemetryResourceDetector};

use super::durations::Durations;
use super::exponential;
use super::frame::{Frame, FrameCell};
use super::guests::{Guests, InstrumentView};
use super::snapshot::{Family, Histogram, Point, PointValue, Scope};
use crate::catalog::{CUSTOM_SERIES_MAX, CustomFigure, FIGURES, Figure, FigureId, Kind};
use crate::reading::Number;

/// Series a figure may have before the SDK folds the rest into one overflow series; each place costs memory at once.
const SERIES_MAX: usize = 128;
const _: () = assert!(CUSTOM_SERIES_MAX < SERIES_MAX);

/// Series a collector of custom figures may add to a figure about collectors: its classes of errors are the most.
const COLLECTOR_SERIES_MAX: usize = 24;

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

/// The provider with an instrument for each figure, the custom ones included.
pub(super) struct Instruments {
    reader: SharedReader,
    /// Without it the reader has nothing to read.
    _provider: SdkMeterProvider,
    guests: Guests,
    resource: Vec<(String, String)>,
    durations: Durations,
    cell: FrameCell,
}

impl Instruments {
    pub(super) fn new(resource: &[(String, String)], custom: &[Arc<CustomFigure>], views: Vec<InstrumentView>) -> Self {
        let reader = SharedReader::new();
        let attributes = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(attributes)
            .build();
        let mut told: Vec<_> = resource.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        told.sort();
        let figures = custom.to_vec();
        let guests = Guests::new(resource.clone(), views);
        let provider = SdkMeterProvider::builder()
            .with_reader(reader.clone())
            .with_resource(resource)
            .with_view(move |instrument: &Instrument| limit_series(instrument, &figures))
            .build();
        let scope =
            InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = provider.meter_with_scope(scope);
        let cell = FrameCell::new();
        let durations = Durations::new(FIGURES.iter().filter_map(|figure| build(&meter, figure, &cell)).collect());
        custom.iter().for_each(|figure| build_custom(&meter, figure, &cell));
        Self { reader, _provider: provider, guests, resource: told, durations, cell }
    }

    /// The provider of an embedding program's instruments.
    pub(super) const fn provider(&self) -> &SdkMeterProvider {
        self.guests.provider()
    }

    /// The resource's attributes, sorted by key.
    pub(super) fn resource(&self) -> &[(String, String)] {
        &self.resource
    }

    /// Records a duration; `attributes` sorted by key.
    pub(super) fn record(&self, figure: FigureId, seconds: f64, attributes: Vec<KeyValue>) {
        self.durations.record(figure, seconds, attributes);
    }

    /// Collects all instruments, the catalogue's from `frame`: in the SDK's form, and as families sorted by name, those
    /// of an embedding program behind ours of the same name.
    pub(super) fn collect(&self, frame: &Arc<Frame>) -> Result<(Vec<ResourceMetrics>, Vec<Family>), OTelSdkError> {
        self.cell.set(Arc::clone(frame));
        let mut metrics = ResourceMetrics::default();
        let observed = self.durations.observe();
        self.reader.collect(&mut metrics)?;
        let mut families = families(&metrics);
        tell_readings(&mut families, frame);
        observed.attach(&mut families);
        let mut metrics = vec![metrics];
        if let Some((guest_metrics, guests)) = self.guests.collect().filter(|(_, guests)| !guests.is_empty()) {
            metrics.push(guest_metrics);
            families.extend(guests);
            families.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok((metrics, families))
    }
}

/// The cardinality each of our instruments needs; other instruments keep the SDK's default.
fn limit_series(instrument: &Instrument, custom: &[Arc<CustomFigure>]) -> Option<Stream> {
    let limit = match FIGURES.iter().find(|figure| figure.name == instrument.name()) {
        Some(figure) if figure.attributes.is_empty() => 1,
        // Each collector of custom figures reads one at least.
        Some(figure) if figure.attributes.contains(&"collector") => SERIES_MAX + custom.len() * COLLECTOR_SERIES_MAX,
        Some(_) => SERIES_MAX,
        None => {
            let figure = custom.iter().find(|figure| figure.name() == instrument.name())?;
            if figure.attributes().is_empty() { 1 } else { SERIES_MAX }
        }
    };
    Stream::builder().with_cardinality_limit(limit).build().ok()
}

/// Builds the instrument of a figure; histograms are recorded into, all others observe the frame.
fn build(meter: &Meter, figure: &'static Figure, cell: &FrameCell) -> Option<(FigureId, SdkHistogram<f64>)> {
    macro_rules! observe {
        ($builder:ident, $convert:expr) => {{
            let (cell, id) = (cell.clone(), figure.id);
            meter
                .$builder(figure.name)
                .with_unit(figure.unit)
                .with_description(figure.description())
                .with_callback(move |observer| {
                    for series in cell.get().series(id) {
                        observer.observe($convert(series.value), &series.key_values);
                    }
                })
                .build();
        }};
    }
    match (figure.kind, figure.is_seconds()) {
        (Kind::Gauge, false) => observe!(u64_observable_gauge, |value| value),
        (Kind::Gauge, true) => observe!(f64_observable_gauge, to_seconds),
        (Kind::Counter, false) => observe!(u64_observable_counter, |value| value),
        (Kind::Counter, true) => observe!(f64_observable_counter, to_seconds),
        (Kind::Histogram, _) => {
            let histogram = meter
                .f64_histogram(figure.name)
                .with_unit(figure.unit)
                .with_description(figure.description())
                .with_boundaries(DURATION_BOUNDS_S.to_vec())
                .build();
            return Some((figure.id, histogram));
        }
    }
    None
}

/// Builds the instrument of a custom figure. It holds the nearest floats; [`families`] puts the exact numbers back.
fn build_custom(meter: &Meter, figure: &Arc<CustomFigure>, cell: &FrameCell) {
    let (observed, cell) = (Arc::clone(figure), cell.clone());
    let callback = move |observer: &dyn AsyncInstrument<f64>| {
        for series in cell.get().custom(observed.name()) {
            observer.observe(series.value.to_float(), &series.key_values);
        }
    };
    macro_rules! observe {
        ($builder:ident) => {
            drop(
                meter
                    .$builder(figure.name().to_owned())
                    .with_unit(figure.unit().to_owned())
                    .with_description(figure.description())
                    .with_callback(callback)
                    .build(),
            )
        };
    }
    match figure.kind() {
        Kind::Counter => observe!(f64_observable_counter),
        Kind::Gauge | Kind::Histogram => observe!(f64_observable_gauge),
    }
}

/// Nanoseconds as seconds: the nearest float, so that whole nanoseconds below 2^51 (26 days) come back by rounding.
#[expect(clippy::cast_precision_loss, reason = "an instrument in seconds is a float")]
pub(super) fn to_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// From the SDK's data to families sorted by name, their series by attributes.
pub(super) fn families(metrics: &ResourceMetrics) -> Vec<Family> {
    let mut families: Vec<Family> = metrics
        .scope_metrics()
        .flat_map(|held| {
            let scope = Arc::new(scope(held.scope()));
            held.metrics().map(move |metric| family(metric, &scope))
        })
        .filter(|family| !family.points.is_empty())
        .collect();
    families.sort_by(|a, b| (&a.name, &a.scope.name).cmp(&(&b.name, &b.scope.name)));
    for family in &mut families {
        family.points.sort_by(|a, b| a.attributes.cmp(&b.attributes));
    }
    families
}

/// Tells of each figure's series what only its reading knows: start and time, and the exact value of custom ones.
fn tell_readings(families: &mut [Family], frame: &Frame) {
    for family in families {
        let figure = FIGURES.iter().find(|figure| figure.name == family.name);
        family.section = match figure {
            Some(figure) => figure.section.cloned(),
            None => frame.custom_section(&family.name).cloned(),
        };
        for point in &mut family.points {
            let (start, time) = if let Some(figure) = figure {
                let Some(series) = frame.find(figure.id, &point.attributes) else { continue };
                (series.start, series.time)
            } else {
                let Some(series) = frame.find_custom(&family.name, &point.attributes) else { continue };
                point.value = PointValue::Number(series.value);
                (series.start, series.time)
            };
            point.start = start.map(|start| start.0).filter(|_| family.kind == Kind::Counter);
            point.time = time.0;
        }
    }
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
    let (kind, points) = match metric.data() {
        AggregatedMetrics::U64(data) => points(data, |value| Number::Int(value.into())),
        AggregatedMetrics::I64(data) => points(data, |value| Number::Int(value.into())),
        AggregatedMetrics::F64(data) => points(data, Number::Float),
    };
    let (name, unit, help) = (metric.name().to_owned(), metric.unit().to_owned(), metric.description().to_owned());
    Family { name, unit, help, kind, scope: Arc::clone(scope), section: None, points }
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
                value: PointValue::Histogram(Histogram {
                    bounds: point.bounds().collect(),
                    counts: point.bucket_counts().collect(),
                    sum: number(point.sum()).to_float(),
                    count: point.count(),
                    native: None,
                }),
            });
            (Kind::Histogram, points.collect())
        }
        MetricData::ExponentialHistogram(histogram) => {
            let (start, time) = (unix_ns(histogram.start_time()), unix_ns(histogram.time()));
            let points = histogram.data_points().map(|point| Point {
                attributes: attributes(point.attributes()),
                start: Some(start),
                time,
                value: PointValue::Histogram(exponential::histogram(point, number(point.sum()).to_float())),
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
