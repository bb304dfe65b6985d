//! Servers that tell back whatever they are told, in every place of an answer that a client might quote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As one should.
    Well,
    /// The connection is closed at once.
    Away,
    /// No, and why.
    Refusing,
    /// What is none of the protocol.
    Wrong,
}

/// One that listens; it ends with the value.
pub struct Gossip {
    pub port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    asked: AtomicU64,
    /// What it was told beside the heads of requests: bodies.
    heard: Mutex<Vec<u8>>,
}

/// The protocols.
#[derive(Clone, Copy)]
pub enum Speech {
    Http,
    Postgres,
    Mysql,
}

impl Gossip {
    pub async fn start(speech: Speech, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::<Shared>::default());
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(talk(stream, speech, manner, Arc::clone(&of_task)));
            }
        });
        Self { port, shared, task }
    }

    /// How often it was asked and has answered.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// All bodies it was sent.
    pub fn heard(&self) -> Vec<u8> {
        self.shared.heard.lock().unwrap().clone()
    }
}

impl Drop for Gossip {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(mut stream: TcpStream, speech: Speech, manner: Manner, shared: Arc<Shared>) {
    if manner != Manner::Away {
        // Who breaks off in the middle is what is looked at, not a failure of the test.
        let _ = match speech {
            Speech::Http => http(&mut stream, manner, &shared).await,
            Speech::Postgres => postgres(&mut stream, manner).await,
            Speech::Mysql => mysql(&mut stream, manner).await,
        };
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
}

async fn http(stream: &mut TcpStream, manner: Manner, shared: &Shared) -> std::io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    let head_end = loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let count = stream.read(&mut part).await?;
        request.extend(&part[..count]);
        // HTTP/2, which is not spoken here, has no end of its head.
        if count == 0 || request.starts_with(b"PRI ") {
            break request.len();
        }
    };
    let head = String::from_utf8_lossy(&request[..head_end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while request.len() < head_end + length {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            break;
        }
        request.extend(&part[..count]);
    }
    shared.heard.lock().unwrap().extend(&request[head_end..]);
    let told = head.replace(['\r', '\n'], " ");
    let answer = match manner {
        Manner::Well => {
            let body = serde_json::json!({
                "version": "1.0.0",
                "runtime": {
                    "goroutines": 7, "cpu_count": 2, "alloc_mb": 3, "total_alloc_mb": 9, "sys_mb": 12, "num_gc": 4,
                    "gc_pause_ns": 40_000,
                },
            });
            let (kind, body) = match head.starts_with("POST") {
                true => ("application/x-protobuf", String::new()),
                false => ("application/json", body.to_string()),
            };
            format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
        Manner::Refusing => format!(
            "HTTP/1.1 401 {told}\r\nwww-authenticate: {told}\r\nlocation: http://{told}/\r\ncontent-length: {}\r\n\r\n{told}",
            told.len()
        ),
        Manner::Wrong if head.starts_with("GET") => {
            let body = serde_json::json!({ "version": 7, "runtime": { "goroutines": told, told.as_str(): told } });
            let body = body.to_string();
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
        Manner::Wrong | Manner::Away => format!("{told}\r\n{told}: {told}\r\n\r\n{told}"),
    };
    stream.write_all(answer.as_bytes()).await
}

/// A message of PostgreSQL: its kind, its length, its body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

/// Asks for the password in clear text.
async fn postgres(stream: &mut TcpStream, manner: Manner) -> std::io::Result<()> {
    const TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();
    loop {
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        if !body.starts_with(&TLS) {
            break;
        }
        stream.write_all(b"N").await?;
    }
    stream.write_all(&message(b'R', &3_u32.to_be_bytes())).await?;
    let _kind = stream.read_u8().await?;
    let mut password = vec![0; stream.read_u32().await? as usize - 4];
    stream.read_exact(&mut password).await?;
    let password = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
    let answer = match manner {
        Manner::Wrong => message(b'?', password.as_bytes()),
        _ => {
            let text =
                format!("SFATAL\0VFATAL\0C28P01\0Mthe password {password} is wrong\0D{password}\0H{password}\0\0");
            message(b'E', text.as_bytes())
        }
    };
    stream.write_all(&answer).await
}

/// Says no before it is asked: MySQL sends no password in the clear.
async fn mysql(stream: &mut TcpStream, manner: Manner) -> std::io::Result<()> {
    let body: Vec<u8> = match manner {
        Manner::Wrong => b"\x0a\xff\xff no greeting \0".to_vec(),
        _ => [b"\xff".as_slice(), &1045_u16.to_le_bytes(), b"#28000Access denied"].concat(),
    };
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    stream.write_all(&[&length[..3], &[0], &body].concat()).await
}
