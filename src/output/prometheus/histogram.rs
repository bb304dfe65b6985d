//! A distribution as it stands on a page, whether an instrument brought it or a joined registry, and what readers of pages
//! demand of it. Knows no format.

use prometheus::proto::Bucket;

use crate::registry::{self, NativeHistogram};

/// The coarsest resolution a native histogram has (prometheus/docs, specs/native_histograms.md, "Schema").
const SCHEMA_MIN: i32 = -4;

/// A distribution in explicit buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Histogram<'a> {
    pub(super) buckets: Buckets<'a>,
    pub(super) sum: f64,
    pub(super) count: u64,
    /// The same values in exponential buckets, which only protobuf can carry.
    pub(super) native: Option<&'a NativeHistogram>,
}

/// The buckets below +Inf.
#[derive(Clone, Copy, Debug)]
pub(super) enum Buckets<'a> {
    /// Each with its own count.
    Single(&'a registry::Histogram),
    /// Each with the count of all below it.
    Cumulative(&'a [Bucket]),
}

impl<'a> Buckets<'a> {
    /// Upper bounds with cumulative counts.
    pub(super) fn iter(self) -> impl Iterator<Item = (f64, u64)> {
        let (single, cumulative) = match self {
            Self::Single(histogram) => (Some(histogram), None),
            Self::Cumulative(buckets) => (None, Some(buckets)),
        };
        let single = single.into_iter().flat_map(|histogram| {
            histogram.bounds.iter().zip(&histogram.counts).scan(0_u64, |below, (bound, count)| {
                *below = below.saturating_add(*count);
                Some((*bound, *below))
            })
        });
        let of_bucket = |bucket: &'a Bucket| (bucket.upper_bound(), bucket.cumulative_count());
        let cumulative = cumulative.into_iter().flatten().map(of_bucket);
        // A bound of +Inf adds nothing: the count of all is that bucket.
        single.chain(cumulative).filter(|(bound, _)| *bound != f64::INFINITY)
    }
}

impl Histogram<'_> {
    /// Whether bounds and counts rise, which every reader of a page relies on (OpenMetrics 1.0, "Histogram").
    pub(super) fn is_valid(&self) -> bool {
        let rises = self.buckets.iter().try_fold((f64::NEG_INFINITY, 0), |(bound, count), next| {
            (next.0 > bound && next.1 >= count).then_some(next)
        });
        // A reader that takes native histograms refuses the page where one does not add up.
        rises.is_some_and(|(_, count)| count <= self.count)
            && self.native.is_none_or(|native| native.count() == self.count)
    }

    /// Whether its exponential buckets are coarser than those of any native histogram.
    pub(super) fn is_too_coarse(&self) -> bool {
        self.native.is_some_and(|native| native.schema < SCHEMA_MIN)
    }

    /// Whether the sum only rises, so that OpenMetrics allows it: no bucket and no sum below 0.
    pub(super) fn has_rising_sum(&self) -> bool {
        self.sum >= 0.0
            && self.buckets.iter().next().is_none_or(|(bound, _)| bound >= 0.0)
            && self.native.is_none_or(|native| native.negative.is_empty())
    }
}
