//! Sequence numbers and positions within a shard.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

/// A Kinesis sequence number: an unsigned decimal of up to 56 digits.
///
/// It does not fit `u128` (39 digits), so it is kept as the text that the service wrote, and compared
/// by its digits without leading zeros: by length, then by bytes. Comparison means something within
/// one shard and its ancestors only. An emulator that pads its numbers finds a place only by the padded
/// text.
#[derive(Clone)]
pub struct SequenceNumber(Arc<str>);

/// Why a text is not a sequence number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sequence number: it must be 1 to 128 decimal digits")]
pub struct SequenceNumberError(String);

impl SequenceNumber {
    /// Longest text accepted. AWS's pattern is `0|([1-9]\d{0,128})` (API reference, Record).
    const MAX_DIGITS: usize = 129;

    /// The text as the service wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn digits(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl FromStr for SequenceNumber {
    type Err = SequenceNumberError;

    /// Accepts decimal digits only, with leading zeros, since some emulators pad.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || text.len() > Self::MAX_DIGITS {
            return Err(SequenceNumberError(text.chars().take(140).collect()));
        }
        Ok(Self(Arc::from(text)))
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, other) = (self.digits(), other.digits());
        own.len().cmp(&other.len()).then_with(|| own.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.digits() == other.digits()
    }
}

impl Eq for SequenceNumber {}

impl Hash for SequenceNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digits().hash(state);
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a user record stands in its shard: the Kinesis record's sequence number and the index of
/// the user record inside it (the KCL's `ExtendedSequenceNumber`).
///
/// The sub-sequence number is 0 for a record that is not a KPL aggregate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Sequence number of the Kinesis record.
    pub sequence: SequenceNumber,
    /// Index of the user record inside a KPL aggregate.
    pub sub_sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.sub_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        text.parse().unwrap()
    }

    #[test]
    fn orders_as_numbers_not_as_text() {
        assert!(number("9") < number("10"));
        assert!(number("49671086172344534535") < number("149671086172344534535"));
        assert_eq!(number("0007"), number("7"));
        assert!(number("000") < number("1") && number("000") == number("0"));
        assert_eq!(number("0007").as_str(), "0007", "an emulator that pads knows no other");
    }

    #[test]
    fn holds_the_56_digits_of_aws() {
        let text = "49671086172344534535231321321321321321321321321321321326";
        assert_eq!(number(text).to_string(), text);
    }

    #[test]
    fn refuses_everything_but_digits() {
        for bad in ["", "-1", "+1", "1e3", " 1", "TRIM_HORIZON", "١"] {
            assert!(bad.parse::<SequenceNumber>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sub_sequence_breaks_ties() {
        let at = |sub_sequence| Position { sequence: number("7"), sub_sequence };
        assert!(at(1) < at(2));
        assert!(at(9) < Position { sequence: number("8"), sub_sequence: 0 });
    }
}
