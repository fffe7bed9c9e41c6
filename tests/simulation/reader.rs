//! The streams as a worker reads them: iterators that expire, pages that are short or empty.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use rand::RngExt;
use shardwright::{
    model::{ChildShard, Position, RawRecord, RecordPage, Shard, ShardId},
    ports::{ShardIterator, StartAt, StreamError, StreamReader},
};
use tokio::time::{Instant, sleep};

use crate::{
    stream::Place,
    world::{Fate, Port, State, WorkerNo, World},
};

#[derive(Default)]
pub(crate) struct Iterators {
    live: BTreeMap<String, Iterator>,
    next: u64,
}

#[derive(Clone)]
struct Iterator {
    place: Place,
    index: usize,
    born: Instant,
}

const ITERATOR_LIFE: Duration = Duration::from_mins(5);
const PAGE_BYTES: usize = 10 * 1024 * 1024;

#[derive(Clone)]
pub(crate) struct SimStream {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
    pub(crate) stream: usize,
}

impl SimStream {
    async fn reach(&self) -> Result<(), StreamError> {
        match self.world.begin(self.worker, Port::Stream).await {
            Fate::Through => Ok(()),
            Fate::Throttled => Err(StreamError::Throttled),
            Fate::Unavailable => Err(StreamError::Unavailable("simulated".to_owned())),
        }
    }

    async fn list(self) -> Result<Vec<Shard>, StreamError> {
        self.reach().await?;
        let (listed, slow) = {
            let mut state = self.world.lock();
            if state.stream.unlisted {
                state.count("listing refused");
                return Err(StreamError::Unavailable("simulated".to_owned()));
            }
            (state.stream.listed(self.stream), state.stream.slow_listing)
        };
        sleep(slow).await;
        self.world.answer().await;
        Ok(listed)
    }

    async fn look_up(self, shard: ShardId, start: StartAt) -> Result<ShardIterator, StreamError> {
        self.reach().await?;
        let mut state = self.world.lock();
        let now = state.now();
        let place = Place { stream: self.stream, shard };
        let State { audit, stream, .. } = &mut *state;
        let Some(shard) = stream.kept(&place) else {
            state.count("shard gone");
            return Err(StreamError::NotFound(format!("{place} is trimmed")));
        };
        if let StartAt::Timestamp(time) = start
            && time > now
        {
            state.count("time that is not reached refused");
            return Err(StreamError::Invalid(format!("{} is in the future", time.0)));
        }
        audit.reads(stream, self.worker, &place);
        let records = &shard.records;
        let index = match &start {
            StartAt::TrimHorizon => 0,
            StartAt::Timestamp(time) => records.partition_point(|record| record.arrival < *time),
            StartAt::Latest => records.len(),
            StartAt::At(sequence) => records.partition_point(|record| record.sequence < *sequence),
            StartAt::After(sequence) => {
                records.partition_point(|record| record.sequence <= *sequence)
            }
        };
        let what = match start {
            StartAt::Latest => "read from LATEST",
            StartAt::Timestamp(_) => "read from a time",
            StartAt::At(_) if index < shard.trimmed => "read from a trimmed position",
            _ => "read from a position",
        };
        audit.begins(stream, &place, &start, records, index);
        let index = index.max(shard.trimmed);
        state.count(what);
        Ok(state.new_iterator(place, index))
    }

    async fn read(
        self,
        iterator: ShardIterator,
        limit: u32,
    ) -> Result<(Place, RecordPage<ShardIterator>), StreamError> {
        self.reach().await?;
        let page = self.world.lock().page(&iterator, limit);
        self.world.answer().await;
        page
    }
}

#[async_trait]
impl StreamReader for SimStream {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        self.world.wire(self.clone().list()).await
    }

    async fn iterator(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<ShardIterator, StreamError> {
        self.world.wire(self.clone().look_up(shard.clone(), start.clone())).await
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let (place, page) = self.world.wire(self.clone().read(iterator.clone(), limit)).await?;
        let bytes = page.records.iter().map(|record| {
            // Behind the last member of an aggregate.
            let position = Position { sequence: record.sequence.clone(), sub_sequence: u64::MAX };
            (position, record.data.len() as u64)
        });
        self.world.lock().audit.paged(self.worker, &place, bytes);
        Ok(page)
    }
}

impl State {
    /// A server forgets its iterators.
    pub(crate) fn expire_iterators(&mut self) {
        if !self.iterators.live.is_empty() {
            self.count("iterators expired by the server");
        }
        self.iterators.live.clear();
    }

    fn new_iterator(&mut self, place: Place, index: usize) -> ShardIterator {
        self.iterators.next += 1;
        let name = self.iterators.next.to_string();
        let iterator = Iterator { place, index, born: Instant::now() };
        self.iterators.live.insert(name.clone(), iterator);
        ShardIterator(name)
    }

    fn page(
        &mut self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<(Place, RecordPage<ShardIterator>), StreamError> {
        let known = self.iterators.live.get(&iterator.0).cloned();
        let Some(Iterator { place, index, .. }) =
            known.filter(|at| at.born.elapsed() < ITERATOR_LIFE)
        else {
            self.count("iterator expired");
            return Err(StreamError::IteratorExpired);
        };
        let faults = self.faults;
        let mut most = self.rng.random_range(1..20).min(limit as usize);
        if self.rng.random_bool(faults.empty_page) {
            most = 0;
        }
        let most = self.stream.page.unwrap_or(most).min(limit as usize);
        let Some(shard) = self.stream.kept(&place) else {
            self.count("shard gone");
            return Err(StreamError::NotFound(format!("{place} is trimmed")));
        };
        let index = index.max(shard.trimmed);
        let mut bytes = 0;
        let kept = shard.records.iter().skip(index).take(most).take_while(|record| {
            bytes += record.data.len();
            bytes <= PAGE_BYTES
        });
        let records: Vec<RawRecord> = kept.cloned().collect();
        let next = index + records.len();
        let at_end = next == shard.records.len();
        let ended = at_end && !shard.open;
        if records.is_empty() && !at_end {
            self.count("page without records");
        }
        let unnamed = ended && self.rng.random_bool(faults.unnamed_children);
        if unnamed {
            self.count("shard end, children not named");
        }
        let children = match ended && !unnamed {
            true => self.children(&place),
            false => Vec::new(),
        };
        let behind = if at_end { Duration::ZERO } else { Duration::from_secs(1) };
        let next = (!ended).then(|| self.new_iterator(place.clone(), next));
        Ok((place, RecordPage { records, next, behind_latest: behind, children }))
    }

    fn children(&self, place: &Place) -> Vec<ChildShard> {
        let child = |id: &ShardId| {
            let child = self.stream.shard(&Place { shard: id.clone(), ..place.clone() });
            let (parents, hash_range) = (child.parents.clone(), Some(child.range));
            ChildShard { id: id.clone(), parents, hash_range }
        };
        self.stream.shard(place).children.iter().map(child).collect()
    }
}
