//! A panic planted in a collector, as its operator sees it: the table has what the faces say of it.

use std::fs::{File, read_to_string};
use std::time::Duration;

use super::bench::{Bench, SECTIONS, World};
use super::play::MORNING;
use crate::support::Directory;

#[tokio::test(start_paused = true)]
async fn a_panic_is_said_once_with_its_collector_which_reads_again_and_no_other_says_anything() {
    let directory = Directory::new("panic");
    let file = directory.path().join("log");
    // As long as there is one subscriber alone, whichever thread comes to an event first decides whether it is heard.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
    let _heard = tracing::subscriber::set_default(subscriber.with_writer(File::create(&file).unwrap()).finish());
    let mut bench = Bench::new(World::Database, MORNING).await;
    bench.start().await;
    for panics in [true, true, false] {
        if panics {
            bench.panic("store");
        }
        bench.pass(Duration::from_secs(10), &SECTIONS).await;
    }
    let log = read_to_string(file).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("collector=")).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "WARN failed to read the source collector=\"store\" source=\"sqlite\" class=\"panic\" \
             error=the collector panicked (planted); this is a defect, please report it",
            "INFO the source is read again collector=\"store\" source=\"sqlite\" attempts=2 after=20s",
        ]
    );
}
