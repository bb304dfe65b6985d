//! API keys: who may read the JSON.
//!
//! Only digests are held. A candidate is hashed and compared with every key in constant time, so that neither the
//! answer's time nor a look into memory tells a key. Without keys nobody is let in. This module knows headers, not
//! routes; another way to present a key is one more line in [`candidates`].

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// A named key. The name is for people and logs; the key itself is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What the configuration calls it.
    pub name: String,
    digest: [u8; 32],
}

/// A digest that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("api key {name:?}: sha256 must be 64 hexadecimal digits; make one with: printf %s KEY | sha256sum")]
pub struct BadDigest {
    name: String,
}

impl ApiKey {
    /// The key itself. White space around it is left out, as no header can carry it.
    #[must_use]
    pub fn from_secret(name: impl Into<String>, secret: &SecretString) -> Self {
        Self { name: name.into(), digest: digest(secret.expose_secret().trim().as_bytes()) }
    }

    /// The key by its SHA-256 in hexadecimal, with or without `sha256:` in front.
    ///
    /// # Errors
    /// If it is not 64 hexadecimal digits.
    pub fn from_sha256_hex(name: impl Into<String>, hex: &str) -> Result<Self, BadDigest> {
        let name = name.into();
        let hex = hex.trim();
        match unhex(hex.strip_prefix("sha256:").unwrap_or(hex)) {
            Some(digest) => Ok(Self { name, digest }),
            None => Err(BadDigest { name }),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a request with these headers presents one of the keys.
pub(super) fn accepts(keys: &[ApiKey], headers: &HeaderMap) -> bool {
    let mut found = Choice::from(0);
    for candidate in candidates(headers) {
        let candidate = digest(candidate);
        for key in keys {
            found |= key.digest.ct_eq(&candidate);
        }
    }
    found.into()
}

/// What the headers present: the bare value of `Authorization`, as documented; what follows `Bearer` in it, because
/// Prometheus cannot send a bare value; and `X-API-Key`. The query string is no place for a key: it ends up in logs.
///
/// An empty candidate is none, so that an empty secret in the configuration opens nothing.
fn candidates(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let value = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    let authorization = value(AUTHORIZATION.as_str());
    let bearer = authorization.and_then(|value| {
        let (scheme, rest) = value.split_at_checked("bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    [authorization, bearer, value("x-api-key")].into_iter().flatten().filter(|candidate| !candidate.is_empty())
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn unhex(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if hex.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k-5f3c9a";

    fn is_accepted(name: &'static str, value: &str) -> bool {
        let keys = [
            ApiKey::from_secret("ops", &SecretString::from(format!("{KEY}\n"))),
            ApiKey::from_secret("empty", &SecretString::from(" ")),
        ];
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        accepts(&keys, &headers)
    }

    fn hex(key: &str) -> String {
        digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_key_is_taken_bare_as_bearer_and_by_its_own_header() {
        assert!(is_accepted("authorization", KEY));
        assert!(is_accepted("authorization", "Bearer k-5f3c9a"));
        assert!(is_accepted("authorization", "bEARER   k-5f3c9a"));
        assert!(is_accepted("x-api-key", KEY));
    }

    #[test]
    fn nothing_else_opens() {
        for value in ["", " ", "k-5f3c9", "k-5f3c9aa", "K-5F3C9A", "Bearer", "Bearer ", "Basic k-5f3c9a", "Bearer x"] {
            assert!(!is_accepted("authorization", value), "{value:?}");
            assert!(!is_accepted("x-api-key", value), "{value:?}");
        }
        assert!(!is_accepted("x-api-key", "Bearer k-5f3c9a"));
        assert!(!is_accepted("cookie", KEY));
        assert!(!accepts(&[], &HeaderMap::from_iter([(AUTHORIZATION, KEY.parse().unwrap())])));
    }

    #[test]
    fn a_digest_is_no_key() {
        let digest = hex(KEY);
        let keys = [ApiKey::from_sha256_hex("ops", &digest).unwrap()];
        for value in [digest.clone(), format!("sha256:{digest}"), format!("Bearer {digest}")] {
            assert!(!accepts(&keys, &HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])), "{value}");
        }
        assert!(accepts(&keys, &HeaderMap::from_iter([(AUTHORIZATION, KEY.parse().unwrap())])));
    }

    #[test]
    fn a_key_that_looks_like_a_scheme_works_as_documented() {
        let keys = [ApiKey::from_secret("odd", &SecretString::from("Bearer of bad news"))];
        let headers = HeaderMap::from_iter([(AUTHORIZATION, "Bearer of bad news".parse().unwrap())]);
        assert!(accepts(&keys, &headers));
    }

    #[test]
    fn a_digest_reads_in_either_case_with_or_without_its_prefix() {
        let key = ApiKey::from_secret("ops", &SecretString::from(KEY));
        let digest = hex(KEY);
        for text in [digest.clone(), digest.to_uppercase(), format!("sha256:{digest}"), format!(" {digest}\n")] {
            assert_eq!(ApiKey::from_sha256_hex("ops", &text), Ok(key.clone()));
        }
        let short = &digest[2..];
        for bad in ["", "sha256:", short, &format!("{short}zz"), &format!("{short}é"), &format!("md5:{digest}")] {
            let error = ApiKey::from_sha256_hex("ops", bad).unwrap_err().to_string();
            assert!(error.contains("\"ops\"") && error.contains("64 hexadecimal"), "{error}");
        }
    }

    #[test]
    fn debug_shows_the_name_alone() {
        let key = ApiKey::from_secret("ops", &SecretString::from(KEY));
        assert_eq!(format!("{key:?}"), "ApiKey { name: \"ops\", .. }");
    }
}
