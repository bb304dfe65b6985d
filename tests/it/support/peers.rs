//! Real programs to test against.

use std::io::Write;
use std::path::PathBuf;

use super::root;

/// A peer that `tests/peers/install` installed, or `None` after saying that the test is skipped.
pub fn peer(name: &str) -> Option<PathBuf> {
    let path = root().join("target/peers/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    absent(name)
}

/// A file of a peer that is no program.
pub fn peer_file(name: &str) -> Option<PathBuf> {
    let path = root().join("target/peers").join(name);
    if path.exists() {
        return Some(path);
    }
    absent(name)
}

/// A program of the system.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.exists());
    found.or_else(|| absent(name))
}

/// Whether programs can be run as other users than this one, which only root can; says that the test is skipped if not.
pub fn may_be_others() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(!required(), "not root, who alone can run programs as other users; run the tests as root");
        skipped("not root, who alone can run programs as other users");
    }
    is_root
}

/// Whether file systems can be mounted, which most often only root can; says that the test is skipped if not.
pub fn may_mount() -> bool {
    let directory = super::Directory::new("mount");
    let status = |command: &str, args: &[&str]| {
        std::process::Command::new(command)
            .args(args)
            .arg(directory.path())
            .output()
            .is_ok_and(|done| done.status.success())
    };
    let may = status("mount", &["-t", "tmpfs", "tmpfs"]);
    if may {
        assert!(status("umount", &[]));
    } else {
        assert!(!required(), "no file system can be mounted; run the tests as root");
        skipped("no file system can be mounted, which root can");
    }
    may
}

fn required() -> bool {
    std::env::var("LINKIT_BRIDGE_TEST_PEERS").is_ok_and(|value| value == "require")
}

fn absent(name: &str) -> Option<PathBuf> {
    assert!(!required(), "the peer {name} is missing; run tests/peers/install");
    skipped(&format!("the peer {name} is absent; tests/peers/install installs it"));
    None
}

/// Says that a test did nothing, past the test runner, which keeps what a passing test prints to itself.
fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}
