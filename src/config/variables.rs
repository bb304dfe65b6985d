//! The variables of the environment: one a setting, each beside the path of its key in the file.

use serde_json::{Map, Value};

use super::{
    ApiKeyConfig, Config, ConfigError, Env, OtlpEndpoints, OtlpSection, ServiceConfig, SpoolSection, TlsSection,
    WebConfig,
};
use crate::collector::config::SectionConfig;
use crate::yaml::plain;

/// Every variable with the key it sets. Lists are separated by commas; all other values are written as in the file.
pub const VARIABLES: &[(&str, &str)] = &[
    ("LINKIT_BRIDGE_SERVICE_NAME", "service.name"),
    ("LINKIT_BRIDGE_SERVICE_VERSION", "service.version"),
    ("LINKIT_BRIDGE_SERVICE_ENVIRONMENT", "service.environment"),
    ("LINKIT_BRIDGE_SERVICE_INSTANCE", "service.instance"),
    ("LINKIT_BRIDGE_WEB_LISTEN", "web.listen[]"),
    ("LINKIT_BRIDGE_WEB_UNIX_SOCKET_MODE", "web.unix_socket_mode"),
    ("LINKIT_BRIDGE_WEB_SYSTEMD_SOCKET", "web.systemd_socket"),
    ("LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS", "web.limits.connections"),
    ("LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS_PER_ADDRESS", "web.limits.connections_per_address"),
    ("LINKIT_BRIDGE_WEB_LIMITS_HANDSHAKE_TIMEOUT", "web.limits.handshake_timeout"),
    ("LINKIT_BRIDGE_WEB_LIMITS_HEADER_TIMEOUT", "web.limits.header_timeout"),
    ("LINKIT_BRIDGE_WEB_LIMITS_REQUEST_TIMEOUT", "web.limits.request_timeout"),
    ("LINKIT_BRIDGE_WEB_LIMITS_ANSWER_TIMEOUT", "web.limits.answer_timeout"),
    ("LINKIT_BRIDGE_WEB_LIMITS_IDLE_TIMEOUT", "web.limits.idle_timeout"),
    ("LINKIT_BRIDGE_WEB_TELEMETRY_PATH", "web.telemetry_path"),
    ("LINKIT_BRIDGE_WEB_CONFIG_FILE", "web.config_file"),
    ("LINKIT_BRIDGE_WEB_ENABLE_LIFECYCLE", "web.enable_lifecycle"),
    ("LINKIT_BRIDGE_WEB_PAGE_TRANSLATION_STRATEGY", "web.page.translation_strategy"),
    ("LINKIT_BRIDGE_WEB_PAGE_TARGET_INFO", "web.page.target_info"),
    ("LINKIT_BRIDGE_WEB_PAGE_SCOPE_LABELS", "web.page.scope_labels"),
    ("LINKIT_BRIDGE_WEB_LINKS_DASHBOARDS", "web.links.dashboards"),
    ("LINKIT_BRIDGE_WEB_LINKS_DOCUMENTS", "web.links.documents"),
    ("LINKIT_BRIDGE_API_KEY", "web.api_keys[0].key"),
    ("LINKIT_BRIDGE_API_KEY_FILE", "web.api_keys[0].key_file"),
    ("LINKIT_BRIDGE_API_KEY_SHA256", "web.api_keys[0].sha256"),
    ("LINKIT_BRIDGE_API_KEY_SHA256_FILE", "web.api_keys[0].sha256_file"),
    ("LINKIT_BRIDGE_API_KEY_CREDENTIAL", "web.api_keys[0].credential"),
    ("LINKIT_BRIDGE_API_KEY_EXPIRES", "web.api_keys[0].expires"),
    ("LINKIT_BRIDGE_API_KEY_SCOPES", "web.api_keys[0].scopes[]"),
    ("LINKIT_BRIDGE_WEB_API_KEYS_FILE", "web.api_keys_file"),
    ("LINKIT_BRIDGE_WEB_METRICS_ACCESS", "web.metrics_access"),
    ("LINKIT_BRIDGE_RUNTIME_SOURCE", "runtime.source"),
    ("LINKIT_BRIDGE_RUNTIME_INTERVAL", "runtime.interval"),
    ("LINKIT_BRIDGE_RUNTIME_TIMEOUT", "runtime.timeout"),
    ("LINKIT_BRIDGE_RUNTIME_MAX_BACKOFF", "runtime.max_backoff"),
    ("LINKIT_BRIDGE_RUNTIME_PID", "runtime.pid"),
    ("LINKIT_BRIDGE_RUNTIME_PID_FILE", "runtime.pid_file"),
    ("LINKIT_BRIDGE_RUNTIME_NAME", "runtime.name"),
    ("LINKIT_BRIDGE_RUNTIME_URL", "runtime.url"),
    ("LINKIT_BRIDGE_RUNTIME_API_KEY", "runtime.api_key"),
    ("LINKIT_BRIDGE_RUNTIME_API_KEY_FILE", "runtime.api_key_file"),
    ("LINKIT_BRIDGE_RUNTIME_BODY_MAX", "runtime.body_max"),
    ("LINKIT_BRIDGE_RUNTIME_EXPVAR", "runtime.expvar"),
    ("LINKIT_BRIDGE_RUNTIME_METRICS", "runtime.metrics"),
    ("LINKIT_BRIDGE_RUNTIME_PPROF", "runtime.pprof"),
    ("LINKIT_BRIDGE_STORE_SOURCE", "store.source"),
    ("LINKIT_BRIDGE_STORE_INTERVAL", "store.interval"),
    ("LINKIT_BRIDGE_STORE_TIMEOUT", "store.timeout"),
    ("LINKIT_BRIDGE_STORE_MAX_BACKOFF", "store.max_backoff"),
    ("LINKIT_BRIDGE_STORE_PATH", "store.path"),
    ("LINKIT_BRIDGE_STORE_COLLECTIONS", "store.collections[]"),
    ("LINKIT_BRIDGE_STORE_COUNT_BUDGET", "store.count_budget"),
    ("LINKIT_BRIDGE_STORE_URL", "store.url"),
    ("LINKIT_BRIDGE_STORE_USER", "store.user"),
    ("LINKIT_BRIDGE_STORE_PASSWORD", "store.password"),
    ("LINKIT_BRIDGE_STORE_PASSWORD_FILE", "store.password_file"),
    ("LINKIT_BRIDGE_STORE_API_KEY", "store.api_key"),
    ("LINKIT_BRIDGE_STORE_API_KEY_FILE", "store.api_key_file"),
    ("LINKIT_BRIDGE_STORE_BODY_MAX", "store.body_max"),
    ("LINKIT_BRIDGE_STAGING_SOURCE", "staging.source"),
    ("LINKIT_BRIDGE_STAGING_INTERVAL", "staging.interval"),
    ("LINKIT_BRIDGE_STAGING_TIMEOUT", "staging.timeout"),
    ("LINKIT_BRIDGE_STAGING_MAX_BACKOFF", "staging.max_backoff"),
    ("LINKIT_BRIDGE_STAGING_PATH", "staging.path"),
    ("LINKIT_BRIDGE_STAGING_TABLE", "staging.table"),
    ("LINKIT_BRIDGE_STAGING_STATUS_COLUMN", "staging.status_column"),
    ("LINKIT_BRIDGE_STAGING_COMPLETED_COLUMN", "staging.completed_column"),
    ("LINKIT_BRIDGE_STAGING_COMPLETED_TYPE", "staging.completed_type"),
    ("LINKIT_BRIDGE_STAGING_COUNT_BUDGET", "staging.count_budget"),
    ("LINKIT_BRIDGE_STAGING_URL", "staging.url"),
    ("LINKIT_BRIDGE_STAGING_USER", "staging.user"),
    ("LINKIT_BRIDGE_STAGING_PASSWORD", "staging.password"),
    ("LINKIT_BRIDGE_STAGING_PASSWORD_FILE", "staging.password_file"),
    ("LINKIT_BRIDGE_STAGING_API_KEY", "staging.api_key"),
    ("LINKIT_BRIDGE_STAGING_API_KEY_FILE", "staging.api_key_file"),
    ("LINKIT_BRIDGE_STAGING_BODY_MAX", "staging.body_max"),
    ("LINKIT_BRIDGE_OTLP_NAME", "otlp.name"),
    ("LINKIT_BRIDGE_OTLP_ENDPOINT", "otlp.endpoint"),
    ("LINKIT_BRIDGE_OTLP_PROTOCOL", "otlp.protocol"),
    ("LINKIT_BRIDGE_OTLP_COMPRESSION", "otlp.compression"),
    ("LINKIT_BRIDGE_OTLP_TEMPORALITY", "otlp.temporality"),
    ("LINKIT_BRIDGE_OTLP_MAX_REQUEST_BYTES", "otlp.max_request_bytes"),
    ("LINKIT_BRIDGE_OTLP_INTERVAL", "otlp.interval"),
    ("LINKIT_BRIDGE_OTLP_TIMEOUT", "otlp.timeout"),
    ("LINKIT_BRIDGE_OTLP_TLS_CA_FILE", "otlp.tls.ca_file"),
    ("LINKIT_BRIDGE_OTLP_TLS_CERT_FILE", "otlp.tls.cert_file"),
    ("LINKIT_BRIDGE_OTLP_TLS_KEY_FILE", "otlp.tls.key_file"),
    ("LINKIT_BRIDGE_OTLP_QUEUE_MAX_BYTES", "otlp.queue.max_bytes"),
    ("LINKIT_BRIDGE_OTLP_QUEUE_MAX_AGE", "otlp.queue.max_age"),
    ("LINKIT_BRIDGE_OTLP_SPOOL_DIR", "otlp.spool.dir"),
    ("LINKIT_BRIDGE_OTLP_SPOOL_MAX_BYTES", "otlp.spool.max_bytes"),
    ("LINKIT_BRIDGE_OTLP_SPOOL_MAX_AGE", "otlp.spool.max_age"),
    ("LINKIT_BRIDGE_STATE_DIR", "state_dir"),
    ("LINKIT_BRIDGE_STALE_AFTER", "stale_after"),
    ("LINKIT_BRIDGE_EXPIRE_AFTER", "expire_after"),
    ("LINKIT_BRIDGE_MEGABYTE", "megabyte"),
];

/// The variable that names the file, where no flag does.
pub const CONFIG_FILE: &str = "LINKIT_BRIDGE_CONFIG_FILE";

/// What the tests and benches are set by.
const TEST_PREFIXES: [&str; 2] = ["LINKIT_BRIDGE_TEST_", "LINKIT_BRIDGE_BENCH_"];

/// Of these variables those that look like settings and are none, each with the nearest that is one. What Kubernetes
/// sets for a service called linkit-bridge (`…_SERVICE_HOST`, `…_PORT_9464_TCP` and the like) is not meant for us.
pub fn unknown_variables<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, &'static str)> {
    let is_kubernetes =
        |rest: &str| ["PORT", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|start| rest.starts_with(start));
    let is_foreign = move |name: &str| {
        name.strip_prefix("LINKIT_BRIDGE_").is_none_or(is_kubernetes)
            || name == CONFIG_FILE
            || TEST_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    names.filter(move |name| !is_foreign(name) && !VARIABLES.iter().any(|(known, _)| known == name)).map(|name| {
        let similarity = |known: &str| strsim::jaro_winkler(name, known);
        let nearest = VARIABLES.iter().max_by(|a, b| similarity(a.0).total_cmp(&similarity(b.0)));
        (name, nearest.map_or("", |(known, _)| known))
    })
}

/// The config that the variables alone make. An empty variable counts as unset.
pub(super) fn overlay(env: Env<'_>) -> Result<Config, ConfigError> {
    let mut overlay = Config::default();
    for (name, path) in VARIABLES {
        let Some(value) = env(name).filter(|value| !value.is_empty()) else { continue };
        let problem = |problem| ConfigError::Variable { name, problem };
        let one = serde_json::from_value(nest(path, &value)).map_err(|error| problem(plain(&error.to_string())))?;
        overlay = overlay.overlaid(one);
    }
    Ok(overlay)
}

/// The value at its path: `a.b` is a key in a map, `a[]` a list, `a[0].b` a key in the first entry of a list.
fn nest(path: &str, value: &str) -> Value {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let inner = rest.map_or_else(|| Value::String(value.to_owned()), |rest| nest(rest, value));
    let (key, inner) = if let Some(key) = head.strip_suffix("[]") {
        (key, value.split(',').map(|part| Value::String(part.trim().to_owned())).collect())
    } else if let Some(key) = head.strip_suffix("[0]") {
        (key, Value::Array(vec![inner]))
    } else {
        (head, inner)
    };
    Value::Object(Map::from_iter([(key.to_owned(), inner)]))
}

/// `overlaid`: each field of another value of the type where it is set, else its own. Names every field, so that a
/// forgotten one does not compile.
macro_rules! overlay {
    ($type:ty: $($field:ident),* $(; $($nested:ident),*)?) => {
        impl $type {
            fn overlaid(self, over: Self) -> Self {
                let Self { $($field,)* $($($nested,)*)? } = self;
                Self { $($field: over.$field.or($field),)* $($($nested: $nested.overlaid(over.$nested),)*)? }
            }
        }
    };
}

overlay!(ServiceConfig: name, version, environment, instance);
overlay!(WebConfig: listen, unix_socket_mode, systemd_socket, telemetry_path, config_file, api_keys_file, metrics_access,
    enable_lifecycle; limits, page, links, api_keys);
overlay!(super::LimitsSection: connections, connections_per_address, handshake_timeout, header_timeout, request_timeout,
    answer_timeout, idle_timeout);
overlay!(super::PageSection: translation_strategy, target_info, scope_labels);
overlay!(super::LinksSection: dashboards, documents);

/// Sections lie over each other field by field, where both are there.
trait Overlaid: Sized {
    fn overlaid(self, over: Self) -> Self;
}

macro_rules! overlay_optional {
    ($($type:ty),*) => {
        $(impl Overlaid for Option<$type> {
            fn overlaid(self, over: Self) -> Self {
                match (self, over) {
                    (Some(under), Some(over)) => Some(<$type>::overlaid(under, over)),
                    (under, over) => over.or(under),
                }
            }
        })*
    };
}

overlay_optional!(
    SectionConfig,
    TlsSection,
    SpoolSection,
    super::QueueSection,
    super::PageSection,
    super::LinksSection,
    super::LimitsSection
);

overlay!(SectionConfig: source, interval, timeout, max_backoff, pid, pid_file, name, path, collections, tables, figures,
    query_budget, count_budget, table, status_column, completed_column, completed_type, states, url, user, password, password_file,
    api_key, api_key_file, body_max, expvar, metrics, pprof);
overlay!(super::QueueSection: max_bytes, max_age);
overlay!(SpoolSection: dir, max_bytes, max_age);
overlay!(TlsSection: ca_file, cert_file, key_file);
overlay!(OtlpSection: name, endpoint, protocol, compression, temporality, max_request_bytes, interval, timeout, headers;
    tls, queue, spool);

impl Overlaid for Option<OtlpEndpoints> {
    /// The variables set one endpoint: that of the file, where there is one.
    fn overlaid(self, over: Self) -> Self {
        let Some(over) = over else { return self };
        let mut under = self.unwrap_or_default().0.into_iter();
        let over = over.0.into_iter().map(|over| match under.next() {
            Some(under) => under.overlaid(over),
            None => over,
        });
        Some(OtlpEndpoints(over.collect()))
    }
}

impl Overlaid for Option<Vec<ApiKeyConfig>> {
    /// The key of the environment joins the keys of the file; its variables are one key.
    fn overlaid(self, over: Self) -> Self {
        let Some(over) = over else { return self };
        let mut keys = self.unwrap_or_default();
        for mut key in over {
            "environment".clone_into(&mut key.name);
            match keys.iter_mut().find(|held| held.name == key.name) {
                Some(held) => *held = std::mem::take(held).overlaid(key),
                None => keys.push(key),
            }
        }
        Some(keys)
    }
}

impl Config {
    pub(super) fn overlaid(self, over: Self) -> Self {
        let Self {
            service,
            web,
            runtime,
            store,
            staging,
            custom,
            otlp,
            state_dir,
            stale_after,
            expire_after,
            megabyte,
            hash,
        } = self;
        Self {
            service: service.overlaid(over.service),
            web: web.overlaid(over.web),
            runtime: runtime.overlaid(over.runtime),
            store: store.overlaid(over.store),
            staging: staging.overlaid(over.staging),
            custom: over.custom.or(custom),
            otlp: otlp.overlaid(over.otlp),
            state_dir: over.state_dir.or(state_dir),
            stale_after: over.stale_after.or(stale_after),
            expire_after: over.expire_after.or(expire_after),
            megabyte: over.megabyte.or(megabyte),
            hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_sets_a_key_that_exists() {
        for (name, path) in VARIABLES {
            let value = match path.rsplit('.').next().unwrap() {
                "source" => "telemetry_json",
                "protocol" => "http/protobuf",
                "compression" => "none",
                "temporality" => "delta",
                "pid" => "4711",
                "translation_strategy" => "NoTranslation",
                "target_info" | "scope_labels" | "systemd_socket" | "enable_lifecycle" => "false",
                "connections" | "connections_per_address" => "64",
                "completed_type" => "unix_seconds",
                "expires" => "2027-01-31",
                "scopes[]" => "telemetry, metrics",
                "metrics_access" => "key",
                _ => "5s",
            };
            let sized = if path.contains("max_bytes")
                || path.contains("request_bytes")
                || path.contains("body_max")
                || *path == "megabyte"
            {
                "1MiB"
            } else {
                value
            };
            let one: Result<Config, _> = serde_json::from_value(nest(path, sized));
            assert!(one.is_ok(), "{name}: {:?}", one.err());
        }
    }

    #[test]
    fn a_mistyped_variable_is_found_and_those_of_kubernetes_are_not() {
        let names =
            ["LINKIT_BRIDGE_STORE_INTERVALL", "LINKIT_BRIDGE_SERVICE_HOST", "LINKIT_BRIDGE_PORT_9464_TCP", "PATH"];
        let unknown: Vec<_> = unknown_variables(names.into_iter()).collect();
        assert_eq!(unknown, [("LINKIT_BRIDGE_STORE_INTERVALL", "LINKIT_BRIDGE_STORE_INTERVAL")]);
    }

    #[test]
    fn the_key_of_the_environment_joins_those_of_the_file() {
        let env = |name: &str| (name == "LINKIT_BRIDGE_API_KEY").then(|| "k".to_owned());
        let config = Config::parse("c", "web: { api_keys: [ { name: ops, sha256: '00' } ] }\n", &env).unwrap();
        let names: Vec<_> = config.web.api_keys.unwrap().into_iter().map(|key| key.name).collect();
        assert_eq!(names, ["ops", "environment"]);
    }
}
