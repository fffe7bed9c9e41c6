//! Puts what CloudWatch Logs and the KPL would put, and writes down what must become of it.

use bytes::Bytes;
use shardwright::{
    codec::{KplRecord, aggregate},
    generate::{Distribution, EnvelopeSize, GeneratedRecord, Generator, Profile},
    model::Position,
    ports::{SystemClock, WallClock},
};

use super::{Books, Stream};

/// One record of so many is a KPL aggregate.
const AGGREGATE_EVERY: usize = 5;
const MEMBERS: usize = 3;
const RECORDS_A_CALL: usize = 50;

/// A seeded producer.
pub(crate) struct Producer<'s> {
    generator: Generator,
    stream: &'s Stream,
}

impl<'s> Producer<'s> {
    pub(crate) fn new(stream: &'s Stream) -> Self {
        let profile = Profile {
            distribution: Distribution::Random,
            control: 5,
            broken: 10,
            ..Profile::plain(EnvelopeSize::Small)
        };
        Self { generator: Generator::new(7, profile), stream }
    }

    /// Puts records and enters them into the books.
    pub(crate) async fn put(&mut self, books: &mut Books, records: usize) {
        let records: Vec<_> = (0..records).map(|index| self.record(index)).collect();
        for records in records.chunks(RECORDS_A_CALL) {
            let payloads: Vec<_> =
                records.iter().map(|record| (record.key.clone(), record.data.clone())).collect();
            let places = self.stream.put(&payloads).await;
            for (record, (shard, sequence)) in records.iter().zip(places) {
                for (sub_sequence, member) in (0..).zip(&record.members) {
                    let position = Position { sequence: sequence.clone(), sub_sequence };
                    books.enter(&shard, &position, member);
                }
            }
        }
    }

    fn record(&mut self, index: usize) -> Record {
        let now = SystemClock.now();
        let members = if index.is_multiple_of(AGGREGATE_EVERY) { MEMBERS } else { 1 };
        let members: Vec<_> = (0..members).map(|_| self.generator.next_record(now)).collect();
        if let [single] = &members[..] {
            let (key, data) = (single.partition_key.clone(), single.data.clone());
            return Record { key, data, members };
        }
        let key = members[0].partition_key.clone();
        let user_records: Vec<_> = members
            .iter()
            .map(|member| KplRecord {
                partition_key: key.clone(),
                explicit_hash_key: None,
                data: member.data.clone(),
            })
            .collect();
        Record { key, data: aggregate(&user_records), members }
    }
}

/// One Kinesis record.
struct Record {
    key: String,
    data: Bytes,
    /// Its user records.
    members: Vec<GeneratedRecord>,
}
