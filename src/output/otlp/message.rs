//! On the OTLP message itself: what the SDK cannot say of a snapshot, the same for every endpoint.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
};

use crate::catalog::{CUSTOM_PREFIX, FIGURES};
use crate::registry::{Family, Number, PointValue, Snapshot};

/// Up to here every integer is a float too, and up to its negative.
const FLOAT_EXACT_MAX: u128 = 1 << 53;

/// Adds what another message says of the same resource, scope by scope.
pub(super) fn join(message: &mut ExportMetricsServiceRequest, other: ExportMetricsServiceRequest) {
    let Some(resource) = message.resource_metrics.first_mut() else {
        *message = other;
        return;
    };
    for scope in other.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics) {
        let is_it = |held: &&mut ScopeMetrics| (&held.scope, &held.schema_url) == (&scope.scope, &scope.schema_url);
        match resource.scope_metrics.iter_mut().find(is_it) {
            Some(held) => held.metrics.extend(scope.metrics),
            None => resource.scope_metrics.push(scope),
        }
    }
}

/// Writes into the message what the SDK cannot say: what the source told of itself, the times of the readings, and the
/// integers that the float instruments of custom figures cannot hold.
pub(super) fn complete(message: &mut ExportMetricsServiceRequest, snapshot: &Snapshot) {
    for resource in &mut message.resource_metrics {
        tell_resource(resource, snapshot);
        for metric in resource.scope_metrics.iter_mut().flat_map(|scope| &mut scope.metrics) {
            let is_ours =
                metric.name.starts_with(CUSTOM_PREFIX) || FIGURES.iter().any(|figure| figure.name == metric.name);
            if !is_ours {
                continue;
            }
            let Some(family) = snapshot.family(&metric.name) else {
                // Durations of collectors of which none is left.
                metric.data = None;
                continue;
            };
            numbers(metric).iter_mut().for_each(|point| tell_point(point, family));
            leave_out_lost(metric, family);
        }
    }
}

/// Writes the resource's attributes as they are by now: some are learned, or change, after the SDK's resource was made.
fn tell_resource(metrics: &mut ResourceMetrics, snapshot: &Snapshot) {
    let attribute = |(key, value): &(String, String)| {
        let value = AnyValue { value: Some(Value::StringValue(value.clone())) };
        KeyValue { key: key.clone(), value: Some(value), ..KeyValue::default() }
    };
    metrics.resource.get_or_insert_default().attributes = snapshot.resource.iter().map(attribute).collect();
}

/// Leaves out the distributions that the snapshot has no more: instruments forget nothing.
fn leave_out_lost(metric: &mut Metric, family: &Family) {
    let Some(Data::Histogram(histogram)) = &mut metric.data else { return };
    if histogram.data_points.len() > family.points.len() {
        histogram.data_points.retain(|point| find(&point.attributes, family).is_some());
    }
}

/// The points of a gauge or a sum; none of anything else.
pub(super) fn numbers(metric: &mut Metric) -> &mut [NumberDataPoint] {
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => &mut gauge.data_points,
        Some(Data::Sum(sum)) => &mut sum.data_points,
        _ => &mut [],
    }
}

/// Where a family has the point of these attributes.
fn find(attributes: &[KeyValue], family: &Family) -> Option<usize> {
    let mut attributes: Vec<_> = attributes.iter().map(|pair| (pair.key.as_str(), text(pair))).collect();
    attributes.sort_unstable();
    let found = family.points.binary_search_by(|held| {
        let held = held.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        held.cmp(attributes.iter().copied())
    });
    found.ok()
}

fn tell_point(point: &mut NumberDataPoint, family: &Family) {
    if let Some(at) = find(&point.attributes, family) {
        point.time_unix_nano = family.points[at].time;
        // 0 is OTLP's "not known": better than the SDK's time of creation, which would make up a reset.
        point.start_time_unix_nano = family.points[at].start.unwrap_or(0);
        if let PointValue::Number(Number::Int(exact)) = family.points[at].value
            && exact.unsigned_abs() > FLOAT_EXACT_MAX
            && let Ok(exact) = i64::try_from(exact)
        {
            point.value = Some(number_data_point::Value::AsInt(exact));
        }
    }
}

pub(super) fn text(pair: &KeyValue) -> &str {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}
