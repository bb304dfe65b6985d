//! The table, and whether the aims are kept.

use std::collections::BTreeSet;
use std::time::Duration;

use super::program::Kind;
use super::shop::{COLLECTIONS, Connection, Shop};
use super::turn::{AGE_INTERVAL, Cost};
use crate::Result;

/// Of the database's time for a poll of the peer.
const IDLE_AIM: f64 = 0.05;
const BUSY_AIM: f64 = 1.0;
/// Where both count the same tables, what else runs on the machine makes this much of a difference.
const COST_TOLERANCE: f64 = 0.05;
/// A median of ages is not told more exactly than to this part of an interval.
const AGE_TOLERANCE: f64 = 0.02;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Busy,
}

/// What was measured of one program.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) costs: Vec<Cost>,
    pub(crate) ages: Vec<Duration>,
}

impl Row {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, costs: Vec::new(), ages: Vec::new() }
    }

    fn sum(&self, of: impl Fn(&Cost) -> Duration) -> f64 {
        self.costs.iter().map(of).sum::<Duration>().as_secs_f64()
    }

    /// Milliseconds a minute.
    fn rate(&self, of: impl Fn(&Cost) -> Duration) -> f64 {
        self.sum(of) / self.sum(|cost| cost.turn) * 60_000.0
    }

    fn database(&self) -> f64 {
        self.rate(|cost| cost.database)
    }

    fn program(&self) -> f64 {
        self.rate(|cost| cost.program)
    }

    /// A minute.
    fn polls(&self) -> f64 {
        let polls: u64 = self.costs.iter().map(|cost| cost.polls).sum();
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let polls = polls as f64;
        polls / self.sum(|cost| cost.turn) * 60.0
    }

    /// Milliseconds.
    fn poll(&self) -> f64 {
        self.database() / self.polls()
    }

    /// Of the middle one of the changes, in seconds.
    fn age(&self) -> f64 {
        self.ages.get(self.ages.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
    }

    fn megabytes(&self) -> f64 {
        let peak = self.costs.iter().map(|cost| cost.resident_peak).max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let megabytes = peak as f64 / 1e6;
        megabytes
    }
}

pub(crate) fn head(shop: &Shop, connection: &mut Connection) -> Result<()> {
    let mut count = |table: &str| connection.number(&format!("SELECT count(*) FROM {table}"));
    let records: u64 = COLLECTIONS.iter().map(|name| count(name)).sum::<Result<_>>()?;
    let (staging, skus) = (count("staging")?, count("skus")?);
    println!("\n{}: {records} records, {skus} of them skus, and {staging} rows of staging", shop.name());
    let database = if shop.is_server() { "sessions' CPU" } else { "lock held" };
    println!("{:29} {:>7} {database:>15} {:>9} {:>9} {:>7}", "", "polls", "own CPU", "peak", "change");
    println!("{:29} {:>7} {:>8} {:>6} {:>9} {:>9} {:>7}", "", "/min", "ms/min", "/poll", "ms/min", "MB", "shown");
    Ok(())
}

/// Prints the programs in one state, the peer first; whether the aims are kept.
pub(crate) fn show(shop: &Shop, state: State, rows: &[Row]) -> bool {
    let [peer, bridges @ ..] = rows else { return false };
    let (word, aim) = if state == State::Idle { ("idle", IDLE_AIM) } else { ("busy", BUSY_AIM) };
    for row in rows {
        print!("{word} {:24} {:7.0} {:8.1} {:6.2}", name(shop, row), row.polls(), row.database(), row.poll());
        println!(" {:9.0} {:9.1} {:6.2}s", row.program(), row.megabytes(), row.age());
    }
    let mut kept = true;
    for bridge in bridges {
        let share = bridge.poll() / peer.poll();
        let share_of_minute = bridge.database() / peer.database();
        print!(
            "     {:24} a poll {:.1} %, a minute {:.1} %",
            name(shop, bridge),
            share * 100.0,
            share_of_minute * 100.0
        );
        // The other one is there to compare with: it counts what the bridge by itself would not.
        if bridge.kind == Kind::Bridge {
            let cheap = share <= aim * (1.0 + COST_TOLERANCE);
            let fresh = bridge.age() <= peer.age() + f64::from(AGE_INTERVAL) * AGE_TOLERANCE;
            print!("; aim {:.0} %: {}; as fresh: {}", aim * 100.0, verdict(cheap), verdict(fresh));
            kept &= cheap && fresh;
        }
        let estimated: BTreeSet<_> = bridge.costs.iter().flat_map(|cost| &cost.estimated).copied().collect();
        if !estimated.is_empty() {
            print!("; estimated: {}", estimated.into_iter().collect::<Vec<_>>().join(", "));
        }
        println!();
    }
    kept
}

fn verdict(holds: bool) -> &'static str {
    if holds { "PASS" } else { "FAIL" }
}

fn name(shop: &Shop, row: &Row) -> &'static str {
    match (row.kind, shop) {
        (Kind::Peer, Shop::Sqlite { .. }) => "query-exporter",
        (Kind::Peer, _) => "prometheus-sql-exporter",
        (Kind::Bridge, _) => "linkit-bridge",
        (Kind::BridgeExact, _) => "linkit-bridge, exact",
    }
}
