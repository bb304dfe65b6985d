//! Output `otlp`: a snapshot as OTLP requests.
//!
//! The official exporter makes the message; behind its own seam, an [`HttpClient`] that only keeps the request, stands
//! what the SDK cannot say: since when a bridged counter counts, when a figure was read, that a series is gone, and what
//! one endpoint wants otherwise than another. It is always protobuf: sending, and the protocol, is not done here. What
//! the exporter reads of the environment has no part in it: the config says which variables are meant for which endpoint.

mod address;
mod compression;
mod message;
mod split;
#[cfg(test)]
mod tests;
mod told;

pub use address::{Endpoint, Route};
pub use compression::Compression;
pub use split::halve;
pub use told::Temporality;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{HeaderMap, USER_AGENT};
use http::request::Parts;
use http::{Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::metrics::Temporality as SdkTemporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use prost::Message;
use secrecy::SecretString;

use crate::clock::Wall;
use crate::registry::Snapshot;
use address::{address, headers};
use message::{complete, join};
use split::{points, split};
use told::Told;

/// Where OTLP requests go and how.
#[derive(Debug)]
pub struct OtlpConfig {
    /// The receiver's address.
    pub endpoint: Endpoint,
    /// By which way it is reached.
    pub route: Route,
    /// Headers of each request.
    pub headers: BTreeMap<String, SecretString>,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Whether counters and histograms tell their totals or what came since they were last told.
    pub temporality: Temporality,
    /// Largest message before compression, in bytes; what is larger goes as several.
    pub message_bytes_max: usize,
    /// When the bridge began: what has counted for longer was told by another.
    pub began: Wall,
}

impl Default for OtlpConfig {
    /// 4 MiB a message, the most that gRPC servers take by default.
    fn default() -> Self {
        Self {
            endpoint: Endpoint::default(),
            route: Route::default(),
            headers: BTreeMap::new(),
            compression: Compression::default(),
            temporality: Temporality::default(),
            message_bytes_max: 4 << 20,
            began: Wall::default(),
        }
    }
}

/// A rendered request. It holds keys, so it prints nothing.
pub struct OtlpRequest {
    /// The full address.
    pub uri: Uri,
    /// The configured headers, the secret ones included, and who we are.
    pub headers: HeaderMap,
    /// The message in protobuf, compressed as configured.
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
    #[error(
        "otlp: the header {0:?} cannot be sent: a name is one word, a value one line; correct otlp.headers or OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Header(String),
    /// The exporter failed.
    #[error("otlp: failed to encode the snapshot: {0}")]
    Encode(String),
}

/// Renders snapshots as OTLP requests to one endpoint.
#[derive(Debug)]
pub struct Otlp {
    exporter: MetricExporter,
    kept: Kept,
    address: String,
    host: String,
    is_secure: bool,
    headers: HeaderMap,
    compression: Compression,
    message_bytes_max: usize,
    temporality: Temporality,
    told: Mutex<Told>,
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
        let (kept, address) = (Kept::default(), address(&config.endpoint, config.route)?);
        let host = address.split('/').nth(2).unwrap_or_default().to_owned();
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(kept.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_temporality(SdkTemporality::Cumulative)
            // It is divided here.
            .with_max_request_body_size(usize::MAX)
            .with_endpoint(&address)
            .build()
            .map_err(|_| OtlpError::Endpoint("is no address"))?;
        Ok(Self {
            exporter,
            kept,
            host,
            is_secure: address.starts_with("https://"),
            address,
            headers: headers(&config.headers)?,
            compression: config.compression,
            message_bytes_max: config.message_bytes_max,
            temporality: config.temporality,
            told: Mutex::new(Told::new(config.temporality, config.began)),
        })
    }

    /// Goes on from what `before` told its receiver, where this is the same and is told in the same way: it is to have no
    /// growth twice, and hears what is gone.
    pub fn go_on_from(&mut self, before: Self) {
        if (&self.address, self.temporality) == (&before.address, before.temporality) {
            self.told = before.told;
        }
    }

    /// The receiver's host and port, which may be shown.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the receiver is reached by TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Renders a snapshot, as one request if it is not too large; as none when it holds nothing new, for an empty
    /// request says nothing. What is rendered counts as told: a snapshot is rendered once.
    ///
    /// # Errors
    /// When the exporter cannot encode it; then nothing counts as told.
    pub async fn render(&self, snapshot: &Snapshot) -> Result<Vec<OtlpRequest>, OtlpError> {
        let figures = snapshot.metrics.figures(&snapshot.families).map_err(OtlpError::Encode)?;
        let (parts, mut message) = self.encode(&figures).await?;
        for recorded in snapshot.metrics.recorded() {
            join(&mut message, self.encode(recorded).await?.1);
        }
        complete(&mut message, snapshot);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).tell(&mut message, snapshot.at.wall);
        let mut headers = self.headers.clone();
        if let Some(agent) = parts.headers.get(USER_AGENT) {
            headers.insert(USER_AGENT, agent.clone());
        }
        let request = |message: ExportMetricsServiceRequest| OtlpRequest {
            uri: parts.uri.clone(),
            headers: headers.clone(),
            body: self.compression.compress(message.encode_to_vec()).into(),
            points: points(&message),
        };
        Ok(split(message, self.message_bytes_max).into_iter().map(request).collect())
    }

    /// What the exporter would send of one collection.
    async fn encode(&self, metrics: &ResourceMetrics) -> Result<(Parts, ExportMetricsServiceRequest), OtlpError> {
        self.exporter.export(metrics).await.map_err(|error| OtlpError::Encode(error.to_string()))?;
        let kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(request) = kept else { return Err(OtlpError::Encode("the exporter made no request".to_owned())) };
        let (parts, body) = request.into_parts();
        let message =
            ExportMetricsServiceRequest::decode(body).map_err(|error| OtlpError::Encode(error.to_string()))?;
        Ok((parts, message))
    }
}
