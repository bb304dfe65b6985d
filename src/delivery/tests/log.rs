//! What the log says of deliveries: each thing once, and that it is over only where batches had to wait.

use std::io;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged of so many batches that are answered so.
async fn logged(script: impl IntoIterator<Item = Answer>, batches: usize) -> String {
    let log = Log::default();
    let held = log.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || held.clone());
    let _only_here = tracing_subscriber::registry().with(layer).set_default();
    let bench = Bench::new(script);
    (0..batches).for_each(|_| bench.put());
    bench.delivery.run(at(60)).await;
    assert_eq!(bench.check().queued, amount(0));
    let log = log.0.lock().unwrap();
    String::from_utf8(log.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_remark_is_told_once_and_is_no_outage() {
    let (remark, taken) = (|| Answer::partial(0, "slow down"), || Answer::status(200));
    let script =
        [remark(), taken(), remark(), taken(), Answer::partial(2, "too old"), refused(), refused(), taken(), remark()];
    let log = logged(script, 8).await;
    for word in ["slow down", "too old", "connection refused", "delivered again"] {
        assert_eq!(log.matches(word).count(), 1, "{word}: {log}");
    }
    assert!(log.contains("attempts=2"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_told_with_each_reason_and_what_waits_once() {
    let says = |status, reason: &str| Answer::Status(status, None, reason.into());
    let script =
        [says(400, "bad label"), says(400, "bad label"), says(400, "too many"), says(503, "at 7"), says(503, "at 8")];
    let log = logged(script, 4).await;
    let told = ["bad label", "too many", "at 7", "at 8"].map(|word| log.matches(word).count());
    assert_eq!(told, [1, 1, 1, 0], "{log}");
}
