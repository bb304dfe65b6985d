//! The watchdog: tells the supervisor that the bridge is alive, as long as that is proved. A task of the runtime, so that
//! workers that are held up cannot look alive: the accept loop must come round, and no collector be overdue.

use std::sync::PoisonError;
use std::time::Duration;

use super::sources::Pulses;
use crate::server::Turn;
use crate::supervisor::Supervisor;

/// Tells `supervisor` at each beat, until the future is dropped.
pub(super) async fn watch(supervisor: &Supervisor, beat: Duration, turn: &Turn, pulses: &Pulses) {
    let mut is_failing = false;
    loop {
        let is_overdue =
            pulses.lock().unwrap_or_else(PoisonError::into_inner).iter().any(crate::scheduler::Pulse::is_overdue);
        let part = match (turn.turns().await, is_overdue) {
            (true, false) => None,
            (false, _) => Some("the accept loop"),
            (_, true) => Some("a collector"),
        };
        match part {
            None => supervisor.alive(),
            Some(part) if !is_failing => {
                tracing::error!(part, "does not move any more, so the supervisor is not told that the bridge is alive");
            }
            Some(_) => {}
        }
        is_failing = part.is_some();
        tokio::time::sleep(beat).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{Clock, ManualClock, Wall};
    use crate::reading::Ages;
    use crate::registry::Registry;
    use crate::scheduler::Pulse;
    use crate::server::{Server, ServerConfig, ServerInfo};

    const BEAT: Duration = Duration::from_secs(1);

    /// How many signs of life are heard within ten beats.
    async fn heard(turn: Turn, pulses: Vec<Pulse>) -> usize {
        let name = format!("linkit-bridge-watch-{:x}", fastrand::u64(..));
        let listening = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        listening.set_nonblocking(true).unwrap();
        let supervisor = Supervisor::of(&|key| (key == "NOTIFY_SOCKET").then(|| format!("@{name}")), 1);
        let pulses: Pulses = Arc::new(Mutex::new(pulses));
        let _ = tokio::time::timeout(10 * BEAT, watch(&supervisor, BEAT, &turn, &pulses)).await;
        std::iter::from_fn(|| listening.recv(&mut [0; 64]).ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_and_a_collector_that_is_overdue_are_not_alive() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let registry = Arc::new(Registry::new(Arc::clone(&clock), Ages::default(), &[]));
        let info = ServerInfo { service: String::new(), environment: String::new(), clock };
        let server = Server::new(ServerConfig::default(), registry, prometheus::Registry::new(), info).unwrap();
        let listeners = crate::server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let turn = server.turn();
        let task = tokio::spawn(server.serve(listeners, std::future::pending(), BEAT));
        let overdue = Pulse::default();
        overdue.expect_within(Duration::ZERO);
        assert!(heard(turn.clone(), vec![Pulse::default()]).await >= 9);
        assert!(heard(turn.clone(), vec![overdue]).await > 0, "not overdue at once");
        let overdue = Pulse::default();
        overdue.expect_within(Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(heard(turn.clone(), vec![Pulse::default(), overdue]).await, 0);
        task.abort();
        assert!(task.await.is_err());
        assert_eq!(heard(turn, Vec::new()).await, 0, "nobody accepts");
    }
}
