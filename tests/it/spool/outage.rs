//! A real Collector that is away: what its file then holds, how often it was asked meanwhile, how soon it was found again.
//! `LINKIT_BRIDGE_TEST_OUTAGE` says for how many seconds; `just outage` takes ten minutes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::support::otelcol::{Collector, points};

/// Longer than a snapshot is shared, so that each push has a time of its own.
const INTERVAL: Duration = Duration::from_millis(1100);

/// Attempts whose waits are still drawn from less than the longest span.
const FIRST_ATTEMPTS: usize = 5;

/// What stands at the Collector's address while it is away: counts who asks, and answers with 503, or not at all.
struct StandIn {
    begins: Arc<Mutex<Vec<Instant>>>,
    task: tokio::task::JoinHandle<()>,
}

impl StandIn {
    async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let begins = Arc::default();
        let task = tokio::spawn(stand_in(listener, Arc::clone(&begins)));
        Self { begins, task }
    }

    /// Gives the address free; when it was asked.
    async fn end(self) -> Vec<Instant> {
        self.task.abort();
        let _ = self.task.await;
        self.begins.lock().unwrap().clone()
    }
}

async fn stand_in(listener: TcpListener, begins: Arc<Mutex<Vec<Instant>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        begins.lock().unwrap().push(Instant::now());
        // Who asks is one, and never asks twice at a time; should it, the second is counted late and the test fails.
        let _ = disappoint(stream).await;
    }
}

async fn disappoint(mut stream: TcpStream) -> std::io::Result<()> {
    let mut start = [0; 1024];
    match fastrand::u8(..3) {
        0 => return Ok(()),
        1 => {
            let _ = stream.read(&mut start).await?;
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await?;
            stream.shutdown().await?;
        }
        // Until the other side has had enough.
        _ => {}
    }
    while stream.read(&mut start).await? > 0 {}
    Ok(())
}

fn resident_bytes(process: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 1024
}

/// Asserts that the Collector's file has the batches from the first on, one an interval, each once and in order.
fn assert_whole(requests: &[serde_json::Value]) {
    let number = |point: &serde_json::Value, key: &str| point[key].as_str().unwrap().parse::<u64>().unwrap();
    let mut last = None;
    for (count, request) in requests.iter().enumerate() {
        let accepted = points(request, "linkit.bridge.push.accepted")[0];
        assert_eq!(number(accepted, "asInt"), count as u64, "batches from 0 on, each once and in order");
        assert!(!points(request, "linkit.runtime.cpus").is_empty(), "batch {count} has no figure: {request}");
        let time = Duration::from_nanos(number(accepted, "timeUnixNano"));
        if let Some(last) = last.replace(time) {
            let gap = time.checked_sub(last);
            assert!(gap.is_some_and(|gap| gap < 2 * INTERVAL), "batch {count} is {gap:?} after the one before");
        }
    }
}

#[tokio::test]
async fn after_an_outage_the_collector_has_every_intervals_points_once_and_in_order() {
    let Some(mut collector) = Collector::start().await else { return };
    let seconds = std::env::var("LINKIT_BRIDGE_TEST_OUTAGE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(8);
    let address = collector.endpoint.trim_start_matches("http://").parse().unwrap();
    let directory = Directory::new("outage");
    let spool = directory.path().join("spool");
    let mut bridge = Bridge::start(&format!(
        "runtime: {{ source: self, interval: 100ms }}\n\
         otlp: {{ endpoint: '{}', interval: {}ms, spool: {{ dir: {} }} }}\n",
        collector.endpoint,
        INTERVAL.as_millis(),
        spool.display()
    ))
    .await;
    eventually("two deliveries", || async { (account(&bridge).await.delivered >= 2).then_some(()) }).await;

    collector.end().await;
    let (outage, stand_in) = (Instant::now(), StandIn::at(address).await);
    eventually("an attempt", || async { (!stand_in.begins.lock().unwrap().is_empty()).then_some(()) }).await;
    let resident = resident_bytes(bridge.process.id());
    let mut grown = 0;
    let before = account(&bridge).await;
    let mut said = before;
    while outage.elapsed() < Duration::from_secs(seconds) {
        // The length of the outage is what is tried here, not what makes the test right.
        tokio::time::sleep(Duration::from_secs(1)).await;
        said = account(&bridge).await;
        assert_eq!((said.delivered, said.dropped), (before.delivered, 0));
        grown = grown.max(resident_bytes(bridge.process.id()) - resident);
    }
    let waiting = said.queued;
    let begins = stand_in.end().await;
    collector.revive().await;
    let (lasted, returned) = (outage.elapsed(), Instant::now());
    let found = || async { (account(&bridge).await.delivered > before.delivered).then_some(()) };
    eventually("the first delivery after the outage", found).await;
    let found = returned.elapsed();
    let drained = || async { (account(&bridge).await.queued <= 1).then_some(()) };
    eventually("the backlog being delivered", drained).await;
    let drained = returned.elapsed();
    // So that nothing is under way at the end.
    let last = account(&bridge).await.delivered;
    eventually("one more", || async { (account(&bridge).await.delivered > last).then_some(()) }).await;
    let said = account(&bridge).await;
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    collector.end().await;

    let requests = collector.requests();
    assert_whole(&requests);
    assert!(requests.len() as i64 >= said.delivered, "{} of {}", requests.len(), said.delivered);
    assert!(found <= Duration::from_secs(35), "the return was seen after {found:?}");
    let steady = begins.get(FIRST_ATTEMPTS..).unwrap_or_default();
    let shortest = steady.windows(4).map(|four| four[3] - four[0]).min();
    assert!(shortest.is_none_or(|four| four > Duration::from_secs(60)), "four attempts in {shortest:?}");
    assert!(seconds < 180 || shortest.is_some(), "no steady outage was seen");
    let attempts = begins.len();
    let polite = shortest.map(|four| format!(", four of the steady ones in {four:.1?} at least")).unwrap_or_default();
    eprintln!(
        "away for {lasted:.1?}: {attempts} attempts{polite}; {waiting} batches waited, {:.1} MB more resident; the first \
         came {found:.1?} after the return, all by {drained:.1?}; {} in the file, none missing, doubled or out of order",
        grown as f64 / 1e6,
        requests.len()
    );
}
