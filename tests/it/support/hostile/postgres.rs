//! The server's side of PostgreSQL's protocol 3.0, for one session.

use std::io;

use super::server::Ill;
use super::{Wire, noise};

const ROWS: u64 = 10_000_000;

const SSL_REQUEST: u32 = 80_877_103;
const ENCRYPTED_TEXT: &[u8] = b"S";
const PLAIN_TEXT: &[u8] = b"N";
const TEXT_OID: u32 = 25;

pub(super) fn serve(mut wire: Wire, ill: Option<Ill>) -> io::Result<()> {
    if ill == Some(Ill::Hangs) {
        return wire.hang();
    }
    let mut code = startup(&mut wire)?;
    if code == SSL_REQUEST {
        if ill == Some(Ill::GarbageForTls) {
            wire.send(ENCRYPTED_TEXT)?;
            wire.bytes(5)?;
            return wire.send(&noise());
        }
        wire.send(PLAIN_TEXT)?;
        code = startup(&mut wire)?;
    }
    assert_eq!(code >> 16, 3, "protocol {code:x}");
    let greeting = [message(b'R', &0_u32.to_be_bytes()), ready(b'I')].concat();
    match ill {
        Some(Ill::DripsGreeting) => return wire.drip(&greeting),
        Some(Ill::GarbageForGreeting) => return wire.send(&noise()),
        Some(Ill::ShortGreeting) => {
            wire.send(&message(b'R', &[]))?;
            return wire.hang();
        }
        Some(Ill::EndlessGreeting) => {
            wire.send(&[&b"R"[..], &i32::MAX.to_be_bytes()].concat())?;
            return wire.repeat(u64::MAX, |_| vec![0; 64 << 10]);
        }
        Some(Ill::EndlessParameters) => {
            return wire
                .repeat(u64::MAX, |number| message(b'S', format!("name{number}\0{}\0", "x".repeat(40)).as_bytes()));
        }
        _ => wire.send(&greeting)?,
    }
    answer(&mut wire, ill)
}

/// The code of a message that opens a session.
fn startup(wire: &mut Wire) -> io::Result<u32> {
    let length = number(&wire.bytes(4)?);
    let rest = wire.bytes(length as usize - 4)?;
    Ok(number(&rest[..4]))
}

fn answer(wire: &mut Wire, ill: Option<Ill>) -> io::Result<()> {
    let mut out = Vec::new();
    let mut state = b'I';
    loop {
        let head = wire.bytes(5)?;
        let body = wire.bytes(number(&head[1..]) as usize - 4)?;
        match head[0] {
            b'Q' => {
                let sql = String::from_utf8_lossy(&body);
                if sql.starts_with("SELECT CASE") {
                    out.extend([columns(), row("snapshot 1")].concat());
                }
                state = if sql.starts_with("BEGIN") { b'T' } else { b'I' };
                out.extend([message(b'C', b"DONE\0"), ready(state)].concat());
            }
            b'P' => out.extend(message(b'1', &[])),
            b'D' => out.extend([message(b't', &[0, 0]), columns()].concat()),
            b'B' => {
                out.extend(message(b'2', &[]));
                if let Some(ill) = ill {
                    wire.send(&out)?;
                    return hurt(wire, ill);
                }
                out.extend(row("7"));
            }
            b'E' => out.extend(message(b'C', b"SELECT 1\0")),
            b'C' => out.extend(message(b'3', &[])),
            b'S' => out.extend(ready(state)),
            b'X' => return Ok(()),
            other => panic!("message {}", char::from(other)),
        }
        if matches!(head[0], b'Q' | b'S') {
            wire.send(&std::mem::take(&mut out))?;
        }
    }
}

fn hurt(wire: &mut Wire, ill: Ill) -> io::Result<()> {
    match ill {
        Ill::DripsAnswer => wire.drip(&row("7")),
        Ill::GarbageForAnswer => wire.send(&noise()),
        Ill::ClosesInAnswer => wire.send(&row("7")[..8]),
        Ill::ShortRow => {
            wire.send(&message(b'D', &[0, 1, 0, 0, 0, 99, b'7']))?;
            wire.send(&[message(b'C', b"SELECT 1\0"), message(b'3', &[]), ready(b'T')].concat())?;
            wire.hang()
        }
        Ill::EndlessNotices => wire.repeat(u64::MAX, |_| message(b'N', b"SNOTICE\0Mwell\0\0")),
        Ill::EndlessCell => {
            let cell = 1_u32 << 30;
            let head = [&b"D"[..], &(cell + 10).to_be_bytes(), &[0, 1], &cell.to_be_bytes()].concat();
            wire.send(&head)?;
            wire.repeat(u64::MAX, |_| vec![b'7'; 64 << 10])
        }
        Ill::ManyRows => {
            wire.repeat(ROWS, |number| row(&number.to_string()))?;
            wire.send(&[message(b'C', b"SELECT 10000000\0"), message(b'3', &[]), ready(b'T')].concat())?;
            wire.hang()
        }
        _ => wire.hang(),
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn ready(state: u8) -> Vec<u8> {
    message(b'Z', &[state])
}

fn columns() -> Vec<u8> {
    let about = [&[0; 6][..], &TEXT_OID.to_be_bytes(), &[0xff, 0xff], &[0xff; 4], &[0, 0]].concat();
    message(b'T', &[&[0, 1][..], b"value\0", &about].concat())
}

fn row(cell: &str) -> Vec<u8> {
    let length = u32::try_from(cell.len()).unwrap();
    message(b'D', &[&[0, 1][..], &length.to_be_bytes(), cell.as_bytes()].concat())
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}
