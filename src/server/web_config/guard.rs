//! The guard before all routes: the rate limit, the password, and the headers of every answer.
//!
//! In the toolkit's order: a request too many is refused before anything else is asked of it. Where a route asks for a key
//! itself, who shows no password is left to it, or clients of the JSON, who have nothing but a key, would be shut out.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};

use super::super::access::{self, Admitted};
use super::super::{App, error, measure, peer::Peer};
use super::users::{Credentials, Verdict};
use super::{Ready, Shared, WebConfigFile};

/// The challenge to show a password (RFC 7617, 2).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"linkit-bridge\", charset=\"UTF-8\"");

/// What the guard works with.
#[derive(Clone)]
pub(in crate::server) struct Guard {
    pub(in crate::server) file: WebConfigFile,
    pub(in crate::server) app: App,
}

/// The layer around all routes.
pub(in crate::server) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let ready = guard.file.current();
    let Shared { checks, clock, .. } = &*guard.file.0;
    let (start, now) = (guard.app.info.clock.now(), clock.now().mono);
    let verdict = match guard.ask(&ready, &request, now) {
        Ok(verdict) => verdict,
        Err((credentials, address)) => {
            let verdict = checks.check(&ready.users, credentials, address, now).await;
            if verdict == Verdict::Right {
                request.extensions_mut().insert(Admitted);
            }
            verdict
        }
    };
    let refusal = match verdict {
        Verdict::Right => None,
        Verdict::Wrong => Some(error::password_required(request.uri())),
        Verdict::TooMany => Some(error::too_many(request.uri())),
    };
    let mut response = match refusal {
        None => next.run(request).await,
        Some(refusal) => measure::refused(&guard.app, start, &request, refusal),
    };
    if !ready.users.is_empty() && response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().append(WWW_AUTHENTICATE, CHALLENGE);
    }
    for (name, value) in &ready.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

impl Guard {
    /// What can be said of a request at once, or what has to be checked for it.
    fn ask(&self, ready: &Ready, request: &Request, now: Duration) -> Result<Verdict, (Credentials, Option<IpAddr>)> {
        if ready.limiter.as_ref().is_some_and(|limiter| !limiter.admits(now)) {
            return Ok(Verdict::TooMany);
        }
        if ready.users.is_empty() {
            return Ok(Verdict::Right);
        }
        match Credentials::of(request.headers()) {
            Some(credentials) => Err((credentials, Peer::of(request.extensions()).address)),
            None if access::asks_for_key(&self.app, request.uri().path()) => Ok(Verdict::Right),
            None => Ok(Verdict::Wrong),
        }
    }
}
