//! Numbers as both text formats write them: integers without a point, floats as the shortest text that reads back as
//! the same float (exposition_formats.md, "Text format details"; OpenMetrics 1.0, "Numbers"). Everything is written
//! straight into the page.

use std::io::Write as _;

use crate::registry::Number;

/// An integer or float of the registry.
pub(super) fn push_number(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Int(int) => match u64::try_from(int) {
            Ok(uint) => push_uint(out, uint),
            Err(_) => push_display(out, format_args!("{int}")),
        },
        Number::Float(float) => push_float(out, float),
    }
}

/// Most digits of an unsigned integer.
const DIGITS_MAX: usize = 20;

/// An unsigned integer; most of a page is these, so they do not go through the formatting machinery.
pub(super) fn push_uint(out: &mut Vec<u8>, uint: u64) {
    let mut text = [b'0'; DIGITS_MAX];
    let start = digits(&mut text, uint);
    out.extend_from_slice(&text[start..]);
}

/// Writes an integer to the end of `text`, which has room for it; where it starts.
fn digits(text: &mut [u8], mut uint: u64) -> usize {
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (uint % 10) as u8;
        uint /= 10;
        if uint == 0 {
            return start;
        }
    }
}

/// Fills `text` with the last digits of an integer; what is left of it.
fn last_digits(text: &mut [u8], mut uint: u64) -> u64 {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (uint % 10) as u8;
        uint /= 10;
    }
    uint
}

/// A float: always with a point or an exponent, which OpenMetrics uses to tell floats from integers.
pub(super) fn push_float(out: &mut Vec<u8>, float: f64) {
    if let Some((number, places)) = decimal(float) {
        if float.is_sign_negative() {
            out.push(b'-');
        }
        push_decimal(out, number, places);
    } else if float.is_finite() {
        push_display(out, format_args!("{float:?}"));
    } else {
        out.extend_from_slice(match float {
            f64::INFINITY => b"+Inf",
            f64::NEG_INFINITY => b"-Inf",
            _ => b"NaN",
        });
    }
}

/// A float without its sign as an integer and its decimal places, if few do: most floats come of few digits, and are
/// written so several times as fast. Up to fifteen digits that read back as a float are the shortest that do but for
/// zeros at their end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is cut off is compared")]
#[expect(clippy::cast_precision_loss, reason = "below 2^53 none is lost")]
fn decimal(float: f64) -> Option<(u64, usize)> {
    const DIGITS_MAX: f64 = 1e15;
    let float = float.abs();
    if float != 0.0 && !(1e-4..DIGITS_MAX).contains(&float) {
        return None;
    }
    [(1.0, 1), (1e3, 3), (1e6, 6), (1e9, 9)].into_iter().find_map(|(scale, places)| {
        let number = (float * scale + 0.5) as u64;
        let is_it = float * scale < DIGITS_MAX && number as f64 / scale == float;
        is_it.then_some((if scale == 1.0 { number * 10 } else { number }, places))
    })
}

/// An integer with so many of its digits after the point, without zeros at their end but for the first place.
fn push_decimal(out: &mut Vec<u8>, number: u64, places: usize) {
    let mut text = [b'.'; DIGITS_MAX + 1];
    let point = text.len() - 1 - places;
    let rest = last_digits(&mut text[point + 1..], number);
    let used = text.iter().rposition(|digit| *digit != b'0').map_or(point, |last| last.max(point + 1)) + 1;
    let start = digits(&mut text[..point], rest);
    out.extend_from_slice(&text[start..used]);
}

/// A bucket's bound or a quantile. They are label values, so that only one spelling of each is the same series:
/// Go's `%g` with `.0` where neither point nor exponent stands (OpenMetrics 1.0, "Considerations: Canonical Numbers").
pub(super) fn push_bound(out: &mut Vec<u8>, bound: f64) {
    let is_plain = bound == 0.0 || (1e-4..1e6).contains(&bound.abs()) || !bound.is_finite();
    if is_plain {
        return push_float(out, bound);
    }
    push_display(out, format_args!("{bound:e}"));
    // Rust writes `1e-5` and `1e6`, Go `1e-05` and `1e+06`.
    let Some(e) = out.iter().rposition(|byte| *byte == b'e') else { return };
    let is_negative = out.get(e + 1) == Some(&b'-');
    let digits = e + 1 + usize::from(is_negative);
    if out.len() - digits < 2 {
        out.insert(digits, b'0');
    }
    if !is_negative {
        out.insert(digits, b'+');
    }
}

/// Nanoseconds as seconds, all nine places exact, which no float of today's Unix time could be.
pub(super) fn push_seconds(out: &mut Vec<u8>, nanoseconds: u64) {
    push_decimal(out, nanoseconds, 9);
}

fn push_display(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into a vector cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        push(&mut out);
        String::from_utf8(out).unwrap().split_off("before ".len())
    }

    #[test]
    fn c12_integers_are_exact_and_have_no_point() {
        for (number, expected) in [
            (0, "0"),
            (-1, "-1"),
            (9_007_199_254_740_993, "9007199254740993"),
            (i128::from(u64::MAX), "18446744073709551615"),
            (i128::from(i64::MIN), "-9223372036854775808"),
            (i128::MAX, "170141183460469231731687303715884105727"),
        ] {
            assert_eq!(text(|out| push_number(out, Number::Int(number))), expected);
        }
    }

    #[test]
    fn b5_c12_floats_are_short_and_seen_to_be_floats() {
        for (float, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (3.0, "3.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1_705_314_600.25, "1705314600.25"),
            (1e15, "1000000000000000.0"),
            (999_999_999_999_999.0, "999999999999999.0"),
            (0.0001, "0.0001"),
            (0.000_099, "9.9e-5"),
            (-1234.5, "-1234.5"),
            (10.010, "10.01"),
            (0.000_100_000_1, "0.0001000001"),
            (1e16, "1e16"),
            (1e-7, "1e-7"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::from_bits(1), "5e-324"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| push_float(out, float)), expected);
        }
    }

    #[test]
    fn c7_bounds_are_spelled_as_openmetrics_spells_them() {
        for (bound, expected) in [
            (0.0, "0.0"),
            (0.001, "0.001"),
            (0.01, "0.01"),
            (0.999, "0.999"),
            (1.0, "1.0"),
            (1.7, "1.7"),
            (10.0, "10.0"),
            (1e-10, "1e-10"),
            (1e-9, "1e-09"),
            (1e-5, "1e-05"),
            (2.5e-5, "2.5e-05"),
            (1e-4, "0.0001"),
            (1e5, "100000.0"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (-1_234_567.0, "-1.234567e+06"),
            (1e10, "1e+10"),
            (1e100, "1e+100"),
            (1e-100, "1e-100"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(text(|out| push_bound(out, bound)), expected);
        }
    }

    #[test]
    fn c9_times_are_seconds_and_keep_every_nanosecond() {
        for (nanoseconds, expected) in [
            (0, "0.0"),
            (1, "0.000000001"),
            (1_705_314_600_000_000_000, "1705314600.0"),
            (1_705_314_600_123_456_789, "1705314600.123456789"),
            (1_705_314_600_100_000_000, "1705314600.1"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(text(|out| push_seconds(out, nanoseconds)), expected);
        }
    }

    proptest! {
        #[test]
        fn every_float_reads_back(bits: u64) {
            let float = f64::from_bits(bits);
            for written in [text(|out| push_float(out, float)), text(|out| push_bound(out, float))] {
                let read: f64 = written.parse().unwrap();
                prop_assert!(read.to_bits() == bits || (read.is_nan() && float.is_nan()), "{}", written);
                prop_assert!(written.contains(['.', 'e', 'N', 'I']), "{}", written);
            }
        }

        #[test]
        fn floats_of_few_digits_are_as_short_as_others(number: i64, places in 0..20, digits in 1..17_u32) {
            let float: f64 = format!("{}e-{places}", number % 10_i64.pow(digits)).parse().unwrap();
            prop_assert_eq!(text(|out| push_float(out, float)), format!("{float:?}"));
        }

        #[test]
        fn every_integer_reads_back(int: i128, uint: u64) {
            prop_assert_eq!(text(|out| push_number(out, Number::Int(int))).parse::<i128>().unwrap(), int);
            prop_assert_eq!(text(|out| push_uint(out, uint)).parse::<u64>().unwrap(), uint);
        }
    }
}
