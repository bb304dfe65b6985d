//! What is to be known first: whether all is well, and if not, what is the worst of it and what follows from that.
//!
//! It says what `/api/v1/health` says, with the cause, and whether push is behind or fails. Of errors it tells the
//! classes, never the messages, which name hosts.

use super::push::{Endpoint, State};
use super::words::time_of_day;
use crate::reading::Age;
use crate::registry::{CollectorStatus, Snapshot};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Nobody has been asked yet.
    Unknown,
    /// Nothing to do.
    Good,
    /// Worth a look.
    Warn,
    /// Figures are missing.
    Bad,
}

impl Level {
    /// Its name in the markup.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    /// What the title of a window shows, so that it can be told among others.
    pub(super) const fn flag(self) -> &'static str {
        match self {
            Self::Unknown | Self::Good => "",
            Self::Warn => "▲ ",
            Self::Bad => "■ ",
        }
    }

    /// How a collector stands. Figures that no document names are never bad, as in the health.
    pub(super) fn of(collector: &CollectorStatus) -> Self {
        match (collector.age, collector.up) {
            (Age::Never, None) => Self::Unknown,
            (Age::Expired | Age::Never, _) if collector.section.is_documented() => Self::Bad,
            (Age::Fresh, None | Some(true)) => Self::Good,
            _ => Self::Warn,
        }
    }
}

/// The judgement over all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) level: Level,
    pub(super) title: String,
    pub(super) detail: String,
}

/// Judges by the worst there is. Nothing in it moves while nothing changes: it is read aloud when it does.
pub(super) fn judge(snapshot: &Snapshot, endpoints: &[Endpoint]) -> Verdict {
    let collectors = || snapshot.collectors.iter();
    let of = |level, named: &[&CollectorStatus], rest: &str, detail: String| Verdict {
        level,
        title: format!("{} {rest}", names(named)),
        detail,
    };
    let pick =
        |is: &dyn Fn(&CollectorStatus) -> bool| collectors().filter(|collector| is(collector)).collect::<Vec<_>>();
    let worst = |named: &[&CollectorStatus]| {
        let is_bad = named.iter().any(|collector| Level::of(collector) == Level::Bad);
        if is_bad { Level::Bad } else { Level::Warn }
    };
    if snapshot.collectors.is_empty() {
        let detail = "No section has a source: see the configuration.".to_owned();
        return Verdict { level: Level::Warn, title: "Nothing to show".to_owned(), detail };
    }
    let expired = pick(&|collector| collector.age == Age::Expired);
    if !expired.is_empty() {
        let detail = format!("Too old to be shown.{}", since(snapshot, &expired));
        return of(worst(&expired), &expired, "expired", detail);
    }
    let failed = pick(&|collector| collector.age == Age::Never && collector.up.is_some());
    if !failed.is_empty() {
        let detail = format!("{}The bridge's log has the cause.", causes(&failed));
        return of(worst(&failed), &failed, "not read yet", detail);
    }
    let waiting = pick(&|collector| collector.age == Age::Never);
    if !waiting.is_empty() {
        return of(Level::Warn, &waiting, "not read yet", "The first attempt is under way.".to_owned());
    }
    let stale = pick(&|collector| collector.age == Age::Stale);
    if !stale.is_empty() {
        let detail = format!("Old figures are shown.{} {}", since(snapshot, &stale), causes(&stale));
        return of(Level::Warn, &stale, "stale", detail.trim_end().to_owned());
    }
    let down = pick(&|collector| collector.up == Some(false));
    if !down.is_empty() {
        let detail = format!("{}The figures are still fresh.", causes(&down));
        return of(Level::Warn, &down, "down", detail);
    }
    let rest = push(endpoints).or_else(|| sourceless(snapshot));
    rest.unwrap_or_else(|| Verdict {
        level: Level::Good,
        title: "All is well".to_owned(),
        detail: match snapshot.collectors.len() {
            1 => "The collector is up, its figures are fresh.".to_owned(),
            all => format!("All {all} collectors are up, their figures are fresh."),
        },
    })
}

fn push(endpoints: &[Endpoint]) -> Option<Verdict> {
    let of = |state| endpoints.iter().filter(move |endpoint| endpoint.state() == state).map(|endpoint| endpoint.name);
    let states = [
        (State::Failing, "failing", "the receiver takes no batch, and its answer is in the bridge's log."),
        (State::Behind, "behind", "what waits is delivered when the receiver takes it."),
    ];
    let (state, word, detail) = states.into_iter().find(|(state, ..)| of(*state).next().is_some())?;
    let title = format!("Push {word}: {}", of(state).collect::<Vec<_>>().join(", "));
    Some(Verdict { level: Level::Warn, title, detail: format!("Figures are fresh here; {detail}") })
}

fn sourceless(snapshot: &Snapshot) -> Option<Verdict> {
    let without = snapshot.sections.iter().filter(|section| !section.has_source);
    let without: Vec<_> = without.map(|section| section.section.name()).collect();
    let detail = "The documented JSON answers 503 without it; all there is, is fresh.".to_owned();
    let title = format!("No source for {}", without.join(", "));
    (!without.is_empty()).then_some(Verdict { level: Level::Warn, title, detail })
}

fn names(collectors: &[&CollectorStatus]) -> String {
    let names = collectors.iter().map(|collector| collector.section.name()).collect::<Vec<_>>().join(", ");
    let mut chars = names.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// When they were last read, as dates: spans would be read aloud again and again.
fn since(snapshot: &Snapshot, collectors: &[&CollectorStatus]) -> String {
    let last = collectors.iter().filter_map(|collector| {
        let success = collector.last_success?;
        Some(format!("{} at {}", collector.section.name(), time_of_day(success.wall, snapshot.at.wall)))
    });
    let last = last.collect::<Vec<_>>().join(", ");
    if last.is_empty() { last } else { format!(" Last read: {last}.") }
}

fn causes(collectors: &[&CollectorStatus]) -> String {
    let mut classes: Vec<_> = collectors.iter().filter_map(|collector| collector.last_error.as_ref()).collect();
    classes.dedup_by(|(a, _), (b, _)| a == b);
    let classes = classes.iter().map(|(class, _)| *class).collect::<Vec<_>>().join(", ");
    if classes.is_empty() { classes } else { format!("Last error: {classes}. ") }
}
