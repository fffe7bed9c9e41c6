//! Streams that are written to, split and merged while they are read: the truth of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rand::RngExt;
use shardwright::{
    codec::{KplRecord, aggregate},
    model::{
        EpochMillis, EventId, HashKey, HashKeyRange, InitialPosition, Lease, Position, RawRecord,
        SequenceNumber, Shard, ShardId, StreamName,
    },
};

use crate::{audit::Must, windows, world::State};

/// A shard of one of the streams. Streams have shards of the same names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) stream: usize,
    pub(crate) shard: ShardId,
}

impl Place {
    pub(crate) fn of(lease: &Lease) -> Self {
        let number = |text: &str| text.rsplit(':').next()?.parse().ok();
        let stream = lease.stream.as_deref().and_then(number).unwrap_or(0);
        Self { stream, shard: lease.shard.clone() }
    }

    pub(crate) fn of_event(id: &EventId) -> Self {
        let number = id.stream.as_str().trim_start_matches("stream-").parse();
        Self { stream: number.unwrap_or(0), shard: id.shard.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.shard)
    }
}

/// What is not UTF-8.
const POISON: Bytes = Bytes::from_static(b"\xff\xfe");

/// The name of a stream.
pub(crate) fn name(stream: usize) -> StreamName {
    StreamName::new(format!("stream-{stream}"))
}

/// `account:stream:epoch`, for fleets that read several streams.
pub(crate) fn identifier(stream: usize) -> Arc<str> {
    Arc::from(format!("123456789012:stream-{stream}:{stream}"))
}

/// All streams.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) streams: usize,
    pub(crate) shards: BTreeMap<Place, SimShard>,
    next_sequence: u64,
    next_event: u64,
    /// Whether all that is put is to be delivered.
    pub(crate) plain: bool,
    /// Most records of a page, however many a seed would give.
    pub(crate) page: Option<usize>,
    /// Bytes that are added to each payload.
    pub(crate) ballast: usize,
    /// Whether `ListShards` does not answer.
    pub(crate) unlisted: bool,
    /// For how long it makes others wait.
    pub(crate) slow_listing: Duration,
    /// Whether events say when they happened, and a route has windows of them.
    pub(crate) windowed: bool,
}

pub(crate) struct SimShard {
    pub(crate) parents: Vec<ShardId>,
    pub(crate) children: Vec<ShardId>,
    pub(crate) range: HashKeyRange,
    pub(crate) records: Vec<RawRecord>,
    pub(crate) open: bool,
    /// Records that are not kept any more.
    pub(crate) trimmed: usize,
    /// When it was closed.
    closed: EpochMillis,
    /// Closed, and nothing of it is kept any more.
    gone: bool,
}

impl SimShard {
    pub(crate) fn new(parents: Vec<ShardId>, range: HashKeyRange, now: EpochMillis) -> Self {
        Self {
            parents,
            children: vec![],
            range,
            records: vec![],
            open: true,
            trimmed: 0,
            closed: now,
            gone: false,
        }
    }
}

impl Stream {
    pub(crate) fn shard(&self, place: &Place) -> &SimShard {
        &self.shards[place]
    }

    /// A shard that can be read; `None` when it has been trimmed.
    pub(crate) fn kept(&self, place: &Place) -> Option<&SimShard> {
        self.shards.get(place).filter(|shard| !shard.gone)
    }

    /// The shards from which one descends.
    pub(crate) fn before(&self, place: &Place) -> BTreeSet<Place> {
        let mut found = BTreeSet::new();
        let mut to_visit = vec![place.clone()];
        while let Some(visited) = to_visit.pop() {
            for shard in &self.shard(&visited).parents {
                let parent = Place { shard: shard.clone(), ..place.clone() };
                if found.insert(parent.clone()) {
                    to_visit.push(parent);
                }
            }
        }
        found
    }

    /// Those of them that took keys of it.
    pub(crate) fn line_before(&self, place: &Place) -> BTreeSet<Place> {
        let keys = self.shard(place).range;
        let mut line = self.before(place);
        line.retain(|before| self.shard(before).range.overlaps(&keys));
        line
    }

    pub(crate) fn is_open(&self, place: &Place) -> bool {
        self.shards[place].open
    }

    /// As `ListShards` answers.
    pub(crate) fn listed(&self, stream: usize) -> Vec<Shard> {
        let own = self.shards.iter().filter(|(place, shard)| place.stream == stream && !shard.gone);
        let shard = |(place, shard): (&Place, &SimShard)| Shard {
            id: place.shard.clone(),
            parents: shard.parents.clone(),
            hash_range: Some(shard.range),
            open: shard.open,
        };
        own.map(shard).collect()
    }

    pub(crate) fn open_shards(&self) -> Vec<Place> {
        let open = self.shards.iter().filter(|(_, shard)| shard.open);
        open.map(|(place, _)| place.clone()).collect()
    }

    pub(crate) fn add_shard(
        &mut self,
        stream: usize,
        parents: Vec<ShardId>,
        range: HashKeyRange,
        now: EpochMillis,
    ) -> Place {
        let count = self.shards.keys().filter(|place| place.stream == stream).count();
        let shard = ShardId::new(format!("shardId-{count:012}"));
        for parent in &parents {
            let parent = Place { stream, shard: parent.clone() };
            let parent = self.shards.get_mut(&parent).unwrap();
            (parent.open, parent.closed) = (false, now);
            parent.children.push(shard.clone());
        }
        let place = Place { stream, shard };
        self.shards.insert(place.clone(), SimShard::new(parents, range, now));
        place
    }

    pub(crate) fn split(&mut self, place: &Place, now: EpochMillis) {
        let HashKeyRange { start, end } = self.shard(place).range;
        let middle = start.0 + (end.0 - start.0) / 2;
        let low = HashKeyRange { start, end: HashKey(middle) };
        let high = HashKeyRange { start: HashKey(middle + 1), end };
        self.add_shard(place.stream, vec![place.shard.clone()], low, now);
        self.add_shard(place.stream, vec![place.shard.clone()], high, now);
    }

    pub(crate) fn merge(&mut self, low: &Place, high: &Place, now: EpochMillis) {
        let range =
            HashKeyRange { start: self.shard(low).range.start, end: self.shard(high).range.end };
        let parents = vec![low.shard.clone(), high.shard.clone()];
        self.add_shard(low.stream, parents, range, now);
    }

    /// A stream of so many shards of the same width.
    pub(crate) fn add_stream(&mut self, shards: u128) {
        let stream = self.streams;
        self.streams += 1;
        let width = u128::MAX / shards;
        for index in 0..shards {
            let end = if index + 1 == shards { u128::MAX } else { (index + 1) * width - 1 };
            let range = HashKeyRange { start: HashKey(index * width), end: HashKey(end) };
            self.add_shard(stream, vec![], range, EpochMillis(0));
        }
    }
}

impl State {
    fn any_open_shard(&mut self) -> Place {
        let open = self.stream.open_shards();
        open[self.rng.random_range(0..open.len())].clone()
    }

    pub(crate) fn split(&mut self) {
        let place = self.any_open_shard();
        let HashKeyRange { start, end } = self.stream.shard(&place).range;
        if end.0 - start.0 < 2 || self.stream.open_shards().len() > 6 {
            return;
        }
        let now = self.now();
        self.stream.split(&place, now);
        self.count("split");
        self.note(format!("split {place}"));
    }

    pub(crate) fn merge(&mut self) {
        let stream = self.any_open_shard().stream;
        let mut open = self.stream.open_shards();
        open.retain(|place| place.stream == stream);
        open.sort_by_key(|place| self.stream.shard(place).range);
        if open.len() < 2 {
            return;
        }
        let index = self.rng.random_range(0..open.len() - 1);
        let (low, high) = (open[index].clone(), open[index + 1].clone());
        self.count("merge");
        self.note(format!("merge {low} and {high}"));
        let now = self.now();
        self.stream.merge(&low, &high, now);
    }

    /// Puts one record anywhere: plain, filtered, refused alone or with its batch, poison, or an
    /// aggregate of these.
    pub(crate) fn put_record(&mut self) {
        let place = self.any_open_shard();
        self.put_into(&place);
    }

    pub(crate) fn put_into(&mut self, place: &Place) {
        self.stream.next_sequence += 1;
        let sequence: SequenceNumber = self.stream.next_sequence.to_string().parse().unwrap();
        let partition_key = self.audit.limits.key(self.stream.next_event);
        let members = if self.rng.random_bool(0.2) { self.rng.random_range(1..5) } else { 0 };
        let data = if members == 0 {
            self.payload(place, &sequence, 0)
        } else {
            let key_of_shard = self.stream.shard(place).range.start.0.to_string();
            let members: Vec<KplRecord> = (0..members)
                .map(|index| KplRecord {
                    partition_key: self.audit.limits.key(self.stream.next_event),
                    explicit_hash_key: Some(key_of_shard.clone()),
                    data: self.payload(place, &sequence, index),
                })
                .collect();
            aggregate(&members)
        };
        self.append(place, RawRecord { sequence, partition_key, data, arrival: self.now() });
    }

    /// Puts a record that nobody can decode.
    pub(crate) fn put_poison(&mut self, place: &Place) {
        self.stream.next_sequence += 1;
        let sequence: SequenceNumber = self.stream.next_sequence.to_string().parse().unwrap();
        let position = Position { sequence: sequence.clone(), sub_sequence: 0 };
        self.audit.put(&self.stream, place, position, Must::DeadLetter, false);
        let (partition_key, arrival) = ("key".to_owned(), self.now());
        self.append(place, RawRecord { sequence, partition_key, data: POISON, arrival });
    }

    fn append(&mut self, place: &Place, record: RawRecord) {
        self.stream.shards.get_mut(place).unwrap().records.push(record);
    }

    fn payload(&mut self, place: &Place, sequence: &SequenceNumber, sub_sequence: u64) -> Bytes {
        self.stream.next_event += 1;
        let number = self.stream.next_event;
        let ballast = "x".repeat(self.stream.ballast);
        let (data, must) = match self.rng.random_range(0..20) {
            _ if self.stream.plain => {
                (Bytes::from(format!("event {number} {ballast}")), Must::Deliver)
            }
            0 => (POISON, Must::DeadLetter),
            1 => (Bytes::from(format!("refuse {number}")), Must::DeadLetter),
            2 | 3 => (Bytes::from(format!("drop {number}")), Must::Nothing),
            _ if self.audit.limits.any() && number.is_multiple_of(19) => {
                (Bytes::from(format!("spoil {number}")), Must::DeadLetter)
            }
            _ if self.stream.windowed => {
                let time = windows::time(number, self.now().0);
                (Bytes::from(format!("event {number} {time} {ballast}")), Must::Deliver)
            }
            _ => (Bytes::from(format!("event {number} {ballast}")), Must::Deliver),
        };
        let position = Position { sequence: sequence.clone(), sub_sequence };
        let must = if self.is_wanted() { must } else { Must::Unwanted };
        self.audit.put(&self.stream, place, position, must, data.is_ascii());
        data
    }

    /// Whether a record that is put now is one to be read.
    fn is_wanted(&self) -> bool {
        let begun = match self.initial {
            InitialPosition::AtTimestamp(time) => self.now() >= time,
            _ => true,
        };
        begun && self.until.is_none_or(|time| self.now() < time)
    }

    /// The stream's retention is over for everything before `horizon`.
    pub(crate) fn trim(&mut self, horizon: EpochMillis) {
        let mut lost = 0;
        for (place, shard) in &mut self.stream.shards {
            let kept = shard.records.partition_point(|record| record.arrival < horizon);
            let oldest = shard.trimmed.max(kept);
            for record in &shard.records[shard.trimmed..oldest] {
                lost += self.audit.lost(place, &record.sequence);
            }
            shard.trimmed = oldest;
            shard.gone |= !shard.open && shard.closed < horizon;
            if shard.gone {
                self.audit.shard_gone(place);
            }
        }
        self.note(format!("trimmed up to {}, {lost} unread", horizon.0));
        self.count("trim");
        if lost > 0 {
            self.count("trim of unread records");
        }
    }
}
