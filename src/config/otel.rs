//! The `OTEL_*` variables that are not the exporter's own business: what the resource says, whether and how often to
//! push (opentelemetry-specification, configuration/sdk-environment-variables.md). Empty counts as unset; a bad
//! number is warned of and ignored, as the specification demands.

use std::time::Duration;

use super::{Env, INTERVALS, OtlpCompression};
use crate::output::otlp::Endpoint;

/// The one protocol there is.
const HTTP_PROTOBUF: &str = "http/protobuf";

/// Longest wait that stands for "no limit".
const NO_LIMIT: Duration = Duration::from_secs(3600);

/// Variables of the specification that have no effect here, which must not go unsaid.
const WITHOUT_EFFECT: [&str; 7] = [
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_CONFIG_FILE",
];

/// What the variables say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Otel {
    /// `OTEL_SDK_DISABLED`, or `OTEL_METRICS_EXPORTER` without `otlp` in its list: nothing is pushed.
    pub disabled: bool,
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT`: where figures are pushed without a
    /// config.
    pub endpoint: Option<Endpoint>,
    /// `OTEL_EXPORTER_OTLP_METRICS_PROTOCOL`, else `OTEL_EXPORTER_OTLP_PROTOCOL`, if it is one that is not there.
    pub unknown_protocol: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES` with `OTEL_SERVICE_NAME` over it.
    pub resource: Vec<(String, String)>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`.
    pub interval: Option<Duration>,
    /// `OTEL_EXPORTER_OTLP_METRICS_TIMEOUT`, else `OTEL_EXPORTER_OTLP_TIMEOUT`; 0 is no limit.
    pub timeout: Option<Duration>,
    /// `OTEL_EXPORTER_OTLP_METRICS_COMPRESSION`, else `OTEL_EXPORTER_OTLP_COMPRESSION`.
    pub compression: Option<OtlpCompression>,
}

impl Otel {
    /// Reads the variables.
    #[must_use]
    pub fn read(env: Env<'_>) -> Self {
        let set = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let signal = |name: &str| {
            let names = ["OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_"].map(|prefix| format!("{prefix}{name}"));
            names.into_iter().filter_map(|name| set(&name).map(|value| (name, value)))
        };
        for name in WITHOUT_EFFECT.iter().filter(|name| set(name).is_some()) {
            tracing::warn!(variable = name, "ignored: what it sets is not there yet");
        }
        let mut resource = set("OTEL_RESOURCE_ATTRIBUTES").map(|text| attributes(&text)).unwrap_or_default();
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name));
        }
        let exports = set("OTEL_METRICS_EXPORTER").is_none_or(|list| list.split(',').any(|name| name.trim() == "otlp"));
        let is_exact = |name: &str| name.contains("METRICS");
        let interval = set("OTEL_METRIC_EXPORT_INTERVAL");
        Self {
            disabled: !exports || set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            endpoint: signal("ENDPOINT").next().map(|(name, value)| match is_exact(&name) {
                true => Endpoint::Exact(value),
                false => Endpoint::Base(value),
            }),
            unknown_protocol: signal("PROTOCOL").next().map(|(_, value)| value).filter(|value| value != HTTP_PROTOBUF),
            resource,
            interval: interval
                .and_then(|text| milliseconds("OTEL_METRIC_EXPORT_INTERVAL", &text))
                .filter(|interval| INTERVALS.contains(interval)),
            timeout: signal("TIMEOUT")
                .find_map(|(name, text)| milliseconds(&name, &text))
                .map(|timeout| if timeout.is_zero() { NO_LIMIT } else { timeout }),
            compression: signal("COMPRESSION").find_map(|(name, text)| compression(&name, &text)),
        }
    }
}

fn milliseconds(name: &str, text: &str) -> Option<Duration> {
    let parsed = text.parse().map(Duration::from_millis);
    if parsed.is_err() {
        tracing::warn!(variable = name, "ignored: not a whole number of milliseconds");
    }
    parsed.ok()
}

fn compression(name: &str, text: &str) -> Option<OtlpCompression> {
    match text.to_ascii_lowercase().as_str() {
        "gzip" => Some(OtlpCompression::Gzip),
        "none" => Some(OtlpCompression::None),
        _ => {
            tracing::warn!(variable = name, "ignored: gzip and none are there");
            None
        }
    }
}

/// `a=b,c=d`, percent-decoded; on any error the whole variable is discarded, as the specification demands.
fn attributes(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pairs: Option<Vec<_>> = pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = percent_decoded(key.trim()).filter(|key| !key.is_empty())?;
            Some((key, percent_decoded(value.trim())?))
        })
        .collect();
    pairs.unwrap_or_else(|| {
        tracing::warn!(variable = "OTEL_RESOURCE_ATTRIBUTES", "ignored: not key=value pairs with percent encoding");
        Vec::new()
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Otel {
        let env = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Otel::read(&env)
    }

    #[test]
    fn the_name_wins_and_values_are_decoded() {
        let otel = read(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,team=x%20y"), ("OTEL_SERVICE_NAME", "b")]);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(otel.resource, [pair("team", "x y"), pair("service.name", "b")]);
        for bad in ["a=b,c", "=x", "a=%zz", "a=%4"] {
            assert!(read(&[("OTEL_RESOURCE_ATTRIBUTES", bad)]).resource.is_empty(), "{bad}");
        }
    }

    #[test]
    fn the_signals_own_variable_wins_and_bad_numbers_are_ignored() {
        let otel = read(&[
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "700"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            ("OTEL_SDK_DISABLED", "1"),
        ]);
        assert_eq!((otel.timeout, otel.interval), (Some(Duration::from_millis(700)), None));
        assert_eq!((otel.endpoint, otel.disabled), (None, false));
        let bad = [("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon")];
        assert_eq!(read(&bad).timeout, Some(NO_LIMIT));
    }

    #[test]
    fn the_metrics_endpoint_is_exact_and_the_general_one_a_base() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
        assert_eq!(read(&[general]).endpoint, Some(Endpoint::Base("http://a".to_owned())));
        let both = [general, ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://b")];
        assert_eq!(read(&both).endpoint, Some(Endpoint::Exact("http://b".to_owned())));
    }

    #[test]
    fn who_asks_for_no_exporter_or_for_another_protocol_is_heard() {
        for (list, disabled) in [("none", true), ("prometheus", true), ("otlp", false), ("prometheus, otlp", false)] {
            assert_eq!(read(&[("OTEL_METRICS_EXPORTER", list)]).disabled, disabled, "{list}");
        }
        let protocol = |value| read(&[("OTEL_EXPORTER_OTLP_PROTOCOL", value)]).unknown_protocol;
        assert_eq!((protocol("grpc"), protocol("http/protobuf")), (Some("grpc".to_owned()), None));
    }
}
