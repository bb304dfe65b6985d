//! A program that embeds the bridge: its OpenTelemetry instruments and its `prometheus` registry on the page, in every
//! format, before strangers' parsers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linkit_bridge::catalog::{FIGURES, FigureId, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::config::Config;
use linkit_bridge::output::prometheus::{self, Escaping, Format, PageConfig, Syntax, Translation, View};
use linkit_bridge::reading::{Ages, Reading, Readings};
use linkit_bridge::registry::{InstrumentView, PointValue, Registry};
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::faces::over_otlp;
use crate::formats::Reader;
use crate::page::{promtool_misses_only_totals, strangers_accept};
use crate::support::http::{get, get_ok};
use crate::support::{eventually, free_port};

#[path = "../../examples/embed.rs"]
#[allow(dead_code, reason = "its `main` is for the example")]
mod example;

const MORNING: Wall = Wall::from_secs(1_705_314_600);

/// An embedding program with a registry of its own beside the bridge's.
struct Program {
    clock: Arc<ManualClock>,
    registry: Registry,
    joined: ::prometheus::Registry,
    observes: Arc<AtomicBool>,
}

/// Asks for exponential histograms where the name says so.
fn exponential(max_scale: i8) -> InstrumentView {
    Box::new(move |instrument: &Instrument| {
        let aggregation = Aggregation::Base2ExponentialHistogram { max_size: 20, max_scale, record_min_max: true };
        let stream = Stream::builder().with_aggregation(aggregation).build().ok();
        stream.filter(|_| instrument.name().starts_with("shop.spread"))
    })
}

impl Program {
    fn new(max_scale: i8) -> Self {
        let clock = Arc::new(ManualClock::at(MORNING));
        let views = vec![exponential(max_scale)];
        let resource = [("service.name".to_owned(), "shop".to_owned())];
        let registry = Registry::with_views(clock.clone(), Ages::default(), &resource, &[], views);
        let observes = Arc::new(AtomicBool::new(true));
        Self { clock, registry, joined: ::prometheus::Registry::new(), observes }
    }

    fn meter(&self) -> Meter {
        let scope = InstrumentationScope::builder("shop").with_version("2.1").with_schema_url("urn:shop:1");
        let scope = scope.with_attributes([KeyValue::new("tier", "gold")]).build();
        self.registry.meter_provider().meter_with_scope(scope)
    }

    /// An instrument of each kind there is, the observable ones until `observes` is false.
    fn instruments(&self) {
        let meter = self.meter();
        let route = [KeyValue::new("http.route", "/a"), KeyValue::new("code", 200)];
        meter.u64_counter("shop.visits").with_description("Visits").build().add(3, &route);
        meter.f64_counter("shop.turnover").with_unit("{euro}").build().add(0.5, &[]);
        meter.i64_up_down_counter("shop.guests").build().add(-2, &[]);
        meter.f64_up_down_counter("shop.balance").with_unit("1").build().add(-2.5, &[]);
        meter.i64_gauge("shop.level").build().record(-7, &[]);
        let took = meter.f64_histogram("shop.took").with_unit("s").with_boundaries(vec![0.5, 1.0]).build();
        [0.25, 0.75, 3.0].iter().for_each(|seconds| took.record(*seconds, &route));
        meter.u64_histogram("shop.size").with_unit("By").build().record(70, &[]);
        let observes = Arc::clone(&self.observes);
        macro_rules! observe {
            ($builder:ident, $name:expr, $value:expr) => {
                let observes = Arc::clone(&observes);
                let callback = move |observer: &dyn AsyncInstrument<_>| {
                    if observes.load(Ordering::Relaxed) {
                        observer.observe($value, &[]);
                    }
                };
                meter.$builder($name).with_callback(callback).build();
            };
        }
        observe!(u64_observable_counter, "shop.seen", 9_u64);
        observe!(i64_observable_up_down_counter, "shop.seats", -3_i64);
        observe!(f64_observable_gauge, "shop.heat", 21.5_f64);
    }

    /// A metric of each kind the `prometheus` crate has.
    fn join(&self) {
        use ::prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};
        let jobs = IntCounterVec::new(Opts::new("app_jobs_total", "Jobs done."), &["queue"]).unwrap();
        jobs.with_label_values(&["fast"]).inc_by(5);
        let depth = IntGauge::new("app_depth", "Jobs that wait.").unwrap();
        depth.set(-1);
        let took = HistogramOpts::new("app_took_seconds", "Time taken.").buckets(vec![0.5, 1.0]);
        let took = Histogram::with_opts(took).unwrap();
        took.observe(0.75);
        self.joined.register(Box::new(jobs)).unwrap();
        self.joined.register(Box::new(depth)).unwrap();
        self.joined.register(Box::new(took)).unwrap();
    }

    fn body(&self, syntax: Syntax) -> Vec<u8> {
        let page = PageConfig::default();
        let rendered = prometheus::render(&self.registry.current(), &self.joined.gather(), &page, &syntax.into());
        assert_eq!(rendered.dropped, []);
        rendered.body
    }

    fn page(&self, syntax: Syntax) -> String {
        String::from_utf8(self.body(syntax)).unwrap()
    }

    /// The families of the embedding program as they stand in a text, without their HELP lines.
    fn own(&self, syntax: Syntax) -> String {
        let is_own = |line: &&str| line.contains("shop_") || line.contains("app_");
        let lines = self.page(syntax);
        let lines =
            lines.lines().filter(|line| is_own(line) && !line.starts_with("# HELP") && !line.contains("_created"));
        let scope = "otel_scope_name=\"shop\",otel_scope_schema_url=\"urn:shop:1\",otel_scope_tier=\"gold\",\
                     otel_scope_version=\"2.1\"";
        lines.map(|line| line.replace(scope, "SCOPE") + "\n").collect()
    }
}

#[test]
fn f3_f4_every_kind_of_instrument_is_on_the_page_with_its_scope() {
    let program = Program::new(20);
    program.instruments();
    program.join();
    let spread = program.meter().f64_histogram("shop.spread").build();
    [0.0, 1.0, 1.5, 4.0].iter().for_each(|value| spread.record(*value, &[]));
    insta::assert_snapshot!(program.own(Syntax::OpenMetrics100), @r#"
    # TYPE app_depth gauge
    app_depth -1.0
    # TYPE app_jobs counter
    app_jobs_total{queue="fast"} 5.0
    # TYPE app_took_seconds histogram
    app_took_seconds_bucket{le="0.5"} 0
    app_took_seconds_bucket{le="1.0"} 1
    app_took_seconds_bucket{le="+Inf"} 1
    app_took_seconds_sum 0.75
    app_took_seconds_count 1
    # TYPE shop_balance gauge
    shop_balance{SCOPE} -2.5
    # TYPE shop_guests gauge
    shop_guests{SCOPE} -2
    # TYPE shop_heat gauge
    shop_heat{SCOPE} 21.5
    # TYPE shop_level gauge
    shop_level{SCOPE} -7
    # TYPE shop_seats gauge
    shop_seats{SCOPE} -3
    # TYPE shop_seen counter
    shop_seen_total{SCOPE} 9
    # TYPE shop_size_bytes histogram
    # UNIT shop_size_bytes bytes
    shop_size_bytes_bucket{SCOPE,le="0.0"} 0
    shop_size_bytes_bucket{SCOPE,le="5.0"} 0
    shop_size_bytes_bucket{SCOPE,le="10.0"} 0
    shop_size_bytes_bucket{SCOPE,le="25.0"} 0
    shop_size_bytes_bucket{SCOPE,le="50.0"} 0
    shop_size_bytes_bucket{SCOPE,le="75.0"} 1
    shop_size_bytes_bucket{SCOPE,le="100.0"} 1
    shop_size_bytes_bucket{SCOPE,le="250.0"} 1
    shop_size_bytes_bucket{SCOPE,le="500.0"} 1
    shop_size_bytes_bucket{SCOPE,le="750.0"} 1
    shop_size_bytes_bucket{SCOPE,le="1000.0"} 1
    shop_size_bytes_bucket{SCOPE,le="2500.0"} 1
    shop_size_bytes_bucket{SCOPE,le="5000.0"} 1
    shop_size_bytes_bucket{SCOPE,le="7500.0"} 1
    shop_size_bytes_bucket{SCOPE,le="10000.0"} 1
    shop_size_bytes_bucket{SCOPE,le="+Inf"} 1
    shop_size_bytes_sum{SCOPE} 70.0
    shop_size_bytes_count{SCOPE} 1
    # TYPE shop_spread histogram
    shop_spread_bucket{SCOPE,le="+Inf"} 4
    shop_spread_sum{SCOPE} 6.5
    shop_spread_count{SCOPE} 4
    # TYPE shop_took_seconds histogram
    # UNIT shop_took_seconds seconds
    shop_took_seconds_bucket{code="200",http_route="/a",SCOPE,le="0.5"} 1
    shop_took_seconds_bucket{code="200",http_route="/a",SCOPE,le="1.0"} 2
    shop_took_seconds_bucket{code="200",http_route="/a",SCOPE,le="+Inf"} 3
    shop_took_seconds_sum{code="200",http_route="/a",SCOPE} 4.0
    shop_took_seconds_count{code="200",http_route="/a",SCOPE} 3
    # TYPE shop_turnover counter
    shop_turnover_total{SCOPE} 0.5
    # TYPE shop_visits counter
    shop_visits_total{code="200",http_route="/a",SCOPE} 3
    "#);
    strangers_accept(&program.page(Syntax::Text004), &program.page(Syntax::OpenMetrics100), 10);
    for translation in [
        Translation::UnderscoreEscapingWithoutSuffixes,
        Translation::NoUtf8EscapingWithSuffixes,
        Translation::NoTranslation,
    ] {
        let page = PageConfig { translation, ..PageConfig::default() };
        let view = Syntax::Text004.into();
        let rendered = prometheus::render(&program.registry.current(), &program.joined.gather(), &page, &view);
        promtool_misses_only_totals(&String::from_utf8(rendered.body).unwrap());
    }
}

/// What an exponential histogram came to be: its schema, and how many values each bucket holds.
fn native(program: &Program) -> (i32, u64, BTreeMap<i32, u64>) {
    let snapshot = program.registry.current();
    let PointValue::Histogram(histogram) = &snapshot.family("shop.spread").unwrap().points[0].value else { panic!() };
    let native = histogram.native.as_ref().unwrap();
    assert_eq!((native.count(), histogram.counts.as_slice()), (histogram.count, [histogram.count].as_slice()));
    (native.schema, native.zero_count, native.buckets.clone())
}

#[test]
fn f3_an_exponential_histogram_keeps_its_buckets_at_a_scale_prometheus_has() {
    let program = Program::new(20);
    let spread = program.meter().f64_histogram("shop.spread").build();
    // 20 buckets over a range this narrow leave a finer scale than 8.
    spread.record(1.0, &[]);
    spread.record(1.000_01, &[]);
    assert_eq!(native(&program), (8, 0, [(0, 1), (1, 1)].into()));
    program.clock.advance(Duration::from_secs(1));
    [0.0, 1024.0, 1000.0].iter().for_each(|value| spread.record(*value, &[]));
    let (schema, zero, buckets) = native(&program);
    // 2^10 is the end of a bucket at every scale, and both others are below one end or at it.
    assert_eq!((schema, zero, buckets.values().sum::<u64>()), (0, 1, 4));
    assert_eq!(buckets, [(0, 1), (1, 1), (10, 2)].into());
}

#[test]
fn f3_an_exponential_histogram_that_had_to_grow_too_coarse_is_left_out_of_every_format() {
    let program = Program::new(-5);
    program.meter().f64_histogram("shop.spread").build().record(3.0, &[]);
    for syntax in Syntax::ALL {
        let rendered = prometheus::render(&program.registry.current(), &[], &PageConfig::default(), &syntax.into());
        assert_eq!(rendered.dropped.len(), 1);
        assert!(rendered.dropped[0].to_string().starts_with("shop.spread: series in exponential buckets of a scale"));
        assert!(!String::from_utf8_lossy(&rendered.body).contains("shop_spread"));
    }
}

#[test]
fn strangers_read_the_same_of_an_embedding_program_in_every_format() {
    let Some(mut reader) = Reader::pageparse() else { return };
    let program = Program::new(20);
    program.instruments();
    program.join();
    let spread = program.meter().f64_histogram("shop.spread").build();
    [0.0, 1e-9, 1.5, -4.0].iter().for_each(|value| spread.record(*value, &[]));
    let snapshot = program.registry.current();
    let mut first = None;
    for syntax in Syntax::ALL {
        let format = Format::new(syntax, Some(Escaping::Underscores));
        let view = View { escaping: format.escaping, ..View::from(syntax) };
        let body = prometheus::render(&snapshot, &program.joined.gather(), &PageConfig::default(), &view).body;
        for read in reader.read(&format.content_type(), &body) {
            let mut read = read.unwrap_or_else(|error| panic!("{syntax:?}: {error}"));
            // A sum that may fall is none in OpenMetrics, nor is the count beside it.
            read.retain(|labels, _| !["shop_spread_sum", "shop_spread_count"].contains(&labels["__name__"].as_str()));
            assert!(read.len() > 25, "{read:?}");
            assert_eq!(*first.get_or_insert_with(|| read.clone()), read, "{syntax:?}");
        }
    }
}

#[test]
fn e5_a_family_of_explicit_and_exponential_buckets_is_read_as_one() {
    let Some(mut reader) = Reader::pageparse() else { return };
    let program = Program::new(20);
    // The second is under no view, and has the name of the first on the page.
    for (name, till) in [("shop.spread", "1"), ("shop_spread", "2"), ("shop.spread", "3")] {
        let histogram = program.meter().f64_histogram(name).with_boundaries(vec![1.0]).build();
        histogram.record(0.5, &[KeyValue::new("till", till)]);
    }
    let body = prometheus::render(&program.registry.current(), &[], &PageConfig::default(), &Syntax::Protobuf.into());
    for read in reader.read(&Format::new(Syntax::Protobuf, None).content_type(), &body.body) {
        let read = read.unwrap();
        let counts = read.iter().filter(|(labels, _)| labels["__name__"] == "shop_spread_count");
        assert_eq!(counts.map(|(labels, _)| labels["till"].as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    }
}

#[test]
fn i20_what_vanishes_vanishes_from_every_format_at_the_next_scrape() {
    let program = Program::new(20);
    program.instruments();
    program.join();
    let cpus = |value| {
        let reading = Reading::of(FigureId::RuntimeCpus, value);
        program.registry.publish(vec![Readings::new(Section::Runtime, program.clock.now(), vec![reading])]);
    };
    cpus(4);
    let depth = ::prometheus::IntGauge::new("app_gone", "Gone soon.").unwrap();
    program.joined.register(Box::new(depth.clone())).unwrap();
    let passing = ["shop_seen", "shop_seats", "shop_heat", "app_gone", "linkit_runtime_cpus"];
    let on_page = |syntax: Syntax| -> Vec<_> {
        let body = String::from_utf8_lossy(&program.body(syntax)).into_owned();
        assert!(body.contains("shop_visits") && body.contains("app_depth"), "{syntax:?}");
        passing.into_iter().filter(|name| body.contains(name)).collect()
    };
    assert!(Syntax::ALL.into_iter().all(|syntax| on_page(syntax) == passing));
    program.observes.store(false, Ordering::Relaxed);
    program.joined.unregister(Box::new(depth)).unwrap();
    // Older than any age at which a reading is shown.
    program.clock.advance(Duration::from_secs(7200));
    for syntax in Syntax::ALL {
        assert_eq!(on_page(syntax), [""; 0], "{syntax:?}");
    }
    cpus(8);
    assert!(Syntax::ALL.into_iter().all(|syntax| on_page(syntax) == ["linkit_runtime_cpus"]));
}

#[test]
fn an_instrument_that_is_called_like_a_figure_neither_takes_its_readings_nor_gives_it_its_views() {
    let program = Program::new(20);
    let name = FIGURES.iter().find(|figure| figure.id == FigureId::RuntimeCpus).unwrap().name;
    let reading = Reading::of(FigureId::RuntimeCpus, 4);
    program.registry.publish(vec![Readings::new(Section::Runtime, program.clock.now(), vec![reading])]);
    program.clock.advance(Duration::from_secs(30));
    program.meter().u64_gauge(name).build().record(1, &[]);
    let snapshot = program.registry.current();
    let named: Vec<_> = snapshot.families.iter().filter(|family| family.name == name).collect();
    let told = named.iter().map(|family| (family.scope.name.as_str(), family.section.clone()));
    assert_eq!(told.collect::<Vec<_>>(), [("linkit-bridge", Some(Section::Runtime)), ("shop", None)]);
    assert_eq!(named[0].points[0].time, MORNING.0);
    assert_ne!(named[1].points[0].time, MORNING.0);
}

#[test]
fn views_of_an_embedding_program_never_see_a_figure() {
    let clock = Arc::new(ManualClock::at(MORNING));
    let drops: InstrumentView = Box::new(|_| Stream::builder().with_aggregation(Aggregation::Drop).build().ok());
    let registry = Registry::with_views(clock.clone(), Ages::default(), &[], &[], vec![drops]);
    registry.meter_provider().meter("shop").u64_counter("shop.visits").build().add(1, &[]);
    registry.publish(vec![Readings::new(Section::Runtime, clock.now(), vec![Reading::of(FigureId::RuntimeCpus, 4)])]);
    let snapshot = registry.current();
    let names: Vec<_> = snapshot.families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["linkit.runtime.cpus"]);
}

#[tokio::test]
async fn one_push_carries_the_figures_and_an_embedding_programs_instruments() {
    let program = Program::new(20);
    program.instruments();
    let reading = Reading::of(FigureId::RuntimeCpus, 4);
    program.registry.publish(vec![Readings::new(Section::Runtime, program.clock.now(), vec![reading])]);
    let pushed = over_otlp(&program.registry.current()).await;
    let names: Vec<_> = pushed.keys().map(|(name, _)| name.as_str()).collect();
    let own =
        ["linkit.runtime.cpus", "shop.balance", "shop.guests", "shop.heat", "shop.level", "shop.seats", "shop.seen"];
    assert_eq!(names, [&own[..], &["shop.turnover", "shop.visits"]].concat());
}

#[test]
fn f7_counters_and_histograms_say_since_when_they_count_and_gauges_do_not() {
    let program = Program::new(20);
    program.instruments();
    program.meter().f64_histogram("shop.spread").build().record(1.0, &[]);
    let snapshot = program.registry.current();
    let counting: Vec<_> = snapshot.families.iter().filter(|family| family.points[0].start.is_some()).collect();
    let names: Vec<_> = counting.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["shop.seen", "shop.size", "shop.spread", "shop.took", "shop.turnover", "shop.visits"]);
    let page = program.page(Syntax::OpenMetrics100);
    assert_eq!(page.lines().filter(|line| line.contains("_created{")).count(), names.len(), "{page}");
    for family in counting {
        let seconds = family.points[0].start.unwrap() / 1_000_000_000;
        let created = format!("_created{{{}", if family.points[0].attributes.is_empty() { "otel" } else { "code" });
        let is_it = |line: &&str| line.contains(&created) && line.contains(&format!("}} {seconds}."));
        assert!(page.lines().any(|line| is_it(&line)), "{}: {page}", family.name);
    }
}

#[test]
fn f8_what_an_embedding_program_counts_goes_on_from_scrape_to_scrape() {
    let program = Program::new(20);
    let visits = program.meter().u64_counter("shop.visits").build();
    let spread = program.meter().f64_histogram("shop.spread").build();
    let shows = |visited, values| {
        program.clock.advance(Duration::from_secs(1));
        let shown = program.own(Syntax::Text004);
        assert!(shown.contains(&format!("shop_visits_total{{SCOPE}} {visited}\n")), "{shown}");
        assert!(shown.contains(&format!("shop_spread_count{{SCOPE}} {values}\n")), "{shown}");
    };
    visits.add(3, &[]);
    spread.record(1.5, &[]);
    shows(3, 1);
    shows(3, 1);
    visits.add(2, &[]);
    spread.record(0.0, &[]);
    shows(5, 2);
}

/// Both ways of the example: a visit is counted on the page, and the stop is an end.
#[tokio::test]
async fn the_example_shows_its_own_figures_beside_the_bridges_and_stops() {
    let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let counts = async |shop: SocketAddr, page: SocketAddr| {
        for path in ["cart", "cart", "buy"] {
            get_ok(&format!("http://{shop}/{path}"), &[]).await;
        }
        let page = eventually("the runtime figures", || async {
            let page = get(&format!("http://{page}/metrics"), &[]).await?.body;
            page.contains("\nlinkit_runtime_cpus{").then_some(page)
        })
        .await;
        assert!(page.contains("\nshop_orders_total{otel_scope_name=\"shop\"} 1\n"), "{page}");
        assert!(page.contains("\nshop_open_carts 1.0\n"), "{page}");
    };

    let (stop, stopped) = oneshot::channel::<()>();
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let asked = async {
        counts(address, address).await;
        drop(stop);
    };
    let (ended, ()) = tokio::join!(example::parts(vec![listener.into()], async { _ = stopped.await }), asked);
    ended.unwrap();

    let (stop, stopped) = oneshot::channel::<()>();
    let (listener, port) = (listen().await, free_port());
    let config = format!("web: {{ listen: ['127.0.0.1:{port}'] }}\nruntime: {{ source: self }}\n");
    let config = Config::parse("embed.yml", &config, &|_| None).unwrap();
    let address = listener.local_addr().unwrap();
    let asked = async {
        counts(address, SocketAddr::from(([127, 0, 0, 1], port))).await;
        drop(stop);
    };
    let (ended, ()) = tokio::join!(example::whole(&config, &|_| None, listener, async { _ = stopped.await }), asked);
    ended.unwrap();
}
