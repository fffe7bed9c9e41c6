//! KPL aggregates in a consumer: checkpoints within one, and members of another shard.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::timeout;

use super::{
    RetryLimits, ShardConsumer,
    testing::{OnePage, START, ScriptedSink, accept, down, source},
    tests::{Bench, bench_of},
};
use crate::{
    codec::{KplRecord, aggregate},
    leasing::{ConsumerExit, fixtures::lease},
    model::{
        Aggregates, Checkpoint, EpochMillis, HashKey, HashKeyRange, Lease, RawRecord, RecordPage,
        Shard, ShardId,
    },
    ports::{ShardIterator, StartAt, StreamError, StreamReader},
};

/// A closed shard with one aggregate of these texts, each under its own key or a forced hash key.
fn shard(members: &[(&str, Option<&str>)]) -> OnePage {
    let member = |(text, hash_key): &(&str, Option<&str>)| KplRecord {
        partition_key: (*text).to_owned(),
        explicit_hash_key: hash_key.map(str::to_owned),
        data: text.as_bytes().to_vec().into(),
    };
    OnePage(vec![RawRecord {
        sequence: "7".parse().unwrap(),
        partition_key: "outer".to_owned(),
        data: aggregate(&members.iter().map(member).collect::<Vec<_>>()),
        arrival: EpochMillis(START),
    }])
}

fn own() -> Lease {
    lease(source().shard.as_str()).build()
}

fn bench(reader: impl StreamReader + 'static, lease: Lease, aggregates: Aggregates) -> Seen {
    let sink = ScriptedSink::new(accept);
    let letters = ScriptedSink::new(accept);
    let bench =
        bench_of(Arc::new(reader), lease, aggregates, [&sink, &letters], RetryLimits::default(), 1);
    let Bench { consumer, context, handle } = bench;
    Seen { consumer, context, handle, sink, letters }
}

/// A consumer with sinks that take everything.
struct Seen {
    consumer: ShardConsumer,
    context: Arc<super::ConsumerContext>,
    handle: crate::leasing::fixtures::GrantHandle,
    sink: Arc<ScriptedSink>,
    letters: Arc<ScriptedSink>,
}

impl Seen {
    /// What was delivered, what was dropped as another shard's, and the last checkpoint.
    async fn run(self) -> (Vec<String>, u64, Option<Checkpoint>) {
        assert_eq!(self.consumer.run().await, ConsumerExit::ShardEnded(Vec::new()));
        assert!(self.letters.taken().is_empty(), "nothing of it is wrong");
        let checkpoint = self.handle.progress.borrow().clone().map(|made| made.checkpoint);
        (self.sink.taken(), self.context.metrics.tally().foreign, checkpoint)
    }
}

fn after(sub_sequence: u64) -> Checkpoint {
    Checkpoint::parse("7", sub_sequence).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_crash_inside_an_aggregate_resumes_with_the_next_user_record() {
    const TEXTS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let members = TEXTS.map(|text| (text, None));
    // Batches of four: the third one is stuck when the process dies.
    let sink = ScriptedSink::new(|texts| match texts.iter().any(|text| text == "8") {
        true => down(),
        false => accept(texts),
    });
    let letters = ScriptedSink::new(accept);
    let Bench { consumer, handle, .. } = bench_of(
        Arc::new(shard(&members)),
        own(),
        Aggregates::default(),
        [&sink, &letters],
        RetryLimits::default(),
        1,
    );
    assert!(timeout(Duration::from_mins(1), consumer.run()).await.is_err());
    assert_eq!(sink.taken(), TEXTS[..8]);
    let checkpoint = handle.progress.borrow().clone().unwrap().checkpoint;
    assert_eq!(checkpoint, after(7));

    let next = lease(source().shard.as_str()).checkpoint(checkpoint).build();
    let (taken, _, checkpoint) = bench(shard(&members), next, Aggregates::default()).run().await;
    assert_eq!(taken, TEXTS[8..]);
    assert_eq!(checkpoint, Some(after(9)));
}

/// The lower half of the keys.
fn lower() -> HashKeyRange {
    HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX / 2) }
}

/// Own, another's by its explicit hash key, own by one, another's by the hash of its key "b".
fn mixed() -> OnePage {
    const BEYOND: &str = "340282366920938463463374607431768211455";
    shard(&[("a", None), ("c", Some(BEYOND)), ("d", Some("0")), ("b", None)])
}

fn lower_half() -> Lease {
    Lease { hash_range: Some(lower()), ..own() }
}

#[tokio::test(start_paused = true)]
async fn user_records_of_another_shard_are_dropped_one_by_one_and_counted() {
    let (taken, foreign, checkpoint) =
        bench(mixed(), lower_half(), Aggregates::Tolerant).run().await;
    assert_eq!((taken, foreign), (vec!["a".to_owned(), "d".to_owned()], 2));
    assert_eq!(checkpoint, Some(after(3)), "the dropped last one has its place too");

    let resumed = Lease { checkpoint: after(1), ..lower_half() };
    let (taken, foreign, _) = bench(mixed(), resumed, Aggregates::Tolerant).run().await;
    assert_eq!((taken, foreign), (vec!["d".to_owned()], 1), "what was done is not counted again");
}

#[tokio::test(start_paused = true)]
async fn strict_drops_the_whole_aggregate_as_the_kcl_does() {
    let (taken, foreign, checkpoint) = bench(mixed(), lower_half(), Aggregates::Strict).run().await;
    assert_eq!((taken, foreign, checkpoint), (vec![], 4, Some(after(3))));
    let whole = shard(&[("a", None), ("d", Some("0"))]);
    let (taken, foreign, _) = bench(whole, lower_half(), Aggregates::Strict).run().await;
    assert_eq!((taken.len(), foreign), (2, 0));
}

/// A stream that lists the shard with its keys.
struct Listed(OnePage);

#[async_trait]
impl StreamReader for Listed {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        let id = source().shard;
        Ok(vec![Shard { id, parents: vec![], hash_range: Some(lower()), open: false }])
    }

    async fn iterator(&self, id: &ShardId, start: &StartAt) -> Result<ShardIterator, StreamError> {
        self.0.iterator(id, start).await
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        self.0.records(iterator, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_an_old_lease_are_those_that_the_stream_lists() {
    let (taken, foreign, _) = bench(Listed(mixed()), own(), Aggregates::Tolerant).run().await;
    assert_eq!((taken.len(), foreign), (2, 2));
    let (taken, foreign, _) = bench(mixed(), own(), Aggregates::Strict).run().await;
    assert_eq!((taken.len(), foreign), (4, 0), "nobody knows the keys");
}
