//! Receivers of pushes over a reload: what waits for one stays, and so does its account.

use super::{Bridge, DONE};
use crate::support::receiver::{Manner, Receiver};
use crate::support::{Directory, eventually};

#[tokio::test]
async fn an_endpoint_that_moves_keeps_what_waits_and_its_account() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.set(Manner::Refuse);
    let config = |receiver: &Receiver| {
        format!(
            "runtime: {{ source: self, interval: 200ms }}\notlp: {{ endpoint: '{}', interval: 100ms }}\n",
            receiver.endpoint
        )
    };
    let mut bridge = Bridge::start(&config(&first), &[]).await;
    let account = "linkit_bridge_push_accepted_total{endpoint=\"default\"}";
    eventually("batches that wait", || async { bridge.value(account).await.filter(|count| *count > 5.0) }).await;
    bridge.write(&config(&second));
    bridge.hangup(DONE).await;
    let all = || async {
        let series = bridge.series().await;
        let of = |name: &str| series[&format!("linkit_bridge_push_{name}{{endpoint=\"default\"}}")];
        let dropped: f64 = series
            .iter()
            .filter(|(name, _)| name.starts_with("linkit_bridge_push_dropped"))
            .map(|(_, count)| count)
            .sum();
        assert!(
            (of("accepted_total") - of("delivered_total") - of("queued_batches") - dropped).abs() < 0.5,
            "{series:?}"
        );
        (of("delivered_total") > 6.0).then_some(())
    };
    eventually("all at the new endpoint", all).await;
    assert_eq!(first.taken(), []);
    let taken = second.taken();
    assert!(taken.is_sorted() && taken[0].accepted_before == 0, "what waited was lost: {taken:?}");
    bridge.write("runtime: { source: self, interval: 200ms }\n");
    bridge.hangup(DONE).await;
    bridge.has(account, None).await;
}

#[tokio::test]
async fn a_spool_stays_where_it_is_and_a_new_endpoint_may_bring_one() {
    let receiver = Receiver::start().await;
    let spools = Directory::new("reload-spools");
    let endpoint = |name: &str, spool: &str| {
        let spool = spools.path().join(spool);
        format!(
            "{{ name: {name}, endpoint: '{}', interval: 100ms, spool: {{ dir: {} }} }}",
            receiver.endpoint,
            spool.display()
        )
    };
    let config = |endpoints: &[String]| {
        format!("runtime: {{ source: self, interval: 200ms }}\notlp: [ {} ]\n", endpoints.join(", "))
    };
    let bridge = Bridge::start(&config(&[endpoint("a", "a")]), &["--web.enable-lifecycle"]).await;
    bridge.write(&config(&[endpoint("a", "other"), endpoint("b", "b")]));
    let answer = bridge.reload().await;
    assert!(answer.status == 200 && answer.body.contains("needs a restart: otlp.spool of a"), "{}", answer.body);
    assert!(spools.path().join("b").is_dir() && !spools.path().join("other").exists());
    bridge.write(&config(&[endpoint("a", "a"), endpoint("c", "b")]));
    let answer = bridge.reload().await;
    assert!(answer.status == 500 && answer.body.contains("spool"), "two endpoints in one spool: {}", answer.body);
    for name in ["a", "b"] {
        let delivered = format!("linkit_bridge_push_delivered_total{{endpoint=\"{name}\"}}");
        eventually(&delivered, || async { bridge.value(&delivered).await.filter(|count| *count > 1.0) }).await;
    }
}
