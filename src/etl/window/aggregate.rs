//! Aggregates: how they are written, and how they grow.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    str::FromStr,
};

use serde_json::Value;

use super::{
    item::Input,
    number::{Number, Ordered, Sum, json},
};
use crate::etl::FieldPath;

/// Something computed of the documents of a group. Written `count`, or as a word and the path of a
/// field: `sum message.bytes`, `min …`, `max …`, `avg …`, `p99 …` (any percentile above 0 up to 100,
/// `p99.9` too), `distinct …`. A document without the field, or with `null` there, is left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// How many documents there are.
    Count,
    /// The sum of a field.
    Sum(FieldPath),
    /// Its least value.
    Min(FieldPath),
    /// Its greatest value.
    Max(FieldPath),
    /// Its mean.
    Avg(FieldPath),
    /// The least value that so many percent of all values do not exceed (nearest rank).
    Percentile(f64, FieldPath),
    /// How many different values it has.
    Distinct(FieldPath),
}

/// A text that is no aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// No such word.
    #[error(
        "{0:?} is no aggregate: expected count, or sum, min, max, avg, p99 (any percentile) or distinct and \
         a field, as in \"sum message.bytes\""
    )]
    Unknown(String),
    /// A percentile that is none.
    #[error("{0:?} is no percentile: expected a number above 0, up to 100, as in p99.9")]
    Percentile(String),
    /// A path that leads to no single field.
    #[error("{0}")]
    Path(String),
}

impl FromStr for Aggregate {
    type Err = AggregateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "count" {
            return Ok(Self::Count);
        }
        let unknown = || AggregateError::Unknown(text.to_owned());
        let (word, path) = text.split_once(char::is_whitespace).ok_or_else(unknown)?;
        let path = FieldPath::parse_single(path.trim());
        let path = path.map_err(|error| AggregateError::Path(error.to_string()))?;
        Ok(match word {
            "sum" => Self::Sum(path),
            "min" => Self::Min(path),
            "max" => Self::Max(path),
            "avg" => Self::Avg(path),
            "distinct" => Self::Distinct(path),
            _ => {
                let percent = word.strip_prefix('p').ok_or_else(unknown)?;
                let bad = || AggregateError::Percentile(word.to_owned());
                let percent: f64 = percent.parse().map_err(|_| bad())?;
                let fine = percent > 0.0 && percent <= 100.0;
                Self::Percentile(fine.then_some(percent).ok_or_else(bad)?, path)
            }
        })
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Sum(path) => write!(f, "sum {path}"),
            Self::Min(path) => write!(f, "min {path}"),
            Self::Max(path) => write!(f, "max {path}"),
            Self::Avg(path) => write!(f, "avg {path}"),
            Self::Percentile(percent, path) => write!(f, "p{percent} {path}"),
            Self::Distinct(path) => write!(f, "distinct {path}"),
        }
    }
}

/// An aggregate of one group, as far as it has come.
#[derive(Clone, Debug)]
pub(super) enum Accumulator {
    Count(u64),
    Sum(Sum),
    Mean(Sum),
    Least(Option<f64>),
    Greatest(Option<f64>),
    /// How often each value came. Times in whole milliseconds have few different ones.
    Values {
        percent: f64,
        values: BTreeMap<Ordered, u64>,
        count: u64,
    },
    /// Digests of the values, so that long ones take no more room than short ones.
    Distinct(HashSet<[u8; 16]>),
}

/// Bytes of memory, about, that an accumulator takes, and that one more value of it does.
pub(super) const ACCUMULATOR: usize = 48;
const VALUE: usize = 48;

impl Accumulator {
    pub(super) fn new(aggregate: &Aggregate) -> Self {
        match aggregate {
            Aggregate::Count => Self::Count(0),
            Aggregate::Sum(_) => Self::Sum(Sum::default()),
            Aggregate::Avg(_) => Self::Mean(Sum::default()),
            Aggregate::Min(_) => Self::Least(None),
            Aggregate::Max(_) => Self::Greatest(None),
            Aggregate::Percentile(percent, _) => {
                Self::Values { percent: *percent, values: BTreeMap::new(), count: 0 }
            }
            Aggregate::Distinct(_) => Self::Distinct(HashSet::new()),
        }
    }

    /// Bytes that it grows by with this input.
    pub(super) fn growth(&self, input: &Input) -> usize {
        let new = match (self, input) {
            (Self::Values { values, .. }, Input::Number(number)) => {
                !values.contains_key(&key(*number))
            }
            (Self::Distinct(seen), Input::Digest(digest)) => !seen.contains(digest),
            _ => false,
        };
        usize::from(new) * VALUE
    }

    pub(super) fn add(&mut self, input: &Input) {
        match (self, input) {
            (Self::Count(count), _) => *count += 1,
            (Self::Sum(sum) | Self::Mean(sum), Input::Number(number)) => sum.add(*number),
            (Self::Least(least), Input::Number(number)) => {
                *least = Some(least.map_or(number.double, |least| least.min(number.double)));
            }
            (Self::Greatest(most), Input::Number(number)) => {
                *most = Some(most.map_or(number.double, |most| most.max(number.double)));
            }
            (Self::Values { values, count, .. }, Input::Number(number)) => {
                *values.entry(key(*number)).or_default() += 1;
                *count += 1;
            }
            (Self::Distinct(seen), Input::Digest(digest)) => _ = seen.insert(*digest),
            // There is nothing to add.
            _ => {}
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Count(count) => (*count).into(),
            Self::Sum(sum) => sum.json(),
            Self::Mean(sum) => sum.mean(),
            Self::Least(found) | Self::Greatest(found) => found.map_or(Value::Null, json),
            Self::Values { percent, values, count } => {
                nearest_rank(*percent, values, *count).map_or(Value::Null, json)
            }
            Self::Distinct(seen) => seen.len().into(),
        }
    }
}

/// Zero has two signs, and is one value.
fn key(number: Number) -> Ordered {
    Ordered(number.double + 0.0)
}

/// The value of rank ⌈percent / 100 · count⌉. In whole numbers: as doubles 28 % of 175 is a little more
/// than 49. Nine decimals of the percentile count.
fn nearest_rank(percent: f64, values: &BTreeMap<Ordered, u64>, count: u64) -> Option<f64> {
    const PARTS: u32 = 1_000_000_000;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentile is above 0, and at most 100"
    )]
    let parts = (percent * f64::from(PARTS)).round() as u128;
    let rank = (parts * u128::from(count)).div_ceil(100 * u128::from(PARTS));
    let rank = u64::try_from(rank).unwrap_or(count).clamp(1, count.max(1));
    let mut seen = 0;
    values.iter().find_map(|(value, times)| {
        seen += times;
        (seen >= rank).then_some(value.0)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn aggregate(text: &str) -> Aggregate {
        text.parse().unwrap()
    }

    fn of(text: &str, numbers: &[&str]) -> Value {
        let mut found = Accumulator::new(&aggregate(text));
        for number in numbers {
            found.add(&Input::Number(Number::parse(number).unwrap()));
        }
        found.json()
    }

    #[test]
    fn each_is_written_as_it_prints() {
        for text in
            ["count", "sum a.b", "min a", "max a", "avg a", "p99.9 a", "p50 a", "distinct a"]
        {
            assert_eq!(aggregate(text).to_string(), text);
        }
        for (text, expect) in [
            ("median a", "is no aggregate"),
            ("sum", "is no aggregate"),
            ("total a", "is no aggregate"),
            ("p0 a", "is no percentile"),
            ("p101 a", "is no percentile"),
            ("pNaN a", "is no percentile"),
            ("sum a[*].b", "a wildcard"),
        ] {
            let error = text.parse::<Aggregate>().unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn each_computes_what_it_says() {
        let numbers = ["3", "1.5", "-2", "3"];
        for (text, expect) in [
            ("count", json!(4)),
            ("sum a", json!(5.5)),
            ("min a", json!(-2)),
            ("max a", json!(3)),
            ("avg a", json!(1.375)),
            ("p50 a", json!(1.5)),
            ("p51 a", json!(3)),
            ("p100 a", json!(3)),
            ("p0.1 a", json!(-2)),
        ] {
            assert_eq!(of(text, &numbers), expect, "{text}");
        }
        for text in ["sum a", "min a", "max a", "avg a", "p50 a"] {
            assert_eq!(of(text, &[]), Value::Null, "{text} of nothing");
        }
    }

    #[test]
    fn distinct_counts_values_and_grows_by_new_ones_only() {
        let mut found = Accumulator::new(&aggregate("distinct a"));
        for digest in [[1; 16], [2; 16], [1; 16]] {
            let new = found.growth(&Input::Digest(digest)) > 0;
            let before = found.json();
            found.add(&Input::Digest(digest));
            assert_eq!(new, found.json() != before);
        }
        found.add(&Input::Absent);
        assert_eq!(found.json(), json!(2));
    }

    proptest! {
        /// A percentile is the value of its rank among all, sorted.
        #[test]
        fn percentiles_are_exact(
            mut numbers in prop::collection::vec(-1000i64..1000, 1..200),
            percent in 1u32..=100,
        ) {
            let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = of(&format!("p{percent} a"), &texts);
            numbers.sort_unstable();
            let rank = (percent as usize * numbers.len()).div_ceil(100);
            prop_assert_eq!(found, json!(numbers[rank - 1]));
        }
    }
}
