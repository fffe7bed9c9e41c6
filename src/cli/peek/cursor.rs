//! Going through the shards: page by page in turn, children after their parents.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::source::Source;
use crate::{
    cli::leases::destination::Destination,
    model::{EpochMillis, RawRecord, RecordPage, Shard},
    ports::{ShardIterator, StartAt, StreamError, StreamReader, SystemClock, WallClock},
};

/// Between two reads of a shard: of its five a second most are left to the application.
const PAUSE: Duration = Duration::from_millis(500);
/// Half of what a shard gives in a second.
const BYTES_PER_SECOND: f64 = 1_000_000.0;
/// Passing faults in a row that are borne.
const PATIENCE: u32 = 5;
/// Most records of a page.
const MOST: u32 = 10_000;

/// Where reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// At the tip.
    Tip,
    /// Before the first record that arrived at this time or later.
    At(EpochMillis),
    Never,
}

impl Ends {
    /// # Errors
    /// When the text is no time.
    pub(super) fn parse(
        until: Option<&str>,
        follow: bool,
        now: EpochMillis,
    ) -> Result<Self, String> {
        let Some(text) = until else {
            return Ok(if follow { Self::Never } else { Self::Tip });
        };
        match Destination::parse(text, now) {
            Ok(Destination::Time(time)) => Ok(Self::At(time)),
            Ok(Destination::Now) => Ok(Self::At(now)),
            _ => Err(format!(
                "--until: {text:?} is no time such as 2026-01-31T08:00:00Z, \"2h ago\" or now"
            )),
        }
    }

    /// Cuts off what lies beyond; whether there is nothing more to read. `asked` is when the page was
    /// asked for, `began` when the reading began.
    fn cut(
        self,
        page: &mut RecordPage<ShardIterator>,
        asked: EpochMillis,
        began: EpochMillis,
    ) -> bool {
        match self {
            Self::Never => false,
            // On a busy shard the tip moves on.
            Self::Tip => page.behind_latest <= Duration::from_millis(asked.millis_since(began)),
            Self::At(time) => {
                let beyond = page.records.iter().position(|record| record.arrival >= time);
                page.records.truncate(beyond.unwrap_or(page.records.len()));
                beyond.is_some() || page.behind_latest.is_zero() && asked >= time
            }
        }
    }
}

/// The reading of some shards of a stream.
pub(super) struct Reading<'s> {
    source: &'s Source,
    cursors: Vec<Cursor>,
    /// Whose turn it is.
    turn: usize,
    ends: Ends,
    began: EpochMillis,
}

struct Cursor {
    shard: Shard,
    start: StartAt,
    iterator: Option<ShardIterator>,
    next_call: Instant,
    faults: u32,
    done: bool,
}

impl<'s> Reading<'s> {
    pub(super) fn new(source: &'s Source, shards: Vec<Shard>, start: &StartAt, ends: Ends) -> Self {
        let cursor = |shard| Cursor {
            shard,
            start: start.clone(),
            iterator: None,
            next_call: Instant::now(),
            faults: 0,
            done: false,
        };
        let cursors = shards.into_iter().map(cursor).collect();
        Self { source, cursors, turn: 0, ends, began: SystemClock.now() }
    }

    /// The next page that holds records, of at most `limit`; `None` when all is read.
    ///
    /// # Errors
    /// When the stream does not answer, and waiting does not help.
    pub(super) async fn next(
        &mut self,
        limit: u64,
    ) -> Result<Option<(Shard, Vec<RawRecord>)>, StreamError> {
        while let Some(turn) = self.whose_turn() {
            self.turn = turn + 1;
            let (ends, began) = (self.ends, self.began);
            let Some(cursor) = self.cursors.get_mut(turn) else { break };
            let records = cursor.read(self.source, limit, ends, began).await?;
            if !records.is_empty() {
                return Ok(Some((cursor.shard.clone(), records)));
            }
        }
        Ok(None)
    }

    /// The next shard that is due first, in turn, whose parents are read.
    fn whose_turn(&self) -> Option<usize> {
        let waits = |cursor: &Cursor| {
            let is_parent = |other: &&Cursor| cursor.shard.parents.contains(&other.shard.id);
            self.cursors.iter().filter(is_parent).any(|parent| !parent.done)
        };
        let count = self.cursors.len();
        (0..count)
            .map(|step| (self.turn + step) % count)
            .filter_map(|index| Some((index, self.cursors.get(index)?)))
            .filter(|(_, cursor)| !cursor.done && !waits(cursor))
            .min_by_key(|(_, cursor)| cursor.next_call)
            .map(|(index, _)| index)
    }
}

impl Cursor {
    async fn read(
        &mut self,
        source: &Source,
        limit: u64,
        ends: Ends,
        began: EpochMillis,
    ) -> Result<Vec<RawRecord>, StreamError> {
        sleep_until(self.next_call).await;
        let asked = SystemClock.now();
        let called = Instant::now();
        let mut page = match self.call(source, limit).await {
            Ok(page) => page,
            Err(problem) => return self.bear(problem).await.map(|()| Vec::new()),
        };
        self.faults = 0;
        let bytes: usize = page.records.iter().map(|record| record.data.len()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a page is at most 10 MiB")]
        let paid = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        self.next_call = called + paid.max(PAUSE);
        self.done = page.next.is_none() && page.records.is_empty();
        self.done |= ends.cut(&mut page, asked, began);
        if let Some(last) = page.records.last() {
            self.start = StartAt::After(last.sequence.clone());
        }
        self.iterator = page.next;
        Ok(page.records)
    }

    async fn call(
        &mut self,
        source: &Source,
        limit: u64,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => source.reader.iterator(&self.shard.id, &self.start).await?,
        };
        self.iterator = Some(iterator.clone());
        let limit = u32::try_from(limit).unwrap_or(MOST).clamp(1, MOST);
        source.reader.records(&iterator, limit).await
    }

    /// Waits if that may help.
    async fn bear(&mut self, problem: StreamError) -> Result<(), StreamError> {
        self.faults += 1;
        match problem {
            StreamError::IteratorExpired => self.iterator = None,
            StreamError::Throttled => sleep(PAUSE * 2).await,
            StreamError::Unavailable(_) if self.faults < PATIENCE => sleep(PAUSE).await,
            _ => return Err(problem),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(arrivals: &[i64], behind: u64) -> RecordPage<ShardIterator> {
        let record = |arrival: &i64| RawRecord {
            sequence: "1".parse().unwrap(),
            partition_key: String::new(),
            data: bytes::Bytes::new(),
            arrival: EpochMillis(*arrival),
        };
        RecordPage {
            records: arrivals.iter().map(record).collect(),
            next: None,
            behind_latest: Duration::from_millis(behind),
            children: Vec::new(),
        }
    }

    #[test]
    fn a_time_ends_before_its_first_record_or_at_the_tip_once_it_is_over() {
        let check = |arrivals: &[i64], behind, asked, expect: (bool, usize)| {
            let mut page = page(arrivals, behind);
            let done = Ends::At(EpochMillis(10)).cut(&mut page, EpochMillis(asked), EpochMillis(0));
            assert_eq!((done, page.records.len()), expect);
        };
        check(&[8, 9, 10, 9], 0, 5, (true, 2));
        check(&[8, 9], 0, 5, (false, 2));
        check(&[8, 9], 0, 10, (true, 2));
        check(&[8, 9], 1, 10, (false, 2));
    }

    #[test]
    fn the_tip_is_where_it_was_when_reading_began() {
        let done = |behind, asked| {
            Ends::Tip.cut(&mut page(&[1], behind), EpochMillis(asked), EpochMillis(100))
        };
        assert!(done(0, 100) && done(50, 150));
        assert!(!done(51, 150));
    }

    #[test]
    fn an_end_is_a_time() {
        let parse = |text| Ends::parse(Some(text), false, EpochMillis(3_600_000));
        assert_eq!(parse("1h ago"), Ok(Ends::At(EpochMillis(0))));
        assert_eq!(parse("now"), Ok(Ends::At(EpochMillis(3_600_000))));
        assert!(parse("TRIM_HORIZON").is_err() && parse("7").is_err() && parse("noon").is_err());
        assert_eq!(Ends::parse(None, true, EpochMillis(0)), Ok(Ends::Never));
    }
}
