//! All hostile sources of all kinds at once, in one bridge.

use super::http::By;
use super::{Camp, EVERY, Shop, Siege, files, http, servers};
use crate::support::hostile::http::Fault;
use crate::support::hostile::server::{HostileServer, Ill, Speech};

/// What costs most of what can stand in the three sections.
const SECTIONS: http::Case = &[
    ("runtime", By::GoAll, Fault::EachPage),
    ("store", By::Json, Fault::EndlessBody),
    ("staging", By::Json, Fault::DeepJson),
];

async fn all() -> String {
    let shop = Shop::open();
    let mut camp = Camp::new(&shop);
    http::add(&mut camp, SECTIONS);
    servers::add(&mut camp, servers::ILLS, EVERY);
    files::add(&mut camp);
    // These never turn.
    let others = [Speech::Postgres, Speech::Mysql].map(|speech| HostileServer::start(speech, Ill::Hangs));
    for server in &others {
        let reader = servers::figure(&mut camp, server, EVERY);
        camp.well.push(reader);
    }
    Siege::run(&format!("all {} sources", camp.ill.len()), camp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hostile_sources_at_once_cost_their_own_figures() {
    super::alone(all()).await;
}
