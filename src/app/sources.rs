//! The sources of a config, and the collectors that run: a collector is what its settings and its secret make of it, so
//! one that is the same after a reload is not touched, and any other is stopped before the next one starts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::catalog::{CustomFigure, Section};
use crate::clock::Clock;
use crate::collector::Plan;
use crate::collector::completed::Completed;
use crate::collector::config::{
    self, BuildError, Built, Databases, Fingerprint, Reads, SectionConfig, identities, reads,
};
use crate::config::Config;
use crate::http_client::HttpClient;
use crate::registry::Registry;
use crate::scheduler::{self, Pulse};
use crate::{secret, state};

/// Longest time running attempts get to be cancelled in.
const GRACE: Duration = Duration::from_secs(1);

/// The sources of a config, with collectors that do not run yet.
pub(super) struct Sources {
    pub(super) plans: Vec<Plan>,
    fingerprints: Vec<Fingerprint>,
    pub(super) custom: Vec<Arc<CustomFigure>>,
    databases: Databases,
    /// What is read of each section.
    pub(super) reads: BTreeMap<Section, Reads>,
    /// The same, as the state names it.
    pub(super) named: BTreeMap<Section, String>,
}

impl Sources {
    /// The sources of `config`; databases among the `known` keep their connections.
    pub(super) fn build(
        config: &Config,
        known: &Databases,
        http: &HttpClient,
        completed: &Completed,
    ) -> Result<Self, BuildError> {
        let (sections, megabyte) = (sections(config), config.megabyte());
        let none = BTreeMap::new();
        let custom = config.custom.as_ref().unwrap_or(&none);
        let Built { plans, fingerprints, custom: figures, databases } =
            config::build_with(known, sections, custom, megabyte, http, completed)?;
        let named = identities(sections, megabyte).into_iter();
        let named = named.map(|(section, source)| (section, state::fingerprint(&source))).collect();
        let reads = reads(sections, custom, megabyte);
        Ok(Self { plans, fingerprints, custom: figures, databases, reads, named })
    }
}

fn sections(config: &Config) -> [Option<&SectionConfig>; 3] {
    [config.runtime.as_ref(), config.store.as_ref(), config.staging.as_ref()]
}

/// The files that hold secrets of sources, as they are now: another digest says that one was replaced.
pub(super) fn secret_files(config: &Config) -> [u8; 32] {
    let custom = config.custom.iter().flatten().map(|(_, section)| section);
    let files = sections(config).into_iter().flatten().chain(custom);
    let files = files.flat_map(|section| [&section.password_file, &section.api_key_file]).flatten();
    let mut digest = Sha256::new();
    for file in files.filter(|file| !secret::is_pipe(file)) {
        // What cannot be read is said where it is used.
        let text = secret::read_text("", file).unwrap_or_default();
        digest.update(text.expose_secret().len().to_le_bytes());
        digest.update(text.expose_secret());
    }
    digest.finalize().into()
}

/// The collectors that run.
pub(super) struct Collectors {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    running: Vec<Running>,
    /// What is read of each section.
    reads: BTreeMap<Section, Reads>,
    pub(super) databases: Databases,
    pulses: Pulses,
}

/// The signs of life of all collectors that run.
pub(super) type Pulses = Arc<Mutex<Vec<Pulse>>>;

struct Running {
    fingerprint: Fingerprint,
    sections: Vec<Section>,
    pulse: Pulse,
    task: JoinHandle<()>,
}

/// What a change of sources does to the sections.
pub(super) struct Turned {
    /// What is read from now on, each with the kind of its source.
    pub(super) sections: Vec<(Section, &'static str)>,
    /// The sections whose collectors are the same.
    pub(super) untouched: Vec<Section>,
    /// The sections that another collector reads, or none.
    pub(super) replaced: Vec<Section>,
    /// Those of them whose source is another, or gone.
    pub(super) anew: Vec<Section>,
    /// What was read of each section before.
    before: BTreeMap<Section, Reads>,
    after: BTreeMap<Section, Reads>,
    fresh: Vec<(Plan, Fingerprint)>,
    databases: Databases,
    pub(super) said: String,
}

impl Turned {
    /// Whether what was read of a unit is still what is asked for.
    pub(super) fn is_kept(&self, section: &Section, unit: &str) -> bool {
        let same = |before: &Reads| self.after.get(section).is_some_and(|now| now.has_unit_of(before, unit));
        self.untouched.contains(section) || self.before.get(section).is_some_and(same)
    }
}

impl Collectors {
    /// Starts the collectors of `sources`.
    pub(super) fn start(sources: Sources, registry: &Arc<Registry>, clock: &Arc<dyn Clock>) -> Self {
        let Sources { plans, fingerprints, databases, reads, .. } = sources;
        let (registry, clock) = (Arc::clone(registry), Arc::clone(clock));
        let mut collectors = Self { registry, clock, running: Vec::new(), reads, databases, pulses: Pulses::default() };
        collectors.run(plans.into_iter().zip(fingerprints).collect());
        collectors
    }

    /// The signs of life of those that run, now and after each change.
    pub(super) fn pulses(&self) -> Pulses {
        Arc::clone(&self.pulses)
    }

    /// Stops the collectors that `sources` has not or has otherwise. [`Collectors::go_on`] starts the others.
    pub(super) async fn turn_to(&mut self, sources: Sources) -> Turned {
        let Sources { plans, fingerprints, databases, reads: after, .. } = sources;
        let source_of = |plan: &Plan| -> Vec<(Section, &'static str)> {
            let source = plan.collector.source();
            plan.collector.sections().iter().map(|section| (section.clone(), source)).collect()
        };
        let sections = plans.iter().flat_map(source_of).collect();
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        for (plan, fingerprint) in plans.into_iter().zip(fingerprints) {
            let is_it = |held: &Running| held.fingerprint == fingerprint && !held.task.is_finished();
            match self.running.iter().position(is_it) {
                Some(at) => kept.push(self.running.swap_remove(at)),
                None => fresh.push((plan, fingerprint)),
            }
        }
        let gone = std::mem::replace(&mut self.running, kept);
        let said = format!(
            "{} of the collectors go on, {} were stopped, {} are started",
            self.running.len(),
            gone.len(),
            fresh.len()
        );
        gone.iter().for_each(|held| held.task.abort());
        let replaced: Vec<_> = gone.iter().flat_map(|held| held.sections.clone()).collect();
        if tokio::time::timeout(GRACE, join_all(gone)).await.is_err() {
            tracing::warn!("a collector has not ended within {GRACE:?}, and is left to its end");
        }
        let untouched = self.running.iter().flat_map(|held| held.sections.clone()).collect::<Vec<_>>();
        let before = std::mem::replace(&mut self.reads, after.clone());
        let is_other = |(section, held): &(&Section, &Reads)| {
            !untouched.contains(section) && after.get(section).is_none_or(|now| !now.is_same_source(held))
        };
        let anew = before.iter().filter(is_other).map(|(section, _)| section.clone()).collect();
        Turned { sections, untouched, replaced, anew, before, after, fresh, databases, said }
    }

    /// Starts the collectors that were not there before.
    pub(super) fn go_on(&mut self, turned: Turned) {
        self.databases = turned.databases;
        self.run(turned.fresh);
    }

    /// Stops all; whether they have ended in time.
    pub(super) async fn end(self) -> bool {
        self.running.iter().for_each(|held| held.task.abort());
        tokio::time::timeout(GRACE, join_all(self.running)).await.is_ok()
    }

    fn run(&mut self, plans: Vec<(Plan, Fingerprint)>) {
        // All are known before the first one reads: a bridge is not ready by one of several.
        let attached: Vec<_> = plans
            .into_iter()
            .map(|(plan, fingerprint)| {
                let (pulse, sections) = (Pulse::default(), plan.collector.sections().to_vec());
                let (registry, clock) = (Arc::clone(&self.registry), Arc::clone(&self.clock));
                let job = scheduler::run_with(plan, registry, clock, pulse.clone());
                (fingerprint, sections, pulse, job)
            })
            .collect();
        for (fingerprint, sections, pulse, job) in attached {
            self.running.push(Running { fingerprint, sections, pulse, task: tokio::spawn(job) });
        }
        let pulses = self.running.iter().map(|held| held.pulse.clone()).collect();
        *self.pulses.lock().unwrap_or_else(PoisonError::into_inner) = pulses;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join_all(gone: Vec<Running>) {
    for mut held in gone {
        // An error is the cancellation that was asked for, or a defect that was caught and told where it was.
        let _ = (&mut held.task).await;
    }
}
