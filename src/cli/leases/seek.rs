//! What the stream says of a shard: its lag, the first unread record, the place before a record.
//!
//! Kinesis can only be read forwards, from a sequence number or from a time. A checkpoint names the
//! last record that *was* processed, so a worker that shall begin with a given record needs the one
//! before it: that is looked for from earlier and earlier times, and then read up to.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::effect::{Reading, Unread};
use crate::{
    codec::deaggregate,
    consumer::start_at,
    model::{
        Checkpoint, EpochMillis, InitialPosition, Lease, Position, Progress, RawRecord, RecordPage,
        SequenceNumber, ShardId,
    },
    ports::{ShardIterator, StartAt, StreamError, StreamReader},
};

/// Five reads a second are allowed on a shard, and its consumers need most of them.
const PACE: Duration = Duration::from_millis(250);
/// First pause after a refusal for lack of quota; it doubles.
const THROTTLED: Duration = Duration::from_millis(300);
/// Attempts on a call that is throttled.
const ATTEMPTS: u32 = 6;
/// Empty pages in a row that are followed. Kinesis answers such where a shard is nearly empty.
const EMPTY_PAGES: u32 = 100;
/// Pages that one question may take altogether.
const PAGES: u32 = 200;
/// Records of one page while looking for the place before a record.
const LOOK: u32 = 1000;
/// How far the first look goes back.
const FIRST_LOOK: i64 = 1000;
/// How far back there can be records: Kinesis keeps them for a year at most.
const LONGEST: i64 = 367 * 24 * 3_600_000;
/// How far clocks are apart at most, where anything works at all: signatures are refused beyond.
const CLOCK_ERROR: i64 = 5 * 60_000;
/// Records so near to each other are read one after the other.
const NEAR: i64 = 1000;

/// Reads a shard beside its consumers, sparingly.
pub(in crate::cli) struct Seeker<'a> {
    reader: &'a dyn StreamReader,
    shard: &'a ShardId,
    initial: InitialPosition,
    now: EpochMillis,
    next_call: Instant,
    pages: u32,
}

/// How far a shard is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Lag {
    /// `MillisBehindLatest` of a read of one record after the checkpoint.
    pub(in crate::cli) behind: Duration,
    /// When the first unread record arrived; `None` when there is none.
    pub(in crate::cli) oldest_unread: Option<EpochMillis>,
}

type Page = RecordPage<ShardIterator>;

impl<'a> Seeker<'a> {
    /// `now` is the time of day here; `initial` gives `AT_TIMESTAMP` its time.
    pub(in crate::cli) fn new(
        reader: &'a dyn StreamReader,
        shard: &'a ShardId,
        initial: InitialPosition,
        now: EpochMillis,
    ) -> Self {
        Self { reader, shard, initial, now, next_call: Instant::now(), pages: 0 }
    }

    /// How far behind a worker would be that takes the lease. `None` where there is nothing to be
    /// behind of: a shard that is ended, or that begins with what is put next.
    pub(in crate::cli) async fn lag(&mut self, lease: &Lease) -> Result<Option<Lag>, StreamError> {
        let start = match &lease.checkpoint {
            Checkpoint::After(position) => StartAt::After(position.sequence.clone()),
            _ if lease.ended() || lease.awaits_latest() => return Ok(None),
            _ => start_at(lease, false, self.initial),
        };
        let page = self.page_from(&start, 1).await?;
        let oldest_unread = page.records.first().map(|record| record.arrival);
        Ok(Some(Lag { behind: page.behind_latest, oldest_unread }))
    }

    /// The checkpoint of a lease with the first user record that a worker would process which takes
    /// it.
    pub(super) async fn reading(&mut self, lease: &Lease) -> Result<Reading, StreamError> {
        let open = lease.awaits_latest();
        let unread = if open || lease.ended() { None } else { self.unread(lease).await? };
        Ok(Reading { checkpoint: lease.checkpoint.clone(), unread, open })
    }

    async fn unread(&mut self, lease: &Lease) -> Result<Option<Unread>, StreamError> {
        let done = match &lease.checkpoint {
            Checkpoint::After(position) => Some(position),
            _ => None,
        };
        let mut page = self.page_from(&start_at(lease, false, self.initial), 10).await?;
        loop {
            let unread = page.records.iter().find_map(|record| first_after(record, done));
            if unread.is_some() || is_last(&page) {
                return Ok(unread);
            }
            page = self.page_after(page, LOOK).await?;
        }
    }

    /// The record with this number.
    pub(super) async fn record(
        &mut self,
        sequence: &SequenceNumber,
    ) -> Result<Option<RawRecord>, StreamError> {
        let iterator = self.reader.iterator(self.shard, &StartAt::At(sequence.clone())).await?;
        let page = self.filled(iterator, 1).await?;
        Ok(page.records.into_iter().next().filter(|record| record.sequence == *sequence))
    }

    /// The first record that arrived at a time or later.
    pub(super) async fn arrived_at(
        &mut self,
        time: EpochMillis,
    ) -> Result<Option<RawRecord>, StreamError> {
        Ok(self.page_since(time, 1).await?.records.into_iter().next())
    }

    /// The checkpoint from which `target` is the first record to be read; without one, from which
    /// what is put next is. `by` is about when the target arrived; by default it is now.
    ///
    /// It names the record before the target. When none is kept, the target is the oldest there is:
    /// then it is `TRIM_HORIZON`.
    pub(super) async fn just_before(
        &mut self,
        target: Option<&SequenceNumber>,
        by: Option<EpochMillis>,
    ) -> Result<Progress, StreamError> {
        let by = by.unwrap_or(self.now);
        // The last record known to lie before the target, and a time from which on none does.
        let mut nearest: Option<RawRecord> = None;
        let mut high = by.0;
        let mut back = FIRST_LOOK;
        loop {
            let from = match &nearest {
                Some(record) if high - record.arrival.0 <= NEAR => {
                    return self.read_up_to(record.clone(), target).await;
                }
                Some(record) => record.arrival.0.midpoint(high),
                None => by.0.saturating_sub(back),
            };
            let page = self.page_since(EpochMillis(from), LOOK).await?;
            let whole = reaches(&page, target);
            match last_below(page, target) {
                Some(record) if whole => return Ok(done_with(&record)),
                Some(record) => nearest = Some(record),
                None => {
                    high = from;
                    if nearest.is_none() && back > LONGEST {
                        return Ok(Checkpoint::TrimHorizon.into());
                    }
                    back = back.saturating_mul(4);
                }
            }
        }
    }

    /// Reads from a record on, up to the target, and answers the last one before it.
    async fn read_up_to(
        &mut self,
        mut last: RawRecord,
        target: Option<&SequenceNumber>,
    ) -> Result<Progress, StreamError> {
        let mut page = self.page_from(&StartAt::After(last.sequence.clone()), LOOK).await?;
        loop {
            let whole = reaches(&page, target);
            let next = page.next.clone();
            last = last_below(page, target).unwrap_or(last);
            match next {
                Some(next) if !whole => page = self.filled(next, LOOK).await?,
                _ => return Ok(done_with(&last)),
            }
        }
    }

    /// The first page with records that arrived at a time or later. Kinesis refuses times that are
    /// in its future; the clock here may be ahead of its.
    async fn page_since(&mut self, time: EpochMillis, limit: u32) -> Result<Page, StreamError> {
        match self.page_from(&StartAt::Timestamp(time), limit).await {
            Err(StreamError::Invalid(_)) if self.now.0 - time.0 < CLOCK_ERROR => Ok(Page {
                records: Vec::new(),
                next: None,
                behind_latest: Duration::ZERO,
                children: Vec::new(),
            }),
            page => page,
        }
    }

    /// The first page with records from a place on. A place that Kinesis refuses is treated as
    /// consumers do: everything kept is read.
    async fn page_from(&mut self, start: &StartAt, limit: u32) -> Result<Page, StreamError> {
        let iterator = match (self.reader.iterator(self.shard, start).await, start) {
            (Err(StreamError::Invalid(_)), StartAt::At(_) | StartAt::After(_)) => {
                self.reader.iterator(self.shard, &StartAt::TrimHorizon).await?
            }
            (iterator, _) => iterator?,
        };
        self.filled(iterator, limit).await
    }

    async fn page_after(&mut self, page: Page, limit: u32) -> Result<Page, StreamError> {
        match page.next {
            Some(next) => self.filled(next, limit).await,
            None => Ok(Page { records: Vec::new(), ..page }),
        }
    }

    /// The next page that holds records, or that is the last for now.
    async fn filled(
        &mut self,
        mut iterator: ShardIterator,
        limit: u32,
    ) -> Result<Page, StreamError> {
        for _ in 0..EMPTY_PAGES {
            let page = self.call(&iterator, limit).await?;
            match &page.next {
                Some(next) if page.records.is_empty() && !page.behind_latest.is_zero() => {
                    iterator = next.clone();
                }
                _ => return Ok(page),
            }
        }
        Err(StreamError::Unavailable(format!("{EMPTY_PAGES} empty answers in a row")))
    }

    /// One `GetRecords`, not too soon after the last.
    async fn call(&mut self, iterator: &ShardIterator, limit: u32) -> Result<Page, StreamError> {
        if self.pages >= PAGES {
            let why = "the place was not found within 200 pages: name a sequence number instead";
            return Err(StreamError::Unavailable(why.to_owned()));
        }
        self.pages += 1;
        let mut pause = THROTTLED;
        for _ in 1..ATTEMPTS {
            sleep_until(self.next_call).await;
            self.next_call = Instant::now() + PACE;
            match self.reader.records(iterator, limit).await {
                Err(StreamError::Throttled) => {
                    sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        self.reader.records(iterator, limit).await
    }
}

/// Whether nothing more can be read now.
fn is_last(page: &Page) -> bool {
    page.next.is_none() || (page.behind_latest.is_zero() && page.records.is_empty())
}

/// Whether a page ends at the target or beyond; without a target, at the tip.
fn reaches(page: &Page, target: Option<&SequenceNumber>) -> bool {
    let beyond = target.is_some_and(|target| page.records.iter().any(|r| r.sequence >= *target));
    beyond || page.next.is_none() || page.behind_latest.is_zero()
}

fn last_below(page: Page, target: Option<&SequenceNumber>) -> Option<RawRecord> {
    let below = |record: &RawRecord| target.is_none_or(|target| record.sequence < *target);
    page.records.into_iter().rev().find(below)
}

/// The checkpoint of a record with all its user records.
fn done_with(record: &RawRecord) -> Progress {
    let checkpoint = Checkpoint::After(last_position(record));
    Progress { arrival: Some(record.arrival), ..checkpoint.into() }
}

/// The position of a record's last user record. Members of an aggregate that cannot be read stand
/// behind the others (see the consumer's processor).
pub(super) fn last_position(record: &RawRecord) -> Position {
    let members = deaggregate(record);
    let last = members.records.last().map_or(0, |last| last.position.sub_sequence);
    let sub_sequence = last + u64::from(members.unreadable > 0);
    Position { sequence: record.sequence.clone(), sub_sequence }
}

/// The first user record of a record that lies after `done`.
fn first_after(record: &RawRecord, done: Option<&Position>) -> Option<Unread> {
    let sub_sequence = match done {
        Some(done) if last_position(record) <= *done => return None,
        Some(done) if record.sequence == done.sequence => done.sub_sequence + 1,
        _ => 0,
    };
    let position = Position { sequence: record.sequence.clone(), sub_sequence };
    Some(Unread { position, arrival: record.arrival })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec::{KplRecord, aggregate},
        leasing::fixtures::lease,
        model::Shard,
    };

    /// A shard whose record at index i has the number 1000 + i. An iterator is an index.
    struct FakeShard {
        records: Vec<RawRecord>,
        now: i64,
        /// Every so manieth answer is empty although there are records.
        sparse: Option<u32>,
        /// Answers that are refused for lack of quota first.
        throttled: AtomicU32,
        calls: AtomicU32,
    }

    const NOW: i64 = 1_767_225_600_000;

    impl FakeShard {
        /// Records by how long ago each arrived, in milliseconds, and their user records.
        fn new(records: impl IntoIterator<Item = (i64, usize)>) -> Self {
            let records = (1000..).zip(records).map(|(number, (ago, members))| RawRecord {
                sequence: sequence(number),
                partition_key: "key".to_owned(),
                data: payload(members),
                arrival: EpochMillis(NOW - ago),
            });
            Self {
                records: records.collect(),
                now: NOW,
                sparse: None,
                throttled: AtomicU32::new(0),
                calls: AtomicU32::new(0),
            }
        }

        fn seeker<'a>(&'a self, shard: &'a ShardId) -> Seeker<'a> {
            Seeker::new(self, shard, InitialPosition::TrimHorizon, EpochMillis(NOW))
        }

        /// The first unread record of a worker that begins at a time.
        async fn read_from(&self, ago: i64) -> (Checkpoint, Option<Unread>) {
            let shard = ShardId::new("0");
            let mut seeker = self.seeker(&shard);
            let time = EpochMillis(NOW - ago);
            let target = seeker.arrived_at(time).await.unwrap().map(|record| record.sequence);
            let by = target.as_ref().map(|_| time);
            let progress = seeker.just_before(target.as_ref(), by).await.unwrap();
            if let Checkpoint::After(position) = &progress.checkpoint {
                let named = self.records.iter().find(|r| r.sequence == position.sequence).unwrap();
                assert_eq!(progress.arrival, Some(named.arrival));
            }
            let reading = seeker.reading(&at(progress.checkpoint)).await.unwrap();
            (reading.checkpoint, reading.unread)
        }
    }

    fn at(checkpoint: Checkpoint) -> Lease {
        lease("0").checkpoint(checkpoint).build()
    }

    fn sequence(number: usize) -> SequenceNumber {
        number.to_string().parse().unwrap()
    }

    fn payload(members: usize) -> Bytes {
        let member = || KplRecord {
            partition_key: "key".to_owned(),
            explicit_hash_key: None,
            data: Bytes::from_static(b"data"),
        };
        match members {
            1 => Bytes::from_static(b"data"),
            several => aggregate(&(0..several).map(|_| member()).collect::<Vec<_>>()),
        }
    }

    #[async_trait]
    impl StreamReader for FakeShard {
        async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
            panic!("nothing here lists shards")
        }

        async fn iterator(
            &self,
            _shard: &ShardId,
            start: &StartAt,
        ) -> Result<ShardIterator, StreamError> {
            let index_of = |number: &SequenceNumber| {
                let found = self.records.iter().position(|record| record.sequence == *number);
                found.ok_or_else(|| StreamError::Invalid("trimmed".to_owned()))
            };
            let index = match start {
                StartAt::TrimHorizon => 0,
                StartAt::Latest => self.records.len(),
                StartAt::Timestamp(time) if time.0 > self.now => {
                    return Err(StreamError::Invalid("in the future".to_owned()));
                }
                StartAt::Timestamp(time) => {
                    let found = self.records.iter().position(|record| record.arrival >= *time);
                    found.unwrap_or(self.records.len())
                }
                StartAt::At(number) => index_of(number)?,
                StartAt::After(number) => index_of(number)? + 1,
            };
            Ok(ShardIterator(index.to_string()))
        }

        async fn records(
            &self,
            iterator: &ShardIterator,
            limit: u32,
        ) -> Result<RecordPage<ShardIterator>, StreamError> {
            let taken = |left: u32| left.checked_sub(1);
            if self.throttled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok() {
                return Err(StreamError::Throttled);
            }
            let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            let index: usize = iterator.0.parse().unwrap();
            let empty = self.sparse.is_some_and(|every| call.is_multiple_of(every));
            let limit = if empty { 0 } else { usize::try_from(limit).unwrap() };
            let records: Vec<_> = self.records.iter().skip(index).take(limit).cloned().collect();
            let next = index + records.len();
            let behind = self.records.get(next).map_or(0, |unread| self.now - unread.arrival.0);
            Ok(RecordPage {
                records,
                next: Some(ShardIterator(next.to_string())),
                behind_latest: Duration::from_millis(u64::try_from(behind).unwrap()),
                children: vec![],
            })
        }
    }

    fn after(number: usize, sub_sequence: u64) -> Checkpoint {
        Checkpoint::After(Position { sequence: sequence(number), sub_sequence })
    }

    fn first(unread: Option<Unread>) -> Option<(String, u64)> {
        unread.map(|u| (u.position.sequence.to_string(), u.position.sub_sequence))
    }

    const HOUR: i64 = 3_600_000;

    #[tokio::test(start_paused = true)]
    async fn a_time_becomes_the_record_before_it() {
        let shard = FakeShard::new([(3 * HOUR, 1), (2 * HOUR, 4), (HOUR, 1)]);
        let (checkpoint, unread) = shard.read_from(2 * HOUR - 1).await;
        assert_eq!(checkpoint, after(1001, 3), "with all its user records");
        assert_eq!(first(unread), Some(("1002".to_owned(), 0)));
        let (checkpoint, unread) = shard.read_from(2 * HOUR).await;
        assert_eq!((checkpoint, first(unread)), (after(1000, 0), Some(("1001".to_owned(), 0))));
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_oldest_record_is_the_trim_horizon() {
        let shard = FakeShard::new([(HOUR, 1)]);
        assert_eq!(shard.read_from(5 * HOUR).await.0, Checkpoint::TrimHorizon);
        let empty = FakeShard::new([]);
        assert_eq!(empty.read_from(HOUR).await, (Checkpoint::TrimHorizon, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_since_which_nothing_came_stands_behind_the_last_record() {
        let shard = FakeShard::new([(3 * HOUR, 1), (2 * HOUR, 2)]);
        assert_eq!(shard.read_from(HOUR).await, (after(1001, 1), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_ahead_of_kinesis_does_no_harm() {
        let mut shard = FakeShard::new([(3 * HOUR, 1), (2 * HOUR, 1)]);
        shard.now = NOW - 4000;
        assert_eq!(shard.read_from(1000).await, (after(1001, 0), None));
        shard.now = NOW - HOUR;
        let id = ShardId::new("0");
        let wrong = shard.seeker(&id).arrived_at(EpochMillis(NOW - HOUR / 2)).await;
        assert!(matches!(wrong, Err(StreamError::Invalid(_))), "{wrong:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_hour_before_a_quiet_one_is_not_read_whole() {
        let busy = (0..36_000).map(|tenth| (2 * HOUR - tenth * 100, 1));
        let shard = FakeShard::new(busy.chain([(0, 1)]));
        let (checkpoint, unread) = shard.read_from(HOUR / 2).await;
        assert_eq!((checkpoint, first(unread)), (after(36_999, 0), Some(("37000".to_owned(), 0))));
        let calls = shard.calls.load(Ordering::Relaxed);
        assert!(calls < 30, "{calls} pages, 1 in 36 would be all of them");
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_done_aggregate_begins_with_the_rest_of_it() {
        let shard = FakeShard::new([(HOUR, 4), (HOUR, 1)]);
        let id = ShardId::new("0");
        let mut seeker = shard.seeker(&id);
        let mut unread =
            async |checkpoint| first(seeker.reading(&at(checkpoint)).await.unwrap().unread);
        assert_eq!(unread(after(1000, 1)).await, Some(("1000".to_owned(), 2)));
        assert_eq!(unread(after(1000, 3)).await, Some(("1001".to_owned(), 0)));
        assert_eq!(unread(after(1001, 0)).await, None);
        assert_eq!(unread(Checkpoint::TrimHorizon).await, Some(("1000".to_owned(), 0)));
        assert_eq!(unread(Checkpoint::Latest).await, None);
        assert_eq!(unread(after(900, 0)).await, Some(("1000".to_owned(), 0)), "it is trimmed");
    }

    #[tokio::test(start_paused = true)]
    async fn lag_is_that_of_the_first_unread_record() {
        let shard = FakeShard::new([(3 * HOUR, 1), (2 * HOUR, 1), (HOUR, 1)]);
        shard.throttled.store(2, Ordering::Relaxed);
        let id = ShardId::new("0");
        let mut seeker = shard.seeker(&id);
        let lag = seeker.lag(&at(after(1000, 0))).await.unwrap().unwrap();
        assert_eq!(lag.oldest_unread, Some(EpochMillis(NOW - 2 * HOUR)));
        assert_eq!(lag.behind, Duration::from_hours(1), "after the record that was read");
        assert_eq!(seeker.lag(&at(after(1002, 0))).await.unwrap(), Some(Lag::default()));
        assert_eq!(seeker.lag(&at(Checkpoint::Latest)).await.unwrap(), None);
        assert_eq!(seeker.lag(&at(Checkpoint::ShardEnd)).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_latest_that_a_worker_has_begun_with_is_read_from_then_on() {
        let shard = FakeShard::new([(3 * HOUR, 1), (2 * HOUR, 1), (HOUR, 1)]);
        let id = ShardId::new("0");
        let mut seeker = shard.seeker(&id);
        let mut row = at(Checkpoint::Latest);
        assert!(seeker.reading(&row).await.unwrap().open);
        row.latest_since = Some(EpochMillis(NOW - 2 * HOUR));
        let reading = seeker.reading(&row).await.unwrap();
        assert_eq!((first(reading.unread), reading.open), (Some(("1001".to_owned(), 0)), false));
        let lag = seeker.lag(&row).await.unwrap().unwrap();
        assert_eq!(lag.oldest_unread, Some(EpochMillis(NOW - 2 * HOUR)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_stays_throttled_is_given_up() {
        let shard = FakeShard::new([(HOUR, 1)]);
        shard.throttled.store(u32::MAX, Ordering::Relaxed);
        let id = ShardId::new("0");
        let problem = shard.seeker(&id).lag(&at(Checkpoint::TrimHorizon)).await.unwrap_err();
        assert!(matches!(problem, StreamError::Throttled));
    }

    proptest! {
        /// Whatever lies in the shard, and even when arrival times do not grow: the first record that
        /// is read is the one that Kinesis names for the time.
        #[test]
        fn the_record_at_a_time_is_the_first_to_be_read(
            gaps in prop::collection::vec((0i64..HOUR, 1usize..4, 0i64..2000), 0..40),
            bursts in prop::collection::vec(0usize..1500, 0..3),
            ago in 0i64..30 * HOUR,
            sparse in prop::option::of(2u32..5),
        ) {
            let mut records = Vec::new();
            let mut left = 24 * HOUR;
            for (index, (gap, members, jitter)) in gaps.into_iter().enumerate() {
                left = (left - gap).max(0);
                let burst = bursts.get(index).copied().unwrap_or(0);
                records.extend((0..burst).map(|_| (left, 1)));
                records.push(((left - jitter).max(0), members));
            }
            let mut shard = FakeShard::new(records);
            shard.sparse = sparse;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let (_, unread) = runtime.block_on(shard.read_from(ago));
            let time = EpochMillis(NOW - ago);
            let expect = shard.records.iter().find(|record| record.arrival >= time);
            let expect = expect.map(|record| (record.sequence.to_string(), 0));
            prop_assert_eq!(first(unread), expect);
        }
    }
}
