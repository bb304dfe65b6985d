//! A real Alertmanager, and a webhook that remembers what it is told.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;

use super::process::Process;
use super::{Directory, eventually, free_port, http};

/// An HTTP receiver of notifications.
pub struct Webhook {
    pub url: String,
    told: Arc<Mutex<Vec<Value>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Webhook {
    pub async fn start() -> Self {
        let told = Arc::<Mutex<Vec<Value>>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().fallback(post(take)).with_state(Arc::clone(&told));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, told, task }
    }

    /// Every notification so far, in order.
    pub fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }

    /// Every alert of every notification so far.
    pub fn alerts(&self) -> Vec<Value> {
        self.told().iter().flat_map(|one| one["alerts"].as_array().cloned().unwrap_or_default()).collect()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(told): State<Arc<Mutex<Vec<Value>>>>, notification: Bytes) {
    told.lock().unwrap().push(serde_json::from_slice(&notification).unwrap());
}

pub struct Alertmanager {
    _process: Process,
    /// Host and port, as Prometheus is told it.
    pub address: String,
    _directory: Directory,
}

impl Alertmanager {
    pub async fn start(program: &Path, config: &str) -> Self {
        let directory = Directory::new("alertmanager");
        let file = directory.write("alertmanager.yml", config);
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        let process = Process::start("alertmanager", &mut command);
        let ready = format!("http://{address}/-/ready");
        eventually("alertmanager being ready", || async {
            http::get(&ready, &[]).await.filter(|answer| answer.status == 200)
        })
        .await;
        Self { _process: process, address, _directory: directory }
    }
}
