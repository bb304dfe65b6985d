//! Writes families in the text formats and in OpenMetrics, which differ in less than they share. Names come escaped as
//! the client wishes; one that still has other characters is quoted (prometheus/docs, escaping_schemes.md).
//!
//! One vector of bytes takes the whole page. A series with several samples has its labels escaped once; the other
//! samples copy them from the page itself.

use std::ops::Range;

use prometheus::proto::Summary;

use super::Syntax;
use super::family::{PageFamily, PageKind, Series, Value};
use super::histogram::Histogram;
use super::labels::{Labels, is_label_name, is_metric_name};
use super::last::{Last, Lines, push_lines};
use super::number::{push_bound, push_float, push_number, push_seconds, push_uint};
use super::page::{Page, Write};

/// A page being written.
pub(super) struct Writer<'a> {
    out: Vec<u8>,
    syntax: Syntax,
    last: &'a Last<'a>,
    lines: Lines,
    /// Whether the name of the family being written needs no quotes.
    is_plain: bool,
}

/// The labels of the series being written, and where they stand on the page once they do.
struct Held<'s, 'a> {
    labels: &'s Labels<'a>,
    written: Option<Range<usize>>,
}

impl Write for Writer<'_> {
    fn again(&mut self, family: &PageFamily<'_>) -> bool {
        let (Some((head, lines)), Some(numbers)) =
            (self.last.family(family.layout), family.numbers(self.is_openmetrics()))
        else {
            return false;
        };
        let start = self.out.len();
        self.out.extend_from_slice(head);
        let is_whole = push_lines(&mut self.out, lines, numbers).is_some();
        if is_whole {
            self.note(family, start, start + head.len());
        } else {
            self.out.truncate(start);
        }
        is_whole
    }

    fn family(&mut self, family: &PageFamily<'_>) {
        let start = self.out.len();
        self.head(family);
        let samples = self.out.len();
        for series in &family.series {
            let mut held = Held { labels: &series.labels, written: None };
            match series.value {
                Value::Number(number) => {
                    self.sample(&family.name, "", &mut held, None);
                    self.end(|out| push_number(out, number));
                }
                Value::Histogram(histogram) => self.histogram(&family.name, &histogram, &mut held),
                Value::Summary(summary) => self.summary(&family.name, summary, &mut held),
            }
            self.created(family, series, &mut held);
        }
        let is_a_line = |series: &Series<'_>| {
            matches!(series.value, Value::Number(_)) && (series.start.is_none() || !self.is_openmetrics())
        };
        if family.series.iter().all(is_a_line) {
            self.note(family, start, samples);
        }
    }
}

impl<'a> Writer<'a> {
    /// An empty page with room for what stands on `page`.
    pub(super) fn new(syntax: Syntax, last: &'a Last<'a>, page: &Page<'_>) -> Self {
        let room = page.estimate(|family| match last.family(family.layout) {
            // Numbers seldom get longer all at once.
            Some((head, lines)) => head.len() + lines.len() + lines.len() / 64,
            None => estimate(family, syntax),
        });
        Self { out: Vec::with_capacity(room), syntax, last, lines: Lines::default(), is_plain: true }
    }

    /// The page, and what of it the next one may take.
    pub(super) fn finish(mut self) -> (Vec<u8>, Lines) {
        if self.is_openmetrics() {
            self.text("# EOF\n");
        }
        (self.out, self.lines)
    }

    fn note(&mut self, family: &PageFamily<'_>, start: usize, samples: usize) {
        if let Some(layout) = family.layout {
            self.lines.note(layout, [start, samples, self.out.len()]);
        }
    }

    /// The lines before the samples: HELP and TYPE, or OpenMetrics' TYPE, UNIT and HELP, in that order.
    fn head(&mut self, family: &PageFamily<'_>) {
        self.is_plain = is_metric_name(&family.name);
        let help = family.whole_help();
        if !self.is_openmetrics() {
            self.help(&family.name, &help);
            return self.line("TYPE", &family.name, text_type(family.kind));
        }
        self.line("TYPE", family.stem(), openmetrics_type(family.openmetrics_kind()));
        if let Some(unit) = family.unit_word() {
            self.line("UNIT", family.stem(), &unit);
        }
        self.help(family.stem(), &help);
    }

    fn line(&mut self, keyword: &str, name: &str, value: &str) {
        self.start_line(keyword, name);
        self.text(value);
        self.text("\n");
    }

    fn help(&mut self, name: &str, help: &str) {
        if help.is_empty() {
            return;
        }
        self.start_line("HELP", name);
        let escapes_quotes = self.is_openmetrics();
        push_escaped(&mut self.out, help, escapes_quotes);
        self.text("\n");
    }

    fn start_line(&mut self, keyword: &str, name: &str) {
        for part in ["# ", keyword, " "] {
            self.text(part);
        }
        self.name(name, "", self.is_plain);
        self.text(" ");
    }

    /// A name in two parts, in quotes unless it is `plain`.
    fn name(&mut self, name: &str, suffix: &str, plain: bool) {
        if plain {
            self.text(name);
            return self.text(suffix);
        }
        self.text("\"");
        push_escaped(&mut self.out, name, true);
        self.text(suffix);
        self.text("\"");
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram<'_>, held: &mut Held<'_, '_>) {
        for (bound, count) in histogram.buckets.iter().chain([(f64::INFINITY, histogram.count)]) {
            self.sample(name, "_bucket", held, Some(("le", bound)));
            self.end(|out| push_uint(out, count));
        }
        if !self.is_openmetrics() || histogram.has_rising_sum() {
            self.sum_and_count(name, histogram.sum, histogram.count, held);
        }
    }

    fn summary(&mut self, name: &str, summary: &Summary, held: &mut Held<'_, '_>) {
        let is_openmetrics = self.is_openmetrics();
        for quantile in summary.get_quantile() {
            // OpenMetrics forbids values below 0 here, and one of them would void the page.
            if is_openmetrics && quantile.value() < 0.0 {
                continue;
            }
            self.sample(name, "", held, Some(("quantile", quantile.quantile())));
            self.end(|out| push_float(out, quantile.value()));
        }
        if !is_openmetrics || summary.sample_sum() >= 0.0 {
            self.sum_and_count(name, summary.sample_sum(), summary.sample_count(), held);
        }
    }

    fn sum_and_count(&mut self, name: &str, sum: f64, count: u64, held: &mut Held<'_, '_>) {
        self.sample(name, "_sum", held, None);
        self.end(|out| push_float(out, sum));
        self.sample(name, "_count", held, None);
        self.end(|out| push_uint(out, count));
    }

    /// When a series began to count, which only OpenMetrics can say.
    fn created(&mut self, family: &PageFamily<'_>, series: &Series<'_>, held: &mut Held<'_, '_>) {
        let kind = family.openmetrics_kind();
        let counts = matches!(kind, PageKind::Counter | PageKind::Histogram | PageKind::Summary);
        let Some(start) = series.start.filter(|_| counts && self.is_openmetrics()) else { return };
        self.sample(family.stem(), "_created", held, None);
        self.end(|out| push_seconds(out, start));
    }

    /// A sample up to its value: name and labels, `bound` the last of them. A quoted name stands among the labels.
    fn sample(&mut self, name: &str, suffix: &str, held: &mut Held<'_, '_>, bound: Option<(&str, f64)>) {
        let plain = self.is_plain;
        if plain {
            self.name(name, suffix, plain);
            if held.labels.len() == 0 && bound.is_none() {
                return self.text(" ");
            }
        }
        self.text("{");
        if !plain {
            self.name(name, suffix, plain);
            self.text(if held.labels.len() == 0 { "" } else { "," });
        }
        match &held.written {
            Some(written) => self.out.extend_from_within(written.clone()),
            None => held.written = Some(self.labels(held.labels)),
        }
        if let Some((label, bound)) = bound {
            self.text(if held.labels.len() == 0 && plain { "" } else { "," });
            self.text(label);
            self.text("=\"");
            push_bound(&mut self.out, bound);
            self.text("\"");
        }
        self.text("} ");
    }

    fn labels(&mut self, labels: &Labels<'_>) -> Range<usize> {
        let start = self.out.len();
        for (at, (name, value)) in labels.iter().enumerate() {
            self.text(if at == 0 { "" } else { "," });
            self.name(name, "", labels.stand() || is_label_name(name));
            self.text("=\"");
            push_escaped(&mut self.out, value, true);
            self.text("\"");
        }
        start..self.out.len()
    }

    /// A sample's value.
    fn end(&mut self, push: impl FnOnce(&mut Vec<u8>)) {
        push(&mut self.out);
        self.text("\n");
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn is_openmetrics(&self) -> bool {
        self.syntax.is_openmetrics()
    }
}

/// The word for a kind in a TYPE line of the text formats.
const fn text_type(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Counter => "counter",
        PageKind::Gauge | PageKind::Info => "gauge",
        PageKind::Histogram => "histogram",
        PageKind::Summary => "summary",
        PageKind::Unknown => "untyped",
    }
}

/// The same in OpenMetrics.
const fn openmetrics_type(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Info => "info",
        PageKind::Unknown => "unknown",
        PageKind::Counter | PageKind::Gauge | PageKind::Histogram | PageKind::Summary => text_type(kind),
    }
}

/// A text with backslashes, line feeds and, where they delimit it or OpenMetrics wants it, double quotes escaped.
fn push_escaped(out: &mut Vec<u8>, text: &str, escapes_quotes: bool) {
    let mut rest = text.as_bytes();
    let is_special = |byte: &u8| matches!(byte, b'\\' | b'\n') || (*byte == b'"' && escapes_quotes);
    while let Some(at) = rest.iter().position(is_special) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'"' => b"\\\"",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Room for a value: most are shorter.
const VALUE_BYTES: usize = 16;

/// About how many bytes a family takes, rather more than less: what is too much is never touched, what is too little
/// makes the page move.
pub(super) fn estimate(family: &PageFamily<'_>, syntax: Syntax) -> usize {
    let each = |series: &Series<'_>| {
        let labels: usize = series.labels.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let created = usize::from(syntax.is_openmetrics() && series.start.is_some());
        let samples = created
            + match series.value {
                Value::Number(_) => 1,
                Value::Histogram(histogram) => histogram.buckets.iter().count() + 4,
                Value::Summary(summary) => summary.get_quantile().len() + 3,
            };
        let suffix = if samples > 1 { "_created".len() + VALUE_BYTES } else { 0 };
        samples * (family.name.len() + suffix + labels + VALUE_BYTES)
    };
    3 * family.name.len() + family.help.len() + 120 + family.estimate(each)
}
