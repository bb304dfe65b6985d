//! One line of a page: a sample with its labels, or the words of a comment.

use std::borrow::Cow;

use super::{Flaw, LABEL_VALUE_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, bad, oversized};
use crate::collector::number::is_decimal;

/// Labels as written, their values without escapes.
pub(super) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// One sample; `value` and `timestamp` are numbers of the format.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Labels<'a>,
    pub(super) value: &'a str,
    pub(super) timestamp: Option<&'a str>,
    pub(super) has_exemplar: bool,
}

impl Sample<'_> {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_ref())
    }

    /// The value as a float, for judging only.
    pub(super) fn float(&self) -> f64 {
        float(self.value)
    }
}

/// A number's float; what is none is not a number.
pub(super) fn float(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// Longest labels of an exemplar, names and values together, in characters.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// The rest of a line that is still to be read.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    /// Whether single spaces alone separate, as in OpenMetrics.
    is_strict: bool,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(line: &'a str, is_strict: bool) -> Self {
        Self { rest: line, is_strict }
    }

    /// The sample that the line is.
    pub(super) fn sample(mut self) -> Result<Sample<'a>, Flaw> {
        let name = self.name(|byte| byte == b':')?;
        self.free_space();
        let labels = if self.eat("{") { self.labels()? } else { Vec::new() };
        let value = self.word()?;
        if !is_number(value) {
            return bad("has a value that is not a number");
        }
        let mut sample = Sample { name, labels, value, timestamp: None, has_exemplar: false };
        self.free_end();
        let is_exemplar = self.is_strict && self.rest.starts_with(" # ");
        if !self.rest.is_empty() && !is_exemplar {
            let time = self.word()?;
            if !self.is_timestamp(time) {
                return bad("has a timestamp that is not one");
            }
            sample.timestamp = Some(time);
            self.free_end();
        }
        if self.is_strict && self.eat(" # {") {
            self.exemplar()?;
            sample.has_exemplar = true;
        }
        if self.rest.is_empty() { Ok(sample) } else { bad("goes on after its end") }
    }

    /// What follows the opening brace of an exemplar.
    fn exemplar(&mut self) -> Result<(), Flaw> {
        let labels = self.labels()?;
        let chars = |text: &str| text.chars().count();
        if labels.iter().map(|(name, value)| chars(name) + chars(value)).sum::<usize>() > EXEMPLAR_CHARS_MAX {
            return bad("has an exemplar with too many characters");
        }
        if !is_number(self.word()?) {
            return bad("has an exemplar whose value is not a number");
        }
        if !self.rest.is_empty() && !is_decimal(self.word()?) {
            return bad("has an exemplar whose timestamp is not one");
        }
        Ok(())
    }

    /// Labels after the opening brace, to the closing one.
    fn labels(&mut self) -> Result<Labels<'a>, Flaw> {
        let mut labels: Labels<'a> = Vec::new();
        self.free_space();
        if self.eat("}") {
            return Ok(labels);
        }
        loop {
            let name = self.name(|_| false)?;
            self.free_space();
            if !self.eat("=") {
                return bad("has a label without =");
            }
            self.free_space();
            let value = self.quoted()?;
            if labels.iter().any(|(held, _)| *held == name) {
                return bad("has a label twice");
            }
            if labels.len() == LABELS_MAX {
                return oversized("has too many labels");
            }
            labels.push((name, value));
            self.free_space();
            let is_comma = self.eat(",");
            self.free_space();
            if (!is_comma || !self.is_strict) && self.eat("}") {
                return Ok(labels);
            }
            if !is_comma {
                return bad("has labels without a comma between them");
            }
        }
    }

    /// A name; `also` says which further bytes it may hold.
    fn name(&mut self, also: impl Fn(u8) -> bool) -> Result<&'a str, Flaw> {
        let is_part = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric() || also(byte);
        let length = self.rest.bytes().take_while(|byte| is_part(*byte)).count();
        let (name, rest) = self.rest.split_at(length);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return bad("has a name that is none");
        }
        if length > NAME_BYTES_MAX {
            return oversized("has a name that is too long");
        }
        self.rest = rest;
        Ok(name)
    }

    /// A value in quotes, without its escapes; an escape that is none stands for itself.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Flaw> {
        if !self.eat("\"") {
            return bad("has a label value without quotes");
        }
        let mut is_escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let Some(end) = end else { return bad("has a label value without its last quote") };
        let value = unescaped(&self.rest[..end]);
        if value.len() > LABEL_VALUE_BYTES_MAX {
            return oversized("has a label value that is too long");
        }
        self.rest = &self.rest[end + 1..];
        Ok(value)
    }

    /// The next word, after the space before it.
    fn word(&mut self) -> Result<&'a str, Flaw> {
        if self.is_strict && !self.eat(" ") {
            return bad("has not one space where it must");
        }
        self.free_space();
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return bad("ends too early");
        }
        self.rest = rest;
        Ok(word)
    }

    /// Text 0.0.4 counts milliseconds in 64 bits, OpenMetrics seconds.
    fn is_timestamp(&self, text: &str) -> bool {
        if self.is_strict { is_decimal(text) } else { text.parse::<i64>().is_ok() }
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Passes over space where the format leaves it free.
    fn free_space(&mut self) {
        if !self.is_strict {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
        }
    }

    fn free_end(&mut self) {
        if !self.is_strict && self.rest.trim_matches([' ', '\t']).is_empty() {
            self.rest = "";
        }
    }
}

/// Whether `text` is a name of a metric.
pub(super) fn is_metric_name(text: &str) -> bool {
    let mut cursor = Cursor::new(text, true);
    cursor.name(|byte| byte == b':').is_ok() && cursor.rest.is_empty()
}

/// A number of both formats: a decimal, an infinity, or not a number.
pub(super) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    is_decimal(text) || ["inf", "infinity", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word))
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some(escaped @ ('\\' | '"')) => plain.push(escaped),
            other => {
                plain.push('\\');
                plain.extend(other);
            }
        }
    }
    Cow::Owned(plain)
}
