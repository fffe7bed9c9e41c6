//! Leases that came back after their shard was done with.

use std::collections::{BTreeMap, BTreeSet};

use super::by_shard;
use crate::model::{Lease, LeaseKey, Shard, ShardId};

/// The leases that nobody has held although reading of a child of their shard has begun: everything in
/// them was processed, or was there before a fleet that begins at `LATEST`. A worker that stood still
/// between the listing of shards and the creating of their leases puts them back after they were
/// retired; whoever took one would read the shard again.
pub fn ghosts(leases: &[Lease]) -> BTreeSet<LeaseKey> {
    let begun: BTreeSet<(Option<&str>, &ShardId)> = leases
        .iter()
        .filter(|lease| lease.begun())
        .flat_map(|lease| lease.parents.iter().map(|parent| (lease.stream.as_deref(), parent)))
        .collect();
    leases
        .iter()
        .filter(|lease| lease.never_held())
        .filter(|lease| begun.contains(&(lease.stream.as_deref(), &lease.shard)))
        .map(|lease| lease.key.clone())
        .collect()
}

/// The shards begun that have keys of a lease which nobody has held, though the table does not show
/// that they come before it.
///
/// A ghost may outlive its children's leases too: then no row names its shard, and only the listed
/// lineage can say whether these shards go on where it ended ([`descends`]). There always is one, for
/// a lease is retired only once all its children have begun. A shard's own ancestors do not count:
/// they are retired in order, so that its rows lead to them. Leases without a hash range say nothing.
pub fn rivals(lease: &Lease, leases: &[Lease]) -> BTreeSet<ShardId> {
    let begun = rows_sharing_keys(lease, leases).filter(|row| row.begun());
    let mut rivals: BTreeSet<ShardId> = begun.map(|row| row.shard.clone()).collect();
    if !rivals.is_empty() {
        for ancestor in ancestors(lease, leases) {
            rivals.remove(ancestor);
        }
    }
    rivals
}

/// The shards of other leases that have keys of one which nobody has held: they come before it or after it.
pub fn sharing_keys(lease: &Lease, leases: &[Lease]) -> BTreeSet<ShardId> {
    rows_sharing_keys(lease, leases).map(|row| row.shard.clone()).collect()
}

fn rows_sharing_keys<'l>(lease: &'l Lease, leases: &'l [Lease]) -> impl Iterator<Item = &'l Lease> {
    let keys = lease.hash_range.filter(|_| lease.never_held());
    let others = leases.iter().filter(|row| row.stream == lease.stream && row.shard != lease.shard);
    others.filter(move |row| {
        row.hash_range.zip(keys).is_some_and(|(range, keys)| range.overlaps(&keys))
    })
}

/// The shards before a lease's own, as far as the rows tell.
fn ancestors<'l>(lease: &'l Lease, leases: &'l [Lease]) -> BTreeSet<&'l ShardId> {
    let by_shard = by_shard(leases);
    let mut found = BTreeSet::new();
    let mut to_visit = vec![(&lease.shard, Some(lease))];
    while let Some((shard, row)) = to_visit.pop() {
        // Successors of a shard that was trimmed unread may not name it: it names them.
        let named = leases.iter().filter(|row| row.stream == lease.stream);
        let named = named.filter(|row| row.children.contains(shard)).map(|row| &row.shard);
        for parent in row.into_iter().flat_map(|row| &row.parents).chain(named) {
            if found.insert(parent) {
                let row = by_shard.get(&(lease.stream.as_deref(), parent)).copied();
                to_visit.push((parent, row));
            }
        }
    }
    found
}

/// Whether one of these descends from `shard`, by the lineage of the listed shards.
pub fn descends<'i>(
    those: impl IntoIterator<Item = &'i ShardId>,
    shard: &ShardId,
    listed: &[Shard],
) -> bool {
    before(those, listed).contains(shard)
}

/// The shards that are done with whatever their leases say, or if they have none any more: one that
/// descends from them, by the lineage of the listed shards, has begun, and a shard begins only after
/// its parents' ends.
pub fn gone_on<'s>(leases: &[Lease], listed: &'s [Shard]) -> BTreeSet<&'s ShardId> {
    let begun = leases.iter().filter(|lease| lease.begun());
    before(begun.map(|lease| &lease.shard), listed)
}

/// The shards before a lease's own, the oldest first, by the lineage of the listed shards: parents come
/// before their children, so that reading their rows in this order finds one of a line that is being
/// worked on, wherever the work has got to meanwhile.
pub fn line_before<'s>(lease: &'s Lease, listed: &'s [Shard]) -> Vec<&'s ShardId> {
    let listed: BTreeMap<&ShardId, &Shard> = listed.iter().map(|one| (&one.id, one)).collect();
    let mut found = Vec::new();
    let mut visited = BTreeSet::new();
    let mut to_visit: Vec<_> = lease.parents.iter().map(|id| (id, false)).collect();
    while let Some((id, parents_found)) = to_visit.pop() {
        if parents_found {
            found.push(id);
        } else if visited.insert(id) {
            to_visit.push((id, true));
            let parents = listed.get(id).into_iter().flat_map(|shard| &shard.parents);
            to_visit.extend(parents.map(|id| (id, false)));
        }
    }
    found
}

/// The shards from which one of these descends, by the lineage of the listed shards.
fn before<'s, 'i>(
    shards: impl IntoIterator<Item = &'i ShardId>,
    listed: &'s [Shard],
) -> BTreeSet<&'s ShardId> {
    let listed: BTreeMap<&ShardId, &Shard> = listed.iter().map(|one| (&one.id, one)).collect();
    let parents = |id: &ShardId| listed.get(id).into_iter().flat_map(|shard| &shard.parents);
    let mut found = BTreeSet::new();
    let mut to_visit: Vec<&'s ShardId> = shards.into_iter().flat_map(parents).collect();
    while let Some(id) = to_visit.pop() {
        if found.insert(id) {
            to_visit.extend(parents(id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leasing::fixtures::lease,
        model::{Checkpoint, EpochMillis, HashKey, HashKeyRange},
    };

    fn keys(start: u128, end: u128) -> HashKeyRange {
        HashKeyRange { start: HashKey(start), end: HashKey(end) }
    }

    fn ids(names: &str) -> Vec<ShardId> {
        names.split_whitespace().map(ShardId::new).collect()
    }

    /// 0 [0, 9], 1 [10, 19] and 2 [20, 99]; 1 and 2 became 3, 0 and 3 became 4, and 4 was split into
    /// 5 [0, 14] and 6 [15, 99].
    fn listed() -> Vec<Shard> {
        let shard = |(id, parents, hash_range)| Shard {
            id: ShardId::new(id),
            parents: ids(parents),
            hash_range: Some(hash_range),
            open: matches!(id, "5" | "6"),
        };
        [
            ("0", "", keys(0, 9)),
            ("1", "", keys(10, 19)),
            ("2", "", keys(20, 99)),
            ("3", "1 2", keys(10, 99)),
            ("4", "0 3", keys(0, 99)),
            ("5", "4", keys(0, 14)),
            ("6", "4", keys(15, 99)),
        ]
        .map(shard)
        .to_vec()
    }

    /// The lease of a listed shard.
    fn row(id: &str, checkpoint: &str) -> Lease {
        let checkpoint = Checkpoint::parse(checkpoint, 0).unwrap();
        let mut row = lease(id).checkpoint(checkpoint).build();
        let shard = listed().into_iter().find(|shard| shard.id == row.shard).unwrap();
        row.parents = shard.parents;
        row.hash_range = shard.hash_range;
        row
    }

    fn is_ghost(lease: &Lease, others: &[Lease]) -> bool {
        let mut rows = others.to_vec();
        rows.push(lease.clone());
        descends(&rivals(lease, &rows), &lease.shard, &listed())
    }

    #[test]
    fn a_lease_put_back_after_its_children_were_retired_too_is_a_ghost() {
        let back = row("1", "TRIM_HORIZON");
        assert!(ghosts(&[back.clone(), row("5", "7"), row("4", "SHARD_END")]).is_empty());
        assert!(is_ghost(&back, &[row("4", "SHARD_END"), row("5", "TRIM_HORIZON")]));
        assert!(is_ghost(&back, &[row("5", "7"), row("6", "TRIM_HORIZON")]), "great-grandchild");
        assert!(is_ghost(&back, &[row("0", "TRIM_HORIZON"), row("6", "SHARD_END")]));
    }

    #[test]
    fn a_shard_that_waits_at_latest_has_not_begun_before_it_is_taken() {
        let back = row("1", "TRIM_HORIZON");
        let mut child = row("3", "LATEST");
        assert!(ghosts(&[back.clone(), child.clone()]).is_empty());
        assert!(!is_ghost(&back, &[row("5", "LATEST")]));
        child.latest_since = Some(EpochMillis(7));
        assert_eq!(ghosts(&[back.clone(), child]), BTreeSet::from([back.key.clone()]));
        let mut grandchild = row("5", "LATEST");
        grandchild.latest_since = Some(EpochMillis(7));
        assert!(is_ghost(&back, &[grandchild]));
    }

    #[test]
    fn the_line_before_a_shard_has_parents_before_their_children() {
        let line = |id: &str| {
            let (row, listed) = (row(id, "LATEST"), listed());
            line_before(&row, &listed)
                .into_iter()
                .map(ShardId::as_str)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(line("0"), "");
        assert_eq!(line("6"), "2 1 3 0 4");
        let mut unlisted = row("1", "LATEST");
        unlisted.parents = ids("gone");
        assert_eq!(line_before(&unlisted, &listed()), [&unlisted.parents[0]]);
    }

    #[test]
    fn a_lease_that_is_needed_is_no_ghost() {
        let never_read = row("1", "TRIM_HORIZON");
        assert!(!is_ghost(&never_read, &[]));
        assert!(!is_ghost(&never_read, &[row("3", "TRIM_HORIZON"), row("2", "SHARD_END")]));
        assert!(!is_ghost(&never_read, &[row("0", "SHARD_END")]), "of other keys");
        let new = row("5", "TRIM_HORIZON");
        assert!(!is_ghost(&new, &[row("4", "SHARD_END"), row("6", "9")]));
        assert!(
            !is_ghost(&new, &[row("1", "SHARD_END")]),
            "an ancestor that came back and was read"
        );
        let mut taken = row("1", "TRIM_HORIZON");
        taken.counter = 1;
        assert!(rivals(&taken, &[row("6", "9")]).is_empty(), "somebody holds it");
        let mut other = row("4", "SHARD_END");
        other.stream = Some("another".into());
        assert!(rivals(&never_read, &[other]).is_empty());
    }

    #[test]
    fn a_new_child_s_own_line_raises_no_doubts() {
        let new = row("5", "TRIM_HORIZON");
        let line = ["4", "3", "1", "0"].map(|id| row(id, "SHARD_END"));
        assert!(rivals(&new, &line).is_empty());
        let mut gone = row("1", "SHARD_END");
        gone.children = ids("5");
        assert!(rivals(&new, &[gone.clone()]).is_empty(), "it went on there, being trimmed unread");
        gone.children.clear();
        assert_eq!(rivals(&new, &[gone]), BTreeSet::from([ShardId::new("1")]));
    }

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
