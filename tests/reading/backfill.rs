//! `until`: a run that ends by itself, and a later one that goes on where it ended.

use shardwright::{
    model::{EpochMillis, Lease},
    ports::{SystemClock, WallClock},
};

use crate::harness::{Books, Producer, Replay, Stream, World, wait_until};

const STREAM: &str = "[[streams]]\nname = \"app-logs\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_reads_up_to_a_time_and_a_later_one_goes_on() {
    backfill(2, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_by_fan_out_ends_too() {
    backfill(1, "retrieval = \"fan-out\"\n").await;
}

/// Records before a reshard, after it, and after the time: the first two are read by the first fleet,
/// the last by the second.
async fn backfill(workers: usize, retrieval: &str) {
    let world = World::embedded().await;
    let stream = Stream::create(&world.aws, 3).await;
    let mut producer = Producer::new(&stream);
    let (mut early, mut late) = (Books::default(), Books::default());
    producer.put(&mut early, 100).await;
    let closed = stream.split().await;
    producer.put(&mut early, 100).await;
    let until = next_millisecond().await;
    // Closed after the time: its records of before are read, its end is left to the later run.
    let closed_late = stream.split().await;
    producer.put(&mut late, 100).await;

    world.reconfigure(STREAM, &format!("{STREAM}{retrieval}until = \"{until}\"\n"));
    let fleet: Vec<_> = (0..workers).map(|_| world.daemon()).collect();
    for worker in fleet {
        assert!(worker.exit().await.success(), "a backfill ends well");
    }
    early.check(&world.results(), &Replay::default());
    let leases = world.leases().await;
    assert!(leases.iter().all(|lease| lease.owner.is_none()), "{leases:#?}");
    // The row of a shard that is done with is deleted once its children have begun.
    let parent = leases.iter().find(|lease| lease.shard == closed);
    assert!(parent.is_none_or(Lease::ended), "{parent:?}");

    world.reconfigure(&format!("until = \"{until}\"\n"), "");
    let later = world.daemon();
    world.settled(&late).await;
    wait_until("the closed shards are done with", async || {
        let leases = world.leases().await;
        leases.iter().filter(|lease| lease.shard == closed_late).all(Lease::ended)
    })
    .await;
    later.drain().await;
    let results = world.results();
    assert!(early.are_settled(&results) && late.are_settled(&results));
    let mut counts = results.delivered.values().chain(results.parked.values());
    assert!(counts.all(|count| *count == 1), "something came out twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_is_the_time_of_the_start() {
    let world = World::embedded().await;
    let stream = Stream::create(&world.aws, 2).await;
    let mut books = Books::default();
    Producer::new(&stream).put(&mut books, 50).await;
    world.reconfigure(STREAM, &format!("{STREAM}until = \"LATEST\"\n"));
    // Again there is nothing to do, and nothing is done.
    for _ in 0..2 {
        assert!(world.daemon().exit().await.success());
        books.check(&world.results(), &Replay::default());
        books.check_leases(&world.leases().await, &[]);
    }
}

/// A time after everything that was put so far.
async fn next_millisecond() -> EpochMillis {
    let now = SystemClock.now();
    wait_until("a millisecond passes", async || SystemClock.now() > now).await;
    EpochMillis(now.0 + 1)
}
