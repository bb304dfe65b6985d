//! One line of `/proc/<pid>/stat`: whether a process runs, since when, and its threads, in one cheap read.
//!
//! sysinfo would open a file for every thread to count them, and tells the start in whole seconds by a wall clock that
//! may be set; this is exact, and the same for the life of the process.

use std::io;

/// What is read of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Threads.
    pub(super) threads: u64,
    /// Start in ticks since boot.
    pub(super) started: u64,
}

impl Stat {
    /// Reads the process; `None` if it does not run: one that has ended counts so even if nobody has waited for it.
    pub(super) fn read(pid: u32) -> io::Result<Option<Self>> {
        match std::fs::read(format!("/proc/{pid}/stat")) {
            Ok(line) => Ok(Self::parse(&String::from_utf8_lossy(&line))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The fields of proc(5), `pid (name) state …`; the name may hold anything, so the last parenthesis ends it.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        let runs = !matches!(*fields.first()?, "Z" | "X" | "x");
        let number = |field: usize| fields.get(field - 3)?.parse().ok();
        Some(Self { threads: number(20)?, started: number(22)? }).filter(|_| runs)
    }
}

/// A process that ends between the opening and the reading of its file is no such process.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 4 0 5501 3133440 420 18446744073709551615";

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        assert_eq!(Stat::parse(LINE), Some(Stat { threads: 4, started: 5501 }));
    }

    #[test]
    fn what_has_ended_and_what_is_no_such_line_does_not_run() {
        assert_eq!(Stat::parse(&LINE.replace(") S", ") Z")), None);
        for line in ["", "7 (a", "7 (a) S", "7 (a) S x x x x x x x x x x x x x x x x x x x x"] {
            assert_eq!(Stat::parse(line), None, "{line}");
        }
    }

    #[test]
    fn this_process_runs_and_an_impossible_one_does_not() {
        assert!(Stat::read(std::process::id()).unwrap().unwrap().threads >= 1);
        assert_eq!(Stat::read(u32::MAX).unwrap(), None);
    }
}
