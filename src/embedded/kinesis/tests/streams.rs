//! Listing shards and the windows of changes.

use std::time::Duration;

use serde_json::json;

use super::super::*;
use super::{FIRST, HOUR, Rig, numbers};

#[tokio::test]
async fn shards_are_listed_in_pages_and_by_filter() {
    let rig = Rig::new(3).await;
    let before = rig.server_seconds();
    rig.clock.advance(HOUR);
    rig.split(FIRST, 77);
    let after = rig.server_seconds();
    rig.clock.advance(HOUR);
    let by_time = |kind, at| rig.shards(json!({"ShardFilter": {"Type": kind, "Timestamp": at}}));
    assert_eq!(rig.filtered("AT_LATEST"), [1, 2, 3, 4]);
    assert_eq!(rig.filtered("AT_TRIM_HORIZON"), [0, 1, 2]);
    assert_eq!(rig.filtered("FROM_TRIM_HORIZON"), [0, 1, 2, 3, 4]);
    assert_eq!(by_time("AT_TIMESTAMP", before), [0, 1, 2]);
    assert_eq!(by_time("AT_TIMESTAMP", after), [1, 2, 3, 4]);
    assert_eq!(by_time("FROM_TIMESTAMP", before), [0, 1, 2, 3, 4]);
    assert_eq!(by_time("FROM_TIMESTAMP", after), [1, 2, 3, 4]);
    let two = "shardId-000000000002";
    assert_eq!(rig.shards(json!({"ExclusiveStartShardId": two})), [3, 4]);
    let after_two = json!({"ShardFilter": {"Type": "AFTER_SHARD_ID", "ShardId": two}});
    assert_eq!(rig.shards(after_two), [3, 4]);

    let latest = json!({"StreamName": "s", "MaxResults": 3, "ShardFilter": {"Type": "AT_LATEST"}});
    let page = rig.ok(Operation::ListShards, &latest);
    let next = json!({"NextToken": page["NextToken"], "MaxResults": 3});
    let rest = rig.ok(Operation::ListShards, &next);
    assert_eq!((numbers(&page), numbers(&rest)), (vec![1, 2, 3], vec![4]));
    assert!(rest["NextToken"].is_null());
    rig.clock.advance(Duration::from_secs(301));
    assert_eq!(rig.refusal(Operation::ListShards, &next), "ExpiredNextTokenException");
}

#[tokio::test]
async fn changes_take_effect_at_the_end_of_their_window() {
    let rig = Rig::with(Limits::off(), Duration::from_secs(10)).await;
    let status = || {
        let answer = rig.ok(Operation::DescribeStreamSummary, &json!({"StreamName": "s"}));
        answer["StreamDescriptionSummary"]["StreamStatus"].as_str().unwrap().to_owned()
    };
    let window = || rig.clock.advance(Duration::from_secs(10));
    rig.ok(Operation::CreateStream, &json!({"StreamName": "s", "ShardCount": 1}));
    assert_eq!(status(), "CREATING");
    let record = json!({"StreamName": "s", "Data": "", "PartitionKey": "k"});
    assert_eq!(rig.refusal(Operation::PutRecord, &record), "ResourceNotFoundException");
    window();
    assert_eq!(status(), "ACTIVE");
    rig.split(FIRST, 1 << 127);
    assert_eq!((status().as_str(), rig.shards(json!({}))), ("UPDATING", vec![0]));
    rig.put("still the parent's");
    let again = json!({"StreamName": "s", "ShardToSplit": FIRST, "NewStartingHashKey": "77"});
    assert_eq!(rig.refusal(Operation::SplitShard, &again), "ResourceInUseException");
    window();
    assert_eq!((status().as_str(), rig.shards(json!({}))), ("ACTIVE", vec![0, 1, 2]));
    assert_eq!(rig.server.records("s")[0].shard_id, FIRST);
    rig.ok(Operation::DeleteStream, &json!({"StreamName": "s"}));
    assert_eq!(status(), "DELETING");
    window();
    let gone = rig.refusal(Operation::DescribeStream, &json!({"StreamName": "s"}));
    assert_eq!(gone, "ResourceNotFoundException");
}

#[tokio::test]
async fn tags_of_streams_and_consumers() {
    let rig = Rig::new(1).await;
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let registered = json!({"StreamARN": arn, "ConsumerName": "app", "Tags": {"own": "1"}});
    let consumer = rig.ok(Operation::RegisterStreamConsumer, &registered);
    let consumer = consumer["Consumer"]["ConsumerARN"].clone();
    let tags = json!({"StreamName": "s", "Tags": {"a": "1", "b": "2", "c": ""}});
    rig.ok(Operation::AddTagsToStream, &tags);
    rig.ok(Operation::TagResource, &json!({"ResourceARN": arn, "Tags": {"b": "3"}}));
    rig.ok(Operation::RemoveTagsFromStream, &json!({"StreamName": "s", "TagKeys": ["c", "x"]}));
    let page = rig.ok(Operation::ListTagsForStream, &json!({"StreamName": "s", "Limit": 1}));
    assert_eq!(page, json!({"Tags": [{"Key": "a", "Value": "1"}], "HasMoreTags": true}));
    let next = json!({"StreamName": "s", "ExclusiveStartTagKey": "a"});
    let page = rig.ok(Operation::ListTagsForStream, &next);
    assert_eq!(page, json!({"Tags": [{"Key": "b", "Value": "3"}], "HasMoreTags": false}));

    rig.ok(Operation::TagResource, &json!({"ResourceARN": consumer, "Tags": {"more": "2"}}));
    rig.ok(Operation::UntagResource, &json!({"ResourceARN": consumer, "TagKeys": ["own"]}));
    let own = rig.ok(Operation::ListTagsForResource, &json!({"ResourceARN": consumer}));
    assert_eq!(own, json!({"Tags": [{"Key": "more", "Value": "2"}]}));

    let many: serde_json::Map<_, _> = (0..49).map(|n| (format!("k{n}"), json!("v"))).collect();
    let many = json!({"StreamName": "s", "Tags": many});
    assert_eq!(rig.refusal(Operation::AddTagsToStream, &many), "LimitExceededException");
    let long = json!({"StreamName": "s", "Tags": {"k".repeat(129): "v"}});
    assert_eq!(rig.refusal(Operation::AddTagsToStream, &long), "ValidationException");
}

#[tokio::test]
async fn an_encrypted_stream_says_so() {
    let rig = Rig::new(1).await;
    let described = || {
        let answer = rig.ok(Operation::DescribeStreamSummary, &json!({"StreamName": "s"}));
        let summary = &answer["StreamDescriptionSummary"];
        (summary["EncryptionType"].clone(), summary["KeyId"].clone())
    };
    let key = json!({"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    rig.ok(Operation::StartStreamEncryption, &key);
    assert_eq!(described(), (json!("KMS"), json!("alias/aws/kinesis")));
    rig.ok(Operation::StopStreamEncryption, &key);
    assert_eq!(described(), (json!("NONE"), serde_json::Value::Null));
    let odd = json!({"StreamName": "s", "EncryptionType": "ROT13", "KeyId": "k"});
    assert_eq!(rig.refusal(Operation::StartStreamEncryption, &odd), "ValidationException");
}
