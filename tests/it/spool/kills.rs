//! kill -9 at random moments. `LINKIT_BRIDGE_TEST_KILLS` says how many; `just kills` makes 1,000.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// A life of the bridge, as it was seen from outside when it had ended.
struct Life {
    /// How many batches the receiver had taken, in all lives.
    taken: usize,
    /// What was in the spool, whole.
    stored: Vec<BatchId>,
    /// How many batches its last page said were accepted and not in memory alone; `None` if it showed none.
    kept: Option<i64>,
    /// When it ended.
    end: u64,
}

/// What the receiver took in all lives, each batch with how often it was put there.
struct Judge<'a> {
    lives: &'a [Life],
    taken: &'a [BatchId],
    copies: BTreeMap<BatchId, i64>,
}

impl<'a> Judge<'a> {
    /// Checks that no batch overtook another and that a kill made at most one come again: the one that was under way.
    fn of(lives: &'a [Life], taken: &'a [BatchId]) -> Self {
        let (mut from, mut newest, mut again) = (0, None, 0);
        let mut copies = BTreeMap::<BatchId, i64>::new();
        for (number, life) in lives.iter().enumerate() {
            let mut own = BTreeMap::<BatchId, i64>::new();
            let mut repeated = 0;
            for id in &taken[from..life.taken] {
                *own.entry(*id).or_default() += 1;
                if copies.contains_key(id) {
                    assert_eq!(Some(*id), newest, "life {number}: what comes again is not what was under way");
                    repeated += 1;
                } else {
                    assert!(newest <= Some(*id), "life {number}: {id:?} comes after {newest:?}");
                    newest = Some(*id);
                }
            }
            assert!(repeated <= 1, "life {number}: {repeated} batches come again");
            again += repeated;
            from = life.taken;
            for (id, count) in own {
                let most = copies.entry(id).or_default();
                *most = count.max(*most);
            }
        }
        let cut = lives.iter().filter(|life| life.kept.is_none()).count();
        eprintln!(
            "{} batches over {} kills, {cut} of them while it started: {again} came again",
            copies.values().sum::<i64>(),
            lives.len() - 1
        );
        Self { lives, taken, copies }
    }

    /// Checks that nothing is lost that was in a spool after a kill, or that a page had said was there.
    fn nothing_is_lost(&self) {
        assert_eq!(self.lives.last().map(|life| life.taken), Some(self.taken.len()));
        for id in self.lives.iter().flat_map(|life| &life.stored) {
            assert!(self.copies.contains_key(id), "stored and never delivered: {id:?}");
        }
        let born_in = |id: &BatchId| self.lives.iter().filter(|life| life.end < id.nanoseconds).count();
        let mut found = 0;
        for (number, life) in self.lives.iter().enumerate() {
            // Each batch tells how many its bridge had accepted before, beginning with what it found in the spool.
            let mut next = found;
            for (id, count) in self.copies.iter().filter(|(id, _)| born_in(id) == number) {
                assert_eq!(id.accepted_before, next, "life {number}: what is before {id:?} is missing");
                next += count;
            }
            let kept = life.kept.unwrap_or_default();
            assert!(next >= kept, "life {number}: {kept} batches were said to be kept, {next} are");
            found = life.stored.len() as i64;
        }
    }
}

/// What the next start is to find: what was stored, and a batch that was written whole when a kill came before its name.
fn found(spool: &Path) -> Vec<BatchId> {
    let stored = stored(spool).into_iter().map(|(_, id)| id);
    stored.chain(named(spool, "tmp").iter().filter_map(|file| id_in(file))).collect()
}

/// Runs a bridge that is killed at a random moment, often before it has read its spool.
async fn cut_short(config: &str) {
    let directory = Directory::new("cut-short");
    let file = directory.write("bridge.yml", &format!("web: {{ listen: ['127.0.0.1:0'] }}\n{config}"));
    let mut process = Process::start("the bridge", command().arg("--config.file").arg(file));
    tokio::time::sleep(Duration::from_millis(fastrand::u64(..150))).await;
    process.signal("-KILL");
    process.ended().await;
}

/// Runs a bridge with a receiver that changes its mind, until it is killed; what its last page said was kept.
async fn lived(config: &str, receiver: &Receiver) -> i64 {
    let manners = [Manner::Take, Manner::Refuse];
    receiver.set(manners[fastrand::usize(..2)]);
    let mut bridge = Bridge::start(config).await;
    let mut kept = 0;
    for _ in 0..2 {
        // The moment is what is tried here, not what makes the test right.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        let said = account(&bridge).await;
        kept = said.accepted - said.unstored;
        receiver.set(manners[fastrand::usize(..2)]);
    }
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..50_000))).await;
    bridge.process.signal("-KILL");
    bridge.process.ended().await;
    kept
}

#[tokio::test]
async fn nothing_stored_is_lost_by_kills_at_random_moments() {
    let kills = std::env::var("LINKIT_BRIDGE_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8);
    let (receiver, directory) = (Receiver::start().await, Directory::new("spool"));
    let spool = directory.path().join("spool");
    let config = config(&receiver, &spool).replace("500ms", "250ms");
    let mut lives = Vec::new();
    let life = |kept| Life {
        taken: receiver.taken().len(),
        stored: found(&spool),
        kept,
        end: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    for kill in 0..kills {
        // The first makes the spool.
        if kill > 0 && fastrand::u8(..5) == 0 {
            cut_short(&config).await;
            lives.push(life(None));
        } else {
            let kept = lived(&config, &receiver).await;
            lives.push(life(Some(kept)));
        }
    }
    receiver.set(Manner::Take);
    let bridge = Bridge::start(&config).await;
    let first_new = receiver.taken().len() + lives.last().map_or(0, |life| life.stored.len());
    let drained = || async { (receiver.taken().len() > first_new).then_some(()) };
    eventually("everything delivered", drained).await;
    let said = account(&bridge).await;
    assert!(bridge.process.stop().await.success());
    // What the stop leaves in the spool would wait for one more life.
    lives.push(Life { stored: Vec::new(), ..life(Some(said.accepted - said.unstored)) });
    let taken = receiver.taken();
    Judge::of(&lives, &taken).nothing_is_lost();
}

#[test]
fn the_judge_sees_what_is_lost_doubled_or_out_of_order() {
    let id = |nanoseconds, accepted_before| BatchId { nanoseconds, accepted_before };
    let [a, b, c, d, e] = [id(1, 0), id(2, 1), id(3, 2), id(11, 1), id(12, 2)];
    let is_good = |first: &[BatchId], stored: &[BatchId], kept, second: &[BatchId]| {
        let taken = [first, second].concat();
        let lives = [
            Life { taken: first.len(), stored: stored.to_vec(), kept: Some(kept), end: 10 },
            Life { taken: taken.len(), stored: Vec::new(), kept: Some(3), end: 20 },
        ];
        std::panic::catch_unwind(|| Judge::of(&lives, &taken).nothing_is_lost()).is_ok()
    };
    // The first life delivers two of three, and is killed on the second; the other delivers the third and two of its own.
    assert!(is_good(&[a, b], &[c], 3, &[b, c, d, e]));
    assert!(!is_good(&[a, b], &[c], 4, &[b, c, d, e]), "one that was said to be kept is lost");
    assert!(!is_good(&[a, b], &[c], 3, &[b, d, e]), "one that was stored is lost");
    assert!(!is_good(&[a, b], &[c], 3, &[c, e]), "one of the second life is lost");
    assert!(!is_good(&[a, b], &[c], 3, &[c, d]), "its last is");
    assert!(!is_good(&[b], &[c], 3, &[c, d, e]), "the first of the first is");
    assert!(!is_good(&[a, b], &[c], 3, &[a, b, c, d, e]), "two come again");
    assert!(!is_good(&[a, b], &[c], 3, &[a, c, d, e]), "another comes again than that which was under way");
    assert!(!is_good(&[a, b], &[c], 3, &[c, b, d, e]), "it comes again too late");
    assert!(!is_good(&[a, b], &[c], 3, &[c, e, d]), "one overtakes another");
}
