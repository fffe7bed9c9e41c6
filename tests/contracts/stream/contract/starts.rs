//! Places to start at.

use std::collections::BTreeSet;

use shardwright::{model::EpochMillis, ports::StartAt};

use super::{
    Counterpart, OwnedStream,
    drain::{ALL, drain, drain_from},
    only_shard, put_numbers,
};

/// Each kind of iterator begins where it says, and goes on to the tip.
pub(crate) async fn every_place_to_start_at_is_understood(kinesis: &impl Counterpart) {
    let stream = kinesis.create(1).await;
    let (reader, shard) = (stream.reader(), only_shard(&stream).await);
    let nothing = drain_from(reader, &shard, &StartAt::TrimHorizon).await;
    assert_eq!((nothing.records, nothing.ended), (vec![], false), "an open shard goes on");

    put_numbers(&stream, 0..8).await;
    let latest = reader.iterator(&shard, &StartAt::Latest).await.unwrap();
    put_numbers(&stream, 8..20).await;
    let newer: Vec<_> = (8..20).map(|number: u32| number.to_string()).collect();
    assert_eq!(drain(reader, latest, ALL).await.payloads(), newer, "what came after it was asked");

    let all = drain_from(reader, &shard, &StartAt::TrimHorizon).await.records;
    let numbers: Vec<_> = (0..20).map(|number: u32| number.to_string()).collect();
    let seen = async |start: &StartAt| drain_from(reader, &shard, start).await.payloads();
    for index in [0, 8, 19] {
        let sequence = &all[index].sequence;
        assert_eq!(seen(&StartAt::At(sequence.clone())).await, numbers[index..]);
        assert_eq!(seen(&StartAt::After(sequence.clone())).await, numbers[index + 1..]);
    }
    assert_eq!(seen(&StartAt::Latest).await, [""; 0]);

    let arrivals: BTreeSet<EpochMillis> = all.iter().map(|record| record.arrival).collect();
    assert!(arrivals.len() > 1, "all records arrived at the same millisecond");
    for time in &arrivals {
        let from = all.iter().position(|record| record.arrival >= *time).unwrap();
        assert_eq!(seen(&StartAt::Timestamp(*time)).await, numbers[from..]);
    }
    let long_ago = StartAt::Timestamp(EpochMillis(arrivals.first().unwrap().0 - 3_600_000));
    assert_eq!(seen(&long_ago).await, numbers);
}
