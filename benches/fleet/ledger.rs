//! Every delivery: of which shard, when, by whom.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::shared::wait_until;

/// Counts the workers, dead ones too.
pub(crate) type WorkerNo = usize;

/// What is put.
#[derive(Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) shard: u32,
    pub(crate) number: usize,
}

/// A worker that is gone, and the shards that it held.
pub(crate) struct Killed {
    pub(crate) at: Instant,
    pub(crate) worker: WorkerNo,
    pub(crate) shards: Vec<u32>,
}

/// What has come out so far. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<u32, Shard>>>);

#[derive(Default)]
struct Shard {
    deliveries: Vec<(Instant, WorkerNo)>,
    /// How often each event came out; the events of a shard are numbered from 0.
    times: Vec<u32>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Shard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn delivered(&self, event: &Event, worker: WorkerNo) {
        let mut shards = self.lock();
        let shard = shards.entry(event.shard).or_default();
        shard.deliveries.push((Instant::now(), worker));
        if shard.times.len() <= event.number {
            shard.times.resize(event.number + 1, 0);
        }
        shard.times[event.number] += 1;
    }

    /// Of the first `put` events of so many shards, those that have not come out.
    pub(crate) fn missing(&self, shards: u32, put: usize) -> usize {
        let seen = self.lock();
        let missing_of = |shard| {
            let times = seen.get(&shard).map_or(&[][..], |shard| &shard.times);
            put - times.iter().take(put).filter(|times| **times > 0).count()
        };
        (0..shards).map(missing_of).sum()
    }

    /// Deliveries beyond the first of each event.
    pub(crate) fn duplicates(&self) -> u32 {
        let shards = self.lock();
        let times = shards.values().flat_map(|shard| &shard.times);
        times.map(|times| times.saturating_sub(1)).sum()
    }

    /// Of each shard the longest time without a delivery within a while, its ends included.
    pub(crate) fn longest_gaps(&self, within: Range<Instant>) -> Vec<Duration> {
        let longest = |shard: &Shard| {
            let inside =
                shard.deliveries.iter().map(|(at, _)| *at).filter(|at| within.contains(at));
            let mut last = within.start;
            let gaps = inside.chain([within.end]).map(|at| {
                let gap = at.duration_since(last);
                last = at;
                gap
            });
            gaps.max().expect("the end ends a gap")
        };
        self.lock().values().map(longest).collect()
    }

    /// Waits until somebody else delivers of each shard of a worker that was killed; how long after
    /// the kill that was.
    pub(crate) async fn take_overs(&self, killed: &Killed) -> Vec<Duration> {
        let take_over = |shard: &u32| {
            let shards = self.lock();
            let mut later = shards.get(shard)?.deliveries.iter().rev();
            let by_other = later.by_ref().take_while(|(at, _)| *at > killed.at);
            let first = by_other.filter(|(_, worker)| *worker != killed.worker).last()?;
            Some(first.0.duration_since(killed.at))
        };
        let all = || killed.shards.iter().map(take_over).collect::<Option<Vec<_>>>();
        wait_until("every shard is taken over", async || all().is_some()).await;
        all().expect("deliveries are not forgotten")
    }
}
