//! A message that is larger than a receiver takes, as several that are not.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use prost::Message;

/// The message in parts of at most `bytes_max`, in order; none if it has no point. A part of one point may be larger.
pub(super) fn split(message: ExportMetricsServiceRequest, bytes_max: usize) -> Vec<ExportMetricsServiceRequest> {
    let count = points(&message);
    match count {
        0 => Vec::new(),
        1 => vec![message],
        _ if message.encoded_len() <= bytes_max => vec![message],
        _ => {
            let (first, second) = halves(message, usize::try_from(count / 2).unwrap_or(usize::MAX));
            [first, second].into_iter().flat_map(|half| split(half, bytes_max)).collect()
        }
    }
}

/// An encoded message as two, with the points of each; `None` if it is none or holds no two points.
#[must_use]
pub fn halve(message: &[u8]) -> Option<[(Vec<u8>, u64); 2]> {
    let message = ExportMetricsServiceRequest::decode(message).ok()?;
    let at = usize::try_from(points(&message) / 2).ok().filter(|at| *at > 0)?;
    let (first, second) = halves(message, at);
    Some([first, second].map(|half| (half.encode_to_vec(), points(&half))))
}

/// Data points in a message.
pub(super) fn points(message: &ExportMetricsServiceRequest) -> u64 {
    let scopes = message.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).map(|metric| len(metric) as u64).sum()
}

/// The first `left` points and the others, each with the resource, scope and metric it belongs to.
fn halves(
    message: ExportMetricsServiceRequest,
    mut left: usize,
) -> (ExportMetricsServiceRequest, ExportMetricsServiceRequest) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for mut resource in message.resource_metrics {
        let (mut first_scopes, mut second_scopes) = (Vec::new(), Vec::new());
        for mut scope in std::mem::take(&mut resource.scope_metrics) {
            let (mut first_metrics, mut second_metrics) = (Vec::new(), Vec::new());
            for mut metric in std::mem::take(&mut scope.metrics) {
                let len = len(&metric);
                if left > 0 && len > left {
                    second_metrics.push(split_off(&mut metric, left));
                    first_metrics.push(metric);
                } else if left > 0 {
                    first_metrics.push(metric);
                } else {
                    second_metrics.push(metric);
                }
                left = left.saturating_sub(len);
            }
            for (metrics, scopes) in [(first_metrics, &mut first_scopes), (second_metrics, &mut second_scopes)] {
                if !metrics.is_empty() {
                    scopes.push(ScopeMetrics { metrics, ..scope.clone() });
                }
            }
        }
        for (scope_metrics, resources) in [(first_scopes, &mut first), (second_scopes, &mut second)] {
            if !scope_metrics.is_empty() {
                resources.push(ResourceMetrics { scope_metrics, ..resource.clone() });
            }
        }
    }
    (ExportMetricsServiceRequest { resource_metrics: first }, ExportMetricsServiceRequest { resource_metrics: second })
}

fn len(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

/// The same metric with its points from `at` on, which it loses.
fn split_off(metric: &mut Metric, at: usize) -> Metric {
    let data = metric.data.as_mut().map(|data| match data {
        Data::Gauge(gauge) => Data::Gauge(Gauge { data_points: gauge.data_points.split_off(at) }),
        Data::Sum(sum) => Data::Sum(Sum {
            data_points: sum.data_points.split_off(at),
            aggregation_temporality: sum.aggregation_temporality,
            is_monotonic: sum.is_monotonic,
        }),
        Data::Histogram(histogram) => Data::Histogram(Histogram {
            data_points: histogram.data_points.split_off(at),
            aggregation_temporality: histogram.aggregation_temporality,
        }),
        Data::ExponentialHistogram(histogram) => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: histogram.data_points.split_off(at),
            aggregation_temporality: histogram.aggregation_temporality,
        }),
        Data::Summary(summary) => Data::Summary(Summary { data_points: summary.data_points.split_off(at) }),
    });
    Metric {
        name: metric.name.clone(),
        description: metric.description.clone(),
        unit: metric.unit.clone(),
        metadata: metric.metadata.clone(),
        data,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
    use opentelemetry_proto::tonic::resource::v1::Resource;

    use super::*;

    fn metric(name: &str, times: std::ops::Range<u64>) -> Metric {
        let data_points = times.map(|time| NumberDataPoint { time_unix_nano: time, ..NumberDataPoint::default() });
        let data = Data::Gauge(Gauge { data_points: data_points.collect() });
        Metric { name: name.to_owned(), data: Some(data), ..Metric::default() }
    }

    fn message(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope = |metrics| ScopeMetrics { metrics, ..ScopeMetrics::default() };
        let resource = Some(Resource { dropped_attributes_count: 7, ..Resource::default() });
        let scope_metrics = metrics.into_iter().map(|metric| scope(vec![metric])).collect();
        let resource = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
        ExportMetricsServiceRequest { resource_metrics: vec![resource] }
    }

    /// The points as metric and time, in order.
    fn told(message: &ExportMetricsServiceRequest) -> Vec<(String, u64)> {
        let scopes = message.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| &scope.metrics);
        let points = metrics.flat_map(|metric| {
            let Some(Data::Gauge(gauge)) = &metric.data else { panic!("no gauge") };
            gauge.data_points.iter().map(|point| (metric.name.clone(), point.time_unix_nano))
        });
        points.collect()
    }

    #[test]
    fn parts_fit_and_hold_every_point_once_in_order_with_what_it_belongs_to() {
        let whole = message(vec![metric("a", 0..100), metric("b", 0..1), metric("c", 0..333)]);
        for bytes_max in [60, 200, 1000, 4000, 1 << 20] {
            let parts = split(whole.clone(), bytes_max);
            assert!(parts.iter().all(|part| part.encoded_len() <= bytes_max), "{bytes_max}");
            assert!(parts.iter().all(|part| part.resource_metrics[0].resource.is_some() && points(part) > 0));
            assert_eq!(parts.iter().flat_map(told).collect::<Vec<_>>(), told(&whole), "{bytes_max}");
            assert_eq!(parts.len() == 1, bytes_max > 10_000, "{bytes_max}: {}", parts.len());
        }
    }

    #[test]
    fn an_encoded_message_is_halved_until_each_part_is_a_point() {
        let whole = message(vec![metric("a", 0..5), metric("b", 0..1), metric("c", 0..3)]);
        let mut parts = vec![whole.encode_to_vec()];
        while let Some((at, halves)) = parts.iter().enumerate().find_map(|(at, part)| Some((at, halve(part)?))) {
            let of = |part: &[u8]| points(&ExportMetricsServiceRequest::decode(part).unwrap());
            let [first, second] = &halves;
            assert_eq!((of(&first.0), of(&second.0)), (first.1, second.1));
            assert!(first.1 + second.1 == of(&parts[at]) && first.1.abs_diff(second.1) <= 1);
            parts.splice(at..=at, halves.map(|(part, _)| part));
        }
        let parts: Vec<_> = parts.iter().map(|part| ExportMetricsServiceRequest::decode(&**part).unwrap()).collect();
        assert_eq!((parts.len(), parts.iter().flat_map(told).collect::<Vec<_>>()), (9, told(&whole)));
        assert_eq!((halve(b""), halve(b"\xff")), (None, None));
    }

    #[test]
    fn a_point_alone_goes_however_large_and_nothing_goes_as_nothing() {
        assert_eq!(split(message(vec![metric("a", 0..3)]), 1).len(), 3);
        assert!(split(message(vec![metric("a", 0..0)]), 1).is_empty());
    }
}
