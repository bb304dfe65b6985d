//! Durations and sizes as people write them, and not beyond what any setting can mean.
//!
//! jiff and bytesize read them. The latter takes what is beyond 64 bits for the largest number there is, that is for no
//! bound at all, and a duration of an aeon lets clocks overflow; both are slips. The next quantity is a function here.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::fmt::serde::unsigned_duration::friendly::compact::optional;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Longest duration: ten years.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Largest size.
const LARGEST: ByteSize = ByteSize::pib(1);

/// A duration, such as `1m30s`; nothing, if it is null.
pub(crate) fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    match optional::deserialize(value)? {
        Some(duration) if duration > LONGEST => {
            Err(D::Error::custom("longer than ten years; write a time such as 72h"))
        }
        duration => Ok(duration),
    }
}

/// A size, such as `64MiB`; nothing, if it is null.
pub(crate) fn size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<ByteSize>, D::Error> {
    match Option::<ByteSize>::deserialize(value)? {
        Some(size) if size > LARGEST => Err(D::Error::custom("larger than 1PiB; write a size such as 64MiB or 1GB")),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Quantities {
        #[serde(deserialize_with = "duration")]
        time: Option<Duration>,
        #[serde(deserialize_with = "size")]
        bytes: Option<ByteSize>,
    }

    fn read(text: &str) -> Result<Quantities, String> {
        crate::yaml::read(text).map_err(|refusal| format!("{}: {}", refusal.line, refusal.problem))
    }

    #[test]
    fn what_is_meant_is_read_and_what_is_left_out_is_not_there() {
        for (text, time, bytes) in [
            ("time: 1m30s\nbytes: 64MiB\n", Some(90), Some(64 << 20)),
            ("time: 87600h\nbytes: 1PiB\n", Some(10 * 365 * 86_400), Some(1 << 50)),
            ("bytes: 4096\n", None, Some(4096)),
            ("time:\nbytes: null\n", None, None),
            ("other: 1\n", None, None),
        ] {
            let expected = Quantities { time: time.map(Duration::from_secs), bytes: bytes.map(ByteSize::b) };
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_would_be_no_bound_or_overflow_is_refused_by_its_key_with_the_remedy() {
        for text in ["99999999999999999999999MiB", "16EiB", "18446744073709551615", "2PiB"] {
            let error = read(&format!("time: 1s\nbytes: {text}\n")).unwrap_err();
            assert_eq!(error, "2: bytes: larger than 1PiB; write a size such as 64MiB or 1GB", "{text}");
        }
        for text in ["18446744073709551615s", "87601h", "5000000000000h"] {
            let error = read(&format!("bytes: 1MB\ntime: {text}\n")).unwrap_err();
            assert_eq!(error, "2: time: longer than ten years; write a time such as 72h", "{text}");
        }
        let error = read("time: 99999999999999999999h\n").unwrap_err();
        assert_eq!(error, "1: time: not a duration; write 250ms, 5s or 1m30s");
        for text in ["99999999999999999999999", "1e30", "-1", "much"] {
            let error = read(&format!("bytes: {text}\n")).unwrap_err();
            assert_eq!(error, "1: bytes: not a size; write 64MiB or 1MB", "{text}");
        }
    }
}
