//! How the shop moves: orders and items arrive in waves, a few workers take items up and finish them.

use std::f64::consts::TAU;

use fastrand::Rng;
use rusqlite::{Connection, Result, params};

use super::records::{Records, time};
use crate::clock::{Day, Wall};

/// Items that arrive in the pipeline, on average.
pub(super) const MEAN_ITEMS_PER_SECOND: f64 = 0.25;

/// Items that can be at work at once, and how long one takes on average. Together they manage a little more than
/// arrives on average and less than at the height of a wave: then items wait.
const WORKERS: u32 = 6;
const MEAN_WORK_SECONDS: f64 = 20.0;

/// A slow wave and a quick one, as period in seconds and height.
const WAVES: [(f64, f64); 2] = [(900.0, 0.7), (140.0, 0.2)];

/// The longest time one tick makes up for; after a laptop's sleep the shop goes on instead of catching up.
const LONGEST_TICK_SECONDS: f64 = 60.0;

/// What one tick removes of the days before yesterday: more than arrives, little enough to be quick.
const REMOVED_PER_TICK: u32 = 50;

/// The state of the shop that is not worth a query.
pub(super) struct Life {
    pub(super) rng: Rng,
    pub(super) last: Wall,
    pub(super) branches: Vec<String>,
    pub(super) customers: Vec<String>,
    pub(super) products: u32,
    pub(super) orders: u32,
    pub(super) pending: u32,
    pub(super) processing: u32,
}

impl Life {
    /// Lives from the last tick until `now`, in one transaction.
    pub(super) fn tick(&mut self, connection: &mut Connection, now: Wall) -> Result<()> {
        let seconds = now.since(self.last).as_secs_f64().min(LONGEST_TICK_SECONDS);
        if seconds == 0.0 {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        let arrived = self.arrive(&transaction, seconds, now)?;
        let finished = self.finish(&transaction, seconds, now)?;
        let begun = self.begin(&transaction, arrived, finished)?;
        forget(&transaction, now.day())?;
        transaction.commit()?;
        self.last = now;
        self.pending = self.pending + arrived - begun;
        self.processing = self.processing + begun - finished;
        Ok(())
    }

    /// New items of the pipeline, and what they stand for: mostly stock movements, every fifth an order.
    fn arrive(&mut self, connection: &Connection, seconds: f64, now: Wall) -> Result<u32> {
        let arrived = poisson(&mut self.rng, arrivals_per_second(now) * seconds);
        if arrived == 0 {
            return Ok(0);
        }
        let mut rng = self.rng.fork();
        let mut records = Records::new(connection, &mut rng)?;
        for _ in 0..arrived {
            let reference = match self.rng.u32(..100) {
                0..20 => self.order(&mut records, now)?,
                20..22 => {
                    self.products += 1;
                    records.product(self.products - 1, &self.branches, now)?
                }
                _ => format!("P{:05}", self.rng.u32(..self.products)),
            };
            records.item("pending", &reference, now, "")?;
        }
        Ok(arrived)
    }

    /// An order, every seventh of a new customer.
    fn order(&mut self, records: &mut Records<'_>, now: Wall) -> Result<String> {
        if self.rng.u32(..7) == 0 {
            let number = u32::try_from(self.customers.len()).unwrap_or(u32::MAX);
            self.customers.push(records.customer(number, now)?);
        }
        let customer = &self.customers[self.rng.usize(..self.customers.len())];
        self.orders += 1;
        records.order(self.orders - 1, customer, now)
    }

    fn finish(&mut self, connection: &Connection, seconds: f64, now: Wall) -> Result<u32> {
        let chance = 1.0 - (-seconds / MEAN_WORK_SECONDS).exp();
        let finished = (0..self.processing).filter(|_| self.rng.f64() < chance).count();
        let finished = u32::try_from(finished).unwrap_or(u32::MAX);
        if finished > 0 {
            connection.execute(
                "UPDATE staging SET status = 'completed', completed = ?1 WHERE rowid IN
                   (SELECT rowid FROM staging WHERE status = 'processing' AND status IN ('pending', 'processing')
                    ORDER BY rowid LIMIT ?2)",
                params![time(now), finished],
            )?;
        }
        Ok(finished)
    }

    fn begin(&self, connection: &Connection, arrived: u32, finished: u32) -> Result<u32> {
        let begun = (self.pending + arrived).min(WORKERS.saturating_sub(self.processing - finished));
        if begun > 0 {
            connection.execute(
                "UPDATE staging SET status = 'processing' WHERE rowid IN
                   (SELECT rowid FROM staging WHERE status = 'pending' AND status IN ('pending', 'processing')
                    ORDER BY rowid LIMIT ?1)",
                [begun],
            )?;
        }
        Ok(begun)
    }
}

/// Removes the oldest items completed before yesterday. Yesterday's stay: who counts across midnight needs them.
fn forget(connection: &Connection, today: Day) -> Result<()> {
    let yesterday = Day(today.0.saturating_sub(1));
    connection.execute(
        "DELETE FROM staging WHERE rowid IN
           (SELECT rowid FROM staging WHERE status = 'completed' AND completed < ?1 ORDER BY completed LIMIT ?2)",
        params![time(yesterday.start()), REMOVED_PER_TICK],
    )?;
    Ok(())
}

fn arrivals_per_second(now: Wall) -> f64 {
    // Seconds of the day: small enough for a float, and the waves meet at midnight.
    let second = now.since(now.day().start()).as_secs_f64();
    let height: f64 = WAVES.iter().map(|(period, height)| height * (TAU * second / period).sin()).sum();
    MEAN_ITEMS_PER_SECOND * (1.0 + height)
}

/// How many events happen by chance where `mean` are expected.
fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    let limit = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_keeps_to_its_mean() {
        let mut rng = Rng::with_seed(1);
        let total: u32 = (0..10_000).map(|_| poisson(&mut rng, 0.5)).sum();
        assert!((4_700..5_300).contains(&total), "{total}");
        assert_eq!(poisson(&mut rng, 0.0), 0);
    }

    #[test]
    fn arrivals_rise_and_fall_and_never_end() {
        let rates: Vec<f64> = (0..86_400).map(|second| arrivals_per_second(Wall::from_secs(second))).collect();
        let mean = rates.iter().sum::<f64>() / 86_400.0;
        assert!((mean - MEAN_ITEMS_PER_SECOND).abs() < 0.01, "{mean}");
        assert!(rates.iter().all(|rate| *rate > 0.0));
        assert!(rates.iter().any(|rate| rate * MEAN_WORK_SECONDS > f64::from(WORKERS)), "items never wait");
    }
}
