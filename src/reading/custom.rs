//! Readings of custom figures: numbers of any sign and fraction, their attributes known only at run time. Pure.

use std::sync::Arc;

use super::start_after;
use crate::catalog::CustomFigure;
use crate::clock::{Moment, Wall};

/// A number, exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer; wide enough for every unsigned and signed one of the SDK.
    Int(i128),
    /// A float.
    Float(f64),
}

impl Number {
    /// The nearest float.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "integers beyond 2^53 have no float of their own")]
    pub const fn to_float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    /// Whether it is less than `other`; two integers are compared exactly.
    #[must_use]
    pub fn is_below(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => one < other,
            (one, other) => one.to_float() < other.to_float(),
        }
    }
}

/// One series of a custom figure as read. No two of a unit are of the same series.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomReading {
    /// Which figure.
    pub figure: Arc<CustomFigure>,
    /// Which series of it, sorted by key.
    pub attributes: Vec<(String, String)>,
    /// The value in the figure's unit: finite, from −2^63 to 2^64 − 1 if it is an integer, and not negative if the
    /// figure is a counter.
    pub value: Number,
    /// Since when a counter counts, where the source tells.
    pub start: Option<Wall>,
}

impl CustomReading {
    /// Since when a counter counts, as [`counter_start`](super::counter_start) judges it by its last value, the start
    /// that was known then, and when that was.
    #[must_use]
    pub fn counter_start(&self, previous: Option<(Number, Option<Wall>, Moment)>) -> Option<Wall> {
        let Some((value, start, taken)) = previous else { return self.start };
        let fell = self.value.is_below(value);
        start_after(start, self.start, fell.then_some(taken.wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_compared_exactly_and_with_floats_as_near_as_can_be() {
        const EDGE: i128 = 1 << 53;
        assert!(Number::Int(EDGE).is_below(Number::Int(EDGE + 1)));
        assert!(!Number::Int(EDGE + 1).is_below(Number::Int(EDGE)));
        assert!(Number::Int(-1).is_below(Number::Float(-0.5)));
        assert!(!Number::Float(3.0).is_below(Number::Int(3)));
    }
}
