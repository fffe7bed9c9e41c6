//! A daemon that is killed in the middle of its work.

use shardwright::model::Checkpoint;

use crate::harness::{Books, Installed, Producer, Stream, World, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_daemon_loses_nothing_and_repeats_what_was_beyond_its_checkpoint() {
    let Some(installed) = Installed::find() else { return };
    kill_and_start_again(&World::kinesis_local_and_dynoxide(&installed).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_the_embedded_servers() {
    kill_and_start_again(&World::embedded().await).await;
}

async fn kill_and_start_again(world: &World) {
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);

    // Events wait for their batch, dead letters do not: what is done lies on both sides of what is
    // not.
    let first = world.daemon();
    wait_until("something was checkpointed and more was delivered", async || {
        producer.put(&mut books, 10).await;
        let leases = world.leases().await;
        let begun = |checkpoint: &Checkpoint| matches!(checkpoint, Checkpoint::After(_));
        leases.iter().any(|lease| begun(&lease.checkpoint))
            && !books.beyond(&leases, &world.results()).is_empty()
    })
    .await;
    first.kill();

    let before = world.results();
    producer.put(&mut books, 30).await;
    // Nobody is alive who could write: this is where the next worker begins.
    let twice = books.beyond(&world.leases().await, &before);

    let second = world.daemon();
    world.settled(&books).await;
    second.drain().await;
    books.check(&world.results(), &twice);
    books.check_leases(&world.leases().await, &[]);
}
