//! Java joins ours, goes through a reshard with it, takes its place, and leaves.

use shardwright::model::Lease;

use crate::{
    fleet::{Fleet, has_a_tail, of_java, of_ours, tail},
    harness::{Books, Producer, Stream, World, wait_until},
    java::Kcl,
    part::{Part, Twice},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_joins_and_leaves_a_fleet_of_ours() {
    let Some(kcl) = Kcl::find() else { return };
    let world = World::embedded().await;
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 4).await;
    let mut producer = Producer::new(&stream);

    let part = Part::begin("ours alone", &world);
    producer.put(&mut books, 60).await;
    let ours = world.daemon();
    part.end(&books, &[], Twice::Nothing).await;
    assert!(Fleet::Ours.holds(&world.leases().await));

    // As KCL 2.x does, it takes leases from their owner without asking.
    let part = Part::begin("Java joins", &world);
    let java = kcl.start(&world);
    Fleet::Both.forms(&world, &mut producer, &mut books).await;
    producer.put(&mut books, 60).await;
    part.end(&books, &[], Twice::Anything).await;

    let part = Part::begin("a shard of each is split", &world);
    let leases = world.leases().await;
    let closed = [of_ours(leases.clone()), of_java(leases)].map(|of| of[0].shard.clone());
    for shard in &closed {
        producer.put(&mut books, 30).await;
        stream.split_shard(shard).await;
    }
    producer.put(&mut books, 60).await;
    Fleet::Both.forms(&world, &mut producer, &mut books).await;
    wait_until("the leases of the ended shards are gone", async || {
        !world.leases().await.iter().any(Lease::ended)
    })
    .await;
    part.end(&books, &closed, Twice::Anything).await;

    let part = Part::begin("ours is killed", &world);
    has_a_tail(&world, &mut producer, &mut books, of_ours).await;
    ours.kill();
    let twice = tail(&world, &books, of_ours).await;
    Fleet::Java.forms(&world, &mut producer, &mut books).await;
    part.end(&books, &closed, Twice::Just(twice)).await;

    let part = Part::begin("ours joins again", &world);
    let ours = world.daemon();
    Fleet::Both.forms(&world, &mut producer, &mut books).await;
    part.end(&books, &closed, Twice::Nothing).await;

    let part = Part::begin("Java drains", &world);
    java.terminate();
    Fleet::Ours.forms(&world, &mut producer, &mut books).await;
    java.exit().await;
    part.end(&books, &closed, Twice::Nothing).await;

    ours.drain().await;
    books.check_leases(&world.leases().await, &closed);
}
