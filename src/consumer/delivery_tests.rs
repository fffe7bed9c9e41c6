//! Tests of attempts, splits and giving up.

use tokio::time::timeout;

use super::*;
use crate::{
    consumer::{
        Ledger, RetryLimits, RetryPause,
        testing::{
            START, ScriptedSink, VirtualClock, accept, delivery, down, position, record,
            refuse_batches_with,
        },
    },
    etl::Delivery,
    leasing::fixtures::{GrantHandle, grant, lease},
    model::EpochMillis,
};

const MINUTE: Duration = Duration::from_mins(1);

struct Bench {
    delivery: BatchDelivery,
    grant: GrantHandle,
}

fn bench(sink: &Arc<ScriptedSink>, limits: RetryLimits) -> Bench {
    let (right, grant) = grant(lease("shardId-000000000000").build());
    let pause = RetryPause { min: Duration::from_millis(200), max: Duration::from_secs(30) };
    let delivery = BatchDelivery {
        sink: Arc::clone(sink) as Arc<dyn Sink>,
        name: Arc::from("out"),
        permit: Permit::Lease(Arc::new(right)),
        policy: RetryPolicy { limits, pause },
        clock: VirtualClock::start(),
        metrics: Arc::default(),
        meter: None,
    };
    Bench { delivery, grant }
}

/// An event or a letter for each text, of records that arrived `before` the start.
fn batch(texts: &[&str], before: Duration, route: Option<usize>) -> Vec<Queued> {
    let arrival = EpochMillis(START - i64::try_from(before.as_millis()).unwrap());
    let mut ledger = Ledger::default();
    let queued = |(number, text): (usize, &&str)| Queued {
        delivery: Delivery { route, ..delivery(&record(number, "key", text, arrival)) },
        ticket: ledger.open((position(number), arrival), 1, None),
        record: record(number, "key", text, arrival),
        holds: None,
    };
    texts.iter().enumerate().map(queued).collect()
}

/// Two days of virtual time are more than enough.
async fn in_time<T>(run: impl Future<Output = T>) -> T {
    timeout(Duration::from_hours(48), run).await.expect("it is not tried for ever")
}

/// Delivers texts as events of records of this age; answers those that were given up or refused, and why.
async fn deliver(
    sink: &Arc<ScriptedSink>,
    limits: RetryLimits,
    texts: &[&str],
    age: Duration,
) -> Vec<(String, String)> {
    let run = bench(sink, limits).delivery.run(batch(texts, age, Some(0)), 7);
    let verdicts = in_time(run).await;
    assert_eq!(verdicts.len(), texts.len());
    let dead = verdicts.into_iter().filter_map(|(queued, reason)| {
        let text = String::from_utf8_lossy(&queued.delivery.output.json).into_owned();
        Some((text, reason?))
    });
    dead.collect()
}

fn limits(attempts: Option<u32>, age: Option<Duration>) -> RetryLimits {
    RetryLimits { attempts, age, ..RetryLimits::default() }
}

const EIGHT: [&str; 8] = ["0", "1", "2", "3", "4", "bad", "6", "7"];

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_given_up() {
    let began = Instant::now();
    let day = Duration::from_hours(24);
    let sink =
        ScriptedSink::new(move |texts| if began.elapsed() < day { down() } else { accept(texts) });
    let dead = deliver(&sink, RetryLimits::default(), &["a", "b"], Duration::ZERO).await;
    assert_eq!(dead, []);
    assert_eq!(sink.taken(), ["a", "b"]);
    assert!(sink.calls().iter().all(|call| call.len() == 2), "a sink that is down splits nothing");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_given_up_after_its_retries_and_the_others_are_not() {
    let sink = ScriptedSink::new(|texts| {
        let verdict = |text: &String| match text.as_str() {
            "bad" => Verdict::Retry("not today".to_owned()),
            "never" => Verdict::Refused("too long".to_owned()),
            _ => Verdict::Accepted,
        };
        Ok(texts.iter().map(verdict).collect())
    });
    let dead = deliver(&sink, limits(Some(3), None), &["a", "bad", "never", "b"], MINUTE).await;
    let gave_up = "gave up after 4 attempts (maximum_retry_attempts = 3): not today";
    let expect = [("bad", gave_up), ("never", "too long")];
    assert_eq!(dead, expect.map(|(text, why)| (text.to_owned(), why.to_owned())));
    assert_eq!(sink.taken(), ["a", "b"]);
    assert_eq!(sink.attempts()["bad"], 4);
}

#[tokio::test(start_paused = true)]
async fn an_outage_counts_and_takes_the_whole_batch() {
    let sink = ScriptedSink::new(|_| down());
    let dead = deliver(&sink, limits(Some(0), None), &["a", "b"], Duration::ZERO).await;
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].1, "gave up after 1 attempt (maximum_retry_attempts = 0): down");
    assert_eq!(sink.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_delivered_at_any_age() {
    let sink = ScriptedSink::new(accept);
    let age = limits(None, Some(MINUTE));
    assert_eq!(deliver(&sink, age, &["a"], Duration::from_hours(100)).await, []);
    assert_eq!(sink.taken(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_event_is_given_up_when_it_fails() {
    let sink = ScriptedSink::new(|_| down());
    let dead = deliver(&sink, limits(None, Some(MINUTE)), &["a"], MINUTE * 2).await;
    assert_eq!(dead[0].1, "gave up after 1 attempt (maximum_record_age = 1m): down");
}

#[tokio::test(start_paused = true)]
async fn a_young_event_is_tried_until_it_is_too_old() {
    let began = Instant::now();
    let sink = ScriptedSink::new(|_| down());
    let dead = deliver(&sink, limits(None, Some(MINUTE)), &["a"], MINUTE / 2).await;
    assert_eq!(dead.len(), 1);
    assert!(sink.calls().len() > 5, "{:?}", sink.calls().len());
    // The last pause may be 25.6 s long.
    let waited = began.elapsed();
    assert!(MINUTE / 2 < waited && waited < MINUTE, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_event_is_found_by_halving_and_the_order_is_kept() {
    let sink = ScriptedSink::new(|texts| refuse_batches_with(texts, "bad"));
    let dead = deliver(&sink, limits(Some(2), None), &EIGHT, Duration::ZERO).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0, "bad");
    assert_eq!(
        dead[0].1,
        "gave up after 3 attempts (maximum_retry_attempts = 2): one of them is bad"
    );
    assert_eq!(sink.taken(), ["0", "1", "2", "3", "4", "6", "7"]);
    let sizes: Vec<usize> = sink.calls().iter().map(Vec::len).collect();
    // Three splits; "bad" alone three times; what was good in one call each.
    assert_eq!(sizes, [8, 4, 4, 2, 1, 1, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn without_retries_only_the_bad_event_is_given_up() {
    let sink = ScriptedSink::new(|texts| refuse_batches_with(texts, "bad"));
    let dead = deliver(&sink, limits(Some(0), None), &EIGHT, Duration::ZERO).await;
    assert_eq!(dead.len(), 1, "only the bad one: {dead:?}");
    assert_eq!(sink.attempts()["bad"], 4, "three times in company, once alone");
}

#[tokio::test(start_paused = true)]
async fn attempts_before_a_split_count() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let sink = ScriptedSink::new(move |texts| {
        match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => down(),
            _ => refuse_batches_with(texts, "bad"),
        }
    });
    let dead = deliver(&sink, limits(Some(1), None), &["bad", "b"], Duration::ZERO).await;
    assert_eq!(dead.len(), 1);
    let sizes: Vec<usize> = sink.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1, 1], "down, refused, the bad one alone, the other");
}

#[tokio::test(start_paused = true)]
async fn a_bad_event_without_limits_holds_back_what_comes_after_it() {
    let sink = ScriptedSink::new(|texts| refuse_batches_with(texts, "bad"));
    let endless = deliver(&sink, RetryLimits::default(), &EIGHT, Duration::ZERO);
    assert!(timeout(Duration::from_hours(1), endless).await.is_err());
    assert_eq!(sink.taken(), ["0", "1", "2", "3", "4"]);
    let calls = sink.calls().len();
    assert!(calls < 200, "{calls} calls in an hour");
}

#[tokio::test(start_paused = true)]
async fn without_bisecting_a_refused_batch_stays_whole() {
    let sink = ScriptedSink::new(|texts| refuse_batches_with(texts, "bad"));
    let whole = RetryLimits { bisect: false, ..limits(Some(1), None) };
    let dead = deliver(&sink, whole, &EIGHT, Duration::ZERO).await;
    assert_eq!(dead.len(), 8);
    let sizes: Vec<usize> = sink.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [8, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_never_given_up() {
    let began = Instant::now();
    let sink = ScriptedSink::new(move |texts| match began.elapsed() {
        waited if waited < MINUTE => down(),
        waited if waited < MINUTE * 2 => {
            Ok(vec![Verdict::Refused("too long".to_owned()); texts.len()])
        }
        _ => accept(texts),
    });
    let letters = batch(&["a"], Duration::from_hours(1), None);
    let limits = limits(Some(0), Some(Duration::from_secs(1)));
    let verdicts = in_time(bench(&sink, limits).delivery.run(letters, 7)).await;
    assert!(verdicts.iter().all(|(_, dead)| dead.is_none()));
    assert_eq!(sink.taken(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_while_the_lease_is_not_valid() {
    let sink = ScriptedSink::new(|_| down());
    let Bench { delivery, grant } = bench(&sink, limits(Some(2), None));
    // The first attempt begins at once, the second comes after 100 ms at least.
    grant.valid_until.send_replace(Instant::now() + Duration::from_millis(50));
    let mut delivery = Box::pin(delivery.run(batch(&["a"], Duration::ZERO, Some(0)), 7));
    assert!(timeout(MINUTE, delivery.as_mut()).await.is_err());
    assert_eq!(sink.calls().len(), 1);
    grant.valid_until.send_replace(Instant::now() + MINUTE);
    assert_eq!(in_time(delivery).await.len(), 1);
    assert_eq!(sink.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_sink_is_not_split_either() {
    let sink = ScriptedSink::new(|_| Err(SinkError::Misconfigured("no such table".to_owned())));
    let dead = deliver(&sink, limits(Some(2), None), &EIGHT, Duration::ZERO).await;
    assert_eq!((dead.len(), sink.calls().len()), (8, 3));
}
