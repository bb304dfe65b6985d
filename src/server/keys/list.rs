//! A file of keys, one a line: `NAME:sha256:HEX`, then, apart, `expires=2027-01-31` and `scopes=telemetry,metrics`.
//!
//! Pure: a text in, keys out. The next thing a line may say is one more arm in [`option`]. Errors name the line and
//! never quote it, for somebody may have written a key there.

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

use super::{ApiKey, Expiry, Scope};

/// A line of a file of keys that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// The line, from 1.
    line: usize,
    problem: &'static str,
}

impl ApiKey {
    /// The keys of a list. Empty lines, and those that begin with `#`, say nothing.
    ///
    /// # Errors
    /// If a line is no key, names a second one as it names the first, or there is none at all.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, BadLine> {
        let mut keys: Vec<Self> = Vec::new();
        let lines = (1..).zip(text.trim_start_matches('\u{feff}').lines().map(str::trim));
        for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
            let key = parse(text).map_err(|problem| BadLine { line, problem })?;
            if keys.iter().any(|held| held.name == key.name) {
                return Err(BadLine { line, problem: "its name stands in a line above; name each key after its user" });
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(BadLine { line: 1, problem: "there is no key in the file; remove the setting to have none" });
        }
        Ok(keys)
    }
}

fn parse(line: &str) -> Result<ApiKey, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (name, digest) = words.next().and_then(|word| word.split_once(':')).ok_or(
        "it must begin with NAME:sha256:HEX; make such a line with: linkit-bridge key hash --name NAME < FILE",
    )?;
    if name.is_empty() || !digest.starts_with("sha256:") {
        return Err("it must begin with NAME:sha256:HEX, the name without spaces and colons");
    }
    let key = ApiKey::from_sha256_hex(name, digest).map_err(|_| "the digest must be 64 hexadecimal digits")?;
    words.try_fold(key, option)
}

fn option(key: ApiKey, word: &str) -> Result<ApiKey, &'static str> {
    match word.split_once('=') {
        Some(("expires", text)) => Ok(key.expiring(Some(Expiry::try_from(text.to_owned())?.0))),
        Some(("scopes", text)) => {
            let scope = |name: &str| {
                let name: StrDeserializer<'_, Error> = name.into_deserializer();
                Scope::deserialize(name).map_err(|_| "scopes are telemetry and metrics, separated by commas alone")
            };
            Ok(key.with_scopes(&text.split(',').map(scope).collect::<Result<Vec<_>, _>>()?))
        }
        _ => Err("after the digest only expires=… and scopes=… may stand"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;

    const HEX: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_line_is_a_key_with_its_options_in_any_order() {
        let text = format!(
            "\u{feff}# keys of the shop\n\nops:sha256:{HEX}\r\n  ci:sha256:{HEX}  scopes=metrics,telemetry   expires=2027-01-31\n\
             guest:sha256:{} expires=2027-01-31T12:00:00+02:00",
            HEX.to_uppercase()
        );
        let keys = ApiKey::parse_list(&text).unwrap();
        let key = |name: &str| ApiKey::from_sha256_hex(name, HEX).unwrap();
        let expires = |text: &str| Wall::parse_rfc3339(text);
        assert_eq!(
            keys,
            [
                key("ops"),
                key("ci").with_scopes(&[Scope::Metrics, Scope::Telemetry]).expiring(expires("2027-01-31T00:00:00Z")),
                key("guest").expiring(expires("2027-01-31T10:00:00Z")),
            ]
        );
    }

    #[test]
    fn what_is_no_list_is_refused_by_its_line_and_never_quoted() {
        for (text, line) in [
            ("", 1),
            ("# none\n", 1),
            ("hunter2\n", 1),
            ("ops:hunter2\n", 1),
            ("# a\nops:sha256:hunter2\n", 2),
            (":sha256:HEX\n", 1),
            ("ops:sha256:HEX\nops:sha256:HEX\n", 2),
            ("ops:sha256:HEX\n\nci:md5:HEX\n", 3),
            ("ops:sha256:HEX hunter2\n", 1),
            ("ops:sha256:HEX expires=hunter2\n", 1),
            ("ops:sha256:HEX expires=2027-02-30\n", 1),
            ("ops:sha256:HEX expires\n", 1),
            ("ops:sha256:HEX scopes=\n", 1),
            ("ops:sha256:HEX scopes=hunter2\n", 1),
            ("ops:sha256:HEX scopes=telemetry, metrics\n", 1),
        ] {
            let error = ApiKey::parse_list(&text.replace("HEX", HEX)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(HEX), "{error}");
        }
    }
}
