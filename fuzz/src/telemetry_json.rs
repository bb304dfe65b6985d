//! The documented JSON: each section is judged alone, what is taken of it is what another reader of JSON finds there, and
//! one with all its figures is always taken.

use linkit_bridge::catalog::{JsonUnit, Section, json_fields};
use linkit_bridge::collector::telemetry_json::parse;
use linkit_bridge::reading::Reading;
use serde_json::{Value, json};

use super::expvar::is_same;

/// Bytes in the document's MB.
const MEGABYTES: [u64; 2] = [1_000_000, 1 << 20];

pub fn check(input: &[u8]) {
    for megabyte in MEGABYTES {
        judge(input, megabyte);
    }
}

fn judge(input: &[u8], megabyte: u64) {
    let value: Option<Value> = serde_json::from_slice(input).ok();
    let parsed = parse(input, &Section::DOCUMENTED, megabyte);
    match &parsed {
        Err(error) => is_short_line(&error.to_string()),
        Ok(document) => {
            for (section, result) in &document.sections {
                match (result, &value) {
                    (Ok(readings), Some(value)) => section_is(section, &value[section.name()], readings, megabyte),
                    // The other reader refuses what is passed over here, such as a number beyond all floats.
                    (Ok(_), None) => {}
                    (Err(error), _) => is_short_line(&error.to_string()),
                }
            }
        }
    }
    // A section asked for alone is what it is among the others.
    for (at, section) in Section::DOCUMENTED.into_iter().enumerate() {
        let alone = parse(input, std::slice::from_ref(&section), megabyte);
        let alone = alone.map(|mut document| format!("{:?}", document.sections.remove(0)));
        let among = parsed.as_ref().map(|document| format!("{:?}", document.sections[at]));
        assert_eq!(alone.ok(), among.ok());
    }
    // Written anew, no key stands twice; then only the figures themselves can be wrong.
    for section in Section::DOCUMENTED {
        let anew = value.as_ref().and_then(|value| anew(&section, &value[section.name()], megabyte));
        if let Some(anew) = anew {
            let document = parse(anew.as_bytes(), &[section], megabyte).expect("a document that can be");
            assert!(document.sections[0].1.is_ok(), "{:?} in {anew}", document.sections);
        }
    }
}

fn bytes_of(unit: JsonUnit, megabyte: u64) -> u64 {
    if unit == JsonUnit::Megabytes { megabyte } else { 1 }
}

/// A document with that section alone, if all its figures are there, whole, not negative, and small enough.
fn anew(section: &Section, value: &Value, megabyte: u64) -> Option<String> {
    let mut fields = json!({});
    for (_, field) in json_fields(section) {
        let figure = value[field.name].as_u64()?;
        i64::try_from(figure.checked_mul(bytes_of(field.unit, megabyte))?).ok()?;
        fields[field.name] = figure.into();
    }
    Some(json!({ section.name(): fields }).to_string())
}

fn section_is(section: &Section, value: &Value, readings: &[Reading], megabyte: u64) {
    assert_eq!(readings.len(), json_fields(section).count());
    for ((figure, field), reading) in json_fields(section).zip(readings) {
        let taken = reading.value.expect("a document has all its values");
        let bytes = bytes_of(field.unit, megabyte);
        assert_eq!((reading.figure, taken % bytes), (figure.id, 0), "{}", field.name);
        assert!(is_same(&value[field.name], taken / bytes), "{} of {value} was taken for {taken}", field.name);
    }
}

/// What is said of a wrong answer is one line for a log, however long the answer is.
pub fn is_short_line(text: &str) {
    assert!(text.len() < 400 && !text.contains(char::is_control), "{text:?}");
}
