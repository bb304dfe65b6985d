//! Reads scrape pages back: the text formats and OpenMetrics by their specifications (prometheus/docs,
//! exposition_formats.md, escaping_schemes.md, specs/om/open_metrics_spec.md), protobuf by its field numbers
//! (prometheus/client_model, metrics.proto). It shares nothing with what writes pages, nor with the source `go`.

use std::collections::BTreeMap;

use prost::Message;

/// A line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name of the TYPE line it stands below, and its word.
    pub family: String,
    pub kind: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// As it is written.
    pub value: String,
    pub has_time: bool,
}

/// A page.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    pub samples: Vec<Sample>,
    pub helps: Vec<String>,
}

/// Reads a page of the text formats, or one of OpenMetrics.
pub fn text(page: &str, is_openmetrics: bool) -> Result<Page, String> {
    let mut read = Page::default();
    let (mut family, mut kind) = (String::new(), String::new());
    let mut lines = page.lines_by_feed();
    if is_openmetrics && lines.pop() != Some("# EOF") {
        return Err("no # EOF at the end".to_owned());
    }
    for line in lines {
        let wrong = |what: &str| format!("{what} in {line:?}");
        if let Some(said) = line.strip_prefix("# ") {
            let (word, rest) = said.split_once(' ').ok_or_else(|| wrong("one word"))?;
            let (name, rest) = match rest.strip_prefix('"') {
                Some(quoted) => unquote(quoted).ok_or_else(|| wrong("an open quote"))?,
                None => rest.find(' ').map(|end| (rest[..end].to_owned(), &rest[end..])).unwrap_or_default(),
            };
            let rest = rest.strip_prefix(' ').ok_or_else(|| wrong("nothing after the name"))?;
            match word {
                "TYPE" => (family, kind) = (name, rest.to_owned()),
                // In the text formats a quote needs no escape there.
                "HELP" if is_openmetrics => read.helps.push(unescape(rest)),
                "HELP" => read.helps.push(unescape(&rest.replace('"', "\\\""))),
                "UNIT" if is_openmetrics => {}
                _ => return Err(wrong("another comment")),
            }
            continue;
        }
        let mut sample = sample(line).ok_or_else(|| wrong("no sample"))?;
        if !sample.name.starts_with(&family) {
            (family, kind) = (sample.name.clone(), String::new());
        }
        (sample.family, sample.kind) = (family.clone(), kind.clone());
        read.samples.push(sample);
    }
    Ok(read)
}

trait Lines {
    fn lines_by_feed(&self) -> Vec<&str>;
}

impl Lines for str {
    /// Only a line feed ends a line; a carriage return is a character like others.
    fn lines_by_feed(&self) -> Vec<&str> {
        self.split_terminator('\n').collect()
    }
}

/// What stands up to the next quote without a backslash before it, unescaped, and what follows the quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    })?;
    Some((unescape(&text[..end.0]), &text[end.0 + 1..]))
}

/// An escape that is none stands for itself.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escaped = rest[at + 1..].chars().next();
        match escaped {
            Some('n') => out.push('\n'),
            Some(c @ ('"' | '\\')) => out.push(c),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
        rest = &rest[at + 1 + escaped.map_or(0, char::len_utf8)..];
    }
    out + rest
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (mut name, mut rest) = (line[..end].to_owned(), &line[end..]);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (key, after) = match rest.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => rest.find('=').map(|end| (rest[..end].to_owned(), &rest[end..]))?,
            };
            rest = after;
            if let Some(quoted) = after.strip_prefix("=\"") {
                let (value, after) = unquote(quoted)?;
                labels.insert(key, value).is_none().then_some(())?;
                rest = after;
            } else {
                // A quoted name without a value is the metric's.
                name.is_empty().then(|| name = key)?;
            }
            rest = rest.strip_prefix(',').or_else(|| rest.starts_with('}').then_some(rest))?;
        }
        rest = &rest[1..];
    }
    // An exemplar says nothing of the sample.
    let words = rest.strip_prefix(' ')?.split(" # {").next()?;
    let mut words = words.split(' ');
    let value = words.next()?.to_owned();
    value.parse::<f64>().ok()?;
    let time = words.next();
    let is_whole = words.next().is_none() && time.is_none_or(|time| time.parse::<f64>().is_ok());
    let (family, kind) = Default::default();
    is_whole.then(|| Sample { family, kind, name, labels, value, has_time: time.is_some() })
}

#[derive(Clone, PartialEq, Message)]
pub struct Family {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub help: String,
    #[prost(int32, tag = "3")]
    pub kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub metrics: Vec<Metric>,
    #[prost(string, tag = "5")]
    pub unit: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Value>,
    #[prost(message, optional, tag = "4")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Value>,
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(message, optional, tag = "3")]
    pub start: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(double, tag = "2")]
    pub sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub quantiles: Vec<Pair>,
    #[prost(message, optional, tag = "4")]
    pub start: Option<Time>,
}

/// Of a quantile: it and its value.
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    #[prost(double, tag = "1")]
    pub key: f64,
    #[prost(double, tag = "2")]
    pub value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(double, tag = "2")]
    pub sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub buckets: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    pub schema: i32,
    #[prost(uint64, tag = "7")]
    pub zero_count: u64,
    #[prost(message, repeated, tag = "9")]
    pub negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "10")]
    pub negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "12")]
    pub spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "13")]
    pub deltas: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub start: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Bucket {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(double, tag = "2")]
    pub bound: f64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Reads the families of a page in protobuf, each after its length.
pub fn protobuf(mut page: &[u8]) -> Result<Vec<Family>, String> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(Family::decode_length_delimited(&mut page).map_err(|error| error.to_string())?);
    }
    Ok(families)
}
