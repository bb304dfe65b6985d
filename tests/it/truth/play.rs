//! Plays the steps of a row of the table.

use std::time::Duration;

use linkit_bridge::clock::Wall;

use super::bench::{Bench, SECTIONS, World};
use super::look::Look;

/// 2024-01-15T10:30:00Z
pub const MORNING: Wall = Wall::from_secs(1_705_314_600);

/// 2024-01-15T23:59:45Z: a reading at once, one 10 s later, and none before midnight.
const EVENING: Wall = Wall::from_secs(1_705_363_185);

/// What happens. Sources say what is called `first` at the start and `second` afterwards.
pub enum Step {
    /// The collectors start, and each reads once.
    Start,
    /// A section's source says what is called so.
    Say(&'static str, &'static str),
    /// A section's first field is this from now on, of `shop` its counter.
    Lie(&'static str, &'static str),
    /// A table of the database is called something else.
    Away(&'static str),
    /// The owner of the database does this.
    Sql(&'static str),
    /// The collector that reads a section panics at its next attempt.
    Panic(&'static str),
    /// Seconds later, every collector reads.
    Pass(u64),
    /// Milliseconds later, those of these sections read.
    Few(u64, &'static [&'static str]),
}

/// A bridge in the middle of a row.
pub struct Play {
    bench: Bench,
    last_read: Wall,
    /// The sections whose sources say something of their own.
    apart: Vec<&'static str>,
    away: Vec<&'static str>,
}

impl Play {
    pub async fn new(world: World, steps: &[Step], is_midnight: bool) -> Self {
        let started = if is_midnight { EVENING } else { MORNING };
        let bench = Bench::new(world, started).await;
        let mut play = Self { bench, last_read: started, apart: Vec::new(), away: Vec::new() };
        for step in steps {
            play.step(step).await;
        }
        play
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Start => {
                self.bench.start().await;
                self.say_second();
            }
            Step::Say(section, name) => self.bench.say(section, name),
            Step::Lie(section, token) => {
                self.apart.push(section);
                self.bench.lie(section, token);
            }
            Step::Away(table) => {
                self.apart.push(table);
                self.away.push(table);
                self.bench.sql(&format!("ALTER TABLE {table} RENAME TO away"));
            }
            Step::Sql(sql) => self.bench.sql(sql),
            Step::Panic(section) => self.bench.panic(section),
            Step::Pass(seconds) => self.bench.pass(Duration::from_secs(seconds), &SECTIONS).await,
            Step::Few(milliseconds, sections) => self.bench.pass(Duration::from_millis(milliseconds), sections).await,
        }
        if matches!(step, Step::Start | Step::Pass(_)) || matches!(step, Step::Few(_, sections) if !sections.is_empty())
        {
            self.last_read = self.bench.now();
        }
    }

    fn say_second(&self) {
        let sections = SECTIONS.into_iter().filter(|section| !self.apart.contains(section));
        sections.for_each(|section| self.bench.say(section, "second"));
    }

    /// What every face says: of the document and health, then of each section.
    pub async fn look(&self) -> Vec<String> {
        let look = Look::at(&self.bench, self.last_read).await;
        std::iter::once(look.document()).chain(SECTIONS.map(|section| look.section(section))).collect()
    }

    /// Everything is well again, and read once.
    pub async fn recover(&mut self) {
        for table in std::mem::take(&mut self.away) {
            self.bench.sql(&format!("ALTER TABLE away RENAME TO {table}"));
        }
        self.apart.clear();
        self.say_second();
        self.step(&Step::Pass(10)).await;
    }
}
