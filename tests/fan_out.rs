//! The fan-out adapter through the AWS SDK against the embedded server.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use serde_json::{Value, json};
use shardwright::{
    aws::{AwsConnection, AwsSettings, ConsumerName, FanOutConsumer, StreamTarget},
    embedded::kinesis::{
        Clock, FaultKind, FaultRule, KinesisServer, Limits, ManualClock, Operation, StreamFault,
        StreamFaultKind,
    },
    model::{RecordPage, SequenceNumber, ShardId, StreamName},
    ports::{ShardSubscriber, StartAt, StreamError, Subscription},
};

const SECOND: Duration = Duration::from_secs(1);
const STREAM_ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";

struct Fixture {
    server: KinesisServer,
    clock: Arc<ManualClock>,
    connection: AwsConnection,
    consumer: FanOutConsumer,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(Duration::ZERO).await
    }

    /// A server whose changes take so long.
    async fn with(window: Duration) -> Self {
        let clock = Arc::new(ManualClock::default());
        let builder = KinesisServer::builder().limits(Limits::off()).status_window(window);
        let builder = builder.clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let server = builder.start().await.unwrap();
        let settings =
            AwsSettings { kinesis_endpoint_url: Some(server.endpoint()), ..AwsSettings::default() };
        let connection = AwsConnection::emulator(&settings).await.unwrap();
        let consumer = consumer(&connection, ConsumerName::Name("app".to_owned()));
        let fixture = Self { server, clock, connection, consumer };
        let stream = json!({"StreamName": "orders", "ShardCount": 1, "MaxRecordSizeInKiB": 10_240});
        fixture.call(Operation::CreateStream, &stream);
        fixture
    }

    fn call(&self, operation: Operation, request: &Value) -> Value {
        self.server.call(operation, request).unwrap()
    }

    fn consumers(&self) -> Vec<Value> {
        let listed = self.call(Operation::ListStreamConsumers, &json!({"StreamARN": STREAM_ARN}));
        listed["Consumers"].as_array().unwrap().clone()
    }

    /// Puts a record with this key; its sequence number.
    fn put(&self, key: &str, data: &[u8]) -> SequenceNumber {
        let data = BASE64_STANDARD.encode(data);
        let record = json!({"StreamName": "orders", "PartitionKey": key, "Data": data});
        let put = self.call(Operation::PutRecord, &record);
        put["SequenceNumber"].as_str().unwrap().parse().unwrap()
    }

    fn split(&self) {
        let half = (1_u128 << 127).to_string();
        let request = json!({
            "StreamName": "orders", "ShardToSplit": shard().as_str(), "NewStartingHashKey": half
        });
        self.call(Operation::SplitShard, &request);
    }

    fn fault(&self, kind: FaultKind) {
        self.server.faults().add(FaultRule::on(Operation::SubscribeToShard, kind).times(1));
    }

    async fn subscribe(&self, start: &StartAt) -> Subscription {
        self.consumer.subscribe(&shard(), start).await.unwrap()
    }

    async fn refusal(&self, start: &StartAt) -> StreamError {
        let refused = self.consumer.subscribe(&shard(), start).await;
        refused.err().unwrap()
    }
}

fn consumer(connection: &AwsConnection, name: ConsumerName) -> FanOutConsumer {
    FanOutConsumer::new(connection, StreamTarget::Name(StreamName::new("orders")), name)
}

fn shard() -> ShardId {
    ShardId::new("shardId-000000000000")
}

async fn event(subscription: &mut Subscription) -> RecordPage<SequenceNumber> {
    subscription.next().await.unwrap().unwrap()
}

/// The failure that ends a subscription on which nothing else comes.
async fn failure(subscription: &mut Subscription) -> StreamError {
    loop {
        match subscription.next().await.unwrap() {
            Ok(page) => assert!(page.records.is_empty(), "{page:?}"),
            Err(problem) => {
                assert!(subscription.next().await.is_none());
                return problem;
            }
        }
    }
}

fn keys(page: &RecordPage<SequenceNumber>) -> Vec<&str> {
    page.records.iter().map(|record| record.partition_key.as_str()).collect()
}

#[tokio::test]
async fn the_consumer_is_registered_once_by_whoever_comes_first() {
    let fixture = Fixture::start().await;
    let other = consumer(&fixture.connection, ConsumerName::Name("app".to_owned()));
    let (ours, theirs) = tokio::join!(fixture.consumer.arn(), other.arn());
    let arn = ours.unwrap();
    assert_eq!(theirs.unwrap(), arn);
    assert_eq!(fixture.consumers().len(), 1);

    // By its ARN it is used, but never registered.
    let by_arn = consumer(&fixture.connection, ConsumerName::Arn(arn.clone()));
    by_arn.subscribe(&shard(), &StartAt::Latest).await.map(drop).unwrap();
    let absent = consumer(&fixture.connection, ConsumerName::Arn(format!("{arn}9")));
    let problem = absent.arn().await.unwrap_err();
    assert!(matches!(&problem, StreamError::NotFound(why) if why.contains("consumer_name")));
    assert_eq!(fixture.consumers().len(), 1);

    fixture.consumer.deregister().await.unwrap();
    assert_eq!(fixture.consumers(), [] as [Value; 0]);
    fixture.consumer.deregister().await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_is_being_created_is_waited_for() {
    let fixture = Fixture::with(SECOND).await;
    fixture.clock.advance(SECOND);
    let service = async {
        while fixture.consumers().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(fixture.consumers()[0]["ConsumerStatus"], json!("CREATING"));
        fixture.clock.advance(SECOND);
    };
    let (arn, ()) = tokio::join!(fixture.consumer.arn(), service);
    assert_eq!(fixture.consumers()[0]["ConsumerARN"], json!(arn.unwrap()));
}

#[tokio::test]
async fn a_consumer_that_somebody_deregisters_is_registered_again() {
    let fixture = Fixture::start().await;
    let mut subscription = fixture.subscribe(&StartAt::Latest).await;
    let arn = fixture.consumers()[0]["ConsumerARN"].clone();
    fixture.call(Operation::DeregisterStreamConsumer, &json!({"ConsumerARN": arn}));
    let told = failure(&mut subscription).await;
    assert!(matches!(told, StreamError::NotFound(_)), "{told}");
    fixture.clock.advance(5 * SECOND);
    assert!(matches!(fixture.refusal(&StartAt::Latest).await, StreamError::NotFound(_)));
    drop(fixture.subscribe(&StartAt::Latest).await);
    assert_ne!(fixture.consumers()[0]["ConsumerARN"], arn);
}

#[tokio::test]
async fn every_place_to_start_at_is_understood() {
    let fixture = Fixture::start().await;
    fixture.put("a", b"a");
    fixture.clock.advance(SECOND);
    let second = fixture.put("b", b"b");
    fixture.put("c", b"c");
    let mut all = fixture.subscribe(&StartAt::TrimHorizon).await;
    let all = event(&mut all).await;
    assert_eq!((keys(&all), all.behind_latest), (vec!["a", "b", "c"], Duration::ZERO));
    assert_eq!(all.records[1].data.as_ref(), b"b");
    assert_eq!(all.next.as_ref(), Some(&all.records[2].sequence));
    for (start, expect) in [
        (StartAt::At(second.clone()), &["b", "c"][..]),
        (StartAt::After(second), &["c"]),
        (StartAt::Timestamp(all.records[1].arrival), &["b", "c"]),
        (StartAt::Latest, &["d"]),
    ] {
        fixture.clock.advance(5 * SECOND);
        let mut subscription = fixture.subscribe(&start).await;
        if start == StartAt::Latest {
            fixture.put("d", b"d");
        }
        assert_eq!(keys(&event(&mut subscription).await), expect, "{start:?}");
    }
    fixture.clock.advance(5 * SECOND);
    let nowhere = StartAt::At("7".parse().unwrap());
    assert!(matches!(fixture.refusal(&nowhere).await, StreamError::Invalid(_)));
    let absent = ShardId::new("shardId-000000000007");
    let refused = fixture.consumer.subscribe(&absent, &StartAt::Latest).await.err().unwrap();
    assert!(matches!(refused, StreamError::NotFound(_)), "{refused}");
}

#[tokio::test]
async fn the_end_of_a_shard_names_its_children() {
    let fixture = Fixture::start().await;
    let mut subscription = fixture.subscribe(&StartAt::TrimHorizon).await;
    fixture.put("a", b"a");
    assert_eq!(keys(&event(&mut subscription).await), ["a"]);
    fixture.split();
    let last = event(&mut subscription).await;
    let children: Vec<_> = last.children.iter().map(|child| child.id.as_str()).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    assert!(last.children.iter().all(|child| child.parents == [shard()]));
    assert!(last.next.is_none() && last.children[0].hash_range.is_some());
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_is_silent_without_harm_and_ends_after_five_minutes() {
    let fixture = Fixture::start().await;
    let mut subscription = fixture.subscribe(&StartAt::Latest).await;
    fixture.clock.advance(299 * SECOND);
    let empty = event(&mut subscription).await;
    assert_eq!((empty.records.len(), empty.children.len()), (0, 0));
    fixture.clock.advance(SECOND);
    assert!(subscription.next().await.is_none());
    // And goes on where it was.
    fixture.put("a", b"a");
    let mut renewed = fixture.subscribe(&StartAt::After(empty.next.unwrap())).await;
    assert_eq!(keys(&event(&mut renewed).await), ["a"]);
}

#[tokio::test]
async fn a_shard_that_is_taken_is_told_from_other_faults() {
    let fixture = Fixture::start().await;
    let mut first = fixture.subscribe(&StartAt::Latest).await;
    assert!(matches!(fixture.refusal(&StartAt::Latest).await, StreamError::Taken(_)));
    fixture.clock.advance(5 * SECOND);
    let mut second = fixture.subscribe(&StartAt::Latest).await;
    let told = failure(&mut first).await;
    assert!(matches!(told, StreamError::Taken(_)), "{told}");
    fixture.put("a", b"a");
    assert_eq!(keys(&event(&mut second).await), ["a"]);
}

#[tokio::test]
async fn faults_are_told_apart() {
    let fixture = Fixture::start().await;
    fixture.put("a", b"a");
    fixture.fault(FaultKind::Throttle);
    assert!(matches!(fixture.refusal(&StartAt::Latest).await, StreamError::Throttled));
    for kind in [FaultKind::InternalFailure, FaultKind::CutConnection] {
        fixture.fault(kind);
        let problem = fixture.refusal(&StartAt::Latest).await;
        assert!(
            matches!(&problem, StreamError::Unavailable(why) if why.contains("SubscribeToShard"))
        );
    }
    let in_stream = async |kind| {
        fixture.clock.advance(5 * SECOND);
        fixture.fault(FaultKind::Stream(StreamFault::after(1, kind)));
        let mut subscription = fixture.subscribe(&StartAt::TrimHorizon).await;
        event(&mut subscription).await;
        failure(&mut subscription).await
    };
    let cut = in_stream(StreamFaultKind::Cut).await;
    assert!(matches!(cut, StreamError::Unavailable(_)), "{cut:?}");
    let fail = async |code| in_stream(StreamFaultKind::Fail(code)).await;
    let internal = fail("InternalFailureException").await;
    assert!(matches!(&internal, StreamError::Unavailable(why) if why.contains("InternalFailure")));
    assert!(matches!(fail("KMSThrottlingException").await, StreamError::Throttled));
    let denied = fail("KMSAccessDeniedException").await;
    assert!(matches!(&denied, StreamError::Denied(why) if why.contains("kms:Decrypt")), "{denied}");
    let unknown = fail("SomethingNew").await;
    assert!(matches!(unknown, StreamError::Unavailable(_)), "{unknown:?}");
}

#[tokio::test]
async fn nothing_is_pushed_to_a_reader_who_does_not_read() {
    // Far more than the sockets' buffers hold.
    const RECORDS: usize = 24;
    let fixture = Fixture::start().await;
    let mebibyte = vec![0; 1 << 20];
    for _ in 0..RECORDS {
        fixture.put("k", &mebibyte);
    }
    let mut subscription = fixture.subscribe(&StartAt::TrimHorizon).await;
    let first = event(&mut subscription).await;
    // What is on the way by now still comes; then the time of the subscription is over.
    fixture.clock.advance(300 * SECOND);
    let mut last = first.records[0].sequence.clone();
    let mut read = 1;
    while let Some(page) = subscription.next().await {
        let page = page.unwrap();
        read += page.records.len();
        last = page.records.last().map_or(last, |record| record.sequence.clone());
    }
    assert!(read < RECORDS, "{read} MiB were pushed ahead");
    let mut renewed = fixture.subscribe(&StartAt::After(last)).await;
    while read < RECORDS {
        read += event(&mut renewed).await.records.len();
    }
}

#[tokio::test]
async fn a_record_of_ten_mebibytes_comes_whole() {
    let fixture = Fixture::start().await;
    let data = vec![7; 10 * 1024 * 1024 - 1];
    fixture.put("k", &data);
    let mut subscription = fixture.subscribe(&StartAt::TrimHorizon).await;
    assert_eq!(event(&mut subscription).await.records[0].data, data);
}
