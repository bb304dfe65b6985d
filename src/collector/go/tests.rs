//! The collector against programs that lack an answer, lose one, lie, stall and start anew.

use super::testing::{Bench, Fake, GONE, PPROF, Serves, expvar, page};
use super::*;
use crate::clock::Wall;
use crate::http_client::testing::{Trap, nobody};
use crate::reading::Age;

use FigureId::{
    RuntimeCpus as CPUS, RuntimeGcCycles as CYCLES, RuntimeGcLastPause as PAUSE, RuntimeGoroutines as GOROUTINES,
    RuntimeHeapAllocated as HEAP, RuntimeMemoryAllocated as ALLOCATED, RuntimeMemorySys as SYS,
};

#[tokio::test]
async fn each_figure_comes_from_where_the_design_says_and_no_more_is_asked() {
    let fake = Fake::whole();
    let mut bench = Bench::new(fake.config());
    assert_eq!(bench.poll(0).await, []);
    assert_eq!(bench.get(GOROUTINES), ("page", Some(42)));
    assert_eq!(bench.get(CPUS), ("page", Some(6)));
    assert_eq!(bench.get(HEAP), ("expvar", Some(1_000_000)));
    assert_eq!(bench.get(SYS), ("expvar", Some(16_000_000)));
    assert_eq!(bench.get(ALLOCATED), ("expvar", Some(5_000)));
    assert_eq!(bench.get(CYCLES), ("expvar", Some(7)));
    assert_eq!(bench.get(PAUSE), ("expvar", Some(1006)));
    for figure in [ALLOCATED, CYCLES] {
        assert_eq!(bench.find(figure).1.start, Some(Wall(1_000_500_000_000)));
    }
    bench.poll(5).await;
    assert_eq!(fake.asked(), [2, 2, 1], "the profile is not asked for while the page counts goroutines");
    let head = fake.server.heads().into_iter().find(|head| head.contains("/metrics")).unwrap();
    assert!(
        head.contains("accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"),
        "{head}"
    );
}

#[tokio::test]
async fn what_is_absent_or_off_is_made_up_for_or_said_to_be_unknowable() {
    let body = Serves::Body;
    // expvar alone, on this host.
    let fake = Fake::start(body(expvar(5_000, 0)), GONE, GONE);
    let mut bench = Bench::new(fake.config());
    assert_eq!(bench.poll(0).await, []);
    assert_eq!((bench.get(GOROUTINES), bench.get(CPUS)), (("host", None), ("host", Some(64))));
    assert_eq!(bench.get(PAUSE), ("expvar", None), "no collection, no pause");
    assert_eq!(bench.get(CYCLES), ("expvar", Some(0)));

    // The page alone: the last pause is never guessed.
    let fake = Fake::start(GONE, body(page("1000.5", 6_000, 8)), GONE);
    let mut bench = Bench::new(fake.config());
    assert_eq!(bench.poll(0).await, []);
    assert_eq!((bench.get(PAUSE), bench.get(ALLOCATED)), (("host", None), ("page", Some(6_000))));
    assert_eq!(bench.find(ALLOCATED).1.start, Some(Wall(1_000_500_000_000)));

    // The profile alone; what is switched off is not even asked for.
    let fake = Fake::whole();
    let mut bench = Bench::new(GoConfig { expvar: Route::Off, metrics: Route::Off, ..fake.config() });
    assert_eq!(bench.poll(0).await, []);
    assert_eq!((bench.get(GOROUTINES), bench.get(HEAP)), (("pprof", Some(43)), ("host", None)));
    assert_eq!(fake.asked(), [0, 0, 1]);

    // Nothing at all is an error.
    let fake = Fake::start(GONE, GONE, GONE);
    let mut bench = Bench::new(fake.config());
    assert_eq!(bench.poll(0).await, [ErrorClass::Status]);
    assert!(bench.held.is_empty());
}

#[tokio::test]
async fn a_program_elsewhere_without_a_page_has_no_known_cpus() {
    let fake = Fake::start(Serves::Body(expvar(5_000, 1)), GONE, GONE);
    let mut bench = Bench::new(fake.config());
    bench.go = Go::new(fake.config(), HttpClient::new()).unwrap();
    bench.go.cpus = None;
    bench.go.states[From::Host as usize] = State::Gone;
    assert_eq!(bench.poll(0).await, []);
    assert_eq!(bench.get(CPUS), ("host", None));
}

#[tokio::test]
async fn a_failing_answer_voids_itself_alone_and_keeps_its_last_readings() {
    let lie = page("1000.5", 6_000, 8).replace("go_goroutines 42", "go_goroutines -42");
    for (serves, class) in [
        (Serves::Body(lie), ErrorClass::Range),
        (Serves::Body("<html>".to_owned()), ErrorClass::Syntax),
        (Serves::Body(page("1", 1, 1).replace("go_goroutines 42\n", "")), ErrorClass::Missing),
        (Serves::Status("500 Internal Server Error"), ErrorClass::Status),
        (Serves::Status("401 Unauthorized"), ErrorClass::Unauthorized),
        (Serves::Status("302 Found"), ErrorClass::Redirect),
        (Serves::Drip, ErrorClass::Timeout),
        (Serves::Endless, ErrorClass::Oversized),
    ] {
        let fake = Fake::whole();
        let mut bench = Bench::new(fake.config());
        bench.poll(0).await;
        let before = bench.find(GOROUTINES).2;
        fake.set(From::Page, serves);
        fake.set(From::Expvar, Serves::Body(expvar(9_000, 9)));
        assert_eq!(bench.poll(5).await, [class]);
        assert_eq!((bench.get(GOROUTINES), bench.find(GOROUTINES).2), (("page", Some(42)), before));
        assert_eq!((bench.get(ALLOCATED), bench.get(CYCLES)), (("expvar", Some(9_000)), ("expvar", Some(9))));
        fake.set(From::Page, Serves::Body(page("1000.5", 6_000, 8)));
        assert_eq!(bench.poll(5).await, [], "{class:?}");
        assert!(bench.find(GOROUTINES).2 != before);
    }
}

#[tokio::test]
async fn a_figure_moves_only_when_its_answer_has_failed_long_or_is_gone_and_leaves_nothing_behind() {
    let fake = Fake::whole();
    let mut bench = Bench::new(fake.config());
    bench.poll(0).await;
    fake.set(From::Expvar, Serves::Status("500 Internal Server Error"));
    for _ in 0..13 {
        assert_eq!(bench.poll(5).await, [ErrorClass::Status]);
        assert_eq!(bench.get(HEAP), ("expvar", Some(1_000_000)));
    }
    let old = bench.find(PAUSE).2;
    // Over a minute: memory moves; the last pause, which nobody else knows, stays with its age.
    assert_eq!(bench.poll(5).await, [ErrorClass::Status]);
    assert_eq!((bench.get(HEAP), bench.get(ALLOCATED)), (("page", Some(2_000_000)), ("page", Some(6_000))));
    assert_eq!((bench.get(PAUSE), bench.find(PAUSE).2), (("expvar", Some(1006)), old));
    assert_eq!(bench.held["expvar"].values.len(), 1);
    // It is back: nothing goes to and fro, but what it alone knows is read again.
    fake.set(From::Expvar, Serves::Body(expvar(7_000, 10)));
    assert_eq!(bench.poll(5).await, []);
    assert_eq!((bench.get(HEAP), bench.get(PAUSE)), (("page", Some(2_000_000)), ("expvar", Some(1009))));
    // Gone altogether: nobody knows the pause, and the empty unit does not grow old.
    fake.set(From::Expvar, GONE);
    assert_eq!(bench.poll(5).await, []);
    assert_eq!(bench.get(PAUSE), ("host", None));
    bench.poll(5).await;
    assert_eq!((bench.held["expvar"].values.len(), bench.held["expvar"].taken), (0, bench.clock.now()));
    bench.poll(400).await;
    let snapshot = bench.registry.current();
    let section = snapshot.section(&Section::Runtime).unwrap();
    assert_eq!((snapshot.collectors[0].age, section.age), (Age::Fresh, Age::Fresh));
    assert_eq!(section.absent, ["gc_pause_ns"]);
    // Goroutines: from the page to the profile at its first 404.
    fake.set(From::Expvar, Serves::Body(expvar(7_000, 10)));
    fake.set(From::Page, GONE);
    fake.set(From::Pprof, Serves::Status("500 Internal Server Error"));
    bench.poll(5).await;
    assert_eq!(bench.get(GOROUTINES), ("page", Some(42)));
    assert_eq!(bench.poll(5).await, [ErrorClass::Status], "the last reading stands while the other may come");
    assert_eq!((bench.get(GOROUTINES), bench.get(HEAP)), (("page", Some(42)), ("expvar", Some(1_000_000))));
    fake.set(From::Pprof, Serves::Body(PPROF.to_owned()));
    assert_eq!(bench.poll(5).await, []);
    assert_eq!(bench.get(GOROUTINES), ("pprof", Some(43)));
    assert!(bench.held["page"].values.is_empty());
    assert_eq!(bench.get(CPUS), ("host", Some(64)));
}

#[tokio::test]
async fn while_a_better_answer_fails_from_the_start_what_it_alone_knows_is_pending() {
    let fake = Fake::whole();
    fake.set(From::Expvar, Serves::Body("{".to_owned()));
    fake.set(From::Page, Serves::Status("503 Service Unavailable"));
    let mut bench = Bench::new(fake.config());
    assert_eq!(bench.poll(0).await, [ErrorClass::Syntax, ErrorClass::Status]);
    assert_eq!(bench.get(GOROUTINES), ("pprof", Some(43)));
    for figure in [HEAP, PAUSE, CPUS] {
        assert!(bench.is_nowhere(figure), "{figure:?} is neither known nor unknowable");
    }
    fake.set(From::Page, Serves::Body(page("1000.5", 6_000, 8)));
    assert_eq!(bench.poll(5).await, [ErrorClass::Syntax]);
    assert_eq!((bench.get(CPUS), bench.get(HEAP)), (("page", Some(6)), ("page", Some(2_000_000))));
    assert_eq!(bench.get(GOROUTINES), ("pprof", Some(43)));
    fake.set(From::Expvar, Serves::Body(expvar(5_000, 7)));
    assert_eq!(bench.poll(5).await, []);
    assert_eq!((bench.get(PAUSE), bench.get(HEAP)), (("expvar", Some(1006)), ("page", Some(2_000_000))));
}

#[tokio::test]
async fn a_restart_has_a_new_start_on_both_answers_and_a_new_discovery() {
    let fake = Fake::whole();
    let mut bench = Bench::new(fake.config());
    bench.poll(0).await;
    // Between its two answers the program started anew: the old counters do not get the new start.
    fake.set(From::Page, Serves::Body(page("4900", 10, 1)));
    assert_eq!(bench.poll(5).await, []);
    assert_eq!(bench.find(ALLOCATED).1.start, Some(Wall(1_000_500_000_000)));
    fake.set(From::Expvar, Serves::Body(expvar(20, 1)));
    assert_eq!(bench.poll(5).await, []);
    for (figure, value) in [(ALLOCATED, 20), (CYCLES, 1)] {
        let (unit, reading, _) = bench.find(figure);
        assert_eq!((unit, reading.value, reading.start), ("expvar", Some(value), Some(Wall::from_secs(4_900))));
    }
    assert_eq!(fake.asked()[2], 2, "a new program may serve other pages");
    // expvar's collections pass 32 bits.
    for (cycles, shown) in [(u64::from(u32::MAX), u64::from(u32::MAX)), (3, (1 << 32) + 3)] {
        fake.set(From::Expvar, Serves::Body(expvar(30, cycles)));
        assert_eq!(bench.poll(5).await, []);
        assert_eq!(bench.get(CYCLES), ("expvar", Some(shown)));
        assert_eq!(bench.find(CYCLES).1.start, Some(Wall::from_secs(4_900)));
    }
}

#[tokio::test]
async fn a_program_that_is_away_is_one_error_and_is_discovered_anew() {
    let mut bench = Bench::new(GoConfig::new(format!("http://{}", nobody())));
    assert_eq!(bench.poll(0).await, [ErrorClass::Unreachable]);
    assert!(bench.held.is_empty());

    let fake = Fake::start(GONE, Serves::Body(page("1000.5", 6_000, 8)), GONE);
    let mut bench = Bench::new(fake.config());
    bench.poll(0).await;
    fake.set(From::Page, GONE);
    assert_eq!(bench.poll(5).await, [ErrorClass::Status], "nothing is decided by a program that is away");
    assert_eq!(bench.get(GOROUTINES), ("page", Some(42)));
    fake.set(From::Page, Serves::Body(page("4950", 60, 1)));
    fake.set(From::Expvar, Serves::Body(expvar(70, 2)));
    assert_eq!(bench.poll(5).await, []);
    assert_eq!((bench.get(HEAP), bench.get(PAUSE)), (("expvar", Some(1_000_000)), ("expvar", Some(1001))));
    assert!(bench.held["page"].values.iter().all(|reading| reading.figure != HEAP));
}

#[tokio::test]
async fn three_answers_made_to_hurt_are_three_errors_within_the_timeout() {
    let fake = Fake::start(Serves::Endless, Serves::Drip, Serves::Body("\u{1f}\u{8b}".to_owned()));
    let mut bench = Bench::new(fake.config());
    let started = std::time::Instant::now();
    assert_eq!(bench.poll(0).await, [ErrorClass::Oversized, ErrorClass::Timeout, ErrorClass::Syntax]);
    assert!(started.elapsed() < fake.config().timeout, "{:?}", started.elapsed());
    assert!(bench.held.is_empty());
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let trap = Trap::set();
    let location = format!("302 Found\r\nLocation: http://{}/debug/vars", trap.address());
    let fake = Fake::start(Serves::Status(location.leak()), GONE, GONE);
    let mut bench = Bench::new(fake.config());
    assert_eq!(bench.poll(0).await, [ErrorClass::Redirect]);
    assert!(trap.is_untouched());
}

#[test]
fn a_config_that_cannot_work_is_refused_without_a_secret_in_the_text() {
    let of = |url: &str| GoConfig::new(url);
    let path = |path: &str| Route::Path(path.to_owned());
    for (config, expected) in [
        (of("http://user:canary@a/"), GoError::UserInfo),
        (of("ftp://a/"), GoError::Url),
        (of("a:8090"), GoError::Url),
        (of(""), GoError::Url),
        (of("http://a/?key=canary"), GoError::Query),
        (GoConfig { expvar: path("canary"), ..of("http://a") }, GoError::Path("expvar", "/debug/vars")),
        (GoConfig { metrics: path("/a b"), ..of("http://a") }, GoError::Path("metrics", "/metrics")),
        (GoConfig { expvar: Route::Off, metrics: Route::Off, pprof: Route::Off, ..of("http://a") }, GoError::Nothing),
    ] {
        let error = Go::new(config, HttpClient::new()).err().unwrap();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("canary"));
    }
}
