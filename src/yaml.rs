//! YAML files that people write: read strictly, and refused in one line that names the place, the cause and the remedy.
//!
//! What stands in such a file may be a secret in the wrong place, so an error quotes a word at most. It knows no setting;
//! each module reads its own file with its own types.

use serde::de::DeserializeOwned;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The line, from 1.
    pub(crate) line: u64,
    /// What is wrong there.
    pub(crate) problem: String,
}

/// Reads one document; a text without any content is the default.
pub(crate) fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Refusal> {
    let is_content = |line: &str| !["", "---", "..."].contains(&line.trim()) && !line.trim_start().starts_with('#');
    if !text.trim_start_matches('\u{feff}').lines().any(is_content) {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| Refusal {
        line: error.location().map_or(1, |location| location.line()),
        problem: problem(error.without_snippet()),
    })
}

/// Longest text of a library, in characters: some repeat a value whole.
const PLAIN_CHARS_MAX: usize = 300;

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
pub(crate) fn plain(text: &str) -> String {
    let text = first_line(text).split(" at line ").next().unwrap_or_default();
    let remedies = [
        ("\"friendly\" duration", "not a duration; write 250ms, 5s or 1m30s"),
        ("expected sequence", "not a list; write [ first, second ]"),
        ("expected parsable string", "not a size; write 64MiB or 1MB"),
        ("expected string scalar", "not a single value; write one, in quotes if it has signs of YAML"),
        ("expected mapping start", "not a map; write key: value"),
        ("simple key expected", "a colon is missing behind a key; write key: value"),
        ("unclosed quote", "a quote is opened and never closed; close it"),
        ("tab", "a tab stands where YAML has spaces; indent by spaces"),
        ("unexpected character", "a character that YAML does not have, perhaps one that is not seen; remove it"),
        ("unknown anchor", "an alias without its anchor; write the value out, in quotes if it begins with *"),
        ("recursive references", "an anchor within itself; write the value out"),
        ("only valid inside a block", "a list in dashes within braces; write it as [ first, second ]"),
        ("YAML major version", "a version of YAML that is not known; leave the line out"),
        ("recursion limit", "nested deeper than any setting is; take the outer brackets away"),
        ("budget breached", "nested or repeated more than any setting is; write it out plainly"),
        ("non-finite float", "a number without end; write one that is meant"),
    ];
    if let Some(key) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("the key {} is missing; add it", shown(key));
    }
    let remedy = remedies.into_iter().find(|(part, _)| text.contains(part));
    remedy.map_or_else(|| without_quoted(text), |(_, remedy)| remedy.to_owned()).chars().take(PLAIN_CHARS_MAX).collect()
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
