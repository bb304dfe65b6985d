//! Which format a client gets: the `Accept` header against the formats on offer.
//!
//! Pure, and it never fails: what cannot be read is ignored, and who can take nothing on offer gets the text format
//! 0.0.4 (prometheus/docs, content_negotiation.md; RFC 9110, 12.5.1). The next format is one more row in [`OFFERS`].

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Escaping, Format, Syntax};

/// A format on offer.
struct Offer {
    syntax: Syntax,
    kind: &'static str,
    subtype: &'static str,
    /// What the parameters of a range that names the type must say.
    parameters: &'static [(&'static str, &'static str)],
    /// Whether it is meant where a range names the type and no version: those who know others name one.
    is_unversioned: bool,
}

/// All formats on offer; where the client leaves the choice, the first that fits is answered.
const OFFERS: [Offer; 5] = [
    Offer {
        syntax: Syntax::Text004,
        kind: "text",
        subtype: "plain",
        parameters: &[("version", "0.0.4")],
        is_unversioned: true,
    },
    Offer {
        syntax: Syntax::OpenMetrics100,
        kind: "application",
        subtype: "openmetrics-text",
        parameters: &[("version", "1.0.0")],
        is_unversioned: true,
    },
    Offer {
        syntax: Syntax::Text100,
        kind: "text",
        subtype: "plain",
        parameters: &[("version", "1.0.0")],
        is_unversioned: false,
    },
    Offer {
        syntax: Syntax::OpenMetrics001,
        kind: "application",
        subtype: "openmetrics-text",
        parameters: &[("version", "0.0.1")],
        is_unversioned: false,
    },
    Offer {
        syntax: Syntax::Protobuf,
        kind: "application",
        subtype: "vnd.google.protobuf",
        parameters: &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
        is_unversioned: false,
    },
];

/// The format to answer to the lines of an `Accept` header.
///
/// The highest `q` wins, then the more exact range, then the range named first, then the first format on offer. A
/// format's `q` is that of the most exact range that fits it, and 0 excludes it.
#[must_use]
pub fn negotiate<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let ranges: Vec<_> = accept.flat_map(|line| split(line, b',')).filter_map(MediaRange::parse).collect();
    let best = OFFERS.iter().filter_map(|offer| offer.judge(&ranges)).reduce(|best, next| match next.rank(&best) {
        Ordering::Greater => next,
        _ => best,
    });
    best.map_or(Format::TEXT_0_0_4, |best| Format::new(best.syntax, best.range.escaping()))
}

/// One format with the range that decides over it.
struct Verdict<'r, 'a> {
    syntax: Syntax,
    range: &'r MediaRange<'a>,
    position: usize,
}

impl Verdict<'_, '_> {
    /// Compares the wishes for two formats.
    fn rank(&self, other: &Self) -> Ordering {
        let by_q = self.range.q.total_cmp(&other.range.q);
        by_q.then(self.range.literals().cmp(&other.range.literals())).then(other.position.cmp(&self.position))
    }
}

impl Offer {
    /// The range that decides over this format, if it makes it acceptable.
    fn judge<'r, 'a>(&self, ranges: &'r [MediaRange<'a>]) -> Option<Verdict<'r, 'a>> {
        let fitting = ranges.iter().enumerate().filter_map(|(at, range)| Some((self.fit(range)?, at, range)));
        let (_, position, range) =
            fitting.reduce(|best, next| match next.0.cmp(&best.0).then(next.2.q.total_cmp(&best.2.q)) {
                Ordering::Greater => next,
                _ => best,
            })?;
        (range.q > 0.0).then_some(Verdict { syntax: self.syntax, range, position })
    }

    /// How exactly a range names this format; `None` if it names another.
    fn fit(&self, range: &MediaRange<'_>) -> Option<usize> {
        let is = |given: &str, own: &str| given == "*" || given.eq_ignore_ascii_case(own);
        if !is(range.kind, self.kind) || !is(range.subtype, self.subtype) {
            return None;
        }
        let mut exactness = range.literals();
        for (name, value) in self.parameters {
            match range.parameter(name) {
                Some(given) if given.eq_ignore_ascii_case(value) => exactness += 1,
                Some(_) => return None,
                None if self.is_unversioned || range.literals() < 2 => {}
                None => return None,
            }
        }
        Some(exactness)
    }
}

/// One element of an `Accept` header.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, Cow<'a, str>)>,
    q: f32,
}

impl<'a> MediaRange<'a> {
    /// Reads one element; `None` if its type or its `q` is none. A parameter that is none is left out.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = split(text, b';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let is_range = |part: &str| part == "*" || is_token(part);
        if !is_range(kind) || !is_range(subtype) || (kind == "*" && subtype != "*") {
            return None;
        }
        let mut range = Self { kind, subtype, parameters: Vec::new(), q: 1.0 };
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            let (name, value) = (name.trim(), unquote(value.trim()));
            if name.eq_ignore_ascii_case("q") {
                range.q = parse_q(&value?)?;
            } else if let Some(value) = value.filter(|_| is_token(name)) {
                range.parameters.push((name, value));
            }
        }
        Some(range)
    }

    /// The value of a parameter; the first, should it be there twice.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    /// How many of type and subtype are named: 0 for `*/*`, 1 for `text/*`, 2 for `text/plain`.
    fn literals(&self) -> usize {
        usize::from(self.kind != "*") + usize::from(self.subtype != "*")
    }

    /// The escaping scheme it names; one that is none is ignored.
    fn escaping(&self) -> Option<Escaping> {
        self.parameter("escaping").and_then(Escaping::named)
    }
}

/// The parts of a header between separators that do not stand in a quoted string.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.bytes().position(|byte| {
            let is_end = byte == separator && !is_quoted;
            is_quoted ^= byte == b'"' && !is_escaped;
            is_escaped = is_quoted && byte == b'\\' && !is_escaped;
            is_end
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// A parameter's value, out of its quotes if it has them; `None` if it is neither a token nor a quoted string.
fn unquote(value: &str) -> Option<Cow<'_, str>> {
    let Some(quoted) = value.strip_prefix('"') else { return is_token(value).then_some(Cow::Borrowed(value)) };
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
    chars.as_str().is_empty().then_some(Cow::Owned(out))
}

/// Whether a text is a token (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A weight from 0 to 1 (RFC 9110, 12.4.2); more than three places are tolerated.
fn parse_q(text: &str) -> Option<f32> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|q| is_decimal && (0.0..=1.0).contains(q))
}

#[cfg(test)]
mod tests;
