//! The last page of a view, of which the next one takes the lines that differ in nothing but their numbers.
//!
//! A family whose series are the same as before, by its layout, is written from its lines as they stood: neither are
//! labels judged nor names escaped a second time. Which lines can be taken is noted while they are written.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::ops::Range;

use super::number::push_number;
use crate::registry::Number;

/// A page as it was rendered last, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last<'a> {
    page: Option<(&'a [u8], &'a Lines)>,
}

/// Where families stand on a page, by layout; each sample is one line.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<u64, (Range<usize>, Range<usize>)>);

impl<'a> Last<'a> {
    /// The page of this body, as it was rendered with these lines.
    #[must_use]
    pub const fn new(body: &'a [u8], lines: &'a Lines) -> Self {
        Self { page: Some((body, lines)) }
    }

    /// What stands before the samples of a layout, and their lines.
    pub(super) fn family(&self, layout: Option<u64>) -> Option<(&'a [u8], &'a [u8])> {
        let (body, lines) = self.page?;
        let (head, samples) = lines.0.get(&layout?)?;
        Some((body.get(head.clone())?, body.get(samples.clone())?))
    }
}

impl Lines {
    /// Notes where the family of a layout stands: from where on, from where on its samples, and to where.
    pub(super) fn note(&mut self, layout: u64, [head, samples, end]: [usize; 3]) {
        self.0.insert(layout, (head..samples, samples..end));
    }
}

/// Appends `lines` with other numbers, one each; `None` if there are not as many, with some of them written.
pub(super) fn push_lines(out: &mut Vec<u8>, mut lines: &[u8], numbers: impl Iterator<Item = Number>) -> Option<()> {
    for number in numbers {
        let line = lines;
        let length = lines.skip_until(b'\n').ok()?;
        // A number holds no space, and one stands before it.
        let end = line[..length].iter().rposition(|byte| *byte == b' ')?;
        out.extend_from_slice(&line[..=end]);
        push_number(out, number);
        out.push(b'\n');
    }
    lines.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(lines: &str, numbers: &[i128]) -> Option<String> {
        let mut out = Vec::new();
        push_lines(&mut out, lines.as_bytes(), numbers.iter().map(|int| Number::Int(*int)))?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn lines_keep_all_but_their_numbers() {
        let lines = "a 1\na{b=\"c d\\n} 9\"} -2.5e10\n";
        assert_eq!(pushed(lines, &[10, -3]).unwrap(), "a 10\na{b=\"c d\\n} 9\"} -3\n");
    }

    #[test]
    fn as_many_numbers_as_lines_are_needed() {
        assert_eq!(pushed("a 1\nb 2\n", &[1]), None);
        assert_eq!(pushed("a 1\n", &[1, 2]), None);
    }
}
