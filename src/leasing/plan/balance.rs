//! Fair shares: which leases to take, and which to ask for.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, seq::SliceRandom};

use crate::model::{Lease, LeaseKey, WorkerId};

/// What one worker may hold and move.
#[derive(Clone, Copy, Debug)]
pub struct BalanceLimits {
    /// Most leases this worker holds (KCL `maxLeasesForWorker`).
    pub max_leases: usize,
    /// Most hand-overs that this worker waits for at a time (KCL `maxLeasesToStealAtOneTime`).
    pub max_hand_overs: usize,
}

/// What to do about the leases of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Leases without a living owner, to be taken.
    pub take: Vec<LeaseKey>,
    /// Leases to ask a busier worker for, with that worker.
    pub ask: Vec<(LeaseKey, WorkerId)>,
}

/// Plans one round for the worker `me`.
///
/// `available` are the leases that are unowned or expired and ready to be processed. Everyone
/// computes the same shares from the same table: workers are the owners of living leases and `me`;
/// a lease in a hand-over counts for its next owner; ended leases count for nobody. Shares differ by
/// at most one. While this worker holds nothing and sees nobody else it takes half of what there is,
/// so that fresh workers that start together find something left.
///
/// This is where a KCL 3.x leader's assignment would come in (a table in such a mode is refused for
/// now). A leader writes its choice into the row: `leaseOwner` is the worker that it chose, and
/// `checkpointOwner` the one that still reads. Following it means another function from leases to
/// [`Balance`], one that takes nothing unasked and asks for nothing: a lease that names this worker is
/// taken already, by whoever calls this, before there is a plan. Nothing behind the plan would change.
pub fn balance<'l>(
    leases: impl IntoIterator<Item = &'l Lease>,
    available: &BTreeSet<LeaseKey>,
    me: &WorkerId,
    limits: BalanceLimits,
    rng: &mut impl Rng,
) -> Balance {
    let active: Vec<&Lease> = leases.into_iter().filter(|lease| !lease.ended()).collect();
    let mut loads: BTreeMap<&WorkerId, usize> = BTreeMap::from([(me, 0)]);
    for lease in &active {
        if let Some(owner) = lease.owner.as_ref().filter(|_| !available.contains(&lease.key)) {
            *loads.entry(owner).or_default() += 1;
        }
    }
    let mine = loads.get(me).copied().unwrap_or(0);
    let share = active.len().div_ceil(loads.len());
    let room = limits.max_leases.saturating_sub(mine);

    if !available.is_empty() {
        let fresh_fleet = loads.len() == 1 && mine == 0;
        let wanted =
            if fresh_fleet { available.len().div_ceil(2) } else { share.saturating_sub(mine) };
        let mut take: Vec<LeaseKey> = available.iter().cloned().collect();
        take.shuffle(rng);
        take.truncate(wanted.min(room));
        return Balance { take, ask: Vec::new() };
    }
    Balance {
        take: Vec::new(),
        ask: ask(&active, &loads, me, limits.max_hand_overs.min(room), rng),
    }
}

/// Chooses leases of the busiest workers until this worker has its share.
fn ask(
    active: &[&Lease],
    loads: &BTreeMap<&WorkerId, usize>,
    me: &WorkerId,
    limit: usize,
    rng: &mut impl Rng,
) -> Vec<(LeaseKey, WorkerId)> {
    let mut loads = loads.clone();
    let mut mine = loads.remove(me).unwrap_or(0);
    // The floor is what everyone is sure to get; the rest goes to whoever is two behind. Aiming
    // higher would let two thieves empty one worker in the same round.
    let floor = active.len() / (loads.len() + 1);
    let mut asked: Vec<(LeaseKey, WorkerId)> = Vec::new();
    let mut movable: BTreeMap<&WorkerId, Vec<&LeaseKey>> = BTreeMap::new();
    for lease in active.iter().filter(|lease| lease.checkpoint_owner.is_none()) {
        if let Some(owner) = &lease.owner {
            movable.entry(owner).or_default().push(&lease.key);
        }
    }
    for keys in movable.values_mut() {
        keys.shuffle(rng);
    }
    while asked.len() < limit {
        let Some((&busiest, &load)) = loads.iter().max_by_key(|(_, load)| **load) else { break };
        let behind = mine < floor || asked.is_empty();
        if load < mine + 2 || !behind {
            break;
        }
        let Some(key) = movable.get_mut(busiest).and_then(Vec::pop) else {
            loads.remove(busiest);
            continue;
        };
        asked.push((key.clone(), busiest.clone()));
        mine += 1;
        loads.insert(busiest, load - 1);
    }
    asked
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::leasing::fixtures::lease;

    const LIMITS: BalanceLimits = BalanceLimits { max_leases: usize::MAX, max_hand_overs: 8 };

    /// `a:3 b:1 -:2` is a table where a owns three leases, b one, and two are unowned.
    fn table(text: &str) -> (Vec<Lease>, BTreeSet<LeaseKey>) {
        let mut leases = Vec::new();
        let mut available = BTreeSet::new();
        for group in text.split_whitespace() {
            let (owner, count) = group.split_once(':').unwrap();
            for _ in 0..count.parse().unwrap() {
                let name = format!("s{}", leases.len());
                let row = match owner {
                    "-" => lease(&name).build(),
                    "end" => lease(&name).ended().build(),
                    owner => lease(&name).owner(owner).build(),
                };
                if owner == "-" {
                    available.insert(row.key.clone());
                }
                leases.push(row);
            }
        }
        (leases, available)
    }

    fn check(text: &str, me: &str, limits: BalanceLimits, take: usize, ask: usize) {
        let (leases, available) = table(text);
        let plan =
            balance(&leases, &available, &WorkerId::new(me), limits, &mut StdRng::seed_from_u64(1));
        assert_eq!((plan.take.len(), plan.ask.len()), (take, ask), "{me} in {text:?}: {plan:?}");
    }

    #[test]
    fn takes_its_share_of_what_is_free() {
        check("-:8", "a", LIMITS, 4, 0);
        check("a:4 -:4", "a", LIMITS, 4, 0);
        check("a:4 -:4", "b", LIMITS, 4, 0);
        check("a:2 b:2 -:2", "c", LIMITS, 2, 0);
        check("a:3 b:2 -:1", "b", LIMITS, 1, 0);
        check("a:3 b:2 -:1", "a", LIMITS, 0, 0);
        check("-:1", "a", LIMITS, 1, 0);
    }

    #[test]
    fn asks_for_what_makes_the_loads_differ_by_at_most_one() {
        check("a:4", "b", LIMITS, 0, 2);
        check("a:2 b:1", "b", LIMITS, 0, 0);
        check("a:3 b:1", "b", LIMITS, 0, 1);
        check("a:6 b:4", "c", LIMITS, 0, 3);
        check("a:1", "b", LIMITS, 0, 0);
        check("a:4 end:9", "b", LIMITS, 0, 2);
    }

    #[test]
    fn keeps_to_its_limits() {
        check("-:8", "a", BalanceLimits { max_leases: 2, ..LIMITS }, 2, 0);
        check("a:8", "b", BalanceLimits { max_hand_overs: 1, ..LIMITS }, 0, 1);
        check("a:8 b:2", "b", BalanceLimits { max_leases: 2, ..LIMITS }, 0, 0);
    }

    #[test]
    fn any_fleet_settles_and_then_stays_quiet() {
        for workers in 1..7usize {
            for count in 0..40usize {
                settle(workers, count);
            }
        }
    }

    /// Lets every worker plan in turn until nobody wants anything.
    fn settle(workers: usize, count: usize) {
        let (mut leases, mut available) = table(&format!("-:{count}"));
        let mut rng = StdRng::seed_from_u64(u64::try_from(workers * 100 + count).unwrap());
        let names: Vec<WorkerId> =
            (0..workers).map(|index| WorkerId::new(format!("w{index}"))).collect();
        let mut quiet = false;
        for _round in 0..20 {
            quiet = true;
            for me in &names {
                let plan = balance(&leases, &available, me, LIMITS, &mut rng);
                let moved = plan.take.iter().chain(plan.ask.iter().map(|(key, _)| key));
                for key in moved {
                    quiet = false;
                    available.remove(key);
                    let row = leases.iter_mut().find(|lease| lease.key == *key).unwrap();
                    row.owner = Some(me.clone());
                }
            }
            if quiet {
                break;
            }
        }
        assert!(quiet, "{workers} workers, {count} leases never settle");
        let load = |me: &WorkerId| leases.iter().filter(|l| l.owner.as_ref() == Some(me)).count();
        let loads: Vec<usize> = names.iter().map(load).collect();
        let (min, max) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        assert!(max - min <= 1, "{workers} workers, {count} leases: {loads:?}");
    }
}
