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

    /// The rendering of snapshot `version`, or of a later one, rendered now after the last one if there is none. Whoever comes while it is
    /// being rendered waits for it: rendering twice would take longer.
    pub(super) fn get(&self, version: u64, render: impl FnOnce(Option<&T>) -> T) -> Arc<T> {
        let mut held = lock(&self.0);
        if let Some((of, rendering)) = &*held
            && *of >= version
        {
            return Arc::clone(rendering);
        }
        let rendering = Arc::new(render(held.as_ref().map(|(_, rendering)| &**rendering)));
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
    pub(super) fn get(&self, format: &K, version: u64, render: impl FnOnce(Option<&T>) -> T) -> Arc<T> {
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

/// Answers to header lines word for word, for a scraper says the same each time; the last few are kept, and none to
/// lines that are longer than an honest one.
#[derive(Debug)]
pub(super) struct Answers<T>(Mutex<Vec<(HeaderLines, T)>>);

type HeaderLines = Vec<Box<[u8]>>;

impl<T: Clone> Answers<T> {
    const KEPT: usize = 8;
    const BYTES_MAX: usize = 1024;

    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The answer to `lines`, made now if it is not kept.
    pub(super) fn get<'a, L>(&self, lines: impl Fn() -> L, make: impl FnOnce() -> T) -> T
    where
        L: Iterator<Item = &'a [u8]>,
    {
        let is_same = |held: &[Box<[u8]>]| held.iter().map(|line| &**line).eq(lines());
        if let Some((_, answer)) = lock(&self.0).iter().find(|(held, _)| is_same(held)) {
            return answer.clone();
        }
        let answer = make();
        if lines().map(<[u8]>::len).sum::<usize>() <= Self::BYTES_MAX {
            let mut kept = lock(&self.0);
            kept.truncate(Self::KEPT - 1);
            kept.insert(0, (lines().map(Into::into).collect(), answer.clone()));
        }
        answer
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
        assert_eq!(*latest.get(2, |_| "two"), "two");
        assert_eq!(*latest.get(2, |_| panic!("rendered twice")), "two");
        assert_eq!(*latest.get(3, |last| if last == Some(&"two") { "three" } else { "" }), "three");
        assert_eq!(*latest.get(2, |_| panic!("rendered an older snapshot")), "three");
    }

    #[test]
    fn formats_are_kept_apart() {
        let latest = LatestBy::new();
        assert_eq!(*latest.get(&'a', 1, |_| 1), 1);
        assert_eq!(*latest.get(&'b', 1, |_| 2), 2);
        assert_eq!(*latest.get(&'a', 1, |_| 3), 1);
    }

    #[test]
    fn only_the_formats_asked_for_last_are_kept() {
        let latest = LatestBy::new();
        for format in 0..20 {
            latest.get(&format, 1, |_| format);
            latest.get(&0, 1, |_| 0);
        }
        assert_eq!(lock(&latest.0).len(), LatestBy::<i32, i32>::KEPT);
        assert_eq!(*latest.get(&0, 1, |_| panic!("dropped what is asked for")), 0);
        assert_eq!(*latest.get(&1, 1, |_| 100), 100);
    }

    #[test]
    fn the_same_lines_have_the_same_answer_and_few_are_kept() {
        let answers = Answers::new();
        let get = |lines: &[&str], answer| answers.get(|| lines.iter().map(|line| line.as_bytes()), || answer);
        assert_eq!(get(&["a", "b"], 1), 1);
        assert_eq!(get(&["a", "b"], 2), 1);
        for (number, lines) in [(3, &["a,b"][..]), (4, &["ab"]), (5, &["b", "a"]), (6, &["a"]), (7, &[])] {
            assert_eq!(get(lines, number), number, "{lines:?}");
        }
        let long = "a".repeat(Answers::<i32>::BYTES_MAX + 1);
        assert_eq!((get(&[&long], 8), get(&[&long], 9)), (8, 9));
        (0..20).for_each(|number| assert_eq!(get(&[&number.to_string()], number), number));
        assert_eq!(lock(&answers.0).len(), Answers::<i32>::KEPT);
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
