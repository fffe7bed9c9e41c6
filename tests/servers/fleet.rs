//! A fleet through a split, a merge and a drain.

use std::collections::BTreeSet;

use crate::harness::{Books, Daemon, Installed, Producer, Replay, Stream, World, wait_until};

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

pub(crate) async fn through_split_merge_and_drain(world: &World) {
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);

    // A backlog from before the first start.
    producer.put(&mut books, 120).await;
    let first = world.daemon();
    world.settled(&books).await;
    let second = world.daemon();
    two_owners(world).await;

    // Shards close with records in them that nobody has read yet.
    producer.put(&mut books, 60).await;
    let split = stream.split().await;
    producer.put(&mut books, 60).await;
    world.settled(&books).await;
    producer.put(&mut books, 60).await;
    let merged = stream.merge().await;
    producer.put(&mut books, 60).await;
    world.settled(&books).await;

    drain(first, second).await;
    let closed = [[split].as_slice(), &merged].concat();
    books.check(&world.results(), &Replay::default());
    books.check_leases(&world.leases().await, &closed);

    // The next ones go on where those stopped, and stop in the middle of a hand-over.
    producer.put(&mut books, 20).await;
    let third = world.daemon();
    world.settled(&books).await;
    let fourth = world.daemon();
    two_owners(world).await;
    drain(third, fourth).await;
    books.check(&world.results(), &Replay::default());
    books.check_leases(&world.leases().await, &closed);
}

/// Waits until the rows name two owners: the second one has asked for a lease, or has it already.
async fn two_owners(world: &World) {
    wait_until("the rows name two owners", async || {
        let leases = world.leases().await;
        let owners: BTreeSet<_> = leases.iter().filter_map(|lease| lease.owner.as_ref()).collect();
        owners.len() == 2
    })
    .await;
}

/// SIGTERM to both at a time.
async fn drain(one: Daemon, other: Daemon) {
    one.terminate();
    other.terminate();
    assert!(one.exit().await.success() && other.exit().await.success(), "a daemon did not drain");
}
