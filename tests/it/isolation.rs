//! Isolation: a source that turns hostile costs its own section and nothing else, whatever it does, alone or with others.
//!
//! Each case is a bridge of its own, beside a real backend at work. Its hostile sources are well at first, so that all
//! faces have something to say; then they turn, and while they do their worst the bridge is asked. How long it took is
//! printed and not judged: a busy machine would decide. What is judged is that no answer waits for a source's timeout.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};

use crate::support::backend::{Backend, SMALL};
use crate::support::bridge::{Bridge, KEY};
use crate::support::fault::{Fault, FaultySource};
use crate::support::http::get_ok;
use crate::support::{eventually, page};

/// Below the sources' timeout of 5 s by enough that nothing can have waited for one.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
const READ_WITHIN_S: f64 = 4.0;
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const GROWTH_MAX_KIB: u64 = 32 << 10;

/// Far above what a reader takes that stops at its limit of 1 or 2 MiB, with what lies in the sockets' buffers.
const TAKEN_MAX: u64 = 64 << 20;

const REQUESTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(30);
const AT_ONCE: usize = 6;

/// How a section reads its hostile source.
#[derive(Clone, Copy, Debug)]
enum By {
    Json,
    GoPage,
    GoExpvar,
    GoAll,
}

impl By {
    const fn source(self) -> &'static str {
        match self {
            Self::Json => "telemetry_json",
            Self::GoPage | Self::GoExpvar | Self::GoAll => "go",
        }
    }

    const fn keys(self) -> &'static str {
        match self {
            Self::Json | Self::GoAll => "",
            Self::GoPage => ", expvar: false, pprof: false",
            Self::GoExpvar => ", metrics: false, pprof: false",
        }
    }
}

/// The hostile sources of one bridge by section; sections that are not named read the backend's database.
type Case = &'static [(&'static str, By, Fault)];

const CASES: &[Case] = &[
    &[("runtime", By::Json, Fault::Refuses)],
    &[("runtime", By::Json, Fault::Hangs)],
    &[("runtime", By::Json, Fault::DripsHead)],
    &[("runtime", By::Json, Fault::DripsBody)],
    &[("runtime", By::Json, Fault::GarbageForHead)],
    &[("runtime", By::Json, Fault::GarbageForBody)],
    &[("runtime", By::Json, Fault::EndlessHead)],
    &[("runtime", By::Json, Fault::AnnouncedGigabyte)],
    &[("runtime", By::Json, Fault::EndlessBody)],
    &[("runtime", By::Json, Fault::GzipBomb)],
    &[("runtime", By::Json, Fault::DeepJson)],
    &[("runtime", By::Json, Fault::ManySeries)],
    &[("runtime", By::Json, Fault::Redirects)],
    &[("runtime", By::GoPage, Fault::Refuses)],
    &[("runtime", By::GoPage, Fault::Hangs)],
    &[("runtime", By::GoPage, Fault::DripsBody)],
    &[("runtime", By::GoPage, Fault::GarbageForBody)],
    &[("runtime", By::GoPage, Fault::EndlessBody)],
    &[("runtime", By::GoPage, Fault::GzipBomb)],
    &[("runtime", By::GoPage, Fault::ManySeries)],
    &[("runtime", By::GoPage, Fault::SeriesThatFit)],
    &[("runtime", By::GoPage, Fault::Redirects)],
    &[("runtime", By::GoExpvar, Fault::DeepJson)],
    &[("runtime", By::GoExpvar, Fault::GzipBomb)],
    &[
        ("runtime", By::GoPage, Fault::ManySeries),
        ("store", By::Json, Fault::Hangs),
        ("staging", By::Json, Fault::DripsBody),
    ],
    &[
        ("runtime", By::GoAll, Fault::EachPage),
        ("store", By::Json, Fault::EndlessBody),
        ("staging", By::Json, Fault::DeepJson),
    ],
    &[
        ("runtime", By::GoAll, Fault::Hangs),
        ("store", By::Json, Fault::EndlessHead),
        ("staging", By::Json, Fault::Redirects),
    ],
    &[
        ("runtime", By::GoPage, Fault::SeriesThatFit),
        ("store", By::Json, Fault::GzipBomb),
        ("staging", By::Json, Fault::Refuses),
    ],
];

pub type Series = BTreeMap<String, f64>;

/// A bridge with its hostile sources, and what was seen of it.
struct Siege {
    name: String,
    case: Case,
    sources: Vec<FaultySource>,
    bridge: Bridge,
    took: Vec<Duration>,
}

impl Siege {
    async fn begin(case: Case, database: &str) -> Self {
        let sources: Vec<_> = case.iter().map(|(_, _, fault)| FaultySource::start(*fault)).collect();
        let name = case.iter().map(|(_, by, fault)| format!("{by:?} {fault:?}")).collect::<Vec<_>>().join(" + ");
        let mut config = String::from("service: { name: linkit }\n");
        for section in ["runtime", "store", "staging"] {
            let hostile = case.iter().zip(&sources).find(|((of, ..), _)| *of == section);
            let source = match hostile {
                Some(((_, by, _), source)) => {
                    let (kind, url, keys) = (by.source(), &source.url, by.keys());
                    format!("source: {kind}, url: '{url}', max_backoff: 1s{keys}")
                }
                None => format!("source: sqlite, path: {database}"),
            };
            config.push_str(&format!("{section}: {{ {source}, interval: 200ms }}\n"));
        }
        let bridge = Bridge::start(&config).await;
        Self { name, case, sources, bridge, took: Vec::new() }
    }

    fn healthy(&self) -> impl Iterator<Item = &'static str> {
        let case = self.case;
        ["store", "staging"].into_iter().filter(move |section| case.iter().all(|(of, ..)| of != section))
    }

    /// Every face with every section, read several times, so that what is used once is there before it is measured.
    async fn is_well(&mut self) -> Series {
        self.bridge.telemetry_ok().await;
        for _ in 0..20 {
            self.ask().await;
        }
        self.took.clear();
        let series = self.ask().await;
        for (section, source) in self.collectors() {
            assert!(is(figure(&series, "up", section, source), 1.0), "{}: {section} is not up before", self.name);
        }
        series
    }

    fn collectors(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let hostile = self.case.iter().map(|(section, by, _)| (*section, by.source()));
        hostile.chain(self.healthy().map(|section| (section, "sqlite")))
    }

    /// One request for the page and one for the JSON, each answered soon and with 200.
    async fn ask(&mut self) -> Series {
        let mut body = String::new();
        for (path, headers) in [("/api/v1/telemetry", &[("authorization", KEY)][..]), ("/metrics", &[])] {
            let (url, asked) = (format!("{}{path}", self.bridge.url), Instant::now());
            body = get_ok(&url, headers).await.body;
            let took = asked.elapsed();
            assert!(took < ANSWERED_WITHIN, "{}: {path} took {took:?}", self.name);
            self.took.push(took);
        }
        page::series(&body)
    }

    /// Asks while the sources do their worst; the sections of others stay fresh all the time.
    async fn hold(&mut self, before: &Series) {
        for _ in 0..REQUESTS / 2 {
            let series = self.ask().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            for section in self.healthy() {
                let of = |name| figure(&series, name, section, "sqlite");
                let age = now - of("last_success_timestamp_seconds");
                assert!(age < READ_WITHIN_S, "{}: {section} was read {age} s ago", self.name);
                assert!(is(of("staleness"), 0.0) && is(of("up"), 1.0), "{}: {section} suffers", self.name);
            }
            tokio::time::sleep(2 * PAUSE).await;
        }
        let after = self.ask().await;
        for section in self.healthy() {
            let read = |series| figure(series, "last_success_timestamp_seconds", section, "sqlite");
            assert!(read(&after) > read(before) + 1.0, "{}: {section} is not read any more", self.name);
            assert_eq!(errors(&after, section), [] as [&str; 0], "{}: {section}", self.name);
        }
    }

    /// Each hostile source is said to be down, by its class of error and no other.
    async fn is_said(&self) {
        for (section, by, fault) in self.case {
            let said = || async {
                let series = self.bridge.series().await;
                let is_down = is(figure(&series, "up", section, by.source()), 0.0);
                (is_down && errors(&series, section).len() >= fault.classes().len()).then_some(series)
            };
            let series = eventually(&format!("{}: {section} being down", self.name), said).await;
            assert_eq!(errors(&series, section), fault.classes(), "{}: {section}", self.name);
        }
        for ((_, _, fault), source) in self.case.iter().zip(&self.sources) {
            assert!(source.victims() > 0 || *fault == Fault::Refuses, "{}: {fault:?} was not asked", self.name);
            assert!(!source.was_followed(), "{}: the redirect was followed", self.name);
            let taken = source.taken_max();
            assert!(taken < TAKEN_MAX, "{}: {fault:?} could send {taken} bytes", self.name);
        }
    }

    /// The whole case.
    async fn run(case: Case, database: String) -> String {
        let mut siege = Self::begin(case, &database).await;
        let before = siege.is_well().await;
        let pid = siege.bridge.process.id();
        let rss = memory_kib(pid, "VmRSS");
        // From here on VmHWM is the peak of the siege, not that of the start.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        siege.sources.iter().for_each(FaultySource::turn);
        siege.hold(&before).await;
        siege.is_said().await;
        let peak = memory_kib(pid, "VmHWM");
        let growth = peak.saturating_sub(rss);
        assert!(growth < GROWTH_MAX_KIB, "{}: grew by {growth} KiB over {rss} KiB", siege.name);

        let asked = Instant::now();
        siege.bridge.process.signal("-TERM");
        let status = siege.bridge.process.ended().await;
        let stopped = asked.elapsed();
        let output = siege.bridge.process.output();
        assert!(status.success() && stopped < STOPPED_WITHIN, "{}: {status} in {stopped:?}: {output}", siege.name);
        assert!(!output.contains("panicked"), "{}: {output}", siege.name);
        siege.report(rss, growth, stopped)
    }

    fn report(mut self, rss: u64, growth: u64, stopped: Duration) -> String {
        self.took.sort_unstable();
        let (count, last) = (self.took.len(), self.took.len() - 1);
        let [median, p99, worst] =
            [count / 2, count * 99 / 100, last].map(|index| self.took[index].as_secs_f64() * 1e3);
        let victims: Vec<_> = self.sources.iter().map(FaultySource::victims).collect();
        let taken = self.sources.iter().map(FaultySource::taken_max).max().unwrap_or(0) >> 10;
        format!(
            "{:<60} {count} answers: median {median:5.1} ms, p99 {p99:6.1} ms, worst {worst:6.1} ms; \
             memory {rss} + {growth} KiB; asked {victims:?} times, at most {taken} KiB taken; ended in {stopped:.1?}",
            self.name
        )
    }
}

pub fn figure(series: &Series, name: &str, section: &str, source: &str) -> f64 {
    let name = format!("linkit_bridge_collector_{name}{{collector=\"{section}\",source=\"{source}\"}}");
    *series.get(&name).unwrap_or_else(|| panic!("{name} is not there"))
}

/// The classes of errors that were counted for a section, sorted.
pub fn errors<'a>(series: &'a Series, section: &str) -> Vec<&'a str> {
    let of_section = format!("collector=\"{section}\"");
    let counted = series.iter().filter(|(name, count)| {
        name.starts_with("linkit_bridge_collector_errors_total{") && name.contains(&of_section) && **count > 0.0
    });
    counted.map(|(name, _)| name.split("class=\"").nth(1).unwrap().split('"').next().unwrap()).collect()
}

pub fn is(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < f64::EPSILON
}

/// A line of `/proc/PID/status`.
pub fn memory_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_source_costs_its_own_section_and_nothing_else() {
    let Some(backend) = Backend::start(&SMALL, &["--work"]).await else { return };
    let database = backend.database().display().to_string();
    let sieges = stream::iter(CASES).map(|case| tokio::spawn(Siege::run(case, database.clone())));
    let mut reports = sieges.buffer_unordered(AT_ONCE);
    while let Some(report) = reports.next().await {
        eprintln!("{}", report.unwrap());
    }
}
