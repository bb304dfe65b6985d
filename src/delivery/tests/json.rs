//! `http/json`: what waits as protobuf goes out in OTLP's JSON.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use prost::Message;

use super::replies::{Act, EACH, config};
use super::*;
use crate::clock::SystemClock;
use crate::http_client::testing::ok;

/// The head and the body of each request.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A receiver that takes everything.
fn serve() -> (SocketAddr, Requests) {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap()];
            stream.read_exact(&mut body).unwrap();
            kept.lock().unwrap().push((head, body));
            stream.write_all(ok("").as_bytes()).unwrap();
        }
    });
    (address, requests)
}

fn gzip(message: &ExportMetricsServiceRequest) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&message.encode_to_vec()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn json_is_the_message_in_otlps_own_words_compressed_as_it_was() {
    let (address, requests) = serve();
    let message = message();
    let gzip = gzip(&message);
    let zstd = zstd::bulk::compress(&message.encode_to_vec(), 1).unwrap();
    let delivery =
        Delivery::new(config(Protocol::HttpJson, Act::Delivered(0)), HttpClient::new(), Arc::new(SystemClock::new()));
    let uri: ::http::Uri = format!("http://{address}/v1/metrics").parse().unwrap();
    for body in [message.encode_to_vec(), gzip, zstd, b"\x0anonsense".to_vec()] {
        let destination = Destination { uri: uri.clone(), headers: ::http::HeaderMap::new() };
        delivery.put(destination, Batch { body: body.into(), points: EACH, accepted: SystemClock::new().now() });
    }
    delivery.run(std::future::ready(())).await;
    let stats = delivery.stats();
    assert_eq!((stats.delivered.batches, stats.dropped(DropReason::Rejected).batches), (3, 1), "{stats:?}");
    for ((head, body), encoding) in requests.lock().unwrap().iter().zip([None, Some("gzip"), Some("zstd")]) {
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        let said = head.lines().find_map(|line| line.strip_prefix("content-encoding: "));
        assert_eq!(said, encoding);
        let mut plain = Vec::new();
        match encoding {
            None => plain.clone_from(body),
            Some("gzip") => drop(GzDecoder::new(&**body).read_to_end(&mut plain).unwrap()),
            Some(_) => plain = zstd::decode_all(&**body).unwrap(),
        }
        let json: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        let sum = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"];
        assert_eq!((&sum["aggregationTemporality"], &sum["isMonotonic"]), (&2.into(), &true.into()), "{json}");
        let point = &sum["dataPoints"][0];
        assert_eq!(
            (&point["asInt"], &point["timeUnixNano"]),
            (&"9007199254740993".into(), &"1705314600000000001".into())
        );
        assert_eq!(point["attributes"][0]["value"]["stringValue"], "a");
        let metrics = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        assert_eq!(metrics[0]["sum"]["dataPoints"][1]["flags"], 1);
        assert_eq!(metrics[1]["gauge"]["dataPoints"][0]["asDouble"], 0.5);
        let buckets = &metrics[2]["histogram"]["dataPoints"][0];
        assert_eq!((&buckets["count"], &buckets["bucketCounts"][1]), (&"3".into(), &"2".into()));
        let back: ExportMetricsServiceRequest = serde_json::from_slice(&plain).unwrap();
        assert_eq!(back, message);
    }
}

#[tokio::test]
async fn what_is_not_said_is_left_out_and_what_is_no_number_is_a_text() {
    let (address, requests) = serve();
    let mut message = message();
    let metrics = &mut message.resource_metrics[0].scope_metrics[0].metrics;
    let Some(Data::Gauge(gauge)) = &mut metrics[1].data else { panic!() };
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let value = Some(number_data_point::Value::AsDouble(value));
        gauge.data_points.push(NumberDataPoint { value, ..NumberDataPoint::default() });
    }
    let Some(Data::Histogram(histogram)) = &mut metrics[2].data else { panic!() };
    histogram.data_points[0].sum = Some(f64::NAN);
    let point = ExponentialHistogramDataPoint { count: 1, max: Some(f64::INFINITY), ..Default::default() };
    let exponential = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    metrics.push(Metric { data: Some(Data::ExponentialHistogram(exponential)), ..Metric::default() });
    let delivery =
        Delivery::new(config(Protocol::HttpJson, Act::Delivered(0)), HttpClient::new(), Arc::new(SystemClock::new()));
    let uri = format!("http://{address}/v1/metrics").parse().unwrap();
    let batch = Batch { body: message.encode_to_vec().into(), points: EACH, accepted: SystemClock::new().now() };
    delivery.put(Destination { uri, headers: ::http::HeaderMap::new() }, batch);
    delivery.run(std::future::ready(())).await;
    let requests = requests.lock().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&requests[0].1).unwrap();
    let metrics = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let points = metrics[1]["gauge"]["dataPoints"].as_array().unwrap();
    let values: Vec<_> = points.iter().map(|point| point["asDouble"].to_string()).collect();
    assert_eq!(values, ["0.5", "\"NaN\"", "\"Infinity\"", "\"-Infinity\""]);
    let [classic, exponential] = [&metrics[2]["histogram"], &metrics[3]["exponentialHistogram"]];
    assert_eq!((&classic["dataPoints"][0]["sum"], &classic["aggregationTemporality"]), (&"NaN".into(), &1.into()));
    assert_eq!(exponential["dataPoints"][0]["max"], "Infinity");
    for key in ["sum", "min", "positive"] {
        assert!(exponential["dataPoints"][0].get(key).is_none(), "{key}: {exponential}");
    }
    let text = String::from_utf8_lossy(&requests[0].1);
    assert!(!text.contains(":null"), "the Collector refuses it: {text}");
}

/// Time of the processor that this thread has had.
fn worked() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap()
}

#[tokio::test]
async fn a_large_message_is_put_into_json_by_no_worker() {
    let (address, requests) = serve();
    let mut message = message();
    let Some(Data::Sum(sum)) = &mut message.resource_metrics[0].scope_metrics[0].metrics[0].data else { panic!() };
    sum.data_points = (0..30_000).map(|_| sum.data_points[0].clone()).collect();
    let body = gzip(&message);
    let begun = worked();
    let mut plain = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    let json = serde_json::to_vec(&ExportMetricsServiceRequest::decode(&*plain).unwrap()).unwrap();
    let alone = worked() - begun;
    assert!(json.len() > 2 << 20, "{}", json.len());
    let delivery =
        Delivery::new(config(Protocol::HttpJson, Act::Delivered(0)), HttpClient::new(), Arc::new(SystemClock::new()));
    let destination =
        Destination { uri: format!("http://{address}/v1/metrics").parse().unwrap(), headers: ::http::HeaderMap::new() };
    delivery.put(destination, Batch { body: body.into(), points: EACH, accepted: SystemClock::new().now() });
    // The runtime has this one thread.
    let begun = worked();
    delivery.run(std::future::ready(())).await;
    let took = worked() - begun;
    assert_eq!((delivery.stats().delivered.batches, requests.lock().unwrap().len()), (1, 1));
    assert!(took < alone / 2, "{took:?} of a worker, {alone:?} to write the JSON");
}

fn message() -> ExportMetricsServiceRequest {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue("a".into())) });
    let point = NumberDataPoint {
        attributes: vec![KeyValue { key: "state".into(), value, ..KeyValue::default() }],
        time_unix_nano: 1_705_314_600_000_000_001,
        value: Some(number_data_point::Value::AsInt(9_007_199_254_740_993)),
        ..NumberDataPoint::default()
    };
    // The word that a series is gone has no value; a float is a number.
    let gone = NumberDataPoint { value: None, flags: 1, ..point.clone() };
    let half = NumberDataPoint { value: Some(number_data_point::Value::AsDouble(0.5)), ..point.clone() };
    let sum = Sum { data_points: vec![point, gone], aggregation_temporality: 2, is_monotonic: true };
    let sum = Metric { name: "a".into(), data: Some(Data::Sum(sum)), ..Metric::default() };
    let gauge = Data::Gauge(Gauge { data_points: vec![half] });
    let gauge = Metric { name: "b".into(), data: Some(gauge), ..Metric::default() };
    let buckets = HistogramDataPoint {
        count: 3,
        sum: Some(1.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.25],
        ..HistogramDataPoint::default()
    };
    let histogram = Data::Histogram(Histogram { data_points: vec![buckets], aggregation_temporality: 1 });
    let histogram = Metric { name: "c".into(), data: Some(histogram), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![sum, gauge, histogram], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}
