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

/// A folder of strangers' test data, which lies beside the checkout.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(!is_required(), "the data ../shared/data/{name} is missing");
    eprintln!("skipped: the data ../shared/data/{name} is absent");
    None
}

fn is_required() -> bool {
    std::env::var("LINKIT_BRIDGE_TEST_PEERS").is_ok_and(|value| value == "require")
}

fn absent(name: &str) -> Option<PathBuf> {
    let required = is_required();
    assert!(!required, "the peer {name} is missing; run tests/peers/install");
    eprintln!("skipped: the peer {name} is absent; tests/peers/install installs it");
    None
}
