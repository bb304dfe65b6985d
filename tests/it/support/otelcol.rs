//! A real OpenTelemetry Collector.

use std::process::Command;

use serde_json::Value;

use super::peers::peer;
use super::process::Process;
use super::{Directory, eventually, free_port, http};

/// A Collector whose file exporter writes each request as one line of JSON.
pub struct Collector {
    _process: Process,
    pub endpoint: String,
    directory: Directory,
}

impl Collector {
    pub async fn start() -> Option<Self> {
        Self::start_with("", "").await
    }

    /// One that takes requests with a bearer token alone.
    pub async fn start_guarded(token: &str) -> Option<Self> {
        let extension = format!(", bearertokenauth: {{ token: '{token}' }}");
        Self::start_with(&extension, ", auth: { authenticator: bearertokenauth }").await
    }

    async fn start_with(extension: &str, receiver_options: &str) -> Option<Self> {
        let program = peer("otelcol")?;
        let directory = Directory::new("otelcol");
        let (health, receiver) = (free_port(), free_port());
        let out = directory.path().join("out.json");
        let extensions = if extension.is_empty() { "health_check" } else { "health_check, bearertokenauth" };
        let config = format!(
            "extensions: {{ health_check: {{ endpoint: '127.0.0.1:{health}' }}{extension} }}\n\
             receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: '127.0.0.1:{receiver}'{receiver_options} }} }} }} }}\n\
             exporters: {{ file: {{ path: '{}', flush_interval: 10ms }} }}\n\
             service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  extensions: [{extensions}]\n  \
             pipelines: {{ metrics: {{ receivers: [otlp], exporters: [file] }} }}\n",
            out.display()
        );
        let file = directory.write("otelcol.yml", &config);
        let process = Process::start("the collector", Command::new(program).arg("--config").arg(file));
        let url = format!("http://127.0.0.1:{health}/");
        eventually("the collector being healthy", || async {
            http::get(&url, &[]).await.filter(|answer| answer.status == 200)
        })
        .await;
        Some(Self { _process: process, endpoint: format!("http://127.0.0.1:{receiver}"), directory })
    }

    /// The last whole request it wrote.
    pub fn last_request(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("out.json")).ok()?;
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }
}

/// The points of one metric of a request.
pub fn points<'a>(request: &'a Value, name: &str) -> Vec<&'a Value> {
    let metrics = request["resourceMetrics"][0]["scopeMetrics"].as_array().unwrap().iter();
    let mut metrics = metrics.flat_map(|scope| scope["metrics"].as_array().unwrap());
    let metric = metrics.find(|metric| metric["name"] == name);
    let data = metric.map(|metric| if metric["gauge"].is_object() { &metric["gauge"] } else { &metric["sum"] });
    data.map(|data| data["dataPoints"].as_array().unwrap().iter().collect()).unwrap_or_default()
}

/// A text among the attributes of a point or a resource.
pub fn attribute(point: &Value, key: &str) -> Option<String> {
    let pair = point["attributes"].as_array()?.iter().find(|pair| pair["key"] == key)?;
    pair["value"]["stringValue"].as_str().map(str::to_owned)
}
