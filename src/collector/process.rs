//! Source `process`: another process of this host, by its pid, its pid file or its executable's name.
//!
//! Known from outside are its threads, its resident memory, and the CPUs of this host as the bridge may use them: a
//! limit set for that process alone is not seen. Its heap and its garbage collections are said to be unknowable.
//! A process is more than its pid, which is given to others later: it is told by its start time. A pid file or a name
//! follows to the next process; a bare pid does not. A poll reads that one process; all are looked at for a name only
//! while none is known.

mod find;
mod stat;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{Attempt, CollectError, Collector, ErrorClass, Outcome};
use crate::catalog::{FigureId, Section};
use crate::clock::Clock;
use crate::reading::{Reading, Readings};
use find::{PidFile, pids_of};
use stat::Stat;

/// How the process is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its pid; gone for good when it ends.
    Pid(u32),
    /// By a file that holds its pid.
    PidFile(PathBuf),
    /// By the exact name of its executable file.
    Name(String),
}

impl Target {
    /// The target from the keys of the config, of which exactly one names it.
    ///
    /// # Errors
    /// When none or several are set, or one cannot name a process.
    pub fn of(pid: Option<u32>, pid_file: Option<&Path>, name: Option<&str>) -> Result<Self, String> {
        match (pid, pid_file, name) {
            (Some(0), ..) => Err("pid is 0, which no process has; name the process's own".to_owned()),
            (Some(pid), None, None) => Ok(Self::Pid(pid)),
            (None, Some(file), None) => Ok(Self::PidFile(file.to_owned())),
            (None, None, Some(name)) if name.is_empty() || name.contains('/') => {
                Err("name is that of the executable without its folder, such as linkit".to_owned())
            }
            (None, None, Some(name)) => Ok(Self::Name(name.to_owned())),
            (None, None, None) => Err("the process is not named; set pid, pid_file or name".to_owned()),
            _ => Err("pid, pid_file and name exclude each other; keep one of them".to_owned()),
        }
    }
}

/// Reads a pid of the config: a number, or a text that is one, for variables of the environment are texts.
pub(super) fn pid<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u32>, D::Error> {
    const WRONG: &str = "a process id is a whole number, such as 4711";
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Pid {
        Number(u32),
        Text(String),
    }
    let wrong = |_| D::Error::custom(WRONG);
    Ok(match Option::deserialize(value).map_err(|_| D::Error::custom(WRONG))? {
        Some(Pid::Number(pid)) => Some(pid),
        Some(Pid::Text(text)) => Some(text.trim().parse().map_err(wrong)?),
        None => None,
    })
}

/// Reads one process of this host.
pub struct Process {
    target: Target,
    known: Option<Known>,
}

/// The process that is read.
struct Known {
    pid: u32,
    /// Its start in ticks since boot: with the pid, what tells it from every other.
    started: u64,
    /// The pid file as it was when it led to this process.
    file: Option<PidFile>,
    system: System,
}

impl Process {
    /// A collector that has looked for nothing yet.
    #[must_use]
    pub const fn new(target: Target) -> Self {
        Self { target, known: None }
    }

    async fn read(&mut self) -> Result<Vec<Reading>, CollectError> {
        let (pid, file) = self.pid().await?;
        let stat = Stat::read(pid).map_err(|error| self.unread(pid, &error))?;
        let Some(stat) = stat else {
            return Err(self.forget(&format!("process {pid} does not run")));
        };
        if let Some(known) = self.known.as_ref().filter(|known| known.pid == pid && known.started != stat.started) {
            // A pid file that was written anew means the process that has the pid now.
            if file.is_none() || known.file == file {
                return Err(self.forget(&format!("pid {pid} belongs to another process by now")));
            }
        }
        let known = match self.known.take() {
            Some(known) if known.pid == pid && known.started == stat.started => {
                self.known.insert(Known { file, ..known })
            }
            _ => {
                tracing::info!(pid, target = %self.target, "found the process");
                let system = System::new().map_err(|_| hidden())?;
                self.known.insert(Known { pid, started: stat.started, file, system })
            }
        };
        let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
        let id = Pid::from_u32(pid);
        // sysinfo keeps what it knew of a process that it cannot read any more.
        let refreshed = known.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, kind);
        let memory = known.system.process(id).filter(|_| refreshed > 0).map(sysinfo::Process::memory);
        let Some(memory) = memory else {
            return Err(self.forget(&format!("process {pid} does not run")));
        };
        let cpus = std::thread::available_parallelism().ok().map(|cpus| cpus.get() as u64);
        Ok(vec![
            Reading::of(FigureId::RuntimeGoroutines, stat.threads),
            Reading { value: cpus, ..Reading::unknowable(FigureId::RuntimeCpus) },
            Reading::unknowable(FigureId::RuntimeHeapAllocated),
            Reading::unknowable(FigureId::RuntimeMemoryAllocated),
            Reading::of(FigureId::RuntimeMemorySys, memory),
            Reading::unknowable(FigureId::RuntimeGcCycles),
            Reading::unknowable(FigureId::RuntimeGcLastPause),
        ])
    }

    /// The pid to read, and the file it stands in.
    async fn pid(&self) -> Result<(u32, Option<PidFile>), CollectError> {
        match &self.target {
            Target::Pid(pid) => Ok((*pid, None)),
            Target::PidFile(path) => PidFile::read(path).map(|file| (file.pid, Some(file))),
            Target::Name(name) => {
                let lives = |known: &Known| {
                    Stat::read(known.pid).ok().flatten().is_some_and(|stat| stat.started == known.started)
                };
                match self.known.as_ref().filter(|known| lives(known)) {
                    Some(known) => Ok((known.pid, None)),
                    None => find_one(name).await.map(|pid| (pid, None)),
                }
            }
        }
    }

    /// Says that the process is gone. A bare pid stays bound to the process it once was, and a pid file to the one it
    /// led to; a name is looked for again.
    fn forget(&mut self, what: &str) -> CollectError {
        let remedy = match &self.target {
            Target::Pid(_) => "start the process and name its new pid, or set pid_file or name, which follow a restart",
            Target::PidFile(path) => {
                return CollectError::new(
                    ErrorClass::NotFound,
                    format!("{what}, and {} names it still; start the process", path.display()),
                );
            }
            Target::Name(_) => {
                self.known = None;
                "start the process"
            }
        };
        CollectError::new(ErrorClass::NotFound, format!("{what}; {remedy}"))
    }

    fn unread(&self, pid: u32, error: &std::io::Error) -> CollectError {
        CollectError::new(
            ErrorClass::Other,
            format!("process {pid} cannot be read in /proc: {error}; allow the bridge more open files or memory"),
        )
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::PidFile(path) => write!(f, "pid_file {}", path.display()),
            Self::Name(name) => write!(f, "name {name}"),
        }
    }
}

fn hidden() -> CollectError {
    CollectError::new(ErrorClass::NotFound, "no process can be read in /proc; mount /proc into the sandbox")
}

/// The one process of this name. Looking at all of them takes milliseconds, so not on a worker of the runtime.
async fn find_one(name: &str) -> Result<u32, CollectError> {
    let wanted = name.to_owned();
    let found = tokio::task::spawn_blocking(move || pids_of(&wanted)).await;
    let mut pids = found.map_err(|_| CollectError::new(ErrorClass::Panic, "looking for the process panicked"))??;
    match (pids.pop(), pids.len()) {
        (Some(pid), 0) => Ok(pid),
        (Some(_), others) => Err(CollectError::new(
            ErrorClass::Other,
            format!("{} processes are called {name}, and none is chosen; set pid_file or pid", others + 1),
        )),
        (None, _) => Err(CollectError::new(
            ErrorClass::NotFound,
            format!("no process is called {name}; start it, or check that name is its executable's, without folder"),
        )),
    }
}

impl Collector for Process {
    fn source(&self) -> &'static str {
        "process"
    }

    fn sections(&self) -> &[Section] {
        &[Section::Runtime]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        use ErrorClass::{NotFound, Other, Panic, Syntax, Timeout, Unauthorized};
        const { &[NotFound, Other, Panic, Syntax, Timeout, Unauthorized] }
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(async move {
            match self.read().await {
                Ok(values) => {
                    Outcome { readings: vec![Readings::new(Section::Runtime, clock.now(), values)], errors: Vec::new() }
                }
                Err(error) => Outcome::failed(&[Section::Runtime], &error),
            }
        })
    }
}

#[cfg(test)]
mod tests;
