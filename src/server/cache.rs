//! Renderings by snapshot version: rendered once, served ready until the next snapshot.
//!
//! It knows versions and bytes, not what is rendered; it counts what it renders, for the bridge's own figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalog::FigureId;
use crate::output::prometheus::Dropped;
use crate::reading::Reading;

/// The latest rendering in one format.
#[derive(Debug)]
pub(super) struct Latest<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Latest<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The rendering of snapshot `version`, or of a later one, rendered now if there is none. Whoever comes while it is
    /// being rendered waits for it: rendering twice would take longer.
    pub(super) fn get(&self, version: u64, render: impl FnOnce() -> T) -> Arc<T> {
        let mut held = lock(&self.0);
        if let Some((of, rendering)) = &*held
            && *of >= version
        {
            return Arc::clone(rendering);
        }
        let rendering = Arc::new(render());
        *held = Some((version, Arc::clone(&rendering)));
        rendering
    }
}

/// The latest rendering in each of the formats that are asked for. Those who ask choose among many, so only a few are
/// kept: the ones asked for last.
#[derive(Debug)]
pub(super) struct LatestBy<K, T>(Mutex<Vec<(K, Arc<Latest<T>>)>>);

impl<K: Clone + Eq, T> LatestBy<K, T> {
    /// More than different scrapers of one bridge are likely to want.
    const KEPT: usize = 6;

    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// As [`Latest::get`], for one format; formats do not wait for each other.
    pub(super) fn get(&self, format: &K, version: u64, render: impl FnOnce() -> T) -> Arc<T> {
        self.of(format).get(version, render)
    }

    fn of(&self, format: &K) -> Arc<Latest<T>> {
        let mut kept = lock(&self.0);
        let asked = match kept.iter().position(|(held, _)| held == format) {
            Some(at) => kept.remove(at),
            None => (format.clone(), Arc::new(Latest::new())),
        };
        kept.truncate(Self::KEPT - 1);
        let latest = Arc::clone(&asked.1);
        kept.insert(0, asked);
        latest
    }
}

/// How often and how much was rendered, by output and format, and what was said to be left out.
#[derive(Debug)]
pub(super) struct Rendered {
    counts: Mutex<BTreeMap<(&'static str, &'static str), Count>>,
    said: Mutex<BTreeSet<Dropped>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    renders: u64,
    bytes: u64,
}

impl Rendered {
    /// Counters at 0 for these outputs and formats, so that the first rendering shows as growth.
    pub(super) fn of(known: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let counts = known.into_iter().map(|kind| (kind, Count::default())).collect();
        Self { counts: Mutex::new(counts), said: Mutex::default() }
    }

    /// Counts one rendering of `bytes` bytes.
    pub(super) fn count(&self, output: &'static str, format: &'static str, bytes: usize) {
        let mut counts = lock(&self.counts);
        let count = counts.entry((output, format)).or_default();
        count.renders += 1;
        count.bytes += bytes as u64;
    }

    /// What of `dropped` was never left out before: each is worth one line of log, not one at each rendering.
    pub(super) fn news(&self, dropped: Vec<Dropped>) -> Vec<Dropped> {
        let mut said = lock(&self.said);
        dropped.into_iter().filter(|dropped| said.insert(dropped.clone())).collect()
    }

    /// The counts as readings.
    pub(super) fn readings(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for ((output, format), count) in &*lock(&self.counts) {
            for (figure, value) in [(FigureId::OutputRenders, count.renders), (FigureId::OutputBytes, count.bytes)] {
                let attributes = vec![("format", (*format).to_owned()), ("output", (*output).to_owned())];
                readings.push(Reading { attributes, ..Reading::of(figure, value) });
            }
        }
        readings
    }
}

/// A panic while rendering leaves the last rendering, which is whole: poison says nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::prometheus::DropReason;

    #[test]
    fn a_version_is_rendered_once_and_never_goes_back() {
        let latest = Latest::new();
        assert_eq!(*latest.get(2, || "two"), "two");
        assert_eq!(*latest.get(2, || panic!("rendered twice")), "two");
        assert_eq!(*latest.get(3, || "three"), "three");
        assert_eq!(*latest.get(2, || panic!("rendered an older snapshot")), "three");
    }

    #[test]
    fn formats_are_kept_apart() {
        let latest = LatestBy::new();
        assert_eq!(*latest.get(&'a', 1, || 1), 1);
        assert_eq!(*latest.get(&'b', 1, || 2), 2);
        assert_eq!(*latest.get(&'a', 1, || 3), 1);
    }

    #[test]
    fn only_the_formats_asked_for_last_are_kept() {
        let latest = LatestBy::new();
        for format in 0..20 {
            latest.get(&format, 1, || format);
            latest.get(&0, 1, || 0);
        }
        assert_eq!(lock(&latest.0).len(), LatestBy::<i32, i32>::KEPT);
        assert_eq!(*latest.get(&0, 1, || panic!("dropped what is asked for")), 0);
        assert_eq!(*latest.get(&1, 1, || 100), 100);
    }

    #[test]
    fn renderings_and_their_bytes_are_counted() {
        let rendered = Rendered::of([("prometheus", "text")]);
        assert_eq!(rendered.readings().iter().map(|reading| reading.value).collect::<Vec<_>>(), [Some(0), Some(0)]);
        rendered.count("prometheus", "text", 10);
        rendered.count("prometheus", "text", 11);
        let readings = rendered.readings();
        assert_eq!(readings.iter().map(|reading| reading.value).collect::<Vec<_>>(), [Some(2), Some(21)]);
        assert!(readings[0].attributes.is_sorted());
    }

    #[test]
    fn what_is_left_out_is_news_once() {
        let rendered = Rendered::of([]);
        let dropped = Dropped { family: "a".to_owned(), reason: DropReason::Name };
        assert_eq!(rendered.news(vec![dropped.clone()]).len(), 1);
        assert_eq!(rendered.news(vec![dropped]), []);
    }
}
