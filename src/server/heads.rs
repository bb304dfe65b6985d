//! The lines of request heads, read strictly: each ends in CR LF (RFC 9112, 2.2).
//!
//! httparse takes a lone LF for an end too, which the standard allows; a proxy before us may not, and then the two
//! disagree where a request ends. It knows lines, not what they say.

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
    /// connection, as is one that was refused.
    After,
}

/// Enough bytes to tell `GET ` and `HEAD ` from other methods.
const METHOD: usize = 5;

impl Heads {
    pub(super) const fn new() -> Self {
        Self { place: Place::Before, start: [0; METHOD], line: 0, last: 0 }
    }

    /// Takes the next bytes of the connection. A lone LF becomes a NUL, which no head may hold: whoever parses the head
    /// refuses it with the answer that wrong heads get.
    pub(super) fn take(&mut self, bytes: &mut [u8]) {
        let mut from = 0;
        while self.place != Place::After && from < bytes.len() {
            let end = bytes[from..].iter().position(|byte| *byte == b'\n').map(|end| from + end);
            let to = end.map_or(bytes.len(), |end| end + 1);
            if self.take_part(&bytes[from..to], end.is_some()) {
                bytes[to - 1] = 0;
                self.place = Place::After;
            }
            from = to;
        }
    }

    /// Takes bytes of one line, with its LF if it `ends`; whether that stands alone.
    fn take_part(&mut self, part: &[u8], ends: bool) -> bool {
        if self.place == Place::Before {
            for (at, byte) in (self.line..METHOD).zip(part) {
                self.start[at] = *byte;
            }
        }
        let before = if part.len() > 1 { part[part.len() - 2] } else { self.last };
        self.last = part[part.len() - 1];
        self.line += part.len();
        if !ends {
            return false;
        }
        if before != b'\r' || self.line < 2 {
            return true;
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
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `text`, in one piece and byte by byte.
    fn taken(text: &str) -> String {
        let (mut whole, mut parts) = (text.as_bytes().to_vec(), text.as_bytes().to_vec());
        Heads::new().take(&mut whole);
        let mut heads = Heads::new();
        parts.chunks_mut(1).for_each(|byte| heads.take(byte));
        assert_eq!(whole, parts, "{text:?}");
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn heads_whose_lines_end_as_they_must_pass_one_after_the_other() {
        for text in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /",
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\na\nb\n\nc\n\nd",
        ] {
            assert_eq!(taken(text), text);
        }
    }

    #[test]
    fn a_lone_lf_is_spoiled_wherever_a_head_may_be() {
        // Each stands for the first lone LF.
        for text in [
            "^",
            "GET / HTTP/1.1^",
            "GET / HTTP/1.1\r\nHost: x^\r\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\n^",
            "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1^",
            "HEAD / HTTP/1.1\r\n\r\n^",
            "POST / HTTP/1.1^Content-Length: 1\r\n\r\n",
            "GETS / HTTP/1.1\r\nA: b^\r\n",
        ] {
            assert_eq!(taken(&text.replace('^', "\n")), text.replace('^', "\0"));
        }
    }
}
