//! The workers of a simulation: they join, drain, crash and freeze.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shardwright::{
    consumer::ConsumerContext,
    leasing::{LeaseParams, plan::BalanceLimits},
    metrics::{LeaseChange, Loss, Metrics},
    model::{EpochMillis, Invariant, LeaseKey},
};
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    freeze::Freezer,
    limits::BATCH,
    member,
    world::{WorkerNo, World},
};

pub(crate) struct Fleet {
    world: World,
    setup: Setup,
    next: WorkerNo,
    /// Of everyone who ever joined.
    contexts: Vec<Arc<ConsumerContext>>,
    healed: bool,
    pub(crate) working: BTreeMap<WorkerNo, Member>,
    pub(crate) draining: BTreeMap<WorkerNo, Member>,
}

/// What the workers of a fleet have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) limits: BalanceLimits,
    /// How long an owner may take to hand a lease over.
    pub(crate) hand_over_timeout: Duration,
    /// How long a batch waits for more.
    pub(crate) window: Duration,
    pub(crate) budget: u64,
    /// How wrong the clocks of machines may be, in milliseconds.
    pub(crate) clocks: i64,
    /// Where reading ends.
    pub(crate) until: Option<EpochMillis>,
}

impl Setup {
    /// Each machine's clock is wrong in its own way.
    pub(crate) fn clock_error(&self, worker: WorkerNo) -> i64 {
        let spread = i64::try_from(worker * 7919 % 2001).unwrap_or(0) - 1000;
        self.clocks * spread / 1000
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            limits: BalanceLimits { max_leases: 1000, max_hand_overs: 8 },
            hand_over_timeout: params().hand_over_timeout,
            window: Duration::ZERO,
            budget: 4 << 20,
            clocks: 0,
            until: None,
        }
    }
}

pub(crate) struct Member {
    gate: Arc<Freezer>,
    drain: CancellationToken,
    context: Arc<ConsumerContext>,
    task: JoinSet<Result<Vec<LeaseKey>, JoinError>>,
}

/// The times of the fleet: the defaults of the configuration.
pub(crate) fn params() -> LeaseParams {
    LeaseParams {
        failover_time: Duration::from_secs(10),
        hand_over_timeout: Duration::from_secs(15),
        scan_interval: Duration::from_secs(1),
        limits: BalanceLimits { max_leases: 1000, max_hand_overs: 8 },
    }
}

impl Fleet {
    pub(crate) fn new(world: World, setup: Setup) -> Self {
        {
            let mut state = world.lock();
            state.until = setup.until;
            let audit = &mut state.audit;
            // A batch that is rebuilt is not counted: of each shard so many records, and a page.
            let rebuilt = audit.preparing.len() as u64 * 7 * (BATCH as u64 + 10) * (10 << 10);
            audit.flight.budget = setup.budget + rebuilt;
        }
        let (working, draining) = Default::default();
        Self { world, setup, next: 0, contexts: Vec::new(), healed: false, working, draining }
    }

    pub(crate) fn join(&mut self) -> WorkerNo {
        let number = self.next;
        self.next += 1;
        let context = member::context(&self.world, number, &self.setup);
        let worker = member::worker(&self.world, number, &self.setup, &context);
        let (gate, drain) = (Arc::new(Freezer::default()), CancellationToken::new());
        self.contexts.push(Arc::clone(&context));
        let mut task = JoinSet::new();
        task.spawn(worker.behind(Arc::clone(&gate) as _).run(drain.clone()));
        self.world.lock().note(format!("w{number} joins"));
        self.working.insert(number, Member { gate, drain, context, task });
        number
    }

    /// Ends one worker as a kill would.
    pub(crate) async fn crash(&mut self, number: WorkerNo) {
        let member = self.working.remove(&number).or_else(|| self.draining.remove(&number));
        let Some(mut member) = member else { return };
        {
            let mut state = self.world.lock();
            state.count("crash");
            if member.gate.is_frozen() {
                state.count("crash of a frozen worker");
            }
            state.note(format!("w{number} crashes"));
        }
        member.task.shutdown().await;
        self.gone(number);
    }

    fn gone(&self, number: WorkerNo) {
        let mut state = self.world.lock();
        state.audit.gone(number);
        state.gone.insert(number);
        state.frozen.remove(&number);
    }

    pub(crate) fn drain(&mut self, number: WorkerNo) {
        let Some(member) = self.working.remove(&number) else { return };
        member.drain.cancel();
        let mut state = self.world.lock();
        state.count("drain");
        if member.gate.is_frozen() {
            state.count("drain of a frozen worker");
        }
        state.note(format!("w{number} drains"));
        // Consumers that drain throw away what they fetched and did not deliver.
        state.audit.flight.gone(number);
        drop(state);
        self.draining.insert(number, member);
    }

    /// Stops everything that a worker does, for a while.
    pub(crate) fn freeze(&mut self, number: WorkerNo, pause: Duration) {
        let Some(member) = self.working.get(&number).or_else(|| self.draining.get(&number)) else {
            return;
        };
        let gate = Arc::clone(&member.gate);
        if gate.is_frozen() {
            return;
        }
        gate.freeze();
        {
            let mut state = self.world.lock();
            state.count("freeze");
            state.frozen.insert(number);
            state.audit.stood_still.insert(number);
            state.note(format!("w{number} freezes for {pause:?}"));
        }
        let world = self.world.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            thaw(&world, number, &gate);
        });
    }

    /// How often workers said that records were trimmed unread.
    pub(crate) fn losses(&self) -> u64 {
        let losses =
            |metrics: &Metrics| Loss::ALL.map(|loss| metrics.losses(loss)).iter().sum::<u64>();
        self.contexts.iter().map(|context| losses(&context.metrics)).sum()
    }

    /// Bytes of records that workers have read.
    pub(crate) fn bytes_read(&self) -> u64 {
        let shards = self.contexts.iter().flat_map(|context| context.metrics.shards());
        shards.map(|(_, reading)| reading.bytes).sum()
    }

    /// How often leases came or went like this.
    pub(crate) fn changes(&self, change: LeaseChange) -> usize {
        let news = self.contexts.iter().flat_map(|context| context.metrics.lease_news());
        news.filter(|news| news.change == change).count()
    }

    /// Lets everyone go on.
    pub(crate) fn thaw(&self) {
        for (number, member) in self.working.iter().chain(&self.draining) {
            thaw(&self.world, *number, &member.gate);
        }
    }

    /// Sees which drains are done, and who has ended by itself.
    pub(crate) fn reap(&mut self) {
        let mut gone = Vec::new();
        let (world, healed, bounded) = (&self.world, self.healed, self.setup.until.is_some());
        let mut works_on = |number: &WorkerNo, member: &mut Member| {
            let Some(done) = member.task.try_join_next() else { return true };
            let mut state = world.lock();
            state.note(format!("w{number} has drained"));
            if !matches!(done, Ok(Ok(_))) {
                state.audit.broken(Invariant::ReachesTip, format!("w{number} broke"));
            }
            state.audit.counted(*number, &member.context.metrics.tally());
            // A worker that is cut off from the table cannot release; its leases expire.
            if healed {
                state.audit.drained(*number);
            }
            gone.push(*number);
            false
        };
        self.draining.retain(&mut works_on);
        if bounded {
            self.working.retain(works_on);
        }
        for number in gone {
            self.gone(number);
        }
    }

    /// Drains everyone and waits for it, in a world without faults.
    pub(crate) async fn end(&mut self) {
        self.healed = true;
        self.drain_all().await;
        let mut state = self.world.lock();
        state.audit.all_drained();
        for (number, context) in self.contexts.iter().enumerate() {
            state.audit.raised(number, &context.metrics);
        }
    }

    async fn drain_all(&mut self) {
        let numbers: Vec<WorkerNo> = self.working.keys().copied().collect();
        for number in numbers {
            self.drain(number);
        }
        for _ in 0..600 {
            self.reap();
            if self.draining.is_empty() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let stuck: Vec<WorkerNo> = self.draining.keys().copied().collect();
        let what = format!("{stuck:?} do not drain");
        self.world.lock().audit.broken(Invariant::DrainReleases, what);
    }
}

fn thaw(world: &World, number: WorkerNo, gate: &Freezer) {
    let mut state = world.lock();
    if !gate.is_frozen() || !state.frozen.remove(&number) {
        return;
    }
    state.thawed.insert(number);
    state.note(format!("w{number} thaws"));
    if state.audit.is_zombie(number) {
        state.count("thaw of a worker whose lease is another's");
    }
    gate.thaw(&mut state.rng);
}
