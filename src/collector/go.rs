//! Source `go`: a running Go program, by what Go programs already serve: the expvar page (`/debug/vars`), the page of
//! client_golang (`/metrics`) and the goroutine profile (`/debug/pprof/goroutine?debug=1`).
//!
//! # Which figure from where
//! Memory and garbage collection come from expvar, else from the page; goroutines from the page, else from the
//! profile, which stops the program to count; CPUs from the page (`GOMAXPROCS`), else from this host, if the program is
//! on it. The last pause is on expvar alone. What answers is used; a 404 is no error while something else answers.
//! `choice.rs` has the rules; the log says the outcome once, and again when it changes. An answer of which nothing is
//! wanted is not asked for.
//!
//! # The unit of failure
//! Each answer is one: taken whole or not at all, and failing alone. The registry holds readings by section and unit,
//! so a figure must never stand in two units at once. A choice is kept (an answer that fails for a moment keeps its
//! last readings, which age), and in the moment a figure moves from one answer to another, the unit it leaves is
//! published again without it, with its own old time. A unit that is left with nothing is published empty at each
//! attempt: it has nothing that could grow old. A fourth unit, `host`, has what no answer brings: the CPUs of this
//! host, and what nobody knows.
//!
//! # Restarts
//! expvar does not say when its program started, but the page does, so its start stands for the counters of both.
//! `program.rs` has what happens without a page, when the two answers are of different programs, and where `NumGC`
//! passes 32 bits.

mod choice;
mod config;
pub mod expvar;
mod fetch;
mod figure;
mod host;
pub mod page;
pub mod pprof;
mod program;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::{GoConfig, GoError, Route};

use std::sync::Arc;

use super::{Attempt, CollectError, Collector, ErrorClass, Outcome};
use crate::catalog::{FigureId, Kind, Section};
use crate::clock::{Clock, Moment};
use crate::http_client::HttpClient;
use crate::reading::{Reading, Readings};
use choice::{Choices, From, State, States};
use fetch::{Answer, Asker, Read};
use program::{Counters, Program, Sight};

/// The collector.
pub struct Go {
    asker: Asker,
    /// The CPUs of this host, if the program is on it.
    cpus: Option<u64>,
    choices: Choices,
    states: States,
    /// The next attempt that reads anything asks for all, and chooses anew.
    is_discovery: bool,
    /// Whether the page told the start when it was last read.
    page_has_start: bool,
    program: Program,
    /// The last readings of each unit, in the order of [`From`].
    held: [Option<Readings>; 4],
}

impl Go {
    /// A collector that has asked nothing yet.
    ///
    /// # Errors
    /// Fails if the url or a path cannot be used, or if everything is switched off.
    pub fn new(config: GoConfig, http: HttpClient) -> Result<Self, GoError> {
        let asker = Asker::new(&config, http)?;
        let cpus = if asker.is_local() { host::cpus() } else { None };
        let mut states = [State::Gone, State::Gone, State::Gone, State::Gone];
        for from in From::ASKED.into_iter().filter(|from| asker.is_on(*from)) {
            states[from as usize] = State::Quiet;
        }
        if cpus.is_some() {
            states[From::Host as usize] = State::Has(vec![FigureId::RuntimeCpus]);
        }
        Ok(Self {
            asker,
            cpus,
            choices: Choices::new(),
            states,
            is_discovery: true,
            page_has_start: false,
            program: Program::default(),
            held: Default::default(),
        })
    }

    async fn attempt(&mut self, clock: &Arc<dyn Clock>) -> Outcome {
        let now = clock.now();
        let is_wanted = From::ASKED.map(|from| self.asker.is_on(from) && self.is_wanted(from, now));
        let answers = self.asker.ask(is_wanted, clock).await;
        self.settle(answers, clock.now())
    }

    /// A page that told the start is asked for it even when all figures come from elsewhere.
    fn is_wanted(&self, from: From, now: Moment) -> bool {
        self.is_discovery
            || self.choices.needs(from, &self.states, now)
            || (from == From::Page && self.page_has_start && self.states[from as usize] != State::Gone)
    }

    fn settle(&mut self, mut answers: [Answer; 3], now: Moment) -> Outcome {
        let is_read = |answers: &[Answer; 3]| answers.iter().any(|answer| matches!(answer, Answer::Read(_)));
        if !is_read(&answers) {
            // Nothing is decided by a program that is away; when it is back, it may be another.
            self.note(&answers, now);
            self.is_discovery = true;
            return self.nothing(answers);
        }
        for from in From::ASKED.into_iter().filter(|_| !self.is_discovery) {
            self.refuse_what_lacks(from, &mut answers[from as usize]);
        }
        self.note(&answers, now);
        if self.choices.make(&self.states, self.is_discovery, now) {
            let figures = self.choices.describe();
            tracing::info!(source = "go", host = self.asker.host(), figures, "which figure comes from where");
        }
        self.is_discovery = false;
        let brings_something = is_read(&answers);
        let sight = self.see(&answers);
        self.is_discovery |= sight == Sight::Restarted || sight == Sight::Torn;
        let mut outcome = Outcome::default();
        for (from, answer) in From::ASKED.into_iter().zip(answers) {
            match answer {
                Answer::Read(_) if sight == Sight::Torn && from == From::Expvar => self.leave(from, now),
                Answer::Read(read) => self.take(from, read),
                Answer::Failed(error) => {
                    if self.choices.suffer_from(from, &self.states) {
                        outcome.errors.push((Section::Runtime, error));
                    }
                    self.leave(from, now);
                }
                Answer::Gone | Answer::NotAsked => self.leave(from, now),
            }
        }
        if brings_something {
            self.take_host(now);
            // All held units, for one that lost a figure must not keep it; those that did not change stay as they are.
            outcome.readings.extend(self.held.iter().flatten().cloned());
        }
        outcome
    }

    /// Notes how each place stands after an attempt.
    fn note(&mut self, answers: &[Answer; 3], now: Moment) {
        for (from, answer) in From::ASKED.into_iter().zip(answers) {
            let state = &mut self.states[from as usize];
            *state = match (answer, &*state) {
                (Answer::Gone, _) => State::Gone,
                (Answer::Read(read), _) => State::Has(read.figures.iter().map(|(figure, _)| *figure).collect()),
                (Answer::Failed(_), State::Failing(since)) => State::Failing(*since),
                (Answer::Failed(_), _) => State::Failing(now),
                (Answer::NotAsked, State::Gone) => State::Gone,
                (Answer::NotAsked, _) => State::Quiet,
            };
            if let (From::Page, Answer::Read(read)) = (from, answer) {
                self.page_has_start = read.start.is_some();
            }
        }
    }

    /// An attempt that read nothing. A place that is away takes its 404 as well as its failures for errors.
    fn nothing(&self, answers: [Answer; 3]) -> Outcome {
        let mut outcome = Outcome::default();
        for answer in answers {
            let Answer::Failed(error) = answer else { continue };
            // One that is away is away for all three.
            if !outcome.errors.iter().any(|(_, said)| said.message == error.message) {
                outcome.errors.push((Section::Runtime, error));
            }
        }
        if outcome.errors.is_empty() {
            let host = self.asker.host();
            let text = format!(
                "{host} answers, but has none of the pages asked for (404); check url, expvar, metrics and pprof"
            );
            outcome.errors.push((Section::Runtime, CollectError::new(ErrorClass::Status, text)));
        }
        outcome
    }

    /// An answer without a figure that was chosen from it is not whole.
    fn refuse_what_lacks(&self, from: From, answer: &mut Answer) {
        let Answer::Read(read) = &*answer else { return };
        let lacks = self.choices.of(from).find(|figure| !read.figures.iter().any(|(held, _)| held == figure));
        let Some(figure) = lacks else { return };
        let text = format!("{} of {} has no {} any more", from.name(), self.asker.host(), figure::word(figure));
        let text = format!("{text}; look at what the program writes");
        *answer = Answer::Failed(CollectError::new(ErrorClass::Missing, text));
    }

    /// Shows the program's counters, and its start, to what knows the program.
    fn see(&mut self, answers: &[Answer; 3]) -> Sight {
        let mut told = None;
        let mut counted: Option<(Counters, Moment)> = None;
        let mut is_apart = false;
        for (from, answer) in From::ASKED.into_iter().zip(answers) {
            let Answer::Read(read) = answer else { continue };
            told = told.or(read.start);
            let value = |figure| {
                let is_chosen = self.choices.of(from).any(|chosen| chosen == figure);
                read.value(figure).filter(|_| is_chosen)
            };
            let counters = Counters {
                allocated: value(FigureId::RuntimeMemoryAllocated),
                cycles: value(FigureId::RuntimeGcCycles),
            };
            if counters.allocated.is_some() || counters.cycles.is_some() {
                is_apart = from != From::Page;
                counted = Some((counters, read.taken));
            }
        }
        self.program.see(told, counted, is_apart)
    }

    /// Takes the figures that are chosen from an answer.
    fn take(&mut self, from: From, read: Read) {
        let values: Vec<_> = self.choices.of(from).map(|figure| self.reading(figure, read.value(figure))).collect();
        let held = &mut self.held[from as usize];
        if !values.is_empty() || held.is_some() {
            *held = Some(Readings::new(Section::Runtime, read.taken, values).of_unit(from.name()));
        }
    }

    fn reading(&self, figure: FigureId, value: Option<u64>) -> Reading {
        let Some(value) = value else { return Reading::unknowable(figure) };
        let is_cycles = figure == FigureId::RuntimeGcCycles;
        let reading = Reading::of(figure, if is_cycles { self.program.cycles(value) } else { value });
        match self.program.start().filter(|_| figure.figure().kind == Kind::Counter) {
            Some(start) => reading.starting(start),
            None => reading,
        }
    }

    /// Leaves a unit's last readings as they are, but for those of figures that come from elsewhere by now.
    fn leave(&mut self, from: From, now: Moment) {
        let Some(held) = &mut self.held[from as usize] else { return };
        held.values.retain(|reading| self.choices.of(from).any(|figure| figure == reading.figure));
        if held.values.is_empty() {
            (held.taken, held.day) = (now, now.wall.day());
        }
    }

    /// What no answer brings: it is as true as the attempt is recent.
    fn take_host(&mut self, now: Moment) {
        let cpus = self.cpus.map(|cpus| Reading::of(FigureId::RuntimeCpus, cpus));
        let values = cpus.filter(|_| self.choices.of(From::Host).next().is_some()).into_iter();
        let values: Vec<_> = values.chain(self.choices.of_nobody().map(Reading::unknowable)).collect();
        let held = &mut self.held[From::Host as usize];
        if !values.is_empty() || held.is_some() {
            *held = Some(Readings::new(Section::Runtime, now, values).of_unit(From::Host.name()));
        }
    }
}

impl Collector for Go {
    fn source(&self) -> &'static str {
        "go"
    }

    fn sections(&self) -> &[Section] {
        &[Section::Runtime]
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        fetch::ERROR_CLASSES
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(self.attempt(clock))
    }
}
