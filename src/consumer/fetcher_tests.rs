//! A polled shard on virtual time: what each answer of Kinesis brings about, and where reading ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{
    ConsumerContext, ConsumerStream,
    fetcher::Fetcher,
    pages::{Fetched, PageSource},
    testing::{START, context, source},
};
use crate::{
    leasing::{
        ConsumerExit,
        fixtures::{grant, lease},
    },
    metrics::Loss,
    model::{
        Aggregates, Checkpoint, EpochMillis, InitialPosition, Lease, RawRecord, RecordPage,
        SequenceNumber, Shard, ShardId,
    },
    ports::{ShardIterator, StartAt, StreamError, StreamReader},
};

const SECOND: Duration = Duration::from_secs(1);

/// Answers one call of the script.
pub(super) type Answer = Result<RecordPage<ShardIterator>, StreamError>;

/// A stream that answers as it is told, and remembers what it was asked.
#[derive(Default)]
struct Script {
    iterators: Mutex<VecDeque<StreamError>>,
    answers: Mutex<VecDeque<Answer>>,
    oldest: Mutex<Option<RawRecord>>,
    listed: Mutex<Vec<Shard>>,
    starts: Mutex<Vec<StartAt>>,
    calls: Mutex<Vec<(Instant, u32)>>,
}

#[async_trait]
impl StreamReader for Script {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(self.listed.lock().unwrap().clone())
    }

    async fn iterator(&self, _: &ShardId, start: &StartAt) -> Result<ShardIterator, StreamError> {
        self.starts.lock().unwrap().push(start.clone());
        match self.iterators.lock().unwrap().pop_front() {
            Some(problem) => Err(problem),
            None => Ok(ShardIterator(format!("{start:?}"))),
        }
    }

    async fn records(&self, _: &ShardIterator, limit: u32) -> Answer {
        if limit == 1 {
            // The oldest record is looked at.
            let records = self.oldest.lock().unwrap().clone().into_iter().collect();
            return Ok(page(records, Duration::ZERO));
        }
        self.calls.lock().unwrap().push((Instant::now(), limit));
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(page(vec![], Duration::ZERO)))
    }
}

pub(super) fn page(records: Vec<RawRecord>, behind_latest: Duration) -> RecordPage<ShardIterator> {
    let next = Some(ShardIterator("next".to_owned()));
    RecordPage { records, next, behind_latest, children: Vec::new() }
}

fn sequence(number: u64) -> SequenceNumber {
    number.to_string().parse().unwrap()
}

pub(super) fn record(number: u64) -> RawRecord {
    RawRecord {
        sequence: sequence(number),
        partition_key: "k".to_owned(),
        data: b"data".to_vec().into(),
        arrival: EpochMillis(START + i64::try_from(number).unwrap() * 1000),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a stream answers")]
fn records(numbers: &[u64]) -> Answer {
    Ok(page(numbers.iter().copied().map(record).collect(), Duration::ZERO))
}

/// A fetcher on a script.
struct Bench {
    script: Arc<Script>,
    context: Arc<ConsumerContext>,
    fetcher: Fetcher,
}

impl Bench {
    fn new(answers: Vec<Answer>) -> Self {
        Self::of(lease(source().shard.as_str()).build(), answers, None)
    }

    fn of(lease: Lease, answers: Vec<Answer>, until: Option<EpochMillis>) -> Self {
        let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
        let reader = Arc::clone(&script) as Arc<dyn StreamReader>;
        let (fetcher, context) = fetcher(lease, reader, until, 64 << 20);
        Self { script, context, fetcher }
    }

    /// The numbers of the records on the next page.
    async fn page(&mut self) -> Vec<u64> {
        match self.fetcher.next().await {
            Fetched::Page(records, _) => numbers(&records),
            Fetched::End(exit) => panic!("{exit:?}"),
            Fetched::Tip(_) => panic!("there are no windows"),
        }
    }

    async fn end(&mut self) -> ConsumerExit {
        match self.fetcher.next().await {
            Fetched::Page(records, _) => panic!("{records:?}"),
            Fetched::End(exit) => exit,
            Fetched::Tip(_) => panic!("there are no windows"),
        }
    }

    fn starts(&self) -> Vec<StartAt> {
        self.script.starts.lock().unwrap().clone()
    }

    /// The time between the first two calls.
    fn pause(&self) -> Duration {
        let calls = self.script.calls.lock().unwrap();
        calls[1].0 - calls[0].0
    }
}

fn numbers(records: &[RawRecord]) -> Vec<u64> {
    records.iter().map(|record| record.sequence.as_str().parse().unwrap()).collect()
}

/// A fetcher with a budget of so many bytes.
pub(super) fn fetcher(
    lease: Lease,
    reader: Arc<dyn StreamReader>,
    until: Option<EpochMillis>,
    budget: u64,
) -> (Fetcher, Arc<ConsumerContext>) {
    let stream = ConsumerStream {
        name: source().stream,
        format: source().format,
        initial_position: InitialPosition::TrimHorizon,
        until,
        aggregates: Aggregates::default(),
        reader,
        fan_out: None,
    };
    let context = Arc::new(context(stream.clone(), budget));
    let (grant, _) = grant(lease);
    let rng = StdRng::seed_from_u64(7);
    (Fetcher::new(Arc::new(grant), Arc::clone(&context), &stream, rng), context)
}

fn checkpointed(number: u64) -> Lease {
    let checkpoint = Checkpoint::parse(&number.to_string(), 0).unwrap();
    lease(source().shard.as_str()).checkpoint(checkpoint).build()
}

// === The table of docs/reading.md, row by row ===

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_at_once_behind_the_last_record_read() {
    let mut bench =
        Bench::new(vec![records(&[1, 2]), Err(StreamError::IteratorExpired), records(&[3])]);
    *bench.script.oldest.lock().unwrap() = Some(record(1));
    assert_eq!(bench.page().await, [1, 2]);
    let before = Instant::now();
    assert_eq!(bench.page().await, [3]);
    assert!(before.elapsed() <= SECOND / 4, "only the usual pause");
    let starts = [StartAt::TrimHorizon, StartAt::After(sequence(2)), StartAt::TrimHorizon];
    assert_eq!(bench.starts(), starts, "the last one looks for a gap");
    assert_eq!(bench.context.metrics.losses(Loss::Gap), 0);
}

#[tokio::test(start_paused = true)]
async fn throttling_and_passing_faults_repeat_the_call_after_a_pause() {
    let down = || StreamError::Unavailable("reset".to_owned());
    for problem in [StreamError::Throttled, down()] {
        let mut bench = Bench::new(vec![Err(problem), records(&[1])]);
        assert_eq!(bench.page().await, [1]);
        assert_eq!(bench.starts(), [StartAt::TrimHorizon], "with the same iterator");
        assert!((SECOND / 8..=SECOND / 4).contains(&bench.pause()), "{:?}", bench.pause());
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_a_human_can_mend_is_tried_again_with_growing_pauses() {
    let denied = || Err(StreamError::Denied("KMSAccessDeniedException".to_owned()));
    let mut bench = Bench::new((0..8).map(|_| denied()).chain([records(&[1])]).collect());
    let before = Instant::now();
    assert_eq!(bench.page().await, [1]);
    assert!(before.elapsed() > 10 * SECOND, "{:?}", before.elapsed());
    assert!(before.elapsed() < 40 * SECOND, "it does not wait for long once it is mended");
}

#[tokio::test(start_paused = true)]
async fn a_refused_iterator_is_asked_for_again() {
    let invalid = StreamError::Invalid("iterator".to_owned());
    let mut bench = Bench::new(vec![records(&[1]), Err(invalid), records(&[2])]);
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.page().await, [2]);
    assert_eq!(bench.starts()[1], StartAt::After(sequence(1)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_position_is_a_gap_and_everything_kept_is_read() {
    let mut bench = Bench::of(checkpointed(7), vec![records(&[9])], None);
    *bench.script.oldest.lock().unwrap() = Some(record(9));
    let trimmed = StreamError::Invalid("sequence number".to_owned());
    bench.script.iterators.lock().unwrap().push_back(trimmed);
    assert_eq!(bench.page().await, [9]);
    assert_eq!(bench.starts()[..2], [StartAt::At(sequence(7)), StartAt::TrimHorizon]);
    assert_eq!(bench.context.metrics.losses(Loss::Gap), 1);
}

/// The clock of whoever took the shard first is ahead of Kinesis's. All that is kept was put before then.
#[tokio::test(start_paused = true)]
async fn a_time_that_is_not_reached_is_waited_for() {
    let mut lease = lease(source().shard.as_str()).build();
    lease.latest_since = Some(EpochMillis(7));
    let mut bench = Bench::of(lease, vec![records(&[1])], None);
    for _ in 0..3 {
        let early = StreamError::Invalid("timestampInMillis is in the future".to_owned());
        bench.script.iterators.lock().unwrap().push_back(early);
    }
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.starts(), vec![StartAt::Timestamp(EpochMillis(7)); 4]);
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_while_nobody_could_read_is_a_gap() {
    let mut bench =
        Bench::new(vec![records(&[1]), Err(StreamError::IteratorExpired), records(&[9])]);
    *bench.script.oldest.lock().unwrap() = Some(record(9));
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.page().await, [9]);
    assert_eq!(bench.context.metrics.losses(Loss::Gap), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_shard_ends_and_a_missing_stream_is_waited_for() {
    let gone = || Err(StreamError::NotFound("gone".to_owned()));
    let mut bench = Bench::new(vec![gone(), records(&[1])]);
    assert_eq!(bench.page().await, [1], "no shard is listed at all: the stream is not there");

    let mut bench = Bench::new(vec![gone()]);
    let other = Shard { id: ShardId::new("other"), parents: vec![], hash_range: None, open: true };
    bench.script.listed.lock().unwrap().push(other);
    assert_eq!(bench.end().await, ConsumerExit::ShardGone);
    assert_eq!(bench.context.metrics.losses(Loss::Shard), 1);
}

// === Where reading ends ===

/// The time of a record's arrival.
#[expect(clippy::unnecessary_wraps, reason = "reading may have no end")]
fn at(number: u64) -> Option<EpochMillis> {
    Some(record(number).arrival)
}

#[tokio::test(start_paused = true)]
async fn reading_ends_before_the_first_record_of_that_time() {
    let open = || lease(source().shard.as_str()).build();
    let mut bench = Bench::of(open(), vec![records(&[1, 2]), records(&[3, 4, 5])], at(4));
    assert_eq!(bench.page().await, [1, 2]);
    assert_eq!(bench.page().await, [3]);
    assert_eq!(bench.end().await, ConsumerExit::Reached(None));

    let mut bench = Bench::of(open(), vec![records(&[4])], at(4));
    assert_eq!(bench.end().await, ConsumerExit::Reached(None), "nothing is left to read");
}

#[tokio::test(start_paused = true)]
async fn at_the_tip_reading_ends_once_the_time_is_over() {
    let mut bench = Bench::of(lease("s").build(), vec![records(&[1])], at(60));
    assert_eq!(bench.page().await, [1]);
    let before = Instant::now();
    assert_eq!(bench.end().await, ConsumerExit::Reached(None));
    let waited = before.elapsed();
    assert!((60 * SECOND..63 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn behind_the_tip_an_empty_page_says_nothing() {
    let empty = || Ok(page(vec![], SECOND));
    let answers = vec![empty(), empty(), records(&[1]), records(&[9])];
    let mut bench = Bench::of(lease("s").build(), answers, at(5));
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.end().await, ConsumerExit::Reached(None));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_ended_before_is_ended() {
    let last = RecordPage { next: None, ..page(vec![record(1)], Duration::ZERO) };
    let end = RecordPage { next: None, ..page(vec![], Duration::ZERO) };
    let closed = || vec![Ok(last.clone()), Ok(end.clone())];
    let mut bench = Bench::of(lease("s").build(), closed(), at(5));
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.end().await, ConsumerExit::ShardEnded(Vec::new()));

    let mut bench = Bench::of(lease("s").build(), closed(), at(1));
    assert_eq!(bench.end().await, ConsumerExit::Reached(None), "its last record is not for now");
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_repeats_is_a_line_each_time_its_row_doubles() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let reset = || Err(StreamError::Unavailable("reset by peer".to_owned()));
    let answers = (0..100).map(|_| reset()).chain([records(&[1])]);
    let mut bench = Bench::new(answers.collect());
    assert_eq!(bench.page().await, [1]);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // 1, 2, 4, 8, 16, 32, 64
    assert_eq!(text.matches("could not read, will retry").count(), 7, "{text}");
    assert_eq!(text.matches("reading again").count(), 1, "{text}");
    assert!(text.contains("failed_calls=100"), "it says how many there were: {text}");
}
