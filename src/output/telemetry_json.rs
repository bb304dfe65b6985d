//! The documented JSON, `GET /api/v1/telemetry`, byte-compatible: the document's fields in its order, integers only.
//!
//! Pure: a snapshot in, a body out. Fields, their order and their units come from the catalogue; this module knows no
//! source and no HTTP. What it does with absence: a figure its source cannot know is 0 and named beside the body; a
//! section that was never read or has expired makes the whole document unavailable. Never a null, a float or a missing
//! key. The next field is one more `json` entry in the catalogue, and nothing here.

use serde::{Serialize, Serializer};

use crate::catalog::{JsonUnit, Section, json_fields};
use crate::clock::Moment;
use crate::registry::{Number, SectionStatus, Snapshot};

/// What `version` says when neither the configuration nor a source states one: the documented shape's own.
const DOCUMENT_VERSION: &str = "1.0.0";

/// How the document is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonConfig {
    /// The `version` of the document; `None` for the one the source states of itself.
    pub version: Option<String>,
    /// Bytes in a megabyte, for the fields ending in `_mb`; 0 counts as 1.
    pub megabyte: u64,
}

impl Default for JsonConfig {
    fn default() -> Self {
        Self { version: None, megabyte: 1 << 20 }
    }
}

/// The document, and what its integers cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The compact JSON.
    pub body: Vec<u8>,
    /// Sections whose figures are old.
    pub stale: Vec<String>,
    /// Fields that are 0 because their source cannot know them, such as `runtime.gc_pause_ns`.
    pub absent: Vec<String>,
}

/// Why there is no document at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{details}")]
pub struct Unavailable {
    /// Each section that stands in the way, with its cause.
    pub details: String,
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    measured: String,
    runtime: Fields,
    store: Fields,
    staging: Fields,
}

/// A section's fields in the document's order; a map would sort them.
struct Fields(Vec<(&'static str, u64)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Renders the document.
///
/// # Errors
/// If a section has no source, has not been read whole yet, or has expired.
pub fn render(snapshot: &Snapshot, config: &JsonConfig) -> Result<Rendered, Unavailable> {
    let obstacles: Vec<_> = snapshot.sections.iter().filter_map(|status| obstacle(snapshot, status)).collect();
    if !obstacles.is_empty() {
        return Err(Unavailable { details: obstacles.join("; ") });
    }
    let mut absent = Vec::new();
    let document = Document {
        version: config.version.as_deref().or(snapshot.source_version.as_deref()).unwrap_or(DOCUMENT_VERSION),
        measured: oldest(snapshot).wall.to_rfc3339(),
        runtime: fields(snapshot, &Section::Runtime, config, &mut absent)?,
        store: fields(snapshot, &Section::Store, config, &mut absent)?,
        staging: fields(snapshot, &Section::Staging, config, &mut absent)?,
    };
    let body = serde_json::to_vec(&document)
        .map_err(|error| Unavailable { details: format!("the document could not be written: {error}") })?;
    let is_stale = |status: &&SectionStatus| status.age.name() == "stale";
    let stale = snapshot.sections.iter().filter(is_stale).map(|status| status.section.name().to_owned()).collect();
    Ok(Rendered { body, stale, absent })
}

/// What keeps a section out of the document, if anything does.
fn obstacle(snapshot: &Snapshot, status: &SectionStatus) -> Option<String> {
    let name = status.section.name();
    if !status.has_source {
        return Some(format!("{name}: no source is configured"));
    }
    let collector = snapshot.collectors.iter().find(|collector| collector.section == status.section);
    let error = collector.and_then(|collector| collector.last_error.as_ref());
    let cause = error.map(|(class, _)| format!(", last error: {class}")).unwrap_or_default();
    match status.measured {
        _ if status.age.is_shown() => None,
        Some(measured) => Some(format!("{name}: expired, last read {}{cause}", measured.wall.to_rfc3339())),
        None => Some(format!("{name}: not read yet, missing {}{cause}", status.missing.join(", "))),
    }
}

/// The time of the oldest section.
fn oldest(snapshot: &Snapshot) -> Moment {
    let times = snapshot.sections.iter().filter_map(|status| status.measured);
    times.min_by_key(|time| time.mono).unwrap_or(snapshot.at)
}

fn fields(
    snapshot: &Snapshot,
    section: &Section,
    config: &JsonConfig,
    absent: &mut Vec<String>,
) -> Result<Fields, Unavailable> {
    let mut fields = Vec::new();
    for (figure, field) in json_fields(section) {
        let value = if snapshot.section(section).is_some_and(|status| status.absent.contains(&field.name)) {
            absent.push(format!("{}.{}", section.name(), field.name));
            0
        } else {
            let number = snapshot.value(figure.id, field.series);
            number.and_then(|number| whole(number, field.unit, config.megabyte)).ok_or_else(|| Unavailable {
                details: format!("{}: {} could not be collected, see the bridge's log", section.name(), field.name),
            })?
        };
        fields.push((field.name, value));
    }
    Ok(Fields(fields))
}

/// The field's integer; `None` for what the document cannot hold.
#[expect(clippy::cast_possible_truncation, reason = "rounded, finite, and a float beyond i128 saturates out of range")]
fn whole(number: Number, unit: JsonUnit, megabyte: u64) -> Option<u64> {
    let value = match (unit, number) {
        (JsonUnit::Same, Number::Int(int)) => int,
        (JsonUnit::Megabytes, Number::Int(int)) => int.div_euclid(megabyte.max(1).into()),
        (JsonUnit::Nanoseconds, Number::Int(int)) => int.checked_mul(1_000_000_000)?,
        (JsonUnit::Nanoseconds, Number::Float(float)) if float.is_finite() => (float * 1e9).round() as i128,
        (_, Number::Float(_)) => return None,
    };
    u64::try_from(value).ok().filter(|value| *value <= i64::MAX.cast_unsigned())
}

#[cfg(test)]
pub(crate) mod tests;
