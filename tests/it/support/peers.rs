//! Real programs to test against.

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

/// A program of the system.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.exists());
    found.or_else(|| absent(name))
}

fn absent(name: &str) -> Option<PathBuf> {
    let required = std::env::var("LINKIT_BRIDGE_TEST_PEERS").is_ok_and(|value| value == "require");
    assert!(!required, "the peer {name} is missing; run tests/peers/install");
    eprintln!("skipped: the peer {name} is absent; tests/peers/install installs it");
    None
}
