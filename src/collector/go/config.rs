//! What operators set for this source, and what cannot be.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Largest answer in bytes: a page of 5,000 series with room. There may be three of them in memory at once.
const BODY_BYTES_MAX: usize = 2 << 20;

/// One of the program's pages: where it is, or that it is not to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// At its usual path.
    Default,
    /// At this path.
    Path(String),
    /// Switched off.
    Off,
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathOrSwitch)
    }
}

struct PathOrSwitch;

impl Visitor<'_> for PathOrSwitch {
    type Value = Route;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path such as /debug/vars, or false")
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<Route, E> {
        Ok(if is_on { Route::Default } else { Route::Off })
    }

    /// A variable of the environment is always a text.
    fn visit_str<E: Error>(self, text: &str) -> Result<Route, E> {
        Ok(match text.trim() {
            "false" => Route::Off,
            "true" => Route::Default,
            path => Route::Path(path.to_owned()),
        })
    }
}

/// What the collector needs to know.
#[derive(Clone, Debug)]
pub struct GoConfig {
    /// The program's base, as `http://127.0.0.1:8090`; the paths follow it.
    pub url: String,
    /// Its expvar page; by default `/debug/vars`.
    pub expvar: Route,
    /// Its scrape page; by default `/metrics`.
    pub metrics: Route,
    /// Its goroutine profile; by default `/debug/pprof/goroutine?debug=1`.
    pub pprof: Route,
    /// Largest answer in bytes.
    pub body_bytes_max: usize,
    /// Time after which the scheduler cancels an attempt. A request gets nine tenths of it, so that one that is too
    /// slow does not take the answers of the others with it.
    pub timeout: Duration,
}

impl GoConfig {
    /// Reads what the program at `url` serves at the usual paths, answers of up to 2 MiB, within 5 s.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            expvar: Route::Default,
            metrics: Route::Default,
            pprof: Route::Default,
            body_bytes_max: BODY_BYTES_MAX,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Why the collector cannot be built. No text holds the url, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoError {
    /// The url cannot be parsed, or its scheme is another.
    #[error("url is not an http or https address; write it as http://host:port")]
    Url,
    /// The url has user info.
    #[error("url holds a user name or password, which this source does not send; leave them out")]
    UserInfo,
    /// The url has a query.
    #[error("url holds a query; leave it out, and name paths in expvar, metrics and pprof")]
    Query,
    /// A path is none.
    #[error("{0} is not a path; begin it with / such as {1}, or set false")]
    Path(&'static str, &'static str),
    /// Nothing is left to ask for.
    #[error("expvar, metrics and pprof are all false; leave one of them on")]
    Nothing,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::collector::completed::Completed;
    use crate::collector::config::{BuildError, Built, SectionConfig, build};
    use crate::http_client::HttpClient;

    fn built(sections: [Option<&SectionConfig>; 3]) -> Result<Built, BuildError> {
        build(sections, &BTreeMap::new(), 1 << 20, &HttpClient::new(), &Completed::default())
    }

    #[test]
    fn a_route_is_a_path_or_a_switch_in_the_file_and_in_the_environment() {
        for (json, route) in [
            ("false", Route::Off),
            ("true", Route::Default),
            ("\"false\"", Route::Off),
            ("\"true\"", Route::Default),
            ("\"/vars\"", Route::Path("/vars".to_owned())),
        ] {
            assert_eq!(serde_json::from_str::<Route>(json).unwrap(), route, "{json}");
        }
        let config = |source: &str, key: &str| {
            let json = format!("{{\"source\": \"{source}\", \"url\": \"http://a\", \"{key}\": \"/x\"}}");
            serde_json::from_str::<SectionConfig>(&json).unwrap()
        };
        for key in ["expvar", "metrics", "pprof"] {
            assert_eq!(built([Some(&config("go", key)), None, None]).unwrap().plans.len(), 1);
            let error = built([Some(&config("telemetry_json", key)), None, None]).err().unwrap().to_string();
            assert_eq!(error, format!("runtime: {key} has no meaning for source telemetry_json here; remove it"));
        }
        for key in ["api_key", "path"] {
            let error = built([Some(&config("go", key)), None, None]).err().unwrap();
            assert!(error.to_string().contains("has no meaning for source go"), "{error}");
        }
        let error = built([None, Some(&config("go", "expvar")), None]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "store: source go cannot read this section; use sqlite or postgres or mysql or telemetry_json"
        );
        let error = serde_json::from_str::<Route>("[1]").unwrap_err().to_string();
        assert!(error.contains("a path such as /debug/vars, or false"), "{error}");
    }
}
