//! What a section reads, in one text: readings that were kept, over a restart or a reload, are of use only where the
//! same is read. And what a collector is in all, secrets included: one that is the same need not be stopped.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{SectionConfig, SourceKind};
use crate::catalog::{CUSTOM_PREFIX, FigureId, Section};

/// What a section reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The kind of its source.
    pub source: SourceKind,
    /// Where it reads, and what of all that cannot be told apart.
    place: String,
    /// What is asked for each unit, where one section asks several things.
    units: Option<BTreeMap<String, String>>,
}

impl Reads {
    /// Whether the source is the same as that of `before`.
    #[must_use]
    pub fn is_same_source(&self, before: &Self) -> bool {
        (self.source, &self.place) == (before.source, &before.place)
    }

    /// Whether a unit that `before` read is read here too, and the same.
    #[must_use]
    pub fn has_unit_of(&self, before: &Self, unit: &str) -> bool {
        let of = |reads: &Self| reads.units.as_ref().map(|units| units.get(unit).cloned());
        let (held, now) = (of(before), of(self));
        self.is_same_source(before) && held == now && now != Some(None)
    }
}

/// What each section reads, those of the operator's own figures too.
#[must_use]
pub fn reads(
    sections: [Option<&SectionConfig>; 3],
    custom: &BTreeMap<String, SectionConfig>,
    megabyte: u64,
) -> BTreeMap<Section, Reads> {
    let documented = Section::DOCUMENTED.into_iter().zip(sections);
    let documented = documented.filter_map(|(section, config)| Some((section, config?)));
    let custom = custom.iter().map(|(name, config)| (Section::Custom(name.as_str().into()), config));
    let reads = |(section, config): (Section, &SectionConfig)| {
        let reads = config.reads(&section, megabyte)?;
        Some((section, reads))
    };
    documented.chain(custom).filter_map(reads).collect()
}

/// All that makes a collector what it is, of one or several sections: its settings, and its secret as it is now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(
        sections: &[Section],
        config: &SectionConfig,
        secret: Option<&SecretString>,
        megabyte: u64,
    ) -> Self {
        let mut digest = Sha256::new();
        // Secrets do not stand in the text, files of secrets by their names alone.
        let text = format!("{sections:?} {config:?} {megabyte}");
        for part in [text.as_bytes(), secret.map_or(&[][..], |secret| secret.expose_secret().as_bytes())] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// The identity of each section's source: its kind and the keys that choose what is read, not those of how. A section
/// that reads the bridge's own process has none, for that process has ended.
#[must_use]
pub fn identities(sections: [Option<&SectionConfig>; 3], megabyte: u64) -> BTreeMap<Section, String> {
    let sections = Section::DOCUMENTED.into_iter().zip(sections);
    sections.filter_map(|(section, config)| Some((section, config?.identity(megabyte)?))).collect()
}

impl SectionConfig {
    fn reads(&self, section: &Section, megabyte: u64) -> Option<Reads> {
        let source = self.source?;
        let units = match section {
            Section::Store if source.is_database() => Some(self.collections_by_table()),
            Section::Custom(_) => {
                let figures = self.figures.iter().flatten();
                Some(figures.map(|figure| (format!("{CUSTOM_PREFIX}{}", figure.name), format!("{figure:?}"))).collect())
            }
            _ => None,
        };
        // What is asked unit by unit is no part of the place.
        let config = if units.is_some() {
            Self { collections: None, tables: None, figures: None, ..self.clone() }
        } else {
            self.clone()
        };
        let mut place = config.identity(megabyte).unwrap_or_else(|| source.name().to_owned());
        if source == SourceKind::Go {
            // A page that is asked no more would leave its figures to grow old.
            place = format!("{place} {:?} {:?} {:?}", self.expvar, self.metrics, self.pprof);
        }
        Some(Reads { source, place, units })
    }

    /// The collections of a store, each with its table.
    fn collections_by_table(&self) -> BTreeMap<String, String> {
        let documented = || FigureId::StoreRecords.figure().json.iter().map(|field| field.name.to_owned()).collect();
        let collections: Vec<String> = self.collections.clone().unwrap_or_else(documented);
        let table = |name: &String| self.tables.as_ref().and_then(|tables| tables.get(name)).unwrap_or(name).clone();
        collections.iter().map(|name| (name.clone(), table(name))).collect()
    }

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
    fn a_unit_is_kept_where_the_same_is_asked_of_the_same_source() {
        let store = |path: &str, tables: &[(&str, &str)], collections: Option<&[&str]>| {
            let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
            let config = SectionConfig {
                source: Some(SourceKind::Sqlite),
                path: Some(path.into()),
                tables: Some(tables.iter().map(owned).collect()),
                collections: collections.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
                ..SectionConfig::default()
            };
            config.reads(&Section::Store, 1 << 20).unwrap()
        };
        let before = store("/a", &[], None);
        let after = store("/a", &[("skus", "other")], Some(&["skus", "orders", "more"]));
        let kept = ["skus", "orders", "products", "more"].map(|unit| after.has_unit_of(&before, unit));
        assert_eq!(kept, [false, true, false, false]);
        assert!(after.is_same_source(&before));
        assert!(!store("/b", &[], None).has_unit_of(&before, "orders"));
        let runtime = |source| {
            let config = SectionConfig { source: Some(source), ..SectionConfig::default() };
            config.reads(&Section::Runtime, 1 << 20).unwrap()
        };
        let own = runtime(SourceKind::SelfRuntime);
        assert!(own.has_unit_of(&own.clone(), "") && !runtime(SourceKind::Process).has_unit_of(&own, ""));
    }

    #[test]
    fn a_fingerprint_follows_each_setting_and_the_secret() {
        let of = |interval: u64, secret: &str| {
            let config =
                SectionConfig { interval: Some(std::time::Duration::from_secs(interval)), ..Default::default() };
            Fingerprint::of(&[Section::Store], &config, Some(&secret.into()), 0)
        };
        assert!(of(1, "a") == of(1, "a") && of(1, "a") != of(2, "a") && of(1, "a") != of(1, "b"));
    }

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
