//! Whole numbers from text, exactly: a float on the way would bend figures above 2^53.

use super::{CollectError, ErrorClass};

/// Why a number is no figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collector) enum Flaw {
    /// It is not whole.
    Fraction,
    /// It is below 0.
    Negative,
    /// It is above 2^63 − 1.
    TooLarge,
}

/// 2^63 − 1 has 19 digits.
const DIGITS_MAX: i64 = 19;

/// The whole number that `text`, a number in JSON's grammar, stands for, however it is written: `12`, `12.0`, `1e1`.
pub(in crate::collector) fn whole(text: &str) -> Result<u64, Flaw> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The number is `digits` × 10^`scale`, with neither leading nor trailing zeros in `digits`.
    let written = format!("{int}{fraction}");
    let significant = written.trim_end_matches('0');
    let digits = significant.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    let zeros = length(&written) - length(significant);
    let scale = clamped(exponent).saturating_add(zeros - length(fraction));
    if scale < 0 {
        return Err(Flaw::Fraction);
    }
    if is_negative {
        return Err(Flaw::Negative);
    }
    if scale.saturating_add(length(digits)) > DIGITS_MAX {
        return Err(Flaw::TooLarge);
    }
    let power = u32::try_from(scale).map_err(|_| Flaw::TooLarge)?;
    let value = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(10_u64.checked_pow(power)?));
    value.filter(|value| i64::try_from(*value).is_ok()).ok_or(Flaw::TooLarge)
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

/// An exponent; one beyond all bounds is as good as the bound, far above any length of digits.
fn clamped(exponent: &str) -> i64 {
    let bound = i64::MAX / 4;
    let beyond = if exponent.starts_with('-') { -bound } else { bound };
    exponent.parse::<i64>().map_or(beyond, |exponent| exponent.clamp(-bound, bound))
}

/// Whether `text` is a decimal number: a sign, digits with or without a point, an exponent.
pub(in crate::collector) fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    (!int.is_empty() || !fraction.is_empty())
        && digits(int)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// The whole number that `text` stands for, however it is written: `12`, `12.0`, `1.2e+01`.
///
/// # Errors
/// Fails with [`ErrorClass::Type`] for a fraction or no number, with [`ErrorClass::Range`] below 0 or above 2^63 − 1.
pub(in crate::collector) fn whole_number(name: &str, text: &str) -> Result<u64, CollectError> {
    let error = |class, what| CollectError::new(class, format!("{name} is {what}; look at what the source writes"));
    if !is_decimal(text) {
        return Err(error(ErrorClass::Type, "not a number"));
    }
    whole(text.strip_prefix('+').unwrap_or(text)).map_err(|flaw| match flaw {
        Flaw::Fraction => error(ErrorClass::Type, "not whole"),
        Flaw::Negative => error(ErrorClass::Range, "negative"),
        Flaw::TooLarge => error(ErrorClass::Range, "too large for 64 bits"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_read_exactly_however_it_is_written() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("0.000", 0),
            ("0e999999999999999999999", 0),
            ("12", 12),
            ("12.0", 12),
            ("1e1", 10),
            ("1E+1", 10),
            ("1200e-2", 12),
            ("0.0012e4", 12),
            ("1.20e1", 12),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9.007199254740993e15", 9_007_199_254_740_993),
            ("9223372036854775807", 9_223_372_036_854_775_807),
            ("9.223372036854775807e18", 9_223_372_036_854_775_807),
            ("9223372036854775807000e-3", 9_223_372_036_854_775_807),
            ("1e18", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(whole(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_figure_is_told_why() {
        for (text, flaw) in [
            ("1.5", Flaw::Fraction),
            ("-1.5", Flaw::Fraction),
            ("15e-1", Flaw::Fraction),
            ("1e-999999999999999999999", Flaw::Fraction),
            ("9007199254740993.00000000000001", Flaw::Fraction),
            ("-1", Flaw::Negative),
            ("-1.0", Flaw::Negative),
            ("-1e400", Flaw::Negative),
            ("9223372036854775808", Flaw::TooLarge),
            ("9.223372036854775808e18", Flaw::TooLarge),
            ("18446744073709551616", Flaw::TooLarge),
            ("1e19", Flaw::TooLarge),
            ("1e400", Flaw::TooLarge),
            ("1e999999999999999999999", Flaw::TooLarge),
        ] {
            assert_eq!(whole(text), Err(flaw), "{text}");
        }
    }

    #[test]
    fn the_forms_of_a_float_are_whole_numbers_where_they_are_whole() {
        for (text, value) in
            [("166.0", 166), ("1.9938264e+07", 19_938_264), ("+5", 5), ("1e1", 10), (".5e1", 5), ("5.", 5), ("-0", 0)]
        {
            assert_eq!(whole_number("it", text).unwrap(), value, "{text}");
        }
        for (text, class) in [
            ("NaN", ErrorClass::Type),
            ("+Inf", ErrorClass::Type),
            ("", ErrorClass::Type),
            (".", ErrorClass::Type),
            ("1e", ErrorClass::Type),
            ("0x10", ErrorClass::Type),
            ("1_000", ErrorClass::Type),
            ("1.5", ErrorClass::Type),
            ("-1", ErrorClass::Range),
            ("1e19", ErrorClass::Range),
        ] {
            assert_eq!(whole_number("it", text).unwrap_err().class, class, "{text}");
        }
    }
}
