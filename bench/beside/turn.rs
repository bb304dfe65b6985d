//! A program's turn: what it costs, or how fresh its page is; and the work that goes on beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::proc::{self, Locks};
use super::program::{Kind, Program};
use super::session::Sessions;
use super::shop::{Connection, Shop};
use super::table::State;
use crate::Result;

/// In seconds: often enough to cost something, and seldom enough to see how old a figure becomes.
const COST_INTERVAL: u32 = 1;
pub(crate) const AGE_INTERVAL: u32 = 5;

const BUSY_TURN: Duration = Duration::from_secs(10);
/// After the start, until what is done once is done.
const SETTLE: Duration = Duration::from_millis(1500);
/// When the change of an idle database comes, if one does in this turn.
const CHANGE: Duration = Duration::from_millis(3300);
const SCRAPE: Duration = Duration::from_secs(1);

/// Marks lie so close that an interval sees all ages, and not in step with it.
const MARK: Duration = Duration::from_millis(207);
/// The page is looked at this often while marks are awaited.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const WORK_RATE: u32 = 50;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// The time from one change to the next while the database is idle.
    pub(crate) idle: Duration,
}

/// What a turn has cost.
pub(crate) struct Cost {
    pub(crate) turn: Duration,
    pub(crate) polls: u64,
    pub(crate) database: Duration,
    pub(crate) program: Duration,
    pub(crate) resident_peak: u64,
    pub(crate) estimated: Vec<&'static str>,
}

/// A turn with a poll a second and a scrape a second. While the database is idle all rounds together are as long as
/// `idle`, and see one change: in the first.
pub(crate) fn cost(shop: &Shop, kind: Kind, state: State, round: u32, plan: Plan) -> Result<Cost> {
    let program = Program::start(shop, kind, COST_INTERVAL)?;
    let mut connection = shop.connect()?;
    std::thread::sleep(SETTLE);
    let customers = program.customers()?;
    let length = if state == State::Idle { plan.idle / plan.rounds } else { BUSY_TURN };
    let is_changed = state == State::Idle && round == 0;
    let mut change = Some(CHANGE).filter(|_| is_changed);

    let mut meter = Meter::start(shop, &program)?;
    let mut scraped = Duration::ZERO;
    while meter.began.elapsed() < length {
        if change.is_some_and(|at| meter.began.elapsed() >= at) {
            mark(&mut connection)?;
            change = None;
        }
        if meter.began.elapsed() >= scraped {
            program.scrape()?;
            scraped += SCRAPE;
        }
        meter.look()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let cost = meter.end()?;
    if is_changed && program.customers()? != customers + 1 {
        return Err(format!("{kind:?} on {} does not poll", shop.name()).into());
    }
    Ok(cost)
}

/// Measures what a program costs from its start to its end.
struct Meter<'a> {
    program: &'a Program,
    sessions: Sessions<'a>,
    locks: Option<Locks>,
    polls: u64,
    began: Instant,
    threads: proc::Tasks,
    used: Duration,
}

impl<'a> Meter<'a> {
    fn start(shop: &'a Shop, program: &'a Program) -> Result<Self> {
        let mut sessions = Sessions::watch(shop)?;
        let polls = match program.polls()? {
            Some(polls) => polls,
            None => sessions.next_count()?,
        };
        sessions.begin()?;
        let locks = match shop {
            Shop::Sqlite { path } => Some(Locks::watch(path, program.id())?),
            _ => None,
        };
        let (threads, began) = (proc::threads(program.id())?, Instant::now());
        Ok(Self { program, sessions, locks, polls, began, threads, used: Duration::ZERO })
    }

    /// To be called again and again: threads come and go, and what one uses after the last look at it is lost.
    fn look(&mut self) -> Result<()> {
        let now = proc::threads(self.program.id())?;
        self.used += proc::used(&self.threads, &now);
        self.threads = now;
        self.sessions.look()
    }

    fn end(mut self) -> Result<Cost> {
        // A turn that is not as many whole polls as it counts would make each of them cheaper or dearer.
        let counted = if self.program.polls()?.is_none() { Some(self.sessions.next_count()?) } else { None };
        self.look()?;
        let (turn, of_sessions) = (self.began.elapsed(), self.sessions.used()?);
        let database = self.locks.map(Locks::held).transpose()?.unwrap_or(of_sessions);
        let polls = counted.or(self.program.polls()?).unwrap_or(0).saturating_sub(self.polls);
        let resident_peak = proc::resident_peak(self.program.id())?;
        let estimated = self.program.estimated()?;
        Ok(Cost { turn, polls, database, program: self.used, resident_peak, estimated })
    }
}

/// How long after its commit each of many changes was on the page.
pub(crate) fn ages(shop: &Shop, kind: Kind, plan: Plan) -> Result<Vec<Duration>> {
    let program = Program::start(shop, kind, AGE_INTERVAL)?;
    let mut connection = shop.connect()?;
    let before = connection.number("SELECT count(*) FROM customers")?;
    let end = Duration::from_secs(u64::from(AGE_INTERVAL)) * plan.rounds;
    let (began, mut next) = (Instant::now(), Duration::ZERO);
    let (mut commits, mut ages) = (Vec::new(), Vec::new());
    while next < end || ages.len() < commits.len() {
        if next < end && began.elapsed() >= next {
            mark(&mut connection)?;
            commits.push(Instant::now());
            next += MARK;
        }
        let seen = usize::try_from(program.customers()?.saturating_sub(before))?;
        let now = Instant::now();
        while ages.len() < seen.min(commits.len()) {
            ages.push(now - commits[ages.len()]);
        }
        if began.elapsed() > end + PATIENCE {
            return Err(format!("{kind:?} on {} does not show all changes", shop.name()).into());
        }
        std::thread::sleep(LOOK);
    }
    ages.sort_unstable();
    Ok(ages)
}

fn mark(connection: &mut Connection) -> Result<()> {
    static MARKS: AtomicU64 = AtomicU64::new(1);
    connection.run(&Shop::mark(MARKS.fetch_add(1, Ordering::Relaxed)))
}

/// The shop at work: transactions at a steady rate, until it is dropped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(shop: &Shop) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shop, mut connection) = (Arc::clone(&stop), shop.clone(), shop.connect()?);
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            for number in 10.. {
                let due = Duration::from_secs(1) * u32::try_from(number - 10).unwrap_or(u32::MAX) / WORK_RATE;
                std::thread::sleep(due.saturating_sub(began.elapsed()));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let done = transaction(&mut connection, &shop.work(number));
                assert!(done.is_ok(), "the writer: {done:?}");
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the writer has failed");
    }
}

fn transaction(connection: &mut Connection, statements: &[String]) -> Result<()> {
    let begin = if matches!(connection, Connection::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" };
    connection.run(begin)?;
    for statement in statements {
        connection.run(statement)?;
    }
    connection.run("COMMIT")
}
