//! Text 0.0.4, as Prometheus has always taken it: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::HashSet;

use super::line::{Cursor, Sample, is_metric_name};
use super::{Flaw, PageError, bad, keep, lines};

const TYPES: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// Reads all lines; every sample goes to `samples`.
pub(super) fn read<'a>(text: &'a str, samples: &mut Vec<Sample<'a>>) -> Result<(), PageError> {
    let mut typed = HashSet::new();
    for (number, line) in lines(text) {
        let read = line.and_then(|line| {
            let line = line.trim_start_matches([' ', '\t']);
            match line.strip_prefix('#') {
                _ if line.is_empty() => Ok(()),
                Some(comment) => read_comment(comment, &mut typed, samples),
                None => keep(samples, Cursor::new(line, false).sample()?),
            }
        });
        read.map_err(|flaw| flaw.at(number))?;
    }
    Ok(())
}

/// A comment is anything, but for those that say a type: once a name, before its first sample.
fn read_comment<'a>(comment: &'a str, typed: &mut HashSet<&'a str>, samples: &[Sample<'a>]) -> Result<(), Flaw> {
    let mut words = comment.split([' ', '\t']).filter(|word| !word.is_empty());
    if words.next() != Some("TYPE") {
        return Ok(());
    }
    let (Some(name), Some(kind), None) = (words.next(), words.next(), words.next()) else {
        return bad("is no TYPE of a name");
    };
    if !is_metric_name(name) || !TYPES.contains(&kind) {
        return bad("says a type that there is not");
    }
    if !typed.insert(name) {
        return bad("says the type of a name again");
    }
    // All samples of a name stand together, so a late type can only follow the last of them.
    if samples.last().is_some_and(|sample| sample.name == name) {
        return bad("says the type of a name after its samples");
    }
    Ok(())
}
