//! The sweep over many seeds.
//!
//! What a seed found stays in the repository as a scenario with a fixed schedule where one can be written
//! (`unsure`, `by_hand`, `latest`), else as a number with a line ([`FOUND`]). With each change of the
//! simulation a number stands for another history: it is worth something as long as it goes red when its
//! rule is broken on purpose.

use std::{
    collections::BTreeMap,
    env,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    faults, log,
    schedule::{self, History},
};

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// What a worker says when records were trimmed unread.
const REPORTS_OF_LOSS: [&str; 2] = ["records are lost", "records may be lost"];

/// Runs one seed. Answers what it broke.
fn run(seed: u64) -> (History, Option<String>) {
    log::listen(env::var_os("SIM_SEED").is_some());
    let mut history = schedule::run(seed);
    let mut errors = log::errors();
    if history.counters.contains_key("trim") {
        let all = errors.len();
        errors.retain(|line| !REPORTS_OF_LOSS.iter().any(|report| line.contains(report)));
        if errors.len() < all {
            history.counters.insert("loss reported", 1);
        }
    }
    let broken = match &history.breach {
        Some(breach) => Some(breach.to_string()),
        None => errors.first().map(|line| format!("a worker logged an error: {line}")),
    };
    (history, broken.map(|what| format!("SIM_SEED={seed} replays {what}")))
}

/// What a sweep saw.
#[derive(Default)]
struct Seen {
    counters: BTreeMap<&'static str, u64>,
    broken: Vec<String>,
}

/// Seeds that fail before a sweep is given up.
const ENOUGH: usize = 20;

/// Runs many seeds on all processors.
fn sweep(seeds: Range<u64>) -> Seen {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new(Seen::default());
    let one_after_another = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let (history, broken) = run(seed);
            // A night's run need not end for its first failure to be looked at.
            if let Some(what) = &broken {
                println!("{what}");
            }
            let mut all = all.lock().unwrap();
            for (what, count) in history.counters {
                *all.counters.entry(what).or_default() += count;
            }
            all.broken.extend(broken);
            if all.broken.len() >= ENOUGH {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(one_after_another);
        }
    });
    all.into_inner().unwrap()
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    let whole_sweep = seeds.end - seeds.start >= SEEDS;
    let Seen { counters, broken } = sweep(seeds);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    println!("{counters:?}");
    if whole_sweep {
        let never: Vec<_> =
            faults::MUST_HAPPEN.iter().filter(|what| !counters.contains_key(*what)).collect();
        assert!(never.is_empty(), "the sweep never saw {never:?}");
    }
}

/// Seeds beyond those of a sweep that broke an invariant, and what was wrong.
const FOUND: [(u64, &str); 15] = [
    (10225, "SH-1: at LATEST, a lease from a later list was begun before its line came to it"),
    (13989, "SH-1: the same, where the rows that share its keys do not tell the line"),
    (5693, "SH-2: the same, where retention has cut the lineage and only the keys tell"),
    (622, "SH-2: at LATEST, the child of two shards was read since the later one was begun"),
    (4488, "SH-2: only the children still listed went on for a shard that had left the stream"),
    (
        47138,
        "LV-1: a shard waited at LATEST for one whose sibling had no lease, two generations up",
    ),
    (3081, "LV-1: a lease at LATEST of a shard that is not kept waited for its own descendants"),
    (19754, "LV-1: the same"),
    (518, "SH-1: one of which nothing is kept was left out, though its line had come to it"),
    (93521, "CP-2: a lost one was done with when a child had begun, and its other child was not"),
    (2006, "LS-4: a lease that a worker had given up was handed on while it delivered"),
    (36396, "LS-4: the same, where an old scan showed that it had been asked for once"),
    (71727, "LS-3: a lease that was taken by force without an answer was handed on"),
    (88441, "LS-3: the same"),
    (12445, "a worker asked for a lease that it still held, after its hand-over without an answer"),
];

#[test]
fn what_seeds_have_found_is_mended() {
    for (seed, what) in FOUND {
        let (_, broken) = run(seed);
        assert!(broken.is_none(), "{what}: {}", broken.unwrap());
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 14, 15, 35, 159, 265, 358] {
        let (first, again) = (run(seed), run(seed));
        assert_eq!(first.0.trace, again.0.trace, "seed {seed} does not replay");
    }
}
