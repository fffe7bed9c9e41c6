//! The server as its callers see it: whole operations by a clock that the test moves.

mod fan_out;
mod over_http;
mod reading;
mod refusals;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_hours(1);
const FIRST: &str = "shardId-000000000000";

struct Rig {
    server: KinesisServer,
    clock: Arc<ManualClock>,
}

impl Rig {
    async fn with(limits: Limits, window: Duration) -> Self {
        let clock = Arc::new(ManualClock::default());
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let builder = KinesisServer::builder().clock(shared).limits(limits).status_window(window);
        Self { server: builder.start().await.unwrap(), clock }
    }

    /// A server without quotas and a stream `s`.
    async fn new(shards: u32) -> Self {
        let rig = Self::with(Limits::off(), Duration::ZERO).await;
        rig.ok(Operation::CreateStream, &json!({"StreamName": "s", "ShardCount": shards}));
        rig
    }

    fn ok(&self, operation: Operation, request: &Value) -> Value {
        self.server.call(operation, request).unwrap()
    }

    fn refusal(&self, operation: Operation, request: &Value) -> &'static str {
        self.server.call(operation, request).unwrap_err().code
    }

    fn put(&self, data: &str) -> String {
        let entry = json!({"StreamName": "s", "Data": base64(data), "PartitionKey": data});
        let stored = self.ok(Operation::PutRecord, &entry);
        stored["SequenceNumber"].as_str().unwrap().to_owned()
    }

    fn iterator(&self, shard: &str, kind: &str) -> String {
        let request = json!({"StreamName": "s", "ShardId": shard, "ShardIteratorType": kind});
        let answer = self.ok(Operation::GetShardIterator, &request);
        answer["ShardIterator"].as_str().unwrap().to_owned()
    }

    fn read(&self, iterator: &str, limit: u32) -> Value {
        self.ok(Operation::GetRecords, &json!({"ShardIterator": iterator, "Limit": limit}))
    }

    fn split(&self, shard: &str, at: u128) {
        let key = at.to_string();
        let request = json!({"StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": key});
        self.ok(Operation::SplitShard, &request);
    }

    fn server_seconds(&self) -> u64 {
        self.clock.now_millis() / 1000
    }

    fn shards(&self, mut request: Value) -> Vec<u64> {
        request["StreamName"] = json!("s");
        numbers(&self.ok(Operation::ListShards, &request))
    }

    fn filtered(&self, kind: &str) -> Vec<u64> {
        self.shards(json!({"ShardFilter": {"Type": kind}}))
    }
}

fn base64(data: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(data)
}

fn numbers(listing: &Value) -> Vec<u64> {
    let shards = listing["Shards"].as_array().unwrap();
    shards.iter().map(|shard| number(shard["ShardId"].as_str().unwrap())).collect()
}

fn number(shard_id: &str) -> u64 {
    shard_id.rsplit('-').next().unwrap().parse().unwrap()
}

fn keys(page: &Value) -> Vec<&str> {
    let records = page["Records"].as_array().unwrap();
    records.iter().map(|record| record["PartitionKey"].as_str().unwrap()).collect()
}
