//! Exact numbers from their text.

/// Most digits of an `i128` that are all of use.
const MOST_DIGITS: usize = 38;

/// The number times 10 to the power of `scale`, if that is whole and has at most 38 digits: `1.50` with
/// a scale of 2 is 150, and so are `1.5` and `15e-1`.
pub(super) fn scaled(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The power of ten that the digits as a whole number are to be multiplied by.
    let power =
        exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(i32::from(scale))?;
    let digits = match usize::try_from(power) {
        Ok(zeros) if zeros <= MOST_DIGITS => significant.to_owned() + &"0".repeat(zeros),
        Ok(_) => return None,
        Err(_) => {
            let dropped = usize::try_from(power.unsigned_abs()).ok()?;
            let kept = significant.len().checked_sub(dropped)?;
            let (kept, dropped) = significant.split_at_checked(kept)?;
            if dropped.bytes().any(|digit| digit != b'0') {
                return None;
            }
            kept.to_owned()
        }
    };
    if digits.len() > MOST_DIGITS {
        return None;
    }
    let number: i128 = digits.parse().ok()?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_none() {
        let nines = "9".repeat(38);
        for (text, scale, expect) in [
            ("0", 0, Some(0)),
            ("-0.000", 2, Some(0)),
            ("12", 0, Some(12)),
            ("1.50", 2, Some(150)),
            ("1.5", 2, Some(150)),
            ("15e-1", 2, Some(150)),
            ("-1.5E+1", 0, Some(-15)),
            ("1.0", 0, Some(1)),
            ("1e2", 0, Some(100)),
            ("1.005", 2, None),
            ("0.001", 2, None),
            ("1e38", 0, None),
            ("1e2147483647", 0, None),
            ("1e-2147483648", 0, None),
            ("0e2147483648", 0, None),
            (nines.as_str(), 0, nines.parse().ok()),
            (nines.as_str(), 1, None),
            ("", 0, None),
            (".", 0, None),
            ("-", 0, None),
            ("1-", 0, None),
            ("١", 0, None),
            ("0x10", 0, None),
            ("NaN", 0, None),
        ] {
            assert_eq!(scaled(text, scale), expect, "{text} {scale}");
        }
    }
}
