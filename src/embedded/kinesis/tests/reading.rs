//! Iterators, pages, lag and retention.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::{FIRST, HOUR, Rig, keys};

#[tokio::test]
async fn an_iterator_is_reusable_for_five_minutes() {
    let rig = Rig::new(1).await;
    rig.put("a");
    let iterator = rig.iterator(FIRST, "TRIM_HORIZON");
    rig.clock.advance(Duration::from_mins(5));
    for _ in 0..2 {
        assert_eq!(keys(&rig.read(&iterator, 10)), ["a"]);
    }
    rig.clock.advance(Duration::from_millis(1));
    let request = json!({"ShardIterator": iterator});
    assert_eq!(rig.refusal(Operation::GetRecords, &request), "ExpiredIteratorException");
}

#[tokio::test]
async fn retention_trims_records_and_hides_shards_closed_before_it() {
    let rig = Rig::new(1).await;
    rig.put("old");
    let last_old = rig.put("old too");
    rig.clock.advance(HOUR);
    rig.split(FIRST, 1 << 127);
    rig.put("young");
    assert_eq!(keys(&rig.read(&rig.iterator(FIRST, "TRIM_HORIZON"), 10)).len(), 2);

    // The parent's records are gone; the parent is listed until it has been closed for 24 hours.
    rig.clock.advance(23 * HOUR + Duration::from_secs(1));
    assert_eq!(keys(&rig.read(&rig.iterator(FIRST, "TRIM_HORIZON"), 10)).len(), 0);
    let at = json!({"StreamName": "s", "ShardId": FIRST, "StartingSequenceNumber": last_old,
        "ShardIteratorType": "AT_SEQUENCE_NUMBER"});
    rig.ok(Operation::GetShardIterator, &at);
    assert_eq!(rig.shards(json!({})), [0, 1, 2]);
    assert_eq!(rig.filtered("AT_TRIM_HORIZON"), [0]);
    rig.clock.advance(HOUR);
    assert_eq!(rig.shards(json!({})), [1, 2]);
    assert_eq!(rig.filtered("AT_TRIM_HORIZON"), [1, 2]);
    assert_eq!(rig.server.records("s"), []);
    let gone = json!({"StreamName": "s", "ShardId": FIRST, "ShardIteratorType": "TRIM_HORIZON"});
    assert_eq!(rig.refusal(Operation::GetShardIterator, &gone), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_longer_retention_keeps_records_and_a_shorter_one_drops_them() {
    let rig = Rig::new(1).await;
    let hours = |hours| json!({"StreamName": "s", "RetentionPeriodHours": hours});
    rig.ok(Operation::IncreaseStreamRetentionPeriod, &hours(48));
    rig.put("a");
    rig.clock.advance(47 * HOUR);
    assert_eq!(rig.server.records("s").len(), 1);
    let refused = rig.refusal(Operation::IncreaseStreamRetentionPeriod, &hours(24));
    assert_eq!(refused, "InvalidArgumentException");
    rig.ok(Operation::DecreaseStreamRetentionPeriod, &hours(24));
    assert_eq!(rig.server.records("s"), []);
}

#[tokio::test]
async fn lag_is_the_age_of_the_next_unread_record() {
    let rig = Rig::new(1).await;
    rig.put("a");
    rig.clock.advance(Duration::from_secs(5));
    rig.put("b");
    rig.clock.advance(Duration::from_secs(2));
    let page = rig.read(&rig.iterator(FIRST, "TRIM_HORIZON"), 1);
    assert_eq!((keys(&page), &page["MillisBehindLatest"]), (vec!["a"], &json!(2000)));
    let page = rig.read(page["NextShardIterator"].as_str().unwrap(), 1);
    assert_eq!((keys(&page), &page["MillisBehindLatest"]), (vec!["b"], &json!(0)));
    assert!(page["NextShardIterator"].is_string());
}

#[tokio::test]
async fn a_closed_shard_is_read_to_its_end_and_names_its_children() {
    let rig = Rig::new(1).await;
    rig.put("a");
    rig.put("b");
    let latest = rig.iterator(FIRST, "LATEST");
    rig.split(FIRST, 1 << 127);
    rig.put("c");
    let page = rig.read(&rig.iterator(FIRST, "TRIM_HORIZON"), 1);
    assert!(page["ChildShards"].is_null(), "only the last page names them");
    let last = rig.read(page["NextShardIterator"].as_str().unwrap(), 1);
    assert_eq!((keys(&last), &last["NextShardIterator"]), (vec!["b"], &Value::Null));
    assert_eq!(last["MillisBehindLatest"], 0);
    let half = |id: &str, start: u128, end: u128| {
        json!({"ShardId": id, "ParentShards": [FIRST], "HashKeyRange":
            {"StartingHashKey": start.to_string(), "EndingHashKey": end.to_string()}})
    };
    let children = json!([
        half("shardId-000000000001", 0, (1 << 127) - 1),
        half("shardId-000000000002", 1 << 127, u128::MAX),
    ]);
    assert_eq!(last["ChildShards"], children);
    let at_end = rig.read(&latest, 10);
    assert_eq!((keys(&at_end), &at_end["ChildShards"]), (vec![], &children));
}

#[tokio::test]
async fn a_stream_of_the_same_name_is_another_stream() {
    let rig = Rig::new(1).await;
    let iterator = rig.iterator(FIRST, "TRIM_HORIZON");
    rig.ok(Operation::DeleteStream, &json!({"StreamName": "s"}));
    rig.ok(Operation::CreateStream, &json!({"StreamName": "s", "ShardCount": 1}));
    let refused = rig.refusal(Operation::GetRecords, &json!({"ShardIterator": iterator}));
    assert_eq!(refused, "ResourceNotFoundException");
}
