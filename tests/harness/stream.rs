//! A stream, as its owner and its producers see it.

use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, Shard, StreamStatus},
};
use bytes::Bytes;
use shardwright::{
    aws::AwsConnection,
    model::{SequenceNumber, ShardId},
};

use super::wait_until;

/// The stream's name in all scenarios; each has its own server.
pub(crate) const NAME: &str = "app-logs";

/// A stream that takes records.
pub(crate) struct Stream {
    client: Client,
    pub(crate) arn: String,
}

impl Stream {
    pub(crate) async fn create(aws: &AwsConnection, shards: i32) -> Self {
        let client = aws.kinesis();
        client.create_stream().stream_name(NAME).shard_count(shards).send().await.unwrap();
        let mut stream = Self { client, arn: String::new() };
        stream.active().await;
        let answer = stream.client.describe_stream().stream_name(NAME).send().await.unwrap();
        stream.arn = answer.stream_description.unwrap().stream_arn;
        stream
    }

    async fn active(&self) {
        wait_until("the stream is active", async || {
            let answer = self.client.describe_stream_summary().stream_name(NAME).send().await;
            let summary = answer.unwrap().stream_description_summary.unwrap();
            summary.stream_status == StreamStatus::Active
        })
        .await;
    }

    /// Puts records; where each went.
    pub(crate) async fn put(&self, records: &[(String, Bytes)]) -> Vec<(ShardId, SequenceNumber)> {
        let entries = records.iter().map(|(key, data)| {
            let data = Blob::new(data.to_vec());
            PutRecordsRequestEntry::builder().partition_key(key).data(data).build().unwrap()
        });
        let request = self.client.put_records().stream_name(NAME);
        let answer = request.set_records(Some(entries.collect())).send().await.unwrap();
        let places = answer.records.into_iter().map(|put| {
            // These servers enforce no limits, so each record is taken.
            let shard = put.shard_id.expect("a record was not taken");
            (ShardId::new(shard), put.sequence_number.unwrap().parse().unwrap())
        });
        places.collect()
    }

    /// Splits the open shard with the lowest keys in the middle; its id.
    pub(crate) async fn split(&self) -> ShardId {
        let lowest = ShardId::new(self.open().await.swap_remove(0).shard_id);
        self.split_shard(&lowest).await;
        lowest
    }

    /// Splits this open shard in the middle.
    pub(crate) async fn split_shard(&self, shard: &ShardId) {
        let open = self.open().await;
        let shard = open.iter().find(|open| open.shard_id == shard.as_str()).unwrap();
        let (start, end) = range(shard);
        self.client
            .split_shard()
            .stream_name(NAME)
            .shard_to_split(&shard.shard_id)
            .new_starting_hash_key((start + (end - start) / 2).to_string())
            .send()
            .await
            .unwrap();
        self.active().await;
    }

    /// Merges the two open shards with the lowest keys; their ids.
    pub(crate) async fn merge(&self) -> [ShardId; 2] {
        let open = self.open().await;
        let [low, high, ..] = &open[..] else { panic!("fewer than two open shards") };
        self.client
            .merge_shards()
            .stream_name(NAME)
            .shard_to_merge(&low.shard_id)
            .adjacent_shard_to_merge(&high.shard_id)
            .send()
            .await
            .unwrap();
        self.active().await;
        [low, high].map(|shard| ShardId::new(&shard.shard_id))
    }

    /// The open shards in the order of their keys.
    async fn open(&self) -> Vec<Shard> {
        let answer = self.client.list_shards().stream_name(NAME).send().await.unwrap();
        let mut shards = answer.shards.unwrap();
        shards.retain(|shard| {
            shard.sequence_number_range.as_ref().unwrap().ending_sequence_number.is_none()
        });
        shards.sort_by_key(range);
        shards
    }
}

fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range.as_ref().unwrap();
    (range.starting_hash_key.parse().unwrap(), range.ending_hash_key.parse().unwrap())
}
