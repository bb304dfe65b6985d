//! The messages, read by prost from the schema's field numbers.

use prost::Message;

use super::*;
use crate::registry::NativeHistogram;

#[derive(Clone, PartialEq, Message)]
struct ReadFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<ReadMetric>,
    #[prost(string, optional, tag = "5")]
    unit: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadMetric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<ReadLabel>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<ReadValue>,
    #[prost(message, optional, tag = "3")]
    counter: Option<ReadValue>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<ReadHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ReadValue {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    start: Option<ReadTime>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadTime {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ReadHistogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<ReadBucket>,
    #[prost(message, optional, tag = "15")]
    start: Option<ReadTime>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "9")]
    negative_span: Vec<ReadSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "10")]
    negative_delta: Vec<i64>,
    #[prost(message, repeated, tag = "12")]
    span: Vec<ReadSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ReadBucket {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    bound: f64,
}

fn families(snapshot: &Snapshot) -> Vec<ReadFamily> {
    let body = render(snapshot, &[], &PageConfig::default(), &Syntax::Protobuf.into()).body;
    let mut rest = &*body;
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(ReadFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

#[test]
fn e1_e2_e3_e4_e6_a_page_in_protobuf() {
    let long = "x".repeat(300);
    let start = Some(AT.0 + 5);
    let snapshot = snapshot(vec![
        family("gc.cycles", "", Kind::Counter, vec![Point { start, ..point(&[("k", &long)], int(7)) }]),
        family("heap", "By", Kind::Gauge, vec![point(&[], float(-0.5))]),
        family("took", "s", Kind::Histogram, vec![Point { start, ..point(&[], histogram(&[0.5], &[1, 2], 3.0)) }]),
    ]);
    let families = families(&snapshot);
    let names: Vec<_> = families.iter().map(|family| (family.name.as_deref().unwrap(), family.kind.unwrap())).collect();
    assert_eq!(names, [("gc_cycles_total", 0), ("heap_bytes", 1), ("took_seconds", 4)]);
    let units: Vec<_> = families.iter().map(|family| family.unit.as_deref()).collect();
    assert_eq!(units, [None, Some("bytes"), Some("seconds")]);
    assert_eq!(families[0].help.as_deref(), Some("About gc.cycles. OTel name gc.cycles."));
    let counter = &families[0].metric[0];
    assert_eq!(counter.label, [ReadLabel { name: "k".to_owned(), value: long }]);
    let time = ReadTime { seconds: 1_705_314_600, nanos: 5 };
    assert_eq!(counter.counter, Some(ReadValue { value: Some(7.0), start: Some(time.clone()) }));
    assert_eq!(families[1].metric[0].gauge, Some(ReadValue { value: Some(-0.5), start: None }));
    let buckets = [(1, 0.5), (3, f64::INFINITY)].map(|(count, bound)| ReadBucket { count, bound });
    assert_eq!(
        families[2].metric[0].histogram,
        Some(ReadHistogram {
            count: 3,
            sum: 3.0,
            bucket: buckets.into(),
            start: Some(time),
            ..ReadHistogram::default()
        })
    );
}

#[test]
fn an_empty_page_is_no_bytes() {
    assert_eq!(families(&snapshot(Vec::new())), []);
}

#[test]
fn e5_the_bridges_own_durations_are_native_too() {
    let registry = registry();
    for milliseconds in [0, 250, 251, 252, 1000, 4000] {
        let took = std::time::Duration::from_millis(milliseconds);
        registry.record(FigureId::CollectorDuration, took, &[("collector", "store"), ("source", "sqlite")]);
    }
    let families = families(&registry.current());
    let family = families.iter().find(|family| family.kind == Some(4)).unwrap();
    assert_eq!(family.name.as_deref(), Some("linkit_bridge_collector_duration_seconds"));
    let histogram = family.metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.count, histogram.bucket.len()), (6, 15));
    assert_eq!((histogram.schema, histogram.zero_count), (Some(3), Some(1)));
    assert!(histogram.zero_threshold.is_some_and(|threshold| threshold > 0.0 && threshold < 1e-9));
    // 0.25 is the bound of bucket -16, the next two are above it; 1 and 4 are the bounds of 0 and 16.
    let spans = [(-16, 2), (14, 1), (15, 1)].map(|(offset, length)| ReadSpan { offset, length });
    assert_eq!((histogram.span.as_slice(), histogram.delta.as_slice()), (spans.as_slice(), [1, 1, -1, 0].as_slice()));
}

/// An instrument's exponential histogram, as the registry hands it on.
fn exponential(schema: i32, buckets: &[(i32, u64)], negative: &[(i32, u64)]) -> PointValue {
    let native = NativeHistogram {
        schema,
        zero_threshold: 1e-128,
        zero_count: 2,
        buckets: buckets.iter().copied().collect(),
        negative: negative.iter().copied().collect(),
    };
    let count = native.count();
    PointValue::Histogram(Box::new(Histogram {
        bounds: vec![],
        counts: vec![count],
        sum: 7.5,
        count,
        native: Some(native),
    }))
}

#[test]
fn f3_e5_an_exponential_histogram_is_native_with_its_count_and_sum_beside_it() {
    let value = exponential(8, &[(-3, 4), (-2, 1), (7, 2)], &[(0, 5), (1, 6)]);
    let snapshot = snapshot(vec![family("heat", "", Kind::Histogram, vec![point(&[], value)])]);
    assert_eq!(dropped(&snapshot, &[]), [""; 0]);
    let families = families(&snapshot);
    let span = |spans: &[(i32, u32)]| {
        spans.iter().map(|(offset, length)| ReadSpan { offset: *offset, length: *length }).collect::<Vec<_>>()
    };
    assert_eq!(
        families[0].metric[0].histogram,
        Some(ReadHistogram {
            count: 20,
            sum: 7.5,
            bucket: vec![ReadBucket { count: 20, bound: f64::INFINITY }],
            start: None,
            schema: Some(8),
            zero_threshold: Some(1e-128),
            zero_count: Some(2),
            negative_span: span(&[(0, 2)]),
            negative_delta: vec![5, 1],
            span: span(&[(-3, 2), (8, 1)]),
            delta: vec![4, -3, 1],
        })
    );
    // What texts cannot hold they leave out, but not the count; a sum that may fall OpenMetrics does not allow.
    let page = text(&snapshot, &[], Syntax::Text004);
    assert!(page.ends_with("histogram\nheat_bucket{le=\"+Inf\"} 20\nheat_sum 7.5\nheat_count 20\n"), "{page}");
    let page = text(&snapshot, &[], Syntax::OpenMetrics100);
    assert!(page.ends_with("\nheat_bucket{le=\"+Inf\"} 20\n# EOF\n"), "{page}");
}

#[test]
fn f3_what_is_coarser_than_native_histograms_is_left_out_and_said() {
    let points = vec![point(&[], exponential(-5, &[(0, 1)], &[])), point(&[("k", "v")], exponential(-4, &[], &[]))];
    let snapshot = snapshot(vec![family("heat", "", Kind::Histogram, points)]);
    assert_eq!(
        dropped(&snapshot, &[]),
        [
            "heat: series in exponential buckets of a scale below -4, which no native histogram has; allow it more buckets"
        ]
    );
    let left: Vec<_> = families(&snapshot)[0].metric.iter().map(|metric| metric.label.len()).collect();
    assert_eq!(left, [1]);
}

#[test]
fn e5_a_native_histogram_that_does_not_add_up_is_left_out() {
    let PointValue::Histogram(mut histogram) = exponential(0, &[(0, 1)], &[]) else { unreachable!() };
    histogram.count += 1;
    let bad = point(&[], PointValue::Histogram(histogram));
    let snapshot = snapshot(vec![family("heat", "", Kind::Histogram, vec![bad])]);
    assert_eq!(dropped(&snapshot, &[]), ["heat: series with a value that its kind forbids"]);
}

#[test]
fn e5_native_buckets_are_on_all_series_of_a_family_or_on_none() {
    let native = || exponential(0, &[(0, 1)], &[]);
    let points = vec![point(&[], native()), point(&[("k", "v")], histogram(&[1.0], &[1, 0], 0.5))];
    let mixed = family("mixed", "", Kind::Histogram, points);
    let whole = family("whole", "", Kind::Histogram, vec![point(&[], native()), point(&[("k", "v")], native())]);
    let families = families(&snapshot(vec![mixed, whole]));
    let schemas = families.iter().flat_map(|family| &family.metric);
    let schemas: Vec<_> = schemas.map(|metric| metric.histogram.as_ref().unwrap().schema).collect();
    assert_eq!(schemas, [None, None, Some(0), Some(0)]);
}
