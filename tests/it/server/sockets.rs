//! Sockets of every kind: IPv6, Unix, and those that systemd passes.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::server::{SCRAPE, address, connect, scrape, talk};
use crate::support::bridge::{Bridge, command};
use crate::support::peers::program;
use crate::support::process::Process;
use crate::support::{Directory, PATIENCE, eventually, free_port};

fn scrape_unix(path: &Path) -> Option<String> {
    let stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Some(String::from_utf8(talk(stream, SCRAPE).unwrap()).unwrap())
}

#[tokio::test]
async fn all_kinds_of_addresses_serve_the_same_page() {
    let directory = Directory::new("sockets");
    let path = directory.path().join("bridge.sock");
    // What a killed bridge leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let listen =
        format!("127.0.0.1:0, {}, unix:{}, :0", if has_ipv6 { "[::1]:0" } else { "127.0.0.1:0" }, path.display());
    let env = [("LINKIT_BRIDGE_WEB_LISTEN", listen.as_str()), ("LINKIT_BRIDGE_WEB_UNIX_SOCKET_MODE", "0600")];
    let mut bridge = Bridge::start_with("", &env).await;
    bridge.process.line("address=unix:").await;
    let output = bridge.process.output();
    let said = output.lines().filter(|line| line.contains("msg=listening")).map(|line| {
        line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().trim_matches('"').to_owned()
    });
    let said: Vec<String> = said.collect();
    assert_eq!(said.len(), 4, "{output}");
    assert_eq!(said[2], format!("unix:{}", path.display()));
    for at in [0, 1] {
        assert!(scrape(said[at].parse().unwrap()).starts_with("HTTP/1.1 200 "), "{}", said[at]);
    }
    let all: SocketAddr = said[3].parse().unwrap();
    assert!(all.ip().is_unspecified());
    for host in ["127.0.0.1", "::1"].into_iter().take(if has_ipv6 { 2 } else { 1 }) {
        assert!(scrape(SocketAddr::new(host.parse().unwrap(), all.port())).starts_with("HTTP/1.1 200 "), "{host}");
    }
    assert!(scrape_unix(&path).unwrap().starts_with("HTTP/1.1 200 "));
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    assert!(!path.exists(), "the socket's file is left behind");
}

#[tokio::test]
async fn a_unix_socket_in_use_stays_its_owners() {
    let directory = Directory::new("sockets");
    let path = directory.path().join("bridge.sock");
    let listen = format!("127.0.0.1:0, unix:{}", path.display());
    let bridge = Bridge::start_with("", &[("LINKIT_BRIDGE_WEB_LISTEN", &listen)]).await;
    let output = command().arg(format!("--web.listen-address=unix:{}", path.display())).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("stop the program that listens on it or choose another path"), "{error}");
    assert!(scrape_unix(&path).unwrap().starts_with("HTTP/1.1 200 "));
    bridge.get("/metrics").await;
}

#[test]
fn wrong_addresses_and_modes_are_refused_with_the_remedy() {
    for (args, env, part, code) in [
        (&["--web.listen-address=unix:"][..], ("A", ""), "write it as HOST:PORT, :PORT or unix:PATH", 2),
        (&[], ("LINKIT_BRIDGE_WEB_UNIX_SOCKET_MODE", "rw"), "web.unix_socket_mode \"rw\": write it in octal digits", 2),
        (&[], ("LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS", "0"), "web.limits.connections is 0", 2),
        (&[], ("LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS", "-1"), "LINKIT_BRIDGE_WEB_LIMITS_CONNECTIONS: ", 2),
        (&[], ("LINKIT_BRIDGE_WEB_LIMITS_IDLE_TIMEOUT", "0s"), "web.limits.idle_timeout must be between", 2),
        (&["--web.systemd-socket"], ("A", ""), "systemd has passed no socket; start the .socket unit", 1),
    ] {
        let output = command().args(args).env(env.0, env.1).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?} {env:?}: {error}");
        assert!(error.contains(part), "{args:?} {env:?}: {error}");
    }
}

/// A bridge that is started when somebody first connects to one of the sockets.
fn activated(args: &[&str]) -> Option<Process> {
    let activate = program("systemd-socket-activate")?;
    let mut command = Command::new(activate);
    command.args(args).arg(env!("CARGO_BIN_EXE_linkit-bridge")).arg("--web.systemd-socket");
    Some(Process::start("systemd-socket-activate", &mut command))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_systemd_passes_are_served_and_left_to_it() {
    let directory = Directory::new("sockets");
    let path = directory.path().join("passed.sock");
    let to = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (tcp, unix) = (format!("--listen={to}"), format!("--listen={}", path.display()));
    let Some(mut process) = activated(&[&tcp, &unix, "--fdname=page:local"]) else { return };
    eventually("the socket", || async { path.exists().then_some(()) }).await;
    let page = tokio::task::spawn_blocking(move || talk(connect(to), SCRAPE)).await.unwrap().unwrap();
    assert!(page.starts_with(b"HTTP/1.1 200 "), "{}", process.output());
    assert!(scrape_unix(&path).unwrap().starts_with("HTTP/1.1 200 "));
    process.line(&format!("address={to}")).await;
    process.line(&format!("address=unix:{}", path.display())).await;
    process.signal("-TERM");
    assert!(process.ended().await.success(), "{}", process.output());
    assert!(path.exists(), "the file is systemd's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_socket_that_systemd_passes_is_warned_of() {
    let to = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let Some(mut process) = activated(&[&format!("--listen=0.0.0.0:{}", to.port())]) else { return };
    let knock = || async { std::net::TcpStream::connect(to).ok() };
    let _waked = eventually("the socket", knock).await;
    process.line("msg=listening").await;
    assert!(process.output().contains("the scrape page is open to all who reach this address"), "{}", process.output());
}

#[tokio::test]
async fn a_socket_of_another_kind_is_named_with_the_remedy() {
    let to = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let Some(mut process) = activated(&["--datagram", &format!("--listen={to}"), "--fdname=wrong"]) else { return };
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let knock = || async {
        let _ = client.send_to(b"x", to);
        process.output().contains("passed by systemd").then_some(())
    };
    eventually("the refusal", knock).await;
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(
        process.output().contains("socket 3 \"wrong\", passed by systemd: it is no stream socket; write ListenStream=")
    );
}

#[tokio::test]
async fn the_page_says_how_many_connections_there_are() {
    let bridge = Bridge::start("").await;
    let _half = connect(address(&bridge));
    let ask = || async {
        let series = bridge.series().await;
        (series["linkit_bridge_http_open_connections{state=\"half_open\"}"] >= 1.0).then_some(series)
    };
    let series = eventually("a half-open connection", ask).await;
    for reason in ["address", "full", "evicted", "timeout", "tls", "malformed"] {
        assert_eq!(series[&format!("linkit_bridge_http_dropped_connections_total{{reason=\"{reason}\"}}")], 0.0);
    }
}
