//! kill -9 at random moments. `LINKIT_BRIDGE_TEST_KILLS` says how many; `just kills` makes 1,000.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// What stands in the spool and what the receiver has, by a bridge's lives.
#[derive(Default)]
struct Account {
    /// How many the receiver had taken at the end of each life.
    taken: Vec<usize>,
    /// What was stored at the end of each life.
    stored: Vec<Vec<BatchId>>,
    /// When each life ended.
    ends: Vec<u64>,
}

impl Account {
    /// The lives' own parts of what was taken.
    fn lives<'a>(&self, taken: &'a [BatchId]) -> Vec<&'a [BatchId]> {
        let starts = std::iter::once(0).chain(self.taken.iter().copied());
        starts.zip(&self.taken).map(|(from, to)| &taken[from..*to]).collect()
    }

    fn judge(&self, taken: &[BatchId]) {
        let (mut newest, mut again, mut times) = (None, 0, BTreeMap::<BatchId, usize>::new());
        for (life, part) in self.lives(taken).into_iter().enumerate() {
            let mut counts = BTreeMap::<BatchId, usize>::new();
            let mut repeated = 0;
            for id in part {
                *counts.entry(*id).or_default() += 1;
                if times.contains_key(id) {
                    repeated += 1;
                } else {
                    assert!(newest <= Some(*id), "life {life}: {id:?} comes after {newest:?}");
                    newest = Some(*id);
                }
            }
            assert!(repeated <= 1, "life {life}: {repeated} batches come again");
            again += repeated;
            for (id, count) in counts {
                let most = times.entry(id).or_default();
                *most = count.max(*most);
            }
        }
        for id in self.stored.iter().flatten() {
            assert!(times.contains_key(id), "stored and never delivered: {id:?}");
        }
        // Each batch tells how many its bridge had accepted before: none may be missing between two of one life.
        let all: Vec<_> = times.iter().collect();
        let life = |id: &BatchId| self.ends.iter().filter(|end| **end < id.nanoseconds).count();
        for pair in all.windows(2) {
            let [(before, count), (after, _)] = pair else { continue };
            let next = before.accepted_before + **count as i64;
            assert!(
                life(before) != life(after) || after.accepted_before == next,
                "{before:?} is followed by {after:?}"
            );
        }
        let deaths = self.ends.len();
        eprintln!("{} batches over {deaths} kills: none lost, {again} came again", times.len());
    }
}

#[tokio::test]
async fn nothing_stored_is_lost_by_kills_at_random_moments() {
    let kills = std::env::var("LINKIT_BRIDGE_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8);
    let (receiver, directory) = (Receiver::start().await, Directory::new("spool"));
    let spool = directory.path().join("spool");
    let config = config(&receiver, &spool);
    let mut account_of_lives = Account::default();
    for _ in 0..kills {
        let manners = [Manner::Take, Manner::Refuse];
        receiver.set(manners[fastrand::usize(..2)]);
        let mut bridge = Bridge::start(&config).await;
        for _ in 0..2 {
            // The moment is what is tried here, not what makes the test right.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..900))).await;
            account(&bridge).await;
            receiver.set(manners[fastrand::usize(..2)]);
        }
        bridge.process.signal("-KILL");
        bridge.process.ended().await;
        account_of_lives.stored.push(stored(&spool).into_iter().map(|(_, id)| id).collect());
        account_of_lives.taken.push(receiver.taken().len());
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        account_of_lives.ends.push(end.as_nanos() as u64);
    }
    receiver.set(Manner::Take);
    let bridge = Bridge::start(&config).await;
    let first_new = receiver.taken().len() + account_of_lives.stored.last().map_or(0, Vec::len);
    let drained = || async { (receiver.taken().len() > first_new).then_some(()) };
    eventually("everything delivered", drained).await;
    account(&bridge).await;
    assert!(bridge.process.stop().await.success());
    let taken = receiver.taken();
    account_of_lives.taken.push(taken.len());
    account_of_lives.judge(&taken);
}
