//! A stream that is split and merged while it is read.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use rand::RngExt;
use shardwright::{
    codec::{KplRecord, aggregate},
    model::{
        ChildShard, HashKey, HashKeyRange, Position, RawRecord, RecordPage, SequenceNumber, Shard,
        ShardId,
    },
    ports::{ShardIterator, StartAt, StreamError, StreamReader},
};
use tokio::time::Instant;

use crate::{
    audit::Must,
    world::{Fate, Port, State, WorkerNo, World},
};

#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) shards: BTreeMap<ShardId, SimShard>,
    next_sequence: u64,
    next_event: u64,
    iterators: BTreeMap<String, Iterator>,
    next_iterator: u64,
}

pub(crate) struct SimShard {
    pub(crate) parents: Vec<ShardId>,
    pub(crate) children: Vec<ShardId>,
    pub(crate) range: HashKeyRange,
    pub(crate) records: Vec<RawRecord>,
    pub(crate) open: bool,
}

#[derive(Clone)]
struct Iterator {
    shard: ShardId,
    index: usize,
    born: Instant,
}

const ITERATOR_LIFE: Duration = Duration::from_mins(5);
const PAGE_BYTES: usize = 10 * 1024 * 1024;

impl State {
    pub(crate) fn add_shard(&mut self, parents: Vec<ShardId>, range: HashKeyRange) -> ShardId {
        let id = ShardId::new(format!("shardId-{:012}", self.stream.shards.len()));
        for parent in &parents {
            let parent = self.stream.shards.get_mut(parent).unwrap();
            parent.open = false;
            parent.children.push(id.clone());
        }
        let shard = SimShard { parents, children: vec![], range, records: vec![], open: true };
        self.stream.shards.insert(id.clone(), shard);
        id
    }

    fn open_shards(&self) -> Vec<ShardId> {
        let open = self.stream.shards.iter().filter(|(_, shard)| shard.open);
        open.map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn split(&mut self) {
        let open = self.open_shards();
        let id = open[self.rng.random_range(0..open.len())].clone();
        let HashKeyRange { start, end } = self.stream.shards[&id].range;
        if end.0 - start.0 < 2 || open.len() > 6 {
            return;
        }
        let middle = start.0 + (end.0 - start.0) / 2;
        self.add_shard(vec![id.clone()], HashKeyRange { start, end: HashKey(middle) });
        self.add_shard(vec![id.clone()], HashKeyRange { start: HashKey(middle + 1), end });
        self.count("split");
        self.note(format!("split {id}"));
    }

    pub(crate) fn merge(&mut self) {
        let mut open = self.open_shards();
        open.sort_by_key(|id| self.stream.shards[id].range);
        if open.len() < 2 {
            return;
        }
        let index = self.rng.random_range(0..open.len() - 1);
        let (low, high) = (open[index].clone(), open[index + 1].clone());
        let start = self.stream.shards[&low].range.start;
        let end = self.stream.shards[&high].range.end;
        self.count("merge");
        self.note(format!("merge {low} and {high}"));
        self.add_shard(vec![low, high], HashKeyRange { start, end });
    }

    /// Puts one record: plain, filtered, refused alone or with its batch, poison, or an aggregate of
    /// these.
    pub(crate) fn put_record(&mut self) {
        let open = self.open_shards();
        let shard = open[self.rng.random_range(0..open.len())].clone();
        self.stream.next_sequence += 1;
        let sequence: SequenceNumber = self.stream.next_sequence.to_string().parse().unwrap();
        let partition_key = self.audit.limits.key(self.stream.next_event);
        let members = if self.rng.random_bool(0.2) { self.rng.random_range(1..5) } else { 0 };
        let data = if members == 0 {
            self.payload(&shard, &sequence, 0)
        } else {
            let members: Vec<KplRecord> = (0..members)
                .map(|index| KplRecord {
                    partition_key: self.audit.limits.key(self.stream.next_event),
                    explicit_hash_key: None,
                    data: self.payload(&shard, &sequence, index),
                })
                .collect();
            aggregate(&members)
        };
        let record = RawRecord { sequence, partition_key, data, arrival: self.now() };
        self.stream.shards.get_mut(&shard).unwrap().records.push(record);
    }

    fn payload(&mut self, shard: &ShardId, sequence: &SequenceNumber, sub_sequence: u64) -> Bytes {
        self.stream.next_event += 1;
        let number = self.stream.next_event;
        let (data, must) = match self.rng.random_range(0..20) {
            0 => (Bytes::from_static(b"\xff\xfe"), Must::DeadLetter),
            1 => (Bytes::from(format!("refuse {number}")), Must::DeadLetter),
            2 | 3 => (Bytes::from(format!("drop {number}")), Must::Nothing),
            _ if self.audit.limits.any() && number.is_multiple_of(19) => {
                (Bytes::from(format!("spoil {number}")), Must::DeadLetter)
            }
            _ => (Bytes::from(format!("event {number}")), Must::Deliver),
        };
        let position = Position { sequence: sequence.clone(), sub_sequence };
        self.audit.put(shard.clone(), position, must);
        data
    }

    pub(crate) fn expire_iterators(&mut self) {
        self.stream.iterators.clear();
    }
}

pub(crate) struct SimStream {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
}

impl SimStream {
    async fn reach(&self) -> Result<(), StreamError> {
        match self.world.begin(self.worker, Port::Stream).await {
            Fate::Through => Ok(()),
            Fate::Throttled => Err(StreamError::Throttled),
            Fate::Unavailable => Err(StreamError::Unavailable("simulated".to_owned())),
        }
    }
}

#[async_trait]
impl StreamReader for SimStream {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        self.reach().await?;
        let listed = self
            .world
            .lock()
            .stream
            .shards
            .iter()
            .map(|(id, shard)| Shard {
                id: id.clone(),
                parents: shard.parents.clone(),
                hash_range: Some(shard.range),
                open: shard.open,
            })
            .collect();
        Ok(listed)
    }

    async fn iterator(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<ShardIterator, StreamError> {
        self.reach().await?;
        let mut state = self.world.lock();
        let State { audit, stream, .. } = &mut *state;
        let Some(SimShard { records, .. }) = stream.shards.get(shard) else {
            return Err(StreamError::NotFound(shard.to_string()));
        };
        audit.reads(stream, self.worker, shard);
        let index = match start {
            StartAt::TrimHorizon | StartAt::Timestamp(_) => 0,
            StartAt::Latest => records.len(),
            StartAt::At(sequence) => records.partition_point(|record| record.sequence < *sequence),
            StartAt::After(sequence) => {
                records.partition_point(|record| record.sequence <= *sequence)
            }
        };
        Ok(state.new_iterator(shard.clone(), index))
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        self.reach().await?;
        let page = self.world.lock().page(iterator, limit);
        self.world.answer().await;
        page
    }
}

impl State {
    fn new_iterator(&mut self, shard: ShardId, index: usize) -> ShardIterator {
        self.stream.next_iterator += 1;
        let name = self.stream.next_iterator.to_string();
        let iterator = Iterator { shard, index, born: Instant::now() };
        self.stream.iterators.insert(name.clone(), iterator);
        ShardIterator(name)
    }

    fn page(
        &mut self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let known = self.stream.iterators.get(&iterator.0).cloned();
        let Some(at) = known.filter(|at| at.born.elapsed() < ITERATOR_LIFE) else {
            self.count("iterator expired");
            return Err(StreamError::IteratorExpired);
        };
        let most = self.rng.random_range(1..20).min(limit as usize);
        let shard = &self.stream.shards[&at.shard];
        let mut bytes = 0;
        let rest = shard.records.iter().skip(at.index).take(most).take_while(|record| {
            bytes += record.data.len();
            bytes <= PAGE_BYTES
        });
        let records: Vec<RawRecord> = rest.cloned().collect();
        let next = at.index + records.len();
        let at_end = next == shard.records.len();
        let ended = at_end && !shard.open;
        let named = self.rng.random_bool(1.0 - self.faults.children_unnamed);
        let shard = &self.stream.shards[&at.shard];
        let children = match ended && named {
            true => shard.children.iter().map(|id| self.child(id)).collect(),
            false => Vec::new(),
        };
        let behind = if at_end { Duration::ZERO } else { Duration::from_secs(1) };
        let next = if ended { None } else { Some(self.new_iterator(at.shard, next)) };
        Ok(RecordPage { records, next, behind_latest: behind, children })
    }

    fn child(&self, id: &ShardId) -> ChildShard {
        let shard = &self.stream.shards[id];
        ChildShard { id: id.clone(), parents: shard.parents.clone(), hash_range: Some(shard.range) }
    }
}
