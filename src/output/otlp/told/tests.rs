//! What an endpoint is told, message by message.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, ResourceMetrics, number_data_point::Value,
};

use super::*;

/// When the bridge of these tests began.
const BEGAN: u64 = 1_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn pair(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A point whose times are seconds after the beginning.
fn point(series: &str, start: Option<u64>, time: u64, value: i64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![pair("series", series)],
        start_time_unix_nano: start.map_or(0, |start| BEGAN + start * SECOND),
        time_unix_nano: BEGAN + time * SECOND,
        value: Some(Value::AsInt(value)),
        ..NumberDataPoint::default()
    }
}

fn counter(points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum { data_points: points, aggregation_temporality: 2, is_monotonic: true })
}

fn message(data: Vec<Data>) -> ExportMetricsServiceRequest {
    let metric = |(at, data)| Metric { name: format!("m{at}"), data: Some(data), ..Metric::default() };
    let metrics = data.into_iter().enumerate().map(metric).collect();
    let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

/// What is told of `data` at a second, as the metrics that are left.
fn tell(told: &mut Told, data: Vec<Data>, at: u64) -> Vec<Data> {
    let mut message = message(data);
    told.tell(&mut message, Wall(BEGAN + at * SECOND));
    let scopes = message.resource_metrics.remove(0).scope_metrics;
    scopes.into_iter().flat_map(|scope| scope.metrics).filter_map(|metric| metric.data).collect()
}

/// The points of the one counter that is told: since when, when, and what, in seconds after the beginning.
fn told_of(data: Vec<Data>) -> Vec<(u64, u64, Option<i64>)> {
    let seconds = |nanos: u64| nanos.saturating_sub(BEGAN) / SECOND;
    let points = data.into_iter().flat_map(|data| match data {
        Data::Sum(sum) => sum.data_points,
        Data::Gauge(gauge) => gauge.data_points,
        _ => Vec::new(),
    });
    let value = |value| match value {
        Value::AsInt(int) => int,
        Value::AsDouble(float) => float as i64,
    };
    points
        .map(|point| {
            assert_eq!(point.value.is_none(), point.flags == 1);
            (seconds(point.start_time_unix_nano), seconds(point.time_unix_nano), point.value.map(value))
        })
        .collect()
}

fn delta() -> Told {
    Told::new(Temporality::Delta, Wall(BEGAN))
}

#[test]
fn a_counter_tells_what_came_since_it_was_told_and_nothing_twice() {
    let mut told = delta();
    let mut at = |point: NumberDataPoint, at| told_of(tell(&mut told, vec![counter(vec![point])], at));
    assert_eq!(at(point("a", Some(1), 5, 10), 5), [(1, 5, Some(10))], "it began with us");
    assert_eq!(at(point("a", Some(1), 5, 10), 7), [], "nothing was read anew");
    assert_eq!(at(point("a", Some(1), 9, 12), 9), [(5, 9, Some(2))]);
    assert_eq!(at(point("a", Some(1), 11, 12), 11), [(9, 11, Some(0))]);
    assert_eq!(at(point("a", Some(12), 14, 3), 14), [(12, 14, Some(3))], "a reset that says since when");
    assert_eq!(at(point("a", Some(12), 16, 1), 16), [(14, 16, Some(1))], "a fall that does not");
    assert_eq!(at(point("a", Some(12), 15, 9), 17), [], "what is older is told with the next");
    assert_eq!(at(point("a", Some(12), 18, 10), 18), [(16, 18, Some(9))]);
}

#[test]
fn what_counted_before_the_bridge_is_told_by_its_growth() {
    let mut told = delta();
    for (name, start) in [("old", Some(0)), ("unknown", None)] {
        let mut first = point(name, start, 5, 1000);
        first.start_time_unix_nano = first.start_time_unix_nano.saturating_sub(7);
        assert_eq!(told_of(tell(&mut told, vec![counter(vec![first.clone()])], 5)), [], "{name}");
        let next = NumberDataPoint { value: Some(Value::AsInt(1004)), time_unix_nano: BEGAN + 9 * SECOND, ..first };
        assert_eq!(told_of(tell(&mut told, vec![counter(vec![next])], 9))[0], (5, 9, Some(4)), "{name}");
        told = delta();
    }
}

#[test]
fn the_sum_of_what_is_told_is_the_total_whatever_is_left_out_between() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut told, mut total, mut heard) = (delta(), 0, 0);
        for time in 1..200 {
            total += random.i64(0..5);
            // Sometimes the source is away, sometimes nothing is asked.
            let data =
                if random.u8(0..4) == 0 { vec![] } else { vec![counter(vec![point("a", Some(0), time, total)])] };
            let is_whole = !data.is_empty();
            heard += told_of(tell(&mut told, data, time)).iter().filter_map(|(_, _, value)| *value).sum::<i64>();
            assert!(heard <= total && (!is_whole || time < 2 || heard == total), "seed {seed}, second {time}");
        }
    }
}

#[test]
fn a_counter_whose_source_was_away_for_hours_is_told_what_came_meanwhile() {
    let mut told = delta();
    let mut at = |data: Vec<Data>, at| told_of(tell(&mut told, data, at));
    at(vec![counter(vec![point("a", Some(1), 5, 10)])], 5);
    assert_eq!(at(vec![], 3600), [(5, 3600, None)]);
    assert_eq!(at(vec![], 3615), []);
    let late = 3600 * 10;
    assert_eq!(at(vec![counter(vec![point("a", Some(1), late, 500)])], late), [(3600, late, Some(490))]);
}

#[test]
fn histograms_tell_differences_in_both_preferences_and_counters_their_totals_with_lowmemory() {
    let histogram = |time: u64, counts: [u64; 3], sum: f64| {
        let point = HistogramDataPoint {
            start_time_unix_nano: BEGAN,
            time_unix_nano: BEGAN + time * SECOND,
            count: counts.iter().sum(),
            sum: Some(sum),
            bucket_counts: counts.to_vec(),
            explicit_bounds: vec![1.0, 2.0],
            max: Some(9.0),
            ..HistogramDataPoint::default()
        };
        Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 })
    };
    for temporality in [Temporality::Cumulative, Temporality::LowMemory, Temporality::Delta] {
        let mut told = Told::new(temporality, Wall(BEGAN));
        let both =
            |time: u64, counts, sum| vec![histogram(time, counts, sum), counter(vec![point("a", Some(0), time, 7)])];
        tell(&mut told, both(1, [1, 2, 3], 10.0), 1);
        let next = tell(&mut told, both(2, [1, 4, 3], 13.5), 2);
        let [Data::Histogram(histogram), Data::Sum(sum)] = &next[..] else { panic!("{next:?}") };
        let point = &histogram.data_points[0];
        let is_delta = temporality != Temporality::Cumulative;
        assert_eq!(histogram.aggregation_temporality, if is_delta { 1 } else { 2 });
        assert_eq!(point.bucket_counts, if is_delta { [0, 2, 0] } else { [1, 4, 3] });
        assert_eq!((point.count, point.sum), if is_delta { (2, Some(3.5)) } else { (8, Some(13.5)) });
        assert_eq!(point.start_time_unix_nano, if is_delta { BEGAN + SECOND } else { BEGAN });
        assert_eq!(sum.aggregation_temporality, if temporality == Temporality::Delta { 1 } else { 2 });
        let value = if temporality == Temporality::Delta { 0 } else { 7 };
        assert_eq!(sum.data_points[0].value, Some(Value::AsInt(value)));
    }
}

#[test]
fn a_series_that_is_gone_says_so_once_beside_those_that_stay() {
    let gauge = |points| Data::Gauge(Gauge { data_points: points });
    let mut told = Told::new(Temporality::Cumulative, Wall(BEGAN));
    let mut at = |names: &[&str], at| {
        let points: Vec<_> = names.iter().map(|name| point(name, None, at, 1)).collect();
        let data = if points.is_empty() { vec![] } else { vec![gauge(points)] };
        told_of(tell(&mut told, data, at))
    };
    assert_eq!(at(&["a", "b", "c"], 1).len(), 3);
    assert_eq!(at(&["b"], 2), [(0, 2, Some(1)), (0, 2, None), (0, 2, None)]);
    assert_eq!(at(&["b"], 3), [(0, 3, Some(1))]);
    assert_eq!(at(&[], 4), [(0, 4, None)], "a metric that is gone whole");
    assert_eq!(at(&[], 5), []);
    assert_eq!(at(&["a"], 6), [(0, 6, Some(1))], "and comes back");
}

fn histogram(series: &str, time: u64) -> Data {
    let point = HistogramDataPoint {
        attributes: vec![pair("series", series)],
        start_time_unix_nano: BEGAN,
        time_unix_nano: BEGAN + time * SECOND,
        count: 1,
        sum: Some(1.5),
        bucket_counts: vec![0, 1, 0],
        explicit_bounds: vec![1.0, 2.0],
        ..HistogramDataPoint::default()
    };
    Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 })
}

/// An exponential histogram of one series, with what is in its buckets from an index on.
fn exponential(time: u64, scale: i32, offset: i32, bucket_counts: &[u64]) -> Data {
    let count = bucket_counts.iter().sum();
    let point = ExponentialHistogramDataPoint {
        start_time_unix_nano: BEGAN,
        time_unix_nano: BEGAN + time * SECOND,
        count,
        sum: Some(count as f64),
        scale,
        positive: Some(Buckets { offset, bucket_counts: bucket_counts.to_vec() }),
        max: Some(9.0),
        ..ExponentialHistogramDataPoint::default()
    };
    Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 })
}

#[test]
fn a_histogram_that_is_gone_says_so_once_as_the_histogram_it_was() {
    for temporality in [Temporality::Cumulative, Temporality::LowMemory, Temporality::Delta] {
        let mut told = Told::new(temporality, Wall(BEGAN));
        let spread = |time| exponential(time, 3, 0, &[time]);
        tell(&mut told, vec![histogram("a", 1), spread(1)], 1);
        let gone = tell(&mut told, vec![], 2);
        let [Data::Histogram(classic), Data::ExponentialHistogram(exponential)] = &gone[..] else {
            panic!("{temporality:?}: {gone:?}")
        };
        let expected = if temporality == Temporality::Cumulative { 2 } else { 1 };
        assert_eq!((classic.aggregation_temporality, exponential.aggregation_temporality), (expected, expected));
        let (point, spread_point) = (&classic.data_points[0], &exponential.data_points[0]);
        assert_eq!((classic.data_points.len(), point.flags, point.count, point.sum), (1, 1, 0, Some(0.0)));
        assert_eq!((&point.explicit_bounds[..], &point.bucket_counts[..]), (&[1.0, 2.0][..], &[0, 0, 0][..]));
        assert_eq!((point.attributes.clone(), point.time_unix_nano), (vec![pair("series", "a")], BEGAN + 2 * SECOND));
        assert_eq!((spread_point.flags, spread_point.count), (1, 0));
        assert_eq!(tell(&mut told, vec![], 3), []);
        // Beside one that stays, its word is another point of the same metric.
        tell(&mut told, vec![histogram("a", 4), spread(4)], 4);
        let both = tell(&mut told, vec![histogram("b", 5), spread(5)], 5);
        let Data::Histogram(classic) = &both[0] else { panic!("{both:?}") };
        let flags: Vec<_> = classic.data_points.iter().map(|point| point.flags).collect();
        assert_eq!((flags, both.len()), (vec![0, 1], 2), "{temporality:?}");
    }
}

#[test]
fn exponential_histograms_tell_what_came_though_their_buckets_grow_wider() {
    let mut told = Told::new(Temporality::Delta, Wall(BEGAN));
    let mut at = |data: Data, at| {
        let Some(Data::ExponentialHistogram(mut told)) = tell(&mut told, vec![data], at).pop() else { panic!() };
        let point = told.data_points.remove(0);
        let buckets = point.positive.unwrap();
        assert_eq!((told.aggregation_temporality, point.count), (1, buckets.bucket_counts.iter().sum()));
        assert_eq!((point.sum, point.max.is_some()), (Some(point.count as f64), at == 1));
        ((point.start_time_unix_nano - BEGAN) / SECOND, point.scale, buckets.offset, buckets.bucket_counts)
    };
    assert_eq!(at(exponential(1, 2, -3, &[1, 0, 2, 3]), 1), (0, 2, -3, vec![1, 0, 2, 3]));
    assert_eq!(at(exponential(2, 2, -3, &[1, 0, 4, 3, 7]), 2), (1, 2, -1, vec![2, 0, 7]));
    assert_eq!(at(exponential(3, 2, -3, &[1, 0, 4, 3, 7]), 3), (2, 2, 0, vec![]));
    // Half as fine: -3 is -2 now, -1 is -1, 0 and 1 are 0.
    assert_eq!(at(exponential(4, 1, -2, &[1, 6, 10, 5]), 4), (3, 1, -1, vec![2, 0, 5]));
    assert_eq!(at(exponential(5, 1, -2, &[1]), 5), (4, 1, -2, vec![1]), "a fall is a beginning anew");
}

#[test]
fn nothing_is_told_from_before_the_word_that_it_is_gone() {
    let gauge = |time| vec![Data::Gauge(Gauge { data_points: vec![point("a", None, time, 1)] })];
    let mut told = Told::new(Temporality::Cumulative, Wall(BEGAN));
    let mut at = |data, at| told_of(tell(&mut told, data, at));
    at(gauge(1), 1);
    assert_eq!(at(vec![], 10), [(0, 10, None)]);
    assert_eq!(at(gauge(9), 11), [], "read before the end was told, and known after it");
    assert_eq!(at(gauge(10), 12), []);
    assert_eq!(at(gauge(13), 13), [(0, 13, Some(1))]);
}

#[test]
fn a_series_stands_once_in_a_message_whatever_the_order_of_its_attributes() {
    let two = |keys: [&str; 2]| {
        let attributes = keys.map(|key| pair(key, "x")).to_vec();
        NumberDataPoint { attributes, ..point("", None, 1, 1) }
    };
    let mut told = Told::new(Temporality::Cumulative, Wall(BEGAN));
    let points = vec![two(["a", "b"]), two(["b", "a"]), two(["a", "c"])];
    assert_eq!(told_of(tell(&mut told, vec![Data::Gauge(Gauge { data_points: points })], 1)).len(), 2);
}

#[test]
fn two_versions_of_a_scope_have_series_of_their_own() {
    let scope = |version: &str, time| {
        let mut scope = message(vec![counter(vec![point("a", Some(0), time, 5)])]).resource_metrics.remove(0);
        let version = InstrumentationScope { version: version.to_owned(), ..InstrumentationScope::default() };
        scope.scope_metrics[0].scope = Some(version);
        scope.scope_metrics.remove(0)
    };
    let mut told = Told::new(Temporality::Cumulative, Wall(BEGAN));
    let mut at = |scopes: Vec<ScopeMetrics>, at| {
        let resource = ResourceMetrics { scope_metrics: scopes, ..ResourceMetrics::default() };
        let mut message = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
        told.tell(&mut message, Wall(BEGAN + at * SECOND));
        let scopes = message.resource_metrics.remove(0).scope_metrics.into_iter();
        let said = scopes.map(|scope| (scope.scope.unwrap().version, scope.metrics[0].data.clone().unwrap()));
        said.map(|(version, data)| (version, told_of(vec![data]).len())).collect::<Vec<_>>()
    };
    let [one, two] = ["1", "2"].map(|version| (version.to_owned(), 1));
    assert_eq!(at(vec![scope("1", 1), scope("2", 1)], 1), [one.clone(), two.clone()]);
    assert_eq!(at(vec![scope("2", 2)], 2), [two.clone(), one], "the word that one is gone");
    assert_eq!(at(vec![scope("2", 3)], 3), [two]);
}

#[test]
fn what_is_gone_is_not_remembered_for_ever() {
    let mut told = Told::new(Temporality::Cumulative, Wall(BEGAN));
    for at in 1..100 {
        let name = format!("series {at}");
        let at = at * 60;
        tell(&mut told, vec![Data::Gauge(Gauge { data_points: vec![point(&name, None, at, 1)] })], at);
    }
    let held: usize = told.metrics.values().map(|metric| metric.series.len()).sum();
    assert!(held <= 32, "{held}");
    tell(&mut told, vec![], 100_000);
    tell(&mut told, vec![], 200_000);
    assert!(told.metrics.is_empty());
}
