//! What carries a batch to its endpoint, once: OTLP over HTTP, in protobuf or JSON, and over gRPC.
//!
//! What waits is always the protobuf message, compressed or not; here it is put into the endpoint's words, so that what
//! waited while the protocol or its compression was changed goes out as it must. The next protocol is one more
//! [`Protocol`], one file that makes its request and reads its answer, and one arm in each of the two `match`es below.

mod body;
mod grpc;
mod json;

pub(super) use body::Encoding;
#[cfg(test)]
pub(super) use grpc::testing::details as grpc_details;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};

use super::Destination;
use super::reply::Reply;
use crate::clock::Clock;
use crate::http_client::{HttpClient, HttpError, Limits};

/// The future of one attempt; dropping it breaks the attempt off.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Reply, HttpError>> + Send + 'a>>;

/// What carries a batch to its destination, once.
pub trait Transport: Send + Sync + 'static {
    /// Posts `body` and brings what the endpoint made of it.
    fn post<'a>(&'a self, destination: &'a Destination, body: Bytes) -> Sending<'a>;
}

/// The protocols of OTLP (opentelemetry-proto, docs/specification.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`
    #[default]
    HttpProtobuf,
    /// `http/json`
    HttpJson,
    /// `grpc`
    Grpc,
}

/// The three protocols by the bridge's own client.
pub(super) struct HttpTransport {
    http: Mutex<HttpClient>,
    limits: Limits,
    protocol: Protocol,
    clock: Arc<dyn Clock>,
}

impl HttpTransport {
    pub(super) fn new(http: HttpClient, limits: Limits, protocol: Protocol, clock: Arc<dyn Clock>) -> Self {
        Self { http: Mutex::new(http), limits, protocol, clock }
    }

    async fn request(&self, destination: &Destination, body: &Bytes) -> Result<Request<Bytes>, String> {
        let mut headers = destination.headers.clone();
        // These describe one body, and the headers may have been given with another.
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_ENCODING] {
            headers.remove(name);
        }
        let encoding = Encoding::of(body);
        let (content_type, body) = match self.protocol {
            Protocol::HttpProtobuf => ("application/x-protobuf", body.clone()),
            Protocol::HttpJson => ("application/json", json::body(body, encoding).await?),
            Protocol::Grpc => {
                grpc::add_headers(&mut headers, encoding, self.limits.total);
                (grpc::CONTENT_TYPE, grpc::body(body, encoding))
            }
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(name) = encoding.name().filter(|_| self.protocol != Protocol::Grpc) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = destination.uri.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn reply(&self, response: &Response<Bytes>) -> Reply {
        match self.protocol {
            Protocol::HttpProtobuf | Protocol::HttpJson => Reply::of_http(response, self.clock.now().wall),
            Protocol::Grpc => grpc::reply(response),
        }
    }

    fn client(&self) -> std::sync::MutexGuard<'_, HttpClient> {
        self.http.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for HttpTransport {
    fn post<'a>(&'a self, destination: &'a Destination, body: Bytes) -> Sending<'a> {
        Box::pin(async move {
            let request = match self.request(destination, &body).await {
                Ok(request) => request,
                // What cannot be put into the endpoint's words today cannot be tomorrow.
                Err(cause) => return Ok(Reply::unsendable(cause)),
            };
            let client = self.client().clone();
            let sent = client.send(request, &self.limits).await;
            if let Some(fresh) = sent.as_ref().err().and_then(|error| client.afresh(error)) {
                *self.client() = fresh;
            }
            sent.map(|response| self.reply(&response))
        })
    }
}
