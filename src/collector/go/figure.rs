//! The figures of this source, and numbers as its three answers write them, judged exactly.

use crate::catalog::FigureId;
use crate::collector::telemetry_json::{Flaw, whole};
use crate::collector::{CollectError, ErrorClass};

/// The figures of the section, in the document's order.
pub(super) const FIGURES: [FigureId; 7] = [
    FigureId::RuntimeGoroutines,
    FigureId::RuntimeCpus,
    FigureId::RuntimeHeapAllocated,
    FigureId::RuntimeMemoryAllocated,
    FigureId::RuntimeMemorySys,
    FigureId::RuntimeGcCycles,
    FigureId::RuntimeGcLastPause,
];

/// A figure's name as the documented JSON has it.
pub(super) fn word(figure: FigureId) -> &'static str {
    figure.figure().json.first().map_or("", |field| field.name)
}

/// Whether `text` is a decimal number: a sign, digits with or without a point, an exponent.
pub(super) fn is_decimal(text: &str) -> bool {
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
pub(super) fn whole_number(name: &str, text: &str) -> Result<u64, CollectError> {
    let error = |class, what| CollectError::new(class, format!("{name} is {what}; look at what the program writes"));
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
