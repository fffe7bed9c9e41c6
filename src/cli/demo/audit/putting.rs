//! Putting records, and working out what must become of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{SharedBooks, books::Fate, letter::Letter};
use crate::{
    aws::{AwsConnection, StreamTarget},
    cli::{
        demo::{servers::STREAM, setup::Setup},
        producer::Producer,
    },
    codec::{DecodeLimits, deaggregate, decode_user_record},
    etl::{Pipeline, PipelineParts, Source, SourceRecord},
    generate::{Generator, Profile},
    model::{EpochMillis, Format, RawRecord, ShardId, StreamName},
    ports::{SystemClock, WallClock},
};

const PUT_EVERY: Duration = Duration::from_millis(50);

/// Puts records at a rate.
pub(super) struct Putter {
    generator: Generator,
    /// The audit's own pipeline: what it says must come true.
    oracle: Pipeline,
    producer: Producer,
    books: SharedBooks,
    per_tick: f64,
}

impl Putter {
    pub(super) fn new(
        setup: &Setup,
        aws: &AwsConnection,
        rate: u32,
        seed: u64,
        books: SharedBooks,
    ) -> anyhow::Result<Self> {
        let compiled = setup.compile("audit")?;
        Ok(Self {
            generator: Generator::new(seed, Profile::default()),
            oracle: Pipeline::new(PipelineParts {
                routes: compiled.routes,
                sinks: compiled.settings.sinks.into_keys().collect(),
                dead_letters: compiled.dead_letters,
                limits: compiled.limits,
                configuration: compiled.hash,
            }),
            producer: Producer::new(StreamTarget::Name(StreamName::new(STREAM)), aws),
            books,
            per_tick: f64::from(rate) * PUT_EVERY.as_secs_f64(),
        })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tick = interval(PUT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut owed = 0.0;
        while !stop.is_cancelled() {
            tick.tick().await;
            owed += self.per_tick;
            let mut batch = Vec::new();
            while owed >= 1.0 {
                owed -= 1.0;
                let record = self.generator.next_record(SystemClock.now());
                self.enter(&record.partition_key, &record.data);
                batch.push((record.partition_key, record.data));
            }
            if !batch.is_empty() {
                self.producer.put(batch).await?;
            }
        }
        Ok(())
    }

    /// Works out what must become of a record, before it is put.
    fn enter(&self, key: &str, data: &Bytes) {
        let raw = RawRecord {
            sequence: "0".parse().expect("zero is a number"),
            partition_key: key.to_owned(),
            data: data.clone(),
            arrival: EpochMillis(0),
        };
        let source = Arc::new(Source {
            stream: StreamName::new(STREAM),
            shard: ShardId::new("unknown"),
            format: Format::CloudwatchLogs,
        });
        for user in deaggregate(&raw).records {
            let record = SourceRecord::new(Arc::clone(&source), user);
            self.enter_user_record(&record);
        }
        self.books.open().records += 1;
    }

    fn enter_user_record(&self, record: &SourceRecord) {
        let processed = self.oracle.process(record);
        let limits = DecodeLimits::default();
        let decoded = decode_user_record(record.source.format, &record.record, &limits);
        let events = decoded.map(|decoded| decoded.events).unwrap_or_default();
        // What no route takes is filtered.
        let mut fates: HashMap<u32, (String, Fate)> =
            (0..).zip(events).map(|(index, event)| (index, (event.id, Fate::Filter))).collect();
        let mut books = self.books.open();
        for delivery in &processed.deliveries {
            let fate = if delivery.route.is_some() { Fate::Deliver } else { Fate::DeadLetter };
            if let Some((_, must)) = delivery.event.and_then(|event| fates.get_mut(&event)) {
                *must = fate;
            } else {
                let letter = Letter::parse(&delivery.output.json);
                let key = letter.as_ref().map_or("", Letter::key);
                books.must(key.to_owned(), Fate::DeadLetter);
            }
        }
        for (id, fate) in fates.into_values() {
            books.must(id, fate);
        }
    }
}
