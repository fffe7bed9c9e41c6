//! A stream of kinesis-local, behind the proxy.

use std::sync::Arc;

use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use serde_json::Value;
use shardwright::{
    aws::StreamTarget,
    model::StreamName,
    ports::{Sink, SinkError},
    sinks::{KinesisSink, SinkConfig},
};
use tempfile::TempDir;

use super::{large, moto::connection};
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::Faults,
    harness::{Installed, Server, wait_until},
    proxy,
    wire::HttpServer,
};

const STREAM: &str = "next";

/// The stream, of two shards.
pub(crate) struct Kinesis {
    server: Server,
    client: aws_sdk_kinesis::Client,
    faults: Faults,
    proxy: HttpServer,
    /// What was in the stream when the server was ended.
    before: Vec<Value>,
    // After the server, whose log is in it.
    _dir: TempDir,
}

impl Kinesis {
    async fn create(&self) {
        let create = self.client.create_stream().stream_name(STREAM).shard_count(2);
        create.send().await.unwrap();
        wait_until("the stream is active", async || {
            let answer = self.client.describe_stream_summary().stream_name(STREAM).send().await;
            let summary = answer.unwrap().stream_description_summary.unwrap();
            summary.stream_status == StreamStatus::Active
        })
        .await;
    }

    async fn shard(&self, shard: &str, into: &mut Vec<Value>) {
        let start = self.client.get_shard_iterator().stream_name(STREAM).shard_id(shard);
        let start = start.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        let mut next = start.unwrap().shard_iterator;
        while let Some(at) = next {
            let page = self.client.get_records().shard_iterator(at).send().await.unwrap();
            if page.records.is_empty() {
                return;
            }
            let documents = page.records.iter().map(|record| record.data.as_ref());
            into.extend(documents.map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap()));
            next = page.next_shard_iterator;
        }
    }
}

impl Counterpart for Kinesis {
    const PROMISE: Promise = Promise { in_order: false, knows_again: Again::No };

    async fn start() -> Option<Self> {
        let installed = Installed::find_all(&["kinesis-local"])?;
        let (dir, faults) = (TempDir::new().unwrap(), Faults::new());
        let server = Server::kinesis_local(&installed, dir.path()).await;
        let client = connection(&server.endpoint()).await.kinesis();
        let proxy = proxy::before(&server.endpoint(), &faults).await;
        let kinesis = Self { server, client, faults, proxy, before: Vec::new(), _dir: dir };
        kinesis.create().await;
        Some(kinesis)
    }

    fn config(&self) -> String {
        let endpoint = self.proxy.url();
        format!("type = \"kinesis\"\nstream = \"{STREAM}\"\nendpoint_url = \"{endpoint}\"")
    }

    async fn open(&self, config: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let SinkConfig::Kinesis(config) = toml::from_str(config).unwrap() else {
            unreachable!("it says so");
        };
        let target = StreamTarget::Name(StreamName::new(config.stream.clone().unwrap()));
        Ok(Arc::new(KinesisSink::new(config, target, &connection(&self.proxy.url()).await)))
    }

    async fn stored(&mut self) -> Vec<Value> {
        let mut found = self.before.clone();
        for shard in ["shardId-000000000000", "shardId-000000000001"] {
            self.shard(shard, &mut found).await;
        }
        found
    }

    async fn stop(&mut self) {
        self.before = self.stored().await;
        self.server.kill();
    }

    async fn start_again(&mut self) {
        self.server.start_again().await;
        self.create().await;
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn refused(&self) -> Vec<(Value, &'static str)> {
        vec![(large(1 << 20), "maximum_record_size")]
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let nowhere = self.config().replace(STREAM, "nowhere");
        vec![(nowhere, "kinesis:DescribeStreamSummary")]
    }
}
