//! The source `process` from outside: a process is read, dies visibly, and is followed to the next by its pid file.

use std::path::Path;
use std::process::Command;

use crate::support::bridge::Bridge;
use crate::support::process::Process;
use crate::support::{Directory, eventually};

const THREADS: &str = "linkit_runtime_goroutines";
const MEMORY: &str = "linkit_runtime_memory_sys_bytes";
const UP: &str = "linkit_bridge_collector_up{collector=\"runtime\",source=\"process\"}";
const NOT_FOUND: &str =
    "linkit_bridge_collector_errors_total{class=\"not_found\",collector=\"runtime\",source=\"process\"}";

fn sleeper(pid_file: &Path) -> Process {
    let process = Process::start("the sleeper", Command::new("sleep").arg("600"));
    std::fs::write(pid_file, format!("{}\n", process.id())).unwrap();
    process
}

async fn up(bridge: &Bridge, up: f64) -> std::collections::BTreeMap<String, f64> {
    let ask = || async { Some(bridge.series().await).filter(|series| series.get(UP) == Some(&up)) };
    eventually(&format!("{UP} {up}"), ask).await
}

#[tokio::test]
async fn a_process_is_read_dies_visibly_and_is_followed_by_its_pid_file() {
    let directory = Directory::new("process");
    let pid_file = directory.path().join("x.pid");
    let first = sleeper(&pid_file);
    let config =
        format!("runtime: {{ source: process, pid_file: {}, interval: 200ms, max_backoff: 1s }}\n", pid_file.display());
    let bridge = Bridge::start(&config).await;
    let series = up(&bridge, 1.0).await;
    assert_eq!(series[THREADS], 1.0);
    assert!(series[MEMORY] > 65536.0 && series["linkit_runtime_cpus"] >= 1.0);
    for unknowable in ["heap_allocated_bytes", "memory_allocated_bytes_total", "gc_cycles_total"] {
        assert!(!series.contains_key(&format!("linkit_runtime_{unknowable}")), "{unknowable}");
    }
    drop(first);
    let series = up(&bridge, 0.0).await;
    assert!(series[NOT_FOUND] >= 1.0);
    assert_eq!(series[THREADS], 1.0, "the last reading stays until it expires");
    let _second = sleeper(&pid_file);
    up(&bridge, 1.0).await;
}

#[tokio::test]
async fn a_process_by_the_pid_of_a_variable_and_keys_that_exclude_each_other() {
    let sleeper = Process::start("the sleeper", Command::new("sleep").arg("600"));
    let pid = sleeper.id().to_string();
    let env = [("LINKIT_BRIDGE_RUNTIME_SOURCE", "process"), ("LINKIT_BRIDGE_RUNTIME_PID", pid.as_str())];
    let bridge = Bridge::start_with("", &env).await;
    up(&bridge, 1.0).await;
    let directory = Directory::new("process");
    for (runtime, problem) in [
        ("{ source: process }", "set pid, pid_file or name"),
        ("{ source: process, pid: 7, name: linkit }", "exclude each other"),
        ("{ source: process, pid: x }", "a process id is a whole number"),
        ("{ source: process, pid: -1 }", "a process id is a whole number"),
        ("{ source: process, pid: 0 }", "pid is 0"),
        ("{ source: process, name: /bin/linkit }", "without its folder"),
        ("{ source: self, pid: 7 }", "pid has no meaning for source self"),
    ] {
        let file = directory.write("bridge.yml", &format!("runtime: {runtime}\n"));
        let output =
            crate::support::bridge::command().arg("--config.check").arg("--config.file").arg(file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(problem), "{runtime}: {text}");
    }
}
