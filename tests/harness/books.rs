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

    /// The ids of all events, sorted.
    #[allow(dead_code, reason = "not every target looks at events alone")]
    pub(crate) fn event_ids(&self) -> Vec<String> {
        self.events.keys().cloned().collect()
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

    /// What of these results a worker must produce again that begins at the checkpoints of these
    /// leases.
    pub(crate) fn beyond(&self, leases: &[Lease], results: &Results) -> Replay {
        let checkpoints: BTreeMap<_, _> =
            leases.iter().map(|lease| (&lease.shard, &lease.checkpoint)).collect();
        let is_beyond = |shard: &ShardId, position: &Position| match checkpoints.get(shard) {
            Some(Checkpoint::After(done)) => position > done,
            checkpoint => checkpoint.is_some_and(|checkpoint| checkpoint.is_start()),
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
        for lease in leases {
            assert_eq!((&lease.owner, &lease.checkpoint_owner), (&None, &None), "{lease:?}");
        }
        let behind = self.behind(leases, closed);
        assert!(behind.is_empty(), "not at the last record: {behind:#?}");
    }

    /// The shards whose leases are not at their last record, or not at their end if they are
    /// `closed`, with what their rows say.
    pub(crate) fn behind(
        &self,
        leases: &[Lease],
        closed: &[ShardId],
    ) -> Vec<(ShardId, Option<Checkpoint>)> {
        let rows: BTreeMap<_, _> =
            leases.iter().map(|lease| (&lease.shard, &lease.checkpoint)).collect();
        let is_there = |shard: &ShardId, last: Option<&Position>| match rows.get(shard) {
            // Leases of shards that are done with are deleted some time.
            None | Some(Checkpoint::ShardEnd) => closed.contains(shard),
            Some(Checkpoint::After(done)) => !closed.contains(shard) && Some(done) == last,
            Some(_) => false,
        };
        let shards: BTreeSet<_> = self.last.keys().chain(closed).collect();
        let behind = shards.into_iter().filter(|shard| !is_there(shard, self.last.get(*shard)));
        behind.map(|shard| (shard.clone(), rows.get(shard).map(|at| (*at).clone()))).collect()
    }
}

/// What comes out a second time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) delivered: BTreeSet<String>,
    pub(crate) parked: BTreeSet<Letter>,
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
