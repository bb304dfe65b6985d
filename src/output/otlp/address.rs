//! Where requests go and with which headers, checked before anything is sent. Errors never repeat what they refuse: a
//! password or a key may stand in it.

use std::collections::BTreeMap;

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::OtlpError;

const METRICS_PATH: &str = "/v1/metrics";

/// The method of the service, which is all of a path that gRPC has.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A receiver's address (opentelemetry-specification, protocol/exporter.md, endpoint URLs for OTLP/HTTP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The base of all signals: `/v1/metrics` is appended unless it is there.
    Base(String),
    /// The address of the metrics, used as it is.
    Exact(String),
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Base("http://localhost:4318".to_owned())
    }
}

/// By which way an endpoint is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// A path over HTTP.
    #[default]
    Http,
    /// The service of gRPC.
    Grpc {
        /// Whether an address that names no scheme is one without TLS.
        insecure: bool,
    },
}

/// The full address of the metrics.
pub(super) fn address(endpoint: &Endpoint, route: Route) -> Result<String, OtlpError> {
    let (Endpoint::Base(text) | Endpoint::Exact(text)) = endpoint;
    let text = match route {
        Route::Grpc { insecure } if !text.contains("://") => {
            format!("{}://{}", if insecure { "http" } else { "https" }, text.trim())
        }
        _ => text.trim().to_owned(),
    };
    let uri: Uri = text.parse().map_err(|_| OtlpError::Endpoint("is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(OtlpError::Endpoint("must begin with http:// or https://"));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(OtlpError::Endpoint("holds a user or password, which belongs into otlp.headers"));
    }
    let port = authority.strip_prefix(uri.host().unwrap_or_default()).unwrap_or_default();
    if port.len() > 1 && uri.port().is_none() {
        return Err(OtlpError::Endpoint("has a port that is no number up to 65535"));
    }
    if uri.query().is_some() {
        return Err(OtlpError::Endpoint("holds a query, which OTLP does not have"));
    }
    let text = uri.to_string();
    if matches!(route, Route::Grpc { .. }) {
        return match uri.path() {
            "/" | "" => Ok(format!("{}{GRPC_PATH}", text.trim_end_matches('/'))),
            _ => Err(OtlpError::Endpoint("holds a path, which gRPC does not have")),
        };
    }
    let base = text.trim_end_matches('/');
    Ok(match endpoint {
        Endpoint::Exact(_) => text,
        Endpoint::Base(_) if uri.path().trim_end_matches('/').ends_with(METRICS_PATH) => base.to_owned(),
        Endpoint::Base(_) => format!("{base}{METRICS_PATH}"),
    })
}

pub(super) fn headers(config: &BTreeMap<String, SecretString>) -> Result<HeaderMap, OtlpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in config {
        let refused = || OtlpError::Header(name.clone());
        let key: HeaderName = name.parse().map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_path_is_appended_once() {
        for (base, expected) in [
            ("http://a:4318", "http://a:4318/v1/metrics"),
            ("http://a:4318/", "http://a:4318/v1/metrics"),
            ("https://a/api/v1/otlp", "https://a/api/v1/otlp/v1/metrics"),
            ("http://a/v1/metrics", "http://a/v1/metrics"),
            ("http://a/v1/metrics/", "http://a/v1/metrics"),
            ("http://v1/metrics", "http://v1/metrics/v1/metrics"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/metrics"),
            ("http://a:", "http://a:/v1/metrics"),
            ("http://a/%7Bx%7D//", "http://a/%7Bx%7D/v1/metrics"),
        ] {
            assert_eq!(address(&Endpoint::Base(base.to_owned()), Route::Http).unwrap(), expected);
        }
        assert_eq!(address(&Endpoint::Exact("http://a:4318".to_owned()), Route::Http).unwrap(), "http://a:4318/");
        let bad = ["collector:4318", "ftp://a", "", "http://user:pw@a:4318", "http://a/?key=pw", "http://u:pw@my_h x"];
        // The client would take port 80 in the place of these, and bring the key there.
        let ports = ["http://a:431800", "http://a:o4318", "http://[::1]:65536", "http://a:-1/x"];
        for bad in bad.into_iter().chain(ports) {
            let error = address(&Endpoint::Base(bad.to_owned()), Route::Http).unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
            assert_eq!(error.contains("a port that is no number"), ports.contains(&bad), "{bad}: {error}");
        }
    }

    #[test]
    fn grpc_has_one_path_and_may_leave_out_the_scheme() {
        for (text, insecure, expected) in [
            ("http://a:4317", false, Some("http://a:4317")),
            ("https://a:4317/", true, Some("https://a:4317")),
            ("a:4317", true, Some("http://a:4317")),
            (" a:4317", false, Some("https://a:4317")),
            ("[::1]:4317", true, Some("http://[::1]:4317")),
            ("a:70000", true, None),
            ("http://a:4317/v1/metrics", false, None),
            ("ftp://a", false, None),
            ("u:pw@a:4317", false, None),
        ] {
            let found = address(&Endpoint::Base(text.to_owned()), Route::Grpc { insecure }).ok();
            assert_eq!(found, expected.map(|base| format!("{base}{GRPC_PATH}")), "{text}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_refused_by_name() {
        for (name, value) in [("api key", "k"), ("authorization", "Bearer hunter2\n")] {
            let config = BTreeMap::from([(name.to_owned(), SecretString::from(value))]);
            let error = headers(&config).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }
}
