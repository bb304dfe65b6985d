//! What clients of the server may take. Sizes and times are checked here; their defaults are the server's own.

use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// What clients may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Connections at a time; default 2048.
    #[serde(deserialize_with = "number")]
    pub connections: Option<usize>,
    /// Connections at a time of one address, of IPv6 of one /64 network; default 64.
    #[serde(deserialize_with = "number")]
    pub connections_per_address: Option<usize>,
    /// Time to agree on TLS; default 5s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub handshake_timeout: Option<Duration>,
    /// Time for the head of a request; default 5s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub header_timeout: Option<Duration>,
    /// Time for a whole request; default 15s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub request_timeout: Option<Duration>,
    /// Time to write an answer; default 30s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub answer_timeout: Option<Duration>,
    /// Time a connection may idle between requests; default 75s.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub idle_timeout: Option<Duration>,
}

impl LimitsSection {
    /// What is wrong with it, in words for an operator.
    pub(super) fn problem(&self) -> Option<String> {
        let numbers = [("connections", self.connections), ("connections_per_address", self.connections_per_address)];
        let times = [
            ("handshake_timeout", self.handshake_timeout),
            ("header_timeout", self.header_timeout),
            ("request_timeout", self.request_timeout),
            ("answer_timeout", self.answer_timeout),
            ("idle_timeout", self.idle_timeout),
        ];
        // A time without end would let the clock overflow.
        let longest = Duration::from_secs(86_400);
        let number = numbers.into_iter().find(|(_, number)| *number == Some(0)).map(|(name, _)| {
            format!(
                "web.limits.{name} is 0, and nobody would be let in; set a number, or leave it away for the default"
            )
        });
        let is_wrong = |time: Duration| time < Duration::from_millis(1) || time > longest;
        number.or_else(|| {
            let (name, _) = times.into_iter().find(|(_, time)| time.is_some_and(is_wrong))?;
            Some(format!("web.limits.{name} must be between 1ms and 24h"))
        })
    }
}

/// A whole number, also as the text that a variable brings.
fn number<'de, D: Deserializer<'de>>(value: D) -> Result<Option<usize>, D::Error> {
    value.deserialize_any(Number).map(Some)
}

struct Number;

impl Visitor<'_> for Number {
    type Value = usize;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<usize, E> {
        usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
        usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}
