//! What can be wrong with a configuration, in one line that names the place, the cause and the remedy.

use std::path::PathBuf;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {cause}; name a readable file with --config.file", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A line of the file is wrong.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// Values that do not go together.
    #[error("{file}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A variable of the environment is wrong.
    #[error("{name}: {problem}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl ConfigError {
    pub(super) fn of_file(file: &str, error: &serde_saphyr::Error) -> Self {
        let line = error.location().map_or(1, |location| location.line());
        Self::Line { file: file.to_owned(), line, problem: problem(error.without_snippet()) }
    }
}

fn problem(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {}; {}", shown(field), suggestion(first_word(field), expected))
        }
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown value {}; {}", shown(variant), suggestion(first_word(variant), expected))
        }
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "here".to_owned(), shown);
            format!("the key {key} stands twice; keep one of them")
        }
        other => plain(&other.to_string()),
    }
}

/// What the libraries say, in this project's words: the value to write instead of how it was parsed.
pub(super) fn plain(text: &str) -> String {
    let text = first_line(text).split(" at line ").next().unwrap_or_default();
    let remedies = [
        ("\"friendly\" duration", "not a duration; write 250ms, 5s or 1m30s"),
        ("expected sequence", "not a list; write [ first, second ]"),
        ("expected parsable string", "not a size; write 64MiB or 1MB"),
    ];
    let remedy = remedies.into_iter().find(|(part, _)| text.contains(part));
    remedy.map_or_else(|| without_quoted(text), |(_, remedy)| remedy.to_owned())
}

/// What stands in a file, for an error: its first word, for after a forgotten colon the rest may be a secret.
fn shown(text: &str) -> String {
    let word = first_word(text);
    if word.len() < text.len() { format!("{word}…") } else { word.to_owned() }
}

fn first_word(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || ['_', '-', '.', '/'].contains(&c);
    text.split(|c| !is_part(c)).next().unwrap_or_default()
}

/// What a library says, without the value it quotes, which may be a secret too.
fn without_quoted(text: &str) -> String {
    match (text.find('"'), text.rfind('"')) {
        (Some(start), Some(end)) if start < end => format!("{}…{}", &text[..=start], &text[end..]),
        _ => text.to_owned(),
    }
}

/// The nearest known word, or all of them when none is near.
fn suggestion(word: &str, known: &[&str]) -> String {
    let nearest =
        known.iter().map(|known| (strsim::jaro_winkler(word, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((similarity, known)) if similarity > 0.8 => format!("did you mean {known}?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

/// A value of the environment may bring more lines than one, or what a terminal would take for a command.
fn first_line(text: &str) -> &str {
    text.split(char::is_control).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(text: &str) -> String {
        Config::parse("bridge.yml", text, &|_| None).unwrap_err().to_string()
    }

    #[test]
    fn behind_a_forgotten_colon_a_secret_is_not_told() {
        let error = refused("store:\n  source: telemetry_json\n    api_key hunter2\n");
        assert_eq!(error, "bridge.yml:2: unknown value telemetry_json…; did you mean telemetry_json?");
        for text in [
            "store: api_key hunter2\n",
            "store:\n  api_key hunter2\n",
            "store:\n  api_key hunter2:\n",
            "store: { api_key hunter2: 1, api_key hunter2: 2 }\n",
            "store: { interval: 5s api_key hunter2 }\n",
            "store: { source: [api_key hunter2] }\n",
            "store: { collections: api_key hunter2 }\n",
            "store: { pid: api_key hunter2 }\n",
            "web: { api_keys: key hunter2 }\n",
            "web: { api_keys: [key hunter2] }\n",
            "otlp: { protocol: http/protobuf\n  authorization hunter2 }\n",
            "otlp: { headers: authorization hunter2 }\n",
            "otlp: { queue: { max_bytes: 1MiB\n key hunter2 } }\n",
            "staging: { states: password hunter2 }\n",
            "megabyte: key hunter2\n",
            "web: { page: { target_info: key hunter2 } }\n",
            "- api_key hunter2\n",
            "api_key hunter2\n",
            "? api_key hunter2\n",
            "*hunter2\n",
            "a: !hunter2 b\n",
        ] {
            let error = refused(text);
            assert!(!error.contains("hunter2"), "{text} → {error}");
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_the_environment_holds() {
        let env = |name: &str| (name == "LINKIT_BRIDGE_STORE_SOURCE").then(|| "sqlite\r\u{1b}[2Jforged\n".to_owned());
        let error = Config::parse("c", "", &env).unwrap_err().to_string();
        assert!(!error.contains(char::is_control) && error.contains("unknown variant"), "{error:?}");
    }
}
