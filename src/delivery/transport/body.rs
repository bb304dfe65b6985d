//! How a body is compressed, told from the body itself: it may have waited since before the setting was changed.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The compressions of OTLP bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// gzip and zstd start with their marks, a message with the tag of its first field.
    pub(in crate::delivery) fn of(body: &[u8]) -> Self {
        if body.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else {
            Self::Identity
        }
    }

    /// Its name in `Content-Encoding` and in `grpc-encoding`; `None` for what is not compressed, which some receivers
    /// refuse to hear named.
    pub(in crate::delivery) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    pub(in crate::delivery) fn unpack(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        match self {
            Self::Identity => plain.extend_from_slice(body),
            Self::Gzip => drop(GzDecoder::new(body).read_to_end(&mut plain)?),
            Self::Zstd => drop(zstd::Decoder::new(body)?.read_to_end(&mut plain)?),
        }
        Ok(plain)
    }

    pub(in crate::delivery) fn pack(self, plain: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(plain),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
                encoder.write_all(&plain)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(&plain, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_how_it_is_compressed_and_is_the_same_after() {
        let plain = b"\x0athe message".to_vec();
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let packed = encoding.pack(plain.clone()).unwrap();
            assert_eq!((Encoding::of(&packed), encoding.unpack(&packed).unwrap()), (encoding, plain.clone()));
        }
        assert_eq!(Encoding::of(b""), Encoding::Identity);
        assert!(Encoding::Gzip.unpack(b"\x1f\x8bcut").is_err());
    }
}
