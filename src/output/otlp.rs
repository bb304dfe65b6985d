//! Output `otlp`: a snapshot as an OTLP/HTTP request (http/protobuf).
//!
//! The official exporter encodes it and resolves endpoint and headers, the `OTEL_EXPORTER_OTLP_*` variables included;
//! behind its own seam, an [`HttpClient`] that only keeps the request, stands what the SDK cannot say: since when a
//! bridged counter counts and when a figure was read. Sending is not done here.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use http::{Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric::Data};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use prost::Message;
use secrecy::{ExposeSecret, SecretString};

use crate::catalog::FIGURES;
use crate::registry::{Family, Snapshot};

const METRICS_PATH: &str = "/v1/metrics";

/// Where OTLP requests go and how; what is `None` or empty is resolved from the `OTEL_*` variables, then the
/// specification's defaults (opentelemetry-specification, protocol/exporter.md).
#[derive(Debug, Default)]
pub struct OtlpConfig {
    /// The base address; `/v1/metrics` is appended unless it is there.
    pub endpoint: Option<String>,
    /// Headers of each request.
    pub headers: HashMap<String, SecretString>,
    /// Whether bodies go as they are instead of compressed with gzip.
    pub uncompressed: bool,
}

/// A rendered request.
#[derive(Debug)]
pub struct OtlpRequest {
    /// The full address.
    pub uri: Uri,
    /// All headers, the secret ones included.
    pub headers: HeaderMap,
    /// The body, compressed as the headers say.
    pub body: Bytes,
    /// Data points in it.
    pub points: u64,
}

/// Why a snapshot could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Endpoint or headers cannot be used.
    #[error("otlp: {0}; correct otlp.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT")]
    Config(String),
    /// The exporter failed.
    #[error("otlp: failed to encode the snapshot: {0}")]
    Encode(String),
}

/// Renders snapshots as OTLP requests.
#[derive(Debug)]
pub struct Otlp {
    exporter: MetricExporter,
    kept: Kept,
    uncompressed: bool,
}

/// The exporter's HTTP client: keeps the request instead of sending it.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Option<Request<Bytes>>>>);

#[async_trait::async_trait]
impl HttpClient for Kept {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        Ok(Response::new(Bytes::new()))
    }
}

impl Otlp {
    /// An output for one endpoint.
    ///
    /// # Errors
    /// When the endpoint, from the config or from the environment, is no http or https address.
    pub fn new(config: &OtlpConfig) -> Result<Self, OtlpError> {
        let kept = Kept::default();
        let mut builder = MetricExporter::builder()
            .with_http()
            .with_http_client(kept.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_temporality(Temporality::Cumulative);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(metrics_endpoint(endpoint)?);
        }
        let expose = |(name, value): (&String, &SecretString)| (name.clone(), value.expose_secret().to_owned());
        builder = builder.with_headers(config.headers.iter().map(expose).collect());
        let exporter = builder.build().map_err(|error| OtlpError::Config(error.to_string()))?;
        Ok(Self { exporter, kept, uncompressed: config.uncompressed })
    }

    /// Renders a snapshot; `None` when it holds no point, for an empty request says nothing.
    ///
    /// # Errors
    /// When the exporter cannot encode it.
    pub async fn render(&self, snapshot: &Snapshot) -> Result<Option<OtlpRequest>, OtlpError> {
        self.exporter.export(&snapshot.metrics).await.map_err(|error| OtlpError::Encode(error.to_string()))?;
        let kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(request) = kept else { return Err(OtlpError::Encode("the exporter made no request".to_owned())) };
        let (parts, body) = request.into_parts();
        let mut message =
            ExportMetricsServiceRequest::decode(body).map_err(|error| OtlpError::Encode(error.to_string()))?;
        let points = tell_times(&mut message, snapshot);
        if points == 0 {
            return Ok(None);
        }
        let (mut headers, mut body) = (parts.headers, message.encode_to_vec());
        if !self.uncompressed {
            body = gzip(&body).map_err(|error| OtlpError::Encode(error.to_string()))?;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Some(OtlpRequest { uri: parts.uri, headers, body: body.into(), points }))
    }
}

/// The address of the metrics signal below a base address.
fn metrics_endpoint(base: &str) -> Result<String, OtlpError> {
    let uri: Uri = base.parse().map_err(|error| OtlpError::Config(format!("the endpoint is no address: {error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(OtlpError::Config("the endpoint must begin with http:// or https://".to_owned()));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(OtlpError::Config("the endpoint holds a user; put credentials into otlp.headers".to_owned()));
    }
    let base = base.trim_end_matches('/');
    Ok(if base.ends_with(METRICS_PATH) { base.to_owned() } else { format!("{base}{METRICS_PATH}") })
}

/// Writes the times of the readings into the points of the catalogue's figures; counts all points.
fn tell_times(message: &mut ExportMetricsServiceRequest, snapshot: &Snapshot) -> u64 {
    let scopes = message.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    let mut count = 0;
    for metric in scopes.flat_map(|scope| &mut scope.metrics) {
        let is_ours = FIGURES.iter().any(|figure| figure.name == metric.name);
        let family = snapshot.family(&metric.name).filter(|_| is_ours);
        count += match points(metric) {
            Points::Numbers(points) => {
                for point in &mut *points {
                    if let Some(family) = family {
                        tell_time(point, family);
                    }
                }
                points.len()
            }
            Points::Others(len) => len,
        } as u64;
    }
    count
}

enum Points<'a> {
    Numbers(&'a mut Vec<NumberDataPoint>),
    Others(usize),
}

fn points(metric: &mut Metric) -> Points<'_> {
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => Points::Numbers(&mut gauge.data_points),
        Some(Data::Sum(sum)) => Points::Numbers(&mut sum.data_points),
        Some(Data::Histogram(histogram)) => Points::Others(histogram.data_points.len()),
        Some(Data::ExponentialHistogram(histogram)) => Points::Others(histogram.data_points.len()),
        Some(Data::Summary(summary)) => Points::Others(summary.data_points.len()),
        None => Points::Others(0),
    }
}

fn tell_time(point: &mut NumberDataPoint, family: &Family) {
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
    }
}

fn text(pair: &KeyValue) -> &str {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;
    use crate::catalog::{FigureId, Section};
    use crate::clock::{Clock, ManualClock, Wall};
    use crate::reading::{Ages, Reading, Readings};
    use crate::registry::Registry;

    #[test]
    fn the_signals_path_is_appended_once() {
        for (base, expected) in [
            ("http://a:4318", "http://a:4318/v1/metrics"),
            ("http://a:4318/", "http://a:4318/v1/metrics"),
            ("https://a/api/v1/otlp", "https://a/api/v1/otlp/v1/metrics"),
            ("http://a/v1/metrics", "http://a/v1/metrics"),
        ] {
            assert_eq!(metrics_endpoint(base).unwrap(), expected);
        }
        for bad in ["collector:4318", "ftp://a", "", "http://user:pw@a:4318"] {
            let error = metrics_endpoint(bad).unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[tokio::test]
    async fn points_carry_the_times_of_their_readings() {
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let registry = Registry::new(clock.clone(), Ages::default(), &[("service.name".into(), "linkit".into())]);
        let taken = clock.now();
        let start = Wall::from_secs(1_705_276_800);
        registry.publish(vec![Readings::new(
            Section::Staging,
            taken,
            vec![
                Reading::of(FigureId::StagingCompleted, 5432).starting(start),
                Reading::of_series(FigureId::StagingItems, "state", "pending", 3),
            ],
        )]);
        registry.publish(vec![Readings::new(Section::Runtime, taken, vec![Reading::of(FigureId::RuntimeGcCycles, 9)])]);
        clock.advance(Duration::from_secs(7));
        let config = OtlpConfig { endpoint: Some("http://c:4318".into()), ..OtlpConfig::default() };
        let request = Otlp::new(&config).unwrap().render(&registry.current()).await.unwrap().unwrap();
        assert_eq!(request.uri, "http://c:4318/v1/metrics");
        assert_eq!((request.points, &request.headers[CONTENT_ENCODING]), (3, &HeaderValue::from_static("gzip")));
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
        let mut message = ExportMetricsServiceRequest::decode(&*body).unwrap();
        let metrics = &mut message.resource_metrics[0].scope_metrics[0].metrics;
        let mut times = |name: &str| {
            let metric = metrics.iter_mut().find(|metric| metric.name == name).unwrap();
            let Points::Numbers(points) = points(metric) else { panic!("{name} has no numbers") };
            (points[0].start_time_unix_nano, points[0].time_unix_nano)
        };
        assert_eq!(times("linkit.staging.completed"), (start.0, taken.wall.0));
        assert_eq!(times("linkit.staging.items"), (0, taken.wall.0));
        assert_eq!(times("linkit.runtime.gc.cycles"), (0, taken.wall.0));
    }
}
