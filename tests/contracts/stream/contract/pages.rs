//! Pages.

use bytes::Bytes;
use shardwright::{model::HashKey, ports::StartAt};

use super::{
    Counterpart, OwnedStream,
    deviations::{Deviation, check},
    drain::{ALL, drain},
    only_shard, put_numbers,
};

/// A page has at most as many records as were asked for, and says whether more are there.
pub(crate) async fn a_page_holds_what_was_asked_for_and_says_how_far_behind_it_is(
    kinesis: &impl Counterpart,
) {
    let stream = kinesis.create(1).await;
    let (reader, shard) = (stream.reader(), only_shard(&stream).await);
    put_numbers(&stream, 0..25).await;
    for limit in [1, 7, ALL] {
        let at = reader.iterator(&shard, &StartAt::TrimHorizon).await.unwrap();
        let read = drain(reader, at, limit).await;
        assert_eq!(read.payloads(), (0..25).map(|n: u32| n.to_string()).collect::<Vec<_>>());
        assert!(read.pages.iter().all(|records| *records <= limit as usize), "{:?}", read.pages);
        assert!(read.behind.is_zero(), "at the tip");
        assert!(read.records.is_sorted_by_key(|record| &record.sequence));
        assert!(read.records.is_sorted_by_key(|record| record.arrival));
    }
    let at = reader.iterator(&shard, &StartAt::TrimHorizon).await.unwrap();
    let first = reader.records(&at, 1).await.unwrap();
    check(stream.counterpart(), Deviation::NeverBehind, !first.behind_latest.is_zero());
}

/// A page ends before 10 MiB of payloads.
pub(crate) async fn a_page_holds_at_most_10_mib(kinesis: &impl Counterpart) {
    const RECORD: usize = 1_000_000;
    let stream = kinesis.create(1).await;
    let (reader, shard) = (stream.reader(), only_shard(&stream).await);
    for _ in 0..11 {
        stream.put(HashKey(7), Bytes::from(vec![b'x'; RECORD])).await;
    }
    let at = reader.iterator(&shard, &StartAt::TrimHorizon).await.unwrap();
    let read = drain(reader, at, ALL).await;
    assert_eq!(read.records.len(), 11);
    assert!(read.records.iter().all(|record| record.data.len() == RECORD));
    let largest = read.pages.iter().max().unwrap() * RECORD;
    check(stream.counterpart(), Deviation::PagesBeyond10Mib, largest <= 10 * 1024 * 1024);
}

/// After an answer that was lost the same place gives the same records.
pub(crate) async fn a_place_can_be_read_again(kinesis: &impl Counterpart) {
    let stream = kinesis.create(1).await;
    let (reader, shard) = (stream.reader(), only_shard(&stream).await);
    put_numbers(&stream, 0..5).await;
    let at = reader.iterator(&shard, &StartAt::TrimHorizon).await.unwrap();
    let (first, again) = (drain(reader, at.clone(), ALL).await, drain(reader, at, ALL).await);
    assert_eq!((first.records.len(), &first.records), (5, &again.records));
}
