//! A child process that never outlives its test, with everything it wrote.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{PATIENCE, eventually};

/// Longest time in which what an ended process wrote is read.
const READ_PATIENCE: Duration = Duration::from_secs(5);

pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
    last_signal: &'static str,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {name}: {error}"));
        let lines = Arc::default();
        let readers = [keep(child.stdout.take().unwrap(), &lines), keep(child.stderr.take().unwrap(), &lines)];
        Self { name: name.to_owned(), child, lines, readers, last_signal: "-KILL" }
    }

    /// Has the value end the process by a signal that it can catch, since it has something to clear away.
    pub fn ending_by(mut self, signal: &'static str) -> Self {
        self.last_signal = signal;
        self
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to stdout and stderr so far.
    pub fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that holds `part`; panics with all output if the process ends before.
    pub async fn line(&mut self, part: &str) -> String {
        let (name, lines, child) = (&self.name, &self.lines, Mutex::new(&mut self.child));
        let what = format!("a line of {name} with {part}");
        eventually(&what, || async {
            let ended = child.lock().unwrap().try_wait().unwrap();
            let found = lines.lock().unwrap().iter().find(|line| line.contains(part)).cloned();
            assert!(found.is_some() || ended.is_none(), "{name} ended: {}", lines.lock().unwrap().join("\n"));
            found
        })
        .await
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "failed to send {signal} to {}", self.name);
    }

    /// Waits for the end of the process, and until what it wrote is read; not for ever, for what it has started may
    /// hold its pipes.
    pub async fn ended(&mut self) -> ExitStatus {
        let (what, child) = (format!("the end of {}", self.name), Mutex::new(&mut self.child));
        let status = eventually(&what, || async { child.lock().unwrap().try_wait().unwrap() }).await;
        let read = async {
            while !self.readers.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(READ_PATIENCE, read).await;
        status
    }

    /// Asks the process to end, and waits until it has.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.ended().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let end = Instant::now() + PATIENCE;
        let is_alive = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if self.last_signal != "-KILL" && is_alive(&mut self.child) {
            let _ = Command::new("kill").args([self.last_signal, &self.id().to_string()]).status();
            while is_alive(&mut self.child) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(pipe: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    })
}
