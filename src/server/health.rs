//! Liveness, readiness and health: three questions with three answers.
//!
//! - `/-/healthy`: does the process answer? Never depends on a source.
//! - `/-/ready`: has every collector finished its first attempt, well or badly? A dead source does not hide the others,
//!   and what a reload adds does not turn it back.
//! - `/api/v1/health`: are the figures good? For people and Linkit's clients.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::App;
use super::error::json;
use crate::reading::Age;
use crate::registry::CollectorStatus;

#[derive(Serialize)]
struct Pong {
    message: &'static str,
    timestamp: String,
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    version: &'a str,
    environment: &'a str,
    timestamp: String,
}

/// `GET /api/v1/ping`
pub(super) async fn ping(State(app): State<App>) -> Response {
    json(StatusCode::OK, &Pong { message: "pong", timestamp: app.timestamp() })
}

/// `GET /api/v1/health`
pub(super) async fn health(State(app): State<App>) -> Response {
    let snapshot = app.registry.current();
    let (status, code) = judge(&snapshot.collectors, snapshot.sections.iter().all(|section| section.has_source));
    let face = app.shown.get();
    let version = face.config.version.as_deref().or(snapshot.source_version.as_deref()).unwrap_or_default();
    let health = Health { status, version, environment: &app.info.environment, timestamp: app.timestamp() };
    json(code, &health)
}

/// `GET /-/healthy`
pub(super) async fn healthy() -> &'static str {
    "healthy\n"
}

/// `GET /-/ready`
pub(super) async fn ready(State(app): State<App>) -> Response {
    let snapshot = app.registry.current();
    let is_ready = snapshot.is_ready;
    let mut body = String::from(if is_ready { "ready\n" } else { "not ready: first attempts are under way\n" });
    for collector in &snapshot.collectors {
        let _ = writeln!(body, "{} ({}): {}", collector.section.name(), collector.source, state(collector));
    }
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, body).into_response()
}

/// The class of the last error, not its message: anyone may read this, and a message names hosts and files.
fn state(collector: &CollectorStatus) -> String {
    match (collector.up, &collector.last_error) {
        (Some(true), _) => "up".to_owned(),
        (Some(false), Some((class, _))) => format!("down, {class}"),
        (Some(false), None) => "down".to_owned(),
        (None, _) => "pending".to_owned(),
    }
}

/// Unhealthy: a section of the document has nothing to show. Degraded: what is shown is old, was not confirmed by the
/// last attempt, or is not all, because a section has no source or a custom figure is not there.
fn judge(collectors: &[CollectorStatus], is_whole: bool) -> (&'static str, StatusCode) {
    if collectors.iter().any(|collector| collector.section.is_documented() && !collector.age.is_shown()) {
        ("unhealthy", StatusCode::SERVICE_UNAVAILABLE)
    } else if collectors.iter().any(|collector| collector.age != Age::Fresh || collector.up == Some(false)) || !is_whole
    {
        ("degraded", StatusCode::OK)
    } else {
        ("healthy", StatusCode::OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Section;

    fn collector(age: Age, up: Option<bool>) -> CollectorStatus {
        let last_error = (up == Some(false)).then(|| ("timeout", "no answer from 10.0.0.7".to_owned()));
        let section = Section::Store;
        CollectorStatus {
            section,
            source: "sqlite",
            interval: None,
            attempts: 1,
            up,
            last_success: None,
            last_error,
            age,
        }
    }

    #[test]
    fn the_worst_collector_decides() {
        let good = collector(Age::Fresh, Some(true));
        for (other, status) in [
            (collector(Age::Fresh, Some(true)), "healthy"),
            (collector(Age::Fresh, None), "healthy"),
            (collector(Age::Fresh, Some(false)), "degraded"),
            (collector(Age::Stale, Some(true)), "degraded"),
            (collector(Age::Expired, Some(false)), "unhealthy"),
            (collector(Age::Never, None), "unhealthy"),
        ] {
            assert_eq!(judge(&[good.clone(), other], true).0, status);
        }
    }

    #[test]
    fn a_collector_of_custom_figures_degrades_at_most() {
        for (age, up, status) in [
            (Age::Fresh, Some(true), "healthy"),
            (Age::Fresh, Some(false), "degraded"),
            (Age::Stale, Some(true), "degraded"),
            (Age::Expired, Some(false), "degraded"),
            (Age::Never, None, "degraded"),
        ] {
            let custom = CollectorStatus { section: Section::Custom("shop".into()), ..collector(age, up) };
            assert_eq!(judge(&[collector(Age::Fresh, Some(true)), custom], true).0, status);
        }
    }

    #[test]
    fn a_state_names_the_class_and_no_host() {
        assert_eq!(state(&collector(Age::Fresh, Some(false))), "down, timeout");
    }
}
