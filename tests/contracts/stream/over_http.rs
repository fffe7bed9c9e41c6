//! Servers and their streams: the adapter under test, and the SDK as the owner's hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{Client, primitives::Blob, types::StreamStatus};
use bytes::Bytes;
use shardwright::{
    aws::{AwsConnection, AwsSettings, KinesisStream, StreamTarget},
    embedded::kinesis::{Clock, KinesisServer, Limits, ManualClock},
    model::{HashKey, ShardId, StreamName},
    ports::{StartAt, StreamError, StreamReader},
};

use super::contract::{
    Counterpart, OwnedStream,
    deviations::{Deviation, Name, check},
};
use crate::{
    harness::{Server as Child, wait_until},
    shared::{Running, Shared},
};

/// A server, and who it is.
#[derive(Clone)]
pub(super) struct Kinesis {
    name: Name,
    endpoint: String,
    server: Server,
}

/// Whether others use the server at the same time.
pub(super) enum Tenancy {
    /// For tests that keep to their own streams.
    Shared,
    /// For tests that move its clock.
    Alone,
}

#[derive(Clone)]
enum Server {
    /// By the test's own clock.
    #[expect(dead_code, reason = "the server is kept, not asked")]
    Embedded(Arc<KinesisServer>, Arc<ManualClock>),
    Child(Arc<Running>),
}

impl Kinesis {
    /// Always its own.
    pub(super) async fn embedded(_: Tenancy) -> Option<Self> {
        let clock = Arc::new(ManualClock::default());
        let builder = KinesisServer::builder().limits(Limits::off());
        let server = builder.clock(Arc::clone(&clock) as Arc<dyn Clock>).start().await.unwrap();
        let endpoint = server.endpoint();
        let server = Server::Embedded(Arc::new(server), clock);
        Some(Self { name: Name::Embedded, endpoint, server })
    }

    pub(super) async fn kinesis_local(tenancy: Tenancy) -> Option<Self> {
        static SHARED: Shared = Shared::new();
        let running = match tenancy {
            Tenancy::Shared => SHARED.get(Child::kinesis_local).await?,
            Tenancy::Alone => Running::alone(Child::kinesis_local).await?,
        };
        Some(Self::child(Name::KinesisLocal, running))
    }

    pub(super) async fn kinesalite(tenancy: Tenancy) -> Option<Self> {
        static SHARED: Shared = Shared::new();
        let running = match tenancy {
            Tenancy::Shared => SHARED.get(Child::kinesalite).await?,
            Tenancy::Alone => Running::alone(Child::kinesalite).await?,
        };
        Some(Self::child(Name::Kinesalite, running))
    }

    fn child(name: Name, running: Arc<Running>) -> Self {
        Self { name, endpoint: running.server.endpoint(), server: Server::Child(running) }
    }

    pub(super) async fn connection(&self) -> AwsConnection {
        let endpoint = Some(self.endpoint.clone());
        let settings = AwsSettings { kinesis_endpoint_url: endpoint, ..AwsSettings::default() };
        AwsConnection::emulator(&settings).await.unwrap()
    }
}

impl Counterpart for Kinesis {
    type Stream = Stream;

    async fn create(&self, shards: u32) -> Stream {
        static STREAMS: AtomicU32 = AtomicU32::new(0);
        let connection = self.connection().await;
        let name = format!("contract-{}", STREAMS.fetch_add(1, Ordering::Relaxed));
        let target = StreamTarget::Name(StreamName::new(&name));
        let reader = KinesisStream::new(&connection, target).with_page_size(SHARDS_A_PAGE);
        let client = connection.kinesis();
        let shards = i32::try_from(shards).unwrap();
        client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        let stream = Stream { kinesis: self.clone(), client, name, reader };
        stream.active().await;
        stream
    }
}

/// Left alone, AWS lists 1,000 a page.
const SHARDS_A_PAGE: u16 = 100;

/// The one stream of a test.
pub(super) struct Stream {
    kinesis: Kinesis,
    client: Client,
    name: String,
    reader: KinesisStream,
}

impl Stream {
    async fn active(&self) {
        wait_until("the stream is active", async || {
            let answer = self.client.describe_stream_summary().stream_name(&self.name).send().await;
            let summary = answer.unwrap().stream_description_summary.unwrap();
            summary.stream_status == StreamStatus::Active
        })
        .await;
    }
}

impl OwnedStream for Stream {
    fn counterpart(&self) -> Name {
        self.kinesis.name
    }

    fn reader(&self) -> &dyn StreamReader {
        &self.reader
    }

    async fn put(&self, key: HashKey, data: Bytes) {
        if let Server::Embedded(_, clock) = &self.kinesis.server {
            clock.advance(Duration::from_millis(1));
        }
        let request = self.client.put_record().stream_name(&self.name).partition_key("key");
        let request = request.explicit_hash_key(key.0.to_string());
        request.data(Blob::new(data.to_vec())).send().await.unwrap();
    }

    async fn split(&self, shard: &ShardId) {
        let listed = self.reader.shards().await.unwrap();
        let range = listed.iter().find(|it| it.id == *shard).unwrap().hash_range.unwrap();
        let middle = range.start.0 + (range.end.0 - range.start.0) / 2 + 1;
        let request = self.client.split_shard().stream_name(&self.name);
        let request = request.shard_to_split(shard.as_str());
        request.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.active().await;
    }

    async fn merge(&self, low: &ShardId, high: &ShardId) {
        let request = self.client.merge_shards().stream_name(&self.name);
        let request = request.shard_to_merge(low.as_str());
        request.adjacent_shard_to_merge(high.as_str()).send().await.unwrap();
        self.active().await;
    }

    async fn pass_five_minutes(&self) {
        match &self.kinesis.server {
            Server::Embedded(_, clock) => clock.advance(Duration::from_secs(301)),
            Server::Child(running) => running.server.pass_five_minutes().await,
        }
    }
}

/// The listing of the contract's long stream really has pages.
pub(super) async fn a_listing_has_pages(kinesis: &Kinesis) {
    let stream = kinesis.create(120).await;
    let request = stream.client.list_shards().stream_name(&stream.name);
    let page = request.max_results(i32::from(SHARDS_A_PAGE)).send().await.unwrap();
    let as_on_aws = page.shards().len() == 100 && page.next_token.is_some();
    check(stream.counterpart(), Deviation::ListingInOnePage, as_on_aws);
}

/// A stream that is not there is told apart from a service that is not.
pub(super) async fn an_unknown_stream_is_not_found(kinesis: &Kinesis) {
    let target = StreamTarget::Name(StreamName::new("nowhere"));
    let reader = KinesisStream::new(&kinesis.connection().await, target);
    let answer = reader.shards().await;
    assert!(matches!(answer, Err(StreamError::NotFound(_))), "{answer:?}");
    let answer = reader.iterator(&ShardId::new("shardId-000000000000"), &StartAt::Latest).await;
    assert!(matches!(answer, Err(StreamError::NotFound(_))), "{answer:?}");
}
