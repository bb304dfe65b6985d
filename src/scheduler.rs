//! The scheduler: when each collector runs, its deadline, its back-off, and that its panic stays its own.
//!
//! One task a collector, no thread. What an attempt brought goes to the registry; of what goes wrong each class is logged
//! once, then ever more seldom that it goes on, and its end. The scheduler knows no source and no output.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::catalog::Section;
use crate::clock::{Clock, Moment, Wall};
use crate::collector::{CollectError, ErrorClass, Outcome, Plan};
use crate::outage::{Outage, Word};
use crate::registry::{AttemptReport, Registry};

/// Staging is read this long after 00:00 UTC, so that the new day's figure is there within two seconds; a source that
/// is left alone around midnight is not read before.
///
/// More than a second, so that a source that tells whole seconds does not answer with midnight itself.
const AFTER_MIDNIGHT: Duration = Duration::from_millis(1100);

/// A source that is left alone around midnight is from this long before it.
const BEFORE_MIDNIGHT: Duration = Duration::from_millis(500);

/// How much later than it should a collector may give its next sign of life.
const LATE_AFTER: Duration = Duration::from_secs(10);

/// By when a collector is to give its next sign of life; clones are of the same collector.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// Whether it is overdue: no deadline has ended the attempt, or nothing has woken the collector.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|by| by < Instant::now())
    }

    /// Says that the next one comes within `time`.
    pub fn expect_within(&self, time: Duration) {
        let by = Instant::now().checked_add(time.saturating_add(LATE_AFTER));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }
}

/// Runs a collector until the future is dropped.
pub fn run(plan: Plan, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> impl Future<Output = ()> + Send {
    run_with(plan, registry, clock, Pulse::default())
}

/// As [`run`], with signs of life.
pub fn run_with(
    plan: Plan,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    pulse: Pulse,
) -> impl Future<Output = ()> + Send {
    let classes: Vec<_> = plan.collector.error_classes().iter().map(|class| class.name()).collect();
    registry.attach(plan.collector.source(), plan.collector.sections(), &classes);
    registry.read_every(plan.collector.sections(), plan.interval);
    let sections = plan.collector.sections().to_vec();
    let job = Job { plan, sections, registry, clock, pulse, failures: 0, outages: BTreeMap::new() };
    job.run()
}

struct Job {
    plan: Plan,
    sections: Vec<Section>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    pulse: Pulse,
    /// Attempts in a row that brought nothing.
    failures: u32,
    /// The sections that could not be read lately.
    outages: BTreeMap<Section, Outage>,
}

impl Job {
    async fn run(mut self) {
        loop {
            // Asked again after each wait, for the date may be moved.
            while let Some(quiet) = self.quiet() {
                self.pulse.expect_within(quiet);
                tokio::time::sleep(quiet).await;
            }
            let started = self.clock.now();
            self.pulse.expect_within(self.plan.timeout);
            let Some(outcome) = self.attempt(started).await else { continue };
            self.settle(outcome, started);
            let wait = self.wait(started, self.clock.now());
            self.pulse.expect_within(wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// How long the source is still to be left alone.
    fn quiet(&self) -> Option<Duration> {
        let quiet = quiet_for(self.clock.now().wall);
        (self.plan.avoids_midnight && !quiet.is_zero()).then_some(quiet)
    }

    /// One attempt with its deadline; a panic is an error like others. `None` if midnight came too near: what was cut
    /// off then says nothing about the source.
    async fn attempt(&mut self, started: Moment) -> Option<Outcome> {
        let timeout = self.plan.timeout;
        let left = if self.plan.avoids_midnight { until_quiet(started.wall) } else { Duration::MAX };
        // The collector may be left half-changed by a panic; the worst of it is another error, which is counted.
        let collector = &mut self.plan.collector;
        let attempt = AssertUnwindSafe(async { collector.collect(&self.clock).await }).catch_unwind();
        let error = match tokio::time::timeout(timeout.min(left), attempt).await {
            Ok(Ok(outcome)) => return Some(outcome),
            Ok(Err(panic)) => CollectError::new(
                ErrorClass::Panic,
                format!("the collector panicked ({}); this is a defect, please report it", panic_text(&*panic)),
            ),
            Err(_) if left < timeout => return None,
            Err(_) => CollectError::new(
                ErrorClass::Timeout,
                format!("no answer from the source within {timeout:?}; raise timeout or relieve the source"),
            ),
        };
        Some(Outcome::failed(&self.sections, &error))
    }

    fn settle(&mut self, outcome: Outcome, started: Moment) {
        let took = self.clock.now().since(started);
        self.failures = if outcome.readings.is_empty() { self.failures.saturating_add(1) } else { 0 };
        self.registry.publish(outcome.readings);
        for section in self.sections.clone() {
            let errors: Vec<_> = outcome
                .errors
                .iter()
                .filter(|(of, _)| *of == section)
                .map(|(_, error)| (error.class.name(), error.message.clone()))
                .collect();
            self.say(&section, &errors);
            self.registry.report(&AttemptReport { section, took, errors: &errors });
        }
    }

    /// Logs what is worth it: an error of a new class, that an outage goes on, and its end.
    fn say(&mut self, section: &Section, errors: &[(&'static str, String)]) {
        let (collector, source, now) = (section.name(), self.plan.collector.source(), self.clock.now().mono);
        let Some((class, _)) = errors.last() else {
            if let Some(outage) = self.outages.remove(section) {
                let extent = outage.extent(now);
                let (attempts, after) = (extent.failures, extent.lasting);
                tracing::info!(collector, source, attempts, ?after, "the source is read again");
            }
            return;
        };
        let error = errors.iter().map(|(_, message)| message.as_str()).collect::<Vec<_>>().join("; ");
        // What goes wrong beside it, and was not said yet, is news too.
        let kind = errors.iter().map(|(class, _)| *class).collect::<Vec<_>>().join(" ");
        let outage = self.outages.entry(section.clone()).or_insert_with(|| Outage::beginning(now));
        match outage.fail(&kind, now) {
            Some(Word::News) => tracing::warn!(collector, source, class, %error, "failed to read the source"),
            Some(Word::Still(extent)) => {
                let (attempts, after) = (extent.failures, extent.lasting);
                tracing::warn!(collector, source, class, %error, attempts, ?after, "still failing to read the source");
            }
            None => {}
        }
    }

    /// How long to wait: to the next beat of the interval; after failures the interval doubled each time, shortened by
    /// a random part so that many bridges do not knock together; and never past the new day's first reading.
    fn wait(&self, started: Moment, now: Moment) -> Duration {
        let interval = self.plan.interval;
        let wait = if self.failures == 0 {
            interval.saturating_sub(now.since(started))
        } else {
            let doubled = interval.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
            let shortened = doubled.min(self.plan.max_backoff).mul_f64(1.0 - fastrand::f64() / 4.0);
            shortened.max(interval)
        };
        if !self.sections.contains(&Section::Staging) {
            return wait;
        }
        let midnight = now.wall.day().next().start();
        wait.min(midnight.since(now.wall) + AFTER_MIDNIGHT)
    }
}

/// How long the quiet time around midnight still goes on; zero outside of it.
fn quiet_for(wall: Wall) -> Duration {
    let today = wall.day();
    let end = if until_quiet(wall).is_zero() { today.next().start() } else { today.start() };
    end.plus(AFTER_MIDNIGHT).since(wall)
}

/// How long it is until the quiet time before the next midnight begins.
fn until_quiet(wall: Wall) -> Duration {
    wall.day().next().start().since(wall).saturating_sub(BEFORE_MIDNIGHT)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::catalog::FigureId;
    use crate::clock::TokioClock;
    use crate::collector::{Attempt, Collector};
    use crate::reading::{Ages, Reading, Readings};
    use crate::registry::{Number, PointValue};

    type Script = Box<dyn FnMut(usize) -> Step + Send>;

    enum Step {
        PanicAtOnce,
        Bring(u64),
        Fail,
        Hang,
        Panic,
    }

    /// A collector that does as it is told and notes when.
    struct Scripted {
        sections: Vec<Section>,
        attempts: Arc<Mutex<Vec<Moment>>>,
        script: Script,
    }

    impl Collector for Scripted {
        fn source(&self) -> &'static str {
            "scripted"
        }

        fn sections(&self) -> &[Section] {
            &self.sections
        }

        fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
            let attempt = {
                let mut attempts = self.attempts.lock().unwrap();
                attempts.push(clock.now());
                attempts.len()
            };
            let step = (self.script)(attempt);
            assert!(!matches!(step, Step::PanicAtOnce), "planted");
            Box::pin(async move {
                match step {
                    Step::PanicAtOnce => unreachable!(),
                    Step::Bring(value) => Outcome {
                        readings: vec![Readings::new(
                            self.sections[0].clone(),
                            clock.now(),
                            vec![Reading::of(FigureId::RuntimeGoroutines, value)],
                        )],
                        errors: Vec::new(),
                    },
                    Step::Fail => {
                        Outcome::failed(&self.sections, &CollectError::new(ErrorClass::Unreachable, "refused"))
                    }
                    Step::Hang => std::future::pending().await,
                    Step::Panic => panic!("planted"),
                }
            })
        }
    }

    struct Bench {
        registry: Arc<Registry>,
        attempts: Arc<Mutex<Vec<Moment>>>,
        task: tokio::task::JoinHandle<()>,
    }

    /// Runs a scripted collector at a 10 s interval and a 5 s deadline, from `wall` on, for `time`.
    async fn bench(section: Section, wall: Wall, time: Duration, script: Script) -> Bench {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(wall));
        let registry = Arc::new(Registry::new(Arc::clone(&clock), Ages::default(), &[]));
        let attempts = Arc::default();
        let avoids_midnight = section == Section::Store;
        let collector = Scripted { sections: vec![section], attempts: Arc::clone(&attempts), script };
        let plan = Plan {
            collector: Box::new(collector),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            max_backoff: Duration::from_secs(60),
            avoids_midnight,
        };
        let task = tokio::spawn(run(plan, Arc::clone(&registry), clock));
        tokio::time::sleep(time).await;
        Bench { registry, attempts, task }
    }

    impl Bench {
        fn gaps_s(&self) -> Vec<f64> {
            let attempts = self.attempts.lock().unwrap();
            attempts.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect()
        }
    }

    const MORNING: Wall = Wall::from_secs(1_705_314_600);
    const MIDNIGHT: Wall = MORNING.day().next().start();

    #[tokio::test(start_paused = true)]
    async fn a_good_source_is_read_at_its_interval() {
        let bench =
            bench(Section::Runtime, MORNING, Duration::from_secs(35), Box::new(|n| Step::Bring(n as u64))).await;
        assert_eq!(bench.attempts.lock().unwrap().len(), 4);
        let snapshot = bench.registry.current();
        assert_eq!(snapshot.value(FigureId::RuntimeGoroutines, None), Some(Number::Int(4)));
        assert_eq!(snapshot.collectors[0].up, Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_source_is_left_alone_longer_and_longer() {
        let bench = bench(Section::Runtime, MORNING, Duration::from_secs(300), Box::new(|_| Step::Fail)).await;
        let gaps = bench.gaps_s();
        for (gap, most) in gaps.iter().zip([20.0, 40.0, 60.0, 60.0, 60.0]) {
            assert!(*gap <= most + 0.1 && *gap >= most * 0.75, "{gaps:?}");
        }
        let snapshot = bench.registry.current();
        assert_eq!(snapshot.collectors[0].up, Some(false));
        assert_eq!(snapshot.collectors[0].last_error, Some(("unreachable", "refused".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_source_is_cut_off_at_its_deadline_and_keeps_its_reading() {
        let script: Script = Box::new(|n| if n == 1 { Step::Bring(7) } else { Step::Hang });
        let bench = bench(Section::Runtime, MORNING, Duration::from_secs(16), script).await;
        let snapshot = bench.registry.current();
        assert_eq!(snapshot.value(FigureId::RuntimeGoroutines, None), Some(Number::Int(7)));
        assert_eq!(snapshot.collectors[0].last_error.as_ref().unwrap().0, "timeout");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error_of_its_collector_and_the_next_attempt_comes() {
        let script: Script = Box::new(|n| match n {
            1 => Step::Panic,
            2 => Step::PanicAtOnce,
            _ => Step::Bring(3),
        });
        let bench = bench(Section::Runtime, MORNING, Duration::from_secs(75), script).await;
        assert!(!bench.task.is_finished());
        let snapshot = bench.registry.current();
        assert_eq!(snapshot.value(FigureId::RuntimeGoroutines, None), Some(Number::Int(3)));
        let errors = snapshot.family("linkit.bridge.collector.errors").unwrap();
        let panics = errors.points.iter().find(|point| point.attributes[0].1 == "panic").unwrap();
        assert_eq!(panics.value, PointValue::Number(Number::Int(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn staging_is_read_within_two_seconds_of_midnight() {
        let late = Wall(MIDNIGHT.0 - 3_000_000_000);
        let bench = bench(Section::Staging, late, Duration::from_secs(6), Box::new(|_| Step::Bring(1))).await;
        let attempts = bench.attempts.lock().unwrap();
        let second = attempts[1].wall.since(MIDNIGHT);
        assert!(attempts[1].wall.day() == MIDNIGHT.day() && second <= Duration::from_secs(2), "{second:?}");
    }

    /// The time from `before` midnight to the first attempt of a collector of `section`, and to the next.
    async fn first_two(section: Section, before: u64) -> [u64; 2] {
        let start = Wall(MIDNIGHT.0 - before * 1_000_000);
        let bench = bench(section, start, Duration::from_secs(25), Box::new(|_| Step::Bring(1))).await;
        let attempts = bench.attempts.lock().unwrap();
        [0, 1].map(|n| u64::try_from(attempts[n].wall.since(start).as_millis()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_avoids_midnight_is_not_read_around_it() {
        for (before, expected) in [
            (8_899, [0, 10_000]),
            (8_901, [0, 10_001]),
            (10_000, [0, 11_100]),
            (10_500, [0, 11_600]),
            (10_501, [0, 10_000]),
            (500, [1_600, 11_600]),
            (0, [1_100, 11_100]),
        ] {
            assert_eq!(first_two(Section::Store, before).await, expected, "from {before} ms before midnight");
            assert_eq!(first_two(Section::Runtime, before).await, [0, 10_000], "others keep their beat");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_midnight_finds_at_work_is_cut_off_and_is_no_error() {
        let start = Wall(MIDNIGHT.0 - 4_000_000_000);
        let script: Script = Box::new(|n| if n == 1 { Step::Hang } else { Step::Bring(1) });
        let bench = bench(Section::Store, start, Duration::from_secs(8), script).await;
        assert_eq!(bench.gaps_s(), [5.1]);
        let snapshot = bench.registry.current();
        assert_eq!((snapshot.collectors[0].up, &snapshot.collectors[0].last_error), (Some(true), &None));
    }
}
