//! The `Accept` header: whatever it says, the answer is one of ours, and the one that the rules of negotiation demand
//! (prometheus/docs, content_negotiation.md; RFC 9110, 12.5.1).
//!
//! An input is judged twice: as the lines of a header, by what must hold of any; and as choices of which a header is
//! made, whose answer a second, simpler reading of the rules knows.

use std::cmp::Reverse;

use linkit_bridge::output::prometheus::{Escaping, Format, Syntax, negotiate};

use super::bytes::Bytes;

pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines: Vec<_> = text.split('\n').collect();
    any_header(&lines);
    made_header(Bytes::new(input));
}

fn answer(lines: &[&str]) -> String {
    negotiate(lines.iter().copied()).content_type()
}

/// All that may ever be answered; nothing a client says can stand in an answer that is one of these.
fn is_ours(answer: &str) -> bool {
    let schemes = || Escaping::ALL.into_iter().map(Some).chain([None]);
    let mut all = Syntax::ALL.into_iter().flat_map(|syntax| schemes().map(move |named| Format::new(syntax, named)));
    all.any(|format| format.content_type() == answer)
}

fn any_header(lines: &[&str]) {
    let given = answer(lines);
    assert!(is_ours(&given), "{given:?} is not one of ours");
    assert_eq!(answer(&[&given]), given, "who asks for an answer gets another");
    let upper: Vec<_> = lines.iter().map(|line| line.to_ascii_uppercase()).collect();
    let upper: Vec<_> = upper.iter().map(String::as_str).collect();
    assert_eq!(answer(&upper), given, "the case of letters means something");
    // Neither what we have not nor that nothing else will do is a reason to answer otherwise.
    for more in ["", "text/html", "*/*;q=0", "*/plain, text/, q=1;;"] {
        assert_eq!(answer(&[lines, &[more]].concat()), given, "{more} after it means something");
        assert_eq!(answer(&[&[more], lines].concat()), given, "{more} before it means something");
    }
    // A quote may be left open, and then goes on behind the comma.
    if !lines.iter().any(|line| line.contains('"')) {
        assert_eq!(answer(&[&lines.join(",")]), given, "one line and several differ");
    }
}

const TEXT: &str = "text/plain";
const OPENMETRICS: &str = "application/openmetrics-text";
const PROTOBUF: &str = "application/vnd.google.protobuf";
const TYPES: [&str; 8] =
    ["*/*", "text/*", "application/*", TEXT, OPENMETRICS, PROTOBUF, "text/html", "application/json"];
const VERSIONS: [Option<&str>; 5] = [None, Some("0.0.4"), Some("1.0.0"), Some("0.0.1"), Some("2.0.0")];
const PROTOS: [Option<&str>; 3] = [None, Some("io.prometheus.client.MetricFamily"), Some("other")];
const ENCODINGS: [Option<&str>; 3] = [None, Some("delimited"), Some("text")];
const SCHEMES: [Option<&str>; 6] =
    [None, Some("underscores"), Some("dots"), Some("values"), Some("allow-utf-8"), Some("bananas")];

/// One range of a header, before it is written.
struct Range {
    kind: &'static str,
    /// In thousandths.
    q: u16,
    version: Option<&'static str>,
    proto: Option<&'static str>,
    encoding: Option<&'static str>,
    scheme: Option<&'static str>,
}

impl Range {
    fn of(bytes: &mut Bytes<'_>) -> Self {
        Self {
            kind: bytes.one_of(&TYPES),
            q: bytes.one_of(&[1000, 0, 1, 100, 500, 900, 999]),
            version: bytes.one_of(&VERSIONS),
            proto: bytes.one_of(&PROTOS),
            encoding: bytes.one_of(&ENCODINGS),
            scheme: bytes.one_of(&SCHEMES),
        }
    }

    fn literals(&self) -> usize {
        2 - self.kind.matches('*').count()
    }

    /// How many of type and parameters name a format, if none names another.
    fn exactness(&self, syntax: Syntax) -> Option<usize> {
        let (kind, version) = match syntax {
            Syntax::Text004 => (TEXT, "0.0.4"),
            Syntax::Text100 => (TEXT, "1.0.0"),
            Syntax::OpenMetrics001 => (OPENMETRICS, "0.0.1"),
            Syntax::OpenMetrics100 => (OPENMETRICS, "1.0.0"),
            Syntax::Protobuf => (PROTOBUF, ""),
        };
        let is_wide = self.kind.strip_suffix('*').is_some_and(|start| start == "*/" || kind.starts_with(start));
        if !is_wide && self.kind != kind {
            return None;
        }
        let wanted = match syntax {
            Syntax::Protobuf => vec![(self.proto, PROTOS[1]), (self.encoding, ENCODINGS[1])],
            _ => vec![(self.version, Some(version))],
        };
        // Those who name a type and no version mean the one that has always been it.
        let may_leave_out = is_wide || matches!(syntax, Syntax::Text004 | Syntax::OpenMetrics100);
        let is_other = wanted.iter().any(|(said, own)| said != own && !(said.is_none() && may_leave_out));
        (!is_other).then(|| self.literals() + wanted.iter().filter(|(said, own)| said == own).count())
    }

    /// Writes it in one of the many ways in which it may be.
    fn write(&self, noise: &mut Bytes<'_>) -> String {
        let mut parts = vec![];
        let named =
            [("version", self.version), ("proto", self.proto), ("encoding", self.encoding), ("escaping", self.scheme)];
        for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            parts.push(match noise.below(4) {
                0 => format!("{name}={value}"),
                1 => format!(" {name} = \"{value}\" "),
                2 => format!("\t{}=\"\\{value}\"", name.to_ascii_uppercase()),
                _ => format!("x=\",;\\\"\";{name}={}", value.to_ascii_uppercase()),
            });
        }
        if self.q < 1000 || noise.flag() {
            let q = format!("{};q={}.{:03}", ["", " "][noise.below(2)], self.q / 1000, self.q % 1000);
            parts.insert(noise.below(parts.len() + 1), q.trim_start_matches([' ', ';']).to_owned());
        }
        parts.insert(0, self.kind.to_owned());
        parts.join([";", " ; ", ";;"][noise.below(3)])
    }
}

fn made_header(mut bytes: Bytes<'_>) {
    let ranges: Vec<_> = (0..bytes.below(6)).map(|_| Range::of(&mut bytes)).collect();
    let mut lines = vec![String::new()];
    for range in &ranges {
        let written = range.write(&mut bytes);
        match lines.last_mut() {
            Some(line) if !line.is_empty() && bytes.flag() => *line = format!("{line} , {written}"),
            _ => lines.push(written),
        }
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(answer(&lines), expected(&ranges), "{lines:?}");
}

/// The answer to ranges; of formats that are wanted alike the first of these.
fn expected(ranges: &[Range]) -> String {
    use Syntax::{OpenMetrics001, OpenMetrics100, Protobuf, Text004, Text100};
    let mut verdicts = Vec::new();
    for (order, syntax) in [Text004, OpenMetrics100, Text100, OpenMetrics001, Protobuf].into_iter().enumerate() {
        let fitting = ranges.iter().enumerate().filter_map(|(at, range)| Some((range.exactness(syntax)?, at, range)));
        let decides = fitting.max_by_key(|(exactness, at, range)| (*exactness, range.q, Reverse(*at)));
        if let Some((_, at, range)) = decides.filter(|(_, _, range)| range.q > 0) {
            verdicts.push((range.q, range.literals(), Reverse(at), Reverse(order), syntax, range.scheme));
        }
    }
    let best = verdicts.into_iter().max_by_key(|verdict| (verdict.0, verdict.1, verdict.2, verdict.3));
    let Some((.., syntax, scheme)) = best else { return Format::TEXT_0_0_4.content_type() };
    let named = Escaping::ALL.into_iter().find(|known| Some(known.name()) == scheme);
    Format::new(syntax, named).content_type()
}
