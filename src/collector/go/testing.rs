//! What the tests of this source share: its three answers, a program that gives them, and a bench for the collector.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::choice::From;
use super::{Go, GoConfig, figure};
use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, ManualClock, Moment, Wall};
use crate::collector::{Collector, ErrorClass};
use crate::http_client::HttpClient;
use crate::http_client::testing::RawServer;
use crate::reading::{Ages, Reading, Readings};
use crate::registry::Registry;

/// An expvar page; place i of the ring of pauses holds i + 1000.
pub(super) fn expvar(allocated: u64, cycles: u64) -> String {
    let pauses: Vec<_> = (0..256).map(|place| (place + 1000).to_string()).collect();
    format!(
        "{{\n\"cmdline\": [\"linkit\",\"--key=canary\"],\n\"memstats\": {{\"Alloc\": 1000000, \"TotalAlloc\": \
         {allocated}, \"Sys\": 16000000, \"PauseNs\": [{}], \"NumGC\": {cycles}, \"GCCPUFraction\": 1.5e-05}}\n}}\n",
        pauses.join(",")
    )
}

/// The part of a client_golang page that is read, in text 0.0.4.
pub(super) fn page(start: &str, allocated: u64, cycles: u64) -> String {
    format!(
        "# HELP go_gc_duration_seconds A summary of the pauses.\n# TYPE go_gc_duration_seconds summary\n\
         go_gc_duration_seconds{{quantile=\"0\"}} 1.3e-05\ngo_gc_duration_seconds_sum 0.0012\n\
         go_gc_duration_seconds_count {cycles}\n# TYPE go_goroutines gauge\ngo_goroutines 42\n\
         # TYPE go_memstats_alloc_bytes gauge\ngo_memstats_alloc_bytes 2e+06\n\
         # TYPE go_memstats_alloc_bytes_total counter\ngo_memstats_alloc_bytes_total {allocated}\n\
         # TYPE go_memstats_sys_bytes gauge\ngo_memstats_sys_bytes 1.7e+07\n\
         # TYPE go_sched_gomaxprocs_threads gauge\ngo_sched_gomaxprocs_threads 6\n\
         # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {start}\n"
    )
}

/// A goroutine profile.
pub(super) const PPROF: &str = "goroutine profile: total 43\n1 @ 0x1 0x2\n";

/// One page of the program; what it does with a request for it.
#[derive(Clone)]
pub(super) enum Serves {
    Body(String),
    Status(&'static str),
    Drip,
    Endless,
}

/// A program whose three pages can be changed while it runs.
pub(super) struct Fake {
    pub(super) server: RawServer,
    pub(super) pages: Arc<Mutex<[Serves; 3]>>,
}

pub(super) const GONE: Serves = Serves::Status("404 Not Found");

impl Fake {
    pub(super) fn start(expvar: Serves, page: Serves, pprof: Serves) -> Self {
        let pages = Arc::new(Mutex::new([expvar, page, pprof]));
        let served = Arc::clone(&pages);
        let server = RawServer::start_by_head(move |_, head, stream| {
            let path = head.split(' ').nth(1).unwrap_or("").to_owned();
            let place = match path.as_str() {
                "/debug/vars" => 0,
                "/metrics" => 1,
                "/debug/pprof/goroutine?debug=1" => 2,
                _ => panic!("{path} was asked for"),
            };
            let page = served.lock().unwrap()[place].clone();
            let _ = match page {
                Serves::Body(body) => write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
                Serves::Status(status) => write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"),
                Serves::Drip => {
                    let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while written.is_ok() {
                        std::thread::sleep(Duration::from_millis(5));
                        written = stream.write_all(b" ");
                    }
                    return false;
                }
                Serves::Endless => {
                    let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while written.is_ok() {
                        written = stream.write_all(&[b'#'; 4096]);
                    }
                    return false;
                }
            };
            true
        });
        Self { server, pages }
    }

    pub(super) fn whole() -> Self {
        let body = Serves::Body;
        Self::start(body(expvar(5_000, 7)), body(page("1000.5", 6_000, 8)), body(PPROF.to_owned()))
    }

    pub(super) fn set(&self, from: From, serves: Serves) {
        self.pages.lock().unwrap()[from as usize] = serves;
    }

    pub(super) fn config(&self) -> GoConfig {
        GoConfig { timeout: Duration::from_millis(1500), body_bytes_max: 64 << 10, ..GoConfig::new(self.server.url()) }
    }

    /// How often each page was asked for.
    pub(super) fn asked(&self) -> [usize; 3] {
        let heads = self.server.heads();
        ["/debug/vars", "/metrics", "/debug/pprof"].map(|path| heads.iter().filter(|head| head.contains(path)).count())
    }
}

/// The collector, and what the registry holds of it.
pub(super) struct Bench {
    pub(super) clock: Arc<ManualClock>,
    pub(super) shared: Arc<dyn Clock>,
    pub(super) go: Go,
    pub(super) held: BTreeMap<String, Readings>,
    pub(super) registry: Registry,
}

impl Bench {
    pub(super) fn new(config: GoConfig) -> Self {
        let clock = Arc::new(ManualClock::at(Wall::from_secs(5_000)));
        let mut go = Go::new(config, HttpClient::new()).unwrap();
        go.cpus = go.cpus.map(|_| 64);
        let registry = Registry::new(clock.clone(), Ages::default(), &[]);
        registry.attach("go", &[Section::Runtime], &[]);
        Self { shared: clock.clone(), clock, go, held: Default::default(), registry }
    }

    /// One attempt, `secs` after the last; gives the errors' classes.
    pub(super) async fn poll(&mut self, secs: u64) -> Vec<ErrorClass> {
        self.clock.advance(Duration::from_secs(secs));
        let outcome = self.go.collect(&self.shared).await;
        self.registry.publish(outcome.readings.clone());
        for unit in outcome.readings {
            self.held.insert(unit.unit.clone(), unit);
        }
        self.no_figure_stands_twice();
        outcome.errors.iter().map(|(_, error)| error.class).collect()
    }

    pub(super) fn no_figure_stands_twice(&self) {
        for figure in figure::FIGURES {
            let count = self.held.values().flat_map(|unit| &unit.values).filter(|held| held.figure == figure).count();
            assert!(count <= 1, "{figure:?} stands {count} times in {:#?}", self.held);
            let snapshot = self.registry.current();
            let points = snapshot.family(figure.figure().name).map_or(0, |family| family.points.len());
            assert!(points <= 1, "{figure:?} is shown {points} times");
        }
    }

    pub(super) fn find(&self, figure: FigureId) -> (&str, &Reading, Moment) {
        let unit = self.held.values().find(|unit| unit.values.iter().any(|held| held.figure == figure));
        let unit = unit.unwrap_or_else(|| panic!("{figure:?} stands nowhere"));
        (&unit.unit, unit.values.iter().find(|held| held.figure == figure).unwrap(), unit.taken)
    }

    /// Where a figure comes from, and its value.
    pub(super) fn get(&self, figure: FigureId) -> (&str, Option<u64>) {
        let (unit, reading, _) = self.find(figure);
        (unit, reading.value)
    }

    pub(super) fn is_nowhere(&self, figure: FigureId) -> bool {
        self.held.values().all(|unit| unit.values.iter().all(|held| held.figure != figure))
    }
}
