//! Sections that name the same Linkit: one request serves them all.

use std::time::Duration;

use secrecy::SecretString;

use super::{BODY_MAX, Fingerprint, SectionConfig, TIMEOUT, same_secret};
use crate::catalog::Section;
use crate::collector::Plan;
use crate::collector::completed::Completed;
use crate::collector::telemetry_json::{TelemetryJson, TelemetryJsonConfig};
use crate::http_client::HttpClient;

/// Sections that name the same Linkit.
pub(super) struct Bridged {
    config: SectionConfig,
    key: Option<SecretString>,
    interval: Duration,
    pub(super) sections: Vec<Section>,
}

impl Bridged {
    pub(super) fn new(section: Section, config: &SectionConfig, interval: Duration) -> Result<Self, String> {
        Ok(Self { config: config.clone(), key: config.key()?, interval, sections: vec![section] })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.config.url == other.config.url && same_secret(self.key.as_ref(), other.key.as_ref())
    }

    /// One request serves both: as often as the more impatient wants it, and with settings that must not differ.
    pub(super) fn join(&mut self, other: Self) -> Result<(), String> {
        agree("timeout", &mut self.config.timeout, other.config.timeout)?;
        agree("max_backoff", &mut self.config.max_backoff, other.config.max_backoff)?;
        agree("body_max", &mut self.config.body_max, other.config.body_max)?;
        self.interval = self.interval.min(other.interval);
        self.sections.extend(other.sections);
        Ok(())
    }

    /// What makes the collector what it is.
    pub(super) fn fingerprint(&self, megabyte: u64) -> Fingerprint {
        let config = SectionConfig { interval: Some(self.interval), ..self.config.clone() };
        Fingerprint::of(&self.sections, &config, self.key.as_ref(), megabyte)
    }

    pub(super) fn plan(self, megabyte: u64, http: &HttpClient, completed: &Completed) -> Result<Plan, String> {
        let url = self.config.url.clone().ok_or("url is missing; name the base address of the Linkit")?;
        let body_max = self.config.body_max.unwrap_or(BODY_MAX).as_u64();
        let config = TelemetryJsonConfig {
            url,
            api_key: self.key,
            sections: self.sections,
            megabyte,
            body_bytes_max: usize::try_from(body_max).unwrap_or(usize::MAX),
            timeout: self.config.timeout.unwrap_or(TIMEOUT),
        };
        let collector = TelemetryJson::new(config, http.clone()).map_err(|error| error.to_string())?;
        Ok(self.config.plan(Box::new(collector.counting_on(completed.clone())), self.interval))
    }
}

/// Takes over a setting that is not set yet; two that differ cannot both be kept.
fn agree<T: PartialEq>(key: &str, held: &mut Option<T>, other: Option<T>) -> Result<(), String> {
    match (&*held, &other) {
        (Some(held), Some(other)) if held != other => Err(format!(
            "{key} differs from that of another section with the same url, and one request serves both; make them equal"
        )),
        (None, Some(_)) => {
            *held = other;
            Ok(())
        }
        _ => Ok(()),
    }
}
