//! What one endpoint was told of each series, and what follows from it for the next message: that a series is gone is
//! said once, no series stands twice in a message, none goes back behind its end, and what is told as a difference is
//! the difference to what was told.
//!
//! A message counts as told when it is rendered, for delivery loses none without counting it. It knows messages and no
//! snapshot; the arithmetic of differences is in `told/point.rs`.

mod point;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, Gauge, Histogram, Metric, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde::Deserialize;

use crate::clock::Wall;
use point::{End, Point, Total};

/// Older points are left out: Prometheus refuses a whole request for one point older than an hour, and a receiver that
/// has the reading once learns nothing from having it again.
pub(super) const POINT_AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a series that is gone is remembered: what is older when it comes back is left out anyway.
const GONE_KEPT: Duration = POINT_AGE_MAX;

/// The same for what is told as differences: what came while the source was away is told when it is back.
const GONE_TOTAL_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What counters and histograms tell (opentelemetry-specification, metrics/sdk_exporters/otlp.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// Their totals since they began.
    #[default]
    Cumulative,
    /// What came since they were last told.
    Delta,
    /// Histograms what came, counters their totals: those are read from sources, which keep them anyway.
    LowMemory,
}

/// What was told to one endpoint.
#[derive(Debug)]
pub(super) struct Told {
    temporality: Temporality,
    began: u64,
    /// Counts the messages, so that what a message does not hold can be found after it.
    round: u64,
    /// By scope, all that makes it one, and metric.
    metrics: BTreeMap<(Vec<u8>, String), MetricTold>,
}

#[derive(Debug)]
struct MetricTold {
    /// The metric without points in its scope, for the word that a series of it is gone.
    shell: ScopeMetrics,
    /// The bounds of a histogram's buckets.
    bounds: Vec<f64>,
    series: HashMap<Box<[u8]>, Series>,
}

#[derive(Debug)]
struct Series {
    /// The last message for which it was there, whether it was told anew or not.
    round: u64,
    /// The time of what was told last, in Unix nanoseconds.
    time: u64,
    /// Since when that counted.
    start: u64,
    /// Up to where it was told, if it is told as differences.
    total: Option<Total>,
    is_gone: bool,
}

/// What holds for a whole message.
#[derive(Clone, Copy)]
struct Now {
    round: u64,
    /// Points from before are left out.
    oldest: u64,
    /// What counts since before is told from its first reading on.
    began: u64,
}

impl Told {
    pub(super) fn new(temporality: Temporality, began: Wall) -> Self {
        Self { temporality, began: began.0, round: 0, metrics: BTreeMap::new() }
    }

    /// Makes `message`, with all that is known at `at`, the one that this endpoint is to have now.
    pub(super) fn tell(&mut self, message: &mut ExportMetricsServiceRequest, at: Wall) {
        self.round += 1;
        let now = Now { round: self.round, oldest: before(at, POINT_AGE_MAX), began: self.began };
        for resource in &mut message.resource_metrics {
            for scope in &mut resource.scope_metrics {
                let (mut metrics, key) = (std::mem::take(&mut scope.metrics), scope_key(scope));
                metrics.retain_mut(|metric| self.tell_metric(scope, key.clone(), metric, now));
                scope.metrics = metrics;
            }
        }
        self.tell_gone(message, at);
        for resource in &mut message.resource_metrics {
            resource.scope_metrics.retain(|scope| !scope.metrics.is_empty());
        }
    }

    /// Whether anything of the metric is to be told.
    fn tell_metric(&mut self, scope: &ScopeMetrics, scope_key: Vec<u8>, metric: &mut Metric, now: Now) -> bool {
        let is_delta = self.make_delta(metric);
        let held =
            self.metrics.entry((scope_key, metric.name.clone())).or_insert_with(|| MetricTold::new(scope, metric));
        match &mut metric.data {
            Some(Data::Gauge(gauge)) => held.tell_all(&mut gauge.data_points, is_delta, now),
            Some(Data::Sum(sum)) => held.tell_all(&mut sum.data_points, is_delta, now),
            Some(Data::Histogram(histogram)) => held.tell_all(&mut histogram.data_points, is_delta, now),
            Some(Data::ExponentialHistogram(histogram)) => held.tell_all(&mut histogram.data_points, is_delta, now),
            // No instrument makes a summary.
            Some(Data::Summary(_)) | None => false,
        }
    }

    /// Whether the metric is told as differences, which it then says of itself.
    fn make_delta(&self, metric: &mut Metric) -> bool {
        let temporality = match &mut metric.data {
            Some(Data::Sum(sum)) if sum.is_monotonic && self.temporality == Temporality::Delta => {
                &mut sum.aggregation_temporality
            }
            Some(Data::Histogram(histogram)) if self.temporality != Temporality::Cumulative => {
                &mut histogram.aggregation_temporality
            }
            Some(Data::ExponentialHistogram(histogram)) if self.temporality != Temporality::Cumulative => {
                &mut histogram.aggregation_temporality
            }
            _ => return false,
        };
        *temporality = AggregationTemporality::Delta.into();
        true
    }

    /// Adds the word that a series is gone for each that was told and is not there any more.
    fn tell_gone(&mut self, message: &mut ExportMetricsServiceRequest, at: Wall) {
        let round = self.round;
        for held in self.metrics.values_mut() {
            let left = held.series.iter_mut().filter(|(_, series)| series.round != round && !series.is_gone);
            let mut left: Vec<_> = left.collect();
            left.sort_unstable_by(|a, b| a.0.cmp(b.0));
            let ends: Vec<_> = left.into_iter().map(|(key, series)| series.end(key, &held.bounds, at)).collect();
            if !ends.is_empty() {
                add(message, &held.shell, ends);
            }
            held.series.retain(|_, series| {
                let kept = if series.total.is_some() { GONE_TOTAL_KEPT } else { GONE_KEPT };
                !series.is_gone || series.time >= before(at, kept)
            });
        }
        self.metrics.retain(|_, held| !held.series.is_empty());
    }
}

impl MetricTold {
    fn new(scope: &ScopeMetrics, metric: &Metric) -> Self {
        let mut bounds = Vec::new();
        let data = metric.data.as_ref().map(|data| match data {
            Data::Sum(sum) => Data::Sum(Sum { data_points: Vec::new(), ..*sum }),
            Data::Histogram(histogram) => {
                bounds = histogram.data_points.first().map(|point| point.explicit_bounds.clone()).unwrap_or_default();
                Data::Histogram(Histogram { data_points: Vec::new(), ..*histogram })
            }
            Data::ExponentialHistogram(histogram) => {
                Data::ExponentialHistogram(ExponentialHistogram { data_points: Vec::new(), ..*histogram })
            }
            Data::Gauge(_) | Data::Summary(_) => Data::Gauge(Gauge::default()),
        });
        let metric = Metric {
            name: metric.name.clone(),
            description: metric.description.clone(),
            unit: metric.unit.clone(),
            metadata: metric.metadata.clone(),
            data,
        };
        let shell =
            ScopeMetrics { scope: scope.scope.clone(), metrics: vec![metric], schema_url: scope.schema_url.clone() };
        Self { shell, bounds, series: HashMap::new() }
    }

    /// Leaves the points that are to be told; whether there is one.
    fn tell_all(&mut self, points: &mut Vec<impl Point>, is_delta: bool, now: Now) -> bool {
        points.retain_mut(|point| self.tell(point, is_delta, now));
        !points.is_empty()
    }

    /// Whether a point is to be told; with `is_delta` it becomes the difference to what was.
    fn tell(&mut self, point: &mut impl Point, is_delta: bool, now: Now) -> bool {
        let (start, time) = point.span();
        let key = key(point.attributes());
        let total = if is_delta { point.total() } else { None };
        let Some(series) = self.series.get_mut(&key) else {
            if time < now.oldest {
                return false;
            }
            // What counted before the bridge began was told by another or is of nobody's time: its growth is told.
            let is_told = total.is_none() || (start > 0 && start >= now.began);
            self.series.insert(key, Series { round: now.round, time, start, total, is_gone: false });
            return is_told;
        };
        let stands_twice = std::mem::replace(&mut series.round, now.round) == now.round;
        if stands_twice || time < now.oldest || (series.is_gone && time <= series.time) {
            return false;
        }
        if let Some(total) = &total {
            if time <= series.time {
                return false;
            }
            let before = series.total.as_ref().filter(|_| series.start == start);
            let (difference, since) = match before.and_then(|before| total.since(before)) {
                Some(difference) => (difference, series.time),
                // It began anew, and all it has come to is new.
                None => (total.clone(), start.max(series.time)),
            };
            point.tell(difference, since);
        }
        *series = Series { round: now.round, time, start, total, is_gone: false };
        true
    }
}

impl Series {
    /// Where it is gone from.
    fn end<'a>(&mut self, key: &[u8], bounds: &'a [f64], at: Wall) -> End<'a> {
        let start = if self.total.is_some() { self.time } else { self.start };
        // A clock set back must not put the end before what it ends.
        (self.is_gone, self.time) = (true, at.0.max(self.time + 1));
        let attributes = Resource::decode(key).map(|held| held.attributes).unwrap_or_default();
        End { attributes, start, time: self.time, bounds }
    }
}

/// What series are told apart by: their attributes, whatever their order, in a form they can be read back from.
fn key(attributes: &mut Vec<KeyValue>) -> Box<[u8]> {
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let held = Resource { attributes: std::mem::take(attributes), ..Resource::default() };
    let key = held.encode_to_vec().into_boxed_slice();
    *attributes = held.attributes;
    key
}

/// Adds the ends of a metric's series to what a message holds of it.
fn add(message: &mut ExportMetricsServiceRequest, shell: &ScopeMetrics, ends: Vec<End<'_>>) {
    let Some(resource) = message.resource_metrics.first_mut() else { return };
    let scopes = &mut resource.scope_metrics;
    let is_it = |scope: &ScopeMetrics| (&scope.scope, &scope.schema_url) == (&shell.scope, &shell.schema_url);
    let at = scopes.iter().position(is_it).unwrap_or_else(|| {
        scopes.push(ScopeMetrics { metrics: Vec::new(), ..shell.clone() });
        scopes.len() - 1
    });
    let (metrics, metric) = (&mut scopes[at].metrics, &shell.metrics[0]);
    let at = metrics.iter().position(|held| held.name == metric.name).unwrap_or_else(|| {
        metrics.push(metric.clone());
        metrics.len() - 1
    });
    match &mut metrics[at].data {
        Some(Data::Gauge(gauge)) => gauge.data_points.extend(ends.into_iter().map(Point::of_end)),
        Some(Data::Sum(sum)) => sum.data_points.extend(ends.into_iter().map(Point::of_end)),
        Some(Data::Histogram(histogram)) => histogram.data_points.extend(ends.into_iter().map(Point::of_end)),
        Some(Data::ExponentialHistogram(histogram)) => {
            histogram.data_points.extend(ends.into_iter().map(Point::of_end));
        }
        Some(Data::Summary(_)) | None => {}
    }
}

/// What scopes without metrics are told apart by: two versions of a library may have instruments of the same names.
fn scope_key(scope: &ScopeMetrics) -> Vec<u8> {
    scope.encode_to_vec()
}

fn before(at: Wall, by: Duration) -> u64 {
    at.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
}
