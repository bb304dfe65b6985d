//! The Linkit-like backend of `tests/backend`, seeded and running.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::peers::peer;
use super::process::Process;
use super::{Directory, http};

pub const BACKEND_KEY: &str = "backend-key-0123456789";

/// How many of everything.
pub struct Sizes {
    pub products: u64,
    pub branches: u64,
    pub skus: u64,
    pub orders: u64,
    pub customers: u64,
    pub pending: u64,
    pub processing: u64,
    pub completed: u64,
}

impl Sizes {
    pub const fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("products", self.products),
            ("branches", self.branches),
            ("skus", self.skus),
            ("orders", self.orders),
            ("customers", self.customers),
            ("pending", self.pending),
            ("processing", self.processing),
            ("completed", self.completed),
        ]
    }
}

/// The sizes of the document's example.
pub const FULL: Sizes = Sizes {
    products: 15_000,
    branches: 25,
    skus: 375_000,
    orders: 50_000,
    customers: 12_000,
    pending: 40,
    processing: 12,
    completed: 5_432,
};

pub const SMALL: Sizes = Sizes {
    products: 120,
    branches: 5,
    skus: 600,
    orders: 50,
    customers: 30,
    pending: 4,
    processing: 2,
    completed: 17,
};

pub struct Backend {
    pub process: Process,
    pub url: String,
    pub directory: Directory,
}

impl Backend {
    /// A seeded backend that serves; `None` when the peer is absent.
    pub async fn start(sizes: &Sizes, flags: &[&str]) -> Option<Self> {
        let program = peer("linkit-backend")?;
        let directory = Directory::new("backend");
        seed(&program, directory.path(), sizes);
        let (process, url) = serve(&program, directory.path(), flags).await;
        Some(Self { process, url, directory })
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("data.db")
    }

    /// Its own documented JSON.
    pub async fn telemetry(&self) -> serde_json::Value {
        let url = format!("{}/api/v1/telemetry", self.url);
        http::get_ok(&url, &[("authorization", BACKEND_KEY)]).await.json()
    }

    /// Serves the same shop again, after its process was stopped.
    pub async fn again(self, flags: &[&str]) -> Self {
        let program = peer("linkit-backend").unwrap();
        self.process.stop().await;
        let (process, url) = serve(&program, self.directory.path(), flags).await;
        Self { process, url, directory: self.directory }
    }
}

fn seed(program: &Path, directory: &Path, sizes: &Sizes) {
    let mut command = Command::new(program);
    command.arg("seed").arg("--dir").arg(directory);
    for (name, value) in sizes.named() {
        command.arg(format!("--{name}")).arg(value.to_string());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "seeding failed: {}", String::from_utf8_lossy(&output.stderr));
}

async fn serve(program: &Path, directory: &Path, flags: &[&str]) -> (Process, String) {
    let mut command = Command::new(program);
    command.arg("serve").arg("--dir").arg(directory).args(["--http", "127.0.0.1:0", "--refresh", "0"]);
    command.env("LINKIT_API_KEY", BACKEND_KEY).args(flags);
    let mut process = Process::start("the backend", &mut command);
    let line = process.line("linkit-backend listening on ").await;
    let url = line.rsplit(' ').next().unwrap().to_owned();
    (process, url)
}
