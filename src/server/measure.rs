//! How long requests take, by route template: the figure `linkit.bridge.http.request.duration`.
//!
//! Clients choose methods and paths, so both are folded into a fixed set: they must not make series.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;

use super::App;
use crate::catalog::FigureId;

const OTHER: &str = "other";

/// Records the time until the answer is ready to be written.
pub(super) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let start = app.info.clock.now();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let took = app.info.clock.now().since(start);
    let route = route.as_ref().map_or(OTHER, MatchedPath::as_str);
    let code = response.status();
    let attributes = [("code", code.as_str()), ("method", method), ("route", route)];
    app.registry.record(FigureId::HttpRequestDuration, took, &attributes);
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => OTHER,
    }
}
