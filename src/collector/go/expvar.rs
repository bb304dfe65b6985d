//! The expvar page: `memstats`, the program's own `runtime.MemStats` to the letter. Pure.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::catalog::FigureId;
use crate::collector::number::whole_number;
use crate::collector::telemetry_json::is_deep;
use crate::collector::{CollectError, ErrorClass};

/// The ring of the last pauses has so many places.
const PAUSES: usize = 256;

const REMEDY: &str = "check that the path is the program's expvar page, or set expvar: false";

/// The five figures of memory and garbage collection.
///
/// `NumGC` is as the program counts it, in 32 bits. The last pause is not known while there was none: the ring holds
/// a 0 there that nobody measured.
///
/// # Errors
/// Fails if the answer is not one JSON object with `memstats`, or one of its figures is missing or cannot be true.
pub fn parse(body: &[u8]) -> Result<Vec<(FigureId, Option<u64>)>, CollectError> {
    let syntax = |cause: &str| {
        CollectError::new(ErrorClass::Syntax, format!("the answer is not an expvar page: {cause}; {REMEDY}"))
    };
    let text = str::from_utf8(body).map_err(|_| syntax("it is not utf-8"))?;
    if is_deep(text) {
        return Err(syntax("it nests too deep"));
    }
    let page: Page<'_> = object(text).map_err(|cause| syntax(&cause))?;
    let memstats = page.memstats.ok_or_else(|| missing("memstats"))?.get();
    let memstats: MemStats<'_> = object(memstats).map_err(|cause| syntax(&format!("memstats: {cause}")))?;
    let number = |name: &str, raw: Option<&RawValue>| {
        let name = format!("memstats.{name}");
        raw.ok_or_else(|| missing(&name)).and_then(|raw| whole_number(&name, raw.get()))
    };
    let cycles = number("NumGC", memstats.cycles)?;
    let cycles_32 = u32::try_from(cycles).map_err(|_| {
        CollectError::new(ErrorClass::Range, format!("memstats.NumGC is above 32 bits, which it cannot be; {REMEDY}"))
    })?;
    let pauses = memstats.pauses.ok_or_else(|| missing("memstats.PauseNs"))?;
    let pause = last_pause(pauses.get(), cycles_32)?;
    Ok(vec![
        (FigureId::RuntimeHeapAllocated, Some(number("Alloc", memstats.allocated)?)),
        (FigureId::RuntimeMemoryAllocated, Some(number("TotalAlloc", memstats.allocated_total)?)),
        (FigureId::RuntimeMemorySys, Some(number("Sys", memstats.sys)?)),
        (FigureId::RuntimeGcCycles, Some(cycles)),
        (FigureId::RuntimeGcLastPause, pause),
    ])
}

/// The pause of the last of `cycles` in the ring, in nanoseconds.
fn last_pause(ring: &str, cycles: u32) -> Result<Option<u64>, CollectError> {
    let wrong =
        || CollectError::new(ErrorClass::Type, format!("memstats.PauseNs is not a list of {PAUSES} numbers; {REMEDY}"));
    // Counted before it is read, so that a list made to hurt costs no memory.
    if ring.bytes().filter(|byte| *byte == b',').count() != PAUSES - 1 {
        return Err(wrong());
    }
    let ring: Vec<&RawValue> = serde_json::from_str(ring).map_err(|_| wrong())?;
    // All are judged, not only the one that is used: one lie voids the answer.
    let pauses = ring.iter().map(|pause| whole_number("a pause in memstats.PauseNs", pause.get()));
    let pauses = pauses.collect::<Result<Vec<_>, _>>()?;
    if pauses.len() != PAUSES {
        return Err(wrong());
    }
    // (NumGC + 255) % 256, as the documentation of runtime.MemStats has it, without the overflow at the end of 32 bits.
    let last = cycles.checked_sub(1).map(|last| last as usize % PAUSES);
    Ok(last.and_then(|last| pauses.get(last).copied()))
}

/// The page: all but one of its variables are passed over, however many there are; that one twice is refused.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default, deserialize_with = "there")]
    memstats: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MemStats<'a> {
    #[serde(rename = "Alloc", borrow, default, deserialize_with = "there")]
    allocated: Option<&'a RawValue>,
    #[serde(rename = "TotalAlloc", borrow, default, deserialize_with = "there")]
    allocated_total: Option<&'a RawValue>,
    #[serde(rename = "Sys", borrow, default, deserialize_with = "there")]
    sys: Option<&'a RawValue>,
    #[serde(rename = "NumGC", borrow, default, deserialize_with = "there")]
    cycles: Option<&'a RawValue>,
    #[serde(rename = "PauseNs", borrow, default, deserialize_with = "there")]
    pauses: Option<&'a RawValue>,
}

/// A null is there, and wrong.
fn there<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// What an object holds of what is asked for; what is wrong with it is told by place and never by content.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    // A list would be taken for an object whose keys were left out.
    if !text.trim_start().starts_with('{') {
        return Err("it is not an object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn missing(path: &str) -> CollectError {
    CollectError::new(ErrorClass::Missing, format!("{path} is missing; {REMEDY}"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::expvar;
    use super::*;

    fn value(body: &str, figure: FigureId) -> Option<u64> {
        parse(body.as_bytes()).unwrap().iter().find(|(held, _)| *held == figure).unwrap().1
    }

    #[test]
    fn memory_and_collections_are_read_exactly() {
        let body = expvar(9_007_199_254_740_993, 156);
        assert_eq!(value(&body, FigureId::RuntimeMemoryAllocated), Some(9_007_199_254_740_993));
        assert_eq!(value(&body, FigureId::RuntimeHeapAllocated), Some(1_000_000));
        assert_eq!(value(&body, FigureId::RuntimeMemorySys), Some(16_000_000));
        assert_eq!(value(&body, FigureId::RuntimeGcCycles), Some(156));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(at in 0..1500_usize, byte in 0..128_u8) {
            let mut body = expvar(1, 2).into_bytes();
            let at = at % body.len();
            body[at] = byte;
            let _ = (parse(&body), parse(&body[at..]), super::super::pprof::parse(&body[at..]));
        }
    }

    #[test]
    fn the_last_pause_is_found_in_the_ring_and_there_is_none_before_the_first() {
        // Place i of the ring holds i + 1000.
        for (cycles, pause) in [
            (0, None),
            (1, Some(1000)),
            (256, Some(1255)),
            (257, Some(1000)),
            (u64::from(u32::MAX), Some(1254)),
            (1 << 31, Some(1255)),
        ] {
            assert_eq!(value(&expvar(1, cycles), FigureId::RuntimeGcLastPause), pause, "{cycles}");
        }
    }

    #[test]
    fn a_lie_is_refused_with_its_class_and_no_text_of_the_page() {
        let good = expvar(5_000_000, 3);
        for (from, to, class) in [
            ("{", "[", ErrorClass::Syntax),
            ("\"memstats\"", "\"memory\"", ErrorClass::Missing),
            ("\"memstats\": {", "\"memstats\": 1, \"m\": {", ErrorClass::Syntax),
            ("\"TotalAlloc\"", "\"Other\"", ErrorClass::Missing),
            ("\"PauseNs\"", "\"Pauses\"", ErrorClass::Missing),
            ("5000000", "-5", ErrorClass::Range),
            ("5000000", "5.5", ErrorClass::Type),
            ("5000000", "null", ErrorClass::Type),
            ("5000000", "\"5\"", ErrorClass::Type),
            ("5000000", "9223372036854775808", ErrorClass::Range),
            ("\"NumGC\": 3", "\"NumGC\": 4294967296", ErrorClass::Range),
            ("\"NumGC\": 3", "\"NumGC\": 3, \"NumGC\": 3", ErrorClass::Syntax),
            ("[1000,", "[", ErrorClass::Type),
            ("[1000,", "[\"a\",", ErrorClass::Type),
            ("[1000,", "[-1,", ErrorClass::Range),
        ] {
            let error = parse(good.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert_eq!(error.class, class, "{from} → {to}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse(deep.as_bytes()).unwrap_err().class, ErrorClass::Syntax);
        assert_eq!(parse(b"\xff").unwrap_err().class, ErrorClass::Syntax);
    }
}
