//! API keys: who may read the JSON, and a guarded scrape page.
//!
//! Only digests are held. A candidate is hashed and compared with every key in constant time, so that neither the
//! answer's time nor a look into memory tells a key. Without keys nobody is let in. This module knows headers, not
//! routes; another way to present a key is one more line in [`candidates`], another thing to open one more [`Scope`].
//! Which keys are in force, and what became of those who showed one, stands in [`ring`]; files of keys in [`list`].

mod list;
mod ring;

pub use list::BadLine;
pub use ring::Keys;
pub(super) use ring::Refusal;

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;
use serde::Deserialize;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::clock::Wall;
use crate::secret::key::{digest, digest_of};

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The documented JSON.
    Telemetry,
    /// The scrape page and the page for people, where they are guarded.
    Metrics,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Telemetry, Self::Metrics];

    /// Its name in the configuration, and the realm of what it opens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Metrics => "metrics",
        }
    }
}

/// A named key. The name is for people, logs and figures; the key itself is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What the configuration calls it.
    pub name: String,
    digest: [u8; 32],
    scopes: Vec<Scope>,
    expires: Option<Wall>,
}

/// A digest that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("api key {name:?}: sha256 must be 64 hexadecimal digits; make one with: linkit-bridge key hash < FILE")]
pub struct BadDigest {
    name: String,
}

impl ApiKey {
    /// The key itself. White space around it is left out, as no header can carry it.
    #[must_use]
    pub fn from_secret(name: impl Into<String>, secret: &SecretString) -> Self {
        Self::of(name.into(), digest_of(secret))
    }

    /// The key by its SHA-256 in hexadecimal, with or without `sha256:` in front.
    ///
    /// # Errors
    /// If it is not 64 hexadecimal digits.
    pub fn from_sha256_hex(name: impl Into<String>, hex: &str) -> Result<Self, BadDigest> {
        let name = name.into();
        let hex = hex.trim();
        match unhex(hex.strip_prefix("sha256:").unwrap_or(hex)) {
            Some(digest) => Ok(Self::of(name, digest)),
            None => Err(BadDigest { name }),
        }
    }

    /// A key that opens the JSON for ever.
    fn of(name: String, digest: [u8; 32]) -> Self {
        Self { name, digest, scopes: vec![Scope::Telemetry], expires: None }
    }

    /// The same key for other things than the JSON alone.
    #[must_use]
    pub fn with_scopes(mut self, scopes: &[Scope]) -> Self {
        self.scopes = scopes.to_vec();
        self
    }

    /// The same key, refused from `expires` on.
    #[must_use]
    pub const fn expiring(mut self, expires: Option<Wall>) -> Self {
        self.expires = expires;
        self
    }

    /// Whether it is not yet expired.
    #[must_use]
    pub fn is_live(&self, now: Wall) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it opens this.
    #[must_use]
    pub fn opens(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// From when on a key is refused: a day, from its 00:00 UTC on, or a time by RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Expiry(pub Wall);

impl TryFrom<String> for Expiry {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_day = text.len() == "2027-01-31".len();
        let time = if is_day { format!("{text}T00:00:00Z") } else { text };
        let wall = Wall::parse_rfc3339(&time);
        wall.map(Self).ok_or("not a date; write 2027-01-31, which is its 00:00 UTC, or 2027-01-31T18:00:00Z")
    }
}

/// What the keys say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The key at this place opens what is asked for.
    Granted(usize),
    /// It shows a good key, which does not open this.
    OutOfScope,
    /// It shows a key that has expired.
    Expired,
    /// It shows what is no key.
    Wrong,
    /// It shows nothing.
    Missing,
}

/// What a request with these headers may do, by any of the keys. Every candidate meets every key, whatever is found.
fn judge(keys: &[ApiKey], headers: &HeaderMap, scope: Scope, now: Wall) -> Verdict {
    let none = Choice::from(0);
    let (mut known, mut live, mut granted, mut place) = (none, none, none, 0_u32);
    let mut is_shown = false;
    for candidate in candidates(headers) {
        is_shown = true;
        let candidate = digest(candidate);
        for (at, key) in (0..).zip(keys) {
            let is_it = key.digest.ct_eq(&candidate);
            let is_live = is_it & Choice::from(u8::from(key.is_live(now)));
            let opens = is_live & Choice::from(u8::from(key.opens(scope)));
            known |= is_it;
            live |= is_live;
            granted |= opens;
            place.conditional_assign(&at, opens);
        }
    }
    if granted.into() {
        // A place of at most the number of keys, which are in memory.
        Verdict::Granted(usize::try_from(place).unwrap_or(usize::MAX))
    } else if live.into() {
        Verdict::OutOfScope
    } else if known.into() {
        Verdict::Expired
    } else if is_shown {
        Verdict::Wrong
    } else {
        Verdict::Missing
    }
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
mod tests;
