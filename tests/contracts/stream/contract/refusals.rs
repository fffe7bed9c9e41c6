//! Places that are none, or are no more.

use shardwright::{
    model::ShardId,
    ports::{ShardIterator, StartAt, StreamError},
};

use super::{
    Counterpart, OwnedStream,
    deviations::{Deviation, check},
    drain::{ALL, drain_from},
    only_shard, put_numbers,
};

/// Five minutes after it was handed out a place is no longer good, read from or not.
pub(crate) async fn an_iterator_expires(kinesis: &impl Counterpart) {
    let stream = kinesis.create(1).await;
    let (reader, shard) = (stream.reader(), only_shard(&stream).await);
    put_numbers(&stream, 0..5).await;
    let first = reader.iterator(&shard, &StartAt::TrimHorizon).await.unwrap();
    let next = reader.records(&first, ALL).await.unwrap().next.unwrap();
    stream.pass_five_minutes().await;
    for place in [&first, &next] {
        let answer = reader.records(place, ALL).await;
        assert!(matches!(answer, Err(StreamError::IteratorExpired)), "{answer:?}");
    }
    let again = drain_from(reader, &shard, &StartAt::TrimHorizon).await;
    assert_eq!(again.records.len(), 5);
}

/// What does not exist is told apart from what is wrong.
pub(crate) async fn unknown_places_are_refused(kinesis: &impl Counterpart) {
    let stream = kinesis.create(1).await;
    let (reader, shard) = (stream.reader(), only_shard(&stream).await);
    let nowhere = ShardId::new("shardId-000000000009");
    let answer = reader.iterator(&nowhere, &StartAt::Latest).await;
    assert!(matches!(answer, Err(StreamError::NotFound(_))), "{answer:?}");

    let garbled = reader.records(&ShardIterator("AAAA".to_owned()), ALL).await;
    let as_on_aws = matches!(garbled, Err(StreamError::Invalid(_)));
    assert!(garbled.is_err(), "{garbled:?}");
    check(stream.counterpart(), Deviation::GarbledIterator, as_on_aws);

    let foreign = StartAt::After("7".parse().unwrap());
    let answer = reader.iterator(&shard, &foreign).await;
    let as_on_aws = matches!(answer, Err(StreamError::Invalid(_)));
    assert!(as_on_aws || answer.is_ok(), "{answer:?}");
    check(stream.counterpart(), Deviation::ForeignSequenceTaken, as_on_aws);
}
