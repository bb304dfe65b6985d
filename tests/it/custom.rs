//! Custom figures from their readings to every face: exact numbers, label sets that come and go, ages and resets, and
//! that they are no part of the document.

use std::sync::Arc;
use std::time::Duration;

use linkit_bridge::catalog::{CUSTOM_SERIES_MAX, CustomFigure, FigureId, Kind, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::collector::ErrorClass;
use linkit_bridge::output::prometheus::{self, Last, PageConfig, Syntax};
use linkit_bridge::output::telemetry_json::{self, JsonConfig};
use linkit_bridge::reading::{Age, Ages, CustomReading, Number, Reading, Readings};
use linkit_bridge::registry::{AttemptReport, Point, PointValue, Registry};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use crate::faces::{on_the_page, over_otlp};
use crate::page::strangers_accept;

const MORNING: Wall = Wall::from_secs(1_705_314_600);

/// A registry with one gauge and one counter by `state`, read by a collector named `shop`.
struct Bench {
    clock: Arc<ManualClock>,
    registry: Registry,
    gauge: Arc<CustomFigure>,
    counter: Arc<CustomFigure>,
}

fn figure(name: &str, kind: Kind) -> Arc<CustomFigure> {
    Arc::new(CustomFigure::new(name, kind, "{order}", "Orders of the shop", vec!["state".to_owned()]).unwrap())
}

fn shop() -> Section {
    Section::Custom("shop".into())
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(MORNING));
        let (gauge, counter) = (figure("orders.open", Kind::Gauge), figure("orders.paid", Kind::Counter));
        let custom = [Arc::clone(&gauge), Arc::clone(&counter)];
        let registry = Registry::with_custom(clock.clone(), Ages::default(), &[], &custom);
        registry.attach("sqlite", &[shop()], &["range"]);
        Self { clock, registry, gauge, counter }
    }

    fn unit(&self, figure: &Arc<CustomFigure>, series: &[(&str, Number)]) -> Readings {
        let reading = |(state, value): &(&str, Number)| CustomReading {
            figure: Arc::clone(figure),
            attributes: vec![("state".to_owned(), (*state).to_owned())],
            value: *value,
            start: None,
        };
        let custom = series.iter().map(reading).collect();
        Readings { custom, ..Readings::new(shop(), self.clock.now(), Vec::new()) }.of_unit(figure.name())
    }

    fn publish(&self, figure: &Arc<CustomFigure>, series: &[(&str, Number)]) {
        self.registry.publish(vec![self.unit(figure, series)]);
    }

    fn points(&self, figure: &CustomFigure) -> Vec<Point> {
        self.registry.current().family(figure.name()).map(|family| family.points.to_vec()).unwrap_or_default()
    }

    /// What the page shows of custom figures, with their names cut short.
    fn page(&self) -> Vec<(String, String)> {
        let page = on_the_page(&self.registry.current()).into_iter();
        page.filter_map(|(name, value)| Some((name.strip_prefix("linkit_custom_")?.to_owned(), value))).collect()
    }

    /// What OTLP carries of custom figures, by name and debugged attributes.
    fn otlp(&self) -> Vec<(String, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pushed = runtime.block_on(over_otlp(&self.registry.current())).into_iter();
        let named = pushed.filter_map(|((name, attributes), value)| {
            let name = name.strip_prefix("linkit.custom.")?;
            let state = attributes[0].1.split('"').nth(1).unwrap();
            Some((format!("{name} {state}"), value))
        });
        named.collect()
    }
}

fn owned<V: Clone>(pairs: &[(&str, V)]) -> Vec<(String, V)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn numbers_are_exact_on_page_and_otlp() {
    const BEYOND: i64 = (1 << 53) + 1;
    let bench = Bench::new();
    let int = |value: i64| Number::Int(value.into());
    bench.publish(
        &bench.gauge,
        &[
            ("a", int(BEYOND)),
            ("b", int(-BEYOND)),
            ("c", int(i64::MIN)),
            ("d", int(-7)),
            ("e", Number::Float(-0.1)),
            ("f", Number::Float(2.0)),
        ],
    );
    bench.publish(&bench.counter, &[("a", int(i64::MAX)), ("b", int(1 << 53)), ("c", Number::Float(0.5))]);
    let page = |name: &str, state: char, value: &str| (format!("{name}{{state=\"{state}\"}}"), value.to_owned());
    assert_eq!(
        bench.page(),
        [
            page("orders_open", 'a', "9007199254740993"),
            page("orders_open", 'b', "-9007199254740993"),
            page("orders_open", 'c', "-9223372036854775808"),
            page("orders_open", 'd', "-7"),
            page("orders_open", 'e', "-0.1"),
            page("orders_open", 'f', "2.0"),
            page("orders_paid_total", 'a', "9223372036854775807"),
            page("orders_paid_total", 'b', "9007199254740992"),
            page("orders_paid_total", 'c', "0.5"),
        ]
    );
    let expected = [
        ("orders.open a", Value::AsInt(BEYOND)),
        ("orders.open b", Value::AsInt(-BEYOND)),
        ("orders.open c", Value::AsInt(i64::MIN)),
        ("orders.open d", Value::AsDouble(-7.0)),
        ("orders.open e", Value::AsDouble(-0.1)),
        ("orders.open f", Value::AsDouble(2.0)),
        ("orders.paid a", Value::AsInt(i64::MAX)),
        ("orders.paid b", Value::AsDouble(9_007_199_254_740_992.0)),
        ("orders.paid c", Value::AsDouble(0.5)),
    ];
    assert_eq!(bench.otlp(), owned(&expected));
}

#[test]
fn a_label_set_that_vanished_is_gone_from_page_and_otlp() {
    let bench = Bench::new();
    bench.publish(&bench.gauge, &[("new", Number::Int(3)), ("old", Number::Int(1))]);
    bench.publish(&bench.counter, &[("old", Number::Int(1))]);
    assert_eq!((bench.page().len(), bench.otlp().len()), (3, 3));
    bench.clock.advance(Duration::from_secs(5));
    bench.publish(&bench.gauge, &[("new", Number::Int(4))]);
    let page = [("orders_open{state=\"new\"}", "4".to_owned()), ("orders_paid_total{state=\"old\"}", "1".to_owned())];
    assert_eq!(bench.page(), owned(&page));
    let otlp = [("orders.open new", Value::AsDouble(4.0)), ("orders.paid old", Value::AsDouble(1.0))];
    assert_eq!(bench.otlp(), owned(&otlp));
    bench.publish(&bench.gauge, &[]);
    bench.publish(&bench.counter, &[]);
    assert_eq!((bench.page(), bench.otlp()), (vec![], vec![]));
    assert_eq!(bench.registry.current().collectors[0].age, Age::Fresh);
}

#[test]
fn label_sets_may_come_and_go_without_end() {
    let bench = Bench::new();
    for at in 0..3 * CUSTOM_SERIES_MAX {
        bench.clock.advance(Duration::from_secs(5));
        let state = format!("s{at}");
        for figure in [&bench.gauge, &bench.counter] {
            bench.publish(figure, &[(&state, Number::Int(1))]);
            let points = bench.points(figure);
            assert_eq!(points.iter().map(|point| &point.attributes[0].1).collect::<Vec<_>>(), [&state]);
        }
    }
}

#[test]
fn a_custom_figure_grows_stale_and_expires_as_others_do() {
    let bench = Bench::new();
    let look = || (bench.registry.current().collectors[0].age, bench.page().len());
    assert_eq!(look(), (Age::Never, 0));
    bench.publish(&bench.gauge, &[("new", Number::Int(3))]);
    assert_eq!(look(), (Age::Fresh, 1));
    bench.clock.advance(Duration::from_secs(301));
    bench.publish(&bench.counter, &[("new", Number::Int(3))]);
    assert_eq!(look(), (Age::Stale, 2));
    bench.clock.advance(Duration::from_secs(3300));
    assert_eq!(look(), (Age::Expired, 1));
    assert_eq!(bench.points(&bench.gauge), []);
}

#[test]
fn a_custom_counter_that_fell_has_a_new_start_and_one_that_came_back_has_none() {
    let bench = Bench::new();
    let start = || bench.points(&bench.counter)[0].start.map(Wall);
    let read = |value| {
        bench.clock.advance(Duration::from_secs(5));
        bench.publish(&bench.counter, &[("paid", value)]);
    };
    read(Number::Int(50));
    assert_eq!(start(), None);
    let before = bench.clock.now().wall;
    read(Number::Float(49.5));
    assert_eq!(start(), Some(before));
    read(Number::Int(60));
    assert_eq!(start(), Some(before));
    let config = PageConfig { scope_labels: false, ..PageConfig::default() };
    let page = prometheus::render(&bench.registry.current(), &[], &config, &Syntax::OpenMetrics100.into()).body;
    let created = format!("linkit_custom_orders_paid_created{{state=\"paid\"}} {}.0\n", before.0 / 1_000_000_000);
    assert!(String::from_utf8(page).unwrap().contains(&created), "{created}");
    bench.publish(&bench.counter, &[]);
    read(Number::Int(2));
    assert_eq!(start(), None);
}

#[test]
fn a_page_after_the_last_one_says_what_it_would_say_without_it() {
    let bench = Bench::new();
    let render = |last: &Last<'_>, syntax: Syntax| {
        prometheus::render_after(last, &bench.registry.current(), &[], &PageConfig::default(), &syntax.into())
    };
    let mut last = Syntax::ALL.map(|syntax| render(&Last::default(), syntax));
    let mut differs = |what: &str| {
        for (before, syntax) in last.iter_mut().zip(Syntax::ALL) {
            let next = render(&Last::new(&before.body, &before.lines), syntax);
            let alone = render(&Last::default(), syntax);
            assert_eq!(String::from_utf8_lossy(&next.body), String::from_utf8_lossy(&alone.body), "{what}");
            assert_ne!(next.body, before.body, "{what}");
            *before = next;
        }
    };
    let read = |gauge: &[(&str, Number)], paid| {
        bench.clock.advance(Duration::from_secs(5));
        bench.publish(&bench.gauge, gauge);
        bench.publish(&bench.counter, &[("paid", Number::Int(paid))]);
    };
    let (one, two) = (("b", Number::Int(1)), ("c", Number::Float(-0.5)));
    read(&[one, two], 50);
    differs("the first reading");
    read(&[two, ("b", Number::Int(700))], 51);
    differs("other values");
    read(&[two, one, ("a", Number::Int(1))], 52);
    differs("a series more");
    read(&[two, ("a", Number::Int(1))], 53);
    differs("a series less");
    read(&[two, ("d", Number::Int(1))], 54);
    differs("another series");
    bench.registry.read_every(&[shop()], Duration::from_secs(7));
    differs("another interval");
    read(&[two, ("d", Number::Int(1))], 3);
    differs("a counter that fell");
    bench.publish(&bench.gauge, &[]);
    differs("a figure less");
    read(&[two], 4);
    differs("the figure again");
}

#[test]
fn an_older_reading_changes_nothing_and_one_of_the_same_time_gets_a_later_one() {
    let bench = Bench::new();
    let old = bench.unit(&bench.gauge, &[("new", Number::Int(1))]);
    bench.clock.advance(Duration::from_secs(5));
    bench.publish(&bench.gauge, &[("new", Number::Int(2))]);
    let point = bench.points(&bench.gauge).remove(0);
    assert_eq!((&point.value, point.time), (&PointValue::Number(Number::Int(2)), bench.clock.now().wall.0));
    bench.registry.publish(vec![old]);
    let again = Readings { cost: Duration::from_millis(3), ..bench.unit(&bench.gauge, &[("new", Number::Int(2))]) };
    bench.registry.publish(vec![again]);
    assert_eq!(bench.points(&bench.gauge)[0], point);
    bench.publish(&bench.gauge, &[("new", Number::Float(2.5))]);
    let later = bench.points(&bench.gauge).remove(0);
    assert_eq!((later.value, later.time), (PointValue::Number(Number::Float(2.5)), point.time + 1_000_000));
}

#[test]
fn what_was_left_out_is_a_figure_that_ages_with_its_reading() {
    let bench = Bench::new();
    let states: Vec<_> = (0..CUSTOM_SERIES_MAX).map(|at| format!("s{at:03}")).collect();
    let series: Vec<_> = states.iter().map(|state| (state.as_str(), Number::Int(1))).collect();
    let overflow = Reading {
        attributes: vec![("collector", "shop".to_owned()), ("figure", bench.gauge.name().to_owned())],
        ..Reading::of(FigureId::CollectorOverflow, 17)
    };
    let unit = Readings { values: vec![overflow], ..bench.unit(&bench.gauge, &series) };
    bench.registry.publish(vec![unit]);
    let name = "linkit_bridge_collector_overflow{collector=\"shop\",figure=\"linkit.custom.orders.open\"}";
    let shown = || on_the_page(&bench.registry.current()).get(name).cloned();
    assert_eq!((shown().as_deref(), bench.page().len()), (Some("17"), CUSTOM_SERIES_MAX));
    bench.clock.advance(Duration::from_secs(3601));
    assert_eq!((shown(), bench.page().len()), (None, 0));
}

#[test]
fn figures_that_were_not_announced_are_on_no_face() {
    let bench = Bench::new();
    bench.publish(&figure("surprise", Kind::Gauge), &[("new", Number::Int(1))]);
    assert_eq!((bench.page(), bench.otlp()), (vec![], vec![]));
}

#[test]
fn custom_collectors_come_last_and_are_no_part_of_the_document() {
    let bench = Bench::new();
    let unavailable = || telemetry_json::render(&bench.registry.current(), &JsonConfig::default()).unwrap_err().details;
    bench.registry.attach("test", &[Section::Staging], &[]);
    let before = unavailable();
    let errors = [("range", "a row is negative".to_owned())];
    bench.registry.report(&AttemptReport { section: shop(), took: Duration::ZERO, errors: &errors });
    assert_eq!(unavailable(), before);
    let snapshot = bench.registry.current();
    assert!(snapshot.section(&shop()).is_none());
    let collectors: Vec<_> = snapshot.collectors.iter().map(|status| (status.section.name(), status.up)).collect();
    assert_eq!(collectors, [("staging", None), ("shop", Some(false))]);
    let page = on_the_page(&snapshot);
    for (name, value) in [("up", "0"), ("staleness", "3"), ("errors_total", "1"), ("duration_seconds_count", "1")] {
        let class = if name == "errors_total" { "class=\"range\"," } else { "" };
        let series = format!("linkit_bridge_collector_{name}{{{class}collector=\"shop\",source=\"sqlite\"}}");
        assert_eq!(page.get(&series).map(String::as_str), Some(value), "{series}");
    }
}

#[test]
fn the_figures_of_many_custom_collectors_stay_apart() {
    let figures: Vec<_> = (0..40).map(|at| figure(&format!("figure{at}"), Kind::Gauge)).collect();
    let registry = Registry::with_custom(Arc::new(ManualClock::at(MORNING)), Ages::default(), &[], &figures);
    let classes: Vec<_> = ErrorClass::ALL.iter().map(|class| class.name()).collect();
    for figure in &figures {
        registry.attach("sqlite", &[Section::Custom(figure.name().into())], &classes);
    }
    let points = registry.current().family("linkit.bridge.collector.errors").unwrap().points.len();
    assert_eq!(points, figures.len() * classes.len());
}

#[test]
fn strangers_parsers_accept_custom_figures() {
    let bench = Bench::new();
    let values = [("a \"b\" \\ c\n", Number::Int(-3)), ("größe", Number::Float(0.25)), ("", Number::Int(1 << 60))];
    bench.publish(&bench.gauge, &values);
    for value in [9, 4] {
        bench.clock.advance(Duration::from_secs(5));
        bench.publish(&bench.counter, &[("paid", Number::Int(value)), ("free", Number::Float(0.5))]);
    }
    let snapshot = bench.registry.current();
    let [text, openmetrics] = [Syntax::Text004, Syntax::OpenMetrics100].map(|syntax| {
        let rendered = prometheus::render(&snapshot, &[], &PageConfig::default(), &syntax.into());
        assert_eq!(rendered.dropped, []);
        String::from_utf8(rendered.body).unwrap()
    });
    strangers_accept(&text, &openmetrics, 4);
}
