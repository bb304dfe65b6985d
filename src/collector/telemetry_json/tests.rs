//! The collector against servers that misbehave and clocks that disagree.

use std::io::Write;

use super::testing::{EXAMPLE, MEBI, measured};
use super::*;
use crate::clock::{Day, ManualClock, Wall};
use crate::http_client::testing::{RawServer, Trap, nobody, ok};

const KEY: &str = "canary-key-4711";

fn collector(url: &str, sections: &[Section]) -> TelemetryJson {
    let config = TelemetryJsonConfig { api_key: Some(KEY.into()), ..TelemetryJsonConfig::new(url, sections) };
    TelemetryJson::new(config, HttpClient::new()).unwrap()
}

fn clock_at(wall: Wall) -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(wall))
}

/// The class and text of an attempt that failed for every section alike.
async fn failure(collector: &mut TelemetryJson) -> (ErrorClass, String) {
    let outcome = collector.collect(&clock_at(measured())).await;
    assert!(outcome.readings.is_empty());
    assert_eq!(outcome.errors.iter().map(|(section, _)| section.clone()).collect::<Vec<_>>(), collector.sections());
    let error = &outcome.errors[0].1;
    assert!(outcome.errors.iter().all(|(_, other)| other.class == error.class));
    assert!(!error.to_string().contains(KEY), "{error}");
    (error.class, error.to_string())
}

#[tokio::test]
async fn one_request_with_the_raw_key_serves_all_sections() {
    let server = RawServer::answering(ok(EXAMPLE));
    let mut collector = collector(&server.url(), &[Section::Staging, Section::Runtime, Section::Store, Section::Store]);
    assert_eq!((collector.source(), collector.sections()), ("telemetry_json", Section::DOCUMENTED.as_slice()));
    let outcome = collector.collect(&clock_at(measured().plus(Duration::from_secs(7)))).await;
    assert!(outcome.errors.is_empty());
    assert_eq!(outcome.readings.iter().map(|unit| unit.section.clone()).collect::<Vec<_>>(), Section::DOCUMENTED);
    for unit in &outcome.readings {
        assert_eq!((unit.taken.wall, unit.day, unit.version.as_deref()), (measured(), measured().day(), Some("1.0.0")));
    }
    let completed = outcome.readings[2].values.last().unwrap();
    let start = Some(measured().day().start());
    assert_eq!((completed.figure, completed.value, completed.start), (FigureId::StagingCompleted, Some(5432), start));
    let heads = server.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("GET /api/v1/telemetry HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains(&format!("authorization: {KEY}\r\n")), "{}", heads[0]);
}

#[tokio::test]
async fn a_chunked_document_is_read() {
    let body =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{EXAMPLE}\r\n0\r\n\r\n", EXAMPLE.len());
    let server = RawServer::answering(body);
    let outcome = collector(&server.url(), &Section::DOCUMENTED).collect(&clock_at(measured())).await;
    assert_eq!((outcome.readings.len(), outcome.errors.len()), (3, 0));
}

#[tokio::test]
async fn a_lie_voids_its_section_and_delivers_the_others() {
    let server = RawServer::answering(ok(&EXAMPLE.replace("50000", "1.5")));
    let outcome = collector(&server.url(), &Section::DOCUMENTED).collect(&clock_at(measured())).await;
    assert_eq!(outcome.readings.len(), 2);
    let (section, error) = &outcome.errors[0];
    assert_eq!((section, error.class), (&Section::Store, ErrorClass::Type));
    assert!(error.to_string().starts_with(&format!("{}: store.orders is not whole (1.5)", server.address)), "{error}");
}

#[tokio::test]
async fn statuses_have_their_classes_and_their_bodies_are_never_told() {
    for (status, class) in [
        ("401 Unauthorized", ErrorClass::Unauthorized),
        ("403 Forbidden", ErrorClass::Unauthorized),
        ("301 Moved Permanently", ErrorClass::Redirect),
        ("304 Not Modified", ErrorClass::Redirect),
        ("404 Not Found", ErrorClass::Status),
        ("429 Too Many Requests", ErrorClass::Status),
        ("503 Service Unavailable", ErrorClass::Status),
        ("999 Whatever", ErrorClass::Status),
    ] {
        let length = if status.starts_with("304") { "" } else { "Content-Length: 15\r\n" };
        let body = if length.is_empty() { "" } else { KEY };
        let server = RawServer::answering(format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n{body}"));
        let (got, text) = failure(&mut collector(&server.url(), &Section::DOCUMENTED)).await;
        assert_eq!(got, class, "{status}");
        assert!(text.contains(&status[..3]) && text.contains(&server.address.to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed_and_the_key_never_leaves_for_elsewhere() {
    let trap = Trap::set();
    let location = trap.address();
    let server = RawServer::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{location}/api/v1/telemetry\r\nContent-Length: 0\r\n\r\n"
    ));
    let (class, text) = failure(&mut collector(&server.url(), &Section::DOCUMENTED)).await;
    assert_eq!(class, ErrorClass::Redirect);
    assert!(!text.contains(&location.to_string()), "{text}");
    assert!(trap.is_untouched());
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn broken_servers_have_their_classes() {
    let endless = RawServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{").unwrap();
        while stream.write_all(&[b' '; 4096]).is_ok() {}
        false
    });
    assert_eq!(failure(&mut collector(&endless.url(), &Section::DOCUMENTED)).await.0, ErrorClass::Oversized);

    let drip = RawServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    });
    let config = TelemetryJsonConfig {
        timeout: Duration::from_millis(100),
        ..TelemetryJsonConfig::new(drip.url(), Section::DOCUMENTED)
    };
    let mut slow = TelemetryJson::new(config, HttpClient::new()).unwrap();
    assert_eq!(failure(&mut slow).await.0, ErrorClass::Timeout);

    let (class, text) = failure(&mut collector(&format!("http://{}", nobody()), &Section::DOCUMENTED)).await;
    assert_eq!(class, ErrorClass::Unreachable);
    assert!(text.contains("connection refused"), "{text}");

    let garbage = RawServer::answering("SSH-2.0-OpenSSH_9.9\r\n");
    assert_eq!(failure(&mut collector(&garbage.url(), &Section::DOCUMENTED)).await.0, ErrorClass::Syntax);
    let page = RawServer::answering(ok("<html>login</html>"));
    assert_eq!(failure(&mut collector(&page.url(), &Section::DOCUMENTED)).await.0, ErrorClass::Syntax);
    let cut = RawServer::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{EXAMPLE}"));
    assert_eq!(failure(&mut collector(&cut.url(), &Section::DOCUMENTED)).await.0, ErrorClass::Unreachable);
}

/// What a collector makes of a document measured at `measured` with `today` completed, at our `now`.
fn staging(collector: &mut TelemetryJson, now: Moment, measured: &str, today: u64) -> (Readings, Option<u64>) {
    let body = EXAMPLE.replace("2024-01-15T10:30:00Z", measured).replace("5432", &today.to_string());
    let document = parse(body.as_bytes(), &[Section::Staging], MEBI).unwrap();
    let unit = collector.outcome(document, now).readings.remove(0);
    let total = unit.values.iter().find(|reading| reading.figure == FigureId::StagingCompleted).and_then(|it| it.value);
    (unit, total)
}

#[test]
fn a_reading_is_as_old_as_its_document_and_never_from_the_future() {
    let mut it = collector("http://a", &[Section::Staging]);
    let now = clock_at(measured()).now();
    let taken = |it: &mut TelemetryJson, at: &str| staging(it, now, at, 1).0.taken;
    assert_eq!(taken(&mut it, "2024-01-15T10:30:00Z"), now);
    assert_eq!(taken(&mut it, "2024-01-15T10:29:00Z"), now.minus(Duration::from_secs(60)));
    assert_eq!(taken(&mut it, "2024-01-15T11:29:00+01:00"), now.minus(Duration::from_secs(60)));
    assert_eq!(taken(&mut it, "2034-01-15T10:30:00Z"), now);
    assert_eq!(taken(&mut it, "not a time"), now);
}

#[test]
fn the_day_is_the_documents_and_the_counter_goes_on_across_midnight() {
    let mut it = collector("http://a", &[Section::Staging]);
    let manual = ManualClock::at(Wall::parse_rfc3339("2024-01-15T23:59:58Z").unwrap());
    let mut see = |measured: &str, today| {
        let (unit, total) = staging(&mut it, manual.now(), measured, today);
        manual.advance(Duration::from_secs(3));
        (unit.day, total)
    };
    let day = measured().day();
    assert_eq!(see("2024-01-15T23:59:58Z", 500), (day, Some(500)));
    // Our clock has passed midnight, the document has not: it is yesterday's.
    assert_eq!(see("2024-01-15T23:59:59Z", 501), (day, Some(501)));
    assert_eq!(see("2024-01-16T00:00:03Z", 2), (day.next(), Some(503)));
    // A cache between us and the source serves older documents, of yesterday and of today.
    assert_eq!(see("2024-01-15T23:59:58Z", 500), (day, Some(503)));
    assert_eq!(see("2024-01-16T00:00:02Z", 1), (day.next(), Some(503)));
    assert_eq!(see("2024-01-16T00:00:13Z", 5), (day.next(), Some(506)));
}

#[test]
fn a_source_whose_midnight_comes_before_ours_counts_nothing_twice() {
    let mut it = collector("http://a", &[Section::Staging]);
    let manual = ManualClock::at(Wall::parse_rfc3339("2024-01-15T23:59:50Z").unwrap());
    let mut see = |measured: &str, today| {
        let (unit, total) = staging(&mut it, manual.now(), measured, today);
        manual.advance(Duration::from_secs(4));
        (unit.day, total)
    };
    let day = measured().day();
    assert_eq!(see("2024-01-15T23:59:58Z", 500), (day, Some(500)));
    assert_eq!(see("2024-01-16T00:00:01Z", 3), (day, Some(500)));
    assert_eq!(see("2024-01-16T00:00:04Z", 5), (day, Some(500)));
    assert_eq!(see("2024-01-16T00:00:10Z", 7), (day.next(), Some(507)));
    // A year ahead is no midnight but a broken clock: our own day holds.
    assert_eq!(see("2025-01-16T00:00:16Z", 9), (day.next(), Some(509)));
    assert_eq!(day, Day(19_737));
}

#[test]
fn clocks_set_back_by_a_day_count_nothing_twice() {
    let mut it = collector("http://a", &[Section::Staging]);
    let manual = ManualClock::at(measured());
    let mut see = |at: &str, today| {
        manual.advance(Duration::from_secs(5));
        manual.set_wall(Wall::parse_rfc3339(at).unwrap());
        staging(&mut it, manual.now(), at, today).1
    };
    assert_eq!(see("2024-01-15T10:30:05Z", 100), Some(100));
    // The items of the day before were never counted; those of the day after are not counted again.
    assert_eq!(see("2024-01-14T10:30:10Z", 50), Some(150));
    assert_eq!(see("2024-01-15T10:30:15Z", 103), Some(153));
}

#[test]
fn the_documented_path_is_appended_once() {
    for (url, endpoint_url) in [
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090/api/v1/telemetry"),
        ("http://127.0.0.1:8090/", "http://127.0.0.1:8090/api/v1/telemetry"),
        (" https://linkit.works/base/ ", "https://linkit.works/base/api/v1/telemetry"),
        ("https://linkit.works/api/v1/telemetry", "https://linkit.works/api/v1/telemetry"),
        ("http://[::1]:80/api/v1/telemetry/", "http://[::1]:80/api/v1/telemetry"),
    ] {
        assert_eq!(endpoint(url).unwrap().to_string(), endpoint_url, "{url}");
    }
}

#[test]
fn a_config_that_cannot_work_is_refused_without_a_secret_in_the_text() {
    let config = |url: &str| TelemetryJsonConfig::new(url, Section::DOCUMENTED);
    let with_key = |key: &str| TelemetryJsonConfig { api_key: Some(key.into()), ..config("http://a") };
    for (config, expected) in [
        (config("http://user:canary@a/"), TelemetryJsonError::UserInfo),
        (config("http://canary@a/"), TelemetryJsonError::UserInfo),
        (config("ftp://a/"), TelemetryJsonError::Url),
        (config("a:8090"), TelemetryJsonError::Url),
        (config("/path"), TelemetryJsonError::Url),
        (config(""), TelemetryJsonError::Url),
        (config("http://a b/"), TelemetryJsonError::Url),
        (config("http://a/?key=canary"), TelemetryJsonError::Query),
        (with_key(""), TelemetryJsonError::ApiKey),
        (with_key("canary\n"), TelemetryJsonError::ApiKey),
        (TelemetryJsonConfig { sections: vec![], ..config("http://a") }, TelemetryJsonError::Sections),
        (TelemetryJsonConfig { megabyte: 0, ..config("http://a") }, TelemetryJsonError::Megabyte),
    ] {
        let error = TelemetryJson::new(config, HttpClient::new()).err().unwrap();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("canary"));
    }
}
