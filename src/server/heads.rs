//! The lines of request heads, read strictly: each ends in CR LF (RFC 9112, 2.2).
//!
//! httparse takes a lone LF for an end too, which the standard allows; a proxy before us may not, and then the two
//! disagree where a request ends. It knows lines, not what they say.

use std::fmt;

/// What was seen of the heads on one connection.
#[derive(Debug)]
pub(super) struct Heads {
    place: Place,
    /// The first bytes of the head.
    start: [u8; METHOD],
    /// How many bytes of the line came before this read.
    line: usize,
    /// The last byte of the last read.
    last: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first line of a head.
    Before,
    /// Within a head.
    Within,
    /// After a head that a body may follow, which is free to hold any bytes. Such a request is the last on its
    /// connection.
    After,
}

/// Enough bytes to tell `GET ` and `HEAD ` from other methods.
const METHOD: usize = 5;

/// A line of a head that ends in LF alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BareLf;

impl fmt::Display for BareLf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of the request's head ends without CR")
    }
}

impl std::error::Error for BareLf {}

impl Heads {
    pub(super) const fn new() -> Self {
        Self { place: Place::Before, start: [0; METHOD], line: 0, last: 0 }
    }

    /// Takes the next bytes of the connection.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), BareLf> {
        while self.place != Place::After && !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.map_or(bytes.len(), |end| end + 1)];
            self.take_part(part, end.is_some())?;
            bytes = &bytes[part.len()..];
        }
        Ok(())
    }

    /// Takes bytes of one line, with its LF if it `ends`.
    fn take_part(&mut self, part: &[u8], ends: bool) -> Result<(), BareLf> {
        if self.place == Place::Before {
            for (at, byte) in (self.line..METHOD).zip(part) {
                self.start[at] = *byte;
            }
        }
        let before = if part.len() > 1 { part[part.len() - 2] } else { self.last };
        self.last = part[part.len() - 1];
        self.line += part.len();
        if !ends {
            return Ok(());
        }
        if before != b'\r' || self.line < 2 {
            return Err(BareLf);
        }
        let is_empty = self.line == 2;
        self.line = 0;
        self.place = match self.place {
            // An empty line may stand before a request (RFC 9112, 2.2).
            Place::Before if is_empty => Place::Before,
            Place::Within if is_empty && (self.start.starts_with(b"GET ") || self.start == *b"HEAD ") => Place::Before,
            Place::Within if is_empty => Place::After,
            _ => Place::Within,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `text`, in one piece and byte by byte.
    fn taken(text: &str) -> Result<(), BareLf> {
        let (mut whole, mut bytes) = (Heads::new(), Heads::new());
        let in_one = whole.take(text.as_bytes());
        let in_parts = text.as_bytes().chunks(1).try_for_each(|byte| bytes.take(byte));
        assert_eq!(in_one, in_parts, "{text:?}");
        assert_eq!(whole.place, bytes.place, "{text:?}");
        in_one
    }

    #[test]
    fn heads_whose_lines_end_as_they_must_pass_one_after_the_other() {
        for text in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /",
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\na\nb\n\nc\n\nd",
        ] {
            assert_eq!(taken(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn a_lone_lf_is_found_wherever_a_head_may_be() {
        for text in [
            "\n",
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n",
            "HEAD / HTTP/1.1\r\n\r\n\n",
            "POST / HTTP/1.1\nContent-Length: 1\r\n\r\n",
            "GETS / HTTP/1.1\r\nA: b\n\r\n",
        ] {
            assert_eq!(taken(text), Err(BareLf), "{text:?}");
        }
    }
}
