//! Records to measure with: envelopes as CloudWatch Logs puts them, in three sizes.

use std::sync::Arc;

use bytes::Bytes;
use shardwright::{
    etl::{Source, SourceRecord},
    generate::{EnvelopeSize, Generator, Profile},
    model::{EpochMillis, Format, Position, ShardId, StreamName, UserRecord},
};

const NOW: EpochMillis = EpochMillis(1_790_000_000_000);

/// Records of one size.
pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) records: Vec<SourceRecord>,
    pub(crate) events: usize,
}

impl Corpus {
    /// All three, from a fixed seed, each with about this many events.
    pub(crate) fn all(events: usize) -> Vec<Self> {
        let sizes = [
            ("small", EnvelopeSize::Small, 1),
            ("medium", EnvelopeSize::Medium, 30),
            ("large", EnvelopeSize::Large, 1000),
        ];
        sizes.map(|(name, size, each)| Self::new(name, size, events / each + 1)).into()
    }

    fn new(name: &'static str, size: EnvelopeSize, count: usize) -> Self {
        let mut generator = Generator::new(7, Profile::plain(size));
        let source = Arc::new(Source {
            stream: StreamName::new("logs"),
            shard: ShardId::new("shardId-000000000000"),
            format: Format::CloudwatchLogs,
        });
        let mut events = 0;
        let records = (1..=count).map(|number| {
            let record = generator.next_record(NOW);
            events += record.expect.event_ids.len();
            let user = UserRecord {
                position: Position {
                    sequence: number.to_string().parse().unwrap(),
                    sub_sequence: 0,
                },
                partition_key: Arc::from(record.partition_key),
                explicit_hash_key: None,
                aggregated: false,
                data: record.data,
                arrival: NOW,
            };
            SourceRecord::new(Arc::clone(&source), user)
        });
        let records = records.collect();
        Self { name, records, events }
    }

    /// The compressed payloads.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = &Bytes> {
        self.records.iter().map(|record| &record.record.data)
    }
}
