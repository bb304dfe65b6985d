//! What a section reads, in one text: readings that were kept are of use only to a bridge that reads the same.

use std::collections::BTreeMap;

use super::{SectionConfig, SourceKind};
use crate::catalog::Section;

/// The identity of each section's source: its kind and the keys that choose what is read, not those of how. A section
/// that reads the bridge's own process has none, for that process has ended.
#[must_use]
pub fn identities(sections: [Option<&SectionConfig>; 3], megabyte: u64) -> BTreeMap<Section, String> {
    let sections = Section::DOCUMENTED.into_iter().zip(sections);
    sections.filter_map(|(section, config)| Some((section, config?.identity(megabyte)?))).collect()
}

impl SectionConfig {
    fn identity(&self, megabyte: u64) -> Option<String> {
        let source = self.source.filter(|source| *source != SourceKind::SelfRuntime)?;
        let path = |path: &std::path::PathBuf| path.display().to_string();
        // The bytes of a figure in MB follow from what an MB is.
        let megabyte = (source == SourceKind::TelemetryJson).then(|| megabyte.to_string());
        let keys = [
            ("pid", self.pid.map(|pid| pid.to_string())),
            ("pid_file", self.pid_file.as_ref().map(path)),
            ("name", self.name.clone()),
            ("path", self.path.as_ref().map(path)),
            ("collections", self.collections.as_ref().map(|collections| format!("{collections:?}"))),
            ("tables", self.tables.as_ref().map(|tables| format!("{tables:?}"))),
            ("table", self.table.clone()),
            ("status_column", self.status_column.clone()),
            ("completed_column", self.completed_column.clone()),
            ("completed_type", self.completed_type.map(|stored| format!("{stored:?}"))),
            ("states", self.states.as_ref().map(|states| format!("{states:?}"))),
            ("url", self.url.clone()),
            ("user", self.user.clone()),
            ("megabyte", megabyte),
        ];
        // Only keys that are set: a key of a later version changes nothing for those who do not use it.
        let set = keys.into_iter().filter_map(|(key, value)| Some(format!(" {key}={:?}", value?)));
        Some(std::iter::once(source.name().to_owned()).chain(set).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_makes_the_identity_and_how_does_not() {
        let of = |config: &SectionConfig| config.identity(1 << 20);
        let sqlite = SectionConfig {
            source: Some(SourceKind::Sqlite),
            path: Some("/srv/data.db".into()),
            ..SectionConfig::default()
        };
        let often = SectionConfig { interval: Some(std::time::Duration::from_secs(1)), ..sqlite.clone() };
        let other = SectionConfig { path: Some("/srv/other.db".into()), ..sqlite.clone() };
        assert_eq!(of(&sqlite).unwrap(), r#"sqlite path="/srv/data.db""#);
        assert_eq!(of(&sqlite), of(&often));
        assert_ne!(of(&sqlite), of(&other));
        assert_eq!(of(&SectionConfig { source: Some(SourceKind::SelfRuntime), ..SectionConfig::default() }), None);
    }
}
