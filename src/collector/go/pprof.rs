//! The goroutine profile as text: its first line tells how many goroutines there are. Pure.

use crate::catalog::FigureId;
use crate::collector::number::whole_number;
use crate::collector::{CollectError, ErrorClass};

/// What net/http/pprof writes first.
const PREFIX: &str = "goroutine profile: total ";

/// Longer than any first line can be.
const LINE_BYTES_MAX: usize = 64;

/// The number of goroutines that a profile with `debug=1` tells.
///
/// # Errors
/// Fails if the first line is another, or its number cannot be.
pub fn parse(body: &[u8]) -> Result<Vec<(FigureId, Option<u64>)>, CollectError> {
    let line = body.split(|byte| *byte == b'\n').next().filter(|line| line.len() <= LINE_BYTES_MAX);
    let total = line.and_then(|line| str::from_utf8(line).ok()?.trim_end_matches('\r').strip_prefix(PREFIX));
    let total = total.ok_or_else(|| {
        let text = "the answer does not begin with \"goroutine profile: total\"; ask for the profile with ?debug=1";
        CollectError::new(ErrorClass::Syntax, text)
    })?;
    Ok(vec![(FigureId::RuntimeGoroutines, Some(whole_number("the total of goroutines", total)?))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_stands_on_the_first_line() {
        for text in ["goroutine profile: total 28\n2 @ 0x48e4ce 0x46a6e5\n", "goroutine profile: total 28"] {
            assert_eq!(parse(text.as_bytes()).unwrap(), [(FigureId::RuntimeGoroutines, Some(28))]);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_class() {
        for (text, class) in [
            ("", ErrorClass::Syntax),
            ("\ngoroutine profile: total 3", ErrorClass::Syntax),
            ("heap profile: 1: 2 [3: 4]", ErrorClass::Syntax),
            ("\u{1f}\u{8b}binary", ErrorClass::Syntax),
            ("goroutine profile: total ", ErrorClass::Type),
            ("goroutine profile: total many", ErrorClass::Type),
            ("goroutine profile: total 1.5", ErrorClass::Type),
            ("goroutine profile: total -1", ErrorClass::Range),
            ("goroutine profile: total 9223372036854775808", ErrorClass::Range),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().class, class, "{text}");
        }
    }
}
