//! OpenMetrics 1.0.0: <https://prometheus.io/docs/specs/om/open_metrics_spec/>, section "Text format".

use std::collections::HashSet;

use super::family::{Family, Type};
use super::line::{Cursor, Sample, is_metric_name};
use super::{Flaw, PageError, bad, keep, lines};

/// client_golang writes a gauge of this name and then, of `…_total`, a counter of the same name (client_golang#829).
/// The samples have names of their own, so nothing is in doubt, and without this no page of theirs could be read.
const CLASH_OF_CLIENT_GOLANG: &str = "go_memstats_alloc_bytes";

/// Reads all lines; every sample goes to `samples`.
pub(super) fn read<'a>(text: &'a str, samples: &mut Vec<Sample<'a>>) -> Result<(), PageError> {
    let mut reader = Reader { family: None, seen: HashSet::new(), is_at_end: false };
    let mut last = 0;
    for (number, line) in lines(text) {
        last = number;
        line.and_then(|line| reader.line(line, samples)).map_err(|flaw| flaw.at(number))?;
    }
    reader.end().map_err(|flaw| flaw.at(last))
}

struct Reader<'a> {
    family: Option<Family<'a>>,
    /// Every name that a family that is over has taken.
    seen: HashSet<String>,
    is_at_end: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str, samples: &mut Vec<Sample<'a>>) -> Result<(), Flaw> {
        if self.is_at_end {
            return bad("follows the end of the page");
        }
        match line.strip_prefix('#') {
            _ if line.is_empty() => bad("is blank"),
            Some(" EOF") => {
                self.is_at_end = true;
                Ok(())
            }
            Some(metadata) => self.metadata(metadata),
            None => self.sample(Cursor::new(line, true).sample()?, samples),
        }
    }

    /// ` TYPE name type`, ` UNIT name unit`, ` HELP name text`.
    fn metadata(&mut self, text: &'a str) -> Result<(), Flaw> {
        let mut words = text.splitn(4, ' ');
        let (Some(""), Some(keyword), Some(name), Some(said)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return bad("is a comment, which this format has not");
        };
        if !is_metric_name(name) {
            return bad("has a name that is none");
        }
        if self.family.as_ref().is_none_or(|family| family.name != name || family.is_over_for(said, keyword)) {
            self.close()?;
            self.family = Some(Family::new(name));
        }
        let Some(family) = &mut self.family else { return bad("belongs to nothing") };
        if family.has_samples {
            return bad("says something of a name after its samples");
        }
        match keyword {
            "TYPE" => once(&mut family.kind, Type::of_word(said)?),
            "UNIT" => once(&mut family.unit, said),
            "HELP" => once(&mut family.help, ()),
            _ => bad("is a comment, which this format has not"),
        }
    }

    fn sample(&mut self, sample: Sample<'a>, samples: &mut Vec<Sample<'a>>) -> Result<(), Flaw> {
        if self.family.as_ref().is_none_or(|family| !family.takes(sample.name)) {
            self.close()?;
            self.family = Some(Family::unknown(sample.name));
        }
        if let Some(family) = &mut self.family {
            family.add(&sample)?;
        }
        keep(samples, sample)
    }

    /// Ends the family: what it is as a whole is judged, and its names are taken.
    fn close(&mut self) -> Result<(), Flaw> {
        let Some(family) = self.family.take() else { return Ok(()) };
        family.judge()?;
        for suffix in family.suffixes_taken() {
            let name = format!("{}{suffix}", family.name);
            let is_known_clash = name == CLASH_OF_CLIENT_GOLANG && family.kind == Some(Type::Counter);
            if !self.seen.insert(name) && !is_known_clash {
                return bad("follows a family whose names clash with those of another");
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Flaw> {
        self.close()?;
        if self.is_at_end { Ok(()) } else { bad("is the last, and the page has no # EOF") }
    }
}

impl Family<'_> {
    /// Whether the metadata is of the next family, though it has the same name.
    fn is_over_for(&self, said: &str, keyword: &str) -> bool {
        let is_gauge = self.kind == Some(Type::Gauge) && self.name == CLASH_OF_CLIENT_GOLANG;
        is_gauge && self.has_samples && (keyword != "TYPE" || said == "counter")
    }
}

fn once<T>(place: &mut Option<T>, said: T) -> Result<(), Flaw> {
    match place.replace(said) {
        Some(_) => bad("says something of a name again"),
        None => Ok(()),
    }
}
