//! The books: what was put, where it stands in the stream, and what must become of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use shardwright::{
    generate::{GeneratedRecord, RecordKind},
    model::{Checkpoint, Lease, Position, ShardId},
};

use super::{Results, results::Letter};

/// Everything that was put.
#[derive(Default)]
pub(crate) struct Books {
    /// Where the record of each event stands, by the event's id.
    events: BTreeMap<String, (ShardId, Position)>,
    letters: BTreeSet<Letter>,
    /// The last user record of each shard.
    last: BTreeMap<ShardId, Position>,
}

impl Books {
    /// Enters one user record.
    pub(crate) fn enter(&mut self, shard: &ShardId, position: &Position, record: &GeneratedRecord) {
        for id in &record.expect.event_ids {
            self.events.insert(id.clone(), (shard.clone(), position.clone()));
        }
        if let RecordKind::Broken(_) = record.expect.kind {
            self.letters.insert((shard.clone(), position.clone(), record.data.clone()));
        }
        let last = self.last.entry(shard.clone()).or_insert_with(|| position.clone());
        *last = position.clone().max(last.clone());
    }

    /// Whether everything came out at least once.
    pub(crate) fn are_settled(&self, results: &Results) -> bool {
        self.events.keys().all(|id| results.delivered.contains_key(id))
            && self.letters.iter().all(|letter| results.parked.contains_key(letter))
    }

    /// Asserts that everything came out, nothing else did, and twice only what is allowed to.
    pub(crate) fn check(&self, results: &Results, twice: &Replay) {
        let events = self.events.keys();
        check_counts(events, &results.delivered, &twice.delivered);
        check_counts(self.letters.iter(), &results.parked, &twice.parked);
    }

    /// What of these results a worker must produce again that begins at these checkpoints.
    pub(crate) fn beyond(&self, leases: &[Lease], results: &Results) -> Replay {
        let checkpoints: BTreeMap<_, _> =
            leases.iter().map(|lease| (&lease.shard, &lease.checkpoint)).collect();
        let is_beyond = |shard: &ShardId, position: &Position| match checkpoints[shard] {
            Checkpoint::After(done) => position > done,
            other => other.is_start(),
        };
        let delivered = results.delivered.keys().filter(|id| {
            let (shard, position) = &self.events[*id];
            is_beyond(shard, position)
        });
        let parked = results.parked.keys();
        Replay {
            delivered: delivered.cloned().collect(),
            parked: parked.filter(|(shard, at, _)| is_beyond(shard, at)).cloned().collect(),
        }
    }

    /// Asserts that a fleet that has drained left its leases free and their checkpoints at the last
    /// record of each shard; `closed` shards are done with.
    pub(crate) fn check_leases(&self, leases: &[Lease], closed: &[ShardId]) {
        let rows: BTreeMap<_, _> = leases.iter().map(|lease| (&lease.shard, lease)).collect();
        for lease in leases {
            assert_eq!((&lease.owner, &lease.checkpoint_owner), (&None, &None), "{lease:?}");
        }
        for shard in closed {
            assert!(rows.get(shard).is_none_or(|lease| lease.ended()), "{:?}", rows[shard]);
        }
        for (shard, last) in self.last.iter().filter(|(shard, _)| !closed.contains(shard)) {
            let lease = rows.get(shard).expect("an open shard has a lease");
            assert_eq!(lease.checkpoint, Checkpoint::After(last.clone()), "{shard}");
        }
    }
}

/// What may come out a second time.
#[derive(Default)]
pub(crate) struct Replay {
    delivered: BTreeSet<String>,
    parked: BTreeSet<Letter>,
}

impl Replay {
    pub(crate) fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.parked.is_empty()
    }
}

fn check_counts<'k, K: Ord + Debug + 'k>(
    put: impl Iterator<Item = &'k K>,
    seen: &BTreeMap<K, u32>,
    twice: &BTreeSet<K>,
) {
    let mut expect: BTreeMap<&K, u32> = put.map(|key| (key, 1)).collect();
    for key in twice {
        *expect.entry(key).or_default() += 1;
    }
    let seen: BTreeMap<&K, u32> = seen.iter().map(|(key, count)| (key, *count)).collect();
    let wrong: Vec<_> = expect
        .keys()
        .chain(seen.keys())
        .map(|key| (key, expect.get(key).unwrap_or(&0), seen.get(key).unwrap_or(&0)))
        .filter(|(_, expect, seen)| expect != seen)
        .collect();
    assert!(wrong.is_empty(), "what, how often it must be there, how often it is: {wrong:#?}");
}
