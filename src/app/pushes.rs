//! The pushes that run, and what a reload makes of them: an endpoint is known by its name. What waits for it stays while
//! its address, its key or its protocol change; where the endpoint is no longer named, it is tried once more.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::figures::{self, Pushed};
use super::push::{Push, Way};
use crate::clock::Clock;
use crate::delivery::SpoolConfig;
use crate::registry::Registry;

/// The pushes that run.
pub(super) struct Pushes {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    running: Vec<Running>,
    /// Endpoints that are named no more, on their last attempts.
    ending: JoinSet<()>,
    figures: Arc<Mutex<Vec<Pushed>>>,
}

struct Running {
    name: String,
    spool: Option<SpoolConfig>,
    fingerprint: [u8; 32],
    ways: mpsc::Sender<Way>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Pushes {
    /// Starts pushes, whose spools are open.
    pub(super) fn start(pushes: Vec<Push>, registry: &Arc<Registry>, clock: &Arc<dyn Clock>) -> Self {
        let figures = figures::add_pushed(registry);
        let (registry, clock) = (Arc::clone(registry), Arc::clone(clock));
        let mut started = Self { registry, clock, running: Vec::new(), ending: JoinSet::new(), figures };
        pushes.into_iter().for_each(|push| started.run(push));
        started
    }

    /// The endpoints that run, each with its spool.
    pub(super) fn spools(&self) -> Vec<(String, Option<SpoolConfig>)> {
        self.running.iter().map(|held| (held.name.clone(), held.spool.clone())).collect()
    }

    /// Pushes to the endpoints of `pushes` from now on; the spools of those that are new are open.
    pub(super) async fn turn_to(&mut self, pushes: Vec<Push>) {
        while self.ending.try_join_next().is_some() {}
        let mut held = std::mem::take(&mut self.running);
        for push in pushes {
            let Some(at) = held.iter().position(|held| held.name == push.name) else {
                self.run(push);
                continue;
            };
            let mut running = held.swap_remove(at);
            if running.fingerprint != push.way.fingerprint {
                running.fingerprint = push.way.fingerprint;
                // It waits no longer than one push takes; an error would mean that the push has ended.
                let _ = running.ways.send(push.way).await;
            }
            self.running.push(running);
        }
        for gone in held {
            self.figures().retain(|pushed| pushed.name != gone.name);
            gone.stop.send_replace(true);
            self.ending.spawn(async move { super::say_if_failed("push", gone.task.await) });
        }
    }

    /// Has all push once more.
    pub(super) fn stop(&self) {
        for held in &self.running {
            held.stop.send_replace(true);
        }
    }

    /// Waits for their ends after the stop.
    pub(super) async fn end(mut self) {
        for held in self.running {
            super::say_if_failed("push", held.task.await);
        }
        while self.ending.join_next().await.is_some() {}
    }

    fn run(&mut self, push: Push) {
        let (name, spool, fingerprint) = (push.name.clone(), push.spool.clone(), push.way.fingerprint);
        let pushed = Pushed { name: name.clone(), delivery: Arc::clone(&push.delivery), since: self.clock.now().wall };
        self.figures().push(pushed);
        let (ways, other_ways) = mpsc::channel(1);
        let (stop, mut stopped) = watch::channel(false);
        let until_stop = async move {
            // An error means that the sender is gone, which is a stop too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let task = tokio::spawn(push.run(Arc::clone(&self.registry), other_ways, until_stop));
        self.running.push(Running { name, spool, fingerprint, ways, stop, task });
    }

    fn figures(&self) -> std::sync::MutexGuard<'_, Vec<Pushed>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
