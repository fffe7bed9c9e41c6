//! Registered consumers and their subscriptions, frame by frame.

use std::io;
use std::time::Duration;

use aws_smithy_eventstream::frame::read_message_from;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::super::subscription::Subscription;
use super::super::*;
use super::{FIRST, Rig, keys};

const SECOND: Duration = Duration::from_secs(1);
const HALF: u128 = 1 << 127;

/// A stream with an active consumer.
struct FanOut {
    rig: Rig,
    consumer_arn: String,
}

/// What a subscriber saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Initial,
    Event(Value),
    Exception(String),
    Broken(io::ErrorKind),
    End,
}

impl FanOut {
    async fn new() -> Self {
        Self::on(Rig::new(1).await)
    }

    fn on(rig: Rig) -> Self {
        let request = json!({"StreamARN": arn(), "ConsumerName": "app"});
        let answer = rig.ok(Operation::RegisterStreamConsumer, &request);
        let consumer_arn = answer["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned();
        Self { rig, consumer_arn }
    }

    fn try_subscribe(
        &self,
        position: &Value,
        fault: Option<StreamFault>,
    ) -> Result<Subscription, ApiError> {
        let request = json!({
            "ConsumerARN": self.consumer_arn, "ShardId": FIRST, "StartingPosition": position
        });
        Subscription::begin(&self.rig.server.service, request.to_string().as_bytes(), fault)
    }

    /// A subscription whose initial response has been read.
    async fn subscribe(&self, position: &Value) -> Subscription {
        self.subscribe_with(position, None).await
    }

    async fn subscribe_with(&self, position: &Value, fault: Option<StreamFault>) -> Subscription {
        let mut subscription = self.try_subscribe(position, fault).unwrap();
        assert_eq!(see(&mut subscription).await, Seen::Initial);
        subscription
    }

    fn advance(&self, by: Duration) {
        self.rig.clock.advance(by);
    }
}

fn arn() -> &'static str {
    "arn:aws:kinesis:us-east-1:000000000000:stream/s"
}

fn horizon() -> Value {
    json!({"Type": "TRIM_HORIZON"})
}

fn latest() -> Value {
    json!({"Type": "LATEST"})
}

async fn see(subscription: &mut Subscription) -> Seen {
    let frame = match subscription.next().await {
        None => return Seen::End,
        Some(Err(error)) => return Seen::Broken(error.kind()),
        Some(Ok(frame)) => frame,
    };
    let message = read_message_from(frame).unwrap();
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name);
        found.map(|header| header.value().as_string().unwrap().as_str().to_owned())
    };
    assert_eq!(header(":content-type").as_deref(), Some("application/x-amz-json-1.1"));
    match (header(":event-type").as_deref(), header(":exception-type")) {
        (Some("initial-response"), _) => Seen::Initial,
        (Some("SubscribeToShardEvent"), _) => {
            Seen::Event(serde_json::from_slice(message.payload()).unwrap())
        }
        (_, Some(code)) => Seen::Exception(code),
        other => panic!("{other:?}"),
    }
}

/// What is there without anything further happening.
fn now(subscription: &mut Subscription) -> Option<Seen> {
    see(subscription).now_or_never()
}

async fn event(subscription: &mut Subscription) -> Value {
    match see(subscription).await {
        Seen::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn records_are_pushed_as_they_come() {
    let fan_out = FanOut::new().await;
    fan_out.rig.put("a");
    let last = fan_out.rig.put("b");
    fan_out.advance(SECOND);
    let mut subscription = fan_out.subscribe(&horizon()).await;
    let first = event(&mut subscription).await;
    assert_eq!(keys(&first), ["a", "b"]);
    assert_eq!(first["ContinuationSequenceNumber"], json!(last));
    assert_eq!((&first["MillisBehindLatest"], &first["ChildShards"]), (&json!(0), &Value::Null));
    assert_eq!(now(&mut subscription), None);
    fan_out.rig.put("c");
    assert_eq!(keys(&event(&mut subscription).await), ["c"]);
}

#[tokio::test]
async fn every_starting_position() {
    let fan_out = FanOut::new().await;
    fan_out.rig.put("a");
    fan_out.advance(SECOND);
    let at = fan_out.rig.clock.now_millis();
    let second = fan_out.rig.put("b");
    fan_out.rig.put("c");
    let at_seconds = Duration::from_millis(at).as_secs_f64();
    for (position, expect) in [
        (horizon(), &["a", "b", "c"][..]),
        (json!({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": second}), &["b", "c"]),
        (json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": second}), &["c"]),
        (json!({"Type": "AT_TIMESTAMP", "Timestamp": at_seconds}), &["b", "c"]),
        (latest(), &[]),
    ] {
        let mut subscription = fan_out.subscribe(&position).await;
        match now(&mut subscription) {
            None => assert!(expect.is_empty(), "{position}"),
            Some(Seen::Event(event)) => assert_eq!(keys(&event), expect, "{position}"),
            other => panic!("{other:?}"),
        }
        fan_out.advance(5 * SECOND);
    }
    for bad in [
        json!({"Type": "BOGUS"}),
        json!({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "x"}),
        json!({"Type": "AT_TIMESTAMP"}),
        json!({}),
    ] {
        let refused = fan_out.try_subscribe(&bad, None).err().unwrap().code;
        assert!(["ValidationException", "InvalidArgumentException"].contains(&refused), "{bad}");
    }
}

#[tokio::test]
async fn a_silent_shard_sends_empty_events_from_which_one_can_go_on() {
    let fan_out = FanOut::new().await;
    for position in [horizon(), latest()] {
        let mut subscription = fan_out.subscribe(&position).await;
        assert_eq!(now(&mut subscription), None);
        fan_out.advance(5 * SECOND);
        let empty = event(&mut subscription).await;
        assert_eq!((keys(&empty).len(), &empty["MillisBehindLatest"]), (0, &json!(0)));
        assert_eq!(now(&mut subscription), None);
        let put = fan_out.rig.put("a");
        fan_out.advance(5 * SECOND);
        let after = &empty["ContinuationSequenceNumber"];
        let next = json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after});
        let mut renewed = fan_out.subscribe(&next).await;
        let got = event(&mut renewed).await;
        assert_eq!(got["Records"][0]["SequenceNumber"], json!(put), "{position}");
        fan_out.advance(5 * SECOND);
    }
}

#[tokio::test]
async fn a_subscription_lasts_five_minutes_of_the_servers_clock() {
    let fan_out = FanOut::new().await;
    let mut subscription = fan_out.subscribe(&latest()).await;
    fan_out.advance(Duration::from_secs(299));
    event(&mut subscription).await;
    assert_eq!(now(&mut subscription), None);
    fan_out.advance(SECOND);
    assert_eq!(see(&mut subscription).await, Seen::End);
    assert_eq!(see(&mut subscription).await, Seen::End);
}

#[tokio::test]
async fn the_end_of_a_shard_names_its_children_and_ends_the_stream() {
    let fan_out = FanOut::new().await;
    fan_out.rig.put("a");
    let mut subscription = fan_out.subscribe(&latest()).await;
    fan_out.rig.put("b");
    fan_out.rig.split(FIRST, HALF);
    let mut replay = event(&mut subscription).await;
    assert_eq!(keys(&replay), ["b"]);
    fan_out.advance(5 * SECOND);
    for _ in 0..2 {
        let children = replay["ChildShards"].as_array().unwrap();
        let ids: Vec<_> = children.iter().map(|child| child["ShardId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
        assert_eq!(children[0]["ParentShards"], json!([FIRST]));
        assert_eq!(replay["ContinuationSequenceNumber"], Value::Null);
        assert_eq!(see(&mut subscription).await, Seen::End);
        // A closed shard is read to its end as well.
        subscription = fan_out.subscribe(&latest()).await;
        replay = event(&mut subscription).await;
        assert_eq!(keys(&replay).len(), 0);
        fan_out.advance(5 * SECOND);
    }
}

#[tokio::test]
async fn a_split_that_is_under_way_ends_the_subscription_when_it_takes_effect() {
    let rig = Rig::with(Limits::off(), SECOND).await;
    rig.ok(Operation::CreateStream, &json!({"StreamName": "s", "ShardCount": 1}));
    rig.clock.advance(SECOND);
    let fan_out = FanOut::on(rig);
    let creating = fan_out.try_subscribe(&latest(), None).err().unwrap();
    assert_eq!(creating.code, "ResourceInUseException");
    fan_out.advance(SECOND);
    let mut subscription = fan_out.subscribe(&latest()).await;
    fan_out.rig.split(FIRST, HALF);
    assert_eq!(now(&mut subscription), None, "UPDATING");
    fan_out.advance(SECOND);
    assert!(event(&mut subscription).await["ChildShards"].is_array());
}

#[tokio::test]
async fn a_second_subscriber_is_refused_for_five_seconds_and_then_takes_over() {
    let fan_out = FanOut::new().await;
    let mut first = fan_out.subscribe(&latest()).await;
    fan_out.advance(Duration::from_millis(4_999));
    let refused = fan_out.try_subscribe(&latest(), None).err().unwrap();
    assert_eq!(refused.code, "ResourceInUseException");
    assert_eq!(now(&mut first), None, "the first one goes on");
    fan_out.advance(Duration::from_millis(1));
    let mut second = fan_out.subscribe(&latest()).await;
    assert_eq!(see(&mut first).await, Seen::Exception("ResourceInUseException".to_owned()));
    assert_eq!(see(&mut first).await, Seen::End);
    fan_out.rig.put("a");
    assert_eq!(keys(&event(&mut second).await), ["a"]);
}

#[tokio::test]
async fn quotas_of_calls_and_bytes() {
    let rig = Rig::with(Limits { fan_out: true, ..Limits::off() }, Duration::ZERO).await;
    rig.ok(Operation::CreateStream, &json!({"StreamName": "s", "ShardCount": 1}));
    let fan_out = FanOut::on(rig);
    let big = json!({
        "StreamName": "s", "PartitionKey": "k", "Data": super::base64(&"x".repeat(900_000))
    });
    for _ in 0..4 {
        fan_out.rig.ok(Operation::PutRecord, &big);
    }
    let mut subscription = fan_out.subscribe(&horizon()).await;
    let hasty = fan_out.try_subscribe(&horizon(), None).err().unwrap();
    assert_eq!(hasty.code, "LimitExceededException");
    for behind in [0, 0, 0] {
        let got = event(&mut subscription).await;
        assert_eq!((keys(&got), &got["MillisBehindLatest"]), (vec!["k"], &json!(behind)));
    }
    assert_eq!(now(&mut subscription), None, "2 MiB have been pushed");
    fan_out.advance(SECOND);
    assert_eq!(keys(&event(&mut subscription).await), ["k"]);
}

#[tokio::test]
async fn a_record_of_ten_mebibytes_is_one_event() {
    let fan_out = FanOut::new().await;
    let request = json!({"StreamARN": arn(), "MaxRecordSizeInKiB": 10_240});
    fan_out.rig.ok(Operation::UpdateMaxRecordSize, &request);
    fan_out.rig.put(&"x".repeat(200));
    let data = super::base64(&"y".repeat(10 * 1024 * 1024 - 1));
    let record = json!({"StreamName": "s", "PartitionKey": "k", "Data": data});
    fan_out.rig.ok(Operation::PutRecord, &record);
    let mut subscription = fan_out.subscribe(&horizon()).await;
    event(&mut subscription).await;
    assert_eq!(event(&mut subscription).await["Records"][0]["Data"], json!(data));
}

#[tokio::test]
async fn what_is_gone_is_told_in_the_stream() {
    let gone = Seen::Exception("ResourceNotFoundException".to_owned());
    let fan_out = FanOut::new().await;
    let mut subscription = fan_out.subscribe(&latest()).await;
    let named = json!({"ConsumerARN": fan_out.consumer_arn});
    fan_out.rig.ok(Operation::DeregisterStreamConsumer, &named);
    assert_eq!(see(&mut subscription).await, gone);
    let refused = fan_out.try_subscribe(&latest(), None).err().unwrap();
    assert_eq!(refused.code, "ResourceNotFoundException");

    let fan_out = FanOut::new().await;
    let mut subscription = fan_out.subscribe(&latest()).await;
    let request = json!({"StreamName": "s", "EnforceConsumerDeletion": true});
    fan_out.rig.ok(Operation::DeleteStream, &request);
    assert_eq!(see(&mut subscription).await, gone);
}

#[tokio::test]
async fn faults_in_the_stream() {
    let fan_out = FanOut::new().await;
    let check = async |fault, expect: &[Seen]| {
        fan_out.rig.put("a");
        let mut subscription = fan_out.subscribe_with(&horizon(), Some(fault)).await;
        event(&mut subscription).await;
        for expect in expect {
            assert_eq!(see(&mut subscription).await, *expect);
        }
        fan_out.advance(5 * SECOND);
        subscription
    };
    let after = |kind| StreamFault::after(1, kind);
    let aborted = Seen::Broken(io::ErrorKind::ConnectionAborted);
    check(after(StreamFaultKind::Cut), &[aborted, Seen::End]).await;
    check(after(StreamFaultKind::End), &[Seen::End]).await;
    let code = "InternalFailureException";
    check(after(StreamFaultKind::Fail(code)), &[Seen::Exception(code.to_owned()), Seen::End]).await;
    let mut stalled = check(after(StreamFaultKind::Stall), &[]).await;
    assert_eq!(now(&mut stalled), None);

    // The end of the shard is hidden.
    fan_out.rig.split(FIRST, HALF);
    let end = StreamFault::at_end;
    check(end(StreamFaultKind::Cut), &[Seen::Broken(io::ErrorKind::ConnectionAborted)]).await;
    let mut idle = check(end(StreamFaultKind::Idle), &[]).await;
    let empty = event(&mut idle).await;
    assert_eq!((keys(&empty).len(), &empty["ChildShards"]), (0, &Value::Null));
    fan_out.advance(Duration::from_secs(295));
    assert_eq!(see(&mut idle).await, Seen::End);
}

#[tokio::test]
async fn a_server_that_shuts_down_ends_its_subscriptions() {
    let fan_out = FanOut::new().await;
    let mut subscription = fan_out.subscribe(&latest()).await;
    fan_out.rig.server.shutdown().await;
    assert_eq!(see(&mut subscription).await, Seen::End);
}

#[tokio::test]
async fn consumers_are_described_listed_and_in_the_way_of_a_deletion() {
    let fan_out = FanOut::new().await;
    let rig = &fan_out.rig;
    let described = |request: &Value| {
        let answer = rig.ok(Operation::DescribeStreamConsumer, request);
        answer["ConsumerDescription"].clone()
    };
    let by_arn = described(&json!({"ConsumerARN": fan_out.consumer_arn}));
    assert_eq!(by_arn, described(&json!({"StreamARN": arn(), "ConsumerName": "app"})));
    assert_eq!(
        (&by_arn["ConsumerStatus"], &by_arn["StreamARN"]),
        (&json!("ACTIVE"), &json!(arn()))
    );
    for (request, code) in [
        (json!({"ConsumerName": "app"}), "InvalidArgumentException"),
        (json!({"StreamARN": arn(), "ConsumerName": "other"}), "ResourceNotFoundException"),
        (json!({"ConsumerARN": format!("{}9", fan_out.consumer_arn)}), "ResourceNotFoundException"),
        (
            json!({"ConsumerARN": fan_out.consumer_arn, "ConsumerName": "x"}),
            "InvalidArgumentException",
        ),
        (json!({"ConsumerARN": "app"}), "ValidationException"),
    ] {
        assert_eq!(rig.refusal(Operation::DescribeStreamConsumer, &request), code, "{request}");
    }
    let again = json!({"StreamARN": arn(), "ConsumerName": "app"});
    assert_eq!(rig.refusal(Operation::RegisterStreamConsumer, &again), "ResourceInUseException");
    let summary = rig.ok(Operation::DescribeStreamSummary, &json!({"StreamName": "s"}));
    assert_eq!(summary["StreamDescriptionSummary"]["ConsumerCount"], json!(1));
    let delete = json!({"StreamName": "s"});
    assert_eq!(rig.refusal(Operation::DeleteStream, &delete), "ResourceInUseException");

    for name in ["b", "c"] {
        let request = json!({"StreamARN": arn(), "ConsumerName": name});
        rig.ok(Operation::RegisterStreamConsumer, &request);
    }
    let mut listed = Vec::new();
    let mut token = None;
    loop {
        let mut request = json!({"StreamARN": arn(), "MaxResults": 2});
        if let Some(token) = token {
            request["NextToken"] = token;
        }
        let page = rig.ok(Operation::ListStreamConsumers, &request);
        let consumers = page["Consumers"].as_array().unwrap();
        listed.extend(consumers.iter().map(|one| one["ConsumerName"].as_str().unwrap().to_owned()));
        token = page.get("NextToken").cloned();
        if token.is_none() {
            break;
        }
    }
    assert_eq!(listed, ["app", "b", "c"]);
}
