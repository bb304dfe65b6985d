//! Content encoding: what the client may be sent, and a body that is compressed at most once in each coding.

use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// The codings there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

/// A rendered body with its compressed twins, each made when a client first asks for it.
#[derive(Debug)]
pub(super) struct Body {
    plain: Bytes,
    gzip: OnceLock<Option<Bytes>>,
    zstd: OnceLock<Option<Bytes>>,
}

impl Body {
    /// A body of these bytes.
    pub(super) fn new(plain: impl Into<Bytes>) -> Self {
        Self { plain: plain.into(), gzip: OnceLock::new(), zstd: OnceLock::new() }
    }

    /// The bytes as they were rendered.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The bytes to send, and the `Content-Encoding` they need.
    pub(super) fn for_client(&self, headers: &HeaderMap) -> (Bytes, Option<HeaderValue>) {
        self.coded(accepted(headers))
    }

    /// The same in a coding that is [accepted].
    pub(super) fn coded(&self, coding: Option<Coding>) -> (Bytes, Option<HeaderValue>) {
        let (compressed, name) = match coding {
            Some(Coding::Gzip) => (self.gzip.get_or_init(|| gzip(&self.plain)), "gzip"),
            Some(Coding::Zstd) => (self.zstd.get_or_init(|| zstd(&self.plain)), "zstd"),
            None => (&None, ""),
        };
        match compressed {
            Some(bytes) => (bytes.clone(), Some(HeaderValue::from_static(name))),
            None => (self.plain.clone(), None),
        }
    }
}

/// Compressed fast: a page is rendered anew each second at most, and the wire is mostly local.
fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn zstd(plain: &[u8]) -> Option<Bytes> {
    const FAST: i32 = 1;
    zstd::bulk::compress(plain, FAST).ok().map(Bytes::from)
}

/// The coding that is acceptable and not less wanted than another or none (RFC 9110, 12.5.3); `*` means gzip, which all
/// who write it can read. What cannot be read counts as refused: a body without encoding is right for every client.
pub(super) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let (mut gzip, mut zstd, mut any, mut identity) = (None, None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.next().map_or(1.0, quality);
        match name.as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "zstd" => zstd = Some(quality),
            "*" => any = Some(quality),
            "identity" => identity = Some(quality),
            _ => {}
        }
    }
    let (gzip, zstd): (f32, f32) = (gzip.or(any).unwrap_or(0.0), zstd.unwrap_or(0.0));
    let (coding, quality) = if zstd >= gzip { (Coding::Zstd, zstd) } else { (Coding::Gzip, gzip) };
    (quality > 0.0 && quality >= identity.unwrap_or(0.0)).then_some(coding)
}

fn quality(parameter: &str) -> f32 {
    let value = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    value.and_then(|(_, value)| value.trim().parse().ok()).filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (ACCEPT_ENCODING, value.parse().unwrap())).collect()
    }

    #[test]
    fn gzip_only_where_it_is_wanted() {
        for yes in
            ["gzip", "GZIP", "x-gzip", "deflate, gzip;q=0.1", "*", "gzip ; Q=1.0", "br;q=1, *;q=0.5", "gzip,identity"]
        {
            assert_eq!(accepted(&headers(&[yes])), Some(Coding::Gzip), "{yes}");
        }
        for no in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000",
            "*;q=0",
            "gzip;q=0, *",
            "gzip;q=2",
            "gzip;q=x",
            "gzip;q=nan",
        ] {
            assert_eq!(accepted(&headers(&[no])), None, "{no}");
        }
        assert_eq!(accepted(&headers(&["gzip;q=0.2, identity;q=0.9"])), None);
        assert_eq!(accepted(&headers(&["br", "gzip"])), Some(Coding::Gzip));
        assert_eq!(accepted(&headers(&[])), None);
    }

    #[test]
    fn a11_zstd_only_where_it_is_named() {
        for (value, expected) in [
            ("zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("Zstd;q=0.5, gzip;q=0.4", Some(Coding::Zstd)),
            ("zstd;q=0.4, gzip;q=0.5", Some(Coding::Gzip)),
            ("zstd;q=0, *", Some(Coding::Gzip)),
            ("zstd;q=0", None),
            ("zstd;q=0.1, identity", None),
        ] {
            assert_eq!(accepted(&headers(&[value])), expected, "{value}");
        }
    }

    #[test]
    fn a_body_is_compressed_once_in_each_coding() {
        let body = Body::new("figure 1\n".repeat(500));
        let (plain, none) = body.for_client(&headers(&[]));
        assert_eq!(none, None);
        for coding in ["gzip", "zstd"] {
            let (first, said) = body.for_client(&headers(&[coding]));
            let (second, _) = body.for_client(&headers(&[coding]));
            assert_eq!(said, Some(HeaderValue::from_static(coding)));
            assert_eq!(first.as_ptr(), second.as_ptr());
            let mut text = Vec::new();
            match coding {
                "gzip" => flate2::read::GzDecoder::new(&first[..]).read_to_end(&mut text).unwrap(),
                _ => zstd::stream::read::Decoder::new(&first[..]).unwrap().read_to_end(&mut text).unwrap(),
            };
            assert_eq!(text, plain);
        }
    }
}
