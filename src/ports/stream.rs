//! One Kinesis data stream, as a reader sees it.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

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
    /// Another subscription of the same consumer holds the shard. For five seconds after it has begun
    /// nobody can take its place (API reference, `SubscribeToShard`).
    #[error("another subscription holds the shard: {0}")]
    Taken(String),
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

/// What one subscription pushes, event by event. A page's `next` is the place to subscribe after
/// (`ContinuationSequenceNumber`); only children tell that the shard has ended, since some servers name
/// no place. Empty pages are signs of life. An error is the last item.
///
/// Nothing is received while it is not polled, and dropping it ends the subscription. Polling may be
/// broken off at any time without losing an event.
pub type Subscription = BoxStream<'static, Result<RecordPage<SequenceNumber>, StreamError>>;

/// Subscribes to the shards of one stream as a registered consumer with enhanced fan-out, which is
/// registered when it is first needed.
#[async_trait]
pub trait ShardSubscriber: Send + Sync {
    /// Begins a subscription, which lasts five minutes at most. It takes the place of an older one.
    ///
    /// # Errors
    /// When the stream does not answer, the place is not one of this shard, or
    /// [`StreamError::Taken`].
    ///
    /// # Cancel safety
    /// The subscription may have begun when this future is dropped, and holds the shard for five
    /// seconds then.
    async fn subscribe(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<Subscription, StreamError>;
}
