//! The server's side of MySQL's protocol 10, for one session of a MariaDB.

use std::io;

use super::server::Ill;
use super::{Wire, noise};

const ROWS: u64 = 10_000_000;

/// Protocol 41, database at the start, transactions, secure connection; several statements and results; login by
/// plugin, its data with a length; no EOF packets.
const CAPABILITIES: u32 = 1 | 1 << 3 | 1 << 9 | 1 << 13 | 1 << 15 | 7 << 16 | 1 << 19 | 1 << 21 | 1 << 24;
const TLS: u32 = 1 << 11;

const MORE_RESULTS: u16 = 8;
const PART_MAX: usize = 0xff_ffff;

const NULL: u8 = 0xfb;
/// Columns of a result with many.
const WIDE: u8 = 250;

/// The last statement of the bridge for a figure is in here.
const FIGURE: &[u8] = b"PREPARE";

pub(super) fn serve(mut wire: Wire, ill: Option<Ill>) -> io::Result<()> {
    let capabilities = if ill == Some(Ill::GarbageForTls) { CAPABILITIES | TLS } else { CAPABILITIES };
    let greeting = greeting(capabilities);
    match ill {
        Some(Ill::Hangs) => return wire.hang(),
        Some(Ill::DripsGreeting) => return wire.drip(&packet(0, &greeting)),
        Some(Ill::GarbageForGreeting) => return wire.send(&noise()),
        Some(Ill::ShortGreeting) => {
            wire.send(&packet(0, &greeting[..20]))?;
            return wire.hang();
        }
        Some(Ill::EndlessGreeting) => return endless(&mut wire, 0, &greeting),
        _ => wire.send(&packet(0, &greeting))?,
    }
    let (sequence, _) = receive(&mut wire)?;
    if ill == Some(Ill::GarbageForTls) {
        wire.bytes(5)?;
        return wire.send(&noise());
    }
    wire.send(&packet(sequence + 1, &ok(0)))?;
    loop {
        let (_, body) = receive(&mut wire)?;
        let Some((3, sql)) = body.split_first() else { return Ok(()) };
        if !sql.starts_with(FIGURE) {
            let answer = match String::from_utf8_lossy(sql) {
                sql if sql.starts_with("SHOW VARIABLES") => rows(1, &["version", "10.11.6-MariaDB"], 0),
                sql if sql.contains("Innodb_lsn_current") => rows(1, &["Innodb_lsn_current", "7"], 0),
                sql if sql.starts_with("SELECT") => rows(1, &["0"], 0),
                _ => packet(1, &ok(0)),
            };
            wire.send(&answer)?;
            continue;
        }
        wire.send(&packet(1, &ok(MORE_RESULTS)))?;
        match ill {
            Some(ill) => return hurt(&mut wire, ill),
            None => wire.send(&[rows(2, &["7"], MORE_RESULTS), packet(6, &ok(0))].concat())?,
        }
    }
}

fn hurt(wire: &mut Wire, ill: Ill) -> io::Result<()> {
    if ill == Ill::EndlessNotices {
        return wire.repeat(u64::MAX, |_| packet(2, &ok(MORE_RESULTS)));
    }
    if ill == Ill::GarbageForAnswer {
        return wire.send(&noise());
    }
    if let Ill::ManyColumns | Ill::CountlessColumns = ill {
        let count: u64 = if ill == Ill::ManyColumns { 1 << 28 } else { 1 << 48 };
        wire.send(&packet(2, &[&[0xfe][..], &count.to_le_bytes()].concat()))?;
        return wire.hang();
    }
    if ill == Ill::ManyCells {
        wire.send(&head(2, WIDE))?;
        // As many as just go through; the driver waits for more.
        wire.repeat(8000, |_| packet(4, &[NULL; WIDE as usize]))?;
        return wire.hang();
    }
    wire.send(&head(2, 1))?;
    match ill {
        Ill::DripsAnswer => wire.drip(&row(4, &["7"])),
        Ill::ClosesInAnswer => wire.send(&row(4, &["7"])[..5]),
        Ill::ShortRow => {
            wire.send(&packet(4, &[99, b'7']))?;
            wire.hang()
        }
        Ill::EndlessCell => endless(wire, 4, &[&[0xfe][..], &(1_u64 << 30).to_le_bytes()].concat()),
        Ill::ManyRows => {
            wire.repeat(ROWS, |number| row(4, &[&number.to_string()]))?;
            wire.send(&[end(5, MORE_RESULTS), packet(6, &ok(0))].concat())?;
            wire.hang()
        }
        _ => wire.hang(),
    }
}

/// A packet in full parts that never comes to its last.
fn endless(wire: &mut Wire, sequence: u8, begin: &[u8]) -> io::Result<()> {
    let mut part = [begin, &vec![b'7'; PART_MAX - begin.len()]].concat();
    for number in 0..super::ENDLESS / PART_MAX as u64 {
        if wire.is_over() {
            break;
        }
        wire.send(&framed(sequence.wrapping_add(number.to_le_bytes()[0]), &part))?;
        part.fill(b'7');
    }
    Ok(())
}

fn greeting(capabilities: u32) -> Vec<u8> {
    let [low, high] = [capabilities & 0xffff, capabilities >> 16].map(|half| u16::try_from(half).unwrap());
    let mut greeting = b"\x0a10.11.6-MariaDB\0\x01\0\0\0nonce678\0".to_vec();
    greeting.extend(low.to_le_bytes());
    greeting.extend([45, 2, 0]);
    greeting.extend(high.to_le_bytes());
    greeting.push(21);
    greeting.extend([0; 10]);
    greeting.extend(b"nonce4567890\0mysql_native_password\0");
    greeting
}

fn receive(wire: &mut Wire) -> io::Result<(u8, Vec<u8>)> {
    let head = wire.bytes(4)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    Ok((head[3], wire.bytes(length as usize)?))
}

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < PART_MAX);
    framed(sequence, body)
}

fn framed(sequence: u8, part: &[u8]) -> Vec<u8> {
    let length = u32::try_from(part.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], part].concat()
}

fn ok(status: u16) -> Vec<u8> {
    [&[0, 0, 0][..], &(status | 2).to_le_bytes(), &[0, 0]].concat()
}

fn end(sequence: u8, status: u16) -> Vec<u8> {
    let mut end = ok(status);
    end[0] = 0xfe;
    packet(sequence, &end)
}

/// The columns of a result, all of them texts.
fn head(sequence: u8, columns: u8) -> Vec<u8> {
    let mut head = packet(sequence, &[columns]);
    for column in 1..=columns {
        let names = [text("def"), text(""), text(""), text(""), text("c"), text("c")].concat();
        let about = [0x0c, 45, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0];
        head.extend(packet(sequence.wrapping_add(column), &[&names[..], &about].concat()));
    }
    head
}

/// A result of one row.
fn rows(sequence: u8, cells: &[&str], status: u16) -> Vec<u8> {
    let columns = u8::try_from(cells.len()).unwrap();
    let next = sequence + columns + 1;
    [head(sequence, columns), row(next, cells), end(next + 1, status)].concat()
}

fn row(sequence: u8, cells: &[&str]) -> Vec<u8> {
    packet(sequence, &cells.iter().flat_map(|cell| text(cell)).collect::<Vec<_>>())
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}
