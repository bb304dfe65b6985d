//! Points as they are told, the word that a series is gone, and the differences of what points count.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    DataPointFlags, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint,
};

/// What something has counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Total {
    Int(i64),
    Float(f64),
    Histogram { buckets: Vec<u64>, sum: f64, count: u64 },
    Exponential(Exponential),
}

/// What is in buckets that grow by 2^(2^-scale).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exponential {
    scale: i32,
    sum: f64,
    count: u64,
    zero_count: u64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
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
            (Self::Exponential(now), Self::Exponential(before)) => now.since(before).map(Self::Exponential),
            _ => Some(self.float()? - before.float()?).filter(|came| *came >= 0.0).map(Self::Float),
        }
    }

    /// Integers of custom figures are floats up to where those are exact; a step over that line is as exact as a float.
    #[expect(clippy::cast_precision_loss, reason = "only where an integer meets a float")]
    const fn float(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            Self::Histogram { .. } | Self::Exponential(_) => None,
        }
    }
}

impl Exponential {
    /// While something counts its scale only falls: by one, and each two buckets have become one.
    fn since(&self, before: &Self) -> Option<Self> {
        let fallen = u32::try_from(before.scale.checked_sub(self.scale)?).ok()?;
        Some(Self {
            scale: self.scale,
            sum: self.sum - before.sum,
            count: self.count.checked_sub(before.count)?,
            zero_count: self.zero_count.checked_sub(before.zero_count)?,
            positive: came(&self.positive, &before.positive, fallen)?,
            negative: came(&self.negative, &before.negative, fallen)?,
        })
    }
}

/// What came into buckets since `before`, when the scale was higher by `fallen`.
fn came(now: &BTreeMap<i32, u64>, before: &BTreeMap<i32, u64>, fallen: u32) -> Option<BTreeMap<i32, u64>> {
    let mut came = now.clone();
    for (index, count) in before {
        let held = came.get_mut(&index.checked_shr(fallen)?)?;
        *held = held.checked_sub(*count)?;
    }
    came.retain(|_, count| *count > 0);
    Some(came)
}

/// The buckets that hold something, by their index.
fn unpacked(buckets: Option<&Buckets>) -> BTreeMap<i32, u64> {
    let counts = buckets.into_iter().flat_map(|buckets| (buckets.offset..).zip(buckets.bucket_counts.iter().copied()));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn packed(counts: &BTreeMap<i32, u64>) -> Buckets {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Buckets::default();
    };
    let bucket_counts = (*first..=*last).map(|index| counts.get(&index).copied().unwrap_or(0)).collect();
    Buckets { offset: *first, bucket_counts }
}

/// Where a series is gone from.
pub(super) struct End<'a> {
    pub(super) attributes: Vec<KeyValue>,
    pub(super) start: u64,
    pub(super) time: u64,
    /// Those of a histogram's buckets.
    pub(super) bounds: &'a [f64],
}

const GONE: u32 = DataPointFlags::NoRecordedValueMask as u32;

/// A point of a series.
pub(super) trait Point {
    /// The word that a series is gone.
    fn of_end(end: End<'_>) -> Self;

    fn attributes(&mut self) -> &mut Vec<KeyValue>;

    /// Since when it counts, and its time, in Unix nanoseconds.
    fn span(&self) -> (u64, u64);

    /// What it has counted; `None` if it has no value.
    fn total(&self) -> Option<Total>;

    /// Makes it tell `difference`, which came since a time.
    fn tell(&mut self, difference: Total, since: u64);
}

impl Point for NumberDataPoint {
    fn of_end(End { attributes, start, time, .. }: End<'_>) -> Self {
        Self { attributes, start_time_unix_nano: start, time_unix_nano: time, flags: GONE, ..Self::default() }
    }

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
            Total::Histogram { .. } | Total::Exponential(_) => {}
        }
    }
}

impl Point for HistogramDataPoint {
    /// To Prometheus each bucket, the sum and the count are series: what the word does not name goes on there.
    fn of_end(End { attributes, start, time, bounds }: End<'_>) -> Self {
        Self {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            sum: Some(0.0),
            bucket_counts: vec![0; bounds.len() + 1],
            explicit_bounds: bounds.to_vec(),
            flags: GONE,
            ..Self::default()
        }
    }

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

impl Point for ExponentialHistogramDataPoint {
    fn of_end(End { attributes, start, time, .. }: End<'_>) -> Self {
        Self { attributes, start_time_unix_nano: start, time_unix_nano: time, flags: GONE, ..Self::default() }
    }

    fn attributes(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn span(&self) -> (u64, u64) {
        (self.start_time_unix_nano, self.time_unix_nano)
    }

    fn total(&self) -> Option<Total> {
        Some(Total::Exponential(Exponential {
            scale: self.scale,
            sum: self.sum.unwrap_or_default(),
            count: self.count,
            zero_count: self.zero_count,
            positive: unpacked(self.positive.as_ref()),
            negative: unpacked(self.negative.as_ref()),
        }))
    }

    fn tell(&mut self, difference: Total, since: u64) {
        self.start_time_unix_nano = since;
        (self.min, self.max) = (None, None);
        if let Total::Exponential(came) = difference {
            (self.scale, self.sum, self.count, self.zero_count) =
                (came.scale, Some(came.sum), came.count, came.zero_count);
            (self.positive, self.negative) = (Some(packed(&came.positive)), Some(packed(&came.negative)));
        }
    }
}
