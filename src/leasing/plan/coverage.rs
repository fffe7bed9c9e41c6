//! Whether the leases cover the key space: the audit that says when a shard sync is due
//! (KCL `PeriodicShardSyncManager`).

use super::Lineage;
use crate::model::{HashKeyRange, Lease};

/// The first part of the key space that the leases still to be processed leave to nobody.
///
/// A table without leases is one hole. Leases without a hash range (written by an old KCL, or of
/// DynamoDB Streams) make the question meaningless; then there is no hole.
pub fn first_hole<'l>(leases: impl IntoIterator<Item = &'l Lease>) -> Option<HashKeyRange> {
    let mut ranges = Vec::new();
    for lease in leases.into_iter().filter(|lease| !lease.ended()) {
        ranges.push(lease.hash_range?);
    }
    HashKeyRange::ALL.without(&ranges).into_iter().next()
}

/// The leases still to be processed that have no hash range although their shards do.
pub fn missing_ranges<'l>(
    lineage: &Lineage,
    leases: &'l [Lease],
) -> Vec<(&'l Lease, HashKeyRange)> {
    leases
        .iter()
        .filter(|lease| !lease.ended() && lease.hash_range.is_none())
        .filter_map(|lease| Some((lease, lineage.get(&lease.shard)?.hash_range?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leasing::fixtures::lease,
        model::{HashKey, Shard, ShardId},
    };

    fn keys(start: u128, end: u128) -> HashKeyRange {
        HashKeyRange { start: HashKey(start), end: HashKey(end) }
    }

    fn hole(ranges: &[(u128, u128)]) -> Option<HashKeyRange> {
        let rows: Vec<Lease> = ranges
            .iter()
            .map(|(start, end)| {
                let mut row = lease("x").build();
                row.hash_range = Some(keys(*start, *end));
                row
            })
            .collect();
        first_hole(&rows)
    }

    #[test]
    fn holes_are_seen_and_overlaps_are_not_holes() {
        assert_eq!(hole(&[]), Some(keys(0, u128::MAX)));
        assert_eq!(hole(&[(0, u128::MAX)]), None);
        assert_eq!(hole(&[(8, u128::MAX), (0, 7)]), None);
        assert_eq!(hole(&[(9, u128::MAX), (0, 7)]), Some(keys(8, 8)));
        assert_eq!(hole(&[(0, 7), (8, 20)]), Some(keys(21, u128::MAX)));
        assert_eq!(hole(&[(0, 100), (5, 50), (101, u128::MAX)]), None);
        assert_eq!(first_hole(&[lease("0").build()]), None, "leases without ranges say nothing");
    }

    #[test]
    fn only_living_leases_of_shards_with_a_range_are_filled_in() {
        let shard = |id: &str, hash_range| Shard {
            id: ShardId::new(id),
            parents: vec![],
            hash_range,
            open: true,
        };
        let shards =
            [shard("0", Some(keys(0, 9))), shard("1", Some(keys(10, 19))), shard("2", None)];
        let lineage = Lineage::of(shards);
        let mut known = lease("1").build();
        known.hash_range = Some(keys(10, 19));
        let leases = [
            lease("0").build(),
            known,
            lease("2").build(),
            lease("0").ended().build(),
            lease("unlisted").build(),
        ];
        assert_eq!(missing_ranges(&lineage, &leases), [(&leases[0], keys(0, 9))]);
    }
}
