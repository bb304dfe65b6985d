//! The configuration: whatever stands in the file and in the environment, it is read or refused in one line, the same
//! each time, and no secret stands in that line or in what a config prints of itself.
//!
//! An input is the text of a file; after each NUL that follows, a number of a variable and its value.

use std::collections::BTreeMap;

use linkit_bridge::collector;
use linkit_bridge::collector::completed::Completed;
use linkit_bridge::config::{Config, VARIABLES};
use linkit_bridge::http_client::HttpClient;
use secrecy::ExposeSecret;

/// Stands for every secret.
const SECRET: &str = "hunter2";

/// What people write before a secret.
const BEFORE: [&str; 12] = [
    "api_key: ",
    "api_key:",
    "api_key ",
    "api_key: '",
    "api_key: \"",
    "api_key: [",
    "password: ",
    "password ",
    "key: ",
    "sha256: ",
    "authorization: ",
    "authorization: Bearer ",
];

pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (file, pairs) = text.split_once('\0').unwrap_or((&text, ""));
    let variables: BTreeMap<&str, &str> = pairs.split('\0').filter_map(variable).collect();
    let env = |name: &str| variables.get(name).map(|value| (*value).to_owned());

    let config = Config::parse("bridge.yml", file, &env);
    let again = Config::parse("bridge.yml", file, &env);
    match (config, again) {
        (Ok(config), Ok(again)) => {
            assert_eq!(config.hash, again.hash, "the same config has another hash");
            let said = format!("{config:?} {}", built(&config).unwrap_or_default());
            let is_secret = secrets(&config).any(|secret| secret == SECRET) && text.matches(SECRET).count() == 1;
            assert!(!is_secret || !said.contains(SECRET), "{said}");
        }
        (Err(error), Err(again)) => {
            let error = error.to_string();
            assert_eq!(error, again.to_string());
            assert!(!error.contains(char::is_control), "more than one line of text: {error:?}");
            // Elsewhere it is no secret: the name of a service that there is not may be told.
            let is_secret = file.match_indices(SECRET).all(|(at, _)| stands_before(&file[..at]));
            assert!(!is_secret || pairs.contains(SECRET) || !error.contains(SECRET), "{error}");
        }
        _ => panic!("a config is good at one time and bad at another"),
    }
}

/// Whether a text ends in one of [`BEFORE`], as a word of its own: `!password` is a tag.
fn stands_before(secret: &str) -> bool {
    let is_start = |rest: &str| rest.is_empty() || rest.ends_with([' ', '\n', '{', ',']);
    BEFORE.iter().filter_map(|words| secret.strip_suffix(words)).any(is_start)
}

/// What a config holds and must not tell.
fn secrets(config: &Config) -> impl Iterator<Item = &str> {
    let sections = [&config.runtime, &config.store, &config.staging].into_iter().flatten();
    let sections = sections.chain(config.custom.iter().flat_map(BTreeMap::values));
    let of_sections = sections.flat_map(|section| [&section.api_key, &section.password]).flatten();
    let keys = config.web.api_keys.iter().flatten().flat_map(|key| [&key.key, &key.sha256]).flatten();
    let headers =
        config.otlp.iter().flat_map(|otlp| &otlp.0).flat_map(|endpoint| &endpoint.headers).flat_map(BTreeMap::values);
    of_sections.chain(keys).chain(headers).map(ExposeSecret::expose_secret)
}

fn variable(text: &str) -> Option<(&'static str, &str)> {
    let number = usize::try_from(u32::from(text.chars().next()?)).ok()?;
    let (name, _) = VARIABLES[number % VARIABLES.len()];
    Some((name, &text[text.chars().next()?.len_utf8()..]))
}

/// Builds the collectors of a config; what was wrong with it. Where files of the machine would be read, nothing is built.
fn built(config: &Config) -> Option<String> {
    thread_local! {
        static HTTP: HttpClient = HttpClient::new();
    }
    let sections = [config.runtime.as_ref(), config.store.as_ref(), config.staging.as_ref()];
    let none = BTreeMap::new();
    let custom = config.custom.as_ref().unwrap_or(&none);
    let mut all = sections.into_iter().flatten().chain(custom.values());
    if all.any(|section| section.api_key_file.is_some() || section.password_file.is_some()) {
        return None;
    }
    let completed = Completed::default();
    let built = HTTP.with(|http| collector::config::build(sections, custom, config.megabyte(), http, &completed));
    let error = built.err()?.to_string();
    assert!(!error.contains('\n'), "more than one line: {error:?}");
    Some(error)
}
