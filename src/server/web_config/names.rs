//! The names that Go gives to cipher suites, curves and versions of TLS, and what rustls has for them.
//!
//! A name that Go knows and rustls does not have is refused as that: left out in silence, it would leave an operator with
//! other TLS than the file says.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::kx_group;
use rustls::{CipherSuite, SupportedProtocolVersion, version};
use serde::Deserialize;

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Suite(pub(super) CipherSuite);

/// The suites of TLS 1.3 stand here because Go lets them be named; they are always on.
const SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

impl Suite {
    /// Whether HTTP/2 can do with it: RFC 9113, 9.2.2 asks for the first, Go for one of both.
    pub(super) fn is_http2s(self) -> bool {
        let needed =
            [CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
        needed.contains(&self.0)
    }
}

impl TryFrom<String> for Suite {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = SUITES.iter().find(|(known, _)| *known == name);
        known.map(|(_, suite)| Self(*suite)).ok_or_else(|| {
            let cause =
                if name.contains("_CBC_") { "the TLS library has no CBC suites" } else { "there is no such suite" };
            refusal("cipher suite", &name, cause, SUITES.iter().map(|(name, _)| *name))
        })
    }
}

/// A group for the exchange of keys.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Curve(pub(super) &'static dyn SupportedKxGroup);

const CURVES: [(&str, &dyn SupportedKxGroup); 3] =
    [("X25519", kx_group::X25519), ("CurveP256", kx_group::SECP256R1), ("CurveP384", kx_group::SECP384R1)];

impl TryFrom<String> for Curve {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = CURVES.iter().find(|(known, _)| *known == name);
        known.map(|(_, group)| Self(*group)).ok_or_else(|| {
            let cause = if name == "CurveP521" { "the TLS library does not have it" } else { "there is no such curve" };
            refusal("curve", &name, cause, CURVES.iter().map(|(name, _)| *name))
        })
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Version {
    Tls12,
    Tls13,
}

impl Version {
    pub(super) const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLS12",
            Self::Tls13 => "TLS13",
        }
    }

    pub(super) fn supported(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &version::TLS12,
            Self::Tls13 => &version::TLS13,
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::ALL.into_iter().find(|version| version.name() == name).ok_or_else(|| {
            let is_old = ["TLS10", "TLS11"].contains(&name.as_str());
            let cause = if is_old { "the TLS library no longer speaks it" } else { "there is no such version" };
            refusal("TLS version", &name, cause, Self::ALL.into_iter().map(Self::name))
        })
    }
}

fn refusal<'a>(kind: &str, name: &str, cause: &str, taken: impl Iterator<Item = &'a str>) -> String {
    // A name that is none may be anything, a secret in the wrong place among it.
    let is_name = !name.is_empty() && name.len() < 60 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = if is_name { format!(" {name}") } else { String::new() };
    format!("{kind}{name}: {cause}; taken are {}", taken.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_the_librarys() {
        let provider = rustls::crypto::ring::default_provider();
        for (name, suite) in SUITES {
            assert!(provider.cipher_suites.iter().any(|has| has.suite() == suite), "{name}");
            let theirs = format!("{suite:?}").replace("TLS13_", "TLS_");
            assert_eq!(name, theirs);
        }
        assert_eq!(provider.cipher_suites.len(), SUITES.len());
        assert_eq!(provider.kx_groups.len(), CURVES.len());
    }

    #[test]
    fn what_the_library_lacks_is_refused_by_name() {
        let suite = |name: &str| Suite::try_from(name.to_owned()).unwrap_err();
        let cbc = suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA");
        assert!(
            cbc.starts_with("cipher suite TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: the TLS library has no CBC"),
            "{cbc}"
        );
        assert!(cbc.contains("TLS_AES_128_GCM_SHA256"), "{cbc}");
        assert!(suite("TLS_WISH").contains("no such suite"));
        assert!(!suite("hunter 2").contains("hunter"));
        assert!(Curve::try_from("CurveP521".to_owned()).unwrap_err().contains("does not have it"));
        assert!(Version::try_from("TLS11".to_owned()).unwrap_err().contains("no longer speaks it"));
    }
}
