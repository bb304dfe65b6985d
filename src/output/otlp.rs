//! Output `otlp`: a snapshot as an OTLP/HTTP request (http/protobuf).
//!
//! The official exporter encodes it and resolves endpoint and headers, the `OTEL_EXPORTER_OTLP_*` variables included;
//! behind its own seam, an [`HttpClient`] that only keeps the request, stands what the SDK cannot say: since when a
//! bridged counter counts and when a figure was read. Sending is not done here.

mod address;
mod message;

pub use address::Endpoint;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use prost::Message;
use secrecy::SecretString;

use crate::registry::Snapshot;
use address::{address, headers};
use message::{complete, join};

/// Where OTLP requests go and how.
#[derive(Debug, Default)]
pub struct OtlpConfig {
    /// The receiver's address.
    pub endpoint: Endpoint,
    /// Headers of each request; if there are none, those of `OTEL_EXPORTER_OTLP_HEADERS` are used.
    pub headers: BTreeMap<String, SecretString>,
    /// Whether bodies go as they are instead of compressed with gzip.
    pub uncompressed: bool,
}

/// A rendered request. It holds keys, so it prints nothing.
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

/// Why a snapshot could not be rendered. No text holds the address or a header's value.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The endpoint cannot be used.
    #[error("otlp: the endpoint {0}; correct otlp.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT")]
    Endpoint(&'static str),
    /// A header cannot be sent.
    #[error("otlp: the header {0:?} cannot be sent: a name is one word, a value one line; correct otlp.headers")]
    Header(String),
    /// The exporter failed.
    #[error("otlp: failed to encode the snapshot: {0}")]
    Encode(String),
}

/// Renders snapshots as OTLP requests.
#[derive(Debug)]
pub struct Otlp {
    exporter: MetricExporter,
    kept: Kept,
    host: String,
    headers: HeaderMap,
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
    /// When the endpoint is no http or https address, or a header cannot be sent.
    pub fn new(config: &OtlpConfig) -> Result<Self, OtlpError> {
        let (kept, address) = (Kept::default(), address(&config.endpoint)?);
        let host = address.split('/').nth(2).unwrap_or_default().to_owned();
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(kept.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_temporality(Temporality::Cumulative)
            .with_endpoint(&address)
            .build()
            .map_err(|_| OtlpError::Endpoint("is no address"))?;
        Ok(Self { exporter, kept, host, headers: headers(&config.headers)?, uncompressed: config.uncompressed })
    }

    /// The receiver's host and port, which may be shown.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Renders a snapshot; `None` when it holds no point, for an empty request says nothing.
    ///
    /// # Errors
    /// When the exporter cannot encode it.
    pub async fn render(&self, snapshot: &Snapshot) -> Result<Option<OtlpRequest>, OtlpError> {
        let figures = snapshot.metrics.figures(&snapshot.families).map_err(OtlpError::Encode)?;
        let (parts, mut message) = self.encode(&figures).await?;
        join(&mut message, self.encode(snapshot.metrics.program()).await?.1);
        let points = complete(&mut message, snapshot);
        if points == 0 {
            return Ok(None);
        }
        let (mut headers, mut body) = (self.headers_over(parts.headers), message.encode_to_vec());
        if !self.uncompressed {
            body = gzip(&body).map_err(|error| OtlpError::Encode(error.to_string()))?;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Some(OtlpRequest { uri: parts.uri, headers, body: body.into(), points }))
    }

    /// What the exporter makes of data of the SDK.
    async fn encode(&self, metrics: &ResourceMetrics) -> Result<(Parts, ExportMetricsServiceRequest), OtlpError> {
        let failed = |error: &dyn fmt::Display| OtlpError::Encode(error.to_string());
        self.exporter.export(metrics).await.map_err(|error| failed(&error))?;
        let kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (parts, body) = kept.ok_or_else(|| failed(&"the exporter made no request"))?.into_parts();
        Ok((parts, ExportMetricsServiceRequest::decode(body).map_err(|error| failed(&error))?))
    }

    /// The exporter's headers, but for what `OTEL_EXPORTER_OTLP_HEADERS` added if the config has headers of its own:
    /// those may hold the key of another receiver.
    fn headers_over(&self, exporters: HeaderMap) -> HeaderMap {
        if self.headers.is_empty() {
            return exporters;
        }
        let mut headers = self.headers.clone();
        for name in [CONTENT_TYPE, USER_AGENT] {
            if let Some(value) = exporters.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        headers
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

    use super::message::{POINT_AGE_MAX, Points, points, text};
    use super::*;
    use crate::catalog::{FigureId, Section};
    use crate::clock::{Clock, ManualClock, Wall};
    use crate::reading::{Ages, Reading, Readings};
    use crate::registry::Registry;

    fn config(headers: &[(&str, &str)]) -> OtlpConfig {
        let secret = |(name, value): &(&str, &str)| ((*name).to_owned(), SecretString::from(*value));
        let headers = headers.iter().map(secret).collect();
        OtlpConfig { endpoint: Endpoint::Base("http://c:4318".to_owned()), headers, ..OtlpConfig::default() }
    }

    #[tokio::test]
    async fn headers_go_out_as_they_are_and_the_environments_only_without_them() {
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let registry = Registry::new(clock.clone(), Ages::default(), &[]);
        registry.publish(vec![Readings::new(
            Section::Runtime,
            clock.now(),
            vec![Reading::of(FigureId::RuntimeGoroutines, 1)],
        )]);
        let otlp = Otlp::new(&config(&[("x-key", "p%41ss="), ("content-type", "text/plain")])).unwrap();
        let headers = otlp.render(&registry.current()).await.unwrap().unwrap().headers;
        assert_eq!((&headers["x-key"], headers["x-key"].is_sensitive()), (&HeaderValue::from_static("p%41ss="), true));
        assert_eq!(headers[CONTENT_TYPE], "application/x-protobuf");
        let mut environments = HeaderMap::new();
        environments.insert("authorization", HeaderValue::from_static("another receiver's"));
        assert!(!otlp.headers_over(environments.clone()).contains_key("authorization"));
        assert!(Otlp::new(&config(&[])).unwrap().headers_over(environments).contains_key("authorization"));
    }

    #[tokio::test]
    async fn old_points_are_left_out_and_the_version_the_source_told_is_in_the_resource() {
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let registry = Registry::new(clock.clone(), Ages::default(), &[]);
        let read = |section, figure| {
            let version = Some("7.0".to_owned());
            let readings = Readings::new(section, clock.now(), vec![Reading::of(figure, 1)]);
            registry.publish(vec![Readings { version, ..readings }]);
        };
        read(Section::Staging, FigureId::StagingCompletedToday);
        clock.advance(POINT_AGE_MAX + Duration::from_secs(1));
        read(Section::Runtime, FigureId::RuntimeGoroutines);
        let otlp = Otlp::new(&OtlpConfig { uncompressed: true, ..config(&[]) }).unwrap();
        let request = otlp.render(&registry.current()).await.unwrap().unwrap();
        let message = ExportMetricsServiceRequest::decode(request.body).unwrap();
        let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!((request.points, names), (1, vec!["linkit.runtime.goroutines"]));
        let attributes = &message.resource_metrics[0].resource.as_ref().unwrap().attributes;
        let version = attributes.iter().find(|pair| pair.key == "service.version").unwrap();
        assert_eq!(text(version), "7.0");
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
        let request = Otlp::new(&config(&[])).unwrap().render(&registry.current()).await.unwrap().unwrap();
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
