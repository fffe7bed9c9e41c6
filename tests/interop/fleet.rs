//! Who holds which leases.

use std::collections::BTreeMap;

use shardwright::model::{Lease, WorkerId};

use crate::{
    harness::{Books, Producer, Replay, World, wait_until},
    java::JAVA,
};

/// Records are put at every so many-th look at the table.
const PUT_EVERY: u32 = 4;
const RECORDS: usize = 5;

/// Who is to hold the leases of the shards that are still read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fleet {
    Java,
    Ours,
    /// Half of them each.
    Both,
}

impl Fleet {
    /// Puts records until every lease of a shard that is still read has its owner, and none changes
    /// hands.
    pub(crate) async fn forms(self, world: &World, producer: &mut Producer<'_>, books: &mut Books) {
        let mut looks = 0;
        wait_until(&format!("the leases belong to: {self:?}"), async || {
            if looks % PUT_EVERY == 0 {
                producer.put(books, RECORDS).await;
            }
            looks += 1;
            self.holds(&world.leases().await)
        })
        .await;
    }

    pub(crate) fn holds(self, leases: &[Lease]) -> bool {
        let read: Vec<_> = leases.iter().filter(|lease| !lease.ended()).collect();
        if read.iter().any(|lease| lease.owner.is_none() || lease.checkpoint_owner.is_some()) {
            return false;
        }
        let mut shares: BTreeMap<&WorkerId, usize> = BTreeMap::new();
        for owner in read.iter().filter_map(|lease| lease.owner.as_ref()) {
            *shares.entry(owner).or_default() += 1;
        }
        let java = shares.remove(&WorkerId::new(JAVA)).unwrap_or(0);
        let ours: Vec<usize> = shares.into_values().collect();
        match (self, &ours[..]) {
            (Self::Java, []) => java > 0,
            (Self::Ours, [_]) => java == 0,
            (Self::Both, [ours]) => ours.abs_diff(java) <= 1,
            _ => false,
        }
    }
}

/// Puts records until the owner of these leases has delivered more than it has checkpointed.
pub(crate) async fn has_a_tail(
    world: &World,
    producer: &mut Producer<'_>,
    books: &mut Books,
    owned: fn(Vec<Lease>) -> Vec<Lease>,
) {
    wait_until("more was delivered than checkpointed", async || {
        producer.put(books, RECORDS).await;
        !tail(world, books, owned).await.delivered.is_empty()
    })
    .await;
}

/// What the owner of these leases has processed and not checkpointed.
pub(crate) async fn tail(
    world: &World,
    books: &Books,
    owned: fn(Vec<Lease>) -> Vec<Lease>,
) -> Replay {
    books.beyond(&owned(world.leases().await), &world.results())
}

/// The leases that Java owns.
pub(crate) fn of_java(leases: Vec<Lease>) -> Vec<Lease> {
    let is_java = |lease: &Lease| lease.owner == Some(WorkerId::new(JAVA));
    leases.into_iter().filter(is_java).collect()
}

/// The leases that one of ours owns.
pub(crate) fn of_ours(leases: Vec<Lease>) -> Vec<Lease> {
    let is_ours =
        |lease: &Lease| lease.owner.as_ref().is_some_and(|owner| *owner != WorkerId::new(JAVA));
    leases.into_iter().filter(is_ours).collect()
}
