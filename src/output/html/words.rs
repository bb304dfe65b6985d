//! How the page writes things: markup that cannot be mixed up with text, numbers with their units, spans and times.
//!
//! It knows no snapshot. What the script of the page writes itself, it writes as [`amount`] does.

use std::time::Duration;

use crate::clock::Wall;
use crate::reading::Number;

/// The page as it is written. Markup is a constant of the program, everything else is escaped: what a source or the
/// configuration says stays text.
#[derive(Debug)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Adds markup of our own. Not inlined: the page calls it some two hundred times.
    #[inline(never)]
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, for elements and quoted attributes.
    #[inline(never)]
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A value as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    /// The number, or a time.
    pub(super) digits: String,
    /// What stands beside it, such as `MiB`; may be empty.
    pub(super) unit: String,
    /// What it counts, such as `records`; may be empty.
    pub(super) counted: String,
}

impl Amount {
    /// All of it in one line.
    pub(super) fn line(&self) -> String {
        let parts = [&self.digits, &self.unit, &self.counted];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("\u{a0}")
    }
}

/// The value of a figure called `name` in a `unit` of UCUM.
pub(super) fn amount(value: Number, unit: &str, name: &str) -> Amount {
    let of = |(digits, unit): (String, &str)| Amount { digits, unit: unit.to_owned(), counted: String::new() };
    match unit {
        "s" if name.ends_with("timestamp") => of((utc(wall(value.to_float())), "UTC")),
        "s" => of(seconds(value.to_float())),
        "By" => of(bytes(value.to_float())),
        _ => {
            let digits = match value {
                Number::Int(int) => grouped(int),
                Number::Float(float) => decimal(float),
            };
            let counted = unit.strip_prefix('{').and_then(|unit| unit.strip_suffix('}'));
            let counted = counted.map(|word| plural(word, &digits)).unwrap_or_default();
            let unit = if unit.starts_with('{') || unit == "1" { "" } else { unit };
            Amount { counted, ..of((digits, unit)) }
        }
    }
}

/// `gc_cycle` as `GC cycles`, or as `GC cycle` if there is one.
fn plural(word: &str, digits: &str) -> String {
    let words = spelt(word);
    if digits == "1" || words.ends_with('s') {
        words
    } else if let Some(stem) = words.strip_suffix("ch") {
        format!("{stem}ches")
    } else {
        format!("{words}s")
    }
}

/// The words of a name: separated, and those that are abbreviations as people write them.
pub(super) fn spelt(name: &str) -> String {
    let words = name.split(['.', '_', ' ']).map(|word| match word {
        "gc" => "GC",
        "cpu" => "CPU",
        "cpus" => "CPUs",
        "skus" => "SKUs",
        "sys" => "from OS",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The same as a title.
pub(super) fn title(name: &str) -> String {
    let words = spelt(name);
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(int: i128) -> String {
    let digits = int.unsigned_abs().to_string();
    let mut out = String::from(if int < 0 { "−" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with as many places as tell something.
fn decimal(float: f64) -> String {
    if !float.is_finite() {
        return if float.is_nan() { "not a number" } else { "infinite" }.to_owned();
    }
    match float.abs() {
        size if size < 10.0 => format!("{float:.2}"),
        size if size < 100.0 => format!("{float:.1}"),
        size if size < 1e16 => grouped(rounded(float)),
        _ => format!("{float:?}"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded and finite; a float beyond i128 saturates")]
fn rounded(float: f64) -> i128 {
    float.round() as i128
}

fn bytes(bytes: f64) -> (String, &'static str) {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut size, mut at) = (bytes, 0);
    while size.abs() >= 1000.0 && at + 1 < UNITS.len() {
        (size, at) = (size / 1024.0, at + 1);
    }
    (if at == 0 && size.is_finite() { grouped(rounded(size)) } else { decimal(size) }, UNITS[at])
}

fn seconds(seconds: f64) -> (String, &'static str) {
    match seconds.abs() {
        0.0 => ("0".to_owned(), "s"),
        size if size < 1e-6 => (decimal(seconds * 1e9), "ns"),
        size if size < 1e-3 => (decimal(seconds * 1e6), "µs"),
        size if size < 1.0 => (decimal(seconds * 1e3), "ms"),
        _ => (decimal(seconds), "s"),
    }
}

/// A span in the one or two units that tell something.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, unit: &str, small: u64, smaller: &str| {
        if small == 0 { format!("{large}\u{a0}{unit}") } else { format!("{large}\u{a0}{unit} {small}\u{a0}{smaller}") }
    };
    match seconds {
        0..100 => format!("{seconds}\u{a0}s"),
        100..6000 => format!("{}\u{a0}min", seconds / 60),
        6000..172_800 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float out of range saturates")]
fn wall(seconds: f64) -> Wall {
    Wall((seconds * 1e9).max(0.0) as u64)
}

/// `2024-01-15 10:30:00`.
pub(super) fn utc(wall: Wall) -> String {
    wall.to_rfc3339().replace('T', " ").replace('Z', "")
}

/// `10:30:00 UTC`; for what is a day old, with its date.
pub(super) fn time_of_day(wall: Wall, now: Wall) -> String {
    let text = utc(wall);
    let time = text.split_once(' ').map_or("", |(_, time)| time);
    format!("{} UTC", if wall.day() == now.day() { time } else { &text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_stays_text() {
        let mut html = Html::with_capacity(0);
        html.raw("<b>").text(r#"<i a="x" b='y'>&"#);
        assert_eq!(html.finish(), "<b>&lt;i a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn values_are_written_with_their_units() {
        let int = Number::Int;
        for (value, unit, name, expected) in [
            (int(42), "{goroutine}", "a", "42 goroutines"),
            (int(1), "{gc_cycle}", "a", "1 GC cycle"),
            (int(0), "{batch}", "a", "0 batches"),
            (int(8), "{cpu}", "a", "8 CPUs"),
            (int(3), "{series}", "a", "3 series"),
            (int(1_234_567), "", "a", "1,234,567"),
            (int(-1000), "", "a", "−1,000"),
            (int(i128::from(i64::MAX)), "", "a", "9,223,372,036,854,775,807"),
            (int(0), "By", "a", "0 B"),
            (int(999), "By", "a", "999 B"),
            (int(1024), "By", "a", "1.00 KiB"),
            (int(129 << 20), "By", "a", "129 MiB"),
            (int(4096 << 20), "By", "a", "4.00 GiB"),
            (Number::Float(0.0), "s", "a", "0 s"),
            (Number::Float(0.001_234_567), "s", "a", "1.23 ms"),
            (Number::Float(250e-9), "s", "a", "250 ns"),
            (Number::Float(12.5e-6), "s", "a", "12.5 µs"),
            (Number::Float(2.0), "s", "a", "2.00 s"),
            (Number::Float(1_705_314_600.0), "s", "b.timestamp", "2024-01-15 10:30:00 UTC"),
            (Number::Float(1234.5), "EUR", "a", "1,235 EUR"),
            (Number::Float(f64::NAN), "1", "a", "not a number"),
            (Number::Float(f64::INFINITY), "By", "a", "infinite PiB"),
            (Number::Float(1e20), "", "a", "1e20"),
        ] {
            assert_eq!(amount(value, unit, name).line().replace('\u{a0}', " "), expected);
        }
    }

    #[test]
    fn spans_and_times_are_short() {
        for (seconds, expected) in [
            (0, "0 s"),
            (99, "99 s"),
            (100, "1 min"),
            (5999, "99 min"),
            (7200, "2 h"),
            (7290, "2 h 1 min"),
            (172_800, "2 d"),
            (180_000, "2 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)).replace('\u{a0}', " "), expected);
        }
        let (day, now) = (86_400, Wall::from_secs(86_400 * 3 + 5));
        assert_eq!(time_of_day(now, now), "00:00:05 UTC");
        assert_eq!(time_of_day(Wall::from_secs(day), now), "1970-01-02 00:00:00 UTC");
    }

    #[test]
    fn titles_are_words() {
        for (name, expected) in
            [("gc.last_pause", "GC last pause"), ("skus", "SKUs"), ("completed_today", "Completed today"), ("", "")]
        {
            assert_eq!(title(name), expected);
        }
    }
}
