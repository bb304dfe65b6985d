//! How long requests take, by route template: the figure `linkit.bridge.http.request.duration`.
//!
//! Clients choose methods and paths, so both are folded into a fixed set: they must not make series. A layer costs each
//! request copies of its route, so what is asked for often is [measured by itself](measured).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};

use super::App;
use crate::catalog::FigureId;
use crate::clock::Moment;

const OTHER: &str = "other";

/// Records the time until the answer is ready to be written; the layer of all routes that do not do it themselves.
pub(super) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let (start, method) = (app.info.clock.now(), method(request.method()));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    record(&app, took(&app, start), method, template(route.as_ref()), response.status());
    response
}

/// The same for a refusal by who stands before the routes.
pub(super) fn refused(app: &App, start: Moment, request: &Request, refusal: Response) -> Response {
    let (method, route) = (method(request.method()), template(request.extensions().get()));
    record(app, took(app, start), method, route, refusal.status());
    refusal
}

/// Records a refusal that is older than the choice of a route.
pub(super) type Refusals = Arc<dyn Fn(&Method, StatusCode, Duration) + Send + Sync>;

/// Records refusals of `app`.
pub(super) fn refusals(app: App) -> Refusals {
    Arc::new(move |name, code, took| record(&app, took, method(name), OTHER, code))
}

/// The same for an answer of `route` that waits for nothing.
pub(super) fn measured(app: &App, route: &str, request: &Request, answer: impl FnOnce() -> Response) -> Response {
    let start = app.info.clock.now();
    let response = answer();
    record(app, took(app, start), method(request.method()), route, response.status());
    response
}

fn took(app: &App, start: Moment) -> Duration {
    app.info.clock.now().since(start)
}

/// A route's template; all paths that nobody serves are one.
fn template(route: Option<&MatchedPath>) -> &str {
    route.map_or(OTHER, MatchedPath::as_str)
}

fn record(app: &App, took: Duration, method: &'static str, route: &str, code: StatusCode) {
    let attributes = [("code", code.as_str()), ("method", method), ("route", route)];
    app.registry.record(FigureId::HttpRequestDuration, took, &attributes);
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => OTHER,
    }
}
