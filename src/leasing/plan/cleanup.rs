//! Which leases are done with (KCL `LeaseCleanupManager`).

use std::collections::BTreeSet;

use super::{Lineage, by_shard};
use crate::model::{Lease, LeaseKey, ShardId};

/// The ended leases that nothing needs any more: every child has a lease and has started.
pub fn retirable(leases: &[Lease]) -> Vec<LeaseKey> {
    let rows = by_shard(leases);
    let started = |lease: &Lease, child: &ShardId| {
        let child = rows.get(&(lease.stream.as_deref(), child));
        child.is_some_and(|child| !child.checkpoint.is_start())
    };
    let retirable = last_of_their_lines(leases)
        .filter(|lease| !lease.children.is_empty())
        .filter(|lease| lease.children.iter().all(|child| started(lease, child)));
    retirable.map(|lease| lease.key.clone()).collect()
}

/// The ended leases whose parents' leases are gone already, and so are those of every shard that named
/// theirs as going on: the row of a shard that had left the stream names shards that do not name it. Both
/// are asked, for a stale scan may show a parent that does not name its children yet.
fn last_of_their_lines(leases: &[Lease]) -> impl Iterator<Item = &Lease> {
    let rows = by_shard(leases);
    let ended = leases.iter().filter(|lease| lease.ended());
    let named: BTreeSet<(Option<&str>, &ShardId)> = ended
        .clone()
        .flat_map(|lease| lease.children.iter().map(|child| (lease.stream.as_deref(), child)))
        .collect();
    ended.filter(move |lease| {
        let stream = lease.stream.as_deref();
        let gone = |parent| !rows.contains_key(&(stream, parent));
        !named.contains(&(stream, &lease.shard)) && lease.parents.iter().all(gone)
    })
}

/// Whether only the stream can say whether the ended lease of a shard is needed: it names no child, or one
/// that has no lease.
pub fn may_be_garbage(lease: &Lease, leased: &BTreeSet<&ShardId>) -> bool {
    let without_lease = |child: &ShardId| !leased.contains(child);
    lease.ended() && (lease.children.is_empty() || lease.children.iter().any(without_lease))
}

/// The ended leases of a stream whose shards are not listed any more, and that wait for no child: each has
/// started, is not listed any more either, or was done with before the shard came back and was ended again.
pub fn garbage<'l>(lineage: &Lineage, leases: &'l [Lease]) -> Vec<&'l Lease> {
    let rows = by_shard(leases);
    let gone_on = lineage.gone_on(leases);
    let done_with = |lease: &Lease, child| match rows.get(&(lease.stream.as_deref(), child)) {
        Some(row) => !row.checkpoint.is_start(),
        None => !lineage.lists(child) || gone_on.contains(child),
    };
    last_of_their_lines(leases)
        .filter(|lease| lineage.has_lost(&lease.shard))
        .filter(|lease| lease.children.iter().all(|child| done_with(lease, child)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leasing::fixtures::lease,
        model::{Checkpoint, Shard},
    };

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

    fn listed(shards: &[Shard]) -> Lineage {
        Lineage::of(shards.to_vec())
    }

    #[test]
    fn an_end_without_children_goes_when_its_shard_has_gone() {
        let shard = |id: &str| Shard {
            id: ShardId::new(id),
            parents: vec![],
            hash_range: None,
            open: false,
        };
        let leases = [lease("1").ended().build(), lease("0").ended().build()];
        assert_eq!(garbage(&listed(&[shard("1")]), &leases), [&leases[1]]);
        assert!(garbage(&listed(&[]), &leases).is_empty());
        assert!(
            garbage(&listed(&[shard("1")]), &[lease("9").build()]).is_empty(),
            "it is not processed yet"
        );
    }

    /// It came back after its child was retired, and was ended again.
    #[test]
    fn an_end_whose_child_has_gone_on_goes_when_its_shard_has_gone() {
        let shard = |id: &str, parents: &[&str]| Shard {
            id: ShardId::new(id),
            parents: parents.iter().map(ShardId::new).collect(),
            hash_range: None,
            open: false,
        };
        let mut back = lease("0").ended().build();
        back.children = vec![ShardId::new("2")];
        let last = lease("3").checkpoint(Checkpoint::parse("7", 0).unwrap()).build();
        let leases = [back, last.clone()];
        let both = BTreeSet::from([&leases[0].shard, &leases[1].shard]);
        assert!(may_be_garbage(&leases[0], &both));
        let all = [shard("0", &[]), shard("2", &["0", "1"]), shard("3", &["2"])];
        assert!(garbage(&listed(&all), &leases).is_empty(), "it may come back again");
        assert_eq!(garbage(&listed(&all[1..]), &leases), [&leases[0]]);
        assert_eq!(garbage(&listed(&all[2..]), &leases), [&leases[0]]);
        assert!(
            garbage(&listed(&all[1..]), &leases[..1]).is_empty(),
            "a child that lost its lease"
        );
        let waits = lease("2").build();
        assert!(!may_be_garbage(&leases[0], &BTreeSet::from([&waits.shard])));
        assert!(garbage(&listed(&all[1..]), &[leases[0].clone(), waits]).is_empty());
    }
}
