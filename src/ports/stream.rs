//! One Kinesis data stream, as a reader sees it.

use async_trait::async_trait;

use crate::model::{EpochMillis, RecordPage, SequenceNumber, Shard, ShardId};

/// Where to begin in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record kept.
    TrimHorizon,
    /// The next record put.
    Latest,
    /// The first record that arrived at or after this time.
    Timestamp(EpochMillis),
    /// This record.
    At(SequenceNumber),
    /// The record after this one.
    After(SequenceNumber),
}

/// An opaque place in a shard, good for five minutes.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardIterator(pub String);

impl std::fmt::Debug for ShardIterator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardIterator(…)")
    }
}

/// Why the stream did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// The shard's or the account's limit is spent. Nothing was read.
    #[error("throttled by Kinesis")]
    Throttled,
    /// The iterator is older than five minutes. Ask for a new one after the last record read.
    #[error("the shard iterator has expired")]
    IteratorExpired,
    /// The stream or the shard is gone.
    #[error("not found: {0}")]
    NotFound(String),
    /// This process may not do that; a human must change a policy.
    #[error("not allowed: {0}")]
    Denied(String),
    /// Kinesis refuses the request itself.
    #[error("refused by Kinesis: {0}")]
    Invalid(String),
    /// A passing fault; try again.
    #[error("stream unavailable: {0}")]
    Unavailable(String),
}

/// Reads one stream. Nothing here changes it.
#[async_trait]
pub trait StreamReader: Send + Sync {
    /// All shards that are listed, open and closed. Follows the pages.
    ///
    /// # Errors
    /// When the stream does not answer.
    async fn shards(&self) -> Result<Vec<Shard>, StreamError>;

    /// A place in a shard.
    ///
    /// # Errors
    /// When the stream does not answer, or the place is not one of this shard.
    async fn iterator(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<ShardIterator, StreamError>;

    /// The records from a place on, at most `limit` of them (1 to 10,000) and 10 MiB.
    ///
    /// # Errors
    /// When the stream does not answer; see [`StreamError::IteratorExpired`].
    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError>;
}
