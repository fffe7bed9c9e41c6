//! Which leases a stream needs, and which are ready: the lineage rules.
//!
//! `ListShards` is asked without a filter: `AT_TRIM_HORIZON` is answered wrongly by every emulator
//! tried, and the graph of parents says the same.

use std::collections::{BTreeMap, BTreeSet};

use super::Lineage;
use crate::model::{Checkpoint, HashKeyRange, InitialPosition, Lease, Shard, ShardId};

/// Whether the shard of `lease` may be processed: all its parents' leases have ended or are gone
/// (KCL `BlockOnParentShardTask`).
///
/// An end never goes away, but a stale scan may miss a parent's lease: who takes a lease that was
/// never started looks its parents up again.
pub fn ready(lease: &Lease, by_shard: &ByShard<'_>) -> bool {
    let stream = lease.stream.as_deref();
    lease.parents.iter().all(|parent| by_shard.get(&(stream, parent)).is_none_or(|row| row.ended()))
}

/// Leases by stream and shard: streams of one table have shards of the same names.
pub type ByShard<'l> = BTreeMap<(Option<&'l str>, &'l ShardId), &'l Lease>;

/// Sorts a table's leases by stream and shard.
pub fn by_shard(leases: &[Lease]) -> ByShard<'_> {
    leases.iter().map(|lease| ((lease.stream.as_deref(), &lease.shard), lease)).collect()
}

/// The leases that are missing for a stream, as shard and first checkpoint.
///
/// - With no lease at all: the oldest listed shards of each line for `TRIM_HORIZON` and
///   `AT_TIMESTAMP`, the open shards for `LATEST`.
/// - Else, for each open shard without a lease: the first generation of its ancestors that is
///   needed, so that its keys are covered from the right point; descendants follow at the shard's
///   end (KCL `HierarchicalShardSyncer`, non-empty lease table). An ancestor without a lease is not
///   needed when another shard has [gone on](Lineage::gone_on) where it ended: its lease would be a ghost.
/// - Else, where a merged shard waits for one of its parents, the other parent: the first cannot be ended
///   while the second has no lease.
pub fn missing_leases<'a>(
    lineage: &'a Lineage,
    leases: &[Lease],
    initial: InitialPosition,
) -> Vec<(&'a Shard, Checkpoint)> {
    let graph = Graph {
        lineage,
        leases: leases.iter().map(|lease| (&lease.shard, lease)).collect(),
        gone_on: lineage.gone_on(leases),
        initial,
    };
    let mut wanted = BTreeMap::new();
    for shard in lineage.shards().filter(|shard| shard.open) {
        graph.want(shard, &mut wanted);
    }
    wanted.into_values().collect()
}

struct Graph<'a, 'l> {
    lineage: &'a Lineage,
    leases: BTreeMap<&'l ShardId, &'l Lease>,
    gone_on: BTreeSet<&'a ShardId>,
    initial: InitialPosition,
}

impl<'a> Graph<'a, '_> {
    /// Adds what `open` needs to `wanted`, walking up without recursion: lines can be long.
    fn want(&self, open: &'a Shard, wanted: &mut BTreeMap<&'a ShardId, (&'a Shard, Checkpoint)>) {
        let mut visited = BTreeSet::new();
        let mut to_visit = vec![open];
        while let Some(shard) = to_visit.pop() {
            if !visited.insert(&shard.id) {
                continue;
            }
            if let Some(lease) = self.leases.get(&shard.id) {
                to_visit.extend(self.parents_lacking(shard, lease));
                continue;
            }
            let parents: Vec<&'a Shard> = self.lineage.listed(&shard.parents).collect();
            let line_leased = parents.iter().any(|parent| self.line_has_lease(parent));
            let ended_parent = shard.parents.iter().any(|id| self.ended(id));
            let needed: Vec<&'a Shard> =
                parents.into_iter().filter(|parent| !self.is_done_with(&parent.id)).collect();
            let parents_leased = needed.iter().all(|parent| self.leases.contains_key(&parent.id));
            if (ended_parent && parents_leased) || (line_leased && needed.is_empty()) {
                // Its parents were read to their ends and it never got a lease, or lost it.
                wanted.insert(&shard.id, (shard, Checkpoint::TrimHorizon));
            } else if line_leased || (self.reads_history() && !needed.is_empty()) {
                // Covered by an ancestor, or to be: look at each line above.
                to_visit.extend(needed);
            } else {
                wanted.insert(&shard.id, (shard, self.initial.checkpoint()));
            }
        }
    }

    /// The parents of a shard whose lease waits for a shard before it: one of them may lack a lease, and
    /// hold up the end of the other one. Two workers come to that when they begin at `LATEST` and list
    /// shards on both sides of a merge, or an operator who deletes a lease.
    fn parents_lacking(&self, shard: &'a Shard, lease: &Lease) -> Vec<&'a Shard> {
        let line = self.lineage.before(&shard.id);
        let waits = lease.checkpoint.is_start()
            && line.into_iter().any(|earlier| self.leases.contains_key(earlier));
        let lacking = |parent: &&Shard| waits && !self.gone_on.contains(&parent.id);
        self.lineage.listed(&shard.parents).filter(lacking).collect()
    }

    fn reads_history(&self) -> bool {
        !matches!(self.initial, InitialPosition::Latest)
    }

    /// Whether a shard has no lease and needs none.
    fn is_done_with(&self, shard: &ShardId) -> bool {
        !self.leases.contains_key(shard) && self.gone_on.contains(shard)
    }

    fn ended(&self, shard: &ShardId) -> bool {
        self.leases.get(shard).is_some_and(|lease| lease.ended())
    }

    fn line_has_lease(&self, shard: &Shard) -> bool {
        let line = self.lineage.before(&shard.id).into_iter().chain([&shard.id]);
        line.into_iter().any(|id| self.leases.contains_key(id))
    }
}

/// The shards that go on where one ended: its children by lineage, and, if it has left the listing and some
/// of them too, the oldest listed shards that take any of the keys they took.
pub fn successors<'a>(lineage: &'a Lineage, ended: &Lease) -> Vec<&'a Shard> {
    let mut found: Vec<&Shard> = lineage.children(&ended.shard).collect();
    let taken: Option<Vec<HashKeyRange>> = found.iter().map(|child| child.hash_range).collect();
    let (Some(keys), Some(taken)) = (ended.hash_range, taken) else { return found };
    if lineage.lists(&ended.shard) {
        return found;
    }
    let left = keys.without(&taken);
    let oldest = lineage.shards().filter(|shard| lineage.listed(&shard.parents).next().is_none());
    let takes_any = |shard: &&Shard| {
        shard.hash_range.is_some_and(|keys| left.iter().any(|left| left.overlaps(&keys)))
    };
    found.extend(oldest.filter(takes_any));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leasing::fixtures::lease,
        model::{EpochMillis, HashKey},
    };

    /// `0 1 2<0,1 3<2!`: shards 0 and 1 were merged into 2, which was replaced by 3; `!` is open.
    fn shards(text: &str) -> Vec<Shard> {
        text.split_whitespace()
            .map(|word| {
                let (word, open) = word.strip_suffix('!').map_or((word, false), |w| (w, true));
                let (id, parents) = word.split_once('<').unwrap_or((word, ""));
                Shard {
                    id: ShardId::new(id),
                    parents: parents
                        .split(',')
                        .filter(|p| !p.is_empty())
                        .map(ShardId::new)
                        .collect(),
                    hash_range: None,
                    open,
                }
            })
            .collect()
    }

    /// `0$ 1+ 2 3~`: shard 0 has ended, shard 1 has started, shard 2 has not; shard 3 is read from `LATEST`,
    /// and nothing has come yet.
    fn leases(text: &str) -> Vec<Lease> {
        let started = || Checkpoint::parse("7", 0).unwrap();
        text.split_whitespace()
            .map(|word| match word.split_at(word.len() - 1) {
                (id, "$") => lease(id).ended().build(),
                (id, "+") => lease(id).checkpoint(started()).build(),
                (id, "~") => Lease {
                    latest_since: Some(EpochMillis(7)),
                    ..lease(id).checkpoint(Checkpoint::Latest).build()
                },
                _ => lease(word).build(),
            })
            .collect()
    }

    fn check(stream: &str, table: &str, initial: InitialPosition, expect: &str) {
        let lineage = Lineage::of(shards(stream));
        let found: Vec<String> = missing_leases(&lineage, &leases(table), initial)
            .iter()
            .map(|(shard, checkpoint)| format!("{}={}", shard.id, checkpoint.text()))
            .collect();
        assert_eq!(found.join(" "), expect, "{stream:?} with leases {table:?} from {initial}");
    }

    const HORIZON: InitialPosition = InitialPosition::TrimHorizon;
    const LATEST: InitialPosition = InitialPosition::Latest;

    /// The example of the KCL's docs/lease-lifecycle.md.
    const LIFECYCLE: &str = "0 1 2 3 4! 5 6<0,1 7<2,3 8<6,7! 9<5! 10<5!";

    #[test]
    fn an_empty_table_starts_with_the_oldest_generation() {
        check("0! 1!", "", HORIZON, "0=TRIM_HORIZON 1=TRIM_HORIZON");
        check("0 1<0! 2<0!", "", HORIZON, "0=TRIM_HORIZON");
        check("2<0! 3<0!", "", HORIZON, "2=TRIM_HORIZON 3=TRIM_HORIZON");
        check("0 1 2<0,1!", "", HORIZON, "0=TRIM_HORIZON 1=TRIM_HORIZON");
        check("1 2<0,1!", "", HORIZON, "1=TRIM_HORIZON");
    }

    #[test]
    fn latest_starts_with_the_open_shards() {
        check("0 1<0! 2<0!", "", LATEST, "1=LATEST 2=LATEST");
        check(LIFECYCLE, "", LATEST, "10=LATEST 4=LATEST 8=LATEST 9=LATEST");
    }

    #[test]
    fn a_table_with_leases_gets_only_the_generation_that_is_missing() {
        check(LIFECYCLE, "4 5 7", LATEST, "6=LATEST");
        check(LIFECYCLE, "4 5 7", HORIZON, "0=TRIM_HORIZON 1=TRIM_HORIZON");
        check("0 1<0! 2<0!", "0", HORIZON, "");
        check("0 1<0! 2<0!", "0 1", HORIZON, "");
    }

    #[test]
    fn the_line_of_a_shard_that_has_begun_is_not_begun_again() {
        check("0! 9!", "0~", LATEST, "9=LATEST");
        check("0 1<0! 2<0!", "1~", LATEST, "2=LATEST");
        check("0 1<0! 2<0!", "1~ 0", LATEST, "");
    }

    #[test]
    fn a_child_that_was_never_created_is_found() {
        check("0 1<0! 2<0!", "0$ 1", HORIZON, "2=TRIM_HORIZON");
        check("0 1<0! 2<0!", "0$ 1", LATEST, "2=TRIM_HORIZON");
        check("0 1 2<0,1!", "0$ 1$", LATEST, "2=TRIM_HORIZON");
        check("0 1 2<0,1!", "0$ 1", LATEST, "2=TRIM_HORIZON");
        check("0 1 2<0,1!", "0$", HORIZON, "1=TRIM_HORIZON");
        check("0 2<0,1!", "0$", HORIZON, "2=TRIM_HORIZON");
    }

    /// An operator deleted leases. To begin again where the deleted ones began would be to put back a
    /// ghost, which is deleted, and the hole would stay.
    #[test]
    fn a_shard_whose_parents_are_done_with_begins_at_its_own_start() {
        let time = InitialPosition::AtTimestamp(EpochMillis(0));
        check("0 1<0! 2<0!", "1+", HORIZON, "2=TRIM_HORIZON");
        check("0 1<0! 2<0!", "1+", time, "2=AT_TIMESTAMP");
        check("0 1<0! 2<0!", "1", HORIZON, "0=TRIM_HORIZON");
        check("0 1<0 2<0! 3<1! 4<1!", "3+", HORIZON, "2=TRIM_HORIZON 4=TRIM_HORIZON");
        check("0 1<0 2<0! 3<1! 4<1!", "1+", HORIZON, "2=TRIM_HORIZON");
        check("0 1 2<0,1 3<2! 4<2!", "3+", HORIZON, "4=TRIM_HORIZON");
        check("9 0<9 1<0! 2<0!", "9$ 1+", LATEST, "2=TRIM_HORIZON");
    }

    #[test]
    fn a_parent_without_a_lease_that_holds_up_the_other_s_end_gets_one() {
        check("3 4 5<3,4!", "3+ 5", LATEST, "4=LATEST");
        check("3 4 5<3,4!", "3+ 5", HORIZON, "4=TRIM_HORIZON");
        check("1 3 4<1 5<3,4!", "3+ 5 1+", HORIZON, "");
        check("3 5<3,4!", "3+ 5", HORIZON, "");
        check("3 4 5<3,4!", "3+ 5+", HORIZON, "");
        check("3 4 5<3,4!", "5", LATEST, "");
        // The leases of 3 and 7 are from lists of different ages.
        check("3 4 5<3,4 6<5 7<5! 8<6!", "3~ 7 8", LATEST, "4=LATEST");
    }

    #[test]
    fn children_wait_for_their_parents() {
        let parents = leases("0 1$");
        let mut child = lease("2").build();
        child.parents = vec![ShardId::new("0"), ShardId::new("1")];
        assert!(!ready(&child, &by_shard(&parents)));
        assert!(ready(&child, &by_shard(&parents[1..])), "a lease that is gone is done with");
        assert!(ready(&child, &by_shard(&[])));
        child.stream = Some("another".into());
        assert!(ready(&child, &by_shard(&parents)), "shards of another stream do not matter");
    }

    #[test]
    fn a_shard_that_is_gone_goes_on_in_whoever_takes_its_keys() {
        let keys = |start, end| Some(HashKeyRange { start: HashKey(start), end: HashKey(end) });
        let mut stream = shards("3<1 4<1! 5<2! 6<3! 7<3!");
        for (shard, range) in stream.iter_mut().zip([
            keys(0, 40),
            keys(41, 50),
            keys(51, 99),
            keys(0, 20),
            keys(21, 40),
        ]) {
            shard.hash_range = range;
        }
        let lineage = Lineage::of(stream);
        let names = |gone: &str, range| {
            let mut gone = lease(gone).build();
            gone.hash_range = range;
            let found = successors(&lineage, &gone);
            found.iter().map(|shard| shard.id.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("1", keys(0, 50)), "3 4", "its children");
        assert_eq!(
            names("0", keys(0, 99)),
            "3 4 5",
            "grandchildren, for the children are gone too"
        );
        assert_eq!(names("9", keys(30, 45)), "3 4");
        assert_eq!(names("3", keys(0, 50)), "6 7", "it is listed, and so are all its children");
        assert_eq!(names("2", keys(41, 99)), "5 4", "its other child is gone");
        assert_eq!(names("0", None), "", "a hole that a shard sync fills");
    }
}
