//! A real OpenTelemetry Collector.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::certificates::Certificates;
use super::peers::peer;
use super::process::Process;
use super::{Directory, eventually, free_port, http};

/// A Collector whose file exporter writes each request as one line of JSON.
pub struct Collector {
    process: Option<Process>,
    program: PathBuf,
    /// Its address for HTTP, and for gRPC.
    pub endpoint: String,
    pub grpc: String,
    health: String,
    directory: Directory,
}

impl Collector {
    pub async fn start() -> Option<Self> {
        Self::start_with("", "", "", "http").await
    }

    /// One that takes no larger request over HTTP, unpacked.
    pub async fn start_taking(bytes_max: usize) -> Option<Self> {
        Self::start_with("", "", &format!(", max_request_body_size: {bytes_max}"), "http").await
    }

    /// One that takes requests with a bearer token alone.
    pub async fn start_guarded(token: &str) -> Option<Self> {
        let extension = format!(", bearertokenauth: {{ token: '{token}' }}");
        Self::start_with(&extension, ", auth: { authenticator: bearertokenauth }", "", "http").await
    }

    /// One that speaks TLS, and only with who has a certificate of the authority.
    pub async fn start_secured(certificates: &Certificates) -> Option<Self> {
        let tls = format!(
            ", tls: {{ cert_file: '{}', key_file: '{}', client_ca_file: '{}' }}",
            certificates.certificate.display(),
            certificates.key.display(),
            certificates.authority.display()
        );
        Self::start_with("", &tls, "", "https").await
    }

    async fn start_with(extension: &str, receiver_options: &str, http_options: &str, scheme: &str) -> Option<Self> {
        let program = peer("otelcol")?;
        let directory = Directory::new("otelcol");
        let (health, http, grpc) = (free_port(), free_port(), free_port());
        let out = directory.path().join("out.json");
        let extensions = if extension.is_empty() { "health_check" } else { "health_check, bearertokenauth" };
        let receiver = |port, options| format!("{{ endpoint: '127.0.0.1:{port}'{receiver_options}{options} }}");
        let config = format!(
            "extensions: {{ health_check: {{ endpoint: '127.0.0.1:{health}' }}{extension} }}\n\
             receivers: {{ otlp: {{ protocols: {{ http: {}, grpc: {} }} }} }}\n\
             exporters: {{ file: {{ path: '{}', flush_interval: 10ms, append: true }} }}\n\
             service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  extensions: [{extensions}]\n  \
             pipelines: {{ metrics: {{ receivers: [otlp], exporters: [file] }} }}\n",
            receiver(http, http_options),
            receiver(grpc, ""),
            out.display()
        );
        directory.write("otelcol.yml", &config);
        let mut collector = Self {
            process: None,
            program,
            endpoint: format!("{scheme}://127.0.0.1:{http}"),
            grpc: format!("{scheme}://127.0.0.1:{grpc}"),
            health: format!("http://127.0.0.1:{health}/"),
            directory,
        };
        collector.revive().await;
        Some(collector)
    }

    /// Starts it, again with the same ports and the same file.
    pub async fn revive(&mut self) {
        let config = self.directory.path().join("otelcol.yml");
        self.process = Some(Process::start("the collector", Command::new(&self.program).arg("--config").arg(config)));
        eventually("the collector being healthy", || async {
            http::get(&self.health, &[]).await.filter(|answer| answer.status == 200)
        })
        .await;
    }

    /// Ends it in an orderly way: killed, it would itself lose what it has taken and not yet written.
    pub async fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Kills it, with what it has taken and not yet written.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("-KILL");
            process.ended().await;
        }
    }

    /// The whole requests it wrote, in the order it took them.
    pub fn requests(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("out.json")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
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
