//! From a pid file or a name to a pid.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use crate::collector::{CollectError, ErrorClass};

/// No pid file is longer.
const FILE_BYTES_MAX: u64 = 4096;

/// What the kernel keeps of a name besides the executable's file.
const COMM_BYTES_MAX: usize = 15;

/// What Linux appends to the path of an executable that was replaced, as by an upgrade, while it runs.
const REPLACED: &str = " (deleted)";

/// A pid file as read: its pid, and what changes when somebody writes it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    inode: u64,
    modified: (i64, i64),
}

impl PidFile {
    pub(super) fn read(path: &Path) -> Result<Self, CollectError> {
        let error = |class, cause: &dyn std::fmt::Display, remedy: &str| {
            CollectError::new(class, format!("pid_file {}: {cause}; {remedy}", path.display()))
        };
        let unread = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => error(ErrorClass::NotFound, &cause, "start the process that writes it"),
            io::ErrorKind::PermissionDenied => error(ErrorClass::Unauthorized, &cause, "let the bridge read it"),
            _ => error(ErrorClass::Other, &cause, "name a plain file"),
        };
        // A pipe in its place would hold up the bridge at the opening.
        if !std::fs::metadata(path).map_err(unread)?.is_file() {
            return Err(error(ErrorClass::Other, &"it is no plain file", "name the file that the process writes"));
        }
        let mut file = std::fs::File::open(path).map_err(unread)?;
        let metadata = file.metadata().map_err(unread)?;
        let mut text = Vec::new();
        (&mut file).take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(unread)?;
        // Some programs write more lines below their pid.
        let text = String::from_utf8_lossy(&text);
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).filter(|pid| *pid > 0);
        let Some(pid) = pid else {
            return Err(error(
                ErrorClass::Syntax,
                &"its first line is no pid",
                "name the file that the process writes",
            ));
        };
        Ok(Self { pid, inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

/// The pids of all processes whose executable is called `name`.
pub(super) fn pids_of(name: &str) -> Result<Vec<u32>, CollectError> {
    let mut system = System::new().map_err(|_| super::hidden())?;
    let kind = ProcessRefreshKind::nothing().with_exe(UpdateKind::Always).with_cmd(UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let is_it = |process: &sysinfo::Process| {
        process.thread_kind().is_none()
            && is_called(name, process.exe(), process.name(), process.cmd().first().map(AsRef::as_ref))
    };
    let found = system.processes().iter().filter(|(_, process)| is_it(process)).map(|(pid, _)| pid.as_u32());
    // One that has ended and that nobody has waited for is not a second one.
    Ok(found.filter(|pid| super::Stat::read(*pid).is_ok_and(|stat| stat.is_some())).collect())
}

/// Whether a process is called `name`: by the file it runs; where that cannot be read, as with another user's process,
/// by what it calls itself, which the kernel cuts off, and by its first argument where it was cut off.
fn is_called(name: &str, exe: Option<&Path>, comm: &OsStr, argument: Option<&OsStr>) -> bool {
    let file = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    if let Some(exe) = exe.and_then(file) {
        return exe.strip_suffix(REPLACED).unwrap_or(&exe) == name;
    }
    let first = argument.and_then(|argument| file(Path::new(argument)));
    if name.len() <= COMM_BYTES_MAX {
        return comm == name;
    }
    comm.as_encoded_bytes() == &name.as_bytes()[..COMM_BYTES_MAX] && first.as_deref() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_the_executable_and_no_part_of_it() {
        let by_exe = |exe: &str| is_called("linkit", Some(Path::new(exe)), OsStr::new("other"), None);
        assert!(by_exe("/opt/linkit") && by_exe("/opt/linkit (deleted)"));
        assert!(!by_exe("/opt/linkit-bridge") && !by_exe("/opt/linkit/server"));
    }

    #[test]
    fn without_the_executable_it_is_what_the_process_calls_itself() {
        let by_self = |name: &str, comm: &str, argument: &str| {
            is_called(name, None, OsStr::new(comm), Some(OsStr::new(argument)))
        };
        assert!(by_self("linkit", "linkit", "anything"));
        assert!(!by_self("linkit", "linkit-bridge", "linkit"));
        assert!(by_self("linkit-backend-of-ours", "linkit-backend-", "/opt/linkit-backend-of-ours"));
        assert!(!by_self("linkit-backend-of-ours", "linkit-backend-", "/opt/linkit-backend-of-theirs"));
    }
}
