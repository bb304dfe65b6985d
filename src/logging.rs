//! Logging to stderr: logfmt for people and tools, JSON for log pipelines. Values are quoted as Go quotes them, so that
//! nothing a source says can forge a line or reach a terminal raw.

use std::fmt::{self, Write};

use clap::ValueEnum;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as layers};

use crate::clock::{Clock, SystemClock};

/// What is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything.
    Debug,
    /// The course of things.
    Info,
    /// What an operator should look at.
    Warn,
    /// What is broken.
    Error,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `ts=… level=info msg="…" key=value`
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Starts logging for the process. Libraries are heard from `warn` on.
pub fn start(level: Level, format: Format) {
    let own = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let filter = Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("linkit_bridge", own);
    let layer = layers::layer().with_ansi(false).with_writer(std::io::stderr);
    let layer = match format {
        Format::Logfmt => layer.event_format(Logfmt(SystemClock::new())).with_filter(filter).boxed(),
        Format::Json => layer.json().flatten_event(true).with_target(false).with_filter(filter).boxed(),
    };
    // A second start, as tests and embedding programs may cause, keeps the first.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.location() {
        // Over what a server has sent: it is caught and said as an error of that source, once and not each time.
        Some(place) if is_of_a_driver(place.file()) => tracing::debug!(%place, "a database driver gave up"),
        _ => usual(panic),
    }));
}

/// Whether a file is a database driver's, or of the library by which it takes bytes apart.
fn is_of_a_driver(file: &str) -> bool {
    file.split('/').any(|part| part.starts_with("sqlx-") || part.starts_with("bytes-"))
}

/// Formats an event as one line of logfmt. The maintained crate for it escapes as Rust does, which no parser reads.
struct Logfmt(SystemClock);

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Logfmt {
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let wall = self.0.now().wall;
        let (time, level) = (wall.to_rfc3339(), event.metadata().level().as_str().to_lowercase());
        let milliseconds = wall.0 / 1_000_000 % 1000;
        write!(out, "ts={}.{milliseconds:03}Z level={level}", time.trim_end_matches('Z'))?;
        let mut pairs = Pairs { line: String::new(), message: String::new() };
        event.record(&mut pairs);
        writeln!(out, " msg={}{}", pairs.message, pairs.line)
    }
}

/// The fields of an event as ` key=value`, the message apart.
struct Pairs {
    line: String,
    message: String,
}

impl Pairs {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = quoted(value);
        } else {
            let _ = write!(self.line, " {}={}", field.name(), quoted(value));
        }
    }
}

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// The value as it is, or in double quotes where logfmt needs them, with Go's escapes (strconv.Quote).
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@+%,[]()*#&!?;".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        let _ = match c {
            '"' => text.write_str("\\\""),
            '\\' => text.write_str("\\\\"),
            '\n' => text.write_str("\\n"),
            '\r' => text.write_str("\\r"),
            '\t' => text.write_str("\\t"),
            c if c.is_control() && u32::from(c) < 0x80 => write!(text, "\\x{:02x}", u32::from(c)),
            c if c.is_control() => write!(text, "\\u{:04x}", u32::from(c)),
            c => text.write_char(c),
        };
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_go_reads_them() {
        for (value, expected) in [
            ("listening", "listening"),
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("", "\"\""),
            ("its executable's", "\"its executable's\""),
            ("a=\"b\" c\\d\n", r#""a=\"b\" c\\d\n""#),
            ("\u{1b}[31m", r#""\x1b[31m""#),
            ("\u{85}", r#""\u0085""#),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
