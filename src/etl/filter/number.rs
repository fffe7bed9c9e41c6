//! Numbers as AWS compares and prints them: integers exactly, the rest as doubles.

use std::{borrow::Cow, cmp::Ordering};

/// A decimal number by its text, in a pattern or a message.
#[derive(Debug, Clone, Copy)]
pub(in crate::etl) struct Number<'a> {
    text: &'a str,
    /// Sign and digits without leading zeros; zero is positive and has no digits.
    integer: Option<(bool, &'a str)>,
}

impl<'a> Number<'a> {
    /// Reads `[+-] digits [. digits] [e [+-] digits]`; `.5` and `1.` count. `None` if it is
    /// anything else.
    pub(in crate::etl) fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if is_digits(unsigned) {
            let digits = unsigned.trim_start_matches('0');
            let negative = text.starts_with('-') && !digits.is_empty();
            return Some(Self { text, integer: Some((negative, digits)) });
        }
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let well_formed = is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
            && (is_digits(whole) || (whole.is_empty() && is_digits(fraction)))
            && (is_digits(fraction) || fraction.is_empty());
        well_formed.then_some(Self { text, integer: None })
    }

    /// Whether a pattern may hold it: AWS rejects exponents a 32-bit decimal scale cannot hold
    /// (`1e2147483648`).
    pub(super) fn exponent_in_range(self) -> bool {
        let exponent = self.text.split_once(['e', 'E']).map_or("0", |(_, exponent)| exponent);
        exponent.parse::<i32>().ok().and_then(i32::checked_neg).is_some()
    }

    /// Two integers compare exactly, beyond 2^53 too. If one side is not written as an integer,
    /// both are doubles (1e-999 is 0); `None` if one of these is infinite (1e309), which on AWS
    /// satisfies no comparison.
    pub(in crate::etl) fn compare(self, other: Number<'_>) -> Option<Ordering> {
        match (self.integer, other.integer) {
            (Some(left), Some(right)) => Some(compare_integers(left, right)),
            _ => self.finite()?.partial_cmp(&other.finite()?),
        }
    }

    fn finite(self) -> Option<f64> {
        self.text.parse::<f64>().ok().filter(|double| double.is_finite())
    }

    /// The text that quoted values, wildcards and regular expressions see: an integer as it is
    /// written, anything else as Java prints a double (`1e0` is `1.0`, `1e7` is `1.0E7`).
    pub(super) fn shown(self) -> Cow<'a, str> {
        if self.integer.is_some() {
            return Cow::Borrowed(self.text);
        }
        let double = self.text.parse::<f64>().unwrap_or(f64::INFINITY);
        Cow::Owned(java_double(double))
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn compare_integers(left: (bool, &str), right: (bool, &str)) -> Ordering {
    let magnitude = |(_, digits): (bool, &str)| digits.len();
    let by_size = (magnitude(left), left.1).cmp(&(magnitude(right), right.1));
    match (left.0, right.0) {
        (false, false) => by_size,
        (true, true) => by_size.reverse(),
        (negative, _) => {
            if negative {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    }
}

/// `java.lang.Double.toString`: plain from 10^-3 up to 10^7, computerized scientific outside.
fn java_double(double: f64) -> String {
    if double.is_infinite() {
        return if double > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if double == 0.0 || (1e-3..1e7).contains(&double.abs()) {
        return format!("{double:?}");
    }
    let scientific = format!("{double:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{fraction}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decimal_numbers_are_numbers() {
        for text in ["0", "-1", "+1", "1.5", "1e3", "1E+3", "10e-3", ".5", "1.", "007", "-.5e1"] {
            assert!(Number::parse(text).is_some(), "{text}");
        }
        for text in ["", "-", ".", "e3", "1e", "1e+", "1.2.3", "0x1", "1f", "NaN", "inf", "1 "] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn integers_compare_exactly_and_the_rest_as_doubles() {
        let check = |left: &str, right: &str, expect: Option<Ordering>| {
            let (a, b) = (Number::parse(left).unwrap(), Number::parse(right).unwrap());
            assert_eq!(a.compare(b), expect, "{left} {right}");
            assert_eq!(b.compare(a), expect.map(Ordering::reverse), "{right} {left}");
        };
        check("1", "+01", Some(Ordering::Equal));
        check("0", "-0", Some(Ordering::Equal));
        check("-2", "-10", Some(Ordering::Greater));
        check("-2", "1", Some(Ordering::Less));
        check("9", "10", Some(Ordering::Less));
        check("9007199254740993", "9007199254740992", Some(Ordering::Greater));
        check("9007199254740993", "9007199254740992.0", Some(Ordering::Equal));
        check("1", "1.0", Some(Ordering::Equal));
        check("1e3", "1000", Some(Ordering::Equal));
        check("0", "1e-999", Some(Ordering::Equal));
        check("-0.0", "0", Some(Ordering::Equal));
        check("1", "1e309", None);
        check("1e309", "1e309", None);
    }

    #[test]
    fn exponents_fit_a_java_decimal() {
        let check = |text: &str, expect: bool| {
            assert_eq!(Number::parse(text).unwrap().exponent_in_range(), expect, "{text}");
        };
        check("12", true);
        check("1e309", true);
        check("1e2147483647", true);
        check("1e2147483648", false);
        check("1e-2147483647", true);
        check("1e-2147483648", false);
    }

    #[test]
    fn numbers_are_shown_as_java_does() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Number::parse(text).unwrap().shown(), expect, "{text}");
        };
        check("12", "12");
        check("9007199254740993", "9007199254740993");
        check("1.0", "1.0");
        check("1.50", "1.5");
        check("1e0", "1.0");
        check("1e3", "1000.0");
        check("-0.0", "-0.0");
        check("0.001", "0.001");
        check("1e-4", "1.0E-4");
        check("1e7", "1.0E7");
        check("-12345678.5", "-1.23456785E7");
        check("1e309", "Infinity");
        check("-1e309", "-Infinity");
        check("1e-999", "0.0");
    }
}
