//! What is refused, and by which name.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::{FIRST, Rig, base64};

#[tokio::test]
async fn quotas_are_per_shard_and_come_back_with_time() {
    let rig = Rig::with(Limits::enforced(), Duration::ZERO).await;
    rig.ok(Operation::CreateStream, &json!({"StreamName": "s", "ShardCount": 2}));
    let entries = |count| {
        let entry = |i: u32| {
            let hash = if i.is_multiple_of(2) { 0 } else { u128::MAX };
            json!({"Data": "", "PartitionKey": "k", "ExplicitHashKey": hash.to_string()})
        };
        json!({"StreamName": "s", "Records": (0..count).map(entry).collect::<Vec<_>>()})
    };
    let failed = |answer: Value| answer["FailedRecordCount"].as_u64().unwrap();
    for _ in 0..4 {
        assert_eq!(failed(rig.ok(Operation::PutRecords, &entries(500))), 0);
    }
    let answer = rig.ok(Operation::PutRecords, &entries(3));
    let code = &answer["Records"][0]["ErrorCode"];
    assert_eq!(code, "ProvisionedThroughputExceededException");
    assert_eq!(failed(answer), 3);

    let iterator = rig.iterator(FIRST, "TRIM_HORIZON");
    let request = json!({"ShardIterator": iterator, "Limit": 1});
    for _ in 0..5 {
        rig.ok(Operation::GetRecords, &request);
    }
    let refused = rig.refusal(Operation::GetRecords, &request);
    assert_eq!(refused, "ProvisionedThroughputExceededException");
    rig.read(&rig.iterator("shardId-000000000001", "TRIM_HORIZON"), 1);
    rig.clock.advance(Duration::from_secs(1));
    rig.ok(Operation::GetRecords, &request);
    assert_eq!(failed(rig.ok(Operation::PutRecords, &entries(500))), 0);
    assert_eq!(rig.server.records("s").len(), 2500);
}

/// Compares the name of a refusal; "none" is a call that passes.
fn check(rig: &Rig, operation: Operation, request: &Value, expect: &str) {
    let refusal = rig.server.call(operation, request).err();
    assert_eq!(refusal.map_or("none", |error| error.code), expect, "{operation} {request}");
}

#[tokio::test]
async fn mistakes_about_streams() {
    let rig = Rig::new(2).await;
    let describe = |request, expect| check(&rig, Operation::DescribeStream, &request, expect);
    describe(json!({}), "InvalidArgumentException");
    describe(json!({"StreamName": "t"}), "ResourceNotFoundException");
    describe(json!({"StreamName": 7}), "SerializationException");
    describe(json!({"StreamName": "s", "Limit": 0}), "ValidationException");
    describe(json!({"StreamARN": "s"}), "ValidationException");
    let arn = |account: &str| format!("arn:aws:kinesis:us-east-1:{account}:stream/s");
    describe(json!({"StreamARN": arn("000000000000")}), "none");
    describe(json!({"StreamARN": arn("999999999999")}), "ResourceNotFoundException");
    let both = json!({"StreamARN": arn("000000000000"), "StreamName": "t"});
    describe(both, "InvalidArgumentException");

    let create = |name: &str, shards: u32, expect| {
        let request = json!({"StreamName": name, "ShardCount": shards});
        check(&rig, Operation::CreateStream, &request, expect);
    };
    create("s", 1, "ResourceInUseException");
    create("a b", 1, "ValidationException");
    create("", 1, "ValidationException");
    create("t", 0, "ValidationException");
    create("t", 99_999, "LimitExceededException");

    let resize = |target: u32, expect| {
        let request = json!({"StreamName": "s", "TargetShardCount": target,
            "ScalingType": "UNIFORM_SCALING"});
        check(&rig, Operation::UpdateShardCount, &request, expect);
    };
    resize(0, "ValidationException");
    resize(5, "InvalidArgumentException");
    resize(4, "none");
    resize(1, "InvalidArgumentException");

    let list = |request, expect| check(&rig, Operation::ListShards, &request, expect);
    list(json!({"NextToken": "x"}), "InvalidArgumentException");
    list(json!({"StreamName": "s", "NextToken": "x"}), "InvalidArgumentException");
    list(json!({"StreamName": "s", "ShardFilter": {"Type": "X"}}), "ValidationException");
}

#[tokio::test]
async fn mistakes_about_positions() {
    let rig = Rig::new(2).await;
    let number = rig.put("a");
    let of_second = |request: &mut Value| request["ShardId"] = json!("shardId-000000000001");
    let at = |text: &str| {
        json!({"StreamName": "s", "ShardId": FIRST, "ShardIteratorType": "AT_SEQUENCE_NUMBER",
            "StartingSequenceNumber": text})
    };
    let iterator = |request, expect| check(&rig, Operation::GetShardIterator, &request, expect);
    iterator(at(&number), "none");
    iterator(at("abc"), "ValidationException");
    iterator(at("0"), "InvalidArgumentException");
    iterator(at(&format!("49{}", "9".repeat(54))), "InvalidArgumentException");
    let mut elsewhere = at(&number);
    of_second(&mut elsewhere);
    iterator(elsewhere, "InvalidArgumentException");
    let kind = |kind: &str, time: u64| json!({"StreamName": "s", "ShardId": FIRST, "ShardIteratorType": kind, "Timestamp": time});
    iterator(kind("BOGUS", 0), "ValidationException");
    iterator(kind("AT_TIMESTAMP", rig.server_seconds()), "none");
    iterator(kind("AT_TIMESTAMP", rig.server_seconds() + 1), "InvalidArgumentException");

    let latest = rig.iterator(FIRST, "LATEST");
    let read = |request, expect| check(&rig, Operation::GetRecords, &request, expect);
    read(json!({"ShardIterator": "x"}), "InvalidArgumentException");
    read(json!({"ShardIterator": latest, "Limit": 10_000}), "none");
    read(json!({"ShardIterator": latest, "Limit": 10_001}), "ValidationException");
}

#[tokio::test]
async fn mistakes_about_records() {
    let rig = Rig::new(1).await;
    let put = |key: &str, hash: &str, expect| {
        let request = json!({"StreamName": "s", "Data": "", "PartitionKey": key,
            "ExplicitHashKey": hash});
        check(&rig, Operation::PutRecord, &request, expect);
    };
    put(&"k".repeat(256), "0", "none");
    put(&"k".repeat(257), "0", "ValidationException");
    put("", "0", "ValidationException");
    put("k", "00", "ValidationException");
    put("k", "-1", "ValidationException");
    put("k", &u128::MAX.to_string(), "none");
    put("k", "340282366920938463463374607431768211456", "InvalidArgumentException");

    let records = |records: Vec<Value>, expect| {
        let request = json!({"StreamName": "s", "Records": records});
        check(&rig, Operation::PutRecords, &request, expect);
    };
    let entry = |bytes: usize| json!({"Data": base64(&"x".repeat(bytes)), "PartitionKey": "k"});
    let mib = 1024 * 1024;
    records(vec![], "ValidationException");
    records(vec![entry(0); 500], "none");
    records(vec![entry(0); 501], "ValidationException");
    records(vec![entry(mib - 1); 10], "none");
    records(vec![entry(mib - 1), entry(mib)], "InvalidArgumentException");
    records(vec![entry(mib - 1); 11], "InvalidArgumentException");
}

#[tokio::test]
async fn a_fault_on_a_shard_fails_its_entries_alone() {
    let rig = Rig::new(2).await;
    let rule = FaultRule::on(Operation::PutRecords, FaultKind::Throttle).shard(FIRST).times(1);
    let id = rig.server.faults().add(rule);
    let entry =
        |hash: u128| json!({"Data": "", "PartitionKey": "k", "ExplicitHashKey": hash.to_string()});
    let records = [entry(u128::MAX), entry(0), entry(0)];
    let answer = rig.ok(Operation::PutRecords, &json!({"StreamName": "s", "Records": records}));
    let failed = |i: usize| answer["Records"][i]["ErrorCode"].is_string();
    assert_eq!([0, 1, 2].map(failed), [false, true, false]);
    assert_eq!((rig.server.faults().fired(id), rig.server.records("s").len()), (1, 2));
}
