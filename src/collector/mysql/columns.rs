//! How many columns a server announces, judged before the driver hears of it. Knows the packets of MySQL's protocol, as
//! far as that takes; no connection and no time.
//!
//! The driver (sqlx 0.9) sets up a table for the columns of a result when it has their number, and no column yet: two
//! bytes a column, half a gibibyte for 2^28; where memory has no room, the process is aborted. No other number that a
//! server sends has the driver take more than the packets bring.
//!
//! What comes from the server is followed packet by packet, with the driver's own rules: wherever the driver takes a
//! packet for the head of a result, so does this, however the packet came about. Where the driver gives up, what follows
//! does not matter: a session that has brought nonsense is not used again, nor one whose statement was cut short.
//!
//! What remains: through TLS nothing is seen. So whoever answers by TLS, and is hostile of purpose, can still end the
//! process for want of memory. With `VERIFY_CA` or `VERIFY_IDENTITY` that can only be the operator's own server, with the
//! other modes anyone in its place. TLS that ends in the wire would be seen, but would have to verify servers by itself.

/// Most columns of a result: as many as a table can have in MySQL and MariaDB. A query may name more; none that is worth
/// asking does.
pub(super) const COLUMNS_MAX: u64 = 4096;

/// A packet of this length goes on in the next.
const PART_FULL: usize = 0xff_ffff;

const HEADER: usize = 4;

/// What a packet must be known by: a first byte and eight of a number.
const BEGIN_MAX: usize = 9;

const OK: u8 = 0;
const ERROR: u8 = 0xff;
const END: u8 = 0xfe;

/// The server can speak TLS.
const TLS: u32 = 1 << 11;
/// No packet of its own says that a result's columns are over.
const DEPRECATE_EOF: u32 = 1 << 24;

/// The packets of one session, as they come.
pub(super) struct Columns {
    next: Next,
    /// Whether the driver asks for TLS where it is offered.
    wants_tls: bool,
    has_end_of_columns: bool,
    /// Bytes of the header that have come, and of the body that have not.
    header: usize,
    left: usize,
    goes_on: bool,
    /// What the packet begins with; all of it, if it is the greeting.
    begin: Vec<u8>,
}

/// What the driver takes the next packet for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Greeting,
    Login,
    /// The head of a result, or what there is in its place.
    Result,
    /// One of so many columns.
    Column(u64),
    EndOfColumns,
    Row,
    /// It is encrypted.
    Unseen,
}

impl Columns {
    /// The session of a driver that asks for TLS where it is offered, or never does.
    pub(super) fn new(wants_tls: bool) -> Self {
        let (next, begin) = (Next::Greeting, Vec::new());
        Self { next, wants_tls, has_end_of_columns: true, header: 0, left: 0, goes_on: false, begin }
    }

    /// Whether the driver may have the next bytes, wherever they begin and end.
    pub(super) fn admit(&mut self, mut bytes: &[u8]) -> bool {
        while let [byte, after @ ..] = bytes
            && self.next != Next::Unseen
        {
            if self.header < HEADER {
                // Three bytes of length, and a number that the driver does not look at.
                if self.header < HEADER - 1 {
                    self.left |= usize::from(*byte) << (8 * self.header);
                }
                self.header += 1;
                self.goes_on = self.left == PART_FULL;
                bytes = after;
            } else {
                let (body, after) = bytes.split_at(self.left.min(bytes.len()));
                let wanted = if self.next == Next::Greeting { body.len() } else { BEGIN_MAX - self.begin.len() };
                self.begin.extend(body.iter().take(wanted));
                self.left -= body.len();
                bytes = after;
            }
            if self.header == HEADER && self.left == 0 {
                self.header = 0;
                if !self.goes_on && !self.take() {
                    return false;
                }
            }
        }
        true
    }

    /// Takes a packet that is complete, as the driver does; `false` if it must not have it.
    fn take(&mut self) -> bool {
        let begin = std::mem::take(&mut self.begin);
        let first = begin.first().copied();
        self.next = match self.next {
            Next::Greeting => self.greeted(&begin),
            Next::Login if first == Some(OK) => Next::Result,
            Next::Login => Next::Login,
            Next::Unseen => Next::Unseen,
            _ if first == Some(ERROR) => Next::Result,
            Next::Result if first == Some(OK) => Next::Result,
            Next::Result => match number(&begin) {
                Some(count) if count > COLUMNS_MAX => return false,
                count => self.after_column(count.unwrap_or(0)),
            },
            Next::Column(left) => self.after_column(left - 1),
            Next::EndOfColumns => Next::Row,
            Next::Row if first == Some(END) => Next::Result,
            Next::Row => Next::Row,
        };
        true
    }

    fn greeted(&mut self, greeting: &[u8]) -> Next {
        let capabilities = capabilities(greeting).unwrap_or(0);
        self.has_end_of_columns = capabilities & DEPRECATE_EOF == 0;
        if self.wants_tls && capabilities & TLS != 0 { Next::Unseen } else { Next::Login }
    }

    fn after_column(&self, left: u64) -> Next {
        match left {
            0 if self.has_end_of_columns => Next::EndOfColumns,
            0 => Next::Row,
            left => Next::Column(left),
        }
    }
}

/// What the server says it can do: behind the protocol's and the server's version, the session's number, eight bytes for
/// the login and an empty one; its upper half behind a character set and a status.
fn capabilities(greeting: &[u8]) -> Option<u32> {
    let (_, versions) = greeting.split_first()?;
    let version = versions.iter().position(|byte| *byte == 0)?;
    let about = versions.get(version + 1 + 13..)?;
    let half = |at: usize| Some(u32::from(u16::from_le_bytes(about.get(at..at + 2)?.try_into().ok()?)));
    Some(half(0)? | half(5)? << 16)
}

/// A number of the protocol's: one byte, or how many follow. `None` if they do not.
fn number(bytes: &[u8]) -> Option<u64> {
    let (first, after) = bytes.split_first()?;
    let length = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => return Some(u64::from(*small)),
    };
    Some(after.get(..length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL_41: u32 = 1 << 9;

    fn part(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&length[..3], &[7], body].concat()
    }

    fn greeting(capabilities: u32) -> Vec<u8> {
        let [a, b, c, d] = capabilities.to_le_bytes();
        let about =
            [&[1, 0, 0, 0][..], b"nonce678\0", &[a, b, 45, 2, 0, c, d, 21], &[0; 10], b"nonce4567890\0"].concat();
        part(&[b"\x0a10.11.6-MariaDB\0", &about[..], b"mysql_native_password\0"].concat())
    }

    fn all(packets: &[&[u8]]) -> Vec<u8> {
        packets.iter().flat_map(|body| part(body)).collect()
    }

    const OK_PACKET: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    /// The end of columns, and of rows by the old way.
    const EOF_PACKET: &[u8] = &[END, 0, 0, 2, 0];
    /// The end of rows by the new one.
    const END_PACKET: &[u8] = &[END, 0, 0, 2, 0, 0, 0];
    const ERROR_PACKET: &[u8] = &[ERROR, 0x15, 4, b'#', b'4', b'2', b'0', b'0', b'0', b'n', b'o'];

    /// All that a session may bring, to where a result is awaited: each row would be too many columns if it were a head.
    fn session(capabilities: u32) -> Vec<u8> {
        let rows: &[&[u8]] = &[&[0xfb], &[0xfc, 0xff, 0xff, b'x'], &[0xfd, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7]];
        let columns = |count: &[u8], names: usize| {
            let between: &[&[u8]] = if capabilities & DEPRECATE_EOF == 0 { &[EOF_PACKET] } else { &[] };
            let name: &[u8] = b"\xfc\xff\xff";
            [all(&[count]), all(&vec![name; names]), all(between)].concat()
        };
        let end = all(&[if capabilities & DEPRECATE_EOF == 0 { EOF_PACKET } else { END_PACKET }]);
        let switch = b"\xfemysql_native_password\0nonce678nonce4567890\0";
        [
            greeting(capabilities),
            all(&[switch, &[1, 3], &[0xfc, 0xff, 0xff], OK_PACKET, OK_PACKET]),
            [columns(&[1], 1), all(rows), end.clone()].concat(),
            // Two results, one of them empty, of a statement; an error among rows, and one among columns.
            all(&[OK_PACKET]),
            [columns(&[0xfc, 3, 0], 3), end.clone(), columns(&[2], 2), all(rows), end.clone()].concat(),
            all(&[ERROR_PACKET]),
            [columns(&[1], 1), all(rows), all(&[ERROR_PACKET])].concat(),
            [all(&[&[9], rows[1], rows[2], ERROR_PACKET])].concat(),
            [columns(&[0xfd, 0, 0x10, 0], 4096), all(rows), end].concat(),
        ]
        .concat()
    }

    fn ways() -> [Vec<u8>; 2] {
        [PROTOCOL_41, PROTOCOL_41 | DEPRECATE_EOF].map(session)
    }

    /// How much of it comes through before the cut, if it comes in parts of so many bytes; nothing is told of the rest.
    fn through(bytes: &[u8], size: usize) -> usize {
        let mut columns = Columns::new(true);
        bytes.chunks(size).take_while(|part| columns.admit(part)).map(<[u8]>::len).sum()
    }

    #[test]
    fn a_result_of_too_many_columns_is_cut_wherever_the_parts_end() {
        for session in ways() {
            for head in [&[0xfc, 1, 0x10][..], &[0xfd, 0, 0, 1, b'x'], &[0xfe, 0, 0, 0, 0x10, 0, 0, 0, 0], &[0xfe; 9]] {
                let hostile = [session.clone(), part(head), part(b"x")].concat();
                let end = session.len() + 4 + head.len();
                for size in (1..40).chain([1000, hostile.len()]) {
                    let through = through(&hostile, size);
                    assert_eq!(through, (end - 1) / size * size, "{head:?} in parts of {size}");
                }
            }
        }
    }

    #[test]
    fn a_session_comes_through_wherever_it_is_split() {
        for session in ways() {
            for at in 0..session.len().min(2000) {
                let mut columns = Columns::new(true);
                let (first, second) = session.split_at(at);
                assert!(columns.admit(first) && columns.admit(second), "split at {at}");
                assert_eq!((columns.next, columns.header), (Next::Result, 0), "split at {at}");
            }
        }
    }

    #[test]
    fn a_packet_of_several_parts_is_one() {
        let [session, _] = ways();
        let large = |begin: &[u8]| part(&[begin, &vec![0xfe; PART_FULL - begin.len()]].concat());
        for (last, tail) in [(0, 0), (1, 7), (PART_FULL - 1, 9)] {
            let row = [large(&[0xfd, 1, 2, 3]), part(&vec![0xfe; last])].concat();
            let head = part(&[1]);
            let mut columns = Columns::new(false);
            assert!(columns.admit(&session) && columns.admit(&[head, all(&[b"c", EOF_PACKET])].concat()));
            let (first, second) = row.split_at(4 + PART_FULL + tail.min(4));
            assert!(columns.admit(first) && columns.admit(second));
            assert_eq!(columns.next, Next::Row);
        }
        let mut columns = Columns::new(false);
        assert!(columns.admit(&session) && columns.admit(&large(&[0xfd, 0xff, 0xff, 0xff])));
        assert!(!columns.admit(&part(&[])), "the number stands in the first part");
    }

    #[test]
    fn what_is_encrypted_goes_through() {
        let hostile = [session(PROTOCOL_41 | TLS), part(&[0xfe; 9])].concat();
        assert!(Columns::new(true).admit(&hostile), "the driver asks for TLS, so this is none of MySQL's packets");
        assert!(!Columns::new(false).admit(&hostile), "it does not");
        let without = [session(PROTOCOL_41), part(&[0xfe; 9])].concat();
        assert!(!Columns::new(true).admit(&without), "it cannot");
    }

    #[test]
    fn nonsense_neither_panics_nor_lasts() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..) & random.u8(..)).take(300).collect();
            let mut columns = Columns::new(random.bool());
            let mut parts = bytes.chunks(random.usize(1..50));
            parts.all(|part| columns.admit(part));
            assert!(columns.begin.len() <= bytes.len());
        }
        for empty in [part(&[]), part(&[0x0a]), part(b"\x0aversion\0")] {
            assert!(Columns::new(true).admit(&empty), "which the driver gives up over");
        }
    }
}
