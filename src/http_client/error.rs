//! What can go wrong on the way to an answer, each told by host, cause and remedy, without user info, query or header.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why there is no answer. `host` is always `host:port` and nothing else of the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be asked at all.
    #[error("the url names no host, or a scheme other than http and https; write it as http://host:port/path")]
    Url,
    /// No root certificate could be read, so no https address can be asked.
    #[error("https is not possible: {cause}; install the root certificates of the system, or set SSL_CERT_FILE")]
    Roots {
        /// The innermost cause.
        cause: String,
    },
    /// No connection came about: refused, unresolved, no route, or TLS failed.
    #[error("{host} is unreachable: {cause}; check that it runs, its address, and its certificate if it has one")]
    Unreachable {
        /// Whom we asked.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// A step took too long.
    #[error("{host} did not {step} within {after:?}; check its load and the network, or raise the timeout")]
    Timeout {
        /// Whom we asked.
        host: String,
        /// Which step.
        step: Step,
        /// The limit that passed.
        after: Duration,
    },
    /// The connection ended before the answer did.
    #[error("{host} broke off before its answer was complete: {cause}; look into its log")]
    Lost {
        /// Whom we asked.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// What came back is not HTTP of the version we speak.
    #[error("{host} does not speak http: {cause}; check that the port is the right one, and http or https")]
    Garbled {
        /// Whom we asked.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The body is larger than allowed.
    #[error("{host} answered with more than {max} bytes; check that the url is the right one")]
    Oversized {
        /// Whom we asked.
        host: String,
        /// The largest body allowed, in bytes.
        max: usize,
    },
}

/// The steps that have a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Name, connection and TLS.
    Connect,
    /// The whole exchange.
    Answer,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "accept a connection",
            Self::Answer => "complete its answer",
        })
    }
}

impl HttpError {
    pub(super) fn of_exchange(host: &str, error: &hyper_util::client::legacy::Error) -> Self {
        if error.is_connect() {
            Self::Unreachable { host: host.to_owned(), cause: innermost(error) }
        } else {
            Self::of_body(host, error)
        }
    }

    pub(super) fn of_body(host: &str, error: &(dyn Error + 'static)) -> Self {
        let (host, cause) = (host.to_owned(), innermost(error));
        if chain(error).filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse) {
            Self::Garbled { host, cause }
        } else {
            Self::Lost { host, cause }
        }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause: the outer ones say no more than that a client failed to connect.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let cause = chain(error).last().unwrap_or(error);
    // "connection refused" instead of "Connection refused (os error 111)"; some numbers have no kind of their own.
    let kind = cause.downcast_ref::<io::Error>().filter(|error| error.raw_os_error().is_some()).map(io::Error::kind);
    match kind.map(|kind| kind.to_string()) {
        Some(text) if text != "uncategorized error" => text,
        _ => cause.to_string(),
    }
}
