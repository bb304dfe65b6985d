//! The documented JSON, judged section by section. Pure: bytes in, readings or reasons out.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::catalog::{Figure, JsonField, JsonUnit, Section, json_fields};
use crate::clock::Wall;
use crate::collector::number::{Flaw, whole};
use crate::collector::{CollectError, ErrorClass};
use crate::reading::Reading;

/// The document nests to 2; deeper than this, it is made to hurt.
const DEPTH_MAX: usize = 64;

/// A version is a word or two, not a place for megabytes.
const VERSION_BYTES_MAX: usize = 128;

const REMEDY: &str = "compare the answer with the documented json";

/// A document as far as it is needed.
#[derive(Debug)]
pub struct Document {
    /// What the source says of its version; `None` if it says nothing that can be used.
    pub version: Option<String>,
    /// When the source measured; `None` if it says nothing that can be read.
    pub measured: Option<Wall>,
    /// The sections asked for: their readings, or why the section is void.
    pub sections: Vec<(Section, Result<Vec<Reading>, CollectError>)>,
}

/// Reads `sections` of a document whose megabytes have `megabyte` bytes. Unknown keys are passed over.
///
/// # Errors
/// Fails with [`ErrorClass::Syntax`] if the whole is not one JSON object with distinct keys; what is wrong inside a
/// section stands in its place in [`Document::sections`].
pub fn parse(body: &[u8], sections: &[Section], megabyte: u64) -> Result<Document, CollectError> {
    let syntax = |cause: &str| {
        CollectError::new(ErrorClass::Syntax, format!("the answer is not the documented json: {cause}; {REMEDY}"))
    };
    let text = str::from_utf8(body).map_err(|_| syntax("it is not utf-8"))?;
    if is_deep(text) {
        return Err(syntax("it nests too deep"));
    }
    let members = object(text).map_err(|cause| syntax(&cause))?;
    let sections =
        sections.iter().map(|section| (section.clone(), read_section(&members, section, megabyte))).collect();
    let version = text_of(&members, "version").filter(|version| version.len() <= VERSION_BYTES_MAX);
    let measured = text_of(&members, "measured").and_then(|measured| Wall::parse_rfc3339(&measured));
    Ok(Document { version, measured, sections })
}

fn read_section(members: &Members<'_>, section: &Section, megabyte: u64) -> Result<Vec<Reading>, CollectError> {
    let name = section.name();
    let raw = members.get(name).ok_or_else(|| missing(name))?.get();
    if !raw.starts_with('{') {
        return Err(wrong_type(name, raw, "an object"));
    }
    let members =
        object(raw).map_err(|cause| CollectError::new(ErrorClass::Syntax, format!("{name}: {cause}; {REMEDY}")))?;
    json_fields(section).map(|(figure, field)| read_field(&members, name, figure, field, megabyte)).collect()
}

fn read_field(
    members: &Members<'_>,
    section: &str,
    figure: &Figure,
    field: &JsonField,
    megabyte: u64,
) -> Result<Reading, CollectError> {
    let path = format!("{section}.{}", field.name);
    let raw = members.get(field.name).ok_or_else(|| missing(&path))?.get();
    if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(wrong_type(&path, raw, "a whole number"));
    }
    let value = whole(raw).and_then(|value| in_figures_unit(value, field.unit, megabyte)).map_err(|flaw| {
        let (class, what) = match flaw {
            Flaw::Fraction => (ErrorClass::Type, "not whole"),
            Flaw::Negative => (ErrorClass::Range, "negative"),
            Flaw::TooLarge => (ErrorClass::Range, "too large for 64 bits"),
        };
        CollectError::new(class, format!("{path} is {what} ({}); {REMEDY}", clipped(raw)))
    })?;
    Ok(match (field.series, figure.attributes.first()) {
        (Some(series), Some(key)) => Reading::of_series(figure.id, key, series, value),
        _ => Reading::of(figure.id, value),
    })
}

/// Readings are in bytes and nanoseconds; the document's nanoseconds already are.
fn in_figures_unit(value: u64, unit: JsonUnit, megabyte: u64) -> Result<u64, Flaw> {
    match unit {
        JsonUnit::Same | JsonUnit::Nanoseconds => Ok(value),
        JsonUnit::Megabytes => {
            value.checked_mul(megabyte).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or(Flaw::TooLarge)
        }
    }
}

fn missing(path: &str) -> CollectError {
    CollectError::new(ErrorClass::Missing, format!("{path} is missing; {REMEDY}"))
}

fn wrong_type(path: &str, raw: &str, wanted: &str) -> CollectError {
    let what = match raw.bytes().next() {
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        _ => "a number",
    };
    CollectError::new(ErrorClass::Type, format!("{path} is {what}, not {wanted}; {REMEDY}"))
}

/// A number for a message: hostile ones are as long as the body.
fn clipped(number: &str) -> String {
    number.get(..32).map_or_else(|| number.to_owned(), |start| format!("{start}…"))
}

fn text_of(members: &Members<'_>, key: &str) -> Option<String> {
    serde_json::from_str(members.get(key)?.get()).ok()
}

/// Whether brackets nest deeper than [`DEPTH_MAX`]. serde_json counts only what it enters, not what it passes over.
pub(in crate::collector) fn is_deep(text: &str) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// The members of an object, each as the text it was written in.
type Members<'a> = HashMap<String, &'a RawValue>;

/// The members of the object that `text` is, or what is wrong with it, told by place and never by content.
fn object(text: &str) -> Result<Members<'_>, String> {
    if !text.trim_start().starts_with('{') {
        return Err("it is not an object".into());
    }
    serde_json::from_str::<Object<'_>>(text).map(|object| object.0).map_err(|error| error.to_string())
}

/// An object that refuses a key written twice: which of the two is true nobody can say.
struct Object<'a>(Members<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Distinct)
    }
}

struct Distinct;

impl<'de> Visitor<'de> for Distinct {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = HashMap::new();
        while let Some((key, value)) = map.next_entry()? {
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Object(members))
    }
}
