//! `http/json`: the message in OTLP's own JSON (lowerCamelCase keys, integer enums, 64-bit integers as texts).
//!
//! The mapping is that of the official crate of the messages; its one slip, an attribute without a value, does not occur
//! here, for the registry's attributes have values.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::Encoding;

/// The protobuf `body` as JSON, compressed as it was.
pub(super) fn body(body: &[u8], encoding: Encoding) -> Result<Bytes, String> {
    let plain = encoding.unpack(body).map_err(|error| error.to_string())?;
    let message = ExportMetricsServiceRequest::decode(&*plain).map_err(|error| error.to_string())?;
    let json = serde_json::to_vec(&message).map_err(|error| error.to_string())?;
    encoding.pack(json).map(Bytes::from).map_err(|error| error.to_string())
}
