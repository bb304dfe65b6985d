//! The one outbound HTTP client of the bridge: HTTP/1.1 or HTTP/2, http and https, every step bounded.
//!
//! It follows no redirect, asks for no compression, reads no proxy variable and keeps no cookie, so a key goes to the
//! host and port it was meant for and nowhere else. It knows no source and no protocol above HTTP; what an answer means
//! is its caller's business.

mod error;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;

pub use error::{HttpError, Step};
pub use tls::{TlsError, TlsFiles};

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Longer than the usual poll intervals, so that a polled source sees one connection.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Enough for the one request in flight that each caller has.
const IDLE_CONNECTIONS_MAX: usize = 2;

/// How much one exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for name, connection and TLS together.
    pub connect: Duration,
    /// Time for the whole exchange, to the last byte of the body.
    pub total: Duration,
    /// Largest body in bytes; of a larger one, the rest is not read.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), total: Duration::from_secs(5), body_bytes_max: 8 << 20 }
    }
}

impl Limits {
    /// The same with another time for the whole, half of which may pass until there is a connection: who grants a far
    /// receiver more time means that too.
    #[must_use]
    pub fn within(self, total: Duration) -> Self {
        Self { connect: self.connect.max(total / 2), total, ..self }
    }
}

type Secure = HttpsConnector<HttpConnector>;

/// What came after the body of an answer: an extension of the response, where there was something.
#[derive(Clone, Debug)]
pub struct Trailers(pub HeaderMap);

/// The version of HTTP that is spoken. There is no negotiation: who needs the second knows that it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2, without TLS too.
    Http2,
}

/// The client; clones share connections and TLS settings.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    version: Version,
    files: TlsFiles,
    /// What the files held when they were last read; `None` if they never were, as the system's are not at the start.
    known: Option<ClientConfig>,
    /// Whether they are to be read again all the same.
    is_stale: bool,
    plain: Client<HttpConnector, Full<Bytes>>,
    /// Built at the first https address, so that a bridge without one reads no root certificates.
    secure: OnceCell<Client<Secure, Full<Bytes>>>,
}

impl HttpClient {
    /// A client without connections that speaks HTTP/1.1; it needs no runtime until it sends.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Version::Http1, TlsFiles::default(), None, false)
    }

    /// The same in another version, or with TLS by files, which are read now.
    ///
    /// # Errors
    /// If a file cannot be read or does not hold what it must.
    pub fn with(version: Version, files: &TlsFiles) -> Result<Self, TlsError> {
        let known = if files.is_empty() { None } else { Some(tls::config(files)?) };
        Ok(Self::of(version, files.clone(), known, false))
    }

    /// The same client without its connections, if that can make a difference after `error`: certificates are replaced
    /// before they run out, and a connection of HTTP/2 outlives its requests, so that one that died without a word
    /// would be used for ever.
    #[must_use]
    pub fn afresh(&self, error: &HttpError) -> Option<Self> {
        let Inner { version, files, known, .. } = &*self.inner;
        let is_dead = *version == Version::Http2 && matches!(error, HttpError::Timeout { .. });
        let can_change = !files.is_empty();
        (is_dead || can_change).then(|| Self::of(*version, files.clone(), known.clone(), can_change))
    }

    fn of(version: Version, files: TlsFiles, known: Option<ClientConfig>, is_stale: bool) -> Self {
        let plain = builder(version).build(connector());
        Self { inner: Arc::new(Inner { version, files, known, is_stale, plain, secure: OnceCell::new() }) }
    }

    /// Sends `request`, whose URI is absolute, and reads the whole answer. Any status is an answer, a redirect too.
    ///
    /// # Errors
    /// Fails if the URI names no http or https host, if nothing answers in HTTP, or if a limit is passed.
    pub async fn send(&self, request: Request<Bytes>, limits: &Limits) -> Result<Response<Bytes>, HttpError> {
        let host = host_of(request.uri()).ok_or(HttpError::Url)?;
        let mut request = request.map(Full::new);
        // Nothing here decodes, and a compressed body could grow past the limit that is counted on the wire.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
        let exchange = self.exchange(request, &host, limits);
        match timeout(limits.total, exchange).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout { host, step: Step::Answer, after: limits.total }),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        host: &str,
        limits: &Limits,
    ) -> Result<Response<Bytes>, HttpError> {
        let response = match self.head(request.clone(), host, limits).await {
            // A server may close a kept connection in the very moment it is used again; RFC 9110 (9.2.2) lets a
            // client repeat a safe request then, once. A kept connection is no longer there the second time.
            Err(HttpError::Lost { .. }) if request.method().is_safe() => self.head(request, host, limits).await?,
            other => other?,
        };
        let (parts, body) = response.into_parts();
        let (body, trailers) = read(body, host, limits.body_bytes_max).await?;
        let mut response = Response::from_parts(parts, body);
        if let Some(trailers) = trailers {
            response.extensions_mut().insert(Trailers(trailers));
        }
        Ok(response)
    }

    /// Everything up to the head of the answer.
    async fn head(
        &self,
        mut request: Request<Full<Bytes>>,
        host: &str,
        limits: &Limits,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut connection = capture_connection(&mut request);
        let mut answer = pin!(self.dispatch(request).await?);
        let connected = timeout(limits.connect, async { drop(connection.wait_for_connection_metadata().await) });
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            connected = connected => match connected {
                Ok(()) => answer.await,
                Err(_) => {
                    let (host, after) = (host.to_owned(), limits.connect);
                    return Err(HttpError::Timeout { host, step: Step::Connect, after });
                }
            },
        };
        answer.map_err(|error| HttpError::of_exchange(host, &error))
    }

    async fn dispatch(&self, request: Request<Full<Bytes>>) -> Result<ResponseFuture, HttpError> {
        if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
            let secure = self.inner.secure.get_or_try_init(|| self.secure()).await?;
            Ok(secure.request(request))
        } else {
            Ok(self.inner.plain.request(request))
        }
    }

    /// The client for https.
    async fn secure(&self) -> Result<Client<Secure, Full<Bytes>>, HttpError> {
        let config = self.tls().await?;
        let mut https = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        if let Some(name) = &self.inner.files.server_name {
            https = https.with_server_name_resolver(FixedServerNameResolver::new(name.clone()));
        }
        let https = match self.inner.version {
            Version::Http1 => https.enable_http1().wrap_connector(connector()),
            Version::Http2 => https.enable_http2().wrap_connector(connector()),
        };
        Ok(builder(self.inner.version).build(https))
    }

    /// What TLS is made of; files that cannot be read again, as in the middle of being replaced, are as they were.
    async fn tls(&self) -> Result<ClientConfig, HttpError> {
        let Inner { files, known, is_stale, .. } = &*self.inner;
        if let Some(known) = known.as_ref().filter(|_| !is_stale) {
            return Ok(known.clone());
        }
        let files = files.clone();
        // Reading files would hold up a worker.
        let read = tokio::task::spawn_blocking(move || tls::config(&files)).await;
        let read = read.unwrap_or_else(|error| Err(TlsError::Roots(error.to_string())));
        read.or_else(|error| known.clone().ok_or_else(|| HttpError::Roots { cause: error.cause() }))
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// `host:port` of an absolute http or https URI: all of an address that may be shown. `None` if its port is none: the
/// scheme's own would be taken in its place.
#[must_use]
pub fn host_of(uri: &Uri) -> Option<String> {
    let port = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?;
    let after = uri.authority()?.as_str().rsplit('@').next()?.strip_prefix(host)?;
    if after.len() > 1 && uri.port().is_none() {
        return None;
    }
    Some(format!("{host}:{}", uri.port_u16().unwrap_or(port)))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

fn builder(version: Version) -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX).pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    builder.http2_only(version == Version::Http2);
    builder
}

/// Reads a body up to `max` bytes, and its trailers; to give it up is to drop it, which closes the connection.
async fn read(mut body: Incoming, host: &str, max: usize) -> Result<(Bytes, Option<HeaderMap>), HttpError> {
    let oversized = || HttpError::Oversized { host: host.to_owned(), max };
    if body.size_hint().lower() > max as u64 {
        return Err(oversized());
    }
    let (mut read, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpError::of_body(host, &error))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        if data.len() > max - read.len() {
            return Err(oversized());
        }
        read.extend_from_slice(&data);
    }
    Ok((read.freeze(), trailers))
}
