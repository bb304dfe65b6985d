//! A batch as a file: a head of 52 bytes, then the body as it goes out. All numbers are little endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `LBSPOOL` and a zero |
//! | 8–9, 10–11 | version, 1; zero |
//! | 12–19 | number, as in the file's name |
//! | 20–27 | when it was accepted, in nanoseconds since the Unix epoch |
//! | 28–35 | data points in it, at most 2^48 |
//! | 36–43 | length of the body in bytes |
//! | 44–47 | CRC-32C of the body |
//! | 48–51 | CRC-32C of all before |
//!
//! Two checksums, so that a start reads heads alone. Neither address nor header of a request stands here: they hold keys.

use crc::{CRC_32_ISCSI, Crc};

use super::super::Batch;
use crate::clock::Wall;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const MAGIC: &[u8; 8] = b"LBSPOOL\0";
const VERSION: u16 = 1;

/// More points than this are in no batch, and the account of all batches could not hold many such.
const POINTS_MAX: u64 = 1 << 48;

/// Length of a head in bytes.
pub(super) const HEAD_BYTES: usize = 52;

/// Why a file is not the batch its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Damage {
    #[error("it is shorter than its head")]
    Short,
    #[error("its head is damaged")]
    Head,
    #[error("its version is {0}, and this bridge knows {VERSION}")]
    Version(u16),
    #[error("it has the name of another batch")]
    Name,
    #[error("its body is cut off or has something after it")]
    Length,
    #[error("its body is damaged")]
    Body,
}

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Head {
    /// When the batch was accepted.
    pub(in super::super) accepted: Wall,
    /// Data points in it.
    pub(in super::super) points: u64,
    /// Bytes of the body.
    pub(in super::super) length: u64,
    sum: u32,
}

/// The head of `batch` as number `number`.
pub(super) fn head(number: u64, batch: &Batch) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    for (at, field) in [(12, number), (20, batch.accepted.wall.0), (28, batch.points), (36, batch.body.len() as u64)] {
        head[at..at + 8].copy_from_slice(&field.to_le_bytes());
    }
    head[44..48].copy_from_slice(&CRC.checksum(&batch.body).to_le_bytes());
    let sum = CRC.checksum(&head[..48]);
    head[48..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// Reads the head of the file of number `number`, which is `file_bytes` long.
pub(super) fn read_head(bytes: &[u8], number: u64, file_bytes: u64) -> Result<Head, Damage> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk().ok_or(Damage::Short)?;
    let field = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
    let sum = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
    if !head.starts_with(MAGIC) || sum(48) != CRC.checksum(&head[..48]) {
        return Err(Damage::Head);
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    if field(12) != number {
        return Err(Damage::Name);
    }
    let read = Head { accepted: Wall(field(20)), points: field(28), length: field(36), sum: sum(44) };
    if read.points > POINTS_MAX {
        return Err(Damage::Head);
    }
    if read.length.checked_add(HEAD_BYTES as u64) == Some(file_bytes) { Ok(read) } else { Err(Damage::Length) }
}

impl Head {
    /// Checks the body that follows.
    pub(super) fn check(&self, body: &[u8]) -> Result<(), Damage> {
        if body.len() as u64 != self.length {
            return Err(Damage::Length);
        }
        if CRC.checksum(body) == self.sum { Ok(()) } else { Err(Damage::Body) }
    }
}
