//! The truth that all workers share: table, streams, sinks, and what the auditor knows.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shardwright::{
    model::{EpochMillis, InitialPosition},
    ports::WallClock,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    audit::Audit,
    faults::Faults,
    fleet::params,
    lease_table::Table,
    objects::Objects,
    reader::Iterators,
    stream::{Place, Stream},
    windows::Windows,
};

/// A worker's number; never used again after a crash.
pub(crate) type WorkerNo = usize;

/// What a worker may be cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Port {
    Table,
    Stream,
    Sink,
}

#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) rng: StdRng,
    pub(crate) faults: Faults,
    pub(crate) cut_off: BTreeMap<(WorkerNo, Port), Instant>,
    /// Workers that do not run now, and those that ever stood still.
    pub(crate) frozen: BTreeSet<WorkerNo>,
    pub(crate) thawed: BTreeSet<WorkerNo>,
    pub(crate) gone: BTreeSet<WorkerNo>,
    pub(crate) table: Table,
    pub(crate) stream: Stream,
    /// Where the streams are read from.
    pub(crate) initial: InitialPosition,
    /// What is put from then on is not to be read.
    pub(crate) until: Option<EpochMillis>,
    pub(crate) iterators: Iterators,
    /// Until when a worker's sinks do not answer.
    pub(crate) sinks_hang: BTreeMap<WorkerNo, Instant>,
    /// Who delivered of what, and when.
    pub(crate) deliveries: Vec<(Instant, WorkerNo, Place)>,
    pub(crate) objects: Objects,
    pub(crate) audit: Audit,
    pub(crate) windows: Windows,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    trace: DefaultHasher,
    verbose: bool,
    started: Instant,
}

/// The time of day as a worker knows it: virtual time since the start, and a little wrong.
pub(crate) struct SimClock {
    pub(crate) world: World,
    pub(crate) wrong_by: i64,
}

impl WallClock for SimClock {
    fn now(&self) -> EpochMillis {
        EpochMillis(self.world.lock().now().0 + self.wrong_by)
    }
}

/// How a call fares before it reaches the other side.
pub(crate) enum Fate {
    Through,
    Throttled,
    Unavailable,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: StdRng::seed_from_u64(seed ^ 0x5eed),
            faults,
            cut_off: BTreeMap::new(),
            frozen: BTreeSet::new(),
            thawed: BTreeSet::new(),
            gone: BTreeSet::new(),
            table: Table::default(),
            stream: Stream::default(),
            initial: InitialPosition::TrimHorizon,
            until: None,
            iterators: Iterators::default(),
            sinks_hang: BTreeMap::new(),
            deliveries: Vec::new(),
            objects: Objects::default(),
            audit: Audit::new(&params()),
            windows: Windows::default(),
            counters: BTreeMap::new(),
            trace: DefaultHasher::new(),
            verbose: std::env::var_os("SIM_SEED").is_some(),
            started: Instant::now(),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a call on the wire. Some go on when whoever made them is frozen or gone, others wait in
    /// the caller's own buffers.
    pub(crate) async fn wire<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let detached = {
            let mut state = self.lock();
            let chance = state.faults.detached;
            state.rng.random_bool(chance)
        };
        if !detached {
            return call.await;
        }
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move { answer.send(call.await).is_ok() });
        answered.await.expect("a call on the wire comes to its end")
    }

    /// Takes a call to the other side: some time passes, and it may not get there.
    pub(crate) async fn begin(&self, worker: WorkerNo, port: Port) -> Fate {
        let (delay, cut_until) = {
            let mut state = self.lock();
            let cut_until = state.cut_off.get(&(worker, port)).copied();
            (state.delay(), cut_until.filter(|until| *until > Instant::now()))
        };
        sleep(delay).await;
        if cut_until.is_some() {
            // A connection that is not made times out.
            sleep(Duration::from_secs(2)).await;
            self.lock().count("call while cut off");
            return Fate::Unavailable;
        }
        let mut state = self.lock();
        let faults = state.faults;
        if state.rng.random_bool(faults.throttled) {
            state.count("throttled");
            return Fate::Throttled;
        }
        if state.rng.random_bool(faults.unavailable) {
            state.count("unavailable");
            return Fate::Unavailable;
        }
        Fate::Through
    }

    /// The way back.
    pub(crate) async fn answer(&self) {
        let delay = self.lock().delay();
        sleep(delay).await;
    }
}

impl State {
    fn delay(&mut self) -> Duration {
        let longest = self.faults.longest_call;
        longest.mul_f64(self.rng.random_range(0.0..1.0f64).powi(3))
    }

    pub(crate) fn now(&self) -> EpochMillis {
        let since = Instant::now().duration_since(self.started);
        EpochMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    /// How often something happened.
    pub(crate) fn counter(&self, what: &str) -> u64 {
        self.counters.get(what).copied().unwrap_or_default()
    }

    /// Writes a line of the history.
    pub(crate) fn note(&mut self, line: impl AsRef<str>) {
        let at = Instant::now().duration_since(self.started).as_millis();
        (at, line.as_ref()).hash(&mut self.trace);
        if self.verbose {
            println!("{at:>8} ms  {}", line.as_ref());
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }
}
