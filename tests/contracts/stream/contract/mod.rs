//! What every stream must do, as functions over a [`Counterpart`] that makes empty streams.
//!
//! A module of its own making, without a word from the test program around it: the simulation
//! includes it too.

pub(crate) mod deviations;
mod drain;
mod lineage;
mod pages;
mod refusals;
mod starts;

use bytes::Bytes;
use shardwright::{
    model::{HashKey, ShardId},
    ports::StreamReader,
};

use deviations::Name;
pub(crate) use lineage::{
    a_closed_shard_can_be_read_from_anywhere, a_fresh_stream_lists_all_its_shards,
    a_merged_pair_ends_in_one_child, a_split_shard_ends_and_names_its_children,
    generations_are_read_in_order,
};
pub(crate) use pages::{
    a_page_holds_at_most_10_mib, a_page_holds_what_was_asked_for_and_says_how_far_behind_it_is,
    a_place_can_be_read_again,
};
pub(crate) use refusals::{an_iterator_expires, unknown_places_are_refused};
pub(crate) use starts::every_place_to_start_at_is_understood;

/// A Kinesis.
pub(crate) trait Counterpart {
    type Stream: OwnedStream;

    /// An empty stream that nobody else uses, its shards of equal size.
    async fn create(&self, shards: u32) -> Self::Stream;
}

/// A stream, with the hands of its owner and its producers on it.
pub(crate) trait OwnedStream {
    /// Whose stream it is.
    fn counterpart(&self) -> Name;

    fn reader(&self) -> &dyn StreamReader;

    /// Puts a record where this key belongs.
    async fn put(&self, key: HashKey, data: Bytes);

    /// Splits an open shard in the middle.
    async fn split(&self, shard: &ShardId);

    /// Merges two open shards that lie side by side.
    async fn merge(&self, low: &ShardId, high: &ShardId);

    /// Makes every iterator that was handed out older than five minutes.
    async fn pass_five_minutes(&self);
}

/// Puts the numbers of a range, as text, under one key.
async fn put_numbers(stream: &impl OwnedStream, range: std::ops::Range<u32>) {
    for number in range {
        stream.put(HashKey(7), Bytes::from(number.to_string())).await;
    }
}

/// The only shard of a stream.
async fn only_shard(stream: &impl OwnedStream) -> ShardId {
    let mut shards = stream.reader().shards().await.unwrap();
    assert_eq!(shards.len(), 1);
    shards.remove(0).id
}
