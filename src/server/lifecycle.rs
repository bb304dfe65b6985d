//! `POST /-/reload`: asks whoever runs the server to read the configuration again, and waits for what came of it.
//!
//! It is off unless the face's settings open it, as with Prometheus, and refuses what a browser sends on behalf of another
//! site. What a reload is, the server does not know.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use tokio::sync::{mpsc, oneshot};

use super::{App, access};

/// Where a reload is asked for.
pub(super) const RELOAD_PATH: &str = "/-/reload";

/// Reloads that may wait for their turn.
const WAITING_MAX: usize = 4;

/// How a browser tells on whose behalf it asks (W3C Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What came of a reload, as text for people: what was done, or in one line why nothing was.
pub type Reloaded = Result<String, String>;

/// Asks for reloads; clones ask the same bridge.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<oneshot::Sender<Reloaded>>);

/// The reloads that were asked for, in their order.
#[derive(Debug)]
pub struct ReloadRequests(mpsc::Receiver<oneshot::Sender<Reloaded>>);

/// A way to ask for reloads, and its end.
#[must_use]
pub fn reloads() -> (Reloader, ReloadRequests) {
    let (asking, asked) = mpsc::channel(WAITING_MAX);
    (Reloader(asking), ReloadRequests(asked))
}

impl Reloader {
    /// Asks for a reload, and waits until it is done; `None` when nobody is there to do it.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

impl ReloadRequests {
    /// The next that is asked for; `None` when nobody can ask any more.
    pub async fn next(&mut self) -> Option<oneshot::Sender<Reloaded>> {
        self.0.recv().await
    }
}

/// `POST /-/reload`, `PUT /-/reload`
pub(super) async fn reload(State(app): State<App>, request: Request) -> Response {
    let Some(reloader) = app.reloader.as_ref().filter(|_| app.shown.get().config.lifecycle) else {
        let remedy = "reloads over HTTP are off: start with --web.enable-lifecycle or set web.enable_lifecycle, or send \
                      SIGHUP to the bridge\n";
        return answer(StatusCode::FORBIDDEN, remedy);
    };
    if let Some(refusal) = access::refusal(&app, &request) {
        return refusal;
    }
    if is_cross_site(request.headers(), request.uri()) {
        return answer(StatusCode::FORBIDDEN, "refused: a page of another site asked for this reload\n");
    }
    match reloader.reload().await {
        Some(Ok(done)) => answer(StatusCode::OK, &format!("{done}\n")),
        Some(Err(problem)) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, &format!("not reloaded, all is as it was: {problem}\n"))
        }
        None => answer(StatusCode::SERVICE_UNAVAILABLE, "not reloaded: the bridge is stopping\n"),
    }
}

/// The same by another method.
pub(super) async fn wrong_method() -> Response {
    let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: use POST or PUT\n");
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("POST, PUT"));
    response
}

fn answer(status: StatusCode, text: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], text.to_owned()).into_response()
}

/// Whether a browser says that another site's page asks. Programs say nothing of the kind.
fn is_cross_site(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(&FETCH_SITE) {
        return !["same-origin", "none"].contains(&site);
    }
    let host = text(&HOST).or_else(|| uri.authority().map(http::uri::Authority::as_str));
    let from = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_ascii_lowercase());
    text(&ORIGIN).is_some_and(|origin| from(origin) != host.map(str::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_site_asks_for_is_known_by_what_the_browser_says() {
        for (headers, is_refused) in [
            (&[][..], false),
            (&[("host", "a:1")], false),
            (&[("host", "a:1"), ("origin", "http://a:1")], false),
            (&[("host", "A:1"), ("origin", "http://a:1")], false),
            (&[("host", "a:1"), ("origin", "http://b:1")], true),
            (&[("host", "a:1"), ("origin", "null")], true),
            (&[("origin", "http://a:1")], true),
            (&[("sec-fetch-site", "same-origin"), ("host", "a:1"), ("origin", "https://a:1")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
        ] {
            let map = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            assert_eq!(is_cross_site(&map.collect(), &Uri::from_static("/-/reload")), is_refused, "{headers:?}");
        }
    }
}
