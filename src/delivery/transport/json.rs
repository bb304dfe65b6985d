//! `http/json`: the message in OTLP's own JSON (lowerCamelCase keys, integer enums, 64-bit integers as texts).
//!
//! The mapping is that of the official crate of the messages; its one slip, an attribute without a value, does not occur
//! here, for the registry's attributes have values.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::Encoding;

/// The protobuf `body` as JSON, compressed as it was. On a thread that may take its time: how much it becomes is not seen
/// from outside, and megabytes of JSON come from some kilobytes.
pub(super) async fn body(protobuf: &Bytes, encoding: Encoding) -> Result<Bytes, String> {
    let protobuf = protobuf.clone();
    match tokio::task::spawn_blocking(move || rewrite(&protobuf, encoding)).await {
        Ok(body) => body,
        Err(error) if error.is_panic() => Err(error.to_string()),
        // The process is at its end, and what becomes of the batch is not decided here.
        Err(_) => std::future::pending().await,
    }
}

fn rewrite(body: &[u8], encoding: Encoding) -> Result<Bytes, String> {
    let plain = encoding.unpack(body).map_err(|error| error.to_string())?;
    let message = ExportMetricsServiceRequest::decode(&*plain).map_err(|error| error.to_string())?;
    let json = serde_json::to_vec(&message).map_err(|error| error.to_string())?;
    encoding.pack(json).map(Bytes::from).map_err(|error| error.to_string())
}
