//! What the kernel tells of other processes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Result;

/// CPU time of tasks by their id. Unlike the ticks of `stat` it is told in nanoseconds.
pub(crate) type Tasks = BTreeMap<u32, Duration>;

/// The threads of a process.
pub(crate) fn threads(process: u32) -> Result<Tasks> {
    let mut tasks = Tasks::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A thread may end at any time.
        tasks.extend(task(&format!("/proc/{process}/task/{id}/schedstat")).map(|time| (id, time)));
    }
    Ok(tasks)
}

/// Processes of one thread, those of them that live.
pub(crate) fn processes(ids: &[u32]) -> Tasks {
    ids.iter().filter_map(|id| Some((*id, task(&format!("/proc/{id}/schedstat"))?))).collect()
}

fn task(path: &str) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// What tasks have used since `before`; those that are not there any more have used nothing.
pub(crate) fn used(before: &Tasks, now: &Tasks) -> Duration {
    now.iter().map(|(id, time)| time.saturating_sub(before.get(id).copied().unwrap_or_default())).sum()
}

/// CPU time of the children of a process that have ended, to ten milliseconds.
pub(crate) fn ended_children(process: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold spaces; from behind it the fields are counted from 3.
    let fields: Vec<_> = text.rsplit_once(')').ok_or("no name in stat")?.1.split_whitespace().collect();
    let ticks = |field: usize| Ok::<u64, Box<dyn std::error::Error>>(fields.get(field - 3).ok_or("short")?.parse()?);
    Ok(Duration::from_millis((ticks(16)? + ticks(17)?) * 10))
}

/// The most memory that a process ever had resident, in bytes.
pub(crate) fn resident_peak(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM in /proc")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number in VmHWM")?.parse::<u64>()? * 1024)
}

/// Looks a thousand times a second whether a process holds a read lock on a SQLite database in WAL mode.
pub(crate) struct Locks {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

/// The bytes of `-shm` by which SQLite locks the five marks that readers read at.
const READ_MARKS: std::ops::RangeInclusive<u64> = 123..=127;

impl Locks {
    pub(crate) fn watch(database: &Path, process: u32) -> Result<Self> {
        let mut beside = database.as_os_str().to_owned();
        beside.push("-shm");
        let (process, inode) = (process.to_string(), format!(":{}", fs::metadata(beside)?.ino()));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut held, mut last) = (Duration::ZERO, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
                let now = Instant::now();
                if locks.lines().any(|line| is_read(line, &process, &inode)) {
                    held += now - last;
                }
                last = now;
            }
            held
        });
        Ok(Self { stop, thread })
    }

    /// How long it was held.
    pub(crate) fn held(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the watch on locks panicked".into())
    }
}

/// A line such as `7: POSIX  ADVISORY  READ 4711 fe:00:1234 124 124`.
fn is_read(line: &str, process: &str, inode: &str) -> bool {
    let fields: Vec<_> = line.split_whitespace().collect();
    match fields[..] {
        [_, "POSIX", _, "READ", of, file, from, _] if of == process && file.ends_with(inode) => {
            from.parse().is_ok_and(|from| READ_MARKS.contains(&from))
        }
        _ => false,
    }
}
