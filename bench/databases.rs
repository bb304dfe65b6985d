//! What polls cost a database and how fresh the figures are, beside the exporter an operator would use today.
//!
//! `bench/databases` starts the databases and says by variables where they are: `LINKIT_BRIDGE_BENCH_SQLITE` is the
//! `data.db` of a running PocketBase, `LINKIT_BRIDGE_BENCH_POSTGRES` and `LINKIT_BRIDGE_BENCH_MARIADB` are directories
//! of servers; what is not named is left out. `LINKIT_BRIDGE_BENCH_ROUNDS` is the number of rounds, 2 by default,
//! `LINKIT_BRIDGE_BENCH_CHANGE` the seconds from one change to the next while a database is idle, 30 by default. Exits
//! with 1 if an aim is missed.
//!
//! The programs take turns, never two at a time: with a poll a second what they cost is measured, with one in five
//! seconds when a change is on their page. The database's time is what the kernel says: of SQLite, which runs inside the
//! program that reads it, how long a read lock was held; of a server, the CPU of the program's sessions.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "prints a table, and is set by variables")]

mod beside {
    pub(crate) mod proc;
    pub(crate) mod program;
    pub(crate) mod session;
    pub(crate) mod shop;
    pub(crate) mod table;
    pub(crate) mod turn;
}

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use beside::program::Kind;
use beside::shop::Shop;
use beside::table::{self, Row, State};
use beside::turn::{self, Plan, WORK_RATE, Writer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let number = |variable, default| match std::env::var(variable) {
        Ok(text) => text.parse::<u32>(),
        Err(_) => Ok(default),
    };
    let rounds = number("LINKIT_BRIDGE_BENCH_ROUNDS", 2)?.max(1);
    let idle = number("LINKIT_BRIDGE_BENCH_CHANGE", 30)?;
    let plan = Plan { rounds, idle: Duration::from_secs(idle.into()) };
    let named = |variable| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut shops = Vec::new();
    shops.extend(named("LINKIT_BRIDGE_BENCH_SQLITE").map(Shop::sqlite));
    shops.extend(named("LINKIT_BRIDGE_BENCH_POSTGRES").map(Shop::postgres).transpose()?);
    shops.extend(named("LINKIT_BRIDGE_BENCH_MARIADB").map(Shop::mariadb).transpose()?);
    println!("idle: a change each {idle} s; busy: {WORK_RATE} transactions a second; cost at an interval of 1 s");
    let mut kept = true;
    for shop in &shops {
        // A PocketBase that nobody asks closes its own connections after minutes, and then the file counts as stopped.
        let mut open = shop.connect()?;
        table::head(shop, &mut open)?;
        for state in [State::Idle, State::Busy] {
            kept &= table::show(shop, state, &measure(shop, state, plan)?);
        }
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All programs on one database in one state, the peer first.
fn measure(shop: &Shop, state: State, plan: Plan) -> Result<Vec<Row>> {
    let _writer = (state == State::Busy).then(|| Writer::start(shop)).transpose()?;
    let mut rows = vec![Row::new(Kind::Peer), Row::new(Kind::Bridge)];
    for round in 0..plan.rounds {
        let mut order: Vec<_> = rows.iter_mut().collect();
        if round % 2 == 1 {
            // So that a machine that becomes slower is unfair to none.
            order.reverse();
        }
        for row in order {
            row.costs.push(turn::cost(shop, row.kind, state, round, plan)?);
        }
    }
    // Where the bridge estimates it does less than its peer, so it is also told to count.
    if rows[1].costs.iter().any(|cost| !cost.estimated.is_empty()) {
        let mut exact = Row::new(Kind::BridgeExact);
        for round in 0..plan.rounds {
            exact.costs.push(turn::cost(shop, exact.kind, state, round, plan)?);
        }
        rows.push(exact);
    }
    for row in &mut rows {
        row.ages = turn::ages(shop, row.kind, plan)?;
    }
    Ok(rows)
}
