//! What an endpoint made of a batch, the same for all protocols.
//!
//! The answer of the OTLP specification, with the points that were refused, is decoded here: it belongs to the protocol
//! of delivery like the statuses and `Retry-After`, and no exporter could give another decoder.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use serde_json::Value;

use super::retry::{Verdict, retry_after, says_too_large, verdict};
use crate::clock::Wall;

/// What an endpoint made of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What becomes of the batch.
    pub verdict: Verdict,
    /// The status in the protocol's words.
    pub status: String,
    /// What it said beside it, as it came.
    pub reason: Bytes,
    /// Points of a batch it took that it refused.
    pub refused: u64,
    /// How long it asks us to wait before the batch is sent again.
    pub asked: Option<Duration>,
}

impl Reply {
    /// An answer over HTTP that came at `now`.
    #[must_use]
    pub fn of_http(response: &Response<Bytes>, now: Wall) -> Self {
        let verdict = match verdict(response.status()) {
            Verdict::Refused if response.status() == StatusCode::BAD_REQUEST && says_too_large(response.body()) => {
                Verdict::TooLarge
            }
            verdict => verdict,
        };
        if verdict == Verdict::Taken {
            let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
                kind.to_str().is_ok_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"))
            });
            return if is_json { Self::taken_json(response.body()) } else { Self::taken(response.body().clone()) };
        }
        Self {
            verdict,
            status: format!("status {}", response.status()),
            reason: response.body().clone(),
            refused: 0,
            asked: retry_after(response.headers(), now).filter(|_| verdict == Verdict::Again),
        }
    }

    /// A batch that was taken with `message`; one that is no OTLP answer changes nothing, for the status has said it.
    pub(super) fn taken(message: Bytes) -> Self {
        let partial = ExportMetricsServiceResponse::decode(message).ok().and_then(|answer| answer.partial_success);
        partial.map_or_else(
            || Self::with_remark(0, String::new()),
            |partial| Self::with_remark(partial.rejected_data_points, partial.error_message),
        )
    }

    /// The same in JSON, where a number of 64 bits is a text, and by some a number.
    fn taken_json(message: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(message).unwrap_or_default();
        let partial = &answer["partialSuccess"];
        let refused = &partial["rejectedDataPoints"];
        let refused = refused.as_i64().or_else(|| refused.as_str()?.parse().ok()).unwrap_or(0);
        Self::with_remark(refused, partial["errorMessage"].as_str().unwrap_or_default().to_owned())
    }

    fn with_remark(refused: i64, remark: String) -> Self {
        Self {
            verdict: Verdict::Taken,
            status: String::new(),
            reason: remark.into(),
            refused: u64::try_from(refused).unwrap_or(0),
            asked: None,
        }
    }

    /// A batch that cannot be put into the endpoint's words.
    pub(super) fn unsendable(cause: String) -> Self {
        let status = "nothing, for the batch cannot be sent in its protocol".to_owned();
        Self { verdict: Verdict::Refused, status, reason: cause.into(), refused: 0, asked: None }
    }
}
