//! On the OTLP message itself: what the SDK cannot say.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
};

use crate::catalog::{CUSTOM_PREFIX, FIGURES};
use crate::registry::{Family, Number, PointValue, Snapshot};

/// Older points are left out: Prometheus refuses a whole request for one point older than an hour, and a receiver that
/// has the reading once learns nothing from having it again.
pub(super) const POINT_AGE_MAX: Duration = Duration::from_secs(30 * 60);

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
/// integers that the float instruments of custom figures cannot hold. Leaves out what is too old, and counts the points
/// that are left.
pub(super) fn complete(message: &mut ExportMetricsServiceRequest, snapshot: &Snapshot) -> u64 {
    let oldest = snapshot.at.wall.0.saturating_sub(u64::try_from(POINT_AGE_MAX.as_nanos()).unwrap_or(u64::MAX));
    let mut count = 0;
    for resource in &mut message.resource_metrics {
        tell_resource(resource, snapshot);
        for metric in resource.scope_metrics.iter_mut().flat_map(|scope| &mut scope.metrics) {
            let is_ours =
                metric.name.starts_with(CUSTOM_PREFIX) || FIGURES.iter().any(|figure| figure.name == metric.name);
            let family = snapshot.family(&metric.name).filter(|_| is_ours);
            count += match points(metric) {
                Points::Numbers(points) => {
                    if let Some(family) = family {
                        points.iter_mut().for_each(|point| tell_point(point, family));
                        points.retain(|point| point.time_unix_nano >= oldest);
                    }
                    points.len()
                }
                Points::Others(len) => len,
            } as u64;
        }
        for scope in &mut resource.scope_metrics {
            scope.metrics.retain_mut(|metric| !matches!(points(metric), Points::Numbers(points) if points.is_empty()));
        }
    }
    count
}

/// Adds the resource's attributes that were learned after the SDK's resource was made.
fn tell_resource(metrics: &mut ResourceMetrics, snapshot: &Snapshot) {
    let resource = metrics.resource.get_or_insert_default();
    for (key, value) in &snapshot.resource {
        if !resource.attributes.iter().any(|pair| pair.key == *key) {
            let value = AnyValue { value: Some(Value::StringValue(value.clone())) };
            resource.attributes.push(KeyValue { key: key.clone(), value: Some(value), ..KeyValue::default() });
        }
    }
}

pub(super) enum Points<'a> {
    Numbers(&'a mut Vec<NumberDataPoint>),
    Others(usize),
}

pub(super) fn points(metric: &mut Metric) -> Points<'_> {
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => Points::Numbers(&mut gauge.data_points),
        Some(Data::Sum(sum)) => Points::Numbers(&mut sum.data_points),
        Some(Data::Histogram(histogram)) => Points::Others(histogram.data_points.len()),
        Some(Data::ExponentialHistogram(histogram)) => Points::Others(histogram.data_points.len()),
        Some(Data::Summary(summary)) => Points::Others(summary.data_points.len()),
        None => Points::Others(0),
    }
}

fn tell_point(point: &mut NumberDataPoint, family: &Family) {
    let mut attributes: Vec<_> = point.attributes.iter().map(|pair| (pair.key.as_str(), text(pair))).collect();
    attributes.sort_unstable();
    let found = family.points.binary_search_by(|held| {
        let held = held.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        held.cmp(attributes.iter().copied())
    });
    if let Ok(at) = found {
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
