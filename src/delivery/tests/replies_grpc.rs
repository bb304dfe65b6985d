//! The table of what collectors answer over gRPC, each met with exactly one act, by a real HTTP/2 server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use ::http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;

use super::super::transport::grpc_details as details;
use super::replies::{Act, EACH, TIMEOUT, check, config, deliver, halve};
use super::*;
use crate::clock::SystemClock;
use crate::http_client::{TlsFiles, Version};

type Headers = Vec<(&'static str, String)>;

/// How the first call is answered; the others are taken.
#[derive(Clone)]
enum First {
    /// A status of HTTP, the head's headers, a body, and trailers if there are any.
    Says(u16, Headers, Vec<u8>, Option<Headers>),
    /// Nothing, to whatever comes on the same connection.
    Hangs,
    /// The connection ends.
    Closes,
}

/// A call as it came.
struct Call {
    when: Instant,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

fn map(headers: &Headers) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn taken(message: &[u8]) -> First {
    First::Says(200, vec![], framed(message), Some(vec![("grpc-status", "0".to_owned())]))
}

/// An answer without a body, whose trailers are its head.
fn status(code: u32, details: Option<String>) -> First {
    status_with(code, "no%20room s3cr3t", details)
}

fn status_with(code: u32, message: &str, details: Option<String>) -> First {
    let mut headers = vec![("grpc-status", code.to_string()), ("grpc-message", message.to_owned())];
    headers.extend(details.map(|details| ("grpc-status-details-bin", details)));
    First::Says(200, headers, vec![], None)
}

fn partial(rejected_data_points: i64) -> Vec<u8> {
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: "old".to_owned() };
    ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

fn response(first: &First) -> Response<BoxBody<Bytes, Infallible>> {
    let First::Says(status, headers, body, trailers) = first else { panic!("says nothing") };
    let body = Full::new(Bytes::from(body.clone()));
    let body = match trailers.as_ref().map(map) {
        Some(trailers) => body.with_trailers(async move { Some(Ok(trailers)) }).boxed(),
        None => body.boxed(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = ::http::StatusCode::from_u16(*status).unwrap();
    *response.headers_mut() = map(headers);
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}

/// A server for `first`, and the calls it had.
async fn serve(first: First) -> (SocketAddr, Arc<Mutex<Vec<Call>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, calls) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Call>>>::default());
    let kept = Arc::clone(&calls);
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (calls, first) = (Arc::clone(&kept), first.clone());
            let closing = Arc::new(Notify::new());
            let closed = Arc::clone(&closing);
            let service = service_fn(move |request: Request<Incoming>| {
                let (calls, first, closing) = (Arc::clone(&calls), first.clone(), Arc::clone(&closing));
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let path = parts.uri.path().to_owned();
                    let number = {
                        let mut calls = calls.lock().unwrap();
                        calls.push(Call { when: Instant::now(), path, headers: parts.headers, body });
                        calls.len()
                    };
                    match first {
                        First::Hangs if connection == 0 => std::future::pending().await,
                        _ if number > 1 => {}
                        First::Hangs => {}
                        First::Closes => {
                            closing.notify_one();
                            std::future::pending().await
                        }
                        First::Says(..) => return Ok::<_, Infallible>(response(&first)),
                    }
                    Ok(response(&taken(b"")))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                tokio::select! {
                    _ = connection => {}
                    () = closed.notified() => {}
                }
            });
        }
    });
    (address, calls)
}

fn table() -> Vec<(String, First, Act)> {
    let (soon, wait) = (Act::Again(Duration::ZERO), Duration::from_millis(1300));
    let http = |code| First::Says(code, vec![], vec![], None);
    let mut table = vec![
        ("taken", taken(b""), Act::Delivered(0)),
        ("taken with an empty partial success", taken(b"\x0a\x00"), Act::Delivered(0)),
        ("taken in part", taken(&partial(3)), Act::Delivered(3)),
        ("taken with a lie", taken(&partial(i64::MAX)), Act::Delivered(EACH)),
        ("taken with nonsense", taken(b"\xff\xff"), Act::Delivered(0)),
        ("taken in the head", First::Says(200, vec![("grpc-status", "0".to_owned())], vec![], None), Act::Delivered(0)),
        ("UNAVAILABLE until then", status(14, Some(details(1, 300_000_000))), Act::Again(wait)),
        ("RESOURCE_EXHAUSTED until then", status(8, Some(details(1, 300_000_000))), Act::Again(wait)),
        ("RESOURCE_EXHAUSTED", status(8, None), Act::GivenUp),
        (
            "RESOURCE_EXHAUSTED for the size, in Go",
            status_with(8, "grpc: received message after decompression larger than max (5 vs. 4)", None),
            Act::Halved,
        ),
        (
            "RESOURCE_EXHAUSTED for the size, in Java",
            status_with(8, "gRPC message exceeds maximum size 4: 5", None),
            Act::Halved,
        ),
        (
            "OUT_OF_RANGE for the size, in Rust",
            status_with(11, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes", None),
            Act::Halved,
        ),
        ("INVALID_ARGUMENT for a size", status_with(3, "label name exceeds maximum size", None), Act::GivenUp),
        ("HTTP 413", http(413), Act::Halved),
        ("INVALID_ARGUMENT until then", status(3, Some(details(9, 0))), Act::GivenUp),
        ("UNAVAILABLE with bad details", status(14, Some("!!".to_owned())), soon),
        ("no status", http(200), Act::GivenUp),
        ("HTTP 400", http(400), Act::GivenUp),
        ("HTTP 401", http(401), Act::GivenUp),
        ("HTTP 404", http(404), Act::GivenUp),
        ("HTTP 429", http(429), soon),
        ("HTTP 500", http(500), Act::GivenUp),
        ("HTTP 503", http(503), soon),
        ("more than is read", taken(&[0; 2000]), Act::GivenUp),
        ("no answer", First::Hangs, Act::Again(TIMEOUT)),
        ("closed before the answer", First::Closes, soon),
    ];
    for code in [1, 4, 10, 11, 14, 15] {
        table.push(("to be sent again", status(code, None), soon));
    }
    for code in [2, 3, 5, 6, 7, 9, 12, 13, 16, 17, 99] {
        table.push(("refused for good", status(code, None), Act::GivenUp));
    }
    table.into_iter().enumerate().map(|(at, (row, first, act))| (format!("{at}: {row}"), first, act)).collect()
}

#[tokio::test]
async fn each_reply_is_met_with_exactly_its_act() {
    let mut rows = tokio::task::JoinSet::new();
    for (row, first, act) in table() {
        rows.spawn(async move {
            let (address, calls) = serve(first).await;
            let http = HttpClient::with(Version::Http2, &TlsFiles::default()).unwrap();
            let delivery =
                Delivery::new(config(Protocol::Grpc, act), http, Arc::new(SystemClock::new())).halving(halve);
            deliver(&delivery, &format!("http://{address}/the.service/Export"), act, &row).await;
            let calls = calls.lock().unwrap();
            let requests: Vec<_> = calls.iter().map(|call| (call.when, call.body.len() as u64)).collect();
            check(&requests, 5, act, &row);
            let timeout = if act == Act::Again(TIMEOUT) { "700m" } else { "10000m" };
            for call in &*calls {
                assert_eq!(call.path, "/the.service/Export", "{row}");
                assert_eq!(
                    (&call.headers["content-type"], &call.headers["te"]),
                    (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
                );
                assert_eq!(
                    (&call.headers["grpc-timeout"], &call.headers["authorization"]),
                    (&timeout.parse().unwrap(), &"s3cr3t".parse().unwrap())
                );
                assert!(!call.headers.contains_key("grpc-encoding") && !call.headers.contains_key("content-encoding"));
            }
        });
    }
    while let Some(row) = rows.join_next().await {
        row.unwrap();
    }
}

#[tokio::test]
async fn what_is_compressed_says_how() {
    for (body, encoding) in [(&b"\x1f\x8brest"[..], "gzip"), (&b"\x28\xb5\x2f\xfdrest"[..], "zstd")] {
        let (address, calls) = serve(taken(b"")).await;
        let http = HttpClient::with(Version::Http2, &TlsFiles::default()).unwrap();
        let delivery = Delivery::new(config(Protocol::Grpc, Act::Delivered(0)), http, Arc::new(SystemClock::new()));
        let destination =
            Destination { uri: format!("http://{address}/s/E").parse().unwrap(), headers: HeaderMap::new() };
        let accepted = SystemClock::new().now();
        delivery.put(destination, Batch { body: Bytes::from_static(body), points: EACH, accepted });
        delivery.run(std::future::ready(())).await;
        let calls = calls.lock().unwrap();
        assert_eq!((&calls[0].headers["grpc-encoding"], calls[0].body[0]), (&encoding.parse().unwrap(), 1));
        assert_eq!(calls[0].body.slice(5..).as_ref(), body);
    }
}
