//! What systemd hears of the bridge: that it is ready, reloads, is alive and stops.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use super::{Bridge, DONE, FAILED};
use crate::support::{Directory, eventually};

/// Everything that is heard at a socket.
fn listen(path: &std::path::Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length) = socket.recv(&mut bytes) {
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            let is_last = text.starts_with("STOPPING=1");
            all.lock().unwrap().push(text);
            if is_last {
                return;
            }
        }
    });
    heard
}

#[tokio::test]
async fn a_supervisor_hears_of_the_start_each_reload_the_life_and_the_stop() {
    let directory = Directory::new("supervised");
    let socket = directory.path().join("notify");
    let heard = listen(&socket);
    let env = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let good = "runtime: { source: self, interval: 200ms }\n";
    let mut bridge = Bridge::start_with(directory, good, &[], &env).await;
    let words = || heard.lock().unwrap().clone();
    let without_life = || words().into_iter().filter(|word| word != "WATCHDOG=1\n").collect::<Vec<_>>();
    eventually("three signs of life", || async { (words().len() > 3).then_some(()) }).await;
    assert_eq!(without_life(), ["READY=1\nSTATUS=running\n"]);
    bridge.hangup(DONE).await;
    bridge.write("runtime: [\n");
    bridge.hangup(FAILED).await;
    bridge.process.signal("-TERM");
    assert!(bridge.process.ended().await.success());
    eventually("the last word", || async { words().iter().any(|word| word.starts_with("STOPPING=1")).then_some(()) })
        .await;
    let words = without_life();
    let starts = ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "STOPPING=1"];
    assert_eq!(words.iter().map(|word| word.lines().next().unwrap()).collect::<Vec<_>>(), starts);
    for reloading in [&words[1], &words[3]] {
        let time = reloading.lines().nth(1).unwrap().strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
    }
    assert!(words[4].contains("STATUS=running; the last reload failed: "), "{}", words[4]);
}
