//! The cases on one sink in this process.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Value, json};
use shardwright::{
    model::OutputEvent,
    ports::{SinkError, Verdict},
};

use super::{
    Again, Counterpart,
    delivering::{Failures, deliver},
};
use crate::{events::event, faults::Fault, harness::wait_until};

fn document(number: u64) -> Value {
    // Some of JSON's and of the protocols' own characters, and enough of them to fill a pipe.
    json!({"id": number, "text": "tab\t\"quotes\" \\ é \u{1F980} \u{7f} '; --", "pad": "x".repeat(200)})
}

fn batch(range: Range<u64>) -> Vec<OutputEvent> {
    range.map(|number| event(number, &document(number).to_string())).collect()
}

/// How often each document is there.
fn counted(documents: &[Value]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for found in documents {
        let id = found["id"].as_u64().unwrap();
        assert_eq!(*found, document(id), "as it was delivered");
        *counts.entry(id).or_default() += 1;
    }
    counts
}

fn once(range: Range<u64>) -> BTreeMap<u64, usize> {
    range.map(|id| (id, 1)).collect()
}

/// Waits until so many documents are there: a pipe's reader needs its time.
async fn stored<C: Counterpart>(counterpart: &mut C, count: u64) -> Vec<Value> {
    let mut found = Vec::new();
    wait_until(&format!("{count} documents are there"), async || {
        found = counterpart.stored().await;
        found.len() as u64 >= count
    })
    .await;
    found
}

async fn expect<C: Counterpart>(counterpart: &mut C, expected: &BTreeMap<u64, usize>) {
    let count = expected.values().sum::<usize>();
    let found = counted(&stored(counterpart, count as u64).await);
    let wrong: Vec<_> = expected
        .keys()
        .chain(found.keys())
        .map(|id| (id, expected.get(id).unwrap_or(&0), found.get(id).unwrap_or(&0)))
        .filter(|(_, expected, found)| expected != found)
        .collect();
    assert!(wrong.is_empty(), "id, how often it must be there, how often it is: {wrong:?}");
}

pub(crate) async fn accepted<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    assert_eq!(sink.deliver(&[]).await.unwrap(), []);
    for range in [0..1, 1..C::MANY] {
        let events = batch(range);
        let verdicts = sink.deliver(&events).await.unwrap();
        assert_eq!(verdicts, vec![Verdict::Accepted; events.len()]);
    }
    let mut found: Vec<_> = stored(&mut counterpart, C::MANY).await;
    if !C::PROMISE.in_order {
        found.sort_by_key(|document| document["id"].as_u64());
    }
    assert_eq!(found, (0..C::MANY).map(document).collect::<Vec<_>>());
    sink.close().await.unwrap();
    expect(&mut counterpart, &once(0..C::MANY)).await;
}

pub(crate) async fn replayed<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    // The next owner of the shard cuts its batches elsewhere, unless they are prepared.
    let ranges = match C::PROMISE.knows_again {
        Again::Batch => vec![0..20, 0..20, 20..30],
        Again::Event | Again::No => vec![0..20, 10..30],
    };
    for range in ranges {
        let sink = counterpart.open(&counterpart.config()).await.unwrap();
        assert_eq!(sink.prepares(), C::PROMISE.knows_again == Again::Batch);
        let events = batch(range);
        let verdicts = sink.deliver(&events).await.unwrap();
        assert_eq!(verdicts, vec![Verdict::Accepted; events.len()]);
        sink.close().await.unwrap();
    }
    let mut expected = once(0..30);
    if C::PROMISE.knows_again == Again::No {
        expected.extend((10..20).map(|id| (id, 2)));
    }
    expect(&mut counterpart, &expected).await;
}

pub(crate) async fn throttled<C: Counterpart>() {
    fails_once::<C>(Fault::Throttle).await;
}

pub(crate) async fn taken_in_part<C: Counterpart>() {
    fails_once::<C>(Fault::Part).await;
}

/// The first attempt fails: whatever was taken of it is not sent again.
async fn fails_once<C: Counterpart>(fault: Fault) {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    counterpart.fail_next(fault).await;
    let failures = Failures::default();
    assert_eq!(deliver(&*sink, &batch(0..40), &failures).await, []);
    assert!(failures.count() > 0, "no attempt failed");
    expect(&mut counterpart, &once(0..40)).await;
}

pub(crate) async fn answer_lost<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    let failures = Failures::default();
    // Something is there before: the connection is in use.
    assert_eq!(deliver(&*sink, &batch(0..3), &failures).await, []);
    counterpart.fail_next(Fault::LoseAnswer).await;
    assert_eq!(deliver(&*sink, &batch(3..8), &failures).await, []);
    assert!(failures.count() > 0, "no attempt failed");
    let mut expected = once(0..8);
    if C::PROMISE.knows_again == Again::No {
        expected.extend((3..8).map(|id| (id, 2)));
    }
    expect(&mut counterpart, &expected).await;
}

pub(crate) async fn refused<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    let bad = counterpart.refused();
    let mut events = Vec::new();
    for (index, (document, _)) in bad.iter().enumerate() {
        let index = index as u64;
        events.extend(batch(index * 100..index * 100 + 3));
        events.push(event(index * 100 + 50, &document.to_string()));
    }
    events.extend(batch(1000..1003));
    let refused = deliver(&*sink, &events, &Failures::default()).await;
    assert_eq!(refused.len(), bad.len(), "{refused:?}");
    for ((index, why), (number, (_, part))) in refused.iter().zip(bad.iter().enumerate()) {
        assert_eq!(*index, number * 4 + 3, "{why}");
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    }
    let mut expected = once(1000..1003);
    for index in 0..bad.len() as u64 {
        expected.extend(once(index * 100..index * 100 + 3));
    }
    expect(&mut counterpart, &expected).await;
}

pub(crate) async fn slow<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    assert_eq!(deliver(&*sink, &batch(0..3), &Failures::default()).await, []);
    counterpart.hold().await;
    let failures = Failures::default();
    let (events, counting) = (batch(3..C::MANY), failures.clone());
    let delivery = tokio::spawn(async move { deliver(&*sink, &events, &counting).await });
    wait_until("the delivery waits", async || counterpart.is_waiting()).await;
    assert!(!delivery.is_finished(), "it did not wait");
    counterpart.let_go().await;
    assert_eq!(delivery.await.unwrap(), []);
    assert_eq!(failures.count(), 0, "what is slow has not failed");
    expect(&mut counterpart, &once(0..C::MANY)).await;
}

pub(crate) async fn dead_and_back<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    assert_eq!(deliver(&*sink, &batch(0..20), &Failures::default()).await, []);
    stored(&mut counterpart, 20).await;
    for round in 1..3 {
        counterpart.stop().await;
        let failures = Failures::default();
        let (events, counting) = (batch(round * 20..round * 20 + 20), failures.clone());
        let its = std::sync::Arc::clone(&sink);
        let delivery = tokio::spawn(async move { deliver(&*its, &events, &counting).await });
        wait_until("attempts fail", async || failures.count() > 1).await;
        counterpart.start_again().await;
        assert_eq!(delivery.await.unwrap(), []);
        stored(&mut counterpart, round * 20 + 20).await;
    }
    expect(&mut counterpart, &once(0..60)).await;
}

pub(crate) async fn checked<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let sink = counterpart.open(&counterpart.config()).await.unwrap();
    sink.check().await.unwrap();
    for (config, part) in counterpart.misconfigured() {
        let checked = match counterpart.open(&config).await {
            Ok(sink) => sink.check().await,
            Err(error) => Err(error),
        };
        let Err(SinkError::Misconfigured(why)) = checked else { panic!("{config}: {checked:?}") };
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    }
    assert_eq!(counterpart.stored().await, Vec::<Value>::new(), "a check writes nothing");
    counterpart.stop().await;
    sink.check().await.expect_err("it is dead");
    counterpart.start_again().await;
    sink.check().await.unwrap();
    assert_eq!(counterpart.stored().await, Vec::<Value>::new(), "a check writes nothing");
    assert_eq!(deliver(&*sink, &batch(0..3), &Failures::default()).await, []);
    expect(&mut counterpart, &once(0..3)).await;
}
