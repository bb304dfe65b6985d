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
            // A forgotten colon makes a key of a value, which may be a secret.
            let field = field.split_whitespace().next().unwrap_or_default();
            format!("unknown key {field}; {}", suggestion(field, expected))
        }
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown value {variant}; {}", suggestion(variant, expected))
        }
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            format!("the key {} stands twice; keep one of them", key.as_deref().unwrap_or("here"))
        }
        other => plain(&other.to_string()),
    }
}

/// What the libraries say, in this project's words: the value to write instead of how it was parsed.
pub(super) fn plain(text: &str) -> String {
    let text = first_line(text);
    let text = text.split(" at line ").next().unwrap_or_default();
    let remedies = [
        ("\"friendly\" duration", "not a duration; write 250ms, 5s or 1m30s"),
        ("expected sequence", "not a list; write [ first, second ]"),
        ("expected parsable string", "not a size; write 64MiB or 1MB"),
    ];
    let remedy = remedies.into_iter().find(|(part, _)| text.contains(part));
    remedy.map_or_else(|| text.to_owned(), |(_, remedy)| remedy.to_owned())
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

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
