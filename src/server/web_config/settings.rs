//! The keys of the exporter-toolkit's web configuration file, and what each may hold.
//!
//! Pure: it reads a text and no file. The order of the keys, their defaults and their checks are those of the toolkit's
//! `web/tls_config.go` and `web/handler.go` (v0.20); what it takes and this server cannot do is refused by name. The next
//! key is a field here, and its effect in the file of its kind.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::names::{Curve, Suite, Version};
use crate::yaml;

/// What stands in a web configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSettings {
    /// TLS.
    #[serde(deserialize_with = "or_default")]
    pub(super) tls_server_config: TlsSettings,
    /// HTTP.
    #[serde(deserialize_with = "or_default")]
    pub(super) http_server_config: HttpSettings,
    /// The bcrypt hashes of passwords by the names of their users.
    #[serde(deserialize_with = "or_default")]
    pub(super) basic_auth_users: BTreeMap<String, SecretString>,
    /// How often requests may come, from all clients together.
    #[serde(deserialize_with = "or_default")]
    pub(super) rate_limit: RateSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSettings {
    pub(super) cert: Option<String>,
    pub(super) key: Option<SecretString>,
    pub(super) client_ca: Option<String>,
    pub(super) cert_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_ca_file: Option<String>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) cipher_suites: Option<Vec<Suite>>,
    pub(super) curve_preferences: Option<Vec<Curve>>,
    pub(super) min_version: Option<Version>,
    pub(super) max_version: Option<Version>,
    /// Taken and without effect, as in the toolkit.
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSettings {
    pub(super) http2: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    headers: Headers,
}

/// The headers that may be set; the toolkit keeps the set small, so that all exporters answer alike.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Headers {
    #[serde(rename = "Strict-Transport-Security")]
    strict_transport_security: Option<String>,
    #[serde(rename = "X-Content-Type-Options")]
    content_type_options: Option<String>,
    #[serde(rename = "X-Frame-Options")]
    frame_options: Option<String>,
    #[serde(rename = "X-XSS-Protection")]
    xss_protection: Option<String>,
    #[serde(rename = "Content-Security-Policy")]
    content_security_policy: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateSettings {
    /// The time between two requests; zero for no limit.
    #[serde(deserialize_with = "interval")]
    pub(super) interval: Duration,
    /// How many may come at once; with none, all are refused.
    #[serde(deserialize_with = "or_default")]
    pub(super) burst: u32,
}

/// A text that is no web configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSettings {
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// Values are wrong, or do not go together.
    #[error("{0}")]
    Value(String),
}

impl WebSettings {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// If a key is unknown, or a value none that can be kept.
    pub fn parse(text: &str) -> Result<Self, BadSettings> {
        let refused = |yaml::Refusal { line, problem }| BadSettings::Line { line, problem };
        let settings: Self = yaml::read(text).map_err(refused)?;
        settings.headers().map_err(BadSettings::Value)?;
        settings.tls_server_config.check(settings.is_http2()).map_err(BadSettings::Value)?;
        Ok(settings)
    }

    /// Whether HTTP/2 is offered to those who come by TLS.
    pub(super) fn is_http2(&self) -> bool {
        self.http_server_config.http2.unwrap_or(true)
    }

    /// The headers of every answer; those left blank are not set.
    pub(super) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let Headers {
            strict_transport_security,
            content_type_options,
            frame_options,
            xss_protection,
            content_security_policy,
        } = &self.http_server_config.headers;
        let all: [(HeaderName, &str, &Option<String>, &[&str]); 5] = [
            (http::header::STRICT_TRANSPORT_SECURITY, "Strict-Transport-Security", strict_transport_security, &[]),
            (http::header::X_CONTENT_TYPE_OPTIONS, "X-Content-Type-Options", content_type_options, &["nosniff"]),
            (http::header::X_FRAME_OPTIONS, "X-Frame-Options", frame_options, &["deny", "sameorigin"]),
            (http::header::X_XSS_PROTECTION, "X-XSS-Protection", xss_protection, &[]),
            (http::header::CONTENT_SECURITY_POLICY, "Content-Security-Policy", content_security_policy, &[]),
        ];
        let mut set = Vec::new();
        for (header, name, value, allowed) in all {
            let Some(value) = value else { continue };
            if !allowed.is_empty() && !allowed.contains(&value.as_str()) {
                return Err(format!("the header {name} may be {}, nothing else", allowed.join(" or ")));
            }
            let text = HeaderValue::from_str(value)
                .map_err(|_| format!("the header {name} holds what no header can; write it in one line of ASCII"))?;
            if !value.is_empty() {
                set.push((header, text));
            }
        }
        Ok(set)
    }
}

/// What is set and not blank.
pub(super) fn filled(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| !value.is_empty())
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

/// A duration as Go writes it, or 0. A bare number would be nanoseconds in the toolkit, which nobody means.
fn interval<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let Some(text) = Option::<String>::deserialize(value)? else { return Ok(Duration::ZERO) };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let read = jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(&text).ok();
    let problem = "interval is no duration; write 250ms, 1s or 1m30s, or 0 for no limit";
    read.filter(|read| *read <= yaml::LONGEST).ok_or_else(|| serde::de::Error::custom(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        WebSettings::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        for text in
            ["", "# nothing\n", "---\n", "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n"]
        {
            let settings = WebSettings::parse(text).unwrap();
            assert!(!settings.tls_server_config.is_on() && settings.is_http2() && settings.basic_auth_users.is_empty());
            assert_eq!((settings.rate_limit, settings.headers()), (RateSettings::default(), Ok(Vec::new())));
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
        assert_eq!(
            refused("tls_server_config:\n  cert_filse: a\n"),
            "line 2: unknown key cert_filse; did you mean cert_file?"
        );
        assert!(refused("http_server_config:\n  headers:\n    Content-Type: foo\n").starts_with("line 3: unknown key"));
        assert!(refused("http_server_config: { headers: { x-frame-options: deny } }\n").contains("X-Frame-Options"));
    }

    #[test]
    fn headers_are_checked_as_the_toolkit_checks_them() {
        let headers = |text: &str| WebSettings::parse(&format!("http_server_config: {{ headers: {{ {text} }} }}\n"));
        for (text, part) in [
            ("X-Frame-Options: foo", "X-Frame-Options may be deny or sameorigin"),
            ("X-Frame-Options: ''", "X-Frame-Options may be"),
            ("X-Content-Type-Options: sniff", "may be nosniff"),
            ("Content-Security-Policy: \"a\\nb\"", "in one line"),
        ] {
            let error = headers(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let set = headers("X-XSS-Protection: 1, Content-Security-Policy: ''").unwrap().headers().unwrap();
        assert_eq!(set, [(http::header::X_XSS_PROTECTION, HeaderValue::from_static("1"))]);
    }

    #[test]
    fn an_interval_is_a_duration_with_its_unit() {
        for (text, expected) in
            [("0", 0), ("0s", 0), ("1s", 1000), ("\"1m30s\"", 90_000), ("250ms", 250), ("1.5h", 5_400_000)]
        {
            let settings = WebSettings::parse(&format!("rate_limit: {{ interval: {text}, burst: 3 }}\n")).unwrap();
            let expected = RateSettings { interval: Duration::from_millis(expected), burst: 3 };
            assert_eq!(settings.rate_limit, expected, "{text}");
        }
        for text in ["1", "-1s", "soon", "[]", "18446744073709551615s"] {
            let error = refused(&format!("rate_limit:\n  interval: {text}\n"));
            assert!(error.starts_with("line 2: "), "{error}");
        }
        assert!(refused("rate_limit: { burst: -1 }\n").starts_with("line 1: "));
    }

    #[test]
    fn yaml_is_read_as_go_reads_it() {
        for (text, is_on) in [("yes", true), ("no", false), ("off", false), ("true", true), ("", true)] {
            let settings = WebSettings::parse(&format!("http_server_config: {{ http2: {text} }}\n")).unwrap();
            assert_eq!(settings.is_http2(), is_on, "{text}");
        }
        let settings = WebSettings::parse("basic_auth_users: { 4711: x }\n").unwrap();
        assert!(settings.basic_auth_users.contains_key("4711"));
    }

    #[test]
    fn no_secret_is_told() {
        for text in [
            "basic_auth_users: hunter2\n",
            "basic_auth_users: { a: [hunter2] }\n",
            "tls_server_config: { key hunter2 }\n",
            "tls_server_config: { key: { hunter2: 1 } }\n",
            "tls_server_config:\n  key hunter2\n",
        ] {
            let error = refused(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
        let settings = WebSettings::parse("basic_auth_users: { a: hunter2 }\ntls_server_config: { key: hunter2 }\n");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
