//! `http/json`: the message in OTLP's own JSON (lowerCamelCase keys, integer enums, 64-bit integers as texts).
//!
//! The mapping is that of the official crate of the messages, but for what it makes of points (opentelemetry-proto 0.33):
//! what one does not say and what is no number are `null` there, for which a Collector refuses the whole request. Its
//! slip with an attribute without a value does not occur here, for the registry's attributes have values.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Summary,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Encoding;

/// The protobuf `body` as JSON, compressed as it was. On a thread that may take its time: how much it becomes is not seen
/// from outside, and megabytes of JSON come from some kilobytes.
pub(super) async fn body(protobuf: &Bytes, encoding: Encoding) -> Result<Bytes, String> {
    let protobuf = protobuf.clone();
    match tokio::task::spawn_blocking(move || rewrite(&protobuf, encoding)).await {
        Ok(body) => body,
        Err(error) if error.is_panic() => Err(error.to_string()),
        // The process is at its end, and what becomes of the batch is not decided here.
        Err(_) => std::future::pending().await,
    }
}

fn rewrite(body: &[u8], encoding: Encoding) -> Result<Bytes, String> {
    let plain = encoding.unpack(body).map_err(|error| error.to_string())?;
    let message = ExportMetricsServiceRequest::decode(&*plain).map_err(|error| error.to_string())?;
    let request = OfRequest { resource_metrics: Each(&message.resource_metrics, OfResource::new) };
    let json = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
    encoding.pack(json).map(Bytes::from).map_err(|error| error.to_string())
}

/// A list that is written one by one: put into JSON's words as a whole, a large message would take many times its memory.
struct Each<'a, T, W>(&'a [T], fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for Each<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfRequest<'a> {
    resource_metrics: Each<'a, ResourceMetrics, OfResource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfResource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a Resource>,
    scope_metrics: Each<'a, ScopeMetrics, OfScope<'a>>,
    schema_url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfScope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a InstrumentationScope>,
    metrics: Each<'a, Metric, OfMetric<'a>>,
    schema_url: &'a str,
}

#[derive(Serialize)]
struct OfMetric<'a> {
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    metadata: &'a [KeyValue],
    #[serde(flatten)]
    data: Option<OfData<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum OfData<'a> {
    Gauge(Points<'a, NumberDataPoint>),
    Sum(Points<'a, NumberDataPoint>),
    Histogram(Points<'a, HistogramDataPoint>),
    ExponentialHistogram(Points<'a, ExponentialHistogramDataPoint>),
    Summary(&'a Summary),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Points<'a, P> {
    data_points: Each<'a, P, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation_temporality: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_monotonic: Option<bool>,
}

impl<'a> OfResource<'a> {
    fn new(metrics: &'a ResourceMetrics) -> Self {
        let ResourceMetrics { resource, scope_metrics, schema_url } = metrics;
        Self { resource: resource.as_ref(), scope_metrics: Each(scope_metrics, OfScope::new), schema_url }
    }
}

impl<'a> OfScope<'a> {
    fn new(held: &'a ScopeMetrics) -> Self {
        let ScopeMetrics { scope, metrics, schema_url } = held;
        Self { scope: scope.as_ref(), metrics: Each(metrics, OfMetric::new), schema_url }
    }
}

impl<'a> OfMetric<'a> {
    fn new(metric: &'a Metric) -> Self {
        let Metric { name, description, unit, metadata, data } = metric;
        Self { name, description, unit, metadata, data: data.as_ref().map(OfData::new) }
    }
}

impl<'a> OfData<'a> {
    fn new(data: &'a Data) -> Self {
        match data {
            Data::Gauge(gauge) => Self::Gauge(Points::new(&gauge.data_points, number, None)),
            Data::Sum(sum) => {
                let points = Points::new(&sum.data_points, number, Some(sum.aggregation_temporality));
                Self::Sum(Points { is_monotonic: Some(sum.is_monotonic), ..points })
            }
            Data::Histogram(held) => {
                Self::Histogram(Points::new(&held.data_points, histogram, Some(held.aggregation_temporality)))
            }
            Data::ExponentialHistogram(held) => Self::ExponentialHistogram(Points::new(
                &held.data_points,
                exponential,
                Some(held.aggregation_temporality),
            )),
            Data::Summary(summary) => Self::Summary(summary),
        }
    }
}

impl<'a, P> Points<'a, P> {
    const fn new(points: &'a [P], write: fn(&'a P) -> Value, aggregation_temporality: Option<i32>) -> Self {
        Self { data_points: Each(points, write), aggregation_temporality, is_monotonic: None }
    }
}

fn number(point: &NumberDataPoint) -> Value {
    let float = if let Some(Number::AsDouble(float)) = point.value { Some(float) } else { None };
    said(point, [("asDouble", float)])
}

fn histogram(point: &HistogramDataPoint) -> Value {
    said(point, [("sum", point.sum), ("min", point.min), ("max", point.max)])
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Value {
    said(point, [("sum", point.sum), ("min", point.min), ("max", point.max)])
}

/// What a point says; `floats` are those of its numbers that may be none.
fn said<const N: usize>(point: &impl Serialize, floats: [(&str, Option<f64>); N]) -> Value {
    // Nothing in a point could fail to be a value.
    let mut json = serde_json::to_value(point).unwrap_or_default();
    if let Value::Object(fields) = &mut json {
        fields.retain(|_, value| !value.is_null());
        let words = floats.into_iter().filter_map(|(key, float)| Some((key.to_owned(), word(float?)?.into())));
        fields.extend(words);
    }
    json
}

/// The word of Protobuf's JSON for what is no number.
fn word(float: f64) -> Option<&'static str> {
    match float {
        _ if float.is_finite() => None,
        _ if float.is_nan() => Some("NaN"),
        _ if float > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}
