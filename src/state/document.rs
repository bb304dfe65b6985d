//! The file's text: a format, a version, and a payload under its SHA-256. Figures are written by their OpenTelemetry
//! names, so that another version of the bridge reads those that it knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Saved, hex};
use crate::catalog::{FIGURES, Section};
use crate::clock::{Day, Moment, Wall};
use crate::collector::completed::CompletedState;
use crate::reading::{Reading, Readings};

const FORMAT: &str = "linkit-bridge state";
const VERSION: u64 = 1;

/// Why a text is not the state of a bridge of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no such text, or only a part of it, or was changed.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// It is of a version that is not known here.
    #[error("its version is {0}, and this bridge knows {VERSION}")]
    Version(u64),
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: &'a str,
    version: u64,
    sha256: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    is_final: bool,
    sources: BTreeMap<String, String>,
    readings: Vec<Unit>,
    completed: Option<CompletedState>,
}

#[derive(Serialize, Deserialize)]
struct Unit {
    section: String,
    unit: String,
    taken: Wall,
    day: Day,
    version: Option<String>,
    values: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct Value {
    figure: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    /// Absent where the source cannot know the figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Wall>,
}

/// The text of a state. Custom figures are not in it: they are read again within an interval.
///
/// # Errors
/// None that is known: all keys are texts and all values numbers or texts.
pub fn encode(saved: &Saved) -> serde_json::Result<String> {
    let payload = Payload {
        is_final: saved.is_final,
        sources: saved.sources.iter().map(|(section, source)| (section.name().to_owned(), source.clone())).collect(),
        readings: saved.readings.iter().filter(|unit| unit.section.is_documented()).map(unit_of).collect(),
        completed: saved.completed.clone(),
    };
    let payload = serde_json::value::to_raw_value(&payload)?;
    let sha256 = hex(&Sha256::digest(payload.get()));
    let envelope = Envelope { format: FORMAT, version: VERSION, sha256: &sha256, payload: &payload };
    Ok(serde_json::to_string(&envelope)? + "\n")
}

/// The state of a text, its times placed on the clocks that show `now`.
///
/// # Errors
/// When the text is not the whole of what [`encode`] made, or of another version. What it names and this version does
/// not know is left out.
pub fn decode(text: &str, now: Moment) -> Result<Saved, Unreadable> {
    let damaged = |error: serde_json::Error| Unreadable::Damaged(error.to_string());
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(damaged)?;
    if envelope.format != FORMAT {
        return Err(Unreadable::Damaged("another program's file".to_owned()));
    }
    if envelope.version != VERSION {
        return Err(Unreadable::Version(envelope.version));
    }
    if hex(&Sha256::digest(envelope.payload.get())) != envelope.sha256 {
        return Err(Unreadable::Damaged("its checksum does not fit".to_owned()));
    }
    let payload: Payload = serde_json::from_str(envelope.payload.get()).map_err(damaged)?;
    let sources = payload.sources.into_iter();
    Ok(Saved {
        is_final: payload.is_final,
        sources: sources.filter_map(|(name, source)| Some((section_of(&name)?, source))).collect(),
        readings: payload.readings.into_iter().filter_map(|unit| readings_of(unit, now)).collect(),
        completed: payload.completed,
    })
}

fn section_of(name: &str) -> Option<Section> {
    Section::DOCUMENTED.into_iter().find(|section| section.name() == name)
}

fn unit_of(readings: &Readings) -> Unit {
    let value_of = |reading: &Reading| Value {
        figure: reading.figure.figure().name.to_owned(),
        attributes: reading.attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        value: reading.value,
        start: reading.start,
    };
    Unit {
        section: readings.section.name().to_owned(),
        unit: readings.unit.clone(),
        taken: readings.taken.wall,
        day: readings.day,
        version: readings.version.clone(),
        values: readings.values.iter().map(value_of).collect(),
    }
}

fn readings_of(unit: Unit, now: Moment) -> Option<Readings> {
    let section = section_of(&unit.section)?;
    let taken = now.back_to(unit.taken);
    // A day that is yet to come, as its time: the clock was ahead when they were noted.
    let day = if unit.taken > now.wall { unit.day.min(now.wall.day()) } else { unit.day };
    let values: Vec<_> = unit.values.into_iter().filter_map(|value| reading_of(value, &section)).collect();
    let readings = Readings { unit: unit.unit, day, version: unit.version, ..Readings::new(section, taken, values) };
    Some(readings).filter(|readings| !readings.values.is_empty())
}

/// The reading, if its figure, its attributes and its value are possible in this version.
fn reading_of(value: Value, section: &Section) -> Option<Reading> {
    let figure = FIGURES.iter().find(|figure| figure.name == value.figure && figure.section == Some(section))?;
    let key_of = |key: &str| figure.attributes.iter().copied().find(|known| *known == key);
    let attributes: Option<Vec<_>> =
        value.attributes.into_iter().map(|(key, value)| Some((key_of(&key)?, value))).collect();
    let is_possible = value.value.is_none_or(|value| i64::try_from(value).is_ok());
    let reading = Reading { figure: figure.id, attributes: attributes?, value: value.value, start: value.start };
    is_possible.then_some(reading)
}
