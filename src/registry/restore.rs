//! What outlives a restart: the readings that are held, given out and taken in again. Who keeps them is not known here.

use tokio::sync::watch;

use super::unit::Unit;
use super::{Registry, State};
use crate::reading::{Age, Readings};

impl Registry {
    /// Takes in units that were read before the bridge was started, each as old as it is. What has expired or has been
    /// read anew since is left out.
    pub fn restore(&self, units: Vec<Readings>) {
        let now = self.clock.now();
        let mut state = self.state();
        let State { ages, custom, held, undated, leftovers, layouts, .. } = &mut *state;
        for mut unit in units.into_iter().filter(|unit| Age::of(now.since(unit.taken), *ages).is_shown()) {
            let key = (unit.section.clone(), std::mem::take(&mut unit.unit));
            if held.contains_key(&key) {
                continue;
            }
            if unit.taken.wall >= now.wall {
                undated.insert(key.clone());
            }
            let unit = Unit::new(unit, None, None, custom, layouts);
            leftovers.insert(key.clone());
            held.insert(key, unit);
        }
        drop(state);
        self.changed();
    }

    /// The latest readings of the catalogue's figures, whatever their age: what [`Registry::restore`] takes in after a restart.
    #[must_use]
    pub fn held(&self) -> Vec<Readings> {
        self.state().held.iter().map(|((_, unit), held)| held.readings.clone().of_unit(unit)).collect()
    }

    /// Wakes who waits on it after each [`Registry::publish`].
    #[must_use]
    pub fn published(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }
}
