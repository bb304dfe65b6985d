//! The supervisor: tells systemd that the bridge is ready, reloads, stops and is alive (sd_notify(3), systemd.service(5)).
//!
//! One datagram a word, over a socket in the file system or an abstract one. It knows only how to say it; when, and what
//! proves that the bridge is alive, is the app's business. Without a supervisor nothing is said.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the supervisor, if there is one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the bridge is alive, at the least.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The supervisor that the environment names, for the process `pid`.
    #[must_use]
    pub fn of(env: &dyn Fn(&str) -> Option<String>, pid: u32) -> Self {
        let Some(name) = env("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        let socket = match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used, so the supervisor hears nothing; it must be a path or begin with @");
                None
            }
        };
        let is_ours = env("WATCHDOG_PID").is_none_or(|held| held == pid.to_string());
        let watchdog = env("WATCHDOG_USEC").and_then(|time| time.parse().ok()).map(Duration::from_micros);
        Self { socket, watchdog: watchdog.filter(|time| is_ours && !time.is_zero()) }
    }

    /// How often it is to hear that the bridge is alive: twice in the time after which it ends a bridge that is silent.
    #[must_use]
    pub fn beat(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|time| time / 2)
    }

    /// All is up; `status` is a line for people.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}\n", line(status)));
    }

    /// The configuration is being read again; [`Supervisor::ready`] ends it, however it went.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reloading\n", now.as_micros()));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping\n");
    }

    /// The bridge is alive.
    pub fn alive(&self) {
        self.say("WATCHDOG=1\n");
    }

    /// A supervisor that does not listen must not hold up the bridge.
    fn say(&self, words: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!(%error, "the supervisor did not hear a word");
        }
    }
}

fn open(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => return Err(std::io::ErrorKind::InvalidInput.into()),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A line end would begin another word.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a supervisor at `address` hears of `say`, if the environment names it `name`.
    fn heard(address: &SocketAddr, name: &str, say: impl FnOnce(&Supervisor)) -> Vec<String> {
        let listening = UnixDatagram::bind_addr(address).unwrap();
        listening.set_nonblocking(true).unwrap();
        say(&Supervisor::of(&|key| (key == "NOTIFY_SOCKET").then(|| name.to_owned()), 1));
        let mut heard = Vec::new();
        let mut bytes = [0; 1024];
        while let Ok(length) = listening.recv(&mut bytes) {
            heard.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        heard
    }

    #[test]
    fn words_arrive_at_a_path_and_at_an_abstract_name() {
        let name = format!("linkit-bridge-supervisor-{:x}", fastrand::u64(..));
        let path = std::env::temp_dir().join(&name);
        let say = |supervisor: &Supervisor| {
            supervisor.ready("reading\nWATCHDOG=trigger");
            supervisor.alive();
            supervisor.stopping();
        };
        let expected = ["READY=1\nSTATUS=reading WATCHDOG=trigger\n", "WATCHDOG=1\n", "STOPPING=1\nSTATUS=stopping\n"];
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        assert_eq!(heard(&at, &format!("@{name}"), say), expected);
        let at = SocketAddr::from_pathname(&path).unwrap();
        assert_eq!(heard(&at, path.to_str().unwrap(), say), expected);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_reload_tells_its_monotonic_time() {
        let name = format!("linkit-bridge-supervisor-{:x}", fastrand::u64(..));
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        let told = heard(&at, &format!("@{name}"), Supervisor::reloading);
        let time = told[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().split('\n').next().unwrap();
        let up = std::fs::read_to_string("/proc/uptime").unwrap();
        let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
        let time: f64 = time.parse::<f64>().unwrap() / 1e6;
        assert!(time > 0.0 && time <= up + 1.0, "{time} of {up}");
    }

    #[test]
    fn the_watchdog_is_asked_for_by_time_and_process() {
        let beat = |variables: &[(&str, &str)]| {
            let env = |key: &str| variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
            Supervisor::of(&env, 7).beat()
        };
        let socket = ("NOTIFY_SOCKET", "@linkit-bridge-nobody");
        let half = Some(Duration::from_secs(10));
        assert_eq!(beat(&[socket, ("WATCHDOG_USEC", "20000000")]), half);
        assert_eq!(beat(&[socket, ("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "7")]), half);
        assert_eq!(beat(&[socket, ("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!(beat(&[socket]), None);
        for bad in ["relative", "", "vsock:1:2"] {
            assert_eq!(beat(&[("NOTIFY_SOCKET", bad), ("WATCHDOG_USEC", "20000000")]), None);
        }
    }
}
