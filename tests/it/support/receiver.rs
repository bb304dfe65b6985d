//! An OTLP receiver that remembers every request, in the order in which it took them, and refuses or hangs when told to.

use std::io::Read;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
use prost::Message;

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Take,
    /// 503.
    Refuse,
    /// No answer.
    Hang,
    /// 400.
    Reject,
}

/// Which batch a body is: the time of its points, and how many batches its bridge had accepted before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId {
    pub nanoseconds: u64,
    pub accepted_before: i64,
}

/// Tells which batch a compressed request is; `None` if it is not whole.
pub fn batch_id(body: &[u8]) -> Option<BatchId> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).ok()?;
    let request = ExportMetricsServiceRequest::decode(plain.as_slice()).unwrap();
    let mut metrics = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metric = metrics
        .find_map(|scope| scope.metrics.iter().find(|metric| metric.name == "linkit.bridge.push.accepted"))
        .unwrap();
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    let Some(Value::AsInt(accepted_before)) = sum.data_points[0].value else { panic!("{sum:?}") };
    Some(BatchId { nanoseconds: sum.data_points[0].time_unix_nano, accepted_before })
}

#[derive(Default)]
struct Shared {
    manner: AtomicU8,
    taken: Mutex<Vec<BatchId>>,
    hung: AtomicUsize,
    rejected: AtomicUsize,
}

pub struct Receiver {
    pub endpoint: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/metrics", post(receive)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shared, task }
    }

    pub fn set(&self, manner: Manner) {
        self.shared.manner.store(manner as u8, Ordering::SeqCst);
    }

    /// Everything taken so far, in order.
    pub fn taken(&self) -> Vec<BatchId> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// How many requests got no answer.
    pub fn hung(&self) -> usize {
        self.shared.hung.load(Ordering::SeqCst)
    }

    /// How many requests it refused for good.
    pub fn rejected(&self) -> usize {
        self.shared.rejected.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    match shared.manner.load(Ordering::SeqCst) {
        0 => {
            shared.taken.lock().unwrap().push(batch_id(&body).unwrap());
            StatusCode::OK
        }
        1 => StatusCode::SERVICE_UNAVAILABLE,
        2 => {
            shared.hung.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
        _ => {
            shared.rejected.fetch_add(1, Ordering::SeqCst);
            StatusCode::BAD_REQUEST
        }
    }
}
