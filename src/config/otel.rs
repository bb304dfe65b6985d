//! The `OTEL_*` variables that are not the exporter's own business: what the resource says, whether and how often to
//! push (opentelemetry-specification, configuration/sdk-environment-variables.md). Empty counts as unset; a bad
//! number is warned of and ignored, as the specification demands.

use std::time::Duration;

use super::{Env, OtlpCompression};

/// What the variables say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Otel {
    /// `OTEL_SDK_DISABLED`: nothing is pushed.
    pub disabled: bool,
    /// Whether an endpoint is named: then figures are pushed without a config.
    pub has_endpoint: bool,
    /// `OTEL_RESOURCE_ATTRIBUTES` with `OTEL_SERVICE_NAME` over it.
    pub resource: Vec<(String, String)>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`.
    pub interval: Option<Duration>,
    /// `OTEL_EXPORTER_OTLP_METRICS_TIMEOUT`, else `OTEL_EXPORTER_OTLP_TIMEOUT`.
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
            set(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}")).or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let mut resource = set("OTEL_RESOURCE_ATTRIBUTES").map(|text| attributes(&text)).unwrap_or_default();
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name));
        }
        Self {
            disabled: set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            has_endpoint: signal("ENDPOINT").is_some(),
            resource,
            interval: set("OTEL_METRIC_EXPORT_INTERVAL")
                .and_then(|text| milliseconds("OTEL_METRIC_EXPORT_INTERVAL", &text))
                .filter(|interval| !interval.is_zero()),
            timeout: signal("TIMEOUT").and_then(|text| milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", &text)),
            compression: signal("COMPRESSION").and_then(|text| compression(&text)),
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

fn compression(text: &str) -> Option<OtlpCompression> {
    match text.to_ascii_lowercase().as_str() {
        "gzip" => Some(OtlpCompression::Gzip),
        "none" => Some(OtlpCompression::None),
        _ => {
            tracing::warn!(variable = "OTEL_EXPORTER_OTLP_COMPRESSION", "ignored: gzip and none are there");
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
            Some((percent_decoded(key.trim())?, percent_decoded(value.trim())?))
        })
        .collect();
    pairs.unwrap_or_else(|| {
        tracing::warn!(variable = "OTEL_RESOURCE_ATTRIBUTES", "ignored: not key=value pairs with percent encoding");
        Vec::new()
    })
}

fn percent_decoded(text: &str) -> Option<String> {
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
        assert!(read(&[("OTEL_RESOURCE_ATTRIBUTES", "a=b,c")]).resource.is_empty());
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
        assert_eq!((otel.has_endpoint, otel.disabled), (false, false));
    }
}
