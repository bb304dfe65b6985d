//! The `OTEL_*` variables: what the resource says, whether, how often, where to and how to push (opentelemetry-specification,
//! configuration/common.md and sdk-environment-variables.md, protocol/exporter.md). Empty counts as unset; a bad value is
//! warned of and ignored, as the specification demands: the general variable then counts in the place of the signal's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{Env, INTERVALS, OtlpProtocol, TlsSection};
use crate::output::otlp::{Compression, Endpoint, Temporality};

/// Longest wait that stands for "no limit".
const NO_LIMIT: Duration = Duration::from_secs(3600);

/// Variables of the specification that have no effect here, which must not go unsaid.
const WITHOUT_EFFECT: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "OTEL_CONFIG_FILE"];

/// What the variables say.
#[derive(Clone, Debug, Default)]
pub struct Otel {
    /// `OTEL_SDK_DISABLED`, or `OTEL_METRICS_EXPORTER` without `otlp` in its list: nothing is pushed.
    pub disabled: bool,
    /// `OTEL_RESOURCE_ATTRIBUTES` with `OTEL_SERVICE_NAME` over it.
    pub resource: Vec<(String, String)>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`.
    pub interval: Option<Duration>,
    /// The variables of the exporter.
    pub exporter: OtelExporter,
}

/// What `OTEL_EXPORTER_OTLP_METRICS_*` say, or else `OTEL_EXPORTER_OTLP_*`. They are meant for one endpoint.
#[derive(Clone, Debug, Default)]
pub struct OtelExporter {
    /// `…_ENDPOINT`: where figures are pushed without a config.
    pub endpoint: Option<Endpoint>,
    /// `…_INSECURE`: whether a gRPC endpoint that names no scheme is one without TLS.
    pub insecure: bool,
    /// `…_PROTOCOL`.
    pub protocol: Option<OtlpProtocol>,
    /// `…_HEADERS`.
    pub headers: BTreeMap<String, SecretString>,
    /// `…_TIMEOUT`, where 0 is no limit, and not more than `OTEL_METRIC_EXPORT_TIMEOUT`.
    pub timeout: Option<Duration>,
    /// `…_COMPRESSION`.
    pub compression: Option<Compression>,
    /// `…_CERTIFICATE`, `…_CLIENT_CERTIFICATE` and `…_CLIENT_KEY`.
    pub tls: TlsSection,
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
    pub temporality: Option<Temporality>,
}

impl Otel {
    /// Reads the variables.
    #[must_use]
    pub fn read(env: Env<'_>) -> Self {
        let set = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        for name in WITHOUT_EFFECT.iter().filter(|name| set(name).is_some()) {
            tracing::warn!(variable = name, "ignored: what it sets is not there");
        }
        const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = set(RESOURCE).map(|text| pairs(RESOURCE, &text)).unwrap_or_default();
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name));
        }
        const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
        let exports = set(EXPORTER).is_none_or(|list| names_otlp(EXPORTER, &list));
        const DISABLED: &str = "OTEL_SDK_DISABLED";
        const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
        Self {
            disabled: set(DISABLED).is_some_and(|text| is_true(DISABLED, &text)) || !exports,
            resource,
            interval: set(INTERVAL).and_then(|text| interval(INTERVAL, &text)),
            exporter: OtelExporter::read(&set),
        }
    }
}

impl OtelExporter {
    fn read(set: &dyn Fn(&str) -> Option<String>) -> Self {
        let signal = |name: &str| {
            let names = ["OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_"].map(|prefix| format!("{prefix}{name}"));
            names.into_iter().filter_map(|name| set(&name).map(|value| (name, value)))
        };
        let first = |name: &str| signal(name).next().map(|(_, value)| value);
        let limit = |timeout: Duration| if timeout.is_zero() { NO_LIMIT } else { timeout.min(NO_LIMIT) };
        let timeout = signal("TIMEOUT").find_map(|(name, text)| milliseconds(&name, &text)).map(limit);
        const EXPORT_TIMEOUT: &str = "OTEL_METRIC_EXPORT_TIMEOUT";
        let most = set(EXPORT_TIMEOUT).and_then(|text| milliseconds(EXPORT_TIMEOUT, &text)).map(limit);
        const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        Self {
            endpoint: signal("ENDPOINT").next().map(|(name, value)| match name.contains("METRICS") {
                true => Endpoint::Exact(value),
                false => Endpoint::Base(value),
            }),
            insecure: signal("INSECURE").next().is_some_and(|(name, text)| is_true(&name, &text)),
            protocol: signal("PROTOCOL").find_map(|(name, text)| protocol(&name, &text)),
            headers: signal("HEADERS").next().map(|(name, text)| headers(&name, &text)).unwrap_or_default(),
            timeout: [timeout, most].into_iter().flatten().min(),
            compression: signal("COMPRESSION").find_map(|(name, text)| compression(&name, &text)),
            tls: TlsSection {
                ca_file: first("CERTIFICATE").map(PathBuf::from),
                cert_file: first("CLIENT_CERTIFICATE").map(PathBuf::from),
                key_file: first("CLIENT_KEY").map(PathBuf::from),
            },
            temporality: set(TEMPORALITY).and_then(|text| temporality(TEMPORALITY, &text)),
        }
    }
}

/// Only this word is true, in any letters, and only one other is meant to be false.
fn is_true(name: &str, text: &str) -> bool {
    let is_true = text.eq_ignore_ascii_case("true");
    if !is_true && !text.eq_ignore_ascii_case("false") {
        tracing::warn!(variable = name, "counts as false: there are true and false");
    }
    is_true
}

/// Whether a list of exporters has this one; of a list without any that is known, all is ignored.
fn names_otlp(name: &str, list: &str) -> bool {
    const KNOWN: [&str; 4] = ["otlp", "prometheus", "console", "none"];
    let named = list.split(',').map(|exporter| exporter.trim().to_ascii_lowercase());
    let (known, unknown): (Vec<_>, Vec<_>) = named.partition(|exporter| KNOWN.contains(&exporter.as_str()));
    if !unknown.is_empty() {
        tracing::warn!(
            variable = name,
            "ignored but for otlp, prometheus, console and none: there is no other exporter"
        );
    }
    known.is_empty() || known.iter().any(|exporter| exporter == "otlp")
}

fn interval(name: &str, text: &str) -> Option<Duration> {
    let interval = milliseconds(name, text)?;
    let is_possible = INTERVALS.contains(&interval);
    if !is_possible {
        tracing::warn!(variable = name, "ignored: not between 100 and 86400000 milliseconds");
    }
    is_possible.then_some(interval)
}

fn protocol(name: &str, text: &str) -> Option<OtlpProtocol> {
    let protocol = OtlpProtocol::of(&text.to_ascii_lowercase());
    if protocol.is_none() {
        tracing::warn!(variable = name, "ignored: there are http/protobuf, http/json and grpc");
    }
    protocol
}

fn milliseconds(name: &str, text: &str) -> Option<Duration> {
    let parsed = text.parse().map(Duration::from_millis);
    if parsed.is_err() {
        tracing::warn!(variable = name, "ignored: not a whole number of milliseconds");
    }
    parsed.ok()
}

fn compression(name: &str, text: &str) -> Option<Compression> {
    match text.to_ascii_lowercase().as_str() {
        "gzip" => Some(Compression::Gzip),
        "zstd" => Some(Compression::Zstd),
        "none" => Some(Compression::None),
        _ => {
            tracing::warn!(variable = name, "ignored: there are gzip, zstd and none");
            None
        }
    }
}

fn temporality(name: &str, text: &str) -> Option<Temporality> {
    match text.to_ascii_lowercase().as_str() {
        "cumulative" => Some(Temporality::Cumulative),
        "delta" => Some(Temporality::Delta),
        "lowmemory" => Some(Temporality::LowMemory),
        _ => {
            tracing::warn!(variable = name, "ignored: there are cumulative, delta and lowmemory");
            None
        }
    }
}

fn headers(name: &str, text: &str) -> BTreeMap<String, SecretString> {
    pairs(name, text).into_iter().map(|(key, value)| (key.to_ascii_lowercase(), SecretString::from(value))).collect()
}

/// `a=b,c=d`, percent-decoded; on any error the whole variable is discarded, as the specification demands.
fn pairs(name: &str, text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pairs: Option<Vec<_>> = pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = percent_decoded(key.trim()).filter(|key| !key.is_empty())?;
            Some((key, percent_decoded(value.trim())?))
        })
        .collect();
    pairs.unwrap_or_else(|| {
        tracing::warn!(variable = name, "ignored: not key=value pairs with percent encoding");
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
        ]);
        assert_eq!((otel.exporter.timeout, otel.interval), (Some(Duration::from_millis(700)), None));
        assert_eq!(otel.exporter.endpoint, None);
        for (text, interval) in [("99", None), ("100", Some(100)), ("86400001", None), ("-1", None), (" ", None)] {
            let otel = read(&[("OTEL_METRIC_EXPORT_INTERVAL", text)]);
            assert_eq!(otel.interval, interval.map(Duration::from_millis), "{text}");
        }
        let timeout = |pairs: &[(&str, &str)]| read(pairs).exporter.timeout;
        let general = ("OTEL_EXPORTER_OTLP_TIMEOUT", "0");
        assert_eq!(timeout(&[general, ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon")]), Some(NO_LIMIT));
        let most = ("OTEL_METRIC_EXPORT_TIMEOUT", "3000");
        assert_eq!(timeout(&[general, most]), Some(Duration::from_secs(3)));
        assert_eq!(timeout(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "-5")]), None);
        assert_eq!(timeout(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "18446744073709551615")]), Some(NO_LIMIT));
    }

    #[test]
    fn every_variable_of_the_exporter_has_a_general_form_and_one_of_the_signal_that_wins() {
        use secrecy::ExposeSecret;

        let said = |pairs: &[(&str, &str)]| {
            let exporter = read(pairs).exporter;
            let headers = exporter.headers.iter().map(|(key, value)| format!("{key}={}", value.expose_secret()));
            let headers = headers.collect::<Vec<_>>().join(",");
            let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
            let tls = [&exporter.tls.ca_file, &exporter.tls.cert_file, &exporter.tls.key_file].map(path);
            (headers, exporter.protocol, exporter.compression, exporter.insecure, tls)
        };
        let form = |prefix: &str, values: [&str; 7]| {
            let names =
                ["HEADERS", "PROTOCOL", "COMPRESSION", "INSECURE", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];
            let names = names.map(|name| format!("OTEL_EXPORTER_OTLP_{prefix}{name}"));
            names.into_iter().zip(values.map(str::to_owned)).collect::<Vec<_>>()
        };
        let general = form("", ["A=x%20y, b = %3D", "http/json", "GZIP", "true", "/ca", "/cert", "/key"]);
        let signal = form("METRICS_", ["c=1", "grpc", "zstd", "yes", "/ca2", "/cert2", "/key2"]);
        let of = |pairs: &[(String, String)]| {
            said(&pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
        };
        let tls = |end: &str| ["/ca", "/cert", "/key"].map(|path| Some(format!("{path}{end}")));
        let one = ("a=x y,b==".to_owned(), Some(OtlpProtocol::HttpJson), Some(Compression::Gzip), true, tls(""));
        assert_eq!(of(&general), one);
        let two = ("c=1".to_owned(), Some(OtlpProtocol::Grpc), Some(Compression::Zstd), false, tls("2"));
        assert_eq!(of(&signal), two);
        assert_eq!(of(&[general.clone(), signal].concat()), two);
        assert_eq!(of(&[general, form("METRICS_", [""; 7])].concat()), one);
    }

    #[test]
    fn a_temporality_is_preferred_in_any_letters() {
        let of = |text| read(&[("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", text)]).exporter.temporality;
        let expected = [Some(Temporality::Delta), Some(Temporality::LowMemory), Some(Temporality::Cumulative), None];
        assert_eq!(["Delta", "LOWMEMORY", "cumulative", "often"].map(of), expected);
    }

    #[test]
    fn the_metrics_endpoint_is_exact_and_the_general_one_a_base() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
        assert_eq!(read(&[general]).exporter.endpoint, Some(Endpoint::Base("http://a".to_owned())));
        let both = [general, ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://b")];
        assert_eq!(read(&both).exporter.endpoint, Some(Endpoint::Exact("http://b".to_owned())));
    }

    #[test]
    fn who_asks_for_no_push_is_heard() {
        for (list, disabled) in [
            ("none", true),
            ("prometheus", true),
            ("Console,stdout", true),
            ("otlp", false),
            ("prometheus, OTLP", false),
            ("stdout", false),
        ] {
            assert_eq!(read(&[("OTEL_METRICS_EXPORTER", list)]).disabled, disabled, "{list}");
        }
        for (text, disabled) in [("true", true), ("True", true), ("false", false), ("1", false), ("yes", false)] {
            assert_eq!(read(&[("OTEL_SDK_DISABLED", text)]).disabled, disabled, "{text}");
        }
    }

    #[test]
    fn a_protocol_is_meant_in_any_letters_and_the_general_one_where_the_signals_is_none() {
        let protocol = |pairs: &[(&str, &str)]| read(pairs).exporter.protocol;
        let general = ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC");
        assert_eq!(protocol(&[general]), Some(OtlpProtocol::Grpc));
        assert_eq!(protocol(&[general, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "quic")]), Some(OtlpProtocol::Grpc));
        assert_eq!(protocol(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "quic")]), None);
    }
}
