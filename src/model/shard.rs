//! Streams, shards and their lineage.

use std::{fmt, sync::Arc};

/// The name of a stream within its account and region.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

/// A shard's id, such as `shardId-000000000004`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// Wraps a name as the service wrote it.
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(Arc::from(name.as_ref()))
            }

            /// The name as the service writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use name;

name!(StreamName);
name!(ShardId);

/// A point of the key space: the MD5 of a partition key, or an explicit hash key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

/// The part of the key space that a shard takes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKeyRange {
    /// First key, included.
    pub start: HashKey,
    /// Last key, included.
    pub end: HashKey,
}

impl HashKeyRange {
    /// All keys.
    pub const ALL: Self = Self { start: HashKey(0), end: HashKey(u128::MAX) };

    /// Reads both ends from decimal text; `None` unless both are keys and in order.
    pub fn parse(start: &str, end: &str) -> Option<Self> {
        let start = HashKey(start.parse().ok()?);
        let end = HashKey(end.parse().ok()?);
        (start <= end).then_some(Self { start, end })
    }

    /// Whether the two have a key in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The parts of it that none of these takes, in order.
    pub fn without(&self, taken: &[Self]) -> Vec<Self> {
        let mut taken: Vec<&Self> = taken.iter().filter(|other| self.overlaps(other)).collect();
        taken.sort_unstable();
        let mut left = Vec::new();
        let mut next = Some(self.start);
        for other in taken {
            let Some(start) = next else { break };
            if start < other.start {
                left.push(Self { start, end: HashKey(other.start.0 - 1) });
            }
            next = other.end.0.checked_add(1).map(|after| start.max(HashKey(after)));
        }
        left.extend(next.filter(|start| *start <= self.end).map(|start| Self { start, ..*self }));
        left
    }

    /// Its part of the key space, in thousandths.
    pub fn per_mille(&self) -> u128 {
        self.end.0.saturating_sub(self.start.0) / (u128::MAX / 1000)
    }

    /// Whether a key belongs to this range.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }
}

/// One shard as `ListShards` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: ShardId,
    /// The shards it came from: none, one (split) or two (merge). They may have been trimmed.
    pub parents: Vec<ShardId>,
    /// The keys it takes. DynamoDB Streams shards have none.
    pub hash_range: Option<HashKeyRange>,
    /// Whether it still takes records.
    pub open: bool,
}

/// A shard that goes on where another ended, as the last `GetRecords` answer names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildShard {
    /// Its id.
    pub id: ShardId,
    /// One parent after a split, two after a merge.
    pub parents: Vec<ShardId>,
    /// The keys it takes.
    pub hash_range: Option<HashKeyRange>,
}
