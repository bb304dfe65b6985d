//! Selection: a page of some sections only, as exporters with collectors offer it by `collect[]`.
//!
//! What is on the whole page decides what is on a part of it: a selection never shows what the whole page does not.

use std::fmt;

use crate::catalog::{FIGURES, Section};
use crate::registry::{Family, Snapshot};

/// The part of the page with the bridge's own figures.
const BRIDGE: &str = "bridge";

/// The part with everything that is not the bridge's: instruments of an embedding program, and joined families, the
/// process collector's among them.
pub(super) const OTHER: &str = "other";

/// Which sections a page shows; all of them by default. The resource is on every page, for it tells whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection(Vec<String>);

impl Selection {
    /// The sections of these names, all if there are none.
    ///
    /// # Errors
    /// If one is not a section of this bridge.
    pub fn of(names: impl IntoIterator<Item = String>, snapshot: &Snapshot) -> Result<Self, UnknownSection> {
        let mut names: Vec<_> = names.into_iter().collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        names.sort();
        names.dedup();
        let known = known(snapshot);
        if names.iter().all(|name| known.contains(&name.as_str())) {
            return Ok(Self(names));
        }
        Err(UnknownSection { known: known.into_iter().map(ToOwned::to_owned).collect() })
    }

    /// Whether it is the whole page.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a section is shown.
    pub(super) fn shows(&self, section: &str) -> bool {
        self.is_all() || self.0.iter().any(|name| name == section)
    }
}

/// The sections there are, each once.
fn known(snapshot: &Snapshot) -> Vec<&str> {
    let custom = snapshot.collectors.iter().map(|collector| &collector.section);
    let custom = custom.filter(|section| !section.is_documented()).map(Section::name);
    let documented = snapshot.sections.iter().map(|status| status.section.name());
    let mut known = Vec::new();
    for name in documented.chain(custom).chain([BRIDGE, OTHER]) {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

/// The part of the page a family of the snapshot belongs to.
pub(super) fn section(family: &Family) -> &str {
    match &family.section {
        Some(section) => section.name(),
        None if FIGURES.iter().any(|figure| figure.name == family.name) => BRIDGE,
        None => OTHER,
    }
}

/// A section that is none; it does not say which, for that is the client's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSection {
    /// The sections there are.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such section; known are {}", self.known.join(", "))
    }
}

impl std::error::Error for UnknownSection {}
