//! Scrape pages: text 0.0.4 and OpenMetrics 1.0.0 read into samples, and the figures of client_golang among them. Pure.
//!
//! A page is taken whole or not at all. OpenMetrics is judged by the whole specification, as strictly as the official
//! Python parser does: order, grouping, names that clash, what each type of family may hold. Text 0.0.4 is judged as
//! leniently as Prometheus does: spaces, comments, blank lines and the last comma are free, and nothing ends the page.

mod family;
mod histogram;
mod line;
mod openmetrics;
#[cfg(test)]
mod tests;
mod text;

use crate::catalog::FigureId;
use crate::clock::Wall;
use crate::collector::number::whole_number;
use crate::collector::{CollectError, ErrorClass};
use line::Sample;

/// Most samples of a page.
pub const SAMPLES_MAX: usize = 5_000;

/// Most lines of a page, comments and blank ones too.
pub const LINES_MAX: usize = 50_000;

/// Longest line in bytes: all labels at their longest, escaped, and some room.
pub const LINE_BYTES_MAX: usize = 128 << 10;

/// Most labels of a sample.
pub const LABELS_MAX: usize = 32;

/// Longest name of a label, and of a metric, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Longest value of a label in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 1 << 10;

/// The formats of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// text/plain; version=0.0.4
    Text,
    /// application/openmetrics-text; version=1.0.0
    OpenMetrics,
}

impl Dialect {
    /// The format that a `Content-Type` names; without one it is text, and `None` is a format that is no page at all.
    #[must_use]
    pub fn of_content_type(content_type: Option<&str>) -> Option<Self> {
        let Some(content_type) = content_type else { return Some(Self::Text) };
        let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "text/plain" | "" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Why a text is no page, told by line and never by content, which is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {problem}")]
pub struct PageError {
    /// The line, counted from 1.
    pub line: usize,
    /// Whether it is a bound of ours that was passed.
    pub is_oversized: bool,
    problem: &'static str,
}

/// What is wrong with a line; its number is added by who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flaw {
    is_oversized: bool,
    problem: &'static str,
}

const fn bad<T>(problem: &'static str) -> Result<T, Flaw> {
    Err(Flaw { is_oversized: false, problem })
}

const fn oversized<T>(problem: &'static str) -> Result<T, Flaw> {
    Err(Flaw { is_oversized: true, problem })
}

impl Flaw {
    const fn at(self, line: usize) -> PageError {
        PageError { line, is_oversized: self.is_oversized, problem: self.problem }
    }
}

/// A page that was read whole.
#[derive(Debug)]
pub struct Page<'a> {
    samples: Vec<Sample<'a>>,
}

impl<'a> Page<'a> {
    /// How many samples it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The values of all samples of a name, as they are written.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.samples.iter().filter(move |sample| sample.name == name).map(|sample| sample.value)
    }
}

/// Reads a page.
///
/// # Errors
/// Fails at the first line that breaks the format's rules or a bound of ours.
pub fn parse(body: &[u8], dialect: Dialect) -> Result<Page<'_>, PageError> {
    let text = str::from_utf8(body).map_err(|error| {
        let line = body.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        Flaw { is_oversized: false, problem: "is not utf-8" }.at(line)
    })?;
    let mut samples = Vec::new();
    match dialect {
        Dialect::Text => text::read(text, &mut samples)?,
        Dialect::OpenMetrics => openmetrics::read(text, &mut samples)?,
    }
    Ok(Page { samples })
}

/// The lines with their numbers, held to their bounds.
fn lines(text: &str) -> impl Iterator<Item = (usize, Result<&str, Flaw>)> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').enumerate().map(|(index, line)| {
        let line = match line {
            _ if index >= LINES_MAX => oversized("is one line too many"),
            line if line.len() > LINE_BYTES_MAX => oversized("is too long"),
            line => Ok(line),
        };
        (index + 1, line)
    })
}

fn keep<'a>(samples: &mut Vec<Sample<'a>>, sample: Sample<'a>) -> Result<(), Flaw> {
    if samples.len() >= SAMPLES_MAX {
        return oversized("is one sample too many");
    }
    samples.push(sample);
    Ok(())
}

/// What client_golang's collectors write; `/sched/gomaxprocs` is there only if it is switched on.
const NAMES: [(FigureId, &str); 6] = [
    (FigureId::RuntimeGoroutines, "go_goroutines"),
    (FigureId::RuntimeCpus, "go_sched_gomaxprocs_threads"),
    (FigureId::RuntimeHeapAllocated, "go_memstats_alloc_bytes"),
    (FigureId::RuntimeMemoryAllocated, "go_memstats_alloc_bytes_total"),
    (FigureId::RuntimeMemorySys, "go_memstats_sys_bytes"),
    (FigureId::RuntimeGcCycles, "go_gc_duration_seconds_count"),
];

/// The figures of a page, and when its program started.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The figures that are there. The last pause never is: quantiles and a sum do not hold it.
    pub figures: Vec<(FigureId, Option<u64>)>,
    /// `process_start_time_seconds`.
    pub start: Option<Wall>,
}

/// The figures of a client_golang page; one that is not there is left out.
///
/// # Errors
/// Fails if the answer is no page of its format, or if a figure of it cannot be true.
pub fn figures(body: &[u8], dialect: Dialect) -> Result<Told, CollectError> {
    let page = parse(body, dialect).map_err(|error| {
        let class = if error.is_oversized { ErrorClass::Oversized } else { ErrorClass::Syntax };
        CollectError::new(class, format!("{error}; check that the path is the program's scrape page"))
    })?;
    let mut figures = Vec::new();
    for (figure, name) in NAMES {
        if let Some(text) = single(&page, name)? {
            figures.push((figure, Some(whole_number(name, text)?)));
        }
    }
    let start = single(&page, "process_start_time_seconds")?.map(start_of).transpose()?;
    Ok(Told { figures, start })
}

/// The one value of a name: of several, as of a page that gathers programs, nobody can say which is the program's.
fn single<'a>(page: &Page<'a>, name: &str) -> Result<Option<&'a str>, CollectError> {
    let mut values = page.values(name);
    let first = values.next();
    if values.next().is_some() {
        let text = format!("{name} stands more than once; set metrics to a page of this program alone");
        return Err(CollectError::new(ErrorClass::Type, text));
    }
    Ok(first)
}

/// Seconds since the epoch, with a fraction: rounded to microseconds, which is all that a float of such a size holds.
fn start_of(text: &str) -> Result<Wall, CollectError> {
    let seconds = text.parse::<f64>().unwrap_or(f64::NAN);
    let start = std::time::Duration::try_from_secs_f64(seconds).ok();
    let start = start.filter(|start| i64::try_from(start.as_nanos()).is_ok()).ok_or_else(|| {
        let text = "process_start_time_seconds is no time after 1970; look at what the program writes";
        CollectError::new(ErrorClass::Range, text)
    })?;
    let micros = (start.as_nanos() + 500) / 1000;
    Ok(Wall(u64::try_from(micros * 1000).unwrap_or(u64::MAX)))
}
