//! The configuration: composes what each module needs from a YAML file and the environment.
//!
//! Unknown keys are refused with their line and the nearest known key. A variable wins over the file. The environment
//! is a parameter, read in `main` and nowhere else. The next setting is one field in its struct and one line in `config/variables.rs`.

mod error;
mod file;
mod keys;
mod limits;
mod links;
mod otel;
mod otlp;
mod page;
mod variables;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use crate::collector::config::SectionConfig;
use crate::output::otlp::{Compression, Temporality};
use crate::reading::Ages;
use crate::server::MetricsAccess;
use crate::yaml;
pub use error::ConfigError;
pub use keys::ApiKeyConfig;
pub use limits::LimitsSection;
pub use links::LinksSection;
pub use otel::{Otel, OtelExporter};
pub use otlp::{OtlpEndpoints, OtlpProtocol, SpoolSection, TlsSection};
pub use page::PageSection;
pub use variables::{CONFIG_FILE, VARIABLES, unknown_variables};

/// How often anything may be done: oftener is a mistake, seldomer never comes.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);

/// Reads a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Everything operators set; what is left out has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the figures are of.
    #[serde(deserialize_with = "or_default")]
    pub service: ServiceConfig,
    /// The server.
    #[serde(deserialize_with = "or_default")]
    pub web: WebConfig,
    /// Where the runtime figures come from.
    pub runtime: Option<SectionConfig>,
    /// Where the store figures come from.
    pub store: Option<SectionConfig>,
    /// Where the staging figures come from.
    pub staging: Option<SectionConfig>,
    /// Figures of the operator's own, by the name of their collector.
    pub custom: Option<BTreeMap<String, SectionConfig>>,
    /// Where figures are pushed to.
    pub otlp: Option<OtlpEndpoints>,
    /// Where what must outlive a restart is kept; without it nothing is.
    pub state_dir: Option<PathBuf>,
    /// Age above which figures are said to be old; default 5m.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub stale_after: Option<Duration>,
    /// Age above which figures are no longer shown; default 1h.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub expire_after: Option<Duration>,
    /// What the JSON's MB are; default 1MiB.
    #[serde(deserialize_with = "crate::yaml::size")]
    pub megabyte: Option<ByteSize>,
    /// The first 48 bits of the SHA-256 of what was loaded.
    #[serde(skip)]
    pub hash: u64,
}

/// The service the figures are of: its resource attributes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceConfig {
    /// `service.name`; default `linkit`.
    pub name: Option<String>,
    /// `service.version`, and the `version` of the JSON; default: what the source says of itself.
    pub version: Option<String>,
    /// `deployment.environment.name`, and the `environment` of the health answer.
    pub environment: Option<String>,
    /// `service.instance.id`; default: host name and port.
    pub instance: Option<String>,
}

/// The server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Addresses to listen on, `HOST:PORT`, `:PORT` or `unix:PATH`; default `127.0.0.1:9464`.
    pub listen: Option<Vec<String>>,
    /// The mode of Unix sockets, in octal digits; default `0660`.
    pub unix_socket_mode: Option<String>,
    /// Whether systemd passes the sockets to listen on, instead of `listen`; default false.
    #[serde(deserialize_with = "page::switch")]
    pub systemd_socket: Option<bool>,
    /// What clients may take.
    pub limits: Option<LimitsSection>,
    /// The path of the scrape page; default `/metrics`.
    pub telemetry_path: Option<String>,
    /// What stands on the scrape page, and how it is called.
    pub page: Option<PageSection>,
    /// Where the page for people leads to.
    pub links: Option<LinksSection>,
    /// The exporter-toolkit's file for TLS, passwords, headers and a rate limit; without it there is none of these.
    pub config_file: Option<PathBuf>,
    /// Whether `POST /-/reload` reads the configuration again; default false.
    #[serde(deserialize_with = "page::switch")]
    pub enable_lifecycle: Option<bool>,
    /// The keys for the JSON; without one it refuses all.
    pub api_keys: Option<Vec<ApiKeyConfig>>,
    /// A file of further keys, one a line: `NAME:sha256:HEX`, `expires=…`, `scopes=…`.
    pub api_keys_file: Option<PathBuf>,
    /// Who may read the scrape page: `open` (default), or `key`.
    pub metrics_access: Option<MetricsAccess>,
}

/// Push to an OTLP receiver.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpSection {
    /// The endpoint's name in the bridge's own figures; default `default`.
    pub name: Option<String>,
    /// The receiver's base address: over HTTP `/v1/metrics` is appended unless it is there.
    pub endpoint: Option<String>,
    /// `http/protobuf` (default), `http/json` or `grpc`.
    pub protocol: Option<OtlpProtocol>,
    /// `gzip` (default), `zstd` or `none`.
    pub compression: Option<Compression>,
    /// `cumulative` (default), `delta` or `lowmemory`.
    pub temporality: Option<Temporality>,
    /// Largest request before compression; what is larger goes as several. Default 4MiB.
    #[serde(deserialize_with = "crate::yaml::size")]
    pub max_request_bytes: Option<ByteSize>,
    /// Time from one push to the next; default 15s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub interval: Option<Duration>,
    /// Time one request may take; default 10s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub timeout: Option<Duration>,
    /// Headers of each request.
    pub headers: Option<BTreeMap<String, SecretString>>,
    /// Certificates.
    pub tls: Option<TlsSection>,
    /// What may wait in memory.
    pub queue: Option<QueueSection>,
    /// What may wait on disk; without it nothing is there after a restart.
    pub spool: Option<SpoolSection>,
}

/// The bounds of the batches that wait in memory.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSection {
    /// Most bytes that wait; default 64MiB.
    #[serde(deserialize_with = "crate::yaml::size")]
    pub max_bytes: Option<ByteSize>,
    /// Longest wait; default 72h.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub max_age: Option<Duration>,
}

impl Config {
    /// Loads a config from a file, if one is named, and the environment.
    ///
    /// # Errors
    /// When the file cannot be read, is no YAML, or a key or value of it or of a variable is wrong.
    pub fn load(file: Option<&Path>, env: Env<'_>) -> Result<Self, ConfigError> {
        let text = match file {
            Some(file) => file::read(file)?,
            None => String::new(),
        };
        let name = file.map_or_else(|| "config".to_owned(), |file| file.display().to_string());
        Self::parse(&name, &text, env)
    }

    /// The same from a text; `name` stands in errors.
    ///
    /// # Errors
    /// As [`Config::load`], but for reading the file.
    pub fn parse(name: &str, text: &str, env: Env<'_>) -> Result<Self, ConfigError> {
        let file: Self = yaml::read(text).map_err(|refusal| ConfigError::of_file(name, refusal))?;
        let over = variables::overlay(env)?;
        if over.otlp.is_some() && file.otlp.as_ref().is_some_and(|otlp| otlp.0.len() > 1) {
            let problem = "otlp is a list, and LINKIT_BRIDGE_OTLP_* set one endpoint; keep one of the two".to_owned();
            return Err(ConfigError::Value { file: name.to_owned(), problem });
        }
        let mut config = file.overlaid(over);
        config.check(name)?;
        config.hash = config.redacted_hash();
        Ok(config)
    }

    /// The hash stands on an open page, so secrets have no part in it: a weak one could be guessed from it.
    fn redacted_hash(&self) -> u64 {
        let digest = Sha256::digest(format!("{self:?}"));
        digest[..6].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// What no single value shows.
    pub(crate) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let problem = |problem: &str| Err(ConfigError::Value { file: name.to_owned(), problem: problem.to_owned() });
        let ages = self.ages();
        if ages.stale_after > ages.expire_after {
            return problem("stale_after is longer than expire_after; figures grow stale before they expire");
        }
        if self.megabyte() < 1_000_000 {
            return problem("megabyte is less than 1MB; set 1MiB or 1MB");
        }
        if let Some(wrong) = self.web.api_keys.iter().flatten().find_map(ApiKeyConfig::problem) {
            return problem(&wrong);
        }
        let names: Vec<_> = self.web.api_keys.iter().flatten().map(|key| key.name.as_str()).collect();
        if let Some(twice) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name))
        {
            return problem(&format!("web.api_keys has two keys called {twice:?}; name each after its user"));
        }
        let sections = [("runtime", &self.runtime), ("store", &self.store), ("staging", &self.staging)];
        let documented = sections.into_iter().filter_map(|(name, config)| Some((name.to_owned(), config.as_ref()?)));
        let custom = self.custom.iter().flatten().map(|(name, config)| (format!("custom.{name}"), config));
        for (section, config) in documented.chain(custom) {
            if config.interval.is_some_and(|interval| !INTERVALS.contains(&interval)) {
                return problem(&format!("{section}.interval must be between 100ms and 24h"));
            }
            if config.interval.is_some_and(|interval| interval > ages.expire_after) {
                return problem(&format!(
                    "{section}.interval is longer than expire_after: its figures would be gone half the time"
                ));
            }
            if config.timeout.is_some_and(|timeout| timeout.is_zero()) {
                return problem(&format!(
                    "{section}.timeout is 0; set the longest time an attempt may take, such as 5s"
                ));
            }
        }
        if let Some(wrong) = self.web.limits.as_ref().and_then(LimitsSection::problem) {
            return problem(&wrong);
        }
        if let Some(wrong) = self.web.links.as_ref().and_then(LinksSection::problem) {
            return problem(&wrong);
        }
        if let Some(wrong) = self.otlp.as_ref().and_then(OtlpEndpoints::problem) {
            return problem(&wrong);
        }
        if self.web.telemetry_path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['{', '}', '*']))
        {
            return problem("web.telemetry_path must begin with / and be a plain path, such as /metrics");
        }
        Ok(())
    }

    /// How old figures may get.
    #[must_use]
    pub fn ages(&self) -> Ages {
        let default = Ages::default();
        Ages {
            stale_after: self.stale_after.unwrap_or(default.stale_after),
            expire_after: self.expire_after.unwrap_or(default.expire_after),
        }
    }

    /// The bytes of the JSON's MB.
    #[must_use]
    pub fn megabyte(&self) -> u64 {
        self.megabyte.unwrap_or(ByteSize::mib(1)).as_u64()
    }
}

/// A section whose lines are all commented out is there and empty.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse("bridge.yml", text, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_designs_shape_is_read() {
        let config = parse(
            "service: { name: linkit, version: \"1.0.0\", environment: production }\n\
             web: { listen: [\"127.0.0.1:9464\"], api_keys: [ { name: ops, sha256: \"00\" } ] }\n\
             runtime: { source: self, interval: 5s }\n\
             store: { source: sqlite, path: /srv/data.db, interval: 1m30s }\n\
             staging: { source: sqlite, path: /srv/data.db, states: { pending: p, processing: q, completed: c } }\n\
             otlp: { endpoint: \"http://c:4318\", protocol: http/protobuf, headers: { a: b }, queue: { max_bytes: 1MiB } }\n\
             stale_after: 250ms\n",
        )
        .unwrap();
        assert_eq!(config.store.unwrap().interval, Some(Duration::from_secs(90)));
        assert_eq!(config.otlp.unwrap().0[0].queue.unwrap().max_bytes, Some(ByteSize::mib(1)));
        assert_eq!(config.stale_after, Some(Duration::from_millis(250)));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_key() {
        let error = parse("service:\n  name: x\nstore:\n  source: sqlite\n  intervall: 5s\n").unwrap_err();
        assert_eq!(error, "bridge.yml:5: unknown key intervall; did you mean interval?");
        let error = parse("wibble: 1\n").unwrap_err();
        assert!(error.starts_with("bridge.yml:1: unknown key wibble; known are service, web,"), "{error}");
    }

    #[test]
    fn bad_values_are_refused_with_their_line() {
        for (text, part) in [
            ("store:\n  source: sqlit\n", "bridge.yml:2: source: unknown value sqlit; did you mean sqlite?"),
            ("store: { source: { sqlit: 1 } }\n", "bridge.yml:1: source: unknown value sqlit; did you mean sqlite?"),
            ("stale_after: soon\n", "bridge.yml:1: stale_after: not a duration"),
            ("megabyte: much\n", "bridge.yml:1: megabyte: not a size"),
            (
                "otlp:\n  queue: { max_age: 1h, max_bytes: 99999999999999999999999MiB }\n",
                "bridge.yml:2: max_bytes: larger",
            ),
            (
                "store: { source: sqlite, max_backoff: 999999999h }\n",
                "bridge.yml:1: max_backoff: longer than ten years",
            ),
            ("store: [\n", "bridge.yml:"),
            ("stale_after: 2h\n", "stale_after is longer than expire_after"),
            ("store: { source: sqlite, interval: 1ms }\n", "store.interval must be between 100ms and 24h"),
            ("megabyte: 3\n", "megabyte is less than 1MB"),
            ("stale_after: 5\n", "bridge.yml:1: stale_after: not a duration; write 250ms, 5s or 1m30s"),
            ("web: { listen: \"127.0.0.1:1\" }\n", "bridge.yml:1: listen: not a list"),
            ("stale_after: 1m\nstale_after: 2m\n", "bridge.yml:2: the key stale_after stands twice"),
            ("store: { source: sqlite, interval: 2h }\n", "store.interval is longer than expire_after"),
            ("otlp: { timeout: 0s }\n", "otlp.timeout is 0"),
            ("otlp: { spool: { max_age: 1h } }\n", "otlp.spool.dir is missing"),
            ("otlp: { interval: 87600h }\n", "otlp.interval must be between"),
            ("web: { telemetry_path: metrics }\n", "web.telemetry_path must begin with /"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_secret_never_stands_in_an_error() {
        let error = parse("store:\n  source: telemetry_json\n  api_key: [hunter2]\n").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        let error = parse("store: { source: telemetry_json, api_key hunter2 }\n").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        let config = parse("store: { source: telemetry_json, api_key: hunter2 }\n").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn sections_and_files_with_comments_alone_are_empty() {
        for text in ["", "---\n", "# nothing\n", "service:\n  # name: x\nweb:\n", "\u{feff}# bom\n"] {
            assert!(parse(text).is_ok(), "{text:?}: {:?}", parse(text).err());
        }
    }

    #[test]
    fn the_hash_follows_settings_and_not_secrets() {
        let hash = |text: &str| parse(text).unwrap().hash;
        let store = |key: &str| format!("store: {{ source: telemetry_json, api_key: {key} }}\n");
        assert_eq!(hash(&store("a")), hash(&store("b")));
        assert_ne!(hash(&store("a")), hash("store: { source: telemetry_json, url: 'http://a' }\n"));
    }

    #[test]
    fn a_variable_wins_over_the_file_and_alone_is_enough() {
        let env = |name: &str| match name {
            "LINKIT_BRIDGE_STORE_SOURCE" => Some("sqlite".to_owned()),
            "LINKIT_BRIDGE_STORE_COLLECTIONS" => Some("products, orders".to_owned()),
            "LINKIT_BRIDGE_STORE_INTERVAL" => Some("30s".to_owned()),
            _ => None,
        };
        let config = Config::parse("c", "store: { source: telemetry_json, interval: 1s, path: /a }\n", &env).unwrap();
        let store = config.store.unwrap();
        assert_eq!((store.interval, store.path.is_some()), (Some(Duration::from_secs(30)), true));
        assert_eq!(store.collections, Some(vec!["products".to_owned(), "orders".to_owned()]));
        let env = |name: &str| (name == "LINKIT_BRIDGE_STALE_AFTER").then(|| "soon".to_owned());
        let error = Config::parse("c", "", &env).unwrap_err().to_string();
        assert!(error.starts_with("LINKIT_BRIDGE_STALE_AFTER: "), "{error}");
    }
}
