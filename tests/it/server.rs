//! The listener from outside: floods, sockets of every kind, requests of every wrong shape, and the stop.

mod flood;
mod shapes;
mod sockets;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::support::PATIENCE;
use crate::support::bridge::Bridge;

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HALF_A_HEAD: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n";

/// The network address of a bridge.
fn address(bridge: &Bridge) -> SocketAddr {
    bridge.url.trim_start_matches("http://").parse().unwrap()
}

/// Sends bytes and reads until the server closes; an error if it does not in time.
fn talk(mut stream: impl Read + Write, bytes: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    // The server may close while it is still written to.
    let _ = stream.write_all(bytes);
    let (mut answer, mut buffer) = (Vec::new(), [0; 65536]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(answer),
            Err(error) => return Err(error.kind()),
        }
    }
}

fn connect(to: SocketAddr) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One whole scrape on a connection of its own.
fn scrape(to: SocketAddr) -> String {
    String::from_utf8(talk(connect(to), SCRAPE).unwrap()).unwrap()
}

/// A connection from the `number`th of a hundred addresses of this host.
pub async fn connect_from(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % 100).unwrap() + 1;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)))?;
    let connected = tokio::time::timeout(Duration::from_secs(10), socket.connect(to)).await;
    connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
