//! One seed, one history: what happens to the fleet, and the end at which all must be well.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shardwright::model::{Breach, EpochMillis, InitialPosition, Invariant, LeaseKey, WorkerId};
use tokio::time::{Instant, sleep};

use crate::{
    faults::Faults,
    fleet::{Fleet, Setup},
    limits::Limits,
    windows,
    world::{Port, WorkerNo, World},
};

pub(crate) struct History {
    pub(crate) breach: Option<Breach>,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) trace: u64,
}

/// Actions of one history.
const STEPS: usize = 60;
/// Virtual time before the first worker comes.
const BEFORE: Duration = Duration::from_secs(10);
/// Virtual time in which a healed fleet must reach the end of everything: one shard may have hundreds of
/// batches of one event each, for a sink that takes a second for one.
const PATIENCE: Duration = Duration::from_mins(20);
/// Workers at a time.
const MOST_WORKERS: usize = 4;

#[derive(Clone, Copy)]
enum Action {
    Put,
    Crash,
    Drain,
    Join,
    Freeze,
    Split,
    Merge,
    CutOff,
    ForgetIterators,
    /// Everybody is killed, and the stream is resharded several times before somebody comes.
    Exodus,
    /// An operator sets a lease free.
    Release,
    /// The stream forgets its oldest records.
    Trim,
}

/// What may happen, and how often in comparison with the rest.
const ACTIONS: [(Action, u32); 12] = [
    (Action::Put, 40),
    (Action::Crash, 8),
    (Action::Drain, 8),
    (Action::Join, 14),
    (Action::Freeze, 10),
    (Action::Split, 8),
    (Action::Merge, 6),
    (Action::CutOff, 14),
    (Action::ForgetIterators, 4),
    (Action::Exodus, 2),
    (Action::Release, 2),
    (Action::Trim, 2),
];

pub(crate) fn run(seed: u64) -> History {
    simulate(history(seed))
}

/// Runs a simulation in virtual time.
pub(crate) fn simulate<T>(simulation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulation)
}

async fn history(seed: u64) -> History {
    let mut rng = StdRng::seed_from_u64(seed);
    let faults = Faults::bad_day(&mut rng);
    let world = World::new(seed, faults);
    world.lock().audit.check_order = faults.sink_partial == 0.0;
    let setup = prepare(&world, seed, &mut rng);
    let weights = weights(&mut rng);
    let longest_pause = [1_000, 3_000, 6_000][rng.random_range(0..3)];
    let mut fleet = Fleet::new(world.clone(), setup);
    for _ in 0..BEFORE.as_secs() {
        sleep(Duration::from_secs(1)).await;
        if world.lock().initial != InitialPosition::TrimHorizon {
            world.lock().before_the_fleet(&mut rng);
        }
    }
    for _ in 0..rng.random_range(1..MOST_WORKERS) {
        fleet.join();
    }
    for _ in 0..STEPS {
        sleep(Duration::from_millis(rng.random_range(0..longest_pause))).await;
        let action = choose(&weights, &mut rng);
        act(action, &world, &mut fleet, &mut rng).await;
        fleet.reap();
        if world.lock().audit.breach.is_some() {
            break;
        }
    }
    let hurry = rng.random_range(0..2_000);
    settle(&world, &mut fleet, hurry).await;
    let state = world.lock();
    History {
        breach: state.audit.breach.clone(),
        counters: state.counters.clone(),
        trace: state.trace(),
    }
}

/// Makes the streams, and decides how the fleet is set up.
fn prepare(world: &World, seed: u64, rng: &mut StdRng) -> Setup {
    let mut state = world.lock();
    state.audit.limits = Limits::of(seed);
    state.audit.preparing = Limits::preparing(seed);
    state.stream.windowed = windows::of(seed);
    if !state.audit.preparing.is_empty() && state.stream.windowed {
        state.count("windows beside a sink that prepares");
    }
    let streams = if rng.random_bool(0.2) { 2 } else { 1 };
    for _ in 0..streams {
        state.stream.add_stream(rng.random_range(1..5));
    }
    let mut setup = Setup::new(seed);
    setup.limits.max_hand_overs = rng.random_range(1..9);
    setup.hand_over_timeout = Duration::from_secs([15, 15, 3][rng.random_range(0..3)]);
    setup.window = Duration::from_millis([0, 300][rng.random_range(0..2)]);
    if rng.random_bool(0.2) {
        // Room for one page of the first reservation, and pages that fill most of it.
        setup.budget = 300 << 10;
        state.stream.ballast = 8 << 10;
    }
    state.initial = match rng.random_range(0..10) {
        0 | 1 => InitialPosition::Latest,
        2 => InitialPosition::AtTimestamp(EpochMillis(rng.random_range(0..20_000))),
        _ => InitialPosition::TrimHorizon,
    };
    if state.stream.windowed {
        // Windows that nobody has read from their beginning are nobody's rows.
        state.initial = InitialPosition::TrimHorizon;
    }
    state.audit.from_latest = state.initial == InitialPosition::Latest;
    setup.clocks = [0, 1_000][rng.random_range(0..2)];
    if rng.random_bool(0.3) {
        state.reshard_unread(rng);
    }
    setup
}

/// Each seed has its own mix: what happens often hides what takes a long quiet time, or a short one.
fn weights(rng: &mut StdRng) -> Vec<(Action, u32)> {
    let mut weight = |(action, weight)| match action {
        Action::Put | Action::Join => (action, weight),
        // Where records may be lost, not much is proven of the rest.
        Action::Trim => (action, weight * u32::from(rng.random_bool(0.15))),
        _ => (action, weight * [0, 1, 1, 2, 5][rng.random_range(0..5)]),
    };
    ACTIONS.iter().map(|entry| weight(*entry)).collect()
}

fn choose(weights: &[(Action, u32)], rng: &mut StdRng) -> Action {
    let mut left = rng.random_range(0..weights.iter().map(|(_, weight)| weight).sum());
    for (action, weight) in weights {
        if left < *weight {
            return *action;
        }
        left -= weight;
    }
    Action::Put
}

async fn act(action: Action, world: &World, fleet: &mut Fleet, rng: &mut StdRng) {
    let numbers: Vec<WorkerNo> = fleet.working.keys().copied().collect();
    let leaving: Vec<WorkerNo> = fleet.draining.keys().copied().collect();
    let any = |among: &[WorkerNo], rng: &mut StdRng| {
        (!among.is_empty()).then(|| among[rng.random_range(0..among.len())])
    };
    // Some things happen to workers that are leaving, and more to those that have trouble already.
    let troubled = world.lock().troubled(&numbers);
    let among = match rng.random_range(0..10) {
        0 | 1 => &leaving,
        2..=5 if !troubled.is_empty() => &troubled,
        _ => &numbers,
    };
    let someone = any(among, rng);
    match (action, someone) {
        (Action::Put, _) => {
            let mut state = world.lock();
            (0..rng.random_range(1..30)).for_each(|_| state.put_record());
        }
        (Action::Crash, Some(number)) => fleet.crash(number).await,
        (Action::Drain, Some(number)) => fleet.drain(number),
        (Action::Join, _) if numbers.len() < MOST_WORKERS => _ = fleet.join(),
        (Action::Freeze, Some(number)) => {
            fleet.freeze(number, Duration::from_millis(rng.random_range(100..40_000)));
        }
        (Action::Split, _) => world.lock().split(),
        (Action::Merge, _) => world.lock().merge(),
        (Action::CutOff, Some(number)) => cut_off(world, number, rng),
        (Action::ForgetIterators, _) => {
            let mut state = world.lock();
            (0..rng.random_range(0..4)).for_each(|_| state.put_record());
            state.expire_iterators();
        }
        (Action::Exodus, _) => {
            for number in numbers.into_iter().chain(leaving) {
                fleet.crash(number).await;
            }
            world.lock().reshard_unread(rng);
            fleet.join();
        }
        (Action::Trim, _) => {
            let mut state = world.lock();
            let age = rng.random_range(5_000..60_000);
            let horizon = EpochMillis(state.now().0 - age);
            state.trim(horizon);
        }
        (Action::Release, _) => {
            let mut state = world.lock();
            let keys: Vec<LeaseKey> = state.table.rows.keys().cloned().collect();
            if !keys.is_empty() {
                state.release_by_force(&keys[rng.random_range(0..keys.len())]);
            }
        }
        _ => {}
    }
}

impl crate::world::State {
    /// Those that do not know what became of a write, that wait for a lease or are waited for, or have
    /// just taken one by force.
    fn troubled(&self, among: &[WorkerNo]) -> Vec<WorkerNo> {
        let waiting = self.table.rows.values().filter(|row| row.checkpoint_owner.is_some());
        let names: Vec<&str> = waiting
            .flat_map(|row| [&row.owner, &row.checkpoint_owner])
            .flatten()
            .map(WorkerId::as_str)
            .collect();
        let in_doubt: Vec<WorkerNo> = self.in_doubt().chain(self.thieves()).collect();
        let has_trouble = |number: &WorkerNo| {
            in_doubt.contains(number) || names.contains(&format!("w{number}").as_str())
        };
        among.iter().copied().filter(has_trouble).collect()
    }

    /// A stream is older than the fleet that reads it.
    fn before_the_fleet(&mut self, rng: &mut StdRng) {
        (0..rng.random_range(0..5)).for_each(|_| self.put_record());
        match rng.random_range(0..10) {
            0 => self.split(),
            1 => self.merge(),
            _ => {}
        }
    }

    /// Several generations of shards that nobody reads in between.
    fn reshard_unread(&mut self, rng: &mut StdRng) {
        self.count("reshard while nobody works");
        for _ in 0..rng.random_range(1..6) {
            (0..rng.random_range(0..6)).for_each(|_| self.put_record());
            if rng.random_bool(0.5) { self.split() } else { self.merge() }
        }
    }
}

/// Cuts a worker off from one or several of its ports, for up to three failover times.
fn cut_off(world: &World, number: WorkerNo, rng: &mut StdRng) {
    let until = Instant::now() + Duration::from_millis(rng.random_range(100..30_000));
    let (what, ports): (_, &[Port]) = match rng.random_range(0..5) {
        0 => ("cut off from the table", &[Port::Table]),
        1 => ("cut off from the stream", &[Port::Stream]),
        2 => ("cut off from the sink", &[Port::Sink]),
        3 => ("cut off from table and stream", &[Port::Table, Port::Stream]),
        _ => ("cut off from everything", &[Port::Table, Port::Stream, Port::Sink]),
    };
    let mut state = world.lock();
    state.count(what);
    state.note(format!("w{number} is {what}"));
    for port in ports {
        state.cut_off.insert((number, *port), until);
    }
}

/// Heals the world, lets the fleet finish, drains it `hurry` milliseconds after one more has joined.
async fn settle(world: &World, fleet: &mut Fleet, hurry: u64) {
    {
        let mut state = world.lock();
        state.note("healed");
        state.faults = Faults::none();
        state.cut_off.clear();
    }
    fleet.thaw();
    if fleet.working.is_empty() {
        fleet.join();
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let done = {
            let state = world.lock();
            let windows = || state.counter("trim") > 0 || state.windows.complete(&state.stream);
            state.audit.breach.is_some() || state.audit.all_settled() && windows()
        };
        if done {
            break;
        }
        sleep(Duration::from_millis(250)).await;
        fleet.reap();
    }
    let open = world.lock().audit.not_settled();
    if !open.is_empty() {
        let what = format!("not settled: {}", open.join(", "));
        world.lock().audit.broken(Invariant::ReachesTip, what);
        return;
    }
    // Late writes and slow calls have arrived by then.
    sleep(Duration::from_secs(30)).await;
    // Somebody asks for leases while everybody leaves.
    fleet.join();
    sleep(Duration::from_millis(hurry)).await;
    fleet.end().await;
    let mut state = world.lock();
    state.check_objects();
    if state.counter("trim") == 0 {
        if state.windows.late_events() > 0 {
            state.count("windows with late events, audited");
        }
        if let Err(breach) = state.windows.check(&state.stream) {
            state.audit.broken(breach.invariant, breach.what);
        }
    }
}
