//! The three requests, at once and each by itself.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri, header};

use super::choice::From;
use super::config::{GoConfig, GoError, Route};
use super::page::Dialect;
use super::{expvar, host, page, pprof};
use crate::catalog::FigureId;
use crate::clock::{Clock, Moment, Wall};
use crate::collector::telemetry_json::unanswered;
use crate::collector::{CollectError, ErrorClass};
use crate::http_client::{HttpClient, Limits, host_of};

const USER_AGENT: &str = concat!("linkit-bridge/", env!("CARGO_PKG_VERSION"));
const PAGE_TYPES: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// What can go wrong with these requests.
pub(super) const ERROR_CLASSES: &[ErrorClass] = &[
    ErrorClass::Missing,
    ErrorClass::Other,
    ErrorClass::Oversized,
    ErrorClass::Panic,
    ErrorClass::Range,
    ErrorClass::Redirect,
    ErrorClass::Status,
    ErrorClass::Syntax,
    ErrorClass::Timeout,
    ErrorClass::Type,
    ErrorClass::Unauthorized,
    ErrorClass::Unreachable,
];

/// What one answer brought.
#[derive(Debug)]
pub(super) struct Read {
    /// Its figures; without a value the program does not know it (yet).
    pub(super) figures: Vec<(FigureId, Option<u64>)>,
    /// When the program started.
    pub(super) start: Option<Wall>,
    pub(super) taken: Moment,
}

impl Read {
    pub(super) fn value(&self, figure: FigureId) -> Option<u64> {
        self.figures.iter().find(|(held, _)| *held == figure).and_then(|(_, value)| *value)
    }
}

/// What became of one request.
#[derive(Debug)]
pub(super) enum Answer {
    NotAsked,
    /// 404, 410: the program does not have it.
    Gone,
    Failed(CollectError),
    Read(Read),
}

/// Whom to ask, and where.
pub(super) struct Asker {
    host: String,
    is_local: bool,
    /// The addresses in the order of [`From::ASKED`].
    addresses: [Option<Uri>; 3],
    limits: Limits,
    http: HttpClient,
}

impl Asker {
    pub(super) fn new(config: &GoConfig, http: HttpClient) -> Result<Self, GoError> {
        let base: Uri = config.url.trim().parse().map_err(|_| GoError::Url)?;
        let authority = base.authority().ok_or(GoError::Url)?.as_str().to_owned();
        if authority.contains('@') {
            return Err(GoError::UserInfo);
        }
        if base.scheme() != Some(&Scheme::HTTP) && base.scheme() != Some(&Scheme::HTTPS) {
            return Err(GoError::Url);
        }
        if base.query().is_some() {
            return Err(GoError::Query);
        }
        let host = host_of(&base).ok_or(GoError::Url)?;
        let root =
            format!("{}://{authority}{}", base.scheme_str().unwrap_or("http"), base.path().trim_end_matches('/'));
        let address = |key, route: &Route, default: &'static str| {
            let path = match route {
                Route::Off => return Ok(None),
                Route::Default => default,
                Route::Path(path) => path,
            };
            let uri = format!("{root}{path}").parse::<Uri>().ok().filter(|_| path.starts_with('/'));
            uri.map(Some).ok_or(GoError::Path(key, default))
        };
        let addresses = [
            address("expvar", &config.expvar, "/debug/vars")?,
            address("metrics", &config.metrics, "/metrics")?,
            address("pprof", &config.pprof, "/debug/pprof/goroutine?debug=1")?,
        ];
        if addresses.iter().all(Option::is_none) {
            return Err(GoError::Nothing);
        }
        let total = config.timeout - config.timeout / 10;
        let limits = Limits { total, body_bytes_max: config.body_bytes_max, ..Limits::default() };
        Ok(Self { host, is_local: host::is_local(base.host().unwrap_or("")), addresses, limits, http })
    }

    /// `host:port` of the program.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the program runs on this host.
    pub(super) const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Whether an answer is not switched off.
    pub(super) fn is_on(&self, from: From) -> bool {
        self.addresses.get(from as usize).is_some_and(Option::is_some)
    }

    /// Asks for all that is wanted, at once.
    pub(super) async fn ask(&self, is_wanted: [bool; 3], clock: &Arc<dyn Clock>) -> [Answer; 3] {
        let [expvar, page, pprof] = From::ASKED.map(|from| self.ask_one(from, is_wanted[from as usize], clock));
        let (expvar, page, pprof) = tokio::join!(expvar, page, pprof);
        [expvar, page, pprof]
    }

    async fn ask_one(&self, from: From, is_wanted: bool, clock: &Arc<dyn Clock>) -> Answer {
        let Some(address) = self.addresses.get(from as usize).and_then(Option::as_ref).filter(|_| is_wanted) else {
            return Answer::NotAsked;
        };
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = address.clone();
        let accept = match from {
            From::Expvar => "application/json",
            From::Page => PAGE_TYPES,
            From::Pprof | From::Host => "text/plain",
        };
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let answer = match self.http.send(request, &self.limits).await {
            Ok(answer) => answer,
            Err(error) => return Answer::Failed(self.named(from, unanswered(&error))),
        };
        if matches!(answer.status().as_u16(), 404 | 410) {
            return Answer::Gone;
        }
        let taken = clock.now();
        match self.judge(&answer).and_then(|()| read(from, &answer)) {
            Ok((figures, start)) => Answer::Read(Read { figures, start, taken }),
            Err(error) => Answer::Failed(self.named(from, error)),
        }
    }

    fn judge(&self, answer: &Response<Bytes>) -> Result<(), CollectError> {
        let status = answer.status();
        let (class, text) = match status.as_u16() {
            200..=299 => return Ok(()),
            401 | 403 => (ErrorClass::Unauthorized, "it is refused; open it to this host, or set it to false"),
            300..=399 => {
                (ErrorClass::Redirect, "redirects are never followed; set its path, or url, to where it leads")
            }
            _ => (ErrorClass::Status, "look into the log of the program, or set it to false"),
        };
        Err(CollectError::new(class, format!("status {status}: {text}")))
    }

    /// Says which answer it was. One that did not come is the host's affair, and the same for all three.
    fn named(&self, from: From, error: CollectError) -> CollectError {
        if error.class == ErrorClass::Unreachable {
            return error;
        }
        let host = if error.message.starts_with(&self.host) { String::new() } else { format!(" of {}", self.host) };
        CollectError::new(error.class, format!("{}{host}: {}", from.name(), error.message))
    }
}

type Figures = Vec<(FigureId, Option<u64>)>;

fn read(from: From, answer: &Response<Bytes>) -> Result<(Figures, Option<Wall>), CollectError> {
    let body = answer.body();
    match from {
        From::Expvar => Ok((expvar::parse(body)?, None)),
        From::Pprof | From::Host => Ok((pprof::parse(body)?, None)),
        From::Page => {
            let content_type = answer.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?/?"));
            let dialect = Dialect::of_content_type(content_type).ok_or_else(|| {
                let text =
                    "its content type is neither text/plain nor openmetrics; set metrics to the scrape page's path";
                CollectError::new(ErrorClass::Syntax, text)
            })?;
            let told = page::figures(body, dialect)?;
            Ok((told.figures, told.start))
        }
    }
}
