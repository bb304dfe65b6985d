//! What the tests share: processes that end with the test, real peers and databases, HTTP, and waiting with a deadline.

pub mod alertmanager;
pub mod backend;
pub mod bridge;
pub mod certificates;
pub mod database;
pub mod hostile;
pub mod http;
pub mod mariadb;
pub mod otelcol;
pub mod page;
pub mod peers;
pub mod postgres;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod receiver;

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time any condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `condition` until it gives a value; panics with `what` when it never does.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    let asked = async {
        loop {
            beat.tick().await;
            if let Some(value) = condition().await {
                return value;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{what} did not happen in {PATIENCE:?}"))
}

/// A port that was free a moment ago, for programs that cannot tell which they took.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A directory that goes with the value.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let unique = format!("linkit-bridge-{name}-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
