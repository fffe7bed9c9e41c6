//! Parts of a scenario, and what may come out twice in them.

use std::collections::{BTreeMap, BTreeSet};

use shardwright::model::ShardId;

use crate::harness::{Books, Replay, Results, World, wait_until};

/// What may come out twice of what was put in a part.
pub(crate) enum Twice {
    /// Nothing: every lease moves with its checkpoint at the last record that was processed.
    Nothing,
    /// Just what its owner had processed and not checkpointed when it was killed.
    Just(Replay),
    /// Anything: leases are taken from owners that are at work.
    Anything,
}

/// A part that goes on.
pub(crate) struct Part<'w> {
    what: &'static str,
    world: &'w World,
    before: Results,
}

impl<'w> Part<'w> {
    /// Begins one where the one before it has ended.
    pub(crate) fn begin(what: &'static str, world: &'w World) -> Self {
        Self { what, world, before: world.results() }
    }

    /// Waits until everything has come out and every checkpoint is at the last record, or at the end
    /// of a `closed` shard. Asserts that nothing came out too often.
    pub(crate) async fn end(self, books: &Books, closed: &[ShardId], twice: Twice) {
        let Self { what, world, before } = self;
        world.settled(books).await;
        wait_until(&format!("{what}: the checkpoints are at the last records"), async || {
            books.behind(&world.leases().await, closed).is_empty()
        })
        .await;

        let after = world.results();
        let repeated = Replay {
            delivered: repeated(&before.delivered, &after.delivered),
            parked: repeated(&before.parked, &after.parked),
        };
        let put = after.delivered.len() - before.delivered.len();
        let (events, letters) = (repeated.delivered.len(), repeated.parked.len());
        eprintln!("{what}: {events} of {put} events, {letters} dead letters came out twice");
        match twice {
            Twice::Nothing => assert_eq!(repeated, Replay::default(), "{what}"),
            Twice::Just(replay) => assert_eq!(repeated, replay, "{what}"),
            Twice::Anything => {}
        }
    }
}

/// What has come out twice and had not come out before at all. What had must not come out again.
fn repeated<K: Ord + Clone>(before: &BTreeMap<K, u32>, after: &BTreeMap<K, u32>) -> BTreeSet<K> {
    let new = after.iter().filter(|(key, count)| before.get(key) != Some(count));
    let new: Vec<_> = new.collect();
    let allowed = |key, count| before.get(key).is_none() && count <= 2;
    assert!(new.iter().all(|(key, count)| allowed(*key, **count)), "too often");
    new.into_iter().filter(|(_, count)| **count == 2).map(|(key, _)| key.clone()).collect()
}
