//! Shards that end, and the shards that go on.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use shardwright::{
    model::{HashKey, HashKeyRange, Shard, ShardId},
    ports::{StartAt, StreamReader},
};

use super::{
    Counterpart, OwnedStream,
    deviations::{Deviation, check},
    drain::{ALL, Drained, drain, drain_from},
    only_shard, put_numbers,
};

/// Points all over the key space, both ends among them.
fn keys() -> Vec<HashKey> {
    let parts = (0..8).map(|part| HashKey(u128::MAX / 8 * part));
    parts.chain([HashKey(u128::MAX)]).collect()
}

/// A listing is longer than a page of 100 shards, and lacks none.
pub(crate) async fn a_fresh_stream_lists_all_its_shards(kinesis: &impl Counterpart) {
    let stream = kinesis.create(120).await;
    let shards = stream.reader().shards().await.unwrap();
    let ids: BTreeSet<_> = shards.iter().map(|shard| &shard.id).collect();
    assert_eq!((shards.len(), ids.len()), (120, 120));
    assert!(shards.iter().all(|shard| shard.open && shard.parents.is_empty()));
    check_open_shards(&shards);
}

/// The open shards take every key, and none twice.
fn check_open_shards(shards: &[Shard]) {
    let open = shards.iter().filter(|shard| shard.open);
    let mut ranges: Vec<_> = open.map(|shard| shard.hash_range.unwrap()).collect();
    ranges.sort_unstable();
    assert_eq!(ranges.first().unwrap().start, HashKey(0));
    assert_eq!(ranges.last().unwrap().end, HashKey(u128::MAX));
    assert!(ranges.is_sorted_by(|low, high| low.end.0 + 1 == high.start.0), "{ranges:?}");
}

async fn listed(reader: &dyn StreamReader) -> BTreeMap<ShardId, Shard> {
    let shards = reader.shards().await.unwrap();
    shards.into_iter().map(|shard| (shard.id.clone(), shard)).collect()
}

fn children_of<'s>(shards: &'s BTreeMap<ShardId, Shard>, parent: &ShardId) -> Vec<&'s Shard> {
    shards.values().filter(|shard| shard.parents.contains(parent)).collect()
}

fn sorted(shards: &[ShardId]) -> Vec<&ShardId> {
    let mut shards: Vec<_> = shards.iter().collect();
    shards.sort();
    shards
}

/// A shard was read to its end: the last page is at the tip, and names the children as they are
/// listed.
fn check_end(name: super::Name, read: &Drained, listed: &[&Shard]) {
    assert!(read.ended, "a closed shard ends");
    check(name, Deviation::BehindAtTheEnd, read.behind.is_zero());
    check(name, Deviation::ChildrenUnnamed, !read.children.is_empty());
    if read.children.is_empty() {
        return;
    }
    let mut named = read.children.clone();
    named.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(named.len(), listed.len());
    for (child, listed) in named.iter().zip(listed) {
        assert_eq!((&child.id, child.hash_range), (&listed.id, listed.hash_range));
        assert_eq!(sorted(&child.parents), sorted(&listed.parents));
    }
}

/// A shard that is split keeps its records, ends after the last of them, and its two children share
/// its keys.
pub(crate) async fn a_split_shard_ends_and_names_its_children(kinesis: &impl Counterpart) {
    let stream = kinesis.create(1).await;
    let (reader, parent) = (stream.reader(), only_shard(&stream).await);
    put_numbers(&stream, 0..5).await;
    let tip = reader.iterator(&parent, &StartAt::Latest).await.unwrap();
    stream.split(&parent).await;
    for key in keys() {
        stream.put(key, Bytes::from(key.0.to_string())).await;
    }

    let shards = listed(reader).await;
    let children = children_of(&shards, &parent);
    assert_eq!((shards.len(), children.len()), (3, 2));
    assert!(!shards[&parent].open && children.iter().all(|child| child.open));
    check_open_shards(&shards.values().cloned().collect::<Vec<_>>());

    let start = reader.iterator(&parent, &StartAt::TrimHorizon).await.unwrap();
    let read = drain(reader, start, 2).await;
    assert_eq!(read.payloads(), ["0", "1", "2", "3", "4"]);
    check_end(stream.counterpart(), &read, &children);
    let rest = drain(reader, tip, ALL).await;
    assert_eq!(rest.payloads(), [""; 0], "it was asked for at the tip, before the split");
    check_end(stream.counterpart(), &rest, &children);

    for child in children {
        let range = child.hash_range.unwrap();
        let own = keys().into_iter().filter(|key| range.contains(*key));
        let read = drain_from(reader, &child.id, &StartAt::TrimHorizon).await;
        assert_eq!(read.payloads(), own.map(|key| key.0.to_string()).collect::<Vec<_>>());
        assert!(!read.ended);
    }
}

/// Two shards that are merged both end, and both name the one child, which names them both.
pub(crate) async fn a_merged_pair_ends_in_one_child(kinesis: &impl Counterpart) {
    let stream = kinesis.create(2).await;
    let reader = stream.reader();
    for key in keys() {
        stream.put(key, Bytes::from_static(b"before")).await;
    }
    let [low, high] = &open(reader).await[..] else { panic!("not two shards") };
    stream.merge(low, high).await;
    for key in keys() {
        stream.put(key, Bytes::from_static(b"after")).await;
    }

    let shards = listed(reader).await;
    let children = children_of(&shards, low);
    assert_eq!(children, children_of(&shards, high));
    let [child] = children[..] else { panic!("{children:?}") };
    assert_eq!(child.hash_range, HashKeyRange::parse("0", &u128::MAX.to_string()));
    let mut before = Vec::new();
    for parent in [low, high] {
        let read = drain_from(reader, parent, &StartAt::TrimHorizon).await;
        before.extend(read.payloads());
        check_end(stream.counterpart(), &read, &children);
    }
    assert_eq!(before, vec!["before"; keys().len()]);
    let read = drain_from(reader, &child.id, &StartAt::TrimHorizon).await;
    assert_eq!((read.payloads(), read.ended), (vec!["after".to_owned(); keys().len()], false));
}

/// A worker that comes back finds the end from wherever it stopped.
pub(crate) async fn a_closed_shard_can_be_read_from_anywhere(kinesis: &impl Counterpart) {
    let stream = kinesis.create(1).await;
    let (reader, parent) = (stream.reader(), only_shard(&stream).await);
    put_numbers(&stream, 0..5).await;
    stream.split(&parent).await;
    let shards = listed(reader).await;
    let children = children_of(&shards, &parent);

    let all = drain_from(reader, &parent, &StartAt::TrimHorizon).await.records;
    let numbers = ["0", "1", "2", "3", "4"];
    let (second, last) = (&all[1].sequence, &all[4].sequence);
    for (start, expect) in [
        (StartAt::TrimHorizon, &numbers[..]),
        (StartAt::Timestamp(all[0].arrival), &numbers[..]),
        (StartAt::At(second.clone()), &numbers[1..]),
        (StartAt::After(second.clone()), &numbers[2..]),
        (StartAt::At(last.clone()), &numbers[4..]),
        (StartAt::After(last.clone()), &[]),
        (StartAt::Latest, &[]),
    ] {
        let read = drain_from(reader, &parent, &start).await;
        assert_eq!(read.payloads(), expect, "{start:?}");
        check_end(stream.counterpart(), &read, &children);
    }
}

/// The open shards in the order of their keys.
async fn open(reader: &dyn StreamReader) -> Vec<ShardId> {
    let mut open = reader.shards().await.unwrap();
    open.retain(|shard| shard.open);
    open.sort_by_key(|shard| shard.hash_range);
    open.into_iter().map(|shard| shard.id).collect()
}

/// Splits and merges on top of each other, with records between them: read parents first, every key
/// has its records in the order in which they were put, and no record is there twice.
pub(crate) async fn generations_are_read_in_order(kinesis: &impl Counterpart) {
    let stream = kinesis.create(2).await;
    let reader = stream.reader();
    let mut generations = 0;
    let mut put_generation = async || {
        for key in keys() {
            stream.put(key, Bytes::from(format!("{}={generations}", key.0))).await;
        }
        generations += 1;
    };
    put_generation().await;
    for reshard in ["split 0", "merge 1", "split 1", "merge 0", "split 0", "merge 0"] {
        let (what, index) = reshard.split_once(' ').unwrap();
        let shards = open(reader).await.split_off(index.parse().unwrap());
        match what {
            "split" => stream.split(&shards[0]).await,
            _ => stream.merge(&shards[0], &shards[1]).await,
        }
        put_generation().await;
    }

    let mut waiting = listed(reader).await;
    check_open_shards(&waiting.values().cloned().collect::<Vec<_>>());
    let known = waiting.clone();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while !waiting.is_empty() {
        let ready = waiting
            .iter()
            .find(|(_, shard)| !shard.parents.iter().any(|parent| waiting.contains_key(parent)));
        let shard = ready.expect("lineage has no circles").1.clone();
        waiting.remove(&shard.id);
        let read = drain_from(reader, &shard.id, &StartAt::TrimHorizon).await;
        for payload in read.payloads() {
            let (key, generation) = payload.split_once('=').unwrap();
            seen.entry(key.to_owned()).or_default().push(generation.to_owned());
        }
        match shard.open {
            true => assert!(!read.ended && read.children.is_empty(), "{shard:?}"),
            false => check_end(stream.counterpart(), &read, &children_of(&known, &shard.id)),
        }
    }
    let expect: Vec<_> = (0..generations).map(|number: u32| number.to_string()).collect();
    assert_eq!(seen.len(), keys().len());
    for (key, order) in seen {
        assert_eq!(order, expect, "key {key}");
    }
}
