//! One seed, one history: what happens to the fleet, and the end at which all must be well.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shardwright::model::{Breach, HashKey, HashKeyRange, Invariant};
use tokio::time::{Instant, sleep};

use crate::{
    faults::Faults,
    fleet::{Fleet, params},
    world::{Port, WorkerNo, World},
};

pub(crate) struct History {
    pub(crate) violation: Option<Breach>,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) trace: u64,
}

/// Actions of one history.
const STEPS: usize = 60;
/// Virtual time in which a healed fleet must reach the end of everything.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) fn run(seed: u64) -> History {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(history(seed))
}

async fn history(seed: u64) -> History {
    let world = World::new(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    prepare(&world, seed, &mut rng);
    let mut fleet = Fleet::new(world.clone(), seed);
    for _ in 0..rng.random_range(1..4) {
        fleet.join();
    }
    for _ in 0..STEPS {
        sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
        act(&world, &mut fleet, &mut rng).await;
        fleet.reap();
        if world.lock().audit.violation.is_some() {
            break;
        }
    }
    settle(&world, &mut fleet).await;
    let state = world.lock();
    History {
        violation: state.audit.violation.clone(),
        counters: state.counters.clone(),
        trace: state.trace(),
    }
}

fn prepare(world: &World, seed: u64, rng: &mut StdRng) {
    let mut state = world.lock();
    state.audit.params = Some(params());
    state.audit.check_order = !seed.is_multiple_of(2);
    let shards = rng.random_range(1..5u128);
    let width = u128::MAX / shards;
    for index in 0..shards {
        let end = if index + 1 == shards { u128::MAX } else { (index + 1) * width - 1 };
        let range = HashKeyRange { start: HashKey(index * width), end: HashKey(end) };
        state.add_shard(vec![], range);
    }
}

async fn act(world: &World, fleet: &mut Fleet, rng: &mut StdRng) {
    let numbers: Vec<WorkerNo> = fleet.working.keys().copied().collect();
    let someone = (!numbers.is_empty()).then(|| numbers[rng.random_range(0..numbers.len())]);
    match rng.random_range(0..100) {
        0..40 => {
            let mut state = world.lock();
            for _ in 0..rng.random_range(1..30) {
                state.put_record();
            }
        }
        40..50 => {
            if let Some(number) = someone {
                fleet.crash(number).await;
            }
        }
        50..58 => {
            if let Some(number) = someone {
                fleet.drain(number);
            }
        }
        58..70 => {
            if numbers.len() < 4 {
                fleet.join();
            }
        }
        70..78 => world.lock().split(),
        78..82 => world.lock().merge(),
        82..96 => {
            if let Some(number) = someone {
                cut_off(world, number, rng);
            }
        }
        _ => world.lock().expire_iterators(),
    }
}

/// Cuts a worker off from one or all of its ports, for up to three failover times.
fn cut_off(world: &World, number: WorkerNo, rng: &mut StdRng) {
    let until = Instant::now() + Duration::from_millis(rng.random_range(100..30_000));
    let ports: &[Port] = match rng.random_range(0..4) {
        0 => &[Port::Table],
        1 => &[Port::Stream],
        2 => &[Port::Sink],
        _ => &[Port::Table, Port::Stream, Port::Sink],
    };
    let mut state = world.lock();
    state.note(format!("w{number} is cut off from {ports:?}"));
    for port in ports {
        state.cut_off.insert((number, *port), until);
    }
}

/// Heals the world, lets the fleet finish, drains it.
async fn settle(world: &World, fleet: &mut Fleet) {
    {
        let mut state = world.lock();
        state.note("healed");
        state.faults = Faults::none();
        state.cut_off.clear();
    }
    if fleet.working.is_empty() {
        fleet.join();
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let done = {
            let state = world.lock();
            state.audit.violation.is_some() || state.audit.all_settled()
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
    // Late writes have arrived by then.
    sleep(Duration::from_secs(10)).await;
    fleet.end().await;
}
