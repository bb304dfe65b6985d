//! Between accepting a connection and serving it: the TLS handshake.
//!
//! Who speaks HTTP to a server of TLS is told so, as Go's server does. It knows no route; what handshakes are made with
//! comes from the web configuration, anew for each connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::server::stream::Stream as Accepted;

/// What goes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that can be served.
pub(super) struct Secured {
    pub(super) stream: Box<dyn Stream>,
    /// Whether the client chose HTTP/2.
    pub(super) is_http2: bool,
}

/// The protocol's name in ALPN (RFC 9113, 3.1).
const HTTP2: &[u8] = b"h2";

/// The type of a TLS record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// How requests begin, in the five bytes of a record's head; those that Go looks for.
const HTTP: [&[u8; 5]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];

const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// What is read away after the last word, and for how long, so that it is not lost with the connection.
const WASTE_MAX: u64 = 16 << 10;
const LINGER: Duration = Duration::from_secs(1);

/// Makes TLS of an accepted connection, if there is to be TLS. The listener keeps the time of it, and counts the
/// connection as half-open meanwhile. `None` if the client has been told why nothing comes of it.
///
/// # Errors
/// If the client does not agree.
pub(super) async fn secure(stream: Accepted, tls: Option<Arc<ServerConfig>>) -> io::Result<Option<Secured>> {
    match tls {
        Some(config) => handshake(stream, config).await,
        None => Ok(Some(Secured { stream: Box::new(stream), is_http2: false })),
    }
}

async fn handshake(mut stream: Accepted, config: Arc<ServerConfig>) -> io::Result<Option<Secured>> {
    let mut head = [0; 5];
    let mut read = 0;
    while read < head.len() && (read == 0 || head[0] != HANDSHAKE) {
        match stream.read(&mut head[read..]).await? {
            0 => break,
            count => read += count,
        }
    }
    if HTTP.contains(&&head) {
        tracing::debug!("a client sent an HTTP request to the HTTPS server");
        stream.write_all(NOT_TLS).await?;
        part(stream).await;
        return Ok(None);
    }
    let opened = Opened { stream, head, at: 0, end: read };
    let stream = match TlsAcceptor::from(config).accept(opened).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            // The client may have sent a request already, and is to learn from the alert why there is no answer.
            part(stream).await;
            return Err(error);
        }
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    Ok(Some(Secured { stream: Box::new(stream), is_http2 }))
}

/// Ends a connection after its last word: a socket that is closed with bytes unread takes back what it has sent.
async fn part(mut stream: impl Stream) {
    let gone = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(WASTE_MAX), &mut tokio::io::sink()).await
    };
    // However it ends, it has ended.
    let _ = timeout(LINGER, gone).await;
}

/// A stream whose first bytes have been looked at.
struct Opened<S> {
    stream: S,
    head: [u8; 5],
    /// What of the head is still to be read.
    at: usize,
    end: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.at == self.end {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = buf.remaining().min(self.end - self.at);
        buf.put_slice(&self.head[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
