//! The bridge's own durations: recorded at any time, observed at a collection.
//!
//! What is recorded waits and is observed at once before each collection, so that the SDK's classic buckets and the
//! native histograms kept here hold the same values, and nobody who records waits for a collection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram as SdkHistogram;

use super::snapshot::{Family, NativeHistogram, PointValue};
use crate::catalog::FigureId;

/// So many wait where nobody collects; then they are observed.
const WAITING_MAX: usize = 256;

/// Buckets are 9 % wide: 8 to a power of two (prometheus/docs, specs/native_histograms.md, "Schema").
const SCHEMA: i32 = 3;
const BUCKETS_PER_POWER: i32 = 1 << SCHEMA;

/// What is shorter is 0: the shortest time a clock tells is a nanosecond.
const ZERO_THRESHOLD_S: f64 = 5e-10;

/// A duration that waits.
struct Recorded {
    figure: FigureId,
    seconds: f64,
    attributes: Vec<KeyValue>,
}

/// Native histograms by figure and sorted attributes.
type Native = BTreeMap<(FigureId, Vec<(String, String)>), NativeHistogram>;

/// The instruments of durations.
pub(super) struct Durations {
    instruments: Vec<(FigureId, SdkHistogram<f64>)>,
    waiting: Mutex<Vec<Recorded>>,
    native: Mutex<Native>,
}

/// What was observed until a collection; nothing more is while it is held.
pub(super) struct Observed<'a>(MutexGuard<'a, Native>);

impl Durations {
    pub(super) fn new(instruments: Vec<(FigureId, SdkHistogram<f64>)>) -> Self {
        Self { instruments, waiting: Mutex::default(), native: Mutex::default() }
    }

    /// Takes in a duration; `attributes` sorted by key.
    pub(super) fn record(&self, figure: FigureId, seconds: f64, attributes: Vec<KeyValue>) {
        let mut waiting = lock(&self.waiting);
        waiting.push(Recorded { figure, seconds, attributes });
        if waiting.len() < WAITING_MAX {
            return;
        }
        drop(waiting);
        if let Ok(mut native) = self.native.try_lock() {
            self.observe_all(&mut native);
        }
    }

    /// Observes what waited, and holds back what comes while the answer is held.
    pub(super) fn observe(&self) -> Observed<'_> {
        let mut native = lock(&self.native);
        self.observe_all(&mut native);
        Observed(native)
    }

    fn observe_all(&self, native: &mut Native) {
        for Recorded { figure, seconds, attributes } in std::mem::take(&mut *lock(&self.waiting)) {
            let Some((_, instrument)) = self.instruments.iter().find(|(id, _)| *id == figure) else { continue };
            instrument.record(seconds, &attributes);
            let attributes = attributes.iter().map(|pair| (pair.key.to_string(), pair.value.to_string())).collect();
            native.entry((figure, attributes)).or_insert_with(NativeHistogram::empty).add(seconds);
        }
    }
}

impl Observed<'_> {
    /// Puts the native histograms to the classic ones they are the same as.
    pub(super) fn attach(&self, families: &mut [Family]) {
        for ((figure, attributes), native) in &*self.0 {
            let name = figure.figure().name;
            let Ok(at) = families.binary_search_by(|family| family.name.as_str().cmp(name)) else { continue };
            let points = &mut families[at].points;
            let Ok(at) = points.binary_search_by(|point| point.attributes.cmp(attributes)) else { continue };
            if let PointValue::Histogram(histogram) = &mut points[at].value {
                // Past the SDK's limit of series they are no longer the same.
                histogram.native = Some(native.clone()).filter(|native| native.count() == histogram.count);
            }
        }
    }
}

impl NativeHistogram {
    const fn empty() -> Self {
        Self {
            schema: SCHEMA,
            zero_threshold: ZERO_THRESHOLD_S,
            zero_count: 0,
            buckets: BTreeMap::new(),
            negative: BTreeMap::new(),
        }
    }

    fn add(&mut self, seconds: f64) {
        if seconds > self.zero_threshold {
            *self.buckets.entry(bucket(seconds)).or_default() += 1;
        } else {
            self.zero_count += 1;
        }
    }
}

/// The bucket of a positive value: the first whose bound is not below it.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a float is small")]
fn bucket(seconds: f64) -> i32 {
    let mut bucket = (seconds.log2() * f64::from(BUCKETS_PER_POWER)).ceil() as i32;
    // The logarithm may be off by the last bit, a bound is not: what equals one belongs below it.
    if seconds <= bound(bucket - 1) {
        bucket -= 1;
    } else if seconds > bound(bucket) {
        bucket += 1;
    }
    bucket
}

fn bound(bucket: i32) -> f64 {
    (f64::from(bucket) / f64::from(BUCKETS_PER_POWER)).exp2()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_that_ends_at_or_above_it() {
        for (seconds, expected) in [(1.0, 0), (1.000_001, 1), (2.0, 8), (0.5, -8), (1e-9, -239), (3600.0, 95)] {
            assert_eq!(bucket(seconds), expected, "{seconds}");
        }
        for at in -300..300 {
            assert_eq!(bucket(bound(at)), at);
            assert_eq!(bucket(bound(at).next_up()), at + 1);
        }
    }

    #[test]
    fn what_is_recorded_waits_until_it_is_many_or_observed() {
        let durations = Durations::new(Vec::new());
        let record = || durations.record(FigureId::CollectorDuration, 0.25, Vec::new());
        record();
        assert_eq!(lock(&durations.waiting).len(), 1);
        drop(durations.observe());
        assert_eq!(lock(&durations.waiting).len(), 0);
        let held = durations.observe();
        (0..WAITING_MAX + 5).for_each(|_| record());
        drop(held);
        assert_eq!(lock(&durations.waiting).len(), WAITING_MAX + 5);
        record();
        assert_eq!(lock(&durations.waiting).len(), 0);
    }
}
