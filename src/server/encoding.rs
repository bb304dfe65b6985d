//! Content encoding: whether the client may be sent gzip, and a body that is compressed at most once.

use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// A rendered body with its compressed twin, which is made when a client first asks for it.
#[derive(Debug)]
pub(super) struct Body {
    plain: Bytes,
    gzip: OnceLock<Option<Bytes>>,
}

impl Body {
    /// A body of these bytes.
    pub(super) fn new(plain: impl Into<Bytes>) -> Self {
        Self { plain: plain.into(), gzip: OnceLock::new() }
    }

    /// The bytes to send, and the `Content-Encoding` they need.
    pub(super) fn for_client(&self, headers: &HeaderMap) -> (Bytes, Option<HeaderValue>) {
        if accepts_gzip(headers)
            && let Some(gzip) = self.gzip.get_or_init(|| compress(&self.plain))
        {
            return (gzip.clone(), Some(HeaderValue::from_static("gzip")));
        }
        (self.plain.clone(), None)
    }
}

/// Compressed fast: a page is rendered anew each second at most, and the wire is mostly local.
fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether gzip is acceptable and not less wanted than no encoding (RFC 9110, 12.5.3). What cannot be read counts as
/// refused: a body without encoding is right for every client.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.next().map_or(1.0, quality);
        match name.as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "*" => any = Some(quality),
            "identity" => identity = Some(quality),
            _ => {}
        }
    }
    let gzip: f32 = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
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
            assert!(accepts_gzip(&headers(&[yes])), "{yes}");
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
            assert!(!accepts_gzip(&headers(&[no])), "{no}");
        }
        assert!(!accepts_gzip(&headers(&["gzip;q=0.2, identity;q=0.9"])));
        assert!(accepts_gzip(&headers(&["br", "gzip"])));
        assert!(!accepts_gzip(&headers(&[])));
    }

    #[test]
    fn a_body_is_compressed_once() {
        let body = Body::new("figure 1\n".repeat(500));
        let (plain, none) = body.for_client(&headers(&[]));
        let (first, gzip) = body.for_client(&headers(&["gzip"]));
        let (second, _) = body.for_client(&headers(&["gzip"]));
        assert_eq!((none, gzip), (None, Some(HeaderValue::from_static("gzip"))));
        assert_eq!(first.as_ptr(), second.as_ptr());
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&first[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain);
    }
}
