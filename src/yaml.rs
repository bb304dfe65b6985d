//! YAML files that people write: read strictly, and refused in one line that names the place, the cause and the remedy.
//!
//! What stands in such a file may be a secret in the wrong place, so an error quotes a word at most. It knows no setting;
//! each module reads its own file with its own types.

mod quantity;

pub(crate) use quantity::{LONGEST, duration, size};

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
    serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
        let error = error.without_snippet();
        // A map in the place of a word is told at its first key.
        let is_word = matches!(error, serde_saphyr::Error::SerdeUnknownVariant { .. });
        let opening = if is_word { OPENING_OF_WORDS } else { OPENING };
        Refusal { line, problem: problem(error, key_of(text, line, column, opening)) }
    })
}

/// Longest key that is named.
const KEY_CHARS_MAX: usize = 40;

/// What may stand between a key and the place of its value.
const OPENING: &[char] = &[' ', '[', '"', '\''];
const OPENING_OF_WORDS: &[char] = &[' ', '[', '"', '\'', '{'];

/// The key at a place, or that of the value there, if it stands in the same line and looks like one of a setting.
fn key_of<'a>(text: &'a str, line: u64, column: u64, opening: &[char]) -> Option<&'a str> {
    let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let (before, at) = line.split_at(line.char_indices().nth(column).map_or(line.len(), |(at, _)| at));
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let (ahead, key) = match before.trim_end_matches(opening).strip_suffix(':') {
        Some(before) => before.split_at(before.trim_end_matches(is_part).len()),
        None => (before, at.split_once(':')?.0),
    };
    // What stands before it is the start of a map or its last value, and no word: that would be a colon forgotten, and
    // this a secret.
    let is_key = ahead.trim_end().is_empty() || ahead.trim_end().ends_with(['{', ',', '-']);
    (is_key && key.chars().all(is_part) && (1..=KEY_CHARS_MAX).contains(&key.len())).then_some(key)
}

/// Longest text of a library, in characters: some repeat a value whole.
const PLAIN_CHARS_MAX: usize = 300;

/// What is wrong, with the key whose value it is where the error does not name one.
fn problem(error: &serde_saphyr::Error, key: Option<&str>) -> String {
    let of_key = |problem: String| key.map_or_else(|| problem.clone(), |key| format!("{key}: {problem}"));
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {}; {}", shown(field), suggestion(first_word(field), expected))
        }
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            let problem = format!("unknown value {}; {}", shown(variant), suggestion(first_word(variant), expected));
            // A map in lines of its own has the value for its key.
            if key == Some(variant) { problem } else { of_key(problem) }
        }
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "here".to_owned(), shown);
            format!("the key {key} stands twice; keep one of them")
        }
        other => {
            let problem = plain(&other.to_string());
            if problem.starts_with("the key ") { problem } else { of_key(problem) }
        }
    }
}

/// What the libraries say, in this project's words: the value to write instead of how it was parsed.
pub(crate) fn plain(text: &str) -> String {
    let text = first_line(text).split(" at line ").next().unwrap_or_default();
    let remedies = [
        ("\"friendly\" duration", "not a duration; write 250ms, 5s or 1m30s"),
        ("expected sequence", "not a list; write [ first, second ]"),
        ("expected parsable string", "not a size; write 64MiB or 1MB"),
        ("expected integer overflow", "not a size; write 64MiB or 1MB"),
        ("expected an integer or string", "not a size; write 64MiB or 1MB"),
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
