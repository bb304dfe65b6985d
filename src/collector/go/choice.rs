//! Which figure comes from where: chosen once, and kept, so that a figure does not go to and fro between answers.
//!
//! The rules, for each figure by itself:
//! - At a discovery (the first attempt that reads anything, the first after the program was away or has started anew)
//!   the most preferred answer that has the figure is taken.
//! - Between discoveries the choice stands. It is made anew only when another answer has the figure and the chosen one
//!   is gone (404) or has failed for [`PATIENCE`].
//! - While an answer that is preferred or alone could have the figure fails, and none has it, the figure is pending:
//!   it may yet be there, so it is neither known nor said to be unknowable.
//! - When every answer it could come from is there without it, is gone or is switched off, nobody knows it.

use std::time::Duration;

use super::figure::{FIGURES, word};
use crate::catalog::FigureId;
use crate::clock::Moment;

/// How long a chosen answer may fail before another takes its figures: longer than a restart, shorter than the age at
/// which figures are said to be old.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Where figures come from; the first three are the units of failure, each a request of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum From {
    Expvar,
    Page,
    Pprof,
    /// This host, if the program runs on it.
    Host,
}

impl From {
    pub(super) const ASKED: [Self; 3] = [Self::Expvar, Self::Page, Self::Pprof];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Expvar => "expvar",
            Self::Page => "page",
            Self::Pprof => "pprof",
            Self::Host => "host",
        }
    }
}

/// Where a figure can come from, the best first.
pub(super) const fn candidates(figure: FigureId) -> &'static [From] {
    match figure {
        FigureId::RuntimeGoroutines => &[From::Page, From::Pprof],
        FigureId::RuntimeCpus => &[From::Page, From::Host],
        // The page has quantiles and a sum: the last pause cannot be found in them.
        FigureId::RuntimeGcLastPause => &[From::Expvar],
        _ => &[From::Expvar, From::Page],
    }
}

/// How one place stands in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Switched off, or gone (404).
    Gone,
    /// Not asked, because nothing is wanted of it.
    Quiet,
    /// Asked without success since then.
    Failing(Moment),
    /// Answered with these figures.
    Has(Vec<FigureId>),
}

/// The four places in the order of [`From`].
pub(super) type States = [State; 4];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Pending,
    Nobody,
    Of(From),
}

/// The choices, in the order of [`FIGURES`].
pub(super) struct Choices([Choice; FIGURES.len()]);

impl Choices {
    pub(super) const fn new() -> Self {
        Self([Choice::Pending; FIGURES.len()])
    }

    /// The figures that come from `from`.
    pub(super) fn of(&self, from: From) -> impl Iterator<Item = FigureId> {
        FIGURES.into_iter().zip(self.0).filter(move |(_, choice)| *choice == Choice::Of(from)).map(|(figure, _)| figure)
    }

    /// The figures that nobody knows.
    pub(super) fn of_nobody(&self) -> impl Iterator<Item = FigureId> {
        FIGURES.into_iter().zip(self.0).filter(|(_, choice)| *choice == Choice::Nobody).map(|(figure, _)| figure)
    }

    /// Whether an answer is needed: for a figure of its own, one that is pending, or one whose own place has been
    /// failing too long.
    pub(super) fn needs(&self, from: From, before: &States, now: Moment) -> bool {
        FIGURES.into_iter().zip(self.0).any(|(figure, choice)| match choice {
            Choice::Of(held) if held == from => true,
            Choice::Of(held) => {
                let state = &before[held as usize];
                candidates(figure).contains(&from) && (*state == State::Gone || is_overdue(state, now))
            }
            Choice::Pending => candidates(figure).contains(&from),
            Choice::Nobody => false,
        })
    }

    /// Whether a failure of `from` keeps a figure away.
    pub(super) fn suffer_from(&self, from: From, states: &States) -> bool {
        FIGURES.into_iter().zip(self.0).any(|(figure, choice)| match choice {
            Choice::Of(held) if states[held as usize] == State::Gone => candidates(figure).contains(&from),
            Choice::Of(held) => held == from,
            Choice::Pending => candidates(figure).contains(&from),
            Choice::Nobody => false,
        })
    }

    /// Chooses after an attempt that read something; says whether a choice changed.
    pub(super) fn make(&mut self, states: &States, is_discovery: bool, now: Moment) -> bool {
        let before = self.0;
        for (figure, choice) in FIGURES.into_iter().zip(&mut self.0) {
            *choice = next(figure, *choice, states, is_discovery, now);
        }
        self.0 != before
    }

    /// `goroutines: page, …` for the log.
    pub(super) fn describe(&self) -> String {
        let each = FIGURES.into_iter().zip(self.0).map(|(figure, choice)| {
            let from = match choice {
                Choice::Pending => "not known yet",
                Choice::Nobody => "nobody",
                Choice::Of(from) => from.name(),
            };
            format!("{}: {from}", word(figure))
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

fn next(figure: FigureId, held: Choice, states: &States, is_discovery: bool, now: Moment) -> Choice {
    let candidates = candidates(figure);
    let state = |from: From| &states[from as usize];
    let has = |from: From| matches!(state(from), State::Has(figures) if figures.contains(&figure));
    let fails = |from: From| matches!(state(from), State::Failing(_));
    // The host is no better than a guess at what the program may use, so the page goes first, while it may come.
    let is_open = |from: From| {
        from != From::Host
            || !fails(From::Page)
            || (held == Choice::Of(From::Page) && is_overdue(state(From::Page), now))
    };
    let best = candidates.iter().copied().find(|from| has(*from) && is_open(*from));
    let may_come = candidates.iter().any(|from| matches!(state(*from), State::Failing(_) | State::Quiet));
    match held {
        Choice::Pending => best.map_or(if may_come { held } else { Choice::Nobody }, Choice::Of),
        Choice::Nobody => best.filter(|_| is_discovery).map_or(held, Choice::Of),
        Choice::Of(from) => {
            let is_gone = *state(from) == State::Gone || (is_discovery && !has(from) && !fails(from));
            let is_over = is_overdue(state(from), now);
            let is_better = |best| is_discovery && rank(candidates, best) < rank(candidates, from);
            match best {
                // While another may have it, its last readings stand.
                None if is_gone && !may_come => Choice::Nobody,
                Some(best) if is_gone => Choice::Of(best),
                Some(best) if is_over || is_better(best) => Choice::Of(best),
                _ => held,
            }
        }
    }
}

fn rank(candidates: &[From], from: From) -> usize {
    candidates.iter().position(|held| *held == from).unwrap_or(candidates.len())
}

/// Whether a place has been failing longer than is borne.
fn is_overdue(state: &State, now: Moment) -> bool {
    matches!(state, State::Failing(since) if now.since(*since) > PATIENCE)
}
