//! What outlives a restart of the bridge: the counter of completed items, and the last readings with their times.
//!
//! One small file in a directory of the bridge's own, replaced as a whole: after a crash it is the old one or the new
//! one. It holds no secret. Nothing in it stops a start: what is damaged, of an unknown version or of another source is
//! set aside and the bridge goes on as without. Knows files and readings, not who reads or shows them.

mod directory;
mod document;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::catalog::{FigureId, Kind, Section};
use crate::collector::completed::CompletedState;
use crate::reading::Readings;
pub use directory::{StateDirectory, check};
pub use document::{Unreadable, decode, encode};

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// Whether this is all there was: the last words of a bridge that stopped in order.
    pub is_final: bool,
    /// What each section's source is, as [`fingerprint`].
    pub sources: BTreeMap<Section, String>,
    /// The last readings.
    pub readings: Vec<Readings>,
    /// The counter of completed items; it belongs to the section staging.
    pub completed: Option<CompletedState>,
}

impl Saved {
    /// Drops what came from sources other than `sources`; returns the sections it came from.
    pub fn keep_only(&mut self, sources: &BTreeMap<Section, String>) -> Vec<Section> {
        let is_same = |section: &Section, held: &String| sources.get(section) == Some(held);
        let others = self.sources.extract_if(.., |section, held| !is_same(section, held));
        let others = others.map(|(section, _)| section).collect();
        self.readings.retain(|unit| self.sources.contains_key(&unit.section));
        self.completed = self.completed.take().filter(|_| self.sources.contains_key(&Section::Staging));
        others
    }

    /// The readings to show until there are new ones. A bridge that was killed had shown more than it kept: the
    /// counter of its own would seem to fall, which is a reset to all who read it, and is left out until it is read.
    #[must_use]
    pub fn into_readings(self) -> Vec<Readings> {
        let mut readings = self.readings;
        let is_own_counter = |id: FigureId| id.figure().kind == Kind::Counter && id.figure().json.is_empty();
        for unit in readings.iter_mut().filter(|_| !self.is_final) {
            unit.values.retain(|reading| !is_own_counter(reading.figure));
        }
        readings
    }
}

/// A source in the file: enough to tell it from another, and nothing of what it is called.
#[must_use]
pub fn fingerprint(source: &str) -> String {
    hex(&Sha256::digest(source)[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
