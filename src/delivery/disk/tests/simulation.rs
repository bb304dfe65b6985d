//! Seeded lives and deaths: puts, attempts, evictions, full disks, failing calls, kills and power losses in the middle of
//! any call. `LINKIT_BRIDGE_TEST_SIM_RUNS` says how many; `just sim` makes 100,000.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::*;
use crate::delivery::queue::Part;
use crate::delivery::spool::testing::{BLOCK, batch};

/// What the oracle knows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Taken,
    Dropped,
    /// In memory alone when its process died.
    Unstored,
}

struct Simulation {
    seed: u64,
    random: fastrand::Rng,
    fs: SimFs,
    clock: Arc<ManualClock>,
    bounds: Bounds,
    life: Life,
    /// By id; ids are given out in the order of the puts.
    fates: Vec<Fate>,
    /// The id and the length of every number.
    numbers: BTreeMap<u64, (u64, usize)>,
    waiting: Vec<(u64, bool)>,
    /// Taken and dropped ids whose files may not be gone from the disk for good.
    taken_lately: BTreeSet<u64>,
    dropped_lately: BTreeSet<u64>,
    /// Dropped ids that a failing disk had not let go of when others were sent: they may come late.
    late: BTreeSet<u64>,
    newest_taken: Option<u64>,
    /// What the receiver took since the last death.
    taken_in_life: BTreeSet<u64>,
    /// Whether the names that this life found are known to be on the disk: one that was killed, or refused a sync, may
    /// have left some that are not, of batches that it had not stored.
    has_synced: bool,
    /// The numbers that a life itself has stored. What one only found is not among them: where a sync had failed, the disk
    /// may have forgotten what it was to write, and the next life cannot know.
    stored: BTreeSet<u64>,
    has_faults: bool,
    duplicates: u64,
    deaths: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let fs = SimFs::new(seed, random.usize(10..80));
        let bounds = Bounds {
            bytes_max: random.u64(2000..40_000),
            held_bytes_max: random.u64(1000..20_000),
            age_max: Duration::from_secs(random.u64(20..200)),
        };
        let clock = clock();
        Self {
            life: Life::begin(&fs, bounds, &clock),
            has_faults: random.bool(),
            seed,
            random,
            fs,
            clock,
            bounds,
            fates: Vec::new(),
            numbers: BTreeMap::new(),
            waiting: Vec::new(),
            taken_lately: BTreeSet::new(),
            dropped_lately: BTreeSet::new(),
            late: BTreeSet::new(),
            newest_taken: None,
            taken_in_life: BTreeSet::new(),
            has_synced: true,
            stored: BTreeSet::new(),
            duplicates: 0,
            deaths: 0,
        }
    }

    fn run(mut self) -> (u64, u64) {
        for _ in 0..self.random.usize(10..60) {
            match self.random.u8(0..20) {
                0..7 => self.put(),
                7 => self.life.disk.keep(),
                8..14 => self.attempt(),
                14..16 => self.clock.advance(Duration::from_millis(self.random.u64(0..5000))),
                16 => {
                    let eio = if self.has_faults { self.random.u32(0..150) } else { 0 };
                    self.fs.set_faults(eio, self.random.usize(0..60));
                }
                17 => self.fs.stop_after(self.random.usize(0..25)),
                _ => {}
            }
            self.follow(None);
            if self.fs.is_stopped() || self.random.u8(0..40) == 0 {
                self.die();
            }
        }
        self.end();
        (self.duplicates, self.deaths)
    }

    fn put(&mut self) {
        let (id, bytes) = (self.fates.len() as u64, self.random.usize(8..4 * BLOCK));
        self.put_sized(id, bytes);
        if self.random.u8(0..10) > 0 {
            self.life.disk.keep();
        }
    }

    fn put_sized(&mut self, id: u64, bytes: usize) {
        let before = self.life.waiting().last().copied();
        self.life.put(batch(id, bytes, self.clock.now()));
        let new = self.life.waiting().last().copied().filter(|last| Some(last.0) != before.map(|last| last.0));
        self.fates.push(if new.is_some() { Fate::Waiting } else { Fate::Dropped });
        if let Some(new) = new {
            self.numbers.insert(new.0, (id, bytes));
            self.waiting.push(new);
        }
        self.follow(None);
    }

    fn attempt(&mut self) {
        let next = self.life.disk.next();
        self.follow(None);
        let Next::Batch(_, sent) = next else { return };
        if self.fs.is_stopped() {
            // The dead send nothing.
            return;
        }
        let (number, _) = self.life.waiting()[0];
        let (id, bytes) = self.numbers[&number];
        assert_eq!(sent.body, batch(id, bytes, self.clock.now()).body, "seed {}", self.seed);
        if sent.points > 1 && self.random.u8(0..10) == 0 {
            return self.attempt_in_parts(number, &sent);
        }
        let outcome = [Outcome::Success, Outcome::Success, Outcome::Retry, Outcome::Rejected][self.random.usize(0..4)];
        if outcome == Outcome::Success {
            self.take(id);
        }
        // The receiver has it, and the process may not live to know.
        if self.random.u8(0..20) == 0 {
            return self.die();
        }
        self.life.settle(outcome);
        self.follow((outcome == Outcome::Success).then_some(number));
    }

    /// The receiver finds a batch too large and takes it in parts; it counts as taken with the first.
    fn attempt_in_parts(&mut self, number: u64, whole: &Batch) {
        let (first, second) = (whole.body.slice(..4), whole.body.slice(4..));
        let part = |body: &Bytes, points| Part { body: body.clone(), points };
        let parts = [part(&first, 1), part(&second, whole.points - 1)];
        self.life.ledger.lock().unwrap().divide(parts);
        for (body, delivered) in [(first, None), (second, Some(number))] {
            let next = self.life.disk.next();
            self.follow(None);
            // It may have become too old in between.
            let is_it = self.life.waiting().first().is_some_and(|(waiting, _)| *waiting == number);
            let Next::Batch(_, sent) = next else { return };
            if !is_it || self.fs.is_stopped() {
                return;
            }
            assert_eq!(sent.body, body, "seed {}", self.seed);
            if delivered.is_none() {
                self.take(self.numbers[&number].0);
            }
            if self.random.u8(0..8) == 0 {
                return self.die();
            }
            self.life.settle(Outcome::Success);
            self.follow(delivered);
        }
    }

    /// The receiver takes a batch: in order, and one that it had before only after a death.
    fn take(&mut self, id: u64) {
        let seed = self.seed;
        if self.has_faults {
            self.late.extend(&self.dropped_lately);
        }
        if self.fates[id as usize] != Fate::Taken && !self.late.contains(&id) {
            assert!(self.newest_taken < Some(id), "seed {seed}: {id} comes after {:?}", self.newest_taken);
            self.newest_taken = Some(id);
        }
        let last = self.taken_in_life.last().copied();
        assert!(last < Some(id), "seed {seed}: {id} comes after {last:?} in one life");
        self.taken_in_life.insert(id);
        self.fates[id as usize] = Fate::Taken;
    }

    /// Follows what has left the queue since the last look; all but the one that was `delivered` was dropped.
    fn follow(&mut self, delivered: Option<u64>) {
        let now = self.life.waiting();
        let held: BTreeSet<_> = now.iter().map(|(number, _)| *number).collect();
        for (number, _) in self.waiting.iter().filter(|(number, _)| !held.contains(number)) {
            let (id, _) = self.numbers[number];
            if Some(*number) == delivered {
                self.taken_lately.insert(id);
                continue;
            }
            self.dropped_lately.insert(id);
            if self.fates[id as usize] == Fate::Waiting {
                self.fates[id as usize] = Fate::Dropped;
            }
        }
        self.waiting = now;
        let disk = &self.life.disk;
        let has_more = self.life.ledger.lock().unwrap().has_leavings() || !disk.leavings.is_empty();
        let is_new = |number: &u64| !self.life.found.batches.iter().any(|(found, _)| found == number);
        let has_stored = self.waiting.iter().any(|(number, is_stored)| *is_stored && is_new(number));
        self.stored
            .extend(self.waiting.iter().filter(|(number, stored)| *stored && is_new(number)).map(|(new, _)| new));
        self.has_synced |= has_stored || !disk.spool.is_unsynced();
        if !has_more && !disk.spool.is_unsynced() {
            self.taken_lately.clear();
            self.dropped_lately.clear();
        }
        self.life.stats();
    }

    /// The process is killed or the power fails, and another one starts a second later.
    fn die(&mut self) {
        let (seed, has_lost_power) = (self.seed, self.random.bool());
        self.deaths += 1;
        self.fs.restart(has_lost_power);
        self.clock.advance(Duration::from_secs(1));
        let stubborn = self.life.disk.leavings.len();
        self.life = Life::begin(&self.fs, self.bounds, &self.clock);
        let found: BTreeSet<_> = self.life.waiting().iter().map(|(number, _)| *number).collect();
        let taken_lately = std::mem::take(&mut self.taken_lately);
        self.dropped_lately.clear();
        let mut unreadable = BTreeSet::new();
        for (number, reason) in &self.life.found.lost {
            let may_be = matches!(reason, Unreadable::Io(_)) || self.has_faults && !self.stored.contains(number);
            assert!(may_be, "seed {seed}: {number} is damaged: {reason}");
            unreadable.insert(*number);
        }
        for (number, is_stored) in std::mem::take(&mut self.waiting) {
            let id = self.numbers[&number].0 as usize;
            if found.contains(&number) || self.fates[id] != Fate::Waiting {
                continue;
            }
            let is_sure = self.stored.contains(&number) || self.has_synced && !self.has_faults;
            let may_go = !is_stored || !is_sure || unreadable.contains(&number);
            assert!(may_go, "seed {seed}: the stored batch {id} is lost");
            self.fates[id] = if is_stored { Fate::Dropped } else { Fate::Unstored };
            if !self.life.disk.leavings.is_empty() || self.life.disk.spool.is_unsynced() {
                self.dropped_lately.insert(id as u64);
            }
        }
        let mut again = 0;
        for number in &found {
            let (id, _) = self.numbers[number];
            again += usize::from(self.taken_in_life.contains(&id));
            let fate = &mut self.fates[id as usize];
            if matches!(fate, Fate::Dropped | Fate::Unstored) {
                *fate = Fate::Waiting;
            }
        }
        let allowed = match (has_lost_power, self.has_faults) {
            (false, false) => 1,
            (false, true) => 1 + stubborn,
            (true, _) => 1 + taken_lately.len(),
        };
        assert!(again <= allowed, "seed {seed}: {again} come again after one death, {allowed} may");
        self.duplicates += again as u64;
        self.taken_in_life.clear();
        self.has_synced = false;
        self.waiting = self.life.waiting();
        self.life.stats();
    }

    /// Disk and receiver are well again: everything arrives.
    fn end(&mut self) {
        let seed = self.seed;
        self.fs.set_faults(0, 0);
        self.die();
        self.put_sized(self.fates.len() as u64, 8);
        for _ in 0..10 * self.fates.len() {
            match self.life.disk.next() {
                Next::Batch(_, sent) => {
                    self.follow(None);
                    let (number, _) = self.life.waiting()[0];
                    self.take(id(&sent.body));
                    self.life.settle(Outcome::Success);
                    self.follow(Some(number));
                }
                Next::Wait(_) => {}
                Next::Empty => break,
            }
        }
        self.follow(None);
        assert!(self.waiting.is_empty(), "seed {seed}: {:?} never went", self.waiting);
        let forgotten = self.fates.iter().position(|fate| *fate == Fate::Waiting);
        assert_eq!(forgotten, None, "seed {seed}: the batch is nowhere");
        let files: Vec<_> = self.fs.all_names().into_iter().filter(|name| !name.ends_with(".bad")).collect();
        assert!(files.is_empty(), "seed {seed}: {files:?} are left");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the number of runs is the caller's")]
fn nothing_is_lost_and_nothing_reordered_whatever_the_disk_does() {
    let runs = std::env::var("LINKIT_BRIDGE_TEST_SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2000);
    let (mut duplicates, mut deaths) = (0, 0);
    for seed in 0..runs {
        let (more_duplicates, more_deaths) = Simulation::new(seed).run();
        duplicates += more_duplicates;
        deaths += more_deaths;
    }
    // A simulation in which nothing happens shows nothing.
    assert!(deaths > 2 * runs && duplicates > runs / 20, "{runs} runs: {deaths} deaths, {duplicates} came again");
    println!("{runs} runs: {deaths} deaths, {duplicates} batches came again, none lost, none out of order");
}
