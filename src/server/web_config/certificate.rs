//! What the server itself must know of a certificate: until when it is valid, whom it names, and whether it is a client's.
//!
//! Whether one is genuine is for rustls to say; this only reads DER (X.690) in the shape of RFC 5280, 4.1, and takes
//! nothing for granted: what is cut off or of another shape is no certificate. A library for all of X.509 would weigh
//! more than the server's TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What was read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Seconds since the Unix epoch from which it is valid.
    pub(super) not_before: i64,
    /// Seconds since the Unix epoch until which it is valid.
    pub(super) not_after: i64,
    /// Whom it names, in its order.
    pub(super) names: Vec<Name>,
    /// Whether a client may use it: it says so, or does not say what it is for.
    pub(super) is_clients: bool,
}

/// A subject alternative name (RFC 5280, 4.2.1.6) of those kinds that can be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A host, a mail address or a URI, as it is written.
    Text(String),
    /// An IP address.
    Address(IpAddr),
}

impl Name {
    /// Whether it is what `allowed` says.
    pub(super) fn is(&self, allowed: &str) -> bool {
        match self {
            Self::Text(text) => text == allowed,
            Self::Address(address) => allowed.parse::<IpAddr>().is_ok_and(|allowed| allowed == *address),
        }
    }
}

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// Reads a certificate in DER; `None` if it is none.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let mut certificate = Der(Der(der).expect(SEQUENCE)?);
    let mut fields = Der(certificate.expect(SEQUENCE)?);
    fields.optional(VERSION)?;
    for _serial_number_algorithm_issuer in 0..3 {
        fields.next()?;
    }
    let mut validity = Der(fields.expect(SEQUENCE)?);
    let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
    let mut facts = Facts { not_before, not_after, names: Vec::new(), is_clients: true };
    while let Some((tag, content)) = fields.next() {
        if tag == EXTENSIONS {
            let mut extensions = Der(Der(content).expect(SEQUENCE)?);
            while !extensions.0.is_empty() {
                extension(extensions.expect(SEQUENCE)?, &mut facts)?;
            }
        }
    }
    fields.0.is_empty().then_some(facts)
}

fn extension(content: &[u8], facts: &mut Facts) -> Option<()> {
    let mut content = Der(content);
    let id = content.expect(OID)?;
    content.optional(BOOLEAN)?;
    let mut value = Der(content.expect(OCTETS)?);
    if id == SUBJECT_ALT_NAME {
        let mut names = Der(value.expect(SEQUENCE)?);
        while !names.0.is_empty() {
            let (tag, name) = names.next()?;
            facts.names.extend(named(tag, name)?);
        }
    } else if id == EXTENDED_KEY_USAGE {
        let mut usages = Der(value.expect(SEQUENCE)?);
        facts.is_clients = false;
        while !usages.0.is_empty() {
            let usage = usages.expect(OID)?;
            facts.is_clients |= usage == CLIENT_AUTH || usage == ANY_USAGE;
        }
    }
    Some(())
}

/// The name of a kind, if it is one that can be allowed; `None` if it is malformed.
fn named(tag: u8, content: &[u8]) -> Option<Option<Name>> {
    match tag {
        // rfc822Name, dNSName, uniformResourceIdentifier: IA5String.
        0x81 | 0x82 | 0x86 if content.is_ascii() => {
            Some(Some(Name::Text(String::from_utf8_lossy(content).into_owned())))
        }
        0x81 | 0x82 | 0x86 => None,
        0x87 => {
            let v4 = <[u8; 4]>::try_from(content).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
            let v6 = <[u8; 16]>::try_from(content).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
            v4.or(v6).ok().map(|address| Some(Name::Address(address)))
        }
        _ => Some(None),
    }
}

/// Seconds since the Unix epoch of a time as RFC 5280, 4.1.2.5 allows it: to the second, in UTC.
fn time((tag, content): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let date = jiff::civil::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    // The last hours of 9999, by which "never" is written, are beyond what an instant may be.
    let instant = jiff::tz::TimeZone::UTC.to_timestamp(date).unwrap_or(jiff::Timestamp::MAX);
    Some(instant.as_second())
}

/// What is left to read: tags, lengths and contents.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and content; `None` at the end, or where it is cut off.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next element's content, which must have this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// Goes past the next element if it has this tag; `None` only if it is cut off.
    fn optional(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) { self.next().map(drop) } else { Some(()) }
    }
}

#[cfg(test)]
mod tests;
