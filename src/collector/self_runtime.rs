//! Source `self`: the bridge's own process, through tokio, the allocator's statistics and sysinfo.
//!
//! Honest about what a Rust process has: live tasks stand for goroutines, and there is no garbage collection, so its
//! two figures are said to be unknowable. Heap figures are known only where jemalloc is the process's allocator.

mod allocator;

use std::sync::Arc;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{Attempt, CollectError, Collector, ErrorClass, Outcome};
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, Wall};
use crate::reading::{Reading, Readings};
use allocator::Allocator;

/// Reads this process.
pub struct SelfRuntime {
    system: Option<System>,
    pid: Pid,
    allocator: Option<Allocator>,
}

impl SelfRuntime {
    /// A collector for the process it runs in.
    #[must_use]
    pub fn new() -> Self {
        Self { system: None, pid: Pid::from_u32(std::process::id()), allocator: Allocator::of_this_process() }
    }

    fn read(&mut self) -> Result<Vec<Reading>, CollectError> {
        let hidden = "this process cannot be read in /proc; mount /proc into the sandbox, and allow more open files";
        let hidden = || CollectError::new(ErrorClass::NotFound, hidden);
        let system = match &mut self.system {
            Some(system) => system,
            none => none.insert(System::new().map_err(|_| hidden())?),
        };
        let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
        // sysinfo keeps what it knew of a process that it cannot read any more.
        if system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), false, kind) == 0 {
            return Err(hidden());
        }
        let process = system.process(self.pid).ok_or_else(hidden)?;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let cpus = std::thread::available_parallelism().ok().map(|cpus| cpus.get() as u64);
        let mut readings = vec![
            Reading::of(FigureId::RuntimeGoroutines, tasks as u64),
            Reading { value: cpus, ..Reading::unknowable(FigureId::RuntimeCpus) },
            Reading::of(FigureId::RuntimeMemorySys, process.memory()),
            Reading::unknowable(FigureId::RuntimeGcCycles),
            Reading::unknowable(FigureId::RuntimeGcLastPause),
        ];
        let started = Wall::from_secs(process.start_time());
        readings.extend(match self.allocator.as_ref().and_then(Allocator::read) {
            Some(figures) => [
                Reading::of(FigureId::RuntimeHeapAllocated, figures.allocated),
                Reading::of(FigureId::RuntimeMemoryAllocated, figures.allocated_total).starting(started),
            ],
            None => [FigureId::RuntimeHeapAllocated, FigureId::RuntimeMemoryAllocated].map(Reading::unknowable),
        });
        Ok(readings)
    }
}

impl Default for SelfRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector for SelfRuntime {
    fn source(&self) -> &'static str {
        "self"
    }

    fn sections(&self) -> &[Section] {
        &[Section::Runtime]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        &[ErrorClass::NotFound, ErrorClass::Timeout, ErrorClass::Panic]
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(async move {
            match self.read() {
                Ok(values) => {
                    Outcome { readings: vec![Readings::new(Section::Runtime, clock.now(), values)], errors: Vec::new() }
                }
                Err(error) => Outcome::failed(&[Section::Runtime], &error),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn it_knows_its_tasks_and_says_what_it_cannot_know() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let held = tokio::spawn(std::future::pending::<()>());
        let mut outcome = SelfRuntime::new().collect(&clock).await;
        held.abort();
        assert!(outcome.errors.is_empty());
        let values = outcome.readings.remove(0).values;
        let value = |figure| values.iter().find(|reading| reading.figure == figure).unwrap().value;
        assert_eq!(value(FigureId::RuntimeGoroutines), Some(1));
        assert_eq!(value(FigureId::RuntimeGcCycles), None);
        assert_eq!(value(FigureId::RuntimeGcLastPause), None);
        assert!(value(FigureId::RuntimeCpus).unwrap() >= 1);
        assert!(value(FigureId::RuntimeMemorySys).unwrap() > 1 << 20);
    }
}
