//! From OpenTelemetry names to Prometheus names, by the OpenTelemetry specification
//! (compatibility/prometheus_and_openmetrics.md): the strategy `UnderscoreEscapingWithSuffixes`.

use super::Kind;

/// The name of an instrument on the scrape page: characters a Prometheus name cannot hold become one `_`, the unit's
/// word is appended unless it is there, counters end in `_total`.
#[must_use]
pub fn prometheus_name(name: &str, unit: &str, kind: Kind) -> String {
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
    if let Some(stem) = out.strip_suffix("_total").filter(|_| kind == Kind::Counter) {
        out.truncate(stem.len());
    }
    for word in unit_words(unit) {
        if out != word && !out.ends_with(&format!("_{word}")) {
            out.push('_');
            out.push_str(&word);
        }
    }
    if kind == Kind::Counter {
        out.push_str("_total");
    }
    out
}

/// The words a UCUM unit adds: none for annotations and dimensionless units, two for a rate such as `m/s`.
fn unit_words(unit: &str) -> Vec<String> {
    let (over, per) = unit.split_once('/').map_or((unit, None), |(over, per)| (over, Some(per)));
    let mut words = Vec::new();
    words.extend(unit_word(over, &UNITS));
    words.extend(per.and_then(|per| unit_word(per, &UNITS_PER)).map(|word| format!("per_{word}")));
    if words.len() == 2 { vec![words.join("_")] } else { words }
}

fn unit_word(unit: &str, table: &[(&str, &str)]) -> Option<String> {
    let unit = unit.split('{').next().unwrap_or_default();
    let word = table.iter().find(|(code, _)| *code == unit).map_or(unit, |(_, word)| word);
    let word: String = word.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let word = word.trim_matches('_');
    (!word.is_empty() && word != "1").then(|| word.to_owned())
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
    fn names_follow_the_specification() {
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
        ] {
            assert_eq!(prometheus_name(name, unit, kind), expected);
        }
    }
}
