//! The page as it is without its script: what it says of every figure, of what is not there, and of how it stands.

use std::sync::Arc;
use std::time::Duration;

use super::words::{amount, title};
use super::*;
use crate::catalog::{CustomFigure, FIGURES, FigureId, Kind, Section};
use crate::clock::{Clock as _, ManualClock};
use crate::output::telemetry_json::tests::{read, readings, registry};
use crate::reading::{Ages, CustomReading, Number, Reading, Readings};
use crate::registry::{AttemptReport, Point, PointValue, Registry};

fn site() -> Site {
    Site {
        service: "shop".to_owned(),
        environment: "production".to_owned(),
        telemetry_path: "/metrics".to_owned(),
        started: Moment::default(),
    }
}

fn page(registry: &Registry) -> String {
    render(&registry.current(), &site(), &Links::default(), Some("1.4.2"))
}

/// The text of the elements between two marks, without markup.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let rest = page.split_once(from).unwrap_or_else(|| panic!("{from} is not in {page}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("{to} is not after {from}")).0
}

/// What a tile says, from its title to its note.
fn tile(page: &str, id: &str) -> String {
    let rest = between(page, &format!("data-figure=\"{id}\""), "<dd class=\"lately\"");
    let mut text = String::new();
    let mut is_text = false;
    for c in rest.chars() {
        match c {
            '<' => is_text = false,
            '>' => {
                is_text = true;
                text.push(' ');
            }
            c if is_text => text.push(if c == '\u{a0}' { ' ' } else { c }),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number_alone(number: Number) -> String {
    if let Number::Int(int) = number { format!("{int}</div>") } else { panic!("{number:?} is no count") }
}

/// The end of the head of a figure's row.
fn named(figure: &str) -> String {
    let name: Vec<_> = figure.split_inclusive(['.', '_']).collect();
    format!(">{}<wbr></th>", name.join("<wbr>"))
}

fn verdict(page: &str) -> (&str, &str, &str) {
    let level = between(page, "\" data-level=\"", "\"");
    (level, between(page, "id=\"state-title\">", "<"), between(page, "id=\"state-detail\">", "<"))
}

fn fail(registry: &Registry, section: Section) {
    let errors = [("unreachable", "nothing listens on 10.0.0.7".to_owned())];
    registry.report(&AttemptReport { section, took: Duration::from_millis(1), errors: &errors });
}

/// One reading of every figure that the bridge has of itself.
fn of_the_bridge() -> Vec<Reading> {
    let own = FIGURES.iter().filter(|figure| {
        figure.section.is_none() && figure.kind != Kind::Histogram && !figure.name.contains(".collector.")
    });
    let reading = |figure: &'static crate::catalog::Figure| {
        let attributes = figure.attributes.iter().map(|key| (*key, "one".to_owned())).collect();
        Reading { attributes, ..Reading::of(figure.id, 1_705_314_540) }
    };
    own.map(reading).collect()
}

#[test]
fn every_figure_with_a_reading_is_shown_with_its_unit() {
    let (registry, clock) = registry();
    registry.add_live(|_| of_the_bridge());
    read(&registry, clock.now(), &Section::DOCUMENTED);
    fail(&registry, Section::Store);
    registry.record(FigureId::HttpRequestDuration, Duration::from_millis(2), &[("code", "200")]);
    let snapshot = registry.current();
    let page = render(&snapshot, &site(), &Links::default(), Some("1.4.2"));
    let mut shown = 0;
    for family in &snapshot.families {
        for Point { attributes, value, .. } in family.points.iter() {
            let PointValue::Number(number) = value else { continue };
            let series = attributes.first().map(|(_, value)| value.as_str());
            let line = amount(*number, &family.unit, &family.name).line().replace('\u{a0}', " ");
            if let Some(section) = &family.section {
                let figure = FIGURES.iter().find(|figure| figure.name == family.name).unwrap();
                let field = figure.json.iter().find(|field| field.series == series);
                let id = field.map_or("staging.completed".to_owned(), |it| format!("{}.{}", section.name(), it.name));
                let (tile, number) = (tile(&page, &id), line.split(' ').next().unwrap());
                let is_named = ["runtime.goroutines", "runtime.cpu_count", "runtime.num_gc"].contains(&&*id);
                let line = if is_named { number } else { &line };
                let total = if family.kind == Kind::Counter { " in all" } else { "" };
                assert_eq!(tile, format!("{line}{total}"), "{id}");
            } else {
                let row = between(&page, &named(&family.name), "</tr>").replace('\u{a0}', " ");
                let is_number = family.unit.is_empty();
                let is_zero = *number == Number::Int(0) && row.contains(" series at 0<");
                let is_there = row.contains(&line) || is_zero || is_number && row.contains(&number_alone(*number));
                assert!(is_there, "{} {line}: {row}", family.name);
            }
            shown += 1;
        }
    }
    assert!(shown > FIGURES.len(), "{shown}");
    let durations = between(&page, &named("linkit.bridge.http.request.duration"), "</tr>");
    assert!(durations.contains("1 measured, 2.00\u{a0}ms on average"), "{durations}");
    assert_eq!(tile(&page, "runtime.alloc_mb"), "129 MiB");
    assert_eq!(tile(&page, "runtime.gc_pause_ns"), "1.23 ms");
    assert_eq!(tile(&page, "staging.pending"), "0 items");
}

#[test]
fn what_is_absent_is_a_word_and_never_a_zero() {
    let (registry, clock) = registry();
    let never = page(&registry);
    assert_eq!(tile(&never, "store.products"), "not read yet");
    let mut runtime = readings(Section::Runtime, clock.now());
    runtime.values[6] = Reading::unknowable(FigureId::RuntimeGcLastPause);
    runtime.values.remove(0);
    registry.publish(vec![runtime]);
    let some = page(&registry);
    assert_eq!(tile(&some, "runtime.gc_pause_ns"), "not known");
    assert_eq!(tile(&some, "runtime.goroutines"), "not read yet");
    assert_eq!(tile(&some, "runtime.num_gc"), "156 in all");
    assert!(!some.contains("data-raw=\"0\""), "{some}");
    clock.advance(Duration::from_secs(3601));
    assert!(!page(&registry).contains("data-raw"));
}

#[test]
fn ages_are_said_where_the_figures_are_and_above_them() {
    let (registry, clock) = registry();
    assert_eq!(
        verdict(&page(&registry)),
        ("warn", "Runtime, store, staging not read yet", "The first attempt is under way.")
    );
    read(&registry, clock.now(), &Section::DOCUMENTED);
    assert_eq!(verdict(&page(&registry)).1, "All is well");
    clock.advance(Duration::from_secs(301));
    read(&registry, clock.now(), &[Section::Runtime, Section::Staging]);
    fail(&registry, Section::Store);
    let stale = page(&registry);
    let detail = "Old figures are shown. Last read: store at 10:30:00 UTC. Last error: unreachable.";
    assert_eq!(verdict(&stale), ("warn", "Store stale", detail));
    assert!(between(&stale, "id=\"title-store\"", "</p>").ends_with("sqlite, stale, read 5\u{a0}min ago"));
    assert!(between(&stale, "id=\"title-staging\"", "</p>").ends_with("sqlite, fresh, read 0\u{a0}s ago"));
    assert_eq!(tile(&stale, "store.skus"), "375,000 records");
    clock.advance(Duration::from_secs(3300));
    let expired = page(&registry);
    assert_eq!(verdict(&expired).1, "Store expired");
    assert_eq!(verdict(&expired).0, "bad");
    assert_eq!(tile(&expired, "store.skus"), "expired");
    assert!(
        between(&expired, "id=\"title-store\"", "</p>").ends_with("sqlite, expired, read 60\u{a0}min ago"),
        "{expired}"
    );
}

#[test]
fn a_collector_that_fails_says_its_class_and_no_host() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    fail(&registry, Section::Store);
    let page = page(&registry);
    let detail = "Last error: unreachable. The figures are still fresh.";
    assert_eq!(verdict(&page), ("warn", "Store down", detail));
    let row = between(&page, "id=\"collector-store\"", "</tr>");
    assert!(row.contains("down <small>unreachable</small>") && row.contains("<td>1 <small>unreachable"), "{row}");
    assert!(!page.contains("10.0.0.7"));
}

#[test]
fn a_section_without_a_source_says_so() {
    let clock = Arc::new(ManualClock::at(crate::output::telemetry_json::tests::MEASURED));
    let registry = Registry::new(Arc::<ManualClock>::clone(&clock), Ages::default(), &[]);
    assert_eq!(verdict(&page(&registry)).1, "Nothing to show");
    registry.attach("self", &[Section::Runtime], &[]);
    read(&registry, clock.now(), &[Section::Runtime]);
    let page = page(&registry);
    assert_eq!(verdict(&page).1, "No source for store, staging");
    assert!(between(&page, "id=\"title-store\"", "</p>").ends_with("no source is configured"));
    assert!(!page.contains("data-figure=\"store."));
}

#[test]
fn estimates_are_said_to_be_estimates() {
    let (registry, clock) = registry();
    let mut store = readings(Section::Store, clock.now());
    for (collection, method) in [("skus", "estimate"), ("orders", "exact")] {
        let attributes = vec![("collection", collection.to_owned()), ("method", method.to_owned())];
        store.values.push(Reading { attributes, ..Reading::of(FigureId::StoreCountMethod, 1) });
    }
    let exact = clock.now().wall.0 - 720_000_000_000;
    store.values.push(Reading::of_series(FigureId::StoreCountLastExact, "collection", "skus", exact));
    registry.publish(vec![store]);
    let page = page(&registry);
    assert_eq!(tile(&page, "store.skus"), "375,000 records, estimate, exact 12 min ago");
    assert_eq!(tile(&page, "store.orders"), "50,000 records, exact");
    assert_eq!(tile(&page, "store.branches"), "25 records");
}

#[test]
fn push_says_what_waits_and_since_when() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    let began = clock.now().wall;
    registry.add_live(move |_| {
        let of = |figure, value| Reading::of_series(figure, "endpoint", "a<b", value);
        let reason = vec![("endpoint", "a<b".to_owned()), ("reason", "expired".to_owned())];
        vec![
            of(FigureId::PushQueuedBatches, 3),
            of(FigureId::PushQueuedBytes, 4096),
            of(FigureId::PushOldestTimestamp, began.0),
            of(FigureId::PushDelivered, 1200),
            of(FigureId::PushLastSuccess, began.0),
            Reading { attributes: reason, ..Reading::of(FigureId::PushDropped, 2) },
        ]
    });
    let row = |page: &str| between(page, "id=\"endpoints\">", "</tbody>").replace('\u{a0}', " ");
    let fresh = page(&registry);
    assert!(row(&fresh).contains("a&lt;b</th>") && row(&fresh).contains("up to date"), "{}", row(&fresh));
    assert_eq!(verdict(&fresh).0, "good");
    clock.advance(Duration::from_secs(61));
    let behind = page(&registry);
    assert_eq!(verdict(&behind).1, "Push behind: a&lt;b");
    let row = row(&behind);
    for part in ["behind <small>last success 61 s ago", "<td>3 <small>oldest 61 s, 4.00 KiB", ">2 <small>1,200 deliv"] {
        assert!(row.contains(part), "{part} is not in {row}");
    }
    assert!(!page(&super::tests::registry().0).contains("id=\"push\""));
}

#[test]
fn an_endpoint_that_refuses_all_is_no_good_one_though_nothing_waits() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    let began = clock.now().wall;
    registry.add_live(move |now| {
        let of = |endpoint: &str, figure, value| Reading::of_series(figure, "endpoint", endpoint, value);
        let since = now.wall.since(began).as_secs();
        let reason = |endpoint: &str| vec![("endpoint", endpoint.to_owned()), ("reason", "rejected".to_owned())];
        let dropped = |endpoint, count: u64| Reading {
            attributes: reason(endpoint),
            ..Reading::of(FigureId::PushDropped, count)
        };
        vec![
            of("never", FigureId::PushQueuedBatches, 0),
            dropped("never", since),
            of("once", FigureId::PushQueuedBatches, 0),
            of("once", FigureId::PushLastSuccess, began.0),
            dropped("once", 1),
            of("seldom", FigureId::PushQueuedBatches, 0),
            of("seldom", FigureId::PushLastSuccess, began.0),
            dropped("seldom", 0),
        ]
    });
    assert_eq!(verdict(&page(&registry)).1, "All is well");
    clock.advance(Duration::from_secs(30));
    read(&registry, clock.now(), &Section::DOCUMENTED);
    let failing = page(&registry);
    let detail = "Figures are fresh here; the receiver takes no batch, and its answer is in the bridge&#39;s log.";
    assert_eq!(verdict(&failing), ("warn", "Push failing: never", detail));
    assert!(failing.contains("failing <small>no success yet"));
    clock.advance(Duration::from_secs(571));
    read(&registry, clock.now(), &Section::DOCUMENTED);
    assert_eq!(verdict(&page(&registry)).1, "Push failing: never, once");
}

#[test]
fn the_operators_figures_have_a_section_of_their_own_and_stay_text() {
    let clock = Arc::new(ManualClock::at(crate::output::telemetry_json::tests::MEASURED));
    let keys = vec!["state".to_owned()];
    let figure = CustomFigure::new("orders.paid", Kind::Gauge, "EUR", "Paid <b>orders</b>.", keys).unwrap();
    let figure = Arc::new(figure);
    let registry =
        Registry::with_custom(Arc::<ManualClock>::clone(&clock), Ages::default(), &[], &[Arc::clone(&figure)]);
    let section = Section::Custom("orders".into());
    registry.attach("sqlite", std::slice::from_ref(&section), &[]);
    let series = |number| CustomReading {
        figure: Arc::clone(&figure),
        attributes: vec![("state".to_owned(), format!("<script>{number}"))],
        value: Number::Float(12.5),
        start: None,
    };
    let mut unit = Readings::new(section, clock.now(), Vec::new());
    unit.custom = (0..50).map(series).collect();
    registry.publish(vec![unit]);
    let page = page(&registry);
    assert_eq!(tile(&page, "custom.orders.paid.&lt;script&gt;0"), "12.5 EUR");
    assert!(page.contains("Paid: &lt;script&gt;0</dt>"), "{page}");
    assert!(page.contains("<dt>More</dt><dd class=\"note quiet\">10 further"));
    assert_eq!((page.matches("<script>").count(), page.matches("<b>orders").count()), (1, 0));
}

#[test]
fn all_that_is_configured_stays_text_and_links_are_relative() {
    let (registry, clock) = registry();
    let evil = "</title><script>alert(1)</script>\"'&";
    let site = Site {
        service: evil.to_owned(),
        environment: evil.to_owned(),
        telemetry_path: "/probe/metrics".to_owned(),
        started: clock.now(),
    };
    let address = format!("https://grafana.example/{evil}");
    let links = Links { dashboards: Some(address), documents: Some("https://git.example/docs".to_owned()) };
    clock.advance(Duration::from_secs(11_100));
    let page = render(&registry.current(), &site, &links, Some(evil));
    assert_eq!((page.matches("<script>").count(), page.matches("</title>").count()), (1, 1));
    assert!(page.contains(" · up 3\u{a0}h 5\u{a0}min</p>"));
    assert!(page.contains("href=\"./probe/metrics\"") && !page.contains("href=\"/"));
    assert!(page.contains("<a href=\"https://git.example/docs\">Documents and runbooks</a>"));
    assert!(
        page.contains("href=\"https://grafana.example/&lt;/title&gt;&lt;script&gt;") && !page.contains("web.links")
    );
}

#[test]
fn the_page_is_small_and_has_nothing_from_elsewhere() {
    let (registry, clock) = registry();
    read(&registry, clock.now(), &Section::DOCUMENTED);
    let page = page(&registry);
    assert!(STYLE.len() + SCRIPT.len() < 16_000, "{}", STYLE.len() + SCRIPT.len());
    assert!(page.len() < 25_000, "{}", page.len());
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http://", "https://", "rel=\"stylesheet", "@import", "url(", " style=\"", " onclick", "innerHTML"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Every header of a table says what it is the header of, and every table is named.
    assert_eq!(page.matches("<th ").count(), page.matches("<th scope=").count());
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
    assert_eq!(page.matches("aria-live").count(), 1);
    assert_eq!(title("completed_today"), "Completed today");
}
