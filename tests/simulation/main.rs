//! A deterministic simulation of a fleet: the real engines on fakes, virtual time, one seed a
//! history.
//!
//! Workers crash, drain, join, are cut off from the table, the stream or their sinks; answers get
//! lost, writes arrive late, scans are stale, calls are throttled, iterators expire, shards split and
//! merge, records are poison or aggregates. The invariants of `audit.rs` are checked as things
//! happen; at the end the faults stop and everything put must have its outcome.
//!
//! `SIM_SEEDS=100000 cargo test --release --test simulation` sweeps more seeds,
//! `SIM_SEED=17 cargo test --test simulation` replays one.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a simulation may panic on its own mistakes, and a replay is read by a person"
)]

mod audit;
mod faults;
mod fleet;
mod lease_table;
mod schedule;
mod sink;
mod stream;
mod world;

use std::{collections::BTreeMap, env};

use shardwright::{leasing::alarm, model::Invariant};

/// Seeds of an ordinary run.
const SEEDS: u64 = 200;

/// Seeds that found something, and what; they run each time, whatever the sweep's length.
const FOUND: [(u64, &str); 3] = [
    (180, "a stale scan hid a parent's lease, and the child was started early"),
    (1603, "a take of one's own lease was inferred from an earlier renewal"),
    (3063, "a waiting thief handed its lease on before the old owner's time was over"),
];

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => {
            tracing_subscriber::fmt().with_test_writer().without_time().init();
            seed..seed + 1
        }
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    let whole_sweep = seeds.end - seeds.start >= SEEDS;
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        let history = schedule::run(seed);
        if let Some(violation) = history.violation {
            panic!("{violation}\nreplay it with SIM_SEED={seed}");
        }
        for (what, count) in history.counters {
            *seen.entry(what).or_default() += count;
        }
    }
    if whole_sweep {
        let never: Vec<_> =
            faults::MUST_HAPPEN.iter().filter(|what| !seen.contains_key(*what)).collect();
        assert!(never.is_empty(), "the sweep never saw: {never:?}; it saw {seen:?}");
    }
    println!("{seen:?}");
    for invariant in Invariant::ALL {
        assert_eq!(alarm::raised(invariant), 0, "workers raised an alarm for {invariant}");
    }
}

#[test]
fn seeds_that_once_found_something_stay_clean() {
    for (seed, what) in FOUND {
        let history = schedule::run(seed);
        assert_eq!(history.violation, None, "seed {seed}, which once found: {what}");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 14, 159] {
        let (first, again) = (schedule::run(seed), schedule::run(seed));
        assert_eq!(first.trace, again.trace, "seed {seed} does not replay");
    }
}
