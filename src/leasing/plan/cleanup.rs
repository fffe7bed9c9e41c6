//! Which leases are done with (KCL `LeaseCleanupManager`).

use std::collections::BTreeSet;

use super::by_shard;
use crate::model::{Lease, LeaseKey, Shard, ShardId};

/// The ended leases that nothing needs any more: every child has a lease and has started, and every
/// parent's lease is gone already, and so is that of every shard that named it as going on: the row of
/// a shard that had left the stream names shards that do not name it. Both are asked, for a stale scan may
/// show a parent that does not name its children yet.
pub fn retirable(leases: &[Lease]) -> Vec<LeaseKey> {
    let by_shard = by_shard(leases);
    let started = |lease: &Lease, child: &ShardId| {
        let child = by_shard.get(&(lease.stream.as_deref(), child));
        child.is_some_and(|child| !child.checkpoint.is_start())
    };
    let gone = |lease: &Lease, parent: &ShardId| {
        !by_shard.contains_key(&(lease.stream.as_deref(), parent))
    };
    let ended = leases.iter().filter(|lease| lease.ended());
    let named: BTreeSet<(Option<&str>, &ShardId)> = ended
        .flat_map(|lease| lease.children.iter().map(|child| (lease.stream.as_deref(), child)))
        .collect();
    leases
        .iter()
        .filter(|lease| lease.ended() && !lease.children.is_empty())
        .filter(|lease| !named.contains(&(lease.stream.as_deref(), &lease.shard)))
        .filter(|lease| lease.children.iter().all(|child| started(lease, child)))
        .filter(|lease| lease.parents.iter().all(|parent| gone(lease, parent)))
        .map(|lease| lease.key.clone())
        .collect()
}

/// Whether a lease has ended without naming a child: only the stream can say whether it is needed.
pub fn may_be_garbage(lease: &Lease) -> bool {
    lease.ended() && lease.children.is_empty()
}

/// The ended leases of a stream that name no child, and whose shards are not listed any more.
pub fn garbage<'l>(shards: &[Shard], leases: &'l [Lease]) -> Vec<&'l Lease> {
    let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    let ended = leases.iter().filter(|lease| may_be_garbage(lease));
    // A listing that is empty is no proof of anything.
    ended.filter(|lease| !listed.is_empty() && !listed.contains(&lease.shard)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{leasing::fixtures::lease, model::Checkpoint};

    #[test]
    fn a_lease_retires_when_its_children_have_started_and_its_parents_are_gone() {
        let at = |name: &str, checkpoint: &str| {
            lease(name).checkpoint(Checkpoint::parse(checkpoint, 0).unwrap())
        };
        let mut parent = lease("0").ended().build();
        parent.children = vec![ShardId::new("1"), ShardId::new("2")];
        let names = |rows: &[Lease]| {
            retirable(rows).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let (one, two) = (at("1", "77").build(), at("2", "TRIM_HORIZON").build());
        assert_eq!(names(&[parent.clone(), one.clone(), two]), "");
        assert_eq!(names(&[parent.clone(), one.clone()]), "", "a child without a lease");
        let two = at("2", "SHARD_END").build();
        assert_eq!(names(&[parent.clone(), one.clone(), two.clone()]), "0");
        parent.parents = vec![ShardId::new("grandparent")];
        let grandparent = lease("grandparent").ended().build();
        assert_eq!(names(&[grandparent, parent, one, two]), "", "grandparents go first");
    }

    /// A simulation found it: with the successor's row gone its own would have stayed for ever.
    #[test]
    fn a_successor_of_a_shard_that_had_left_goes_after_it() {
        let (mut gone, mut next) = (lease("0").ended().build(), lease("5").ended().build());
        gone.children = vec![ShardId::new("5")];
        next.children = vec![ShardId::new("7")];
        let last = lease("7").checkpoint(Checkpoint::parse("77", 0).unwrap()).build();
        let rows = [gone.clone(), next.clone(), last.clone()];
        assert_eq!(retirable(&rows), [gone.key.clone()]);
        assert_eq!(retirable(&[next.clone(), last]), [next.key]);
    }

    #[test]
    fn an_end_without_children_goes_when_its_shard_has_gone() {
        let shard = |id: &str| Shard {
            id: ShardId::new(id),
            parents: vec![],
            hash_range: None,
            open: false,
        };
        let mut parent = lease("parent").ended().build();
        parent.children = vec![ShardId::new("2")];
        let leases = [lease("1").ended().build(), lease("0").ended().build(), parent];
        assert_eq!(garbage(&[shard("1")], &leases), [&leases[1]]);
        assert!(garbage(&[], &leases).is_empty());
        assert!(
            garbage(&[shard("1")], &[lease("9").build()]).is_empty(),
            "it is not processed yet"
        );
    }
}
