//! The account on the page, at every scrape, while receiver and disk go from one trouble to the next; in the end it is
//! that of the receiver.

use super::*;

/// The bridge, and what its page said last.
struct Watched<'a> {
    bridge: &'a Bridge,
    last: std::cell::Cell<Said>,
    scrapes: std::cell::Cell<usize>,
}

impl Watched<'_> {
    /// Scrapes until the page says that of these series one has reached `least`; every page has to add up.
    async fn until(&self, name: &str, label: &str, least: f64, mut meanwhile: impl FnMut()) {
        let what = format!("{least} of {name} with {label}");
        eventually(&what, || {
            meanwhile();
            async {
                let series = self.bridge.series().await;
                let (now, last) = (said(&series), self.last.get());
                assert!(
                    now.accepted >= last.accepted && now.delivered >= last.delivered && now.dropped >= last.dropped,
                    "{last:?}, then {now:?}"
                );
                self.last.set(now);
                self.scrapes.set(self.scrapes.get() + 1);
                let name = format!("linkit_bridge_push_{name}{{endpoint=\"default\"{label}}}");
                (series[&name] >= least).then_some(())
            }
        })
        .await;
    }
}

/// Cuts every stored batch short. One that goes meanwhile was taken.
fn damage(spool: &Path) {
    for entry in std::fs::read_dir(spool).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "batch") {
            let _ = std::fs::OpenOptions::new().write(true).open(entry.path()).and_then(|file| file.set_len(40));
        }
    }
}

#[tokio::test]
async fn the_account_holds_at_every_scrape_and_is_the_receivers() {
    let Some(disk) = Mount::of_4_mib() else { return };
    let (receiver, spool) = (Receiver::start().await, disk.0.path().join("spool"));
    // Enough not to be reached before the disk is full: what is dropped for size makes room on it.
    let bounds = format!("timeout: 1s, spool: {{ max_bytes: 128KiB, dir: {} }}", spool.display());
    let config = format!(
        "runtime: {{ source: self, interval: 100ms }}\notlp: {{ endpoint: '{}', interval: 100ms, {bounds} }}\n",
        receiver.endpoint
    );
    let bridge = Bridge::start(&config).await;
    let watched = Watched { bridge: &bridge, last: std::cell::Cell::default(), scrapes: std::cell::Cell::default() };
    let filler = disk.0.path().join("filler");
    watched.until("delivered_total", "", 5.0, || {}).await;
    receiver.set(Manner::Refuse);
    watched.until("attempts_total", ",outcome=\"retry\"", 1.0, || {}).await;
    assert!(std::fs::write(&filler, vec![1; 8 << 20]).is_err(), "the disk is full");
    watched.until("unstored_batches", "", 3.0, || {}).await;
    std::fs::remove_file(&filler).unwrap();
    watched.until("dropped_total", ",reason=\"size\"", 3.0, || {}).await;
    receiver.set(Manner::Reject);
    watched.until("dropped_total", ",reason=\"corrupt\"", 1.0, || damage(&spool)).await;
    watched.until("dropped_total", ",reason=\"rejected\"", 3.0, || {}).await;
    receiver.set(Manner::Hang);
    watched.until("attempts_total", ",outcome=\"unanswered\"", 1.0, || {}).await;
    receiver.set(Manner::Take);
    let delivered = watched.last.get().delivered as f64 + 3.0;
    watched.until("delivered_total", "", delivered, || {}).await;
    eventually("nothing waiting", || async { (account(&bridge).await.queued == 0).then_some(()) }).await;

    // The receiver's own account; an answer that came too late may have been for a batch that it took.
    receiver.set(Manner::Refuse);
    eventually("a batch that waits", || async { (account(&bridge).await.queued > 0).then_some(()) }).await;
    let series = bridge.series().await;
    let of = |name: &str| series[&format!("linkit_bridge_push_{name}}}")] as usize;
    let late = of("attempts_total{endpoint=\"default\",outcome=\"unanswered\"") - receiver.hung();
    let delivered = of("delivered_total{endpoint=\"default\"");
    let rejected = of("dropped_total{endpoint=\"default\",reason=\"rejected\"");
    let (taken, refused) = (receiver.taken().len(), receiver.rejected());
    assert!(taken >= delivered && refused >= rejected, "{taken} of {delivered}, {refused} of {rejected}");
    assert!(taken + refused <= delivered + rejected + late, "{taken} of {delivered}, {refused} of {rejected}");
    eprintln!(
        "{} scrapes, all of them whole; {taken} batches taken, {refused} refused for good",
        watched.scrapes.get()
    );
}
