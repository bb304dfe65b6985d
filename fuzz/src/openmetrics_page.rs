//! The page parser of the source `go`: whatever a program answers, it is judged without a panic and within its bounds; what
//! it takes of OpenMetrics another reader reads the same; and a page that is cut is not taken.

use linkit_bridge::collector::ErrorClass;
use linkit_bridge::collector::go::page::{Dialect, Page, SAMPLES_MAX, figures, parse};

use super::reader;
use super::telemetry_json::is_short_line;

pub fn check(input: &[u8]) {
    for dialect in [Dialect::Text, Dialect::OpenMetrics] {
        let parsed = parse(input, dialect);
        told(input, dialect, parsed.is_ok());
        match parsed {
            Ok(page) => {
                assert!(page.len() <= SAMPLES_MAX);
                if dialect == Dialect::OpenMetrics {
                    openmetrics(input, &page);
                }
            }
            Err(error) => {
                let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
                assert!((1..=lines).contains(&error.line), "{error} of {lines} lines");
                is_short_line(&error.to_string());
            }
        }
    }
}

/// The figures are those of the page, or it is said why there are none.
fn told(input: &[u8], dialect: Dialect, is_page: bool) {
    match figures(input, dialect) {
        Ok(told) => {
            assert!(is_page, "what is no page told {told:?}");
            assert!(told.figures.iter().all(|(_, value)| value.is_some_and(|value| i64::try_from(value).is_ok())));
        }
        Err(error) => {
            let is_of_the_page = matches!(error.class, ErrorClass::Syntax | ErrorClass::Oversized);
            assert_eq!(is_of_the_page, !is_page, "{error}");
            is_short_line(&error.to_string());
        }
    }
}

fn openmetrics(input: &[u8], page: &Page<'_>) {
    let text = str::from_utf8(input).expect("a page is utf-8");
    let read = reader::text(text, true).unwrap_or_else(|error| panic!("another reader refuses it: {error}"));
    assert_eq!(read.samples.len(), page.len(), "another reader finds other samples");
    for sample in &read.samples {
        let others = read.samples.iter().filter(|other| other.name == sample.name).map(|other| other.value.as_str());
        assert!(page.values(&sample.name).eq(others), "{} has other values", sample.name);
    }
    // The end tells that it is whole, and nothing follows it.
    let whole = text.strip_suffix('\n').unwrap_or(text);
    for cut in [whole.len() - 1, whole.len() - "# EOF".len(), whole.len() / 2] {
        let cut = (cut..whole.len()).find(|at| whole.is_char_boundary(*at)).unwrap_or_default();
        assert!(parse(&whole.as_bytes()[..cut], Dialect::OpenMetrics).is_err(), "cut at {cut} it is taken for whole");
    }
    for more in ["\n\n", "\na 1\n", "\n# EOF\n", " "] {
        assert!(
            parse(format!("{whole}{more}").as_bytes(), Dialect::OpenMetrics).is_err(),
            "{more:?} may follow the end"
        );
    }
}
