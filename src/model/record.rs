//! Records, as Kinesis hands them out and as producers meant them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Deserialize;

use super::{ChildShard, EpochMillis, Position, SequenceNumber};

/// One Kinesis record, possibly a KPL aggregate of several user records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Its place in the shard.
    pub sequence: SequenceNumber,
    /// The key it was put under.
    pub partition_key: String,
    /// The payload, up to 10 MiB.
    pub data: Bytes,
    /// When Kinesis took it (`ApproximateArrivalTimestamp`).
    pub arrival: EpochMillis,
}

/// The answer to one `GetRecords` call.
#[derive(Clone, Debug)]
pub struct RecordPage<I> {
    /// The records, in the order of the shard. May be empty while the shard goes on.
    pub records: Vec<RawRecord>,
    /// Where to read on; `None` when the shard is closed and read to its end.
    pub next: Option<I>,
    /// How far this page is behind the tip of the shard.
    pub behind_latest: Duration,
    /// The shards that go on where this one ended. Some servers never name them.
    pub children: Vec<ChildShard>,
}

/// What becomes of a KPL aggregate that holds user records of another shard, as it happens around a
/// resharding: the KPL puts those again into the shard that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregates {
    /// The user records of another shard are dropped, the others are processed.
    #[default]
    Tolerant,
    /// The whole aggregate is dropped, as the KCL does.
    Strict,
}

/// One record as its producer meant it: a member of a KPL aggregate, or a whole Kinesis record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// Its place in the shard.
    pub position: Position,
    /// The key its producer gave it.
    pub partition_key: Arc<str>,
    /// The hash key that its producer forced, a decimal of up to 39 digits.
    pub explicit_hash_key: Option<Arc<str>>,
    /// Whether it came out of a KPL aggregate.
    pub aggregated: bool,
    /// The payload.
    pub data: Bytes,
    /// When Kinesis took the record that held it.
    pub arrival: EpochMillis,
}
