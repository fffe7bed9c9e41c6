//! The 128-bit space of hash keys, and which part of it a shard owns.

use md5::{Digest, Md5};

/// An inclusive range of hash keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HashRange {
    pub(super) start: u128,
    pub(super) end: u128,
}

impl HashRange {
    /// The whole space in `count` ranges of (nearly) one size, in order.
    pub(super) fn even(count: u32) -> Vec<Self> {
        // The service divides 2¹²⁸ by the count and gives the remainder to the last shard.
        let whole = u128::from(count.max(1));
        let remainder_rolls_over = u128::MAX % whole == whole - 1;
        let Some(width) = (u128::MAX / whole).checked_add(u128::from(remainder_rolls_over)) else {
            return vec![Self { start: 0, end: u128::MAX }];
        };
        let range = |i: u128| Self {
            start: i * width,
            end: if i + 1 == whole { u128::MAX } else { i * width + (width - 1) },
        };
        (0..whole).map(range).collect()
    }

    /// The two parts below and from `at`, which must lie above the range's start and within it.
    pub(super) fn split(self, at: u128) -> (Self, Self) {
        (Self { end: at - 1, ..self }, Self { start: at, ..self })
    }

    /// The union with a neighbour on either side.
    pub(super) fn join(self, other: Self) -> Option<Self> {
        let (low, high) = if self.start < other.start { (self, other) } else { (other, self) };
        (low.end.checked_add(1) == Some(high.start))
            .then_some(Self { start: low.start, end: high.end })
    }
}

/// Where a partition key lies: its MD5, read as a big-endian number.
pub(super) fn hash_key(partition_key: &str) -> u128 {
    Md5::digest(partition_key.as_bytes()).iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_ranges_cover_the_space_without_gap_or_overlap() {
        for count in [1, 2, 3, 4, 5, 7, 64, 1000] {
            let ranges = HashRange::even(count);
            assert_eq!(ranges.len(), usize::try_from(count).unwrap());
            let joined = ranges.into_iter().reduce(|all, next| all.join(next).unwrap());
            assert_eq!(joined, Some(HashRange { start: 0, end: u128::MAX }), "{count}");
        }
    }

    #[test]
    fn two_shards_meet_at_the_middle() {
        let halves = HashRange::even(2);
        assert_eq!((halves[0].end, halves[1].start), ((1 << 127) - 1, 1 << 127));
    }

    #[test]
    fn hashes_as_md5_does() {
        assert_eq!(hash_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }
}
