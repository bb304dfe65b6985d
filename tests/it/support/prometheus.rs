//! A real Prometheus: scraping the bridge, or taking its pushes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::process::Process;
use super::{Directory, eventually, free_port, http};

pub struct Prometheus {
    process: Option<Process>,
    command: Command,
    pub url: String,
    directory: Directory,
}

impl Prometheus {
    /// Starts one with a config; `flags` are added.
    pub async fn start(program: &Path, config: &str, flags: &[&str]) -> Self {
        let mut prometheus = Self::prepare(program, flags);
        prometheus.configure(config);
        prometheus.revive().await;
        prometheus
    }

    /// One that has its address, but is not started.
    pub fn prepare(program: &Path, flags: &[&str]) -> Self {
        let directory = Directory::new("prometheus");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).args(flags);
        Self { process: None, command, url: format!("http://{address}"), directory }
    }

    /// Gives it its config, before it is started.
    pub fn configure(&self, config: &str) {
        self.directory.write("prometheus.yml", config);
    }

    /// Puts samples into its data, before it is started: a text in OpenMetrics.
    pub fn backfill(&self, promtool: &Path, samples: &str) {
        let file = self.directory.write("history.om", samples);
        let mut command = Command::new(promtool);
        command.args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"]).arg(file);
        let output = command.arg(self.directory.path().join("data")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts it, again with the same port and the same data.
    pub async fn revive(&mut self) {
        self.process = Some(Process::start("prometheus", &mut self.command));
        let ready = format!("{}/-/ready", self.url);
        eventually("prometheus being ready", || async {
            http::get(&ready, &[]).await.filter(|answer| answer.status == 200)
        })
        .await;
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("-KILL");
            process.ended().await;
        }
    }

    /// The config that scrapes one bridge each second, and evaluates rules as often.
    pub fn scraping(address: &str, options: &str) -> String {
        format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             scrape_configs:\n  - job_name: linkit-bridge\n    static_configs: [ {{ targets: ['{address}'] }} ]\n{options}"
        )
    }

    async fn api(&self, path: &str) -> Value {
        http::get_ok(&format!("{}/api/v1/{path}", self.url), &[]).await.json()["data"].clone()
    }

    /// The series of an instant query, as labels and value.
    pub async fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String =
            percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC).collect();
        let data = self.api(&format!("query?query={encoded}")).await;
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        data["result"].as_array().unwrap().iter().map(|series| (series["metric"].clone(), value(series))).collect()
    }

    /// The samples of the one series of a range, as milliseconds and value.
    pub async fn samples(&self, series: &str, range: &str) -> Vec<(i64, f64)> {
        let encoded: String =
            percent_encoding::utf8_percent_encode(&format!("{series}[{range}]"), percent_encoding::NON_ALPHANUMERIC)
                .collect();
        let data = self.api(&format!("query?query={encoded}")).await;
        let samples = data["result"][0]["values"].as_array().cloned().unwrap_or_default();
        let sample = |sample: Value| {
            let milliseconds = (sample[0].as_f64().unwrap() * 1000.0).round() as i64;
            (milliseconds, sample[1].as_str().unwrap().parse().unwrap())
        };
        samples.into_iter().map(sample).collect()
    }

    /// The one value of an instant query, once there is one.
    pub async fn value(&self, query: &str) -> f64 {
        let ask = || async { self.query(query).await.first().map(|(_, value)| *value) };
        eventually(&format!("a value of {query}"), ask).await
    }

    /// The state of its one scrape target: health, last error.
    pub async fn target(&self) -> (String, String) {
        let data = self.api("targets").await;
        let target = &data["activeTargets"][0];
        let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
        (text("health"), text("lastError"))
    }
}
