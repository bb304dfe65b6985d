//! Ten thousand requests that nobody would send, to the real server: none makes a series, none is told back, none costs
//! the server its life or its memory.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::bridge::{Bridge, KEY};

const REQUESTS: usize = 10_000;
const AT_ONCE: usize = 16;

/// What the bridge may have grown by: its caches and the allocator's, full.
const GROWTH_MAX_KIB: u64 = 16 << 10;

/// Longest time any answer may take; the server itself ends a request after half of it.
const PATIENCE: Duration = Duration::from_secs(60);

const METHODS: [&str; 14] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "PROPFIND", "get", "G3T", "PRI",
    "QUERY",
];
const PATHS: [&str; 14] = [
    "/metrics",
    "/api/v1/telemetry",
    "/api/v1/health",
    "/api/v1/ping",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/",
    "/api/",
    "/api/v1/telemetry/",
    "//metrics",
    "/../etc/passwd",
    "*",
    "http://elsewhere/metrics",
];
const HEADERS: [&str; 16] = [
    "accept",
    "accept-encoding",
    "authorization",
    "x-api-key",
    "cookie",
    "user-agent",
    "range",
    "if-none-match",
    "content-type",
    "x-forwarded-for",
    "forwarded",
    "origin",
    "referer",
    "host",
    "x-prometheus-scrape-timeout-seconds",
    "upgrade",
];
const VALUES: [&str; 14] = [
    "*/*",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "gzip, zstd;q=0.9, br",
    "gzip;q=9.9.9",
    "Bearer",
    "Basic OjpOOg==",
    "bytes=0-",
    "h2c",
    "q=,;;;\"",
    "\u{e9}\u{1f600}",
    "",
    "-1",
];

/// A stranger with a word that no answer may hold.
struct Stranger {
    random: Rng,
    word: String,
}

impl Stranger {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let word = format!("zq{:016x}", random.u64(..));
        Self { random, word }
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.usize(..of.len())]
    }

    fn is(&mut self, of_hundred: u8) -> bool {
        self.random.u8(..100) < of_hundred
    }

    /// Bytes that are none of HTTP's own.
    fn noise(&mut self, most: usize) -> Vec<u8> {
        let count = self.random.usize(..most);
        std::iter::repeat_with(|| self.random.u8(..)).filter(|byte| !b"\r\n :".contains(byte)).take(count).collect()
    }

    fn target(&mut self) -> Vec<u8> {
        let mut target = self.one(&PATHS).as_bytes().to_vec();
        if self.is(50) {
            return target;
        }
        if self.is(40) {
            target.extend(format!("/{}", self.word).bytes());
        }
        if self.is(20) {
            target.extend(b"%00%2e%zz%ff");
        }
        if self.is(50) {
            let name = self.one(&["collect[]", "collect%5B%5D", "name[]", "q", "key", "api_key"]);
            let value = self.one(&["store", "bridge", "", "a&b=c;d", "%3Cscript%3E"]);
            target.extend(format!("?{name}={value}{}", self.word).bytes());
        }
        if self.is(5) {
            target.extend(self.noise(200));
        }
        if self.is(3) {
            target.extend(std::iter::repeat_n(b'a', self.random.usize(..20_000)));
        }
        target
    }

    fn header(&mut self) -> Vec<u8> {
        let mut line =
            if self.is(80) { self.one(&HEADERS).to_owned() } else { format!("x-{}", self.word) }.into_bytes();
        line.extend(b": ");
        match self.random.u8(..4) {
            0 => line.extend(self.one(&VALUES).bytes()),
            1 => line.extend(format!("{}{}", self.one(&VALUES), self.word).bytes()),
            2 => line.extend(KEY.bytes()),
            _ if self.is(20) => line.extend(self.noise(60)),
            _ => line.extend(self.noise(60).into_iter().filter(|byte| !byte.is_ascii_control())),
        }
        line.extend(b"\r\n");
        line
    }

    fn request(&mut self) -> Vec<u8> {
        let method = if self.is(90) { self.one(&METHODS).to_owned() } else { self.word.to_uppercase() };
        let mut request = [method.as_bytes(), b" ", &self.target()].concat();
        let version = if self.is(95) { "HTTP/1.1" } else { self.one(&["HTTP/1.0", "HTTP/9.9", "HTTP", ""]) };
        request.extend(format!(" {version}\r\nhost: a\r\nconnection: close\r\n").bytes());
        for _ in 0..self.random.usize(..6) {
            request.extend(self.header());
        }
        if self.is(2) {
            for _ in 0..self.random.usize(..300) {
                request.extend(self.header());
            }
        }
        let noise = self.noise(3000);
        let body = if self.is(20) { [self.word.as_bytes(), &noise].concat() } else { Vec::new() };
        if !body.is_empty() || self.is(10) {
            request.extend(format!("content-length: {}\r\n", body.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(body);
        request
    }
}

/// What is answered, without what the client itself brought.
async fn answer(address: &str, request: &[u8]) -> Vec<u8> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Who closes in the middle of a bad request does no wrong.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| panic!("no end of the answer to {}", String::from_utf8_lossy(request)))
}

fn judge(stranger: &Stranger, request: &[u8], answer: &[u8]) -> Option<u16> {
    let (request, answer) = (String::from_utf8_lossy(request), String::from_utf8_lossy(answer));
    let told_back = answer.to_lowercase().contains(&stranger.word) || answer.contains(KEY);
    assert!(!told_back, "{request} is told back: {answer}");
    let status = answer.strip_prefix("HTTP/1.")?.get(2..5)?.parse().unwrap();
    // The documented JSON has no source here, and says so to who has the key.
    let is_documented = status == 503 && answer.contains("retry-after: 15\r\n");
    assert!(status < 500 || is_documented, "{request} → {answer}");
    Some(status)
}

/// The series but for those whose labels are the outcome of requests, with the values of these labels.
async fn series(bridge: &Bridge) -> (BTreeSet<String>, BTreeSet<String>) {
    let of_requests = ["linkit_bridge_http_request_duration_seconds", "linkit_bridge_output_"];
    let (asked, others): (BTreeSet<_>, _) =
        bridge.series().await.into_keys().partition(|series| of_requests.iter().any(|name| series.starts_with(name)));
    let labels = asked.iter().flat_map(|series| series.split(['{', ',', '}']).skip(1));
    let labels = labels.filter(|label| !label.is_empty() && !label.starts_with("le=")).map(str::to_owned);
    (others, labels.collect())
}

fn resident_kib(bridge: &Bridge) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The numbers of answers by their status; 0 is a connection that was closed without one.
async fn storm(bridge: &Bridge, seeds: std::ops::Range<u64>) -> std::collections::BTreeMap<u16, usize> {
    let address = bridge.url.trim_start_matches("http://");
    let mut answers = stream::iter(seeds)
        .map(|seed| async move {
            let mut stranger = Stranger::new(seed);
            let request = stranger.request();
            judge(&stranger, &request, &answer(address, &request).await).unwrap_or(0)
        })
        .buffer_unordered(AT_ONCE);
    let mut counts = std::collections::BTreeMap::new();
    while let Some(status) = answers.next().await {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn ten_thousand_odd_requests_make_no_series_and_are_not_told_back() {
    let bridge = Bridge::start("runtime: { source: self, interval: 1h, }\nexpire_after: 2h\n").await;
    // Fills what is filled once: the caches by their bounds, each route and method, the first use of the key.
    bridge.telemetry().await;
    storm(&bridge, 0..REQUESTS as u64 / 5).await;
    let ((before, _), resident) = (series(&bridge).await, resident_kib(&bridge));
    let counts = storm(&bridge, 1_000_000..1_000_000 + REQUESTS as u64).await;
    let (after, labels) = series(&bridge).await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    let known = |label: &String| {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.trim_matches('"');
        match name {
            "code" => value.len() == 3 && value.parse::<u16>().is_ok_and(|code| code < 500 || code == 503),
            "method" => ["GET", "HEAD", "POST", "other"].contains(&value),
            "route" => value == "other" || PATHS.contains(&value),
            "format" => {
                ["html", "json", "text", "openmetrics", "protobuf"].iter().any(|format| value.starts_with(format))
            }
            "output" => ["html", "prometheus", "telemetry_json"].contains(&value),
            _ => false,
        }
    };
    let unknown: Vec<_> = labels.iter().filter(|label| !known(label)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for status in [200, 400, 401, 404, 405, 503] {
        assert!(counts.contains_key(&status), "no {status} in {counts:?}");
    }
    let grown = resident_kib(&bridge).saturating_sub(resident);
    assert!(grown < GROWTH_MAX_KIB, "the bridge has grown by {grown} KiB, from {resident}");
    bridge.get("/-/healthy").await;
    assert!(!bridge.process.output().contains("panicked"), "{}", bridge.process.output());
}
