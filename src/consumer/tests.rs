//! A consumer from its stream to its sinks: what is given up, what waits, what is checkpointed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    testing::{
        Answer, OnePage, START, ScriptedSink, VirtualClock, accept, down, refuse_batches_with,
        source,
    },
    *,
};
use crate::{
    codec::DecodeLimits,
    etl::{DeadLetter, Pipeline, PipelineParts, Route, Stage, Tally},
    leasing::{
        ConsumerExit,
        fixtures::{GrantHandle, grant, lease},
    },
    metrics::Metrics,
    model::{Aggregates, Checkpoint, EpochMillis, InitialPosition, Lease, Progress, RawRecord},
    ports::{Sink, StreamReader},
};

const MINUTE: Duration = Duration::from_mins(1);

/// A consumer of one closed shard, whose events go to `sink` and whose letters to `letters`.
pub(super) struct Bench {
    pub(super) consumer: ShardConsumer,
    pub(super) context: Arc<ConsumerContext>,
    pub(super) handle: GrantHandle,
}

fn bench(
    records: &[(&str, &str)],
    sink: &Arc<ScriptedSink>,
    letters: &Arc<ScriptedSink>,
    retry: RetryLimits,
    lanes: usize,
) -> Bench {
    let record = |(number, (key, text)): (usize, &(&str, &str))| RawRecord {
        sequence: (number + 1).to_string().parse().unwrap(),
        partition_key: (*key).to_owned(),
        data: text.as_bytes().to_vec().into(),
        arrival: EpochMillis(START),
    };
    let reader = Arc::new(OnePage(records.iter().enumerate().map(record).collect()));
    let own = lease(source().shard.as_str()).build();
    bench_of(reader, own, Aggregates::default(), [sink, letters], retry, lanes)
}

/// A consumer of any shard, in batches of four.
pub(super) fn bench_of(
    reader: Arc<dyn StreamReader>,
    lease: Lease,
    aggregates: Aggregates,
    [sink, letters]: [&Arc<ScriptedSink>; 2],
    retry: RetryLimits,
    lanes: usize,
) -> Bench {
    let named = |name: &str, sink: &Arc<ScriptedSink>| NamedSink {
        name: Arc::from(name),
        sink: Arc::clone(sink) as Arc<dyn Sink>,
        batch: BatchLimits { events: 4, bytes: 4096, window: Duration::ZERO },
        lanes,
        retry,
    };
    let context = Arc::new(ConsumerContext {
        streams: vec![ConsumerStream {
            name: source().stream,
            format: source().format,
            initial_position: InitialPosition::TrimHorizon,
            until: None,
            aggregates,
            reader,
            fan_out: None,
        }],
        pipeline: Arc::new(Pipeline::new(PipelineParts {
            routes: vec![Route::new("all", 0)],
            sinks: vec!["out".to_owned(), "parked".to_owned()],
            dead_letters: 1,
            limits: DecodeLimits::default(),
            configuration: "test".to_owned(),
        })),
        sinks: vec![named("out", sink), named("parked", letters)],
        budget: Budget::new(1 << 20),
        params: ConsumerParams {
            pacing: PacingParams {
                poll_interval: Duration::from_millis(250),
                idle_poll_interval: Duration::from_secs(1),
            },
            queue_bytes: 1 << 20,
            retry: RetryPause { min: Duration::from_millis(200), max: Duration::from_secs(30) },
        },
        clock: VirtualClock::start(),
        pause: Pause::default(),
        metrics: Arc::new(Metrics::default()),
    });
    let (grant, handle) = grant(lease);
    let consumer = ShardConsumer::new(grant, Arc::clone(&context), 7);
    Bench { consumer, context, handle }
}

/// The dead letters that a sink took.
fn letters(sink: &ScriptedSink) -> Vec<DeadLetter> {
    sink.taken().iter().map(|json| serde_json::from_str(json).unwrap()).collect()
}

/// The record that is checkpointed.
fn sequence(progress: Option<&Progress>) -> usize {
    let Some(Checkpoint::After(position)) = progress.map(|progress| &progress.checkpoint) else {
        panic!("{progress:?}")
    };
    position.sequence.as_str().parse().unwrap()
}

fn attempts(most: u32) -> RetryLimits {
    RetryLimits { attempts: Some(most), ..RetryLimits::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_a_dead_letter_and_the_shard_goes_on() {
    let records = [("k", "one"), ("k", "bad"), ("k", "two"), ("k", "three"), ("k", "four")];
    let sink = ScriptedSink::new(|texts| refuse_batches_with(texts, "bad"));
    let parked = ScriptedSink::new(accept);
    let Bench { consumer, context, .. } = bench(&records, &sink, &parked, attempts(2), 1);
    assert_eq!(consumer.run().await, ConsumerExit::ShardEnded(Vec::new()));
    assert_eq!(sink.taken(), ["one", "two", "three", "four"]);
    let letters = letters(&parked);
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.stage, letter.route.as_deref()), (Stage::Deliver, Some("all")));
    assert_eq!(
        letter.reason,
        "gave up after 3 attempts (maximum_retry_attempts = 2): one of them is bad"
    );
    assert!(letter.event.as_ref().unwrap().get().contains("\"bad\""));
    let Tally { events, delivered, filtered, dead_lettered, .. } = context.metrics.tally();
    assert_eq!((events, delivered, filtered, dead_lettered), (5, 4, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn letters_wait_for_their_sink_whatever_its_limits() {
    let began = tokio::time::Instant::now();
    let sink = ScriptedSink::new(|_| down());
    let parked = ScriptedSink::new(move |texts| match began.elapsed() < MINUTE {
        true => down(),
        false => accept(texts),
    });
    let Bench { consumer, context, handle } =
        bench(&[("k", "a"), ("k", "b")], &sink, &parked, attempts(0), 1);
    let mut run = Box::pin(consumer.run());
    assert!(timeout(MINUTE / 2, run.as_mut()).await.is_err());
    assert_eq!(*handle.progress.borrow(), None, "nothing has its outcome yet");
    assert_eq!(run.await, ConsumerExit::ShardEnded(Vec::new()));
    for letter in letters(&parked) {
        assert_eq!(
            (letter.stage, letter.reason.as_str()),
            (Stage::Deliver, "gave up after 1 attempt (maximum_retry_attempts = 0): down")
        );
    }
    assert_eq!(parked.taken().len(), 2);
    assert_eq!(context.metrics.tally().dead_lettered, 2);
}

/// Accepts all but batches with a text that begins with `stuck`, until `until`.
fn stuck_until(until: Duration) -> impl Fn(&[String]) -> Answer {
    let began = tokio::time::Instant::now();
    move |texts| match began.elapsed() < until && texts.iter().any(|text| text == "stuck") {
        true => down(),
        false => accept(texts),
    }
}

/// Twelve keys with three records each, in turn; `key-5` begins with one that is stuck.
fn twelve_keys() -> Vec<(String, String)> {
    let mut records = Vec::new();
    for round in 0..3 {
        for key in 0..12 {
            let text = if (round, key) == (0, 5) { "stuck" } else { &format!("{key}-{round}") };
            records.push((format!("key-{key}"), text.to_owned()));
        }
    }
    records
}

fn borrowed(records: &[(String, String)]) -> Vec<(&str, &str)> {
    records.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn lanes_deliver_side_by_side_and_keep_the_order_of_each_key() {
    let records = twelve_keys();
    for (lanes, most) in [(1, 1), (4, 4)] {
        let sink = ScriptedSink::slow(Duration::from_secs(1), accept);
        let parked = ScriptedSink::new(accept);
        let bench = bench(&borrowed(&records), &sink, &parked, RetryLimits::default(), lanes);
        assert_eq!(bench.consumer.run().await, ConsumerExit::ShardEnded(Vec::new()));
        assert_eq!(sink.most_under_way(), most);
        let mut by_key: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let key_of = |text: &str| records.iter().find(|(_, known)| known == text).unwrap();
        for text in sink.taken() {
            by_key.entry(&key_of(&text).0).or_default().push(text);
        }
        assert_eq!(by_key.len(), 12);
        for (key, texts) in by_key {
            let put = records.iter().filter(|(of, _)| of == key).map(|(_, text)| text);
            assert!(texts.iter().eq(put), "{key}: {texts:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_lane_holds_the_checkpoint_and_not_the_other_lanes() {
    let records = twelve_keys();
    let sink = ScriptedSink::new(stuck_until(MINUTE));
    let parked = ScriptedSink::new(accept);
    let Bench { consumer, handle, .. } =
        bench(&borrowed(&records), &sink, &parked, RetryLimits::default(), 10);
    let mut run = Box::pin(consumer.run());
    assert!(timeout(MINUTE / 2, run.as_mut()).await.is_err());
    // Record 6 is the stuck one.
    let progress = handle.progress.borrow().clone();
    assert_eq!(sequence(progress.as_ref()), 5);
    assert!(sink.taken().len() > 20, "{:?}", sink.taken());
    assert!(!sink.taken().contains(&"5-1".to_owned()), "its key waits");
    assert_eq!(run.await, ConsumerExit::ShardEnded(Vec::new()));
    assert_eq!(sink.taken().len(), 36);
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_a_sink_has_seen_and_leaves_the_rest() {
    let records = twelve_keys();
    // With one lane the second batch of four is stuck; with ten the sink has seen the last record.
    for (lanes, seen) in [(1, 8), (10, 36)] {
        let sink = ScriptedSink::new(stuck_until(MINUTE));
        let parked = ScriptedSink::new(accept);
        let Bench { consumer, handle, .. } =
            bench(&borrowed(&records), &sink, &parked, RetryLimits::default(), lanes);
        let mut run = Box::pin(consumer.run());
        assert!(timeout(MINUTE / 2, run.as_mut()).await.is_err());
        handle.draining.cancel();
        assert!(timeout(MINUTE / 4, run.as_mut()).await.is_err(), "it finishes what is begun");
        let ConsumerExit::Drained(progress) = run.await else { panic!() };
        assert_eq!(sequence(progress.as_ref()), seen);
        let put: Vec<&str> = records.iter().take(seen).map(|(_, text)| text.as_str()).collect();
        let mut taken = sink.taken();
        assert_eq!(taken.len(), seen);
        taken.sort_by_key(|text| put.iter().position(|known| known == text));
        assert_eq!(taken, put);
    }
}
