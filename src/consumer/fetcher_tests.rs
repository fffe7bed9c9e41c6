//! A polled shard on virtual time: what each answer of Kinesis brings about, and how long records
//! wait.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{
    ConsumerContext, ConsumerStream, Reservation,
    fetcher::Fetcher,
    pages::{Fetched, PageSource},
    testing::{START, VirtualClock, context, source},
};
use crate::{
    leasing::{
        ConsumerExit,
        fixtures::{grant, lease},
    },
    model::{
        Aggregates, Checkpoint, EpochMillis, InitialPosition, Lease, RawRecord, RecordPage,
        SequenceNumber, Shard, ShardId,
    },
    ports::{ShardIterator, StartAt, StreamError, StreamReader, WallClock},
};

const SECOND: Duration = Duration::from_secs(1);

/// Answers one call of the script.
type Answer = Result<RecordPage<ShardIterator>, StreamError>;

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

fn page(records: Vec<RawRecord>, behind_latest: Duration) -> RecordPage<ShardIterator> {
    let next = Some(ShardIterator("next".to_owned()));
    RecordPage { records, next, behind_latest, children: Vec::new() }
}

fn sequence(number: u64) -> SequenceNumber {
    number.to_string().parse().unwrap()
}

fn record(number: u64) -> RawRecord {
    RawRecord {
        sequence: sequence(number),
        partition_key: "k".to_owned(),
        data: b"data".to_vec().into(),
        arrival: EpochMillis(START + i64::try_from(number).unwrap() * 1000),
    }
}

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
        }
    }

    async fn end(&mut self) -> ConsumerExit {
        match self.fetcher.next().await {
            Fetched::Page(records, _) => panic!("{records:?}"),
            Fetched::End(exit) => exit,
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
fn fetcher(
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
    assert_eq!(bench.context.losses.gaps(), 0);
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
    assert_eq!(bench.context.losses.gaps(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_while_nobody_could_read_is_a_gap() {
    let mut bench =
        Bench::new(vec![records(&[1]), Err(StreamError::IteratorExpired), records(&[9])]);
    *bench.script.oldest.lock().unwrap() = Some(record(9));
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.page().await, [9]);
    assert_eq!(bench.context.losses.gaps(), 1);
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
    assert_eq!(bench.context.losses.shards(), 1);
}

// === Where reading ends ===

/// The time of a record's arrival.
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
    sleep(20 * SECOND).await;
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

// === How long records wait, and whose bytes they are ===

/// A shard that is written to all the time, with the limits of Kinesis.
struct Written {
    clock: Arc<VirtualClock>,
    /// Time between two records, and their size.
    every: Duration,
    size: usize,
    state: Mutex<WrittenState>,
}

#[derive(Default)]
struct WrittenState {
    read: u64,
    calls: u64,
    refused: u64,
    free_at: Option<Instant>,
    began: Option<Instant>,
}

impl Written {
    fn new(every: Duration, size: usize) -> Arc<Self> {
        Arc::new(Self { clock: VirtualClock::start(), every, size, state: Mutex::default() })
    }
}

#[async_trait]
impl StreamReader for Written {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(Vec::new())
    }

    async fn iterator(&self, _: &ShardId, _: &StartAt) -> Result<ShardIterator, StreamError> {
        Ok(ShardIterator("next".to_owned()))
    }

    async fn records(&self, _: &ShardIterator, limit: u32) -> Answer {
        sleep(Duration::from_millis(10)).await;
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        let now = Instant::now();
        if state.free_at.is_some_and(|free| now < free) {
            state.refused += 1;
            return Err(StreamError::Throttled);
        }
        let passed = u64::try_from(self.clock.now().0 - START).unwrap();
        let put = passed / u64::try_from(self.every.as_millis()).unwrap();
        let most = u64::from(limit).min((10 << 20) / self.size as u64);
        let records: Vec<RawRecord> = (state.read..put)
            .take(most as usize)
            .map(|number| {
                let arrival =
                    START + i64::try_from((number + 1) * self.every.as_millis() as u64).unwrap();
                let data = vec![0; self.size].into();
                RawRecord { data, arrival: EpochMillis(arrival), ..record(number + 1) }
            })
            .collect();
        state.read += records.len() as u64;
        let bytes = records.len() * self.size;
        state.free_at = Some(now + Duration::from_secs_f64(bytes as f64 / 2.2e6));
        state.began.get_or_insert(now);
        let behind = self.every * u32::try_from(put - state.read).unwrap();
        Ok(page(records, behind))
    }
}

/// How long each record had to wait until its page was there.
async fn waits(shard: &Arc<Written>, fetcher: &mut Fetcher, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let mut waits = Vec::new();
    while let Ok(Fetched::Page(records, _)) = tokio::time::timeout_at(end, fetcher.next()).await {
        let now = shard.clock.now();
        waits.extend(records.iter().map(|r| Duration::from_millis(now.millis_since(r.arrival))));
    }
    waits.sort_unstable();
    waits
}

#[tokio::test(start_paused = true)]
async fn at_the_tip_half_of_the_records_wait_less_than_300_ms() {
    for every in [20, 900, 7_000] {
        let shard = Written::new(Duration::from_millis(every), 100);
        let reader = Arc::clone(&shard) as Arc<dyn StreamReader>;
        let (mut fetcher, _) = fetcher(lease("s").build(), reader, None, 64 << 20);
        let waits = waits(&shard, &mut fetcher, 300 * SECOND).await;
        let median = waits[waits.len() / 2];
        assert!(median < Duration::from_millis(300), "one every {every} ms waits {median:?}");
        let state = shard.state.lock().unwrap();
        assert_eq!(state.refused, 0);
        assert!(state.calls <= 4 * 300 + 1, "{} calls", state.calls);
    }
}

#[tokio::test(start_paused = true)]
async fn behind_the_shards_two_megabytes_a_second_are_used_up() {
    // Half a minute of 20 MB a second lies there already, and more comes than can be read.
    let shard = Written::new(Duration::from_millis(1), 20_000);
    sleep(30 * SECOND).await;
    let reader = Arc::clone(&shard) as Arc<dyn StreamReader>;
    let (mut fetcher, _) = fetcher(lease("s").build(), reader, None, 64 << 20);
    let read = waits(&shard, &mut fetcher, 120 * SECOND).await.len() * 20_000;
    assert!(read > 110 * 2_000_000, "{read} bytes in two minutes");
    let state = shard.state.lock().unwrap();
    assert_eq!(state.refused, 0);
    assert!(state.calls < 120, "pages are full: {} calls", state.calls);
}

#[tokio::test(start_paused = true)]
async fn records_of_ten_mebibytes_are_read_within_a_small_budget() {
    let shard = Written::new(5 * SECOND, 10 << 20);
    let reader = Arc::clone(&shard) as Arc<dyn StreamReader>;
    let (mut fetcher, _) = fetcher(lease("s").build(), reader, None, 1 << 20);
    assert!(waits(&shard, &mut fetcher, 60 * SECOND).await.len() >= 8);
}

#[tokio::test(start_paused = true)]
async fn shards_that_are_stuck_do_not_starve_the_others() {
    const SHARDS: usize = 20;
    let shards: Vec<_> =
        (0..SHARDS).map(|_| Written::new(Duration::from_millis(10), 5_000)).collect();
    let reader = Arc::clone(&shards[0]) as Arc<dyn StreamReader>;
    let (first, context) = fetcher(lease("s").build(), reader, None, 64 << 20);
    let mut fetchers = vec![first];
    for shard in &shards[1..] {
        let reader = Arc::clone(shard) as Arc<dyn StreamReader>;
        let stream = ConsumerStream { reader, ..context.streams[0].clone() };
        let (grant, _) = grant(lease("s").build());
        let rng = StdRng::seed_from_u64(1);
        fetchers.push(Fetcher::new(Arc::new(grant), Arc::clone(&context), &stream, rng));
    }
    let mut last = fetchers.pop().unwrap();
    // All others read what they can, and settle nothing.
    let mut held: Vec<Reservation> = Vec::new();
    for fetcher in &mut fetchers {
        while let Ok(Fetched::Page(_, reservation)) =
            tokio::time::timeout(10 * SECOND, fetcher.next()).await
        {
            held.push(reservation);
        }
    }
    assert!(held.len() > SHARDS, "they have read something");
    let read = waits(&shards[SHARDS - 1], &mut last, 60 * SECOND).await.len();
    assert!(read > 6_000, "{read} records: it does not even keep up");
}
