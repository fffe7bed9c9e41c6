//! The lineage of a stream's shards, as far as they are listed.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Lease, Shard, ShardId};

/// Which of the listed shards descend from which. One that is not listed any more is known by its children.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    shards: BTreeMap<ShardId, Shard>,
    children: BTreeMap<ShardId, Vec<ShardId>>,
}

impl Lineage {
    /// The lineage of the shards of a stream, as they were listed.
    pub fn of(listed: impl IntoIterator<Item = Shard>) -> Self {
        let mut lineage = Self::default();
        for shard in listed {
            for parent in &shard.parents {
                lineage.children.entry(parent.clone()).or_default().push(shard.id.clone());
            }
            lineage.shards.insert(shard.id.clone(), shard);
        }
        lineage
    }

    /// Whether a shard has left the listing: nothing of it is kept. A listing that is empty is no proof of
    /// anything.
    pub fn has_lost(&self, shard: &ShardId) -> bool {
        !self.shards.is_empty() && !self.lists(shard)
    }

    /// Whether a shard is listed.
    pub fn lists(&self, shard: &ShardId) -> bool {
        self.shards.contains_key(shard)
    }

    /// A shard, if it is listed.
    pub fn get(&self, shard: &ShardId) -> Option<&Shard> {
        self.shards.get(shard)
    }

    /// All shards that are listed.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    /// Those of these shards that are listed.
    pub fn listed<'l>(
        &'l self,
        shards: impl IntoIterator<Item = &'l ShardId>,
    ) -> impl Iterator<Item = &'l Shard> {
        shards.into_iter().filter_map(|shard| self.get(shard))
    }

    /// The shards that a shard became.
    pub fn children(&self, shard: &ShardId) -> impl Iterator<Item = &Shard> {
        self.listed(self.child_ids(shard))
    }

    /// The shards from which one descends, each after its parents.
    pub fn before(&self, shard: &ShardId) -> Vec<&ShardId> {
        beyond([shard], |id| self.parents(id))
    }

    /// The shards that descend from one, each after its parents.
    pub fn after(&self, shard: &ShardId) -> Vec<&ShardId> {
        let mut found = beyond([shard], |id| self.child_ids(id));
        found.reverse();
        found
    }

    /// The shards that are done with whatever their leases say, or if they have none any more: one that
    /// descends from them has begun, and a shard begins only after its parents' ends.
    pub fn gone_on(&self, leases: &[Lease]) -> BTreeSet<&ShardId> {
        let begun = leases.iter().filter(|lease| lease.begun()).map(|lease| &lease.shard);
        beyond(begun, |id| self.parents(id)).into_iter().collect()
    }

    fn child_ids(&self, shard: &ShardId) -> &[ShardId] {
        self.children.get(shard).map_or(&[], Vec::as_slice)
    }

    fn parents(&self, shard: &ShardId) -> &[ShardId] {
        self.get(shard).map_or(&[], |shard| &shard.parents)
    }
}

/// The shards that these lead to, each after those that it leads to itself. Without recursion: lines can be
/// long.
fn beyond<'l, 'i>(
    shards: impl IntoIterator<Item = &'i ShardId>,
    next: impl Fn(&ShardId) -> &'l [ShardId],
) -> Vec<&'l ShardId> {
    let mut found = Vec::new();
    let mut visited = BTreeSet::new();
    let mut to_visit: Vec<_> = shards.into_iter().flat_map(&next).map(|id| (id, false)).collect();
    while let Some((shard, is_next)) = to_visit.pop() {
        if is_next {
            found.push(shard);
        } else if visited.insert(shard) {
            to_visit.push((shard, true));
            to_visit.extend(next(shard).iter().map(|id| (id, false)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{leasing::fixtures::lease, model::Checkpoint};

    /// 1 and 2 became 3, 0 and 3 became 4, and 4 was split into 5 and 6; 9 is not listed any more.
    fn lineage() -> Lineage {
        let shard = |(id, parents): (&str, &str)| Shard {
            id: ShardId::new(id),
            parents: parents.split_whitespace().map(ShardId::new).collect(),
            hash_range: None,
            open: matches!(id, "5" | "6"),
        };
        let all =
            [("0", "9"), ("1", ""), ("2", ""), ("3", "1 2"), ("4", "0 3"), ("5", "4"), ("6", "4")];
        Lineage::of(all.map(shard))
    }

    fn names<'i>(shards: impl IntoIterator<Item = &'i ShardId>) -> String {
        shards.into_iter().map(ShardId::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parents_come_before_their_children() {
        let lineage = lineage();
        let before = |id: &str| names(lineage.before(&ShardId::new(id)));
        assert_eq!(before("1"), "");
        assert_eq!(before("0"), "9");
        assert_eq!(before("6"), "2 1 3 9 0 4");
        let after = |id: &str| names(lineage.after(&ShardId::new(id)));
        assert_eq!(after("6"), "");
        assert_eq!(after("9"), "0 4 5 6");
        assert_eq!(after("2"), "3 4 5 6");
        assert_eq!(after("unknown"), "");
    }

    #[test]
    fn a_line_that_leads_back_to_itself_ends() {
        let shard = |id: &str, parent: &str| Shard {
            id: ShardId::new(id),
            parents: vec![ShardId::new(parent)],
            hash_range: None,
            open: false,
        };
        let lineage = Lineage::of([shard("0", "1"), shard("1", "0")]);
        assert_eq!(names(lineage.before(&ShardId::new("0"))), "0 1");
    }

    #[test]
    fn what_comes_before_a_shard_that_has_begun_is_done_with() {
        let lineage = lineage();
        let gone_on = |id: &str, checkpoint: &str| {
            let checkpoint = Checkpoint::parse(checkpoint, 0).unwrap();
            names(lineage.gone_on(&[lease(id).checkpoint(checkpoint).build()]))
        };
        assert_eq!(gone_on("4", "TRIM_HORIZON"), "");
        assert_eq!(gone_on("4", "7"), "0 1 2 3 9");
        assert_eq!(gone_on("3", "SHARD_END"), "1 2");
    }
}
