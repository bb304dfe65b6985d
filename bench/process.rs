//! A server that is measured: started, waited for, and ended with the value.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Longest time until a server answers, or ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with the value.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts a server, and asks on and on until it answers; the time that took.
    pub(crate) fn serving(command: &mut Command, is_answered: impl Fn() -> bool) -> Result<(Self, Duration)> {
        let start = Instant::now();
        let process = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        while start.elapsed() < PATIENCE {
            if is_answered() {
                return Ok((process, start.elapsed()));
            }
        }
        Err("no scrape was answered".into())
    }

    /// What it holds of the machine's memory.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(self.0.id())
    }
}

/// What a process holds of the machine's memory.
pub(crate) fn resident_bytes(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS in /proc")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number in VmRSS")?.parse()?;
    Ok(kib * 1024)
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
