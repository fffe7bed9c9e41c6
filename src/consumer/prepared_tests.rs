//! Prepared batches: what waits for the row, and what the next owner makes of it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::{
    consumer::{
        RetryLimits,
        testing::{OnePage, START, ScriptedSink, accept, delivery, down, position, record, source},
        tests::{Bench, bench_of},
    },
    leasing::{
        ConsumerExit,
        fixtures::{GrantHandle, lease},
    },
    model::{Aggregates, EpochMillis, Progress, RawRecord},
    ports::Verdict,
};

const MINUTE: Duration = Duration::from_mins(1);

/// Records 1 to so many, each with its number as its text.
fn shard(records: u32) -> OnePage {
    let record = |number: u32| RawRecord {
        sequence: number.to_string().parse().unwrap(),
        partition_key: "key".to_owned(),
        data: number.to_string().into_bytes().into(),
        arrival: EpochMillis(START),
    };
    OnePage((1..=records).map(record).collect())
}

/// A consumer of ten records in batches of four, with this lease.
fn bench(lease: Lease, sink: &Arc<ScriptedSink>, letters: &Arc<ScriptedSink>) -> Bench {
    let (keys, limits) = (Aggregates::default(), RetryLimits::default());
    bench_of(Arc::new(shard(10)), lease, keys, [sink, letters], limits, 1)
}

fn own() -> Lease {
    lease(source().shard.as_str()).build()
}

/// A lease with this state.
fn with_state(state: &str, up_to: &str) -> Lease {
    let position = Position { sequence: up_to.parse().unwrap(), sub_sequence: 0 };
    let state = Some(Bytes::copy_from_slice(state.as_bytes()));
    Lease { pending: Some(PendingCheckpoint { position, state }), ..own() }
}

/// Writes down what is reported, as the coordinator does.
async fn keep_row(handle: &GrantHandle) {
    let mut progress = handle.progress.clone();
    loop {
        let pending = progress.borrow_and_update().as_ref().and_then(|made| made.pending.clone());
        handle.prepared.send_replace(pending);
        if progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs a consumer to its end, with a table that works.
async fn run(bench: Bench) -> Option<Progress> {
    let Bench { consumer, handle, .. } = bench;
    tokio::select! {
        exit = consumer.run() => assert_eq!(exit, ConsumerExit::ShardEnded(Vec::new())),
        () = keep_row(&handle) => {}
    }
    handle.progress.borrow().clone()
}

fn state(progress: Option<&Progress>) -> String {
    let pending = progress.and_then(|made| made.pending.clone());
    let state = pending.and_then(|pending| pending.state).unwrap_or_default();
    String::from_utf8(state.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_until_the_row_says_its_range() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    let Bench { consumer, handle, .. } = bench(own(), &sink, &letters);
    let mut consumer = Box::pin(consumer.run());
    assert!(timeout(MINUTE, consumer.as_mut()).await.is_err());
    assert!(sink.calls().is_empty(), "the row does not say it yet");
    let reported = handle.progress.borrow().clone();
    assert_eq!(state(reported.as_ref()), r#"{"version":1,"sinks":{"out":{"last":"4:0:0:0:0"}}}"#);
    assert_eq!(reported.unwrap().checkpoint, Checkpoint::TrimHorizon);
    tokio::select! {
        exit = consumer => assert_eq!(exit, ConsumerExit::ShardEnded(Vec::new())),
        () = keep_row(&handle) => {}
    }
    let batches: Vec<usize> = sink.calls().iter().map(Vec::len).collect();
    assert_eq!(batches, [4, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_next_owner_delivers_the_prepared_batch_and_nothing_that_is_done() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    let row = r#"{"version":1,"sinks":{"out":{"done":"2:0:0:0:0","last":"9:0:0:0:0"}}}"#;
    let bench = bench(with_state(row, "9"), &sink, &letters);
    let metrics = Arc::clone(&bench.context.metrics);
    let last = run(bench).await;
    let calls = sink.calls();
    // More than a batch holds, and no event more.
    assert_eq!(calls, [vec!["3", "4", "5", "6", "7", "8", "9"], vec!["10"]]);
    assert_eq!(metrics.tally().delivered, 10, "what is done counts as delivered");
    assert_eq!(last.unwrap().pending, None);
}

#[tokio::test(start_paused = true)]
async fn a_prepared_batch_whose_last_event_is_gone_ends_all_the_same() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    // The last one is an event that record 5 does not have now; then one behind the shard's end.
    for (last, batches) in [("5:0:7:0:0", vec![5, 4, 1]), ("11:0:0:0:0", vec![10])] {
        let row = format!(r#"{{"version":1,"sinks":{{"out":{{"last":"{last}"}}}}}}"#);
        let before = sink.calls().len();
        run(bench(with_state(&row, "9"), &sink, &letters)).await;
        let sizes: Vec<usize> = sink.calls().iter().skip(before).map(Vec::len).collect();
        assert_eq!(sizes, batches, "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_from_latest_leaves_out_what_its_first_reader_did_not_see() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    let row = r#"{"version":1,"sinks":{"out":{"first":"3:0:0:0:0","last":"6:0:0:0:0"}}}"#;
    let lease = Lease { checkpoint: Checkpoint::Latest, ..with_state(row, "6") };
    run(bench(lease, &sink, &letters)).await;
    assert_eq!(sink.calls(), [vec!["3", "4", "5", "6"], vec!["7", "8", "9", "10"]]);
}

#[tokio::test(start_paused = true)]
async fn a_state_of_another_version_is_left_alone() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    for row in [r#"{"version":2,"sinks":[]}"#, "bytes of a Java application"] {
        let before = sink.taken().len();
        run(bench(with_state(row, "9"), &sink, &letters)).await;
        assert_eq!(sink.taken().len() - before, 10, "at least once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_prepared_for_a_sink_of_another_worker_stays_in_the_row() {
    let (sink, letters) = (ScriptedSink::new(|_| down()), ScriptedSink::new(accept));
    let row = r#"{"version":1,"sinks":{"other":{"last":"7:0:0:0:0"}}}"#;
    let Bench { consumer, handle, .. } = bench(with_state(row, "7"), &sink, &letters);
    assert!(timeout(MINUTE, consumer.run()).await.is_err());
    let reported = handle.progress.borrow().clone();
    assert_eq!(state(reported.as_ref()), row);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_holds_the_next_batch_until_its_letter_is_safe() {
    let sink = ScriptedSink::preparing(|texts| {
        let verdict = |text: &String| match text.as_str() {
            "2" => Verdict::Refused("no".to_owned()),
            _ => Verdict::Accepted,
        };
        Ok(texts.iter().map(verdict).collect())
    });
    let began = tokio::time::Instant::now();
    let letters = ScriptedSink::new(move |texts| match began.elapsed() < MINUTE {
        true => down(),
        false => accept(texts),
    });
    let Bench { consumer, handle, context } = bench(own(), &sink, &letters);
    let mut consumer = Box::pin(async {
        tokio::select! {
            exit = consumer.run() => exit,
            () = keep_row(&handle) => unreachable!(),
        }
    });
    assert!(timeout(MINUTE / 2, consumer.as_mut()).await.is_err());
    assert_eq!(sink.calls().len(), 1);
    let checkpoint = handle.progress.borrow().clone().unwrap().checkpoint;
    assert_eq!(checkpoint, Checkpoint::TrimHorizon, "it does not pass a part of the batch");
    let row = handle.prepared.borrow().clone().unwrap().state.unwrap();
    let row = String::from_utf8(row.to_vec()).unwrap();
    assert!(row.contains("last") && !row.contains("done"), "a replay must refuse it again: {row}");
    assert_eq!(consumer.await, ConsumerExit::ShardEnded(Vec::new()));
    let tally = context.metrics.tally();
    assert_eq!((tally.delivered, tally.dead_lettered), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_leaves_a_batch_that_is_not_complete_to_the_next_owner() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    let row = r#"{"version":1,"sinks":{"out":{"last":"99:0:0:0:0"}}}"#;
    let Bench { consumer, handle, context } = bench(with_state(row, "99"), &sink, &letters);
    // Nothing is fetched any more, so the shard's end is not seen.
    context.pause.set(true);
    handle.draining.cancel();
    let exit = timeout(MINUTE, consumer.run()).await.unwrap();
    let ConsumerExit::Drained(progress) = exit else { panic!("{exit:?}") };
    assert!(sink.calls().is_empty());
    assert_eq!(state(progress.as_ref()), row);
}

#[tokio::test]
async fn a_batch_is_rebuilt_from_its_first_event_on() {
    let (sink, letters) = (ScriptedSink::preparing(accept), ScriptedSink::new(accept));
    let row = r#"{"version":1,"sinks":{"out":{"done":"2:0:0:0:0","last":"9:0:0:0:0"}}}"#;
    let Bench { context, .. } = bench(with_state(row, "9"), &sink, &letters);
    let mut prepared = Prepared::new(&context.sinks, Some(&with_state(row, "9")));
    let numbered = |number| [delivery(&record(number, "key", "x", EpochMillis(START)))];
    for number in [1, 2] {
        assert!(!prepared.rebuilds_with(&numbered(number)));
        assert!(numbered(number).iter().all(|done| prepared.has(done)));
    }
    assert!(!prepared.rebuilds(), "what is far before the batch was not in memory with it");
    assert!(prepared.rebuilds_with(&numbered(3)));
    assert!(numbered(3).iter().all(|first| !prepared.has(first)));
    assert!(prepared.rebuilds());
    assert_eq!(prepared.passed(Some(&position(10))), [0]);
    assert!(!prepared.rebuilds());
}
