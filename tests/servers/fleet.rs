//! A fleet through a split, a merge and a drain.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Books, Installed, Producer, Replay, Stream, World, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_on_kinesis_local_and_dynoxide() {
    let Some(installed) = Installed::find() else { return };
    through_split_merge_and_drain(&World::kinesis_local_and_dynoxide(&installed).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_on_kinesalite_and_moto() {
    let Some(installed) = Installed::find() else { return };
    through_split_merge_and_drain(&World::kinesalite_and_moto(&installed).await).await;
}

async fn through_split_merge_and_drain(world: &World) {
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);

    // A backlog from before the first start.
    producer.put(&mut books, 120).await;
    let first = world.daemon();
    world.settled(&books).await;

    let second = world.daemon();
    balanced(world).await;

    // Shards close with records in them that nobody has read yet.
    producer.put(&mut books, 60).await;
    let split = stream.split().await;
    producer.put(&mut books, 60).await;
    world.settled(&books).await;

    producer.put(&mut books, 60).await;
    let merged = stream.merge().await;
    producer.put(&mut books, 60).await;
    world.settled(&books).await;

    balanced(world).await;
    first.terminate();
    second.terminate();
    assert!(first.exit().await.success() && second.exit().await.success());
    books.check(&world.results(), &Replay::default());
    let closed = [[split].as_slice(), &merged].concat();
    books.check_leases(&world.leases().await, &closed);

    // The next worker goes on where they stopped.
    producer.put(&mut books, 20).await;
    let third = world.daemon();
    world.settled(&books).await;
    third.drain().await;
    books.check(&world.results(), &Replay::default());
    books.check_leases(&world.leases().await, &closed);
}

/// Waits until two workers hold one lease each, and know it: each has renewed its own.
async fn balanced(world: &World) {
    let mut since = BTreeMap::new();
    wait_until("two workers hold one lease each", async || {
        let mut leases = world.leases().await;
        leases.retain(|lease| !lease.ended());
        let owners: BTreeSet<_> = leases.iter().filter_map(|lease| lease.owner.clone()).collect();
        let asked = leases.iter().any(|lease| lease.checkpoint_owner.is_some());
        if asked || leases.len() != 2 || owners.len() != 2 {
            since.clear();
            return false;
        }
        leases.into_iter().all(|lease| {
            let first = since.entry((lease.key, lease.owner)).or_insert(lease.counter);
            lease.counter > *first
        })
    })
    .await;
}
