//! Floods of wrong passwords on the real program: they cost a scrape and the liveness nothing, let newcomers in, and show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{HASH, Server, USER};
use crate::server::connect_from;
use crate::support::http::get;
use crate::support::page::series;
use crate::support::{Directory, eventually};

/// Longest time a scrape or a look at the liveness may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// Longest time until who comes for the first time is let in.
const LET_IN_WITHIN: Duration = Duration::from_secs(10);
/// Scrapes under each flood, and guesses that it has made by then.
const SCRAPES: usize = 100;
const GUESSERS: usize = 100;

fn basic(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(user))
}

/// Shows one wrong password after the other from the `from`th address; how often it was told what.
async fn guess(from: usize, to: SocketAddr, is_over: Arc<AtomicBool>) -> BTreeMap<u16, usize> {
    let mut told = BTreeMap::new();
    while !is_over.load(Ordering::Relaxed) {
        let wrong = basic(&format!("scraper:{:x}", fastrand::u64(..)));
        let mut stream = connect_from(from, to).await.unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {wrong}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        *told.entry(answer[9..12].parse().unwrap()).or_default() += 1;
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_passwords_starves_nobody_and_shows() {
    let users = ["scraper", "of-one", "of-many"].map(|user| format!("{user}: '{HASH}'")).join(", ");
    let server = Server::start(Directory::new("web-guesses"), &format!("basic_auth_users: {{ {users} }}\n")).await;
    let (url, to) = (format!("http://{}", server.address), server.address.parse().unwrap());
    let (scraper, mut told) = (basic(USER), BTreeMap::<u16, usize>::new());
    let ask = async |path: &str, user: &str| {
        let start = Instant::now();
        let answer = get(&format!("{url}{path}"), &[("authorization", user)]).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        (start.elapsed(), answer.body)
    };
    ask("/metrics", &scraper).await;
    for (newcomer, addresses) in [("of-one", 1), ("of-many", GUESSERS)] {
        let is_over = Arc::new(AtomicBool::new(false));
        let guessers = (0..GUESSERS).map(|number| guess(number % addresses, to, Arc::clone(&is_over)));
        // An address has 64 connections.
        let guessers: Vec<_> = guessers.take(if addresses == 1 { 32 } else { GUESSERS }).map(tokio::spawn).collect();
        let let_in = async { ask("/metrics", &basic(&format!("{newcomer}:correct horse"))).await.0 };
        let scraped = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..SCRAPES {
                for path in ["/metrics", "/-/healthy"] {
                    slowest = slowest.max(ask(path, &scraper).await.0);
                }
            }
            slowest
        };
        let (let_in, slowest) = tokio::join!(let_in, scraped);
        assert!(slowest <= ANSWERED_WITHIN, "{addresses} addresses: a scrape took {slowest:?}");
        assert!(let_in <= LET_IN_WITHIN, "{addresses} addresses: a newcomer was let in after {let_in:?}");
        is_over.store(true, Ordering::Relaxed);
        for guesser in guessers {
            for (status, count) in guesser.await.unwrap() {
                *told.entry(status).or_default() += count;
            }
        }
        eprintln!("{addresses} addresses: {told:?}; slowest scrape {slowest:?}, newcomer {let_in:?}");
    }
    assert!(told.len() == 2 && told[&401] > GUESSERS && told[&429] > GUESSERS, "{told:?}");
    for (status, count) in told {
        let name = format!(
            "linkit_bridge_http_request_duration_seconds_count{{code=\"{status}\",method=\"GET\",route=\"/metrics\"}}"
        );
        let is_told = || async {
            let page = series(&ask("/metrics", &scraper).await.1);
            (page.get(&name).copied() == Some(count as f64)).then_some(())
        };
        eventually(&format!("{name} {count}"), is_told).await;
    }
}
