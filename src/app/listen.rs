//! Where the server listens and what its clients may take, from the config to the server's own settings.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};

use crate::config::{Config, Env};
use crate::server::{self, Address, Limits, Socket};

/// Where the server listens if nothing is set: the host and port of the OpenTelemetry specification for this exporter.
const LISTEN: &str = "127.0.0.1:9464";

/// Where the server's sockets come from.
pub(super) enum Listen {
    /// It makes them.
    At(Vec<Address>),
    /// systemd passes them, under these names (`LISTEN_FDNAMES`).
    Passed(Option<String>),
}

impl Listen {
    pub(super) fn new(config: &Config, env: Env<'_>) -> anyhow::Result<Self> {
        let web = &config.web;
        if web.systemd_socket == Some(true) {
            if web.listen.is_some() {
                tracing::info!("web.listen is not used: web.systemd_socket says that systemd passes the sockets");
            }
            return Ok(Self::Passed(env("LISTEN_FDNAMES")));
        }
        let mode = web.unix_socket_mode.as_deref().map(mode).transpose()?;
        let default = [LISTEN.to_owned()];
        let listen = web.listen.as_deref().unwrap_or(&default);
        anyhow::ensure!(!listen.is_empty(), "web.listen is empty; name an address, such as {LISTEN}");
        let address = |text: &String| {
            let address: Address = text.parse()?;
            Ok(address.with_mode(mode.unwrap_or(Address::MODE)))
        };
        listen.iter().map(address).collect::<anyhow::Result<_>>().map(Self::At)
    }

    /// The configured addresses.
    pub(super) fn addresses(&self) -> &[Address] {
        match self {
            Self::At(addresses) => addresses,
            Self::Passed(_) => &[],
        }
    }

    /// Those of them that are of the network.
    pub(super) fn networks(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses().iter().filter_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix { .. } => None,
        })
    }

    /// The first port, if it is known before the sockets are there.
    pub(super) fn port(&self) -> Option<u16> {
        self.addresses().iter().find_map(Address::port)
    }

    pub(super) fn sockets(&self) -> io::Result<Vec<Socket>> {
        match self {
            Self::At(addresses) => server::bind(addresses),
            Self::Passed(names) => server::inherited(names.as_deref()),
        }
    }
}

fn mode(text: &str) -> anyhow::Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| anyhow!("not a mode of a file")).with_context(|| {
        format!("web.unix_socket_mode {text:?}: write it in octal digits and quotes, such as \"0660\"")
    })
}

/// What clients may take: what is set, else the server's default.
pub(super) fn limits(config: &Config) -> Limits {
    let (set, default) = (config.web.limits.unwrap_or_default(), Limits::default());
    Limits {
        connections: set.connections.unwrap_or(default.connections),
        connections_per_address: set.connections_per_address.unwrap_or(default.connections_per_address),
        handshake: set.handshake_timeout.unwrap_or(default.handshake),
        header: set.header_timeout.unwrap_or(default.header),
        request: set.request_timeout.unwrap_or(default.request),
        answer: set.answer_timeout.unwrap_or(default.answer),
        idle: set.idle_timeout.unwrap_or(default.idle),
        body_bytes: default.body_bytes,
    }
}
