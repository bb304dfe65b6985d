//! The bridge as its users run it: the binary, a config file, a port of its own.

use std::path::Path;
use std::process::Command;

use super::Directory;
use super::http::{Answer, get, get_ok};
use super::process::Process;
use super::program::Program;

pub const KEY: &str = "test-key-0123456789abcdef";

pub struct Bridge {
    pub process: Process,
    pub url: String,
    _directory: Directory,
}

fn program(user: Option<u32>) -> Program {
    Program::of(Path::new(env!("CARGO_BIN_EXE_linkit-bridge")), user)
}

/// The binary with nothing of the caller's environment that could change its mind.
pub fn command() -> Command {
    command_of(&program(None))
}

fn command_of(program: &Program) -> Command {
    let mut command = program.command();
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("LINKIT_")) {
        command.env_remove(name);
    }
    command
}

impl Bridge {
    /// Starts it with a config to which a free port and the test key are added.
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    pub async fn start_with(config: &str, env: &[(&str, &str)]) -> Self {
        Self::start_as(None, config, env).await
    }

    /// Starts it as another user, if one is given.
    pub async fn start_as(user: Option<u32>, config: &str, env: &[(&str, &str)]) -> Self {
        let directory = Directory::new("bridge");
        let web = format!("web: {{ listen: ['127.0.0.1:0'], api_keys: [ {{ name: test, key: {KEY} }} ] }}\n{config}");
        let file = directory.write("bridge.yml", &web);
        let program = program(user);
        let mut process = Process::start(
            "the bridge",
            command_of(&program).arg("--config.file").arg(&file).envs(env.iter().copied()).arg("--log.level=debug"),
        );
        let line = process.line("msg=listening").await;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        Self { url: format!("http://{}", address.trim_matches('"')), process, _directory: directory }
    }

    pub async fn get(&self, path: &str) -> Answer {
        get_ok(&format!("{}{path}", self.url), &[]).await
    }

    /// The documented JSON, whatever its status.
    pub async fn telemetry(&self) -> Answer {
        get(&format!("{}/api/v1/telemetry", self.url), &[("authorization", KEY)]).await.unwrap()
    }

    /// The documented JSON once it is there.
    pub async fn telemetry_ok(&self) -> serde_json::Value {
        let ask = || async { Some(self.telemetry().await).filter(|answer| answer.status == 200) };
        super::eventually("a 200 of the documented JSON", ask).await.json()
    }

    pub async fn series(&self) -> std::collections::BTreeMap<String, f64> {
        super::page::series(&self.get("/metrics").await.body)
    }
}
