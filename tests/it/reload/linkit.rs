//! A Linkit's endpoint that says one number everywhere, wants a key, and hangs when told to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use linkit_bridge::clock::{Clock, SystemClock};
use serde_json::json;

pub struct Linkit {
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    key: Mutex<String>,
    number: AtomicU64,
    hangs: AtomicBool,
    asked: AtomicU64,
    clients: Mutex<BTreeSet<SocketAddr>>,
}

impl Linkit {
    pub async fn start(key: &str) -> Self {
        let shared = Arc::new(Shared {
            key: Mutex::new(key.to_owned()),
            number: AtomicU64::new(42),
            hangs: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            clients: Mutex::default(),
        });
        let router = Router::new().route("/api/v1/telemetry", get(telemetry)).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { url, shared, task }
    }

    /// A section that reads it, with its key in place.
    pub fn section(&self, more: &str) -> String {
        let key = self.shared.key.lock().unwrap();
        format!("{{ source: telemetry_json, url: '{}', api_key: {key}, {more} }}", self.url)
    }

    pub fn set(&self, number: u64) {
        self.shared.number.store(number, Ordering::SeqCst);
    }

    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut self.shared.key.lock().unwrap());
    }

    pub fn hang(&self, hangs: bool) {
        self.shared.hangs.store(hangs, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How many connections have asked.
    pub fn connections(&self) -> usize {
        self.shared.clients.lock().unwrap().len()
    }
}

impl Drop for Linkit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn telemetry(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    shared.clients.lock().unwrap().insert(client);
    if shared.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    if headers.get("authorization").is_none_or(|key| key.as_bytes() != shared.key.lock().unwrap().as_bytes()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let n = shared.number.load(Ordering::SeqCst);
    let document = json!({
        "version": "1.0.0",
        "measured": SystemClock::new().now().wall.to_rfc3339(),
        "runtime": { "goroutines": n, "cpu_count": n, "alloc_mb": n, "total_alloc_mb": n, "sys_mb": n, "num_gc": n, "gc_pause_ns": n },
        "store": { "products": n, "branches": n, "skus": n, "orders": n, "customers": n },
        "staging": { "pending": n, "processing": n, "completed_today": n },
    });
    ([("content-type", "application/json")], document.to_string()).into_response()
}
