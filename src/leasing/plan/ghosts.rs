//! Leases that came back after their shard was done with.

use std::collections::BTreeSet;

use crate::model::{Lease, LeaseKey, ShardId};

/// The leases that nobody has held although a child of their shard has started: everything in them
/// was processed. A worker that stood still between the listing of shards and the creating of their
/// leases puts them back after they were retired; whoever took one would read the shard again.
pub fn ghosts(leases: &[Lease]) -> BTreeSet<LeaseKey> {
    let started: BTreeSet<(Option<&str>, &ShardId)> = leases
        .iter()
        .filter(|lease| !lease.checkpoint.is_start())
        .flat_map(|lease| lease.parents.iter().map(|parent| (lease.stream.as_deref(), parent)))
        .collect();
    leases
        .iter()
        .filter(|lease| lease.never_held())
        .filter(|lease| started.contains(&(lease.stream.as_deref(), &lease.shard)))
        .map(|lease| lease.key.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{leasing::fixtures::lease, model::Checkpoint};

    #[test]
    fn a_lease_that_nobody_held_is_a_ghost_when_its_child_has_started() {
        let check = |change: fn(&mut Lease, &mut Lease), expect: bool| {
            let (mut parent, mut child) = (lease("0").build(), lease("1").build());
            child.parents = vec![parent.shard.clone()];
            child.checkpoint = Checkpoint::parse("7", 0).unwrap();
            change(&mut parent, &mut child);
            assert_eq!(ghosts(&[parent.clone(), child]).contains(&parent.key), expect);
        };
        check(|_, _| {}, true);
        check(|_, child| child.checkpoint = Checkpoint::ShardEnd, true);
        check(|_, child| child.checkpoint = Checkpoint::TrimHorizon, false);
        check(|_, child| child.parents.clear(), false);
        // Somebody holds it, or set it back by hand.
        check(|parent, _| parent.counter = 1, false);
        check(|parent, _| parent.checkpoint = Checkpoint::ShardEnd, false);
    }
}
