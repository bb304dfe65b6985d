//! What can be wrong with a configuration, in one line that names the place, the cause and the remedy.

use std::path::PathBuf;

use crate::yaml::Refusal;

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
    pub(super) fn of_file(file: &str, refusal: Refusal) -> Self {
        Self::Line { file: file.to_owned(), line: refusal.line, problem: refusal.problem }
    }
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
        assert_eq!(error, "bridge.yml:2: source: unknown value telemetry_json…; did you mean telemetry_json?");
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
