//! How bodies are compressed.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use serde::Deserialize;

/// The compressions of OTLP bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Every receiver takes it.
    #[default]
    Gzip,
    /// Smaller and faster; the Collector takes it, Prometheus does not.
    Zstd,
    /// As they are.
    None,
}

impl Compression {
    /// Compresses a body; one that will not be compressed stays as it is, and says so by its first bytes.
    pub(super) fn compress(self, body: Vec<u8>) -> Vec<u8> {
        let packed = match self {
            Self::Gzip => gzip(&body),
            Self::Zstd => zstd::bulk::compress(&body, zstd::DEFAULT_COMPRESSION_LEVEL),
            Self::None => return body,
        };
        packed.unwrap_or(body)
    }
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
