//! Letters are neither lost nor multiplied, whatever the sinks say and whenever a replay ends.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::{
    codec::DecodeLimits,
    consumer::{
        BatchLimits, Budget, ConsumerParams, NamedSink, PacingParams, Pause, RetryLimits,
        RetryPause,
        testing::{Answer, START, ScriptedSink, VirtualClock, accept, down, record},
    },
    etl::{DeadLetter, LetterId, Pipeline, PipelineParts, Route},
    metrics::Metrics,
    model::{EpochMillis, Format},
    ports::{Sink, SinkError, Verdict},
};

fn context(out: &Arc<ScriptedSink>, parked: &Arc<ScriptedSink>) -> Arc<ConsumerContext> {
    let named = |name: &str, sink: &Arc<ScriptedSink>| NamedSink {
        name: Arc::from(name),
        sink: Arc::clone(sink) as Arc<dyn Sink>,
        batch: BatchLimits { events: 3, bytes: 4096, window: Duration::ZERO },
        lanes: 1,
        retry: RetryLimits { attempts: Some(2), ..RetryLimits::default() },
    };
    Arc::new(ConsumerContext {
        streams: Vec::new(),
        pipeline: Arc::new(pipeline()),
        sinks: vec![named("out", out), named("parked", parked)],
        budget: Budget::new(1 << 20),
        params: ConsumerParams {
            pacing: PacingParams {
                poll_interval: Duration::from_millis(250),
                idle_poll_interval: Duration::from_secs(1),
            },
            queue_bytes: 512,
            retry: RetryPause { min: Duration::from_millis(200), max: Duration::from_secs(30) },
        },
        clock: VirtualClock::start(),
        pause: Pause::default(),
        metrics: Arc::new(Metrics::default()),
    })
}

fn pipeline() -> Pipeline {
    Pipeline::new(PipelineParts {
        routes: vec![Route::new("all", 0)],
        sinks: vec!["out".to_owned(), "parked".to_owned()],
        dead_letters: 1,
        limits: DecodeLimits::default(),
        configuration: "test".to_owned(),
    })
}

/// Letters of events that a sink refused: `0`, `1` and so on.
fn refused(count: usize) -> Vec<DeadLetter> {
    let pipeline = pipeline();
    let letter = |number: usize| {
        let record = record(number + 1, "key", &number.to_string(), EpochMillis(START));
        let processed = pipeline.process(&record);
        let delivery = processed.deliveries.first().expect("one route");
        let letter = pipeline.refused(&record, delivery, "no".to_owned());
        DeadLetter::parse(&letter.output.json).unwrap()
    };
    (0..count).map(letter).collect()
}

fn parked(sink: &ScriptedSink) -> Vec<DeadLetter> {
    sink.taken().iter().map(|line| DeadLetter::parse(line.as_bytes()).unwrap()).collect()
}

/// How a replay ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// After the last letter.
    Last,
    /// Drained after so many milliseconds.
    Drained(u64),
    /// Cut off after so many.
    Crash(u64),
}

/// Replays letters; answers those that are done, by number.
async fn replay(
    context: &Arc<ConsumerContext>,
    letters: &[DeadLetter],
    end: End,
) -> Vec<(u64, LetterOutcome)> {
    let done = RefCell::new(Vec::new());
    let (send, receive) = mpsc::channel(letters.len().max(1));
    for (number, letter) in (0..).zip(letters) {
        let record = context.pipeline.revive(letter.clone(), |_| Some(Format::Text), false);
        send.try_send(Letter { number, record: record.unwrap() }).unwrap();
    }
    drop(send);
    let drain = CancellationToken::new();
    let note = |number, outcome| done.borrow_mut().push((number, outcome));
    let run = Replayer::new(Arc::clone(context), note, 7).run(receive, drain.clone());
    let after = |millis| tokio::time::sleep(Duration::from_millis(millis));
    match end {
        End::Last => run.await,
        End::Drained(millis) => {
            let drain = async {
                after(millis).await;
                drain.cancel();
            };
            tokio::join!(run, drain);
        }
        End::Crash(millis) => drop(tokio::time::timeout(Duration::from_millis(millis), run).await),
    }
    done.into_inner()
}

#[tokio::test(start_paused = true)]
async fn each_letter_is_done_once_with_its_outcome() {
    let out = ScriptedSink::new(|texts| {
        let verdict = |text: &String| match &**text {
            "1" => Verdict::Refused("too odd".to_owned()),
            _ => Verdict::Accepted,
        };
        Ok(texts.iter().map(verdict).collect())
    });
    let letters_sink = ScriptedSink::new(accept);
    let context = context(&out, &letters_sink);
    let letters = refused(3);
    let mut done = replay(&context, &letters, End::Last).await;
    done.sort_by_key(|(number, _)| *number);
    let failed = LetterOutcome::DeadLettered(Stage::Deliver, "too odd".to_owned());
    assert_eq!(done, [(0, LetterOutcome::Delivered), (1, failed), (2, LetterOutcome::Delivered)]);
    let [again] = &parked(&letters_sink)[..] else { panic!("one letter") };
    assert_eq!((again.id(), again.attempts), (letters[1].id(), 2));
    let tally = context.metrics.tally();
    assert_eq!((tally.records, tally.events, tally.delivered, tally.dead_lettered), (3, 3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_holds_the_letters_back() {
    let out = ScriptedSink::new(|_| Err(SinkError::Unavailable("down".to_owned())));
    let letters_sink = ScriptedSink::new(|_| down());
    let context = context(&out, &letters_sink);
    let done = replay(&context, &refused(50), End::Crash(3_600_000)).await;
    assert_eq!(done, []);
    let seen: BTreeSet<String> = out.calls().into_iter().flatten().collect();
    assert!(seen.len() < 10, "the queues are full long before all are read: {seen:?}");
}

/// What a list of done letters knows; see the command.
#[derive(Default)]
struct Done(BTreeMap<LetterId, u32>);

impl Done {
    fn note(&mut self, letter: &DeadLetter, outcome: &LetterOutcome) {
        let upto = match outcome {
            LetterOutcome::DeadLettered(..) => letter.attempts,
            _ => u32::MAX,
        };
        let known = self.0.entry(letter.id()).or_default();
        *known = upto.max(*known);
    }

    /// The letters that another replay takes: the first of each that is not done.
    fn live(&self, all: &[DeadLetter]) -> Vec<DeadLetter> {
        let mut seen = BTreeSet::new();
        let open = all
            .iter()
            .filter(|letter| self.0.get(&letter.id()).is_none_or(|upto| letter.attempts > *upto));
        open.filter(|letter| seen.insert(letter.id())).cloned().collect()
    }
}

/// Takes, refuses and puts off as chance says.
fn moody(seed: u64) -> impl Fn(&[String]) -> Answer {
    let rng = std::sync::Mutex::new(StdRng::seed_from_u64(seed));
    move |texts| {
        let mut rng = rng.lock().unwrap();
        match rng.random_range(0..8) {
            0 => return down(),
            1 => return Err(SinkError::BatchRefused("one of them".to_owned())),
            _ => {}
        }
        let verdict = |_: &String| match rng.random_range(0..6) {
            0 => Verdict::Retry("busy".to_owned()),
            1 | 2 => Verdict::Refused("no".to_owned()),
            _ => Verdict::Accepted,
        };
        Ok(texts.iter().map(verdict).collect())
    }
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Last),
        (0u64..2000).prop_map(End::Drained),
        (0u64..2000).prop_map(End::Crash)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn letters_are_neither_lost_nor_multiplied(
        count in 1usize..25,
        rounds in prop::collection::vec((any::<u64>(), end()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut all = refused(count);
            let mut done = Done::default();
            let mut delivered: Vec<String> = Vec::new();
            let crashed = rounds.iter().any(|(_, end)| matches!(end, End::Crash(_)));
            let last = [(0, End::Last)];
            for (place, (seed, end)) in rounds.iter().chain(&last).enumerate() {
                let good = place == rounds.len();
                let takes = Duration::from_millis(20);
                let (out, letters_sink) = match good {
                    true => (ScriptedSink::new(accept), ScriptedSink::new(accept)),
                    false => (
                        ScriptedSink::slow(takes, moody(*seed)),
                        ScriptedSink::slow(takes, accept),
                    ),
                };
                let live = done.live(&all);
                prop_assert!(live.len() <= count, "each part of a record is under way once");
                let context = context(&out, &letters_sink);
                for (number, outcome) in replay(&context, &live, *end).await {
                    done.note(&live[usize::try_from(number).unwrap()], &outcome);
                }
                delivered.extend(out.taken());
                let new = parked(&letters_sink);
                let ids: BTreeSet<LetterId> = new.iter().map(DeadLetter::id).collect();
                prop_assert_eq!(ids.len(), new.len(), "one letter of each");
                all.extend(new);
            }
            prop_assert_eq!(done.live(&all).len(), 0);
            let expect: BTreeSet<String> = (0..count).map(|number| number.to_string()).collect();
            let found: BTreeSet<String> = delivered.iter().cloned().collect();
            prop_assert_eq!(&found, &expect, "none is lost");
            if !crashed {
                prop_assert_eq!(delivered.len(), count, "none is delivered twice");
            }
            Ok(())
        })?;
    }
}
