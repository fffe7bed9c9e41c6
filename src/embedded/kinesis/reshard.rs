//! Splits, merges, and the series of both that an even resize comes down to.

use super::hash_range::HashRange;
use super::stream::Stream;

impl Stream {
    /// Replaces a shard by two which meet at `at`. A shard that is not open stays as it is.
    pub(super) fn split(&mut self, number: u32, at: u128, at_ms: u64) {
        let Some(range) = self.open_range(number).filter(|r| r.start < at && at <= r.end) else {
            return;
        };
        let (low, high) = range.split(at);
        let children = [low, high].map(|part| self.add_shard(part, &[number], at_ms));
        self.close_shard(number, &children, at_ms);
    }

    /// Replaces two neighbours by one shard. A pair that does not qualify stays as it is.
    pub(super) fn merge(&mut self, number: u32, adjacent: u32, at_ms: u64) {
        let (Some(range), Some(other)) = (self.open_range(number), self.open_range(adjacent))
        else {
            return;
        };
        let Some(union) = range.join(other) else {
            return;
        };
        let child = self.add_shard(union, &[number, adjacent], at_ms);
        self.close_shard(number, &[child], at_ms);
        self.close_shard(adjacent, &[child], at_ms);
    }

    /// Makes the open shards `target` even ranges: cuts at every new border, then joins the pieces
    /// between two borders. A shard that has its target range already stays open.
    pub(super) fn resize(&mut self, target: u32, at_ms: u64) {
        let wanted = HashRange::even(target);
        for border in wanted.iter().skip(1).map(|range| range.start) {
            if let Ok(owner) = self.route(border).map(|shard| shard.number) {
                self.split(owner, border, at_ms);
            }
        }
        for range in wanted {
            while let Some(neighbour) = self.next_piece(range) {
                let Ok(first) = self.route(range.start).map(|shard| shard.number) else {
                    return;
                };
                self.merge(first, neighbour, at_ms);
            }
        }
    }

    /// The open shard right of the one at the range's start, if it lies in the range too.
    fn next_piece(&mut self, range: HashRange) -> Option<u32> {
        let first_end = self.route(range.start).ok()?.range.end;
        let next_start = first_end.checked_add(1).filter(|start| *start <= range.end)?;
        self.route(next_start).ok().map(|shard| shard.number)
    }

    fn open_range(&self, number: u32) -> Option<HashRange> {
        let shard = self.shards.get(&number)?;
        shard.closed.is_none().then_some(shard.range)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash_range::hash_key;
    use super::super::stream::{Change, Mode};
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const T: u64 = 1_767_225_600_000;

    fn stream_of(shards: u32) -> Stream {
        let mut stream = Stream::new("s".into(), String::new(), Mode::Provisioned, 1024, T);
        stream.begin(Change::Create { shards }, T, 0);
        stream
    }

    fn put(stream: &mut Stream, key: &str) {
        let shard = stream.route(hash_key(key)).unwrap();
        shard.append(T, key.to_owned(), Bytes::new());
    }

    /// What must hold after any series of reshards.
    fn assert_consistent(stream: &Stream) {
        let covered = stream.open_shards().map(|s| s.range).reduce(|all, r| all.join(r).unwrap());
        assert_eq!(covered, Some(HashRange { start: 0, end: u128::MAX }));
        for shard in stream.shards.values() {
            assert_eq!(shard.closed.is_some(), !shard.children.is_empty());
            for child in shard.children.iter().map(|number| &stream.shards[number]) {
                assert!(child.parents.contains(&shard.number));
                assert!(child.start > shard.last(), "a child starts after its parent's end");
            }
        }
    }

    #[test]
    fn both_ends_of_every_range_route_to_its_shard() {
        let mut stream = stream_of(5);
        let ranges: Vec<_> = stream.open_shards().map(|s| (s.number, s.range)).collect();
        for (number, range) in ranges {
            for key in [range.start, range.start + 1, range.end] {
                assert_eq!(stream.route(key).unwrap().number, number);
            }
        }
    }

    #[test]
    fn a_split_and_a_merge_keep_the_lineage() {
        let mut stream = stream_of(1);
        stream.split(0, 1 << 127, T);
        stream.merge(2, 1, T);
        assert_consistent(&stream);
        let lineage: Vec<_> =
            stream.shards.values().map(|s| (s.parents.clone(), s.children.clone())).collect();
        assert_eq!(
            lineage,
            [(vec![], vec![1, 2]), (vec![0], vec![3]), (vec![0], vec![3]), (vec![2, 1], vec![])]
        );
    }

    #[test]
    fn resizing_evens_out_any_layout() {
        for (from, to) in [(2, 4), (4, 2), (2, 3), (3, 5), (5, 3), (3, 3), (1, 2), (7, 4)] {
            let mut stream = stream_of(from);
            stream.resize(to, T);
            assert_consistent(&stream);
            let ranges: Vec<_> = stream.open_shards().map(|s| s.range).collect();
            assert_eq!(ranges, HashRange::even(to), "{from} to {to}");
        }
    }

    proptest! {
        #[test]
        fn each_record_is_in_one_shard_whatever_is_resharded(
            steps in prop::collection::vec((0..3, any::<u128>(), 1..9u32), 0..12),
        ) {
            let mut stream = stream_of(2);
            let mut keys = Vec::new();
            for (round, (kind, at, count)) in steps.into_iter().enumerate() {
                for i in 0..20 {
                    keys.push(format!("{round}-{i}"));
                    put(&mut stream, keys.last().unwrap());
                }
                let owner = stream.route(at).unwrap();
                let (number, end) = (owner.number, owner.range.end);
                match kind {
                    0 => stream.split(number, at, T),
                    1 => {
                        let right = stream.route(end.saturating_add(1)).unwrap().number;
                        stream.merge(number, right, T);
                    }
                    _ => stream.resize(count, T),
                }
                assert_consistent(&stream);
            }
            let mut read: Vec<String> = Vec::new();
            for shard in stream.shards.values() {
                let page = shard.page(shard.start, 10_000, u64::MAX);
                read.extend(page.records.iter().map(|record| record.partition_key.clone()));
            }
            read.sort();
            keys.sort();
            prop_assert_eq!(read, keys);
        }
    }
}
