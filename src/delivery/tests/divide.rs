//! Batches that are too large for their endpoint, to a receiver that keeps what it takes.

use std::collections::{BTreeSet, VecDeque};

use ::http::{Response, StatusCode};

use super::fake::{at, destination};
use super::*;
use crate::clock::{TokioClock, Wall};
use crate::delivery::spool::testing::SimFs;

/// Bytes of a point of the tests, which is its number.
const POINT: usize = 4;

/// What the receiver does and has.
struct Receiver {
    /// Most points of a request.
    points_max: usize,
    /// Points that are too large each alone.
    heavy: BTreeSet<u32>,
    /// Statuses before it judges the size; 0 goes on to that.
    script: VecDeque<u16>,
    /// Points that were taken, in the order they came.
    taken: Vec<u32>,
    /// Points of each request.
    asked: Vec<usize>,
}

struct Bench {
    delivery: Arc<Delivery>,
    receiver: Arc<Mutex<Receiver>>,
    clock: Arc<dyn Clock>,
    next: Mutex<u32>,
}

struct Direct(Arc<Mutex<Receiver>>);

impl Transport for Direct {
    fn post<'a>(&'a self, _: &'a Destination, body: Bytes) -> Sending<'a> {
        Box::pin(async move {
            tokio::time::sleep(SECOND / 100).await;
            let mut receiver = self.0.lock().unwrap();
            let points: Vec<_> =
                body.chunks(POINT).map(|point| u32::from_be_bytes(point.try_into().unwrap())).collect();
            receiver.asked.push(points.len());
            let scripted = receiver.script.pop_front().filter(|status| *status > 0);
            let fits =
                points.len() <= receiver.points_max && points.iter().all(|point| !receiver.heavy.contains(point));
            let status = scripted.unwrap_or(if fits { 200 } else { 413 });
            if status == 200 {
                receiver.taken.extend(points);
            }
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok(Reply::of_http(&response, Wall::default()))
        })
    }
}

fn halve(message: &[u8]) -> Option<[(Vec<u8>, u64); 2]> {
    let (first, second) = message.split_at(message.len() / POINT / 2 * POINT);
    Some([first, second].map(|half| (half.to_vec(), (half.len() / POINT) as u64)))
}

impl Bench {
    fn new(points_max: usize, config: DeliveryConfig) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(Wall::from_secs(1_705_314_600)));
        let (heavy, script, taken, asked) = Default::default();
        let receiver = Arc::new(Mutex::new(Receiver { points_max, heavy, script, taken, asked }));
        let transport = Box::new(Direct(Arc::clone(&receiver)));
        let delivery = Arc::new(Delivery::with(config, transport, Arc::clone(&clock)).halving(halve));
        Self { delivery, receiver, clock, next: Mutex::default() }
    }

    /// A batch of the next points.
    fn put(&self, points: u32) {
        let mut next = self.next.lock().unwrap();
        let body: Vec<u8> = (*next..*next + points).flat_map(u32::to_be_bytes).collect();
        *next += points;
        let batch = Batch { body: body.into(), points: points.into(), accepted: self.clock.now() };
        self.delivery.put(destination("key"), batch);
    }

    /// Delivers for some seconds, and looks at the account all the time.
    async fn run(&self, seconds: u64) -> DeliveryStats {
        let watch = async {
            for _ in 0..50 * seconds {
                tokio::time::sleep(SECOND / 50).await;
                self.check();
            }
        };
        tokio::join!(self.delivery.run(at(seconds)), watch);
        self.check()
    }

    fn check(&self) -> DeliveryStats {
        let (stats, receiver) = (self.delivery.stats(), self.receiver.lock().unwrap());
        let mut sum = stats.delivered;
        sum += stats.queued;
        stats.dropped.iter().for_each(|dropped| sum += *dropped);
        assert_eq!(stats.accepted, sum, "{stats:?}");
        assert_eq!(stats.queued.batches > 0, stats.queued.points > 0, "{stats:?}");
        assert!(stats.delivered.points <= receiver.taken.len() as u64, "{stats:?}");
        stats
    }

    fn taken(&self) -> Vec<u32> {
        self.receiver.lock().unwrap().taken.clone()
    }

    fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.receiver.lock().unwrap().asked)
    }
}

fn amount(batches: u64, points: u64) -> Amount {
    Amount { batches, points }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_goes_in_halves_in_order_and_the_size_is_remembered_for_an_hour() {
    let bench = Bench::new(10, DeliveryConfig::default());
    bench.put(30);
    bench.put(9);
    let stats = bench.run(5).await;
    assert_eq!(bench.asked(), [30, 15, 7, 8, 7, 8, 9], "the second 15 are known to be too many");
    assert_eq!((stats.delivered, stats.attempts(Outcome::Divided)), (amount(2, 39), 2));
    bench.put(30);
    let stats = bench.run(5).await;
    assert_eq!((bench.taken(), stats.delivered), ((0..69).collect::<Vec<_>>(), amount(3, 69)));
    assert_eq!(bench.asked(), [30, 15, 7, 8, 7, 8], "another run knows nothing");
    let later = async {
        bench.put(20);
        tokio::time::sleep(SECOND).await;
        bench.put(20);
        tokio::time::sleep(10 * SECOND).await;
        bench.receiver.lock().unwrap().points_max = 20;
        bench.put(20);
        tokio::time::sleep(3600 * SECOND).await;
        bench.put(20);
    };
    tokio::join!(bench.delivery.run(at(3700)), later);
    assert_eq!(bench.asked(), [20, 10, 10, 10, 10, 10, 10, 20]);
    assert_eq!(bench.taken(), (0..149).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_single_point_that_is_too_large_is_dropped_alone_and_its_batch_counts_as_dropped() {
    let bench = Bench::new(100, DeliveryConfig::default());
    bench.receiver.lock().unwrap().heavy = BTreeSet::from([0, 17]);
    bench.put(30);
    bench.put(1);
    let stats = bench.run(5).await;
    let expected: Vec<_> = (0..31).filter(|point| ![0, 17].contains(point)).collect();
    assert_eq!((bench.taken(), stats.dropped(DropReason::Rejected)), (expected, amount(1, 2)));
    assert_eq!((stats.delivered, stats.attempts(Outcome::Rejected)), (amount(1, 29), 2));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_everything_for_its_size_is_not_asked_for_every_point() {
    let bench = Bench::new(0, DeliveryConfig::default());
    bench.put(5000);
    bench.put(3);
    let stats = bench.run(60).await;
    let asked = bench.asked();
    assert_eq!((stats.dropped(DropReason::Rejected), stats.delivered), (amount(2, 5003), amount(0, 0)));
    assert!(asked.len() < 40 && asked[..3] == [5000, 2500, 1250], "{asked:?}");
    assert_eq!(asked[asked.len() - 5..], [3, 1, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn between_its_parts_a_batch_is_sent_again_and_dropped_as_any_other() {
    let config = DeliveryConfig { age_max: 100 * SECOND, queue_bytes_max: 250, ..DeliveryConfig::default() };
    for (later, reason) in [(0, DropReason::Size), (200, DropReason::Age)] {
        let bench = Bench::new(20, config);
        // The first part is taken, the second is not.
        bench.receiver.lock().unwrap().script = [vec![0, 0], vec![503; 40]].concat().into();
        bench.put(36);
        let more = async {
            tokio::time::sleep(20 * SECOND).await;
            let stats = bench.check();
            assert_eq!((stats.queued, stats.delivered), (amount(1, 18), amount(0, 18)), "{stats:?}");
            tokio::time::sleep(later * SECOND).await;
            bench.receiver.lock().unwrap().script.clear();
            bench.put(30);
            bench.put(9);
        };
        tokio::join!(bench.delivery.run(at(600)), more);
        let stats = bench.check();
        assert_eq!((stats.dropped(reason), stats.delivered), (amount(1, 18), amount(2, 57)), "{reason:?} {stats:?}");
        assert_eq!(bench.taken(), (0..18).chain(36..75).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_between_the_parts_brings_the_batch_again_and_nothing_else() {
    let (fs, spool) = (SimFs::new(1, 10_000), SpoolConfig::at(PathBuf::new()));
    let bench = Bench::new(10, DeliveryConfig::default());
    bench.delivery.open_on(Box::new(fs.clone()), &spool).unwrap();
    bench.receiver.lock().unwrap().script = VecDeque::from([0, 0, 503]);
    bench.put(20);
    bench.put(5);
    bench.delivery.keep().await;
    bench.delivery.run(std::future::ready(())).await;
    let stats = bench.check();
    assert_eq!((stats.delivered, stats.queued, stats.unstored), (amount(0, 10), amount(2, 15), 0));
    assert_eq!(fs.all_names().len(), 2, "the whole is kept until its last part is decided");
    let again = Bench::new(10, DeliveryConfig::default());
    again.delivery.open_on(Box::new(fs.clone()), &spool).unwrap();
    *again.next.lock().unwrap() = 25;
    again.put(1);
    let stats = again.run(60).await;
    assert_eq!((again.taken(), stats.delivered), ((0..26).collect::<Vec<_>>(), amount(3, 26)));
    assert!(fs.all_names().is_empty(), "{:?}", fs.all_names());
    // One of which a part was dropped is kept for people, as any that was refused.
    again.receiver.lock().unwrap().heavy.insert(30);
    again.put(10);
    again.run(5).await;
    assert!(matches!(&*fs.all_names(), [name] if name.ends_with(".bad")), "{:?}", fs.all_names());
}

#[test]
fn the_account_is_whole_and_the_order_kept_whatever_size_is_taken() {
    for seed in 0..25 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut random = fastrand::Rng::with_seed(seed);
            let bench = Bench::new(random.usize(1..40), DeliveryConfig::default());
            let statuses = [0, 0, 0, 0, 0, 429, 503, 502];
            bench.receiver.lock().unwrap().script = (0..60).map(|_| statuses[random.usize(0..8)]).collect();
            let puts = async {
                for _ in 0..10 {
                    bench.put(random.u32(1..200));
                    tokio::time::sleep(SECOND * random.u32(0..10)).await;
                }
            };
            let (stats, ()) = tokio::join!(bench.run(500), puts);
            let (points, taken) = (*bench.next.lock().unwrap(), bench.taken());
            assert_eq!(taken, (0..points).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(stats.delivered, amount(10, points.into()), "seed {seed}");
        });
    }
}
