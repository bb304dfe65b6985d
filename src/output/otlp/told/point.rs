//! Points as they are told, and the differences of what they count.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};

/// What something has counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Total {
    Int(i64),
    Float(f64),
    Histogram { buckets: Vec<u64>, sum: f64, count: u64 },
}

impl Total {
    /// What came since `before`; `None` if it fell, which is a beginning anew.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        match (self, before) {
            (Self::Int(now), Self::Int(before)) => now.checked_sub(*before).filter(|came| *came >= 0).map(Self::Int),
            (
                Self::Histogram { buckets, sum, count },
                Self::Histogram { buckets: buckets_before, sum: sum_before, count: count_before },
            ) => {
                if buckets.len() != buckets_before.len() {
                    return None;
                }
                let came = buckets.iter().zip(buckets_before).map(|(now, before)| now.checked_sub(*before));
                let buckets = came.collect::<Option<Vec<_>>>()?;
                Some(Self::Histogram { buckets, sum: sum - sum_before, count: count.checked_sub(*count_before)? })
            }
            _ => Some(self.float()? - before.float()?).filter(|came| *came >= 0.0).map(Self::Float),
        }
    }

    /// Integers of custom figures are floats up to where those are exact; a step over that line is as exact as a float.
    #[expect(clippy::cast_precision_loss, reason = "only where an integer meets a float")]
    const fn float(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            Self::Histogram { .. } => None,
        }
    }
}

/// A point of a series.
pub(super) trait Point {
    fn attributes(&mut self) -> &mut Vec<KeyValue>;

    /// Since when it counts, and its time, in Unix nanoseconds.
    fn span(&self) -> (u64, u64);

    /// What it has counted; `None` if it has no value.
    fn total(&self) -> Option<Total>;

    /// Makes it tell `difference`, which came since a time.
    fn tell(&mut self, difference: Total, since: u64);
}

impl Point for NumberDataPoint {
    fn attributes(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn span(&self) -> (u64, u64) {
        (self.start_time_unix_nano, self.time_unix_nano)
    }

    fn total(&self) -> Option<Total> {
        Some(match self.value? {
            Value::AsInt(int) => Total::Int(int),
            Value::AsDouble(float) => Total::Float(float),
        })
    }

    fn tell(&mut self, difference: Total, since: u64) {
        self.start_time_unix_nano = since;
        match difference {
            Total::Int(int) => self.value = Some(Value::AsInt(int)),
            Total::Float(float) => self.value = Some(Value::AsDouble(float)),
            Total::Histogram { .. } => {}
        }
    }
}

impl Point for HistogramDataPoint {
    fn attributes(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn span(&self) -> (u64, u64) {
        (self.start_time_unix_nano, self.time_unix_nano)
    }

    fn total(&self) -> Option<Total> {
        Some(Total::Histogram {
            buckets: self.bucket_counts.clone(),
            sum: self.sum.unwrap_or_default(),
            count: self.count,
        })
    }

    fn tell(&mut self, difference: Total, since: u64) {
        self.start_time_unix_nano = since;
        // The least and the greatest of what came are not known.
        (self.min, self.max) = (None, None);
        if let Total::Histogram { buckets, sum, count } = difference {
            (self.bucket_counts, self.sum, self.count) = (buckets, Some(sum), count);
        }
    }
}
