//! Keeps the state: restores it before anything is read, writes it as it changes, and a last time at the stop.
//!
//! No failure of it stops anything: it is said once, and tried again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::catalog::Section;
use crate::clock::Clock;
use crate::collector::completed::Completed;
use crate::registry::Registry;
use crate::state::{Saved, StateDirectory};

/// Least time from one writing to the next.
const PAUSE: Duration = Duration::from_secs(5);

/// Collectors of one interval read at one beat: what they bring is written at once, and little is lost by a kill.
const SETTLE: Duration = Duration::from_millis(100);

/// What each section's source is, as the state names it. Whoever changes it holds it until the readings and the counter
/// of other sources have gone too: nothing may be kept under another source's name.
pub(super) type Kept = Arc<Mutex<BTreeMap<Section, String>>>;

/// What keeps the state of one bridge.
pub(super) struct Keeper {
    directory: Arc<StateDirectory>,
    sources: Kept,
    registry: Arc<Registry>,
    published: watch::Receiver<()>,
    completed: Completed,
    written: Option<Saved>,
    has_failed: bool,
}

impl Keeper {
    /// Restores what is kept in a directory of these sources.
    pub(super) fn new(
        directory: StateDirectory,
        sources: BTreeMap<Section, String>,
        registry: &Arc<Registry>,
        completed: &Completed,
        clock: &dyn Clock,
    ) -> Self {
        let now = clock.now();
        if let Some(mut saved) = directory.load(now) {
            let others = saved.keep_only(&sources);
            if !others.is_empty() {
                let names: Vec<_> = others.iter().map(|section| section.name()).collect();
                directory.set_aside(&format!("it has {} of other sources than are configured", names.join(", ")));
            }
            if let Some(state) = saved.completed.take() {
                completed.restore(state, now);
            }
            registry.restore(saved.into_readings());
            tracing::info!(units = registry.held().len(), file = %directory.file().display(), "restored what was kept");
        }
        let (registry, completed) = (Arc::clone(registry), completed.clone());
        let directory = Arc::new(directory);
        let published = registry.published();
        let sources = Arc::new(Mutex::new(sources));
        let mut keeper = Self { directory, sources, registry, published, completed, written: None, has_failed: false };
        // From here on more may be shown than is kept, and the file must say so.
        let saved = keeper.saved(false);
        let result = keeper.directory.save(&saved);
        keeper.settle(saved, result);
        keeper
    }

    /// What each section's source is; others may change it.
    pub(super) fn sources(&self) -> Kept {
        Arc::clone(&self.sources)
    }

    /// Writes what changes until `stop`.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Self {
        let mut stop = std::pin::pin!(stop);
        loop {
            // After a failure there is something to write though nothing new is published.
            let changed = async {
                if !self.has_failed {
                    // It ends when the registry does, which the keeper holds.
                    let _ = self.published.changed().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = &mut stop => return self,
            }
            tokio::select! {
                () = tokio::time::sleep(SETTLE) => {}
                () = &mut stop => return self,
            }
            self.published.mark_unchanged();
            let begun = Instant::now();
            self.write(false).await;
            tokio::select! {
                () = tokio::time::sleep_until(begun + PAUSE - SETTLE) => {}
                () = &mut stop => return self,
            }
        }
    }

    /// The last writing. `is_all` says that nothing can be published any more.
    pub(super) async fn close(mut self, is_all: bool) {
        self.write(is_all).await;
    }

    async fn write(&mut self, is_final: bool) {
        let saved = self.saved(is_final);
        if self.written.as_ref() == Some(&saved) {
            return;
        }
        let directory = Arc::clone(&self.directory);
        // A disk may take its time, which no worker of the runtime has.
        let written = tokio::task::spawn_blocking(move || (directory.save(&saved), saved)).await;
        if let Ok((result, saved)) = written {
            self.settle(saved, result);
        }
    }

    fn saved(&self, is_final: bool) -> Saved {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        // The counter after the readings: it is never behind them, and what it is ahead is not counted twice.
        let mut readings = self.registry.held();
        readings.retain(|unit| sources.contains_key(&unit.section));
        Saved { is_final, sources: sources.clone(), readings, completed: self.completed.state() }
    }

    fn settle(&mut self, saved: Saved, result: std::io::Result<()>) {
        let file = self.directory.file();
        let file = file.display();
        match result {
            Ok(()) => {
                if self.has_failed {
                    tracing::info!(%file, "the state is kept again");
                }
                (self.written, self.has_failed) = (Some(saved), false);
            }
            Err(error) => {
                if !self.has_failed {
                    tracing::warn!(%file, %error, "failed to keep the state; free space or name another state_dir, it is tried again");
                }
                (self.written, self.has_failed) = (None, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::FigureId;
    use crate::clock::{ManualClock, Wall};
    use crate::reading::{Ages, Reading, Readings};

    struct Bench {
        folder: std::path::PathBuf,
        clock: Arc<ManualClock>,
        registry: Arc<Registry>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("linkit-bridge-keep-{:x}", fastrand::u64(..)));
            let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
            let registry = Arc::new(Registry::new(clock.clone(), Ages::default(), &[]));
            Self { folder, clock, registry }
        }

        fn keeper(&self) -> Keeper {
            let sources = [(Section::Runtime, "x".to_owned())].into();
            let directory = StateDirectory::open(&self.folder).unwrap();
            Keeper::new(directory, sources, &self.registry, &Completed::default(), &*self.clock)
        }

        fn publish(&self, value: u64) {
            let values = vec![Reading::of(FigureId::RuntimeGoroutines, value)];
            self.registry.publish(vec![Readings::new(Section::Runtime, self.clock.now(), values)]);
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }

    #[tokio::test]
    async fn a_failed_writing_is_tried_again() {
        let bench = Bench::new();
        let mut keeper = bench.keeper();
        let file = bench.folder.join("state.json");
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir_all(file.join("in the way")).unwrap();
        bench.publish(7);
        keeper.write(false).await;
        assert!(keeper.has_failed);
        std::fs::remove_dir_all(&file).unwrap();
        keeper.write(false).await;
        assert!(!keeper.has_failed && file.is_file());
    }

    #[tokio::test]
    async fn what_was_published_is_there_again_with_its_age_and_what_has_expired_is_not() {
        let bench = Bench::new();
        let keeper = bench.keeper();
        bench.publish(7);
        let taken = bench.clock.now();
        keeper.close(true).await;
        for (wait, units) in [(3000, 1), (601, 0)] {
            bench.clock.advance(Duration::from_secs(wait));
            let registry = Arc::new(Registry::new(bench.clock.clone(), Ages::default(), &[]));
            let next = Bench { registry, folder: bench.folder.clone(), clock: Arc::clone(&bench.clock) };
            let keeper = next.keeper();
            let held = next.registry.held();
            assert_eq!(held.len(), units, "after {wait} s");
            assert!(held.iter().all(|unit| unit.taken == taken));
            keeper.close(true).await;
            std::mem::forget(next);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_written_soon_and_not_oftener_than_the_pause() {
        let bench = Bench::new();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(bench.keeper().run(async {
            let _ = stopped.await;
        }));
        let kept = |value| {
            let text = std::fs::read_to_string(bench.folder.join("state.json")).unwrap();
            text.contains(&format!("\"value\":{value}"))
        };
        for (value, wait, is_there) in [(7, 200, true), (8, 4000, false), (8, 1500, true)] {
            bench.publish(value);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            // The writing takes real time, and none of the paused.
            for _ in 0..100 {
                if is_there && !kept(value) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            assert_eq!(kept(value), is_there, "{value} after {wait} ms");
        }
        drop(stop);
        running.await.unwrap();
    }
}
