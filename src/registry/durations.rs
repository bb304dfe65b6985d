//! The bridge's own durations: recorded at any time, observed at a collection.
//!
//! What is recorded waits and is observed at once before each collection, so that the SDK's classic buckets and the
//! native histograms kept here hold the same values, and nobody who records waits for a collection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram as SdkHistogram;

use super::snapshot::{Family, NativeHistogram, PointValue};
use crate::catalog::FigureId;

/// So many of a series wait where nobody collects; then they are observed, by whoever recorded the last one. Seldom
/// enough that of a hundred requests none is slowed by it.
const WAITING_MAX: usize = 1024;

/// Buckets are 9 % wide: 8 to a power of two (prometheus/docs, specs/native_histograms.md, "Schema").
const SCHEMA: i32 = 3;
const BUCKETS_PER_POWER: i32 = 1 << SCHEMA;

/// What is shorter is 0: the shortest time a clock tells is a nanosecond.
const ZERO_THRESHOLD_S: f64 = 5e-10;

/// Durations that wait, of one series. Most are of a series that was recorded before, so recording one makes nothing.
struct Waiting {
    series: Arc<Series>,
    seconds: Vec<f64>,
}

/// What tells one series from the others.
struct Series {
    figure: FigureId,
    attributes: Vec<(String, String)>,
    /// The same for the SDK.
    pairs: Vec<KeyValue>,
}

/// Native histograms by figure and sorted attributes.
type Native = BTreeMap<(FigureId, Vec<(String, String)>), NativeHistogram>;

/// The instruments of durations.
pub(super) struct Durations {
    instruments: Vec<(FigureId, SdkHistogram<f64>)>,
    waiting: Mutex<Vec<Waiting>>,
    native: Mutex<Native>,
}

/// What was observed until a collection; nothing more is while it is held.
pub(super) struct Observed<'a>(MutexGuard<'a, Native>);

impl Series {
    fn new(figure: FigureId, attributes: &[(&'static str, &str)]) -> Self {
        let owned = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let pairs = attributes.iter().map(|(key, value)| KeyValue::new(*key, (*value).to_owned())).collect();
        Self { figure, attributes: owned, pairs }
    }

    fn is(&self, figure: FigureId, attributes: &[(&'static str, &str)]) -> bool {
        let own = self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        self.figure == figure && own.eq(attributes.iter().copied())
    }
}

impl Durations {
    pub(super) fn new(instruments: Vec<(FigureId, SdkHistogram<f64>)>) -> Self {
        Self { instruments, waiting: Mutex::default(), native: Mutex::default() }
    }

    /// Takes in a duration; `attributes` sorted by key.
    pub(super) fn record(&self, figure: FigureId, seconds: f64, attributes: &[(&'static str, &str)]) {
        let mut waiting = lock(&self.waiting);
        let at = waiting.iter().position(|held| held.series.is(figure, attributes)).unwrap_or_else(|| {
            let series = Arc::new(Series::new(figure, attributes));
            waiting.push(Waiting { series, seconds: Vec::new() });
            waiting.len() - 1
        });
        waiting[at].seconds.push(seconds);
        if waiting[at].seconds.len() < WAITING_MAX {
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
        let take = |held: &mut Waiting| (Arc::clone(&held.series), std::mem::take(&mut held.seconds));
        // Taken first, so that nobody who records waits meanwhile.
        let taken: Vec<_> = lock(&self.waiting).iter_mut().filter(|held| !held.seconds.is_empty()).map(take).collect();
        for (series, seconds) in taken {
            let Some((_, instrument)) = self.instruments.iter().find(|(id, _)| *id == series.figure) else { continue };
            let key = (series.figure, series.attributes.clone());
            let histogram = native.entry(key).or_insert_with(NativeHistogram::empty);
            for seconds in seconds {
                instrument.record(seconds, &series.pairs);
                histogram.add(seconds);
            }
        }
    }
}

impl Observed<'_> {
    /// Puts the native histograms to the classic ones they are the same as.
    pub(super) fn attach(&self, families: &mut [Family]) {
        for ((figure, attributes), native) in &*self.0 {
            let name = figure.figure().name;
            let Ok(at) = families.binary_search_by(|family| family.name.as_str().cmp(name)) else { continue };
            let points = Arc::make_mut(&mut families[at].points);
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
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

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
        let durations = {
            let histogram = SdkMeterProvider::default().meter("test").f64_histogram("took").build();
            Durations::new(vec![(FigureId::CollectorDuration, histogram)])
        };
        let waiting = || lock(&durations.waiting).iter().map(|held| held.seconds.len()).sum::<usize>();
        let record = || durations.record(FigureId::CollectorDuration, 0.25, &[]);
        record();
        assert_eq!(waiting(), 1);
        drop(durations.observe());
        assert_eq!(waiting(), 0);
        let held = durations.observe();
        (0..WAITING_MAX + 5).for_each(|_| record());
        drop(held);
        assert_eq!(waiting(), WAITING_MAX + 5);
        record();
        assert_eq!(waiting(), 0);
    }
}
