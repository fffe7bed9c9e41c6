//! A fleet on a good day: the same fakes without faults, for tests that say how long things take.

use std::{collections::BTreeMap, time::Duration};

use shardwright::model::{Checkpoint, HashKeyRange, Lease, LeaseKey, ShardId};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    faults::Faults,
    fleet::{Fleet, Setup},
    stream::Place,
    world::{WorkerNo, World},
};

pub(crate) struct Calm {
    pub(crate) world: World,
    pub(crate) fleet: Fleet,
    writer: JoinHandle<()>,
}

/// A delivery: when, by whom, of which shard.
type Delivery = (Instant, WorkerNo, Place);

impl Calm {
    /// A stream of so many shards, and nobody who reads it. With `records_every` each open shard gets
    /// a record that often.
    pub(crate) fn new(setup: Setup, shards: u128, records_every: Option<Duration>) -> Self {
        let world = World::new(setup.seed, Faults::none());
        world.lock().stream.add_stream(shards);
        world.lock().audit.check_order = true;
        let writer = tokio::spawn(write(world.clone(), records_every));
        Self { fleet: Fleet::new(world.clone(), setup), world, writer }
    }

    /// Puts an unowned lease for each shard, as a shard sync does.
    pub(crate) fn create_leases(&self) {
        let mut state = self.world.lock();
        let ranges: Vec<(ShardId, HashKeyRange)> = {
            let open = state.stream.open_shards();
            open.into_iter()
                .map(|place| (place.shard.clone(), state.stream.shard(&place).range))
                .collect()
        };
        for (shard, range) in ranges {
            let key = LeaseKey::new(shard.as_str());
            let lease = Lease::new(key, None, shard, Checkpoint::TrimHorizon);
            state.create(Lease { hash_range: Some(range), ..lease });
        }
    }

    /// Waits until something is so; answers how long that took. Looks every 10 ms.
    pub(crate) async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < Duration::from_mins(5), "it never came to {what}");
            self.sound();
            sleep(Duration::from_millis(10)).await;
            self.fleet.reap();
        }
        start.elapsed()
    }

    /// No invariant is broken.
    pub(crate) fn sound(&self) {
        let breach = self.world.lock().audit.breach.clone();
        assert!(breach.is_none(), "{}", breach.unwrap());
    }

    /// How many leases each working member holds, hand-overs that are going on not counted; `None`
    /// while a lease that can be processed is nobody's, or is being handed over.
    pub(crate) fn loads(&self) -> Option<BTreeMap<WorkerNo, usize>> {
        let mut loads: BTreeMap<WorkerNo, usize> =
            self.fleet.working.keys().map(|number| (*number, 0)).collect();
        let state = self.world.lock();
        for row in state.table.rows.values().filter(|row| !row.ended()) {
            let owner = row.owner.as_ref().filter(|_| row.checkpoint_owner.is_none())?;
            *loads.get_mut(&owner.as_str().trim_start_matches('w').parse().ok()?)? += 1;
        }
        Some(loads)
    }

    /// Whether all leases are owned, and loads differ by at most one.
    pub(crate) fn is_balanced(&self) -> bool {
        let Some(loads) = self.loads() else { return false };
        let (least, most) = (loads.values().min(), loads.values().max());
        least.zip(most).is_some_and(|(least, most)| most - least <= 1 && *most > 0)
    }

    /// Lets a fleet of so many come to rest.
    pub(crate) async fn settled(&mut self, workers: usize) {
        for _ in 0..workers {
            self.fleet.join();
        }
        self.until("balance", Self::is_balanced).await;
        sleep(Duration::from_secs(5)).await;
        self.sound();
    }

    /// Who holds each shard's lease.
    pub(crate) fn holders(&self) -> BTreeMap<ShardId, String> {
        let state = self.world.lock();
        let rows = state.table.rows.values();
        let holder = |row: &Lease| Some((row.shard.clone(), row.holder()?.as_str().to_owned()));
        rows.filter_map(holder).collect()
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.world.lock().audit.duplicates
    }

    /// The longest time without a delivery of each shard that changed hands since `from`.
    pub(crate) fn pauses(&self, from: Instant) -> Vec<Duration> {
        let mut last: BTreeMap<Place, Delivery> = BTreeMap::new();
        let mut pauses = Vec::new();
        for (at, worker, place) in self.world.lock().deliveries.iter().cloned() {
            let before = last.insert(place.clone(), (at, worker, place));
            if let Some((before, other, _)) = before
                && other != worker
                && at >= from
            {
                pauses.push(at - before);
            }
        }
        pauses
    }

    /// A worker's sinks do not answer for so long.
    pub(crate) fn hang_sinks(&self, worker: WorkerNo, pause: Duration) {
        self.world.lock().sinks_hang.insert(worker, Instant::now() + pause);
    }

    pub(crate) fn put_everywhere(&self) {
        let mut state = self.world.lock();
        for place in state.stream.open_shards() {
            state.put_into(&place);
        }
    }

    /// Hand-overs that are going on.
    pub(crate) fn hand_overs(&self) -> usize {
        let state = self.world.lock();
        state.table.rows.values().filter(|row| row.checkpoint_owner.is_some()).count()
    }

    /// Stops the writing, and waits until everything written has its outcome.
    pub(crate) async fn finish(&mut self) {
        self.writer.abort();
        self.until("the tips of all shards", |calm| calm.world.lock().audit.all_settled()).await;
        self.fleet.end().await;
        self.sound();
    }
}

async fn write(world: World, every: Option<Duration>) {
    let Some(every) = every else { return };
    loop {
        sleep(every).await;
        let mut state = world.lock();
        for place in state.stream.open_shards() {
            state.put_into(&place);
        }
    }
}
