//! Sequence numbers in the shape of the real service's "version 2" numbers.
//!
//! 186 bits, printed as 56 decimal digits that begin with `49`. From the top: a marker nibble (2),
//! the second in which the shard was created (36 bits), the record's index in the shard (64 bits),
//! the second of its arrival (36 bits), the shard's number (32 bits), the version nibble (2).
//! Consumers may rely on the order within a shard only; the rest is what makes them look real, and
//! what lets the server tell a number of another shard from its own.

use std::fmt;

const VERSION: u128 = 2;
const SHARD_SHIFT: u32 = 4;
const TIME_SHIFT: u32 = 36;
const INDEX_SHIFT: u32 = 80;
/// How many of the index's bits lie in the low word.
const INDEX_LOW_BITS: u32 = u128::BITS - INDEX_SHIFT;
const EPOCH_SHIFT: u32 = 20;
const MARKER: u64 = 2 << 56;
const SECONDS_MASK: u64 = (1 << 36) - 1;
/// The largest power of ten below 2⁶⁴: the decimal digits are made nineteen at a time.
const CHUNK: u128 = 10_000_000_000_000_000_000;
/// The API model's bound: `0|([1-9]\d{0,128})`.
const MAX_DIGITS: usize = 129;

/// The index in a closed shard's `EndingSequenceNumber`: above every record's.
pub(super) const END_INDEX: u64 = 0x7fff_ffff_ffff_ffff;

/// A position in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SequenceNumber {
    hi: u64,
    lo: u128,
}

/// Why a text is no sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParseError {
    /// Not a decimal number of at most 129 digits.
    Malformed,
    /// A number that no shard can have given out.
    OutOfRange,
}

impl SequenceNumber {
    pub(super) fn new(shard: u32, created_second: u64, index: u64, second: u64) -> Self {
        let lo = VERSION
            | u128::from(shard) << SHARD_SHIFT
            | u128::from(second & SECONDS_MASK) << TIME_SHIFT
            | u128::from(index) << INDEX_SHIFT;
        let hi = MARKER | (created_second & SECONDS_MASK) << EPOCH_SHIFT | index >> INDEX_LOW_BITS;
        Self { hi, lo }
    }

    /// The number of the shard that gave it out.
    pub(super) fn shard(self) -> u32 {
        u32::try_from((self.lo >> SHARD_SHIFT) & u128::from(u32::MAX)).expect("masked to 32 bits")
    }

    /// The least number above this one: where a reader goes on *after* it.
    pub(super) fn following(self) -> Self {
        let (lo, carry) = self.lo.overflowing_add(1);
        Self { hi: self.hi.saturating_add(u64::from(carry)), lo }
    }

    /// The greatest number below this one: what a reader goes on *after* to begin here.
    pub(super) fn preceding(self) -> Self {
        let (lo, borrow) = self.lo.overflowing_sub(1);
        Self { hi: self.hi.saturating_sub(u64::from(borrow)), lo }
    }

    pub(super) fn parse(text: &str) -> Result<Self, ParseError> {
        let digits = text.as_bytes();
        let canonical = text == "0" || !text.starts_with('0');
        if digits.is_empty() || digits.len() > MAX_DIGITS || !canonical {
            return Err(ParseError::Malformed);
        }
        let mut value = Self { hi: 0, lo: 0 };
        let mut overflow = false;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return Err(ParseError::Malformed);
            }
            match value.push_digit(digit - b'0') {
                Some(longer) => value = longer,
                None => overflow = true,
            }
        }
        if overflow { Err(ParseError::OutOfRange) } else { Ok(value) }
    }

    /// `self * 10 + digit` over 192 bits.
    fn push_digit(self, digit: u8) -> Option<Self> {
        let low = (self.lo & u128::from(u64::MAX)) * 10 + u128::from(digit);
        let high = (self.lo >> 64) * 10 + (low >> 64);
        let lo = high << 64 | low & u128::from(u64::MAX);
        let carry = u64::try_from(high >> 64).expect("a carry of times ten is one digit");
        let hi = self.hi.checked_mul(10)?.checked_add(carry)?;
        Some(Self { hi, lo })
    }

    /// The quotient and the remainder of a division by [`CHUNK`].
    fn split_chunk(self) -> (Self, u128) {
        let top = u128::from(self.hi);
        let middle = (top % CHUNK) << 64 | self.lo >> 64;
        let bottom = (middle % CHUNK) << 64 | self.lo & u128::from(u64::MAX);
        let hi = u64::try_from(top / CHUNK).expect("a quotient of 64 bits");
        // A remainder is below CHUNK < 2⁶⁴, so each quotient fits its 64 bits.
        (Self { hi, lo: ((middle / CHUNK) << 64) | (bottom / CHUNK) }, bottom % CHUNK)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rest, fourth) = self.split_chunk();
        let (rest, third) = rest.split_chunk();
        let (rest, second) = rest.split_chunk();
        match (rest.lo, second, third) {
            (0, 0, 0) => write!(f, "{fourth}"),
            (0, 0, _) => write!(f, "{third}{fourth:019}"),
            (0, _, _) => write!(f, "{second}{third:019}{fourth:019}"),
            (first, _, _) => write!(f, "{first}{second:019}{third:019}{fourth:019}"),
        }
    }
}

impl serde::Serialize for SequenceNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SequenceNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|_| serde::de::Error::custom("not a sequence number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_767_225_600;

    #[test]
    fn looks_like_the_real_thing() {
        let number = SequenceNumber::new(7, NOW, 1, NOW).to_string();
        assert_eq!((number.len(), number.get(..2)), (56, Some("49")));
        assert_eq!(SequenceNumber::new(u32::MAX, NOW, END_INDEX, NOW).shard(), u32::MAX);
    }

    #[test]
    fn parses_decimal_numbers_only() {
        let parse = |text: &str| SequenceNumber::parse(text).map(|n| n.to_string());
        assert_eq!(parse("0").as_deref(), Ok("0"));
        let two_to_192_less_one = "6277101735386680763835789423207666416102355444464034512895";
        assert_eq!(parse(two_to_192_less_one).as_deref(), Ok(two_to_192_less_one));
        for bad in ["", "abc", "-1", "+1", "01", "1 ", "4９", &"9".repeat(130)] {
            assert_eq!(parse(bad), Err(ParseError::Malformed), "{bad}");
        }
        for huge in [&two_to_192_less_one.replace("2895", "2896"), &"9".repeat(129)] {
            assert_eq!(parse(huge), Err(ParseError::OutOfRange), "{huge}");
        }
    }

    #[test]
    fn orders_by_creation_then_index_and_ends_above_every_record() {
        let first = SequenceNumber::new(0, NOW, 0, NOW);
        let later = SequenceNumber::new(0, NOW, 1, NOW);
        let end = SequenceNumber::new(0, NOW, END_INDEX, NOW);
        let child = SequenceNumber::new(1, NOW + 1, 0, NOW);
        assert!(first < later && later < end && end < child);
        assert!(first < first.following() && first.following() < later);
    }

    proptest! {
        #[test]
        fn survives_text(shard: u32, created in 0..1u64 << 36, index: u64, at: u64) {
            let number = SequenceNumber::new(shard, created, index, at);
            prop_assert_eq!(SequenceNumber::parse(&number.to_string()), Ok(number));
            prop_assert_eq!(number.shard(), shard);
        }

        #[test]
        fn text_orders_as_numbers_do(a in 0..u64::MAX, b in 0..u64::MAX) {
            let (x, y) = (SequenceNumber::new(1, NOW, a, NOW), SequenceNumber::new(1, NOW, b, NOW));
            prop_assert_eq!(x.cmp(&y), x.to_string().cmp(&y.to_string()));
        }
    }
}
