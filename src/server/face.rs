//! What of the server can change while it runs: how the JSON and the page are, and whether a reload may be asked for.
//!
//! It is replaced as a whole together with what was rendered by it, so that no body of the old settings is served by the
//! new ones. Keys are apart, see `keys.rs`.

use std::sync::{Arc, PoisonError, RwLock};

use super::cache::{Latest, LatestBy};
use super::{Document, MetricsAccess, Page};
use crate::output::html::Links;
use crate::output::prometheus::{PageConfig, View};
use crate::output::telemetry_json::{JsonConfig, Unavailable};

/// The settings that can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaceConfig {
    /// The service's version in the health answer; `None` for what its source says.
    pub version: Option<String>,
    /// Who may read the scrape page and the page for people.
    pub metrics_access: MetricsAccess,
    /// How the JSON is written.
    pub json: JsonConfig,
    /// How the scrape page is.
    pub page: PageConfig,
    /// Where the page for people leads to.
    pub links: Links,
    /// Whether a reload may be asked for over HTTP.
    pub lifecycle: bool,
}

/// Settings, and what was rendered by them.
pub(super) struct Face {
    pub(super) config: FaceConfig,
    pub(super) documents: Latest<Result<Document, Unavailable>>,
    pub(super) pages: LatestBy<View, Page>,
}

impl Face {
    pub(super) const fn new(config: FaceConfig) -> Self {
        Self { config, documents: Latest::new(), pages: LatestBy::new() }
    }
}

/// The face that requests are answered by.
pub(super) struct Shown(RwLock<Arc<Face>>);

impl Shown {
    pub(super) fn new(config: FaceConfig) -> Self {
        Self(RwLock::new(Arc::new(Face::new(config))))
    }

    pub(super) fn get(&self) -> Arc<Face> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, config: FaceConfig) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held.config != config {
            *held = Arc::new(Face::new(config));
        }
    }
}

/// The way to a server that runs: what a reload changes of it. Requests under way end as they began.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) shown: Arc<Shown>,
}

impl ServerHandle {
    /// Answers by other settings from now on.
    pub fn set_face(&self, config: FaceConfig) {
        self.shown.replace(config);
    }
}
