//! The Linkit-like backend of `tests/backend`, seeded and running.

use std::path::PathBuf;
use std::process::Command;

use super::peers::{may_be_others, peer};
use super::process::Process;
use super::program::Program;
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

/// A seeded data directory that nobody serves.
pub struct Shop {
    pub directory: Directory,
    program: Program,
}

impl Shop {
    /// A shop of this user; `None` when the peer is absent.
    pub fn seed(sizes: &Sizes) -> Option<Self> {
        Self::seed_of(None, sizes)
    }

    /// A shop whose files and backend belong to another user; `None` when the peer or the right to be one is absent.
    pub fn seed_as(user: u32, sizes: &Sizes) -> Option<Self> {
        may_be_others().then(|| Self::seed_of(Some(user), sizes))?
    }

    fn seed_of(user: Option<u32>, sizes: &Sizes) -> Option<Self> {
        let program = Program::of(&peer("linkit-backend")?, user);
        let directory = Directory::new("backend");
        if let Some(user) = user {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(user)).unwrap();
        }
        let shop = Self { directory, program };
        let mut command = shop.command("seed");
        for (name, value) in sizes.named() {
            command.arg(format!("--{name}")).arg(value.to_string());
        }
        shop.run(command);
        Some(shop)
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("data.db")
    }

    /// A command of the backend on this directory.
    pub fn command(&self, name: &str) -> Command {
        let mut command = self.program.command();
        command.arg(name).arg("--dir").arg(self.directory.path());
        command
    }

    /// Runs a command that must succeed.
    pub fn run(&self, mut command: Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub async fn serve(self, flags: &[&str]) -> Backend {
        let mut command = self.command("serve");
        command.args(["--http", "127.0.0.1:0", "--refresh", "0"]).env("LINKIT_API_KEY", BACKEND_KEY).args(flags);
        let mut process = Process::start("the backend", &mut command);
        let line = process.line("linkit-backend listening on ").await;
        let url = line.rsplit(' ').next().unwrap().to_owned();
        let Self { directory, program } = self;
        Backend { process, url, directory, program }
    }
}

pub struct Backend {
    pub process: Process,
    pub url: String,
    pub directory: Directory,
    program: Program,
}

impl Backend {
    /// A seeded backend that serves; `None` when the peer is absent.
    pub async fn start(sizes: &Sizes, flags: &[&str]) -> Option<Self> {
        Some(Shop::seed(sizes)?.serve(flags).await)
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("data.db")
    }

    /// Its own documented JSON.
    pub async fn telemetry(&self) -> serde_json::Value {
        let url = format!("{}/api/v1/telemetry", self.url);
        http::get_ok(&url, &[("authorization", BACKEND_KEY)]).await.json()
    }

    /// Ends its process by a signal, and waits until it has ended.
    pub async fn end(self, signal: &str) -> Shop {
        let Self { mut process, directory, program, .. } = self;
        process.signal(signal);
        process.ended().await;
        Shop { directory, program }
    }

    /// Serves the same shop again, after its process was stopped.
    pub async fn again(self, flags: &[&str]) -> Self {
        self.end("-TERM").await.serve(flags).await
    }
}
