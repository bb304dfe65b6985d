//! From the SDK's exponential histograms, which only instruments of an embedding program have, to native ones
//! (OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md, "Exponential Histograms").

use std::collections::BTreeMap;

use opentelemetry_sdk::metrics::data::{ExponentialBucket, ExponentialHistogramDataPoint};

use super::snapshot::{Histogram, NativeHistogram};

/// The finest resolution native histograms have.
const SCHEMA_MAX: i32 = 8;

/// What the specification sets where an instrument names no threshold.
const ZERO_THRESHOLD: f64 = 1e-128;

/// One series. Without bounds it has one classic bucket, that of +Inf, so that formats without native histograms still
/// show how many values there were and their sum.
pub(super) fn histogram<T>(point: &ExponentialHistogramDataPoint<T>, sum: f64) -> Histogram {
    let count = point.count() as u64;
    let scale = i32::from(point.scale());
    let native = NativeHistogram {
        schema: scale.min(SCHEMA_MAX),
        zero_threshold: if point.zero_threshold() > 0.0 { point.zero_threshold() } else { ZERO_THRESHOLD },
        zero_count: point.zero_count(),
        buckets: downscaled(indexed(point.positive_bucket()), scale),
        negative: downscaled(indexed(point.negative_bucket()), scale),
    };
    Histogram { bounds: Vec::new(), counts: vec![count], sum, count, native: Some(native) }
}

/// The SDK's buckets with their indexes.
fn indexed(buckets: &ExponentialBucket) -> impl Iterator<Item = (i32, u64)> {
    (buckets.offset()..).zip(buckets.counts())
}

/// Buckets of an OpenTelemetry scale as those of a native histogram. An index counts lower bounds there and upper ones
/// here; each step down in scale makes one bucket of two.
fn downscaled(buckets: impl Iterator<Item = (i32, u64)>, scale: i32) -> BTreeMap<i32, u64> {
    let steps = (scale - SCHEMA_MAX).max(0);
    let mut native = BTreeMap::new();
    for (index, count) in buckets.filter(|(_, count)| *count > 0) {
        *native.entry((index >> steps) + 1).or_default() += count;
    }
    native
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(scale: i32, offset: i32, counts: &[u64]) -> Vec<(i32, u64)> {
        downscaled((offset..).zip(counts.iter().copied()), scale).into_iter().collect()
    }

    #[test]
    fn f3_indexes_move_up_by_one_and_empty_buckets_are_left_out() {
        assert_eq!(native(0, -1, &[5, 0, 2]), [(0, 5), (2, 2)]);
        assert_eq!(native(8, 10, &[1]), [(11, 1)]);
        assert_eq!(native(-4, 0, &[3]), [(1, 3)]);
    }

    #[test]
    fn f3_finer_scales_are_downscaled_also_below_one() {
        assert_eq!(native(9, -4, &[1, 2, 4, 8, 16, 32]), [(-1, 3), (0, 12), (1, 48)]);
        assert_eq!(native(20, -1, &[1, 1]), [(0, 1), (1, 1)]);
        assert_eq!(native(20, 4095, &[1, 1]), [(1, 1), (2, 1)]);
    }
}
