//! Families that join the page from registries of the `prometheus` crate: its process collector, and what an
//! embedding program registers. They are taken as they are, or not at all.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::DropReason;
use super::family::{Origin, PageFamily, PageKind, Series, Value};
use super::histogram::{Buckets, Histogram};
use super::labels::{Labels, readable};
use super::selection::OTHER;
use crate::registry::Number;

/// A joined family; the reason is why some of its series were left out.
pub(super) fn family(joined: &MetricFamily) -> (PageFamily<'_>, Option<DropReason>) {
    let kind = match joined.get_field_type() {
        MetricType::COUNTER => PageKind::Counter,
        MetricType::GAUGE => PageKind::Gauge,
        MetricType::SUMMARY => PageKind::Summary,
        MetricType::UNTYPED => PageKind::Unknown,
        MetricType::HISTOGRAM => PageKind::Histogram,
    };
    let metrics = joined.get_metric();
    let series: Vec<_> = metrics
        .iter()
        .filter_map(|metric| {
            let labels = Labels::of_pairs(metric.get_label())?;
            Some(Series { labels, start: None, value: value(metric, kind) })
        })
        .collect();
    let reason = (series.len() < metrics.len()).then_some(DropReason::Labels);
    let family = PageFamily {
        name: readable(joined.name()),
        kind,
        unit: "",
        help: joined.help().into(),
        origin: Origin::Joined,
        section: OTHER,
        points: None,
        layout: None,
        series,
    };
    (family, reason)
}

fn value(metric: &Metric, kind: PageKind) -> Value<'_> {
    match kind {
        PageKind::Counter => Value::Number(Number::Float(metric.get_counter().get_value())),
        PageKind::Histogram => {
            let histogram = metric.get_histogram();
            Value::Histogram(Histogram {
                buckets: Buckets::Cumulative(histogram.get_bucket()),
                sum: histogram.get_sample_sum(),
                count: histogram.get_sample_count(),
                native: None,
            })
        }
        PageKind::Summary => Value::Summary(metric.get_summary()),
        PageKind::Unknown => {
            // The crate never fills it itself, but a collector of an embedding program may.
            #[expect(deprecated, reason = "the only way to an untyped value")]
            Value::Number(Number::Float(metric.get_untyped().get_value()))
        }
        PageKind::Gauge | PageKind::Info => Value::Number(Number::Float(metric.get_gauge().get_value())),
    }
}
