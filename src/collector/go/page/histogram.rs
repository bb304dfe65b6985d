//! What holds the samples of one histogram together.

use super::family::bound;
use super::line::Sample;
use super::{Flaw, bad};

/// The histogram that is being read; of another group or time, it begins anew.
#[derive(Default)]
pub(super) struct Histogram(Option<Point>);

#[derive(Default)]
struct Point {
    /// The last bucket's bound and count.
    last: Option<(f64, f64)>,
    count: Option<f64>,
    has_sum: bool,
    has_gauge_sum: bool,
    has_negative_bounds: bool,
    has_negative_gauge_sum: bool,
}

impl Histogram {
    pub(super) fn add(&mut self, is_new_point: bool, suffix: &str, sample: &Sample<'_>) -> Result<(), Flaw> {
        if is_new_point {
            self.judge()?;
            self.0 = None;
        }
        self.0.get_or_insert_default().add(suffix, sample)
    }

    /// Judges it as a whole, at its end.
    pub(super) fn judge(&self) -> Result<(), Flaw> {
        self.0.as_ref().map_or(Ok(()), Point::judge)
    }
}

impl Point {
    fn add(&mut self, suffix: &str, sample: &Sample<'_>) -> Result<(), Flaw> {
        let value = sample.float();
        match suffix {
            "_bucket" => {
                let le = sample.label("le").and_then(bound).unwrap_or(f64::NAN);
                if let Some((last_le, last_value)) = self.last {
                    if le <= last_le {
                        return bad("has a bucket out of order");
                    }
                    if value < last_value {
                        return bad("has a bucket with less than the one below it");
                    }
                }
                self.has_negative_bounds |= le < 0.0;
                self.last = Some((le, value));
            }
            "_count" | "_gcount" => self.count = Some(value),
            "_sum" => self.has_sum = true,
            "_gsum" => (self.has_gauge_sum, self.has_negative_gauge_sum) = (true, value < 0.0),
            _ => {}
        }
        Ok(())
    }

    fn judge(&self) -> Result<(), Flaw> {
        let Some((_, all)) = self.last.filter(|(le, _)| *le == f64::INFINITY) else {
            return bad("follows a histogram without a +Inf bucket");
        };
        let has_any_sum = self.has_sum || self.has_gauge_sum;
        if self.count.is_some_and(|count| count != all) {
            return bad("follows a histogram whose count is not that of its +Inf bucket");
        }
        if has_any_sum != self.count.is_some() {
            return bad("follows a histogram with a sum and no count, or a count and no sum");
        }
        if self.has_sum && self.has_negative_bounds {
            return bad("follows a histogram with a sum and negative bounds");
        }
        if self.has_negative_gauge_sum && !self.has_negative_bounds {
            return bad("follows a histogram with a negative sum and no negative bounds");
        }
        Ok(())
    }
}
