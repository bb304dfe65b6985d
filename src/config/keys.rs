//! The settings of one API key.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use crate::server::{Expiry, Scope};

/// A key: in place, in a file, as its SHA-256, or as a credential of systemd.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyConfig {
    /// Whose key it is, for logs and figures.
    pub name: String,
    /// The key.
    pub key: Option<SecretString>,
    /// A file that holds the key.
    pub key_file: Option<PathBuf>,
    /// The key's SHA-256 in hexadecimal; a secret, for a weak key can be guessed from it.
    pub sha256: Option<SecretString>,
    /// A file that holds the SHA-256.
    pub sha256_file: Option<PathBuf>,
    /// The name of a credential of systemd that holds the key.
    pub credential: Option<String>,
    /// From when on it is refused: a day or a time, UTC; default never.
    pub expires: Option<Expiry>,
    /// What it opens: `telemetry` (default), `metrics`.
    pub scopes: Option<Vec<Scope>>,
}

impl ApiKeyConfig {
    /// What is wrong with it, if anything shows without looking into files.
    pub(super) fn problem(&self) -> Option<String> {
        let Self { name, scopes, .. } = self;
        if name.is_empty() {
            return Some("web.api_keys has a key without name; name each after its user".to_owned());
        }
        let opens_nothing = scopes.as_ref().is_some_and(Vec::is_empty);
        opens_nothing.then(|| {
            format!("web.api_keys, key {name:?}: scopes is empty; name telemetry or metrics, or leave the key out")
        })
    }

    /// This key with the settings of `over` where it has some.
    pub(super) fn overlaid(self, over: Self) -> Self {
        Self {
            name: self.name,
            key: over.key.or(self.key),
            key_file: over.key_file.or(self.key_file),
            sha256: over.sha256.or(self.sha256),
            sha256_file: over.sha256_file.or(self.sha256_file),
            credential: over.credential.or(self.credential),
            expires: over.expires.or(self.expires),
            scopes: over.scopes.or(self.scopes),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(text: &str) -> String {
        Config::parse("bridge.yml", text, &|_| None).unwrap_err().to_string()
    }

    #[test]
    fn what_a_key_is_for_and_how_long_is_checked_where_it_stands() {
        for (key, part) in [
            ("key: k", "a key without name"),
            ("name: a, key: k, scopes: []", "key \"a\": scopes is empty"),
            ("name: a, key: k, scopes: [metric]", "unknown value metric; did you mean metrics?"),
            ("name: a, key: k, expires: tomorrow", "bridge.yml:1: expires: not a date; write 2027-01-31"),
            ("name: a, key: k, expires: 2027-02-30", "bridge.yml:1: expires: not a date; write 2027-01-31"),
            ("name: a, key: k, expire: 2027-01-31", "unknown key expire; did you mean expires?"),
        ] {
            let error = refused(&format!("web: {{ api_keys: [ {{ {key} }} ] }}\n"));
            assert!(error.contains(part), "{key}: {error}");
        }
        let error = refused("web: { metrics_access: opn }\n");
        assert!(error.contains("unknown value opn; did you mean open?"), "{error}");
    }

    #[test]
    fn the_variables_of_one_key_are_one_key() {
        let env = |name: &str| match name {
            "LINKIT_BRIDGE_API_KEY_CREDENTIAL" => Some("bridge".to_owned()),
            "LINKIT_BRIDGE_API_KEY_EXPIRES" => Some("2027-01-31".to_owned()),
            "LINKIT_BRIDGE_API_KEY_SCOPES" => Some("telemetry, metrics".to_owned()),
            _ => None,
        };
        let keys = Config::parse("c", "", &env).unwrap().web.api_keys.unwrap();
        assert_eq!(keys.len(), 1);
        let key = &keys[0];
        assert_eq!((key.name.as_str(), key.credential.as_deref()), ("environment", Some("bridge")));
        assert_eq!(key.expires.unwrap().0.to_rfc3339(), "2027-01-31T00:00:00Z");
        assert_eq!(key.scopes.as_ref().unwrap().len(), 2);
    }
}
