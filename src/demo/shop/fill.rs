//! What is in the shop when it opens.

use std::time::Duration;

use fastrand::Rng;
use rusqlite::{Connection, Result};

use super::life::{Life, MEAN_ITEMS_PER_SECOND};
use super::records::{Records, time};
use crate::clock::Wall;

const PRODUCTS: u32 = 1_500;
const BRANCHES: u32 = 25;
const ORDERS: u32 = 2_000;
const CUSTOMERS: u32 = 900;
const PENDING: u32 = 14;
const PROCESSING: u32 = 4;

/// How long the shop has been open.
const AGE: Duration = Duration::from_secs(400 * 86_400);

/// Fills the empty tables in one transaction, and gives them life.
pub(super) fn fill(connection: &mut Connection, seed: u64, now: Wall) -> Result<Life> {
    let mut rng = Rng::with_seed(seed);
    let mut life_rng = rng.fork();
    let transaction = connection.transaction()?;
    let mut records = Records::new(&transaction, &mut rng)?;
    let opened = Wall(now.0.saturating_sub(u64::try_from(AGE.as_nanos()).unwrap_or(u64::MAX)));
    let since = |number, count| opened.plus(now.since(opened) / count * number);

    let branches = (0..BRANCHES).map(|n| records.branch(n, since(n, BRANCHES))).collect::<Result<Vec<_>>>()?;
    for number in 0..PRODUCTS {
        records.product(number, &branches, since(number, PRODUCTS))?;
    }
    let customers = (0..CUSTOMERS).map(|n| records.customer(n, since(n, CUSTOMERS))).collect::<Result<Vec<_>>>()?;
    for number in 0..ORDERS {
        let customer = &customers[life_rng.usize(..customers.len())];
        records.order(number, customer, since(number, ORDERS))?;
    }
    pipeline(&mut records, &mut life_rng, now)?;
    drop(records);
    transaction.commit()?;
    Ok(Life {
        rng: life_rng,
        last: now,
        branches,
        customers,
        products: PRODUCTS,
        orders: ORDERS,
        pending: PENDING,
        processing: PROCESSING,
    })
}

/// The items completed since midnight, then those at work, then those that wait.
fn pipeline(records: &mut Records<'_>, rng: &mut Rng, now: Wall) -> Result<()> {
    let mut at = now.day().start();
    loop {
        at = at.plus(Duration::from_secs_f64(2.0 * rng.f64() / MEAN_ITEMS_PER_SECOND));
        if at >= now {
            break;
        }
        records.item("completed", "", at, &time(at))?;
    }
    for (status, count) in [("processing", PROCESSING), ("pending", PENDING)] {
        for _ in 0..count {
            records.item(status, "", now, "")?;
        }
    }
    Ok(())
}
