//! Isolation from database servers, each of which speaks PostgreSQL's protocol or MySQL's just long enough to hurt.

use std::time::{Duration, Instant};

use super::{Camp, EVERY, Hostile, ROUNDS, Reader, Shop, Siege, memory_kib};
use crate::support::PATIENCE;
use crate::support::bridge::Bridge;
use crate::support::hostile::Host;
use crate::support::hostile::server::{HostileServer, Ill, Speech};

/// With back-off there is an attempt every 0.75 s at the most, once it has grown; by the interval alone there were four.
const ATTEMPTS_FIRST: u128 = 5;
const ATTEMPT_EVERY_MS: u128 = 750;

pub const ILLS: &[Ill] = &[
    Ill::Refuses,
    Ill::Hangs,
    Ill::HangsInAnswer,
    Ill::DripsGreeting,
    Ill::DripsAnswer,
    Ill::GarbageForGreeting,
    Ill::GarbageForAnswer,
    Ill::GarbageForTls,
    Ill::ShortGreeting,
    Ill::ShortRow,
    Ill::ClosesInAnswer,
    Ill::EndlessGreeting,
    Ill::EndlessParameters,
    Ill::EndlessNotices,
    Ill::EndlessCell,
    Ill::ManyRows,
    Ill::ManyCells,
    Ill::ManyColumns,
    Ill::CountlessColumns,
];

/// A server that notes when it turned.
struct Server {
    server: HostileServer,
    turned: Option<Instant>,
}

impl Hostile for Server {
    fn host(&self) -> Option<&Host> {
        Some(&self.server.host)
    }

    fn turn(&mut self) {
        self.server.host.turn();
        self.turned = Some(Instant::now());
    }

    fn heal(&mut self) {
        self.server.host.heal();
    }

    fn classes(&self) -> Vec<&'static str> {
        vec![self.server.ill.class()]
    }

    /// On a busy machine there may be no time to send too much.
    fn may_be(&self) -> Option<&'static str> {
        (self.server.ill.class() == "oversized").then_some("timeout")
    }

    fn judge(&self, siege: &str) {
        let (ill, asked) = (self.server.ill, self.server.host.victims());
        assert!(asked > 0 || ill == Ill::Refuses, "{siege}: {ill:?} was not asked");
        let time = self.turned.unwrap().elapsed().as_millis();
        let most = ATTEMPTS_FIRST + time / ATTEMPT_EVERY_MS;
        assert!(u128::from(asked) <= most, "{siege}: {ill:?} was asked {asked} times in {time} ms");
    }
}

/// Adds a figure from a server of each kind and each ill.
pub fn add(camp: &mut Camp, ills: &[Ill], keys: &str) {
    let both = ills.iter().flat_map(|ill| [Speech::Postgres, Speech::Mysql].map(|speech| (speech, *ill)));
    for (speech, ill) in both.filter(|(speech, ill)| ill.is_of(*speech)) {
        let server = HostileServer::start(speech, ill);
        let reader = figure(camp, &server, keys);
        camp.ill(reader, Server { server, turned: None });
    }
}

/// Adds a figure from a server.
pub fn figure(camp: &mut Camp, server: &HostileServer, keys: &str) -> Reader {
    camp.figure(server.source(), &format!("url: '{}', {keys}", server.url()), "SELECT 7 AS value")
}

async fn servers(ills: &[Ill]) -> String {
    let shop = Shop::open();
    let mut camp = Camp::with_sections(&shop);
    add(&mut camp, ills, EVERY);
    let name = if let [ill] = ills { format!("{ill:?}") } else { format!("{} servers", camp.ill.len()) };
    Siege::run(&name, camp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_server_costs_its_own_figures_and_is_read_again_when_it_is_well() {
    super::each(ILLS.chunks(1).map(servers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hostile_servers_at_once_cost_their_own_figures() {
    super::alone(servers(ILLS)).await;
}

/// Sockets and threads of a process, and the live tasks that a bridge says it has.
async fn held(bridge: &Bridge) -> [u64; 3] {
    // The number of tasks is read at its interval too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = bridge.process.id();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let sockets = links.filter(|link| link.display().to_string().starts_with("socket:")).count();
    let tasks = bridge.series().await["linkit_runtime_goroutines"];
    [sockets as u64, memory_kib(pid, "Threads"), format!("{tasks:.0}").parse().unwrap()]
}

async fn dropped() -> String {
    let shop = Shop::open();
    let mut camp = Camp::with_sections(&shop);
    let keys = "interval: 100ms, timeout: 100ms, max_backoff: 100ms";
    add(&mut camp, &[Ill::Hangs, Ill::HangsInAnswer], keys);
    let mut siege = Siege::begin("dropped attempts", camp).await;
    let before = held(&siege.bridge).await;
    siege.turn();
    let began = Instant::now();
    while siege.ill.iter().any(|(_, source)| source.host().unwrap().victims() < 50) {
        assert!(began.elapsed() < PATIENCE, "50 attempts at each server took too long");
        siege.hold(ROUNDS / 5).await;
    }
    let after = held(&siege.bridge).await;
    // The last attempt of each may hold one socket more than a session does, the listener of its wire.
    let count = siege.ill.len() as u64;
    let most = [before[0] + count, before[1] + 2, before[2] + count];
    assert!(after.iter().zip(most).all(|(now, most)| *now <= most), "from {before:?} to {after:?}");
    siege.heal();
    siege.are_up().await;
    format!("{}; sockets, threads and tasks: {before:?}, after 50 attempts {after:?}", siege.end().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_dropped_at_their_deadline_leave_no_socket_thread_or_task() {
    super::each(std::iter::once(dropped())).await;
}
