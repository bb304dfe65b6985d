//! From OpenTelemetry names to Prometheus names, by the OpenTelemetry specification
//! (compatibility/prometheus_and_openmetrics.md).

use serde::Deserialize;

use super::Kind;

/// How an instrument's name becomes its name on the scrape page: the specification's `translation_strategy`
/// (metrics/sdk_exporters/prometheus.md, "Configuration"). What a format cannot hold is escaped after it, as the client
/// wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Translation {
    /// Characters a Prometheus name cannot hold become one `_`, the unit's word is appended unless it is there,
    /// counters end in `_total`.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// The same without unit and `_total`.
    UnderscoreEscapingWithoutSuffixes,
    /// Names keep all characters and get unit and `_total`.
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl Translation {
    /// Whether names and label names are made to fit `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    #[must_use]
    pub const fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether the unit's word and `_total` are appended.
    #[must_use]
    pub const fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }

    /// The name of an instrument on the scrape page.
    #[must_use]
    pub fn name(self, name: &str, unit: &str, kind: Kind) -> String {
        let mut out = if self.escapes() { underscored(name) } else { name.to_owned() };
        if self.adds_suffixes() {
            add_suffixes(&mut out, unit, kind);
        }
        out
    }
}

/// The name of an instrument on the scrape page by the default strategy.
#[must_use]
pub fn prometheus_name(name: &str, unit: &str, kind: Kind) -> String {
    Translation::default().name(name, unit, kind)
}

/// The name with each run of characters that a Prometheus name cannot hold as one `_`; none at its end, where what is
/// appended brings its own.
fn underscored(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 16);
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out.truncate(out.trim_end_matches('_').len().max(1));
    out
}

fn add_suffixes(out: &mut String, unit: &str, kind: Kind) {
    if let Some(stem) = before_last_word(out, "total").map(str::len).filter(|_| kind == Kind::Counter) {
        out.truncate(stem);
    }
    if let Some(word) = unit_word(unit).filter(|word| out != word && before_last_word(out, word).is_none()) {
        out.push('_');
        out.push_str(&word);
    }
    if kind == Kind::Counter {
        out.push_str("_total");
    }
}

/// What stands before the last word of a name and its separator, if it is this word.
fn before_last_word<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    name.strip_suffix(word)?.strip_suffix(['_', '.', '-', '/'])
}

/// The word a UCUM unit adds to a name: none for annotations and dimensionless units, such as `meters_per_second` for a
/// rate.
#[must_use]
pub fn unit_word(unit: &str) -> Option<String> {
    if unit.is_empty() {
        return None;
    }
    let unit = without_annotations(unit);
    let (over, per) = unit.split_once('/').map_or((unit.as_str(), None), |(over, per)| (over, Some(per)));
    let over = translated(over, &UNITS);
    let per = per.and_then(|per| translated(per, &UNITS_PER)).map(|word| format!("per_{word}"));
    match (over, per) {
        (Some(over), Some(per)) => Some(format!("{over}_{per}")),
        (over, per) => over.or(per),
    }
}

/// UCUM's annotations, `{...}`, say what is counted and are no unit.
fn without_annotations(unit: &str) -> String {
    let mut parts = unit.split('{');
    let first = parts.next().unwrap_or_default();
    parts.fold(first.to_owned(), |unit, part| unit + part.split_once('}').map_or("", |(_, after)| after))
}

fn translated(unit: &str, table: &[(&str, &str)]) -> Option<String> {
    let word = table.iter().find(|(code, _)| *code == unit).map_or(unit, |(_, word)| word);
    let parts = word.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let word = parts.collect::<Vec<_>>().join("_");
    (!word.is_empty() && word != "1").then_some(word)
}

/// The specification's table of units.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tebibytes"),
    ("kBy", "kilobytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("1", "1"),
];

/// The same table for what stands behind a `/`.
const UNITS_PER: [(&str, &str); 8] = [
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_f2_names_follow_the_specification() {
        for (name, unit, kind, expected) in [
            ("linkit.runtime.heap.allocated", "By", Kind::Gauge, "linkit_runtime_heap_allocated_bytes"),
            ("linkit.runtime.gc.cycles", "{gc_cycle}", Kind::Counter, "linkit_runtime_gc_cycles_total"),
            ("linkit.runtime.gc.last_pause", "s", Kind::Gauge, "linkit_runtime_gc_last_pause_seconds"),
            ("req_total", "", Kind::Counter, "req_total"),
            ("mem_bytes", "By", Kind::Gauge, "mem_bytes"),
            ("mem_bytes_total", "By", Kind::Counter, "mem_bytes_total"),
            ("speed", "m/s", Kind::Gauge, "speed_meters_per_second"),
            ("a.b--c", "", Kind::Gauge, "a_b_c"),
            ("9lives", "1", Kind::Gauge, "_9lives"),
            ("size", "TiBy", Kind::Gauge, "size_tebibytes"),
            ("foo.", "", Kind::Counter, "foo_total"),
            ("foo.", "By", Kind::Gauge, "foo_bytes"),
            ("parts", "{a/b}", Kind::Gauge, "parts"),
            ("odd", "a..b", Kind::Gauge, "odd_a_b"),
        ] {
            assert_eq!(prometheus_name(name, unit, kind), expected);
        }
    }

    #[test]
    fn f8_each_strategy_names_as_the_specification_says() {
        use Translation::{NoTranslation, NoUtf8EscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes};
        for (strategy, name, unit, kind, expected) in [
            (UnderscoreEscapingWithoutSuffixes, "heap.allocated", "By", Kind::Gauge, "heap_allocated"),
            (UnderscoreEscapingWithoutSuffixes, "gc.cycles", "", Kind::Counter, "gc_cycles"),
            (UnderscoreEscapingWithoutSuffixes, "gc.total", "", Kind::Counter, "gc_total"),
            (NoUtf8EscapingWithSuffixes, "heap.allocated", "By", Kind::Gauge, "heap.allocated_bytes"),
            (NoUtf8EscapingWithSuffixes, "heap.bytes", "By", Kind::Counter, "heap.bytes_total"),
            (NoUtf8EscapingWithSuffixes, "gc.total", "", Kind::Counter, "gc_total"),
            (NoUtf8EscapingWithSuffixes, "subtotal", "", Kind::Counter, "subtotal_total"),
            (NoUtf8EscapingWithSuffixes, "größe", "m/s", Kind::Gauge, "größe_meters_per_second"),
            (NoTranslation, "heap.allocated", "By", Kind::Counter, "heap.allocated"),
            (NoTranslation, "9 lives", "1", Kind::Gauge, "9 lives"),
        ] {
            assert_eq!(strategy.name(name, unit, kind), expected, "{strategy:?}");
        }
    }
}
