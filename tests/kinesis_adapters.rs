//! The Kinesis sink, and the faults that the reader tells apart, through the AWS SDK against the
//! embedded server. What a reader reads is the stream's contract: `tests/contracts`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use shardwright::{
    aws::{AwsConnection, AwsSettings, KinesisStream, StreamTarget},
    embedded::kinesis::{FaultKind, FaultRule, KinesisServer, Limits, Operation},
    model::{EpochMillis, EventId, OutputEvent, Position, ShardId, Share, StreamName},
    ports::{Sink, SinkError, StartAt, StreamError, StreamReader, Verdict},
    sinks::{KinesisSink, KinesisSinkConfig},
};

struct Fixture {
    server: KinesisServer,
    connection: AwsConnection,
}

impl Fixture {
    async fn start(shards: u32) -> Self {
        let server = KinesisServer::builder().limits(Limits::off()).start().await.unwrap();
        let settings =
            AwsSettings { kinesis_endpoint_url: Some(server.endpoint()), ..AwsSettings::default() };
        let connection = AwsConnection::emulator(&settings).await.unwrap();
        let request = json!({"StreamName": "orders", "ShardCount": shards});
        server.call(Operation::CreateStream, &request).unwrap();
        Self { server, connection }
    }

    fn stream(&self) -> KinesisStream {
        let target = StreamTarget::Name(StreamName::new("orders"));
        KinesisStream::new(&self.connection, target)
    }

    fn sink(&self, extra: &str) -> KinesisSink {
        let config: KinesisSinkConfig =
            toml::from_str(&format!("stream = 'orders'\n{extra}")).unwrap();
        let target = StreamTarget::Name(StreamName::new("orders"));
        KinesisSink::new(config, target, &self.connection)
    }

    fn stored(&self) -> Vec<String> {
        let records = self.server.records("orders");
        records.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_stream_describes_itself_by_name_and_by_arn() {
    let fixture = Fixture::start(3).await;
    let summary = fixture.stream().describe().await.unwrap();
    assert_eq!((summary.status.as_str(), summary.open_shards), ("ACTIVE", 3));
    assert_eq!(summary.retention, Duration::from_hours(24));
    assert!(summary.created > EpochMillis(0));

    let target = StreamTarget::arn(&summary.arn).unwrap();
    let by_arn = KinesisStream::new(&fixture.connection, target);
    assert_eq!(by_arn.describe().await.unwrap(), summary);
    assert_eq!(by_arn.with_page_size(2).shards().await.unwrap().len(), 3);
}

#[tokio::test]
async fn faults_are_told_apart() {
    let fixture = Fixture::start(1).await;
    let (stream, shard) = (fixture.stream(), ShardId::new("shardId-000000000000"));
    let at = stream.iterator(&shard, &StartAt::TrimHorizon).await.unwrap();
    let next_read_fails = async |kind| {
        fixture.server.faults().add(FaultRule::on(Operation::GetRecords, kind).times(1));
        stream.records(&at, 10).await.unwrap_err()
    };
    assert!(matches!(next_read_fails(FaultKind::Throttle).await, StreamError::Throttled));
    assert!(matches!(
        next_read_fails(FaultKind::ExpiredIterator).await,
        StreamError::IteratorExpired
    ));
    for kind in [FaultKind::InternalFailure, FaultKind::CutConnection, FaultKind::LoseResponse] {
        let error = next_read_fails(kind).await;
        assert!(matches!(error, StreamError::Unavailable(_)), "{kind:?}: {error:?}");
        assert!(error.to_string().contains("kinesis:GetRecords"), "{error}");
    }
    stream.records(&at, 10).await.unwrap();
}

fn event(number: usize, json: String) -> OutputEvent {
    let sequence = number.to_string().parse().unwrap();
    OutputEvent {
        id: EventId {
            stream: StreamName::new("source"),
            shard: ShardId::new("shardId-000000000000"),
            position: Position { sequence, sub_sequence: 0 },
            index: 0,
        },
        share: Share::whole(),
        partition_key: Arc::from(format!("key-{number}")),
        arrival: EpochMillis(0),
        json: Bytes::from(json),
    }
}

fn events(range: std::ops::Range<usize>) -> Vec<OutputEvent> {
    range.map(|number| event(number, format!("{{\"number\":{number}}}"))).collect()
}

#[tokio::test]
async fn a_batch_is_split_by_the_services_limits() {
    let fixture = Fixture::start(2).await;
    let sink = fixture.sink("maximum_request_size = '1KiB'");
    sink.check().await.unwrap();
    let verdicts = sink.deliver(&events(0..1201)).await.unwrap();
    assert_eq!(verdicts, vec![Verdict::Accepted; 1201]);
    assert_eq!(fixture.stored().len(), 1201);
    let verdicts = fixture.sink("").deliver(&events(0..1201)).await.unwrap();
    assert_eq!(verdicts, vec![Verdict::Accepted; 1201]);
    assert!(
        fixture.server.records("orders").iter().any(|record| record.partition_key == "key-1200")
    );
    assert_eq!(sink.deliver(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn an_event_too_large_is_refused_alone() {
    let fixture = Fixture::start(1).await;
    let mut batch = events(0..3);
    batch[1] = event(1, format!("\"{}\"", "x".repeat(1024 * 1024)));
    let verdicts = fixture.sink("").deliver(&batch).await.unwrap();
    assert!(matches!(&verdicts[1], Verdict::Refused(why) if why.contains("maximum_record_size")));
    assert_eq!((&verdicts[0], &verdicts[2]), (&Verdict::Accepted, &Verdict::Accepted));
    assert_eq!(fixture.stored(), ["{\"number\":0}", "{\"number\":2}"]);
    // Just below the limit goes through, with its key.
    let largest = event(5, "x".repeat(1024 * 1024 - "key-5".len()));
    assert_eq!(fixture.sink("").deliver(&[largest]).await.unwrap(), [Verdict::Accepted]);
}

#[tokio::test]
async fn records_that_fail_alone_are_sent_again_alone() {
    let fixture = Fixture::start(2).await;
    let throttle = FaultRule::on(Operation::PutRecords, FaultKind::Throttle);
    fixture.server.faults().add(throttle.shard("shardId-000000000001").times(3));
    let verdicts = fixture.sink("").deliver(&events(0..20)).await.unwrap();
    let retries = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Retry(_))).count();
    assert_eq!(retries, 3);
    assert_eq!(fixture.stored().len(), 17);
}

#[tokio::test]
async fn a_request_is_sent_once() {
    let fixture = Fixture::start(1).await;
    let sink = fixture.sink("");
    for kind in [FaultKind::Throttle, FaultKind::InternalFailure, FaultKind::CutConnection] {
        fixture.server.faults().add(FaultRule::on(Operation::PutRecords, kind).times(1));
        let error = sink.deliver(&events(0..10)).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains("kinesis:PutRecords"), "{error}");
        assert_eq!(fixture.stored().len(), 0);
    }
}

#[tokio::test]
async fn a_missing_stream_is_a_human_s_business() {
    let fixture = Fixture::start(1).await;
    let config: KinesisSinkConfig = toml::from_str("stream = 'nowhere'").unwrap();
    let target = StreamTarget::Name(StreamName::new("nowhere"));
    let sink = KinesisSink::new(config, target, &fixture.connection);
    for error in [sink.check().await.unwrap_err(), sink.deliver(&events(0..1)).await.unwrap_err()] {
        assert!(matches!(error, SinkError::Misconfigured(_)), "{error:?}");
    }
}
