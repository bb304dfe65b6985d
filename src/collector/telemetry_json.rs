//! Reads an existing Linkit by its own `GET /api/v1/telemetry`: one request serves all sections asked for.
//!
//! The document is read through the catalogue's table of JSON fields, the
//! same that the output of this shape writes, so a new field is one line there and none here. It is judged section by
//! section: one figure that cannot be true voids its section and no other.

mod parse;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(super) use parse::is_deep;
pub use parse::{Document, parse};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};

use crate::catalog::{FigureId, Section};
use crate::clock::{Clock, Moment};
use crate::collector::completed::Completed;
use crate::collector::{Attempt, CollectError, Collector, ErrorClass, Outcome};
use crate::http_client::{HttpClient, HttpError, Limits, host_of};
use crate::reading::{Reading, Readings};

const PATH: &str = "/api/v1/telemetry";
const USER_AGENT: &str = concat!("linkit-bridge/", env!("CARGO_PKG_VERSION"));
const DAY: Duration = Duration::from_secs(86_400);

/// What the collector needs to know.
#[derive(Clone)]
pub struct TelemetryJsonConfig {
    /// The backend's base, as `http://127.0.0.1:8090`; the documented path is appended unless it is there.
    pub url: String,
    /// The key sent as it is in `Authorization`; none is sent without it.
    pub api_key: Option<SecretString>,
    /// The sections to read; only these must be in the document.
    pub sections: Vec<Section>,
    /// Bytes in a megabyte of the document.
    pub megabyte: u64,
    /// Largest document in bytes.
    pub body_bytes_max: usize,
    /// Time for the whole request; the scheduler may cancel an attempt before.
    pub timeout: Duration,
}

impl TelemetryJsonConfig {
    /// Reads `sections` from the backend at `url`, without a key, with megabytes of 2^20 bytes, documents of up to
    /// 1 MiB and 5 s a request.
    #[must_use]
    pub fn new(url: impl Into<String>, sections: impl Into<Vec<Section>>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            sections: sections.into(),
            megabyte: 1 << 20,
            body_bytes_max: 1 << 20,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Why the collector cannot be built. No text holds the url, which may hold a secret, or the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryJsonError {
    /// The url cannot be parsed, or its scheme is another.
    #[error("url is not an http or https address; write it as http://host:port")]
    Url,
    /// The url has user info.
    #[error("url holds a user name or password; leave them out and set api_key_file")]
    UserInfo,
    /// The url has a query.
    #[error(
        "url holds a query, which the documented endpoint does not have; leave it out and set api_key_file for a key"
    )]
    Query,
    /// The key cannot be a header value.
    #[error("api_key is empty, or holds characters that no header can carry; write the key alone, on one line")]
    ApiKey,
    /// There is nothing to read.
    #[error("no section is to be read; name runtime, store or staging")]
    Sections,
    /// A megabyte of 0 bytes.
    #[error("megabyte is 0 bytes; use 1048576 or 1000000")]
    Megabyte,
}

/// The collector.
pub struct TelemetryJson {
    uri: Uri,
    host: String,
    key: Option<HeaderValue>,
    sections: Vec<Section>,
    megabyte: u64,
    limits: Limits,
    http: HttpClient,
    completed: Completed,
}

impl TelemetryJson {
    /// A collector that has asked nothing yet.
    ///
    /// # Errors
    /// Fails if the url, the key, the sections or the megabyte cannot be used.
    pub fn new(config: TelemetryJsonConfig, http: HttpClient) -> Result<Self, TelemetryJsonError> {
        let uri = endpoint(&config.url)?;
        let host = host_of(&uri).ok_or(TelemetryJsonError::Url)?;
        let key = config.api_key.as_ref().map(|key| header_value(key.expose_secret())).transpose()?;
        let mut sections = config.sections;
        sections.sort_unstable();
        sections.dedup();
        if sections.is_empty() {
            return Err(TelemetryJsonError::Sections);
        }
        if config.megabyte == 0 {
            return Err(TelemetryJsonError::Megabyte);
        }
        let limits = Limits { total: config.timeout, body_bytes_max: config.body_bytes_max, ..Limits::default() };
        let (megabyte, completed) = (config.megabyte, Completed::default());
        Ok(Self { uri, host, key, sections, megabyte, limits, http, completed })
    }

    /// The same collector, counting on in `completed`.
    #[must_use]
    pub fn counting_on(mut self, completed: Completed) -> Self {
        self.completed = completed;
        self
    }

    async fn attempt(&mut self, clock: &Arc<dyn Clock>) -> Outcome {
        match self.fetch().await {
            Ok(document) => self.outcome(document, clock.now()),
            Err(error) => Outcome::failed(&self.sections, &error),
        }
    }

    async fn fetch(&self) -> Result<Document, CollectError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(key) = &self.key {
            request.headers_mut().insert(header::AUTHORIZATION, key.clone());
        }
        let answer = self.http.send(request, &self.limits).await.map_err(|error| unanswered(&error))?;
        self.judge(answer.status())?;
        parse(answer.body(), &self.sections, self.megabyte).map_err(|error| self.named(error))
    }

    /// Refuses every status but success. What the body says is left out: it is not ours, and may repeat the key.
    fn judge(&self, status: StatusCode) -> Result<(), CollectError> {
        let (class, text) = match status.as_u16() {
            200..=299 => return Ok(()),
            401 | 403 if self.key.is_none() => (ErrorClass::Unauthorized, "it wants a key; set api_key_file"),
            401 | 403 => (ErrorClass::Unauthorized, "it refuses the key; check api_key_file"),
            300..=399 => (ErrorClass::Redirect, "redirects are never followed; set url to where it leads"),
            _ => (ErrorClass::Status, "check url, and the log of the backend"),
        };
        Err(CollectError::new(class, format!("{} answered with status {status}: {text}", self.host)))
    }

    fn outcome(&mut self, document: Document, now: Moment) -> Outcome {
        // A time ahead of ours makes no reading from the future, and none that stays fresh for ever: it counts as now.
        let taken = document.measured.map_or(now, |measured| now.minus(now.wall.since(measured)));
        // Between the source's midnight and ours, its figure is already tomorrow's.
        let is_tomorrows =
            document.measured.is_some_and(|measured| measured.day() > now.wall.day() && measured.since(now.wall) < DAY);
        let mut outcome = Outcome::default();
        for (section, values) in document.sections {
            match values {
                Ok(mut values) => {
                    if section == Section::Staging {
                        values.extend(self.completed(&values, taken, is_tomorrows));
                    }
                    let version = document.version.clone();
                    outcome.readings.push(Readings { version, ..Readings::new(section, taken, values) });
                }
                Err(error) => outcome.errors.push((section, self.named(error))),
            }
        }
        outcome
    }

    /// The counter behind `completed_today`. A document older than the last one (a cache between us and the source, a
    /// clock set back) and one of tomorrow leave it as it is, for it must count nothing twice.
    fn completed(&mut self, values: &[Reading], taken: Moment, is_tomorrows: bool) -> Option<Reading> {
        let today = values.iter().find(|reading| reading.figure == FigureId::StagingCompletedToday)?.value?;
        if is_tomorrows || !self.completed.advance_to(taken) {
            let (day, today) = self.completed.last()?;
            return Some(self.completed.observe(day, today, &[]));
        }
        Some(self.completed.observe(taken.wall.day(), today, &[]))
    }

    fn named(&self, error: CollectError) -> CollectError {
        CollectError::new(error.class, format!("{}: {}", self.host, error.message))
    }
}

impl Collector for TelemetryJson {
    fn source(&self) -> &'static str {
        "telemetry_json"
    }

    fn sections(&self) -> &[Section] {
        &self.sections
    }

    fn error_classes(&self) -> &'static [ErrorClass] {
        use ErrorClass::{
            Missing, Other, Oversized, Panic, Range, Redirect, Status, Syntax, Timeout, Type, Unauthorized, Unreachable,
        };
        const {
            &[
                Missing,
                Other,
                Oversized,
                Panic,
                Range,
                Redirect,
                Status,
                Syntax,
                Timeout,
                Type,
                Unauthorized,
                Unreachable,
            ]
        }
    }

    fn collect<'a>(&'a mut self, clock: &'a Arc<dyn Clock>) -> Attempt<'a> {
        Box::pin(self.attempt(clock))
    }
}

/// The endpoint's address from the configured base.
fn endpoint(url: &str) -> Result<Uri, TelemetryJsonError> {
    let uri: Uri = url.trim().parse().map_err(|_| TelemetryJsonError::Url)?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(TelemetryJsonError::UserInfo);
    }
    if uri.scheme() != Some(&Scheme::HTTP) && uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(TelemetryJsonError::Url);
    }
    if uri.query().is_some() {
        return Err(TelemetryJsonError::Query);
    }
    let base = uri.path().trim_end_matches('/');
    let path = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| TelemetryJsonError::Url)?);
    Uri::from_parts(parts).map_err(|_| TelemetryJsonError::Url)
}

/// The key as a header value that no debug output shows.
fn header_value(key: &str) -> Result<HeaderValue, TelemetryJsonError> {
    let mut value = HeaderValue::from_str(key).map_err(|_| TelemetryJsonError::ApiKey)?;
    if key.trim().is_empty() {
        return Err(TelemetryJsonError::ApiKey);
    }
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn unanswered(error: &HttpError) -> CollectError {
    let class = match error {
        HttpError::Unreachable { .. } | HttpError::Lost { .. } | HttpError::Roots { .. } => ErrorClass::Unreachable,
        HttpError::Timeout { .. } => ErrorClass::Timeout,
        HttpError::Oversized { .. } => ErrorClass::Oversized,
        HttpError::Garbled { .. } => ErrorClass::Syntax,
        HttpError::Url => ErrorClass::Other,
    };
    CollectError::new(class, error.to_string())
}
