//! One shard: its records, its place in the lineage, and how a reader moves through it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::hash_range::HashRange;
use super::limits::Usage;
use super::sequence::{END_INDEX, SequenceNumber};

/// A record as it lies in a shard.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) sequence: SequenceNumber,
    pub(super) arrived_ms: u64,
    pub(super) partition_key: String,
    pub(super) data: Bytes,
}

impl Record {
    /// What the service counts against its limits: the data and the partition key.
    pub(super) fn size(&self) -> u64 {
        record_size(&self.data, &self.partition_key)
    }
}

pub(super) fn record_size(data: &[u8], partition_key: &str) -> u64 {
    u64::try_from(data.len().saturating_add(partition_key.len())).unwrap_or(u64::MAX)
}

/// When a shard was closed by a reshard, and its last sequence number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) at_ms: u64,
    pub(super) end: SequenceNumber,
}

/// One page of records and where it leaves the reader.
pub(super) struct Page {
    pub(super) records: Vec<Arc<Record>>,
    pub(super) bytes: u64,
    /// Where the next page starts; `None` at the end of a closed shard.
    pub(super) next: Option<SequenceNumber>,
    /// Arrival of the first record that the page left unread.
    pub(super) unread_since_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) range: HashRange,
    /// None for a stream's first shards, one after a split, two after a merge.
    pub(super) parents: Vec<u32>,
    pub(super) children: Vec<u32>,
    pub(super) created_ms: u64,
    /// The second in the top bits of its sequence numbers. A child's is above its parents', so
    /// that its numbers are too, even if it is created within the same second.
    pub(super) epoch_second: u64,
    pub(super) start: SequenceNumber,
    pub(super) closed: Option<Closed>,
    pub(super) usage: Usage,
    /// Wakes the subscriptions: a record came, the shard was closed, or something else happened to
    /// it or to its subscribers.
    pub(super) news: watch::Sender<()>,
    last: SequenceNumber,
    last_arrival_ms: u64,
    next_index: u64,
    records: VecDeque<Arc<Record>>,
}

impl Shard {
    pub(super) fn new(
        number: u32,
        range: HashRange,
        parents: Vec<u32>,
        epoch_second: u64,
        now_ms: u64,
    ) -> Self {
        let start = SequenceNumber::new(number, epoch_second, 0, now_ms / 1000);
        Self {
            number,
            range,
            parents,
            children: Vec::new(),
            created_ms: now_ms,
            epoch_second,
            start,
            closed: None,
            usage: Usage::default(),
            news: watch::Sender::new(()),
            last: start,
            last_arrival_ms: now_ms,
            next_index: 1,
            records: VecDeque::new(),
        }
    }

    pub(super) fn id(&self) -> String {
        shard_id(self.number)
    }

    pub(super) fn append(
        &mut self,
        now_ms: u64,
        partition_key: String,
        data: Bytes,
    ) -> SequenceNumber {
        // Arrival times grow with the sequence numbers even if the wall clock steps back, so that
        // a position by time is one point of the shard.
        self.last_arrival_ms = self.last_arrival_ms.max(now_ms);
        let arrived_ms = self.last_arrival_ms;
        self.last =
            SequenceNumber::new(self.number, self.epoch_second, self.next_index, arrived_ms / 1000);
        self.next_index += 1;
        let record = Record { sequence: self.last, arrived_ms, partition_key, data };
        self.records.push_back(Arc::new(record));
        self.news.send_replace(());
        self.last
    }

    /// Ends the shard in favour of `children`.
    pub(super) fn close(&mut self, now_ms: u64, children: Vec<u32>) {
        let end = SequenceNumber::new(self.number, self.epoch_second, END_INDEX, now_ms / 1000);
        self.closed = Some(Closed { at_ms: now_ms, end });
        self.children = children;
        self.news.send_replace(());
    }

    /// Drops the records that arrived before `horizon_ms`.
    pub(super) fn trim(&mut self, horizon_ms: u64) {
        let kept = self.records.partition_point(|record| record.arrived_ms < horizon_ms);
        self.records.drain(..kept);
    }

    /// Whether the shard took records at this instant.
    pub(super) fn was_open_at(&self, at_ms: u64) -> bool {
        self.created_ms <= at_ms && self.closed.is_none_or(|closed| closed.at_ms > at_ms)
    }

    /// The position before anything that is put from now on.
    pub(super) fn tip(&self) -> SequenceNumber {
        self.last.following()
    }

    /// The last number given out: of a closed shard its end.
    pub(super) fn last(&self) -> SequenceNumber {
        self.closed.map_or(self.last, |closed| closed.end)
    }

    /// The position of the first record that arrived at or after this instant.
    pub(super) fn position_at(&self, at_ms: u64) -> SequenceNumber {
        let first = self.records.partition_point(|record| record.arrived_ms < at_ms);
        self.records.get(first).map_or_else(|| self.tip(), |record| record.sequence)
    }

    /// The records from `position`, at most `limit` of them and `max_bytes` (but at least one).
    pub(super) fn page(&self, position: SequenceNumber, limit: usize, max_bytes: u64) -> Page {
        let first = self.records.partition_point(|record| record.sequence < position);
        let mut bytes = 0;
        let mut records = Vec::new();
        for record in self.records.range(first..).take(limit) {
            let size = record.size();
            if !records.is_empty() && bytes + size > max_bytes {
                break;
            }
            bytes += size;
            records.push(Arc::clone(record));
        }
        let unread = self.records.get(first + records.len());
        let next = match (unread, records.last()) {
            (None, _) if self.closed.is_some() => None,
            (_, Some(last)) => Some(last.sequence.following()),
            (_, None) => Some(position),
        };
        Page { records, bytes, next, unread_since_ms: unread.map(|record| record.arrived_ms) }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.iter()
    }
}

/// `shardId-000000000007`.
pub(super) fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// The number in a shard id, if it is written as [`shard_id`] writes it.
pub(super) fn parse_shard_id(id: &str) -> Option<u32> {
    let number = id.strip_prefix("shardId-")?.parse().ok()?;
    (shard_id(number) == id).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::limits::MAX_PAGE_BYTES;
    use super::*;

    const T: u64 = 1_767_225_600_000;

    fn shard_of(sizes: &[usize]) -> Shard {
        let mut shard = Shard::new(3, HashRange::even(1)[0], vec![], T / 1000, T);
        for (second, size) in (0..).zip(sizes) {
            shard.append(T + second * 1000, String::new(), Bytes::from(vec![0; *size]));
        }
        shard
    }

    #[test]
    fn a_page_ends_at_ten_mebibytes_but_holds_at_least_one_record() {
        let mib = 1024 * 1024;
        let check = |sizes: &[usize], expect: usize| {
            let shard = shard_of(sizes);
            assert_eq!(
                shard.page(shard.start, 10_000, MAX_PAGE_BYTES).records.len(),
                expect,
                "{sizes:?}"
            );
        };
        check(&[], 0);
        check(&[4 * mib, 4 * mib, 4 * mib], 2);
        check(&[5 * mib, 5 * mib, 1], 2);
        check(&[11 * mib, 1], 1);
    }

    #[test]
    fn positions_by_time_and_by_number() {
        let shard = shard_of(&[1, 1, 1]);
        let left = |position| shard.page(position, 10_000, MAX_PAGE_BYTES).records.len();
        let second = shard.records[1].sequence;
        assert_eq!((left(shard.start), left(second), left(second.following())), (3, 2, 1));
        assert_eq!(left(shard.tip()), 0);
        let at = |ms| left(shard.position_at(ms));
        assert_eq!((at(0), at(T), at(T + 1), at(T + 2000), at(T + 2001)), (3, 3, 2, 1, 0));
    }

    #[test]
    fn only_the_end_of_a_closed_shard_has_no_next_position() {
        let mut shard = shard_of(&[1, 1]);
        assert!(shard.page(shard.start, 10_000, MAX_PAGE_BYTES).next.is_some());
        shard.close(T + 9_000, vec![4]);
        let half = shard.page(shard.start, 1, MAX_PAGE_BYTES);
        assert_eq!(half.unread_since_ms, Some(T + 1000));
        let rest = shard.page(half.next.unwrap(), 1, MAX_PAGE_BYTES);
        assert_eq!((rest.records.len(), rest.next, rest.unread_since_ms), (1, None, None));
        assert_eq!(shard.page(shard.tip(), 1, MAX_PAGE_BYTES).next, None);
        assert!(shard.last() > shard.records[1].sequence);
    }

    #[test]
    fn trims_what_is_older_than_the_horizon() {
        let mut shard = shard_of(&[1, 1, 1]);
        shard.trim(T + 1000);
        assert_eq!(shard.page(shard.start, 10_000, MAX_PAGE_BYTES).records.len(), 2);
    }

    #[test]
    fn reads_only_canonical_shard_ids() {
        assert_eq!(parse_shard_id("shardId-000000000012"), Some(12));
        for bad in ["shardId-12", "shardId-", "x", "shardId-+00000000012", "shardId-999999999999"] {
            assert_eq!(parse_shard_id(bad), None, "{bad}");
        }
    }
}
