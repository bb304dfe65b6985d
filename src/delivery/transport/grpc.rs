//! `grpc`: one unary call over HTTP/2, framed by hand (grpc/grpc, doc/PROTOCOL-HTTP2.md).
//!
//! A unary call is a POST whose body has five bytes before it and whose status comes in the trailers; a gRPC library
//! would bring an executor, a service stack and its own retries for that.

use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use prost::Message;

use super::Encoding;
use crate::delivery::reply::Reply;
use crate::delivery::retry::{Verdict, grpc_verdict, says_too_large};
use crate::http_client::Trailers;

pub(super) const CONTENT_TYPE: &str = "application/grpc";

const TOO_LARGE: StatusCode = StatusCode::PAYLOAD_TOO_LARGE;

/// Before a message stand whether it is compressed and its length.
const PREFIX_BYTES: usize = 5;

/// The statuses of gRPC by their numbers (grpc/grpc, doc/statuscodes.md).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The details are padded or not, as each library likes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn add_headers(headers: &mut HeaderMap, encoding: Encoding, timeout: Duration) {
    // Says that we read trailers; without it a server may refuse us.
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Some(name) = encoding.name() {
        headers.insert(HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(name));
    }
    // Eight digits is all the protocol allows; who waits longer than a day says nothing.
    if let Ok(value) = HeaderValue::try_from(format!("{}m", timeout.as_millis()))
        && timeout.as_millis() < 100_000_000
    {
        headers.insert(HeaderName::from_static("grpc-timeout"), value);
    }
}

/// The body with its prefix.
pub(super) fn body(message: &[u8], encoding: Encoding) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(u8::from(encoding != Encoding::Identity));
    // A queue never holds 4 GiB.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// What the answer says: in its trailers, or in its head if it has no body.
pub(super) fn reply(response: &Response<Bytes>) -> Reply {
    let trailers = response.extensions().get::<Trailers>().map(|Trailers(trailers)| trailers);
    let said = |name: &str| trailers.and_then(|trailers| trailers.get(name)).or_else(|| response.headers().get(name));
    let text = |name: &str| said(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status").and_then(|code| code.parse().ok()).unwrap_or_else(|| of_http(response));
    let message: Bytes =
        text("grpc-message").map(|text| percent_encoding::percent_decode_str(text).collect()).unwrap_or_default();
    let asked = text("grpc-status-details-bin").and_then(retry_info);
    let is_too_large = says_too_large(&message) || text("grpc-status").is_none() && response.status() == TOO_LARGE;
    match grpc_verdict(code, asked.is_some(), is_too_large) {
        Verdict::Taken => Reply::taken(unframed(response.body())),
        verdict => Reply {
            verdict,
            status: NAMES.get(code as usize).map_or_else(|| format!("gRPC status {code}"), |name| (*name).to_owned()),
            reason: message,
            refused: 0,
            asked: asked.filter(|_| verdict == Verdict::Again),
        },
    }
}

/// What an answer without a status of gRPC means: it is that of a proxy (grpc/grpc, doc/http-grpc-status-mapping.md, which
/// does not know 413).
fn of_http(response: &Response<Bytes>) -> u32 {
    const UNKNOWN: u32 = 2;
    match response.status().as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        413 => 8,
        429 | 502..=504 => 14,
        _ => UNKNOWN,
    }
}

/// The message behind its prefix. We ask for none that is compressed.
fn unframed(body: &Bytes) -> Bytes {
    if body.len() < PREFIX_BYTES || body[0] != 0 { Bytes::new() } else { body.slice(PREFIX_BYTES..) }
}

/// `google.rpc.Status`, of which the details count.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long the details ask us to wait; a `RetryInfo` without a delay, or with one below 0, asks for no wait.
fn retry_info(details: &str) -> Option<Duration> {
    let status = Status::decode(&*BASE64.decode(details).ok()?).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).unwrap_or(0));
    Some(seconds.saturating_add(Duration::from_nanos(u64::try_from(delay.nanos).unwrap_or(0))))
}

#[cfg(test)]
pub(in crate::delivery) mod testing {
    use super::*;

    /// The details that ask for a wait.
    pub(in crate::delivery) fn details(seconds: i64, nanos: i32) -> String {
        let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
        BASE64.encode(Status { details: vec![any] }.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_info_is_read_padded_and_not() {
        let padded = testing::details(3, 500_000_000);
        for text in [padded.as_str(), padded.trim_end_matches('=')] {
            assert_eq!(retry_info(text), Some(Duration::from_millis(3500)), "{text}");
        }
        assert_eq!(retry_info(&testing::details(-3, -5)), Some(Duration::ZERO));
        for other in ["", "!", &BASE64.encode(Status { details: vec![] }.encode_to_vec())] {
            assert_eq!(retry_info(other), None, "{other}");
        }
    }

    #[test]
    fn the_prefix_says_whether_and_how_long() {
        assert_eq!(body(b"\x0aabc", Encoding::Identity).as_ref(), b"\0\0\0\0\x04\x0aabc");
        assert_eq!(body(b"\x1f\x8b", Encoding::Gzip)[0], 1);
        assert_eq!(unframed(&Bytes::from_static(b"\0\0\0\0\x02ok")).as_ref(), b"ok");
        for bad in [&b""[..], b"\0\0", b"\x01\0\0\0\x02ok"] {
            assert!(unframed(&Bytes::from_static(bad)).is_empty());
        }
    }
}
