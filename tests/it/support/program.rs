//! A program as one user or another runs it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Directory;

pub struct Program {
    path: PathBuf,
    user: Option<u32>,
    _copy: Option<Directory>,
}

impl Program {
    /// A program, for this user or, if one is given, as another.
    pub fn of(path: &Path, user: Option<u32>) -> Self {
        let Some(_) = user else { return Self { path: path.to_owned(), user, _copy: None } };
        // Where it lies may be closed to the other user. By `cp`, because a file that this process itself writes cannot
        // be run as long as a child, forked by another test meanwhile, holds it open.
        let directory = Directory::new("program");
        let copied = Command::new("cp").arg(path).arg(directory.path()).status().unwrap();
        assert!(copied.success(), "failed to copy {}", path.display());
        Self { path: directory.path().join(path.file_name().unwrap()), user, _copy: Some(directory) }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}
