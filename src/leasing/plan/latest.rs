//! A stream that is read from `LATEST`: a line of shards is begun once, and read since then.

use super::Lineage;
use crate::model::{EpochMillis, Lease, ShardId};

/// Since when a stream is read from `LATEST`: when a lease of it was first taken, as far as its rows tell.
/// Each row carries that on to those of its shard's children.
pub fn latest_since<'l>(leases: impl IntoIterator<Item = &'l Lease>) -> Option<EpochMillis> {
    leases.into_iter().filter_map(|lease| lease.latest_since).min()
}

/// What the leases before a shard carry on to its own: the earliest of their times. One that was never taken
/// stands for a later time; one without such a time was read from its beginning.
pub fn carried_on<'l>(before: impl IntoIterator<Item = &'l Lease>) -> Option<EpochMillis> {
    let begun = before.into_iter().filter(|lease| !lease.awaits_latest());
    begun.map(|lease| lease.latest_since).min().flatten()
}

/// The shards whose leases say whether the line of a shard has come to it, the oldest first: parents come
/// before their children, so that whoever reads their rows in this order finds the one that is being worked
/// on, wherever the work has got to meanwhile.
///
/// They are those from which it descends. A shard that is not listed any more is older than any that is, and
/// retention may have taken what lay between: it counts if it has keys of one of them, which will go on where
/// it ends.
pub fn line_before<'l>(
    lease: &'l Lease,
    leases: &'l [Lease],
    lineage: &'l Lineage,
) -> Vec<&'l ShardId> {
    let before = lineage.before(&lease.shard);
    let listed = lineage.listed(before.iter().copied()).filter_map(|shard| shard.hash_range);
    let keys: Vec<_> = listed.chain(lease.hash_range).collect();
    let unlisted = leases
        .iter()
        .filter(|row| row.stream == lease.stream && !lineage.lists(&row.shard))
        .filter(|row| row.hash_range.is_some_and(|own| keys.iter().any(|keys| own.overlaps(keys))))
        .map(|row| &row.shard);
    unlisted.chain(before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leasing::fixtures::lease,
        model::{Checkpoint, HashKey, HashKeyRange, Shard},
    };

    fn keys(start: u128, end: u128) -> HashKeyRange {
        HashKeyRange { start: HashKey(start), end: HashKey(end) }
    }

    fn row(shard: &str, keys: impl Into<Option<HashKeyRange>>) -> Lease {
        let hash_range = keys.into();
        Lease { hash_range, ..lease(shard).checkpoint(Checkpoint::Latest).build() }
    }

    /// 3 is [0, 99]; it was split into 4 [0, 49] and 5 [50, 99], and 4 into 6 [0, 24] and 7 [25, 49].
    fn lineage() -> Lineage {
        let shard = |(id, parent, keys): (&str, &str, HashKeyRange)| Shard {
            id: ShardId::new(id),
            parents: vec![ShardId::new(parent)],
            hash_range: Some(keys),
            open: false,
        };
        let listed = [
            ("3", "2", keys(0, 99)),
            ("4", "3", keys(0, 49)),
            ("5", "3", keys(50, 99)),
            ("6", "4", keys(0, 24)),
            ("7", "4", keys(25, 49)),
        ];
        Lineage::of(listed.map(shard))
    }

    fn line(of: &Lease, rows: &[Lease]) -> String {
        let lineage = lineage();
        let line = line_before(of, rows, &lineage);
        line.into_iter().map(ShardId::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_line_before_a_shard_is_what_it_descends_from() {
        let own = row("6", keys(0, 24));
        assert_eq!(line(&own, std::slice::from_ref(&own)), "2 3 4");
        assert_eq!(line(&own, &[own.clone(), row("5", keys(50, 99))]), "2 3 4", "another line");
    }

    /// A simulation found it (SH-1, seeds 20873 and 33106): 3 has no lease yet, and gets one when 1 ends.
    #[test]
    fn a_shard_that_has_left_comes_before_the_listed_ones_of_its_keys() {
        let own = row("6", keys(0, 24));
        assert_eq!(line(&own, &[row("1", keys(90, 120))]), "1 2 3 4");
        assert_eq!(line(&own, &[row("0", keys(100, 120))]), "2 3 4", "of other keys");
        assert_eq!(line(&own, &[row("0", None)]), "2 3 4");
        let other = Lease { stream: Some("another".into()), ..row("1", keys(0, 9)) };
        assert_eq!(line(&own, &[other]), "2 3 4");
    }

    #[test]
    fn a_merged_shard_is_read_since_the_first_of_its_parents_was() {
        let begun = |time| Lease { latest_since: Some(EpochMillis(time)), ..row("0", None) };
        let from_the_beginning =
            || lease("1").checkpoint(Checkpoint::parse("7", 0).unwrap()).build();
        let carried_on = |parents: &[Lease]| carried_on(parents).map(|time| time.0);
        assert_eq!(carried_on(&[begun(7), begun(8)]), Some(7));
        assert_eq!(carried_on(&[begun(7)]), Some(7));
        assert_eq!(carried_on(&[begun(7), from_the_beginning()]), None);
        assert_eq!(carried_on(&[from_the_beginning()]), None);
        assert_eq!(carried_on(&[begun(7), row("1", None)]), Some(7), "nobody has begun it");
    }
}
