//! Numbers as they are aggregated.

use serde_json::Value;

/// A number of a document: a double, and exactly too if it is a whole number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) double: f64,
    pub(super) whole: Option<i128>,
}

impl Number {
    /// Reads the text of a JSON number. `None` for one that no double holds.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let signed = text.parse::<i64>().map(i128::from);
        let whole = signed.or_else(|_| text.parse::<u64>().map(i128::from)).ok();
        let double = text.parse::<f64>().ok().filter(|double| double.is_finite())?;
        Some(Self { double, whole })
    }
}

/// A double as JSON: a whole number without a fraction, as long as a double holds each of those.
pub(super) fn json(double: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if double.fract() == 0.0 && double.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        return Value::from(double as i64);
    }
    serde_json::Number::from_f64(double).map_or(Value::Null, Value::Number)
}

/// A sum that is exact while all its numbers are whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    /// Of the whole numbers: 2^63 of the largest fit.
    whole: i128,
    /// Of the others.
    double: f64,
    pub(super) count: u64,
    fractions: bool,
}

impl Sum {
    pub(super) fn add(&mut self, number: Number) {
        self.count += 1;
        if let Some(whole) = number.whole {
            self.whole += whole;
        } else {
            self.double += number.double;
            self.fractions = true;
        }
    }

    /// `null` of no number.
    pub(super) fn json(&self) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        let exact = || i64::try_from(self.whole).map(Value::from);
        match self.fractions {
            false => exact()
                .or_else(|_| u64::try_from(self.whole).map(Value::from))
                .unwrap_or_else(|_| json(self.double())),
            true => json(self.double()),
        }
    }

    pub(super) fn mean(&self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "a mean is a double")]
        let count = self.count as f64;
        if self.count == 0 { Value::Null } else { json(self.double() / count) }
    }

    fn double(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it was no whole number of 64 bits")]
        let whole = self.whole as f64;
        whole + self.double
    }
}

/// A double in the order of numbers, as a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered(pub(super) f64);

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sum(numbers: &[&str]) -> Sum {
        let mut sum = Sum::default();
        for text in numbers {
            sum.add(Number::parse(text).unwrap());
        }
        sum
    }

    #[test]
    fn whole_numbers_are_summed_exactly() {
        assert_eq!(sum(&["9007199254740993", "2", "-1"]).json(), json!(9_007_199_254_740_994_i64));
        assert_eq!(sum(&["18446744073709551615"]).json(), json!(u64::MAX));
        assert_eq!(sum(&["18446744073709551615", "1"]).json(), json!(18_446_744_073_709_551_616.0));
        assert_eq!(sum(&["1", "0.5", "0.5"]).json(), json!(2));
        assert_eq!(sum(&[]).json(), Value::Null);
        assert_eq!((sum(&[]).mean(), sum(&["1", "2"]).mean()), (Value::Null, json!(1.5)));
    }

    #[test]
    fn what_no_double_holds_is_no_number() {
        assert_eq!(Number::parse("1e999"), None);
        assert_eq!(json(-0.0), json!(0));
        assert_eq!(json(1.25), json!(1.25));
    }
}
