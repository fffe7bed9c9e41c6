//! Streams that are read by enhanced fan-out.

use serde_json::json;
use shardwright::embedded::kinesis::{
    FaultKind, FaultRule, Operation, StreamFault, StreamFaultKind,
};

use crate::{
    fleet::through_split_merge_and_drain,
    harness::{Books, Installed, Producer, Replay, Stream, World, wait_until},
};

/// Reads by fan-out from the next daemon on.
fn by_fan_out(world: &World) {
    world.reconfigure("name = \"app-logs\"", "name = \"app-logs\"\nretrieval = \"fan-out\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_by_fan_out_on_the_embedded_server() {
    let world = World::embedded().await;
    by_fan_out(&world);
    through_split_merge_and_drain(&world).await;
    // Leases have moved and shards have ended: all that is everyday life.
    assert!(!world.log().contains("subscri"), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_by_fan_out_on_kinesis_local() {
    let Some(installed) = Installed::find() else { return };
    let world = World::kinesis_local_and_dynoxide(&installed).await;
    by_fan_out(&world);
    through_split_merge_and_drain(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_streams_and_hidden_ends_lose_nothing_and_repeat_nothing() {
    let world = World::embedded().await;
    by_fan_out(&world);
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);
    producer.put(&mut books, 60).await;
    let fault = |fault| {
        let rule = FaultRule::on(Operation::SubscribeToShard, FaultKind::Stream(fault));
        world.kinesis().faults().add(rule.times(1))
    };
    // The first subscriptions of both shards break after some records, the next ones bring nothing.
    let begun = [
        fault(StreamFault::after(1, StreamFaultKind::Cut)),
        fault(StreamFault::after(1, StreamFaultKind::Fail("InternalFailureException"))),
        fault(StreamFault::after(0, StreamFaultKind::End)),
        fault(StreamFault::after(0, StreamFaultKind::Cut)),
    ];
    let daemon = world.daemon();
    wait_until("each fault was met", async || {
        producer.put(&mut books, 2).await;
        begun.iter().all(|id| world.kinesis().faults().fired(*id) == 1)
    })
    .await;
    world.settled(&books).await;
    daemon.drain().await;

    // As LocalStack does at the end of a shard: the connection breaks.
    fault(StreamFault::at_end(StreamFaultKind::Cut));
    fault(StreamFault::at_end(StreamFaultKind::Cut));
    let daemon = world.daemon();
    producer.put(&mut books, 20).await;
    let merged = stream.merge().await;
    producer.put(&mut books, 20).await;
    world.settled(&books).await;
    daemon.drain().await;
    books.check(&world.results(), &Replay::default());
    books.check_leases(&world.leases().await, &merged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_and_fan_out_go_on_where_the_other_has_stopped() {
    by_turns(&World::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_ministack() {
    let Some(installed) = Installed::find_all(&["ministack"]) else { return };
    by_turns(&World::ministack_and_dynoxide(&installed).await).await;
}

/// Polling, fan-out with a split, polling again: everything once.
async fn by_turns(world: &World) {
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);
    producer.put(&mut books, 40).await;
    let polling = world.daemon();
    world.settled(&books).await;
    polling.drain().await;

    by_fan_out(world);
    producer.put(&mut books, 40).await;
    let pushed = world.daemon();
    world.settled(&books).await;
    let split = stream.split().await;
    producer.put(&mut books, 40).await;
    world.settled(&books).await;
    pushed.drain().await;

    world.reconfigure("fan-out", "polling");
    producer.put(&mut books, 40).await;
    let polling = world.daemon();
    world.settled(&books).await;
    polling.drain().await;
    books.check(&world.results(), &Replay::default());
    books.check_leases(&world.leases().await, &[split]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_renewed_when_its_five_minutes_are_over() {
    let Some(installed) = Installed::find() else { return };
    let world = World::kinesis_local_and_dynoxide(&installed).await;
    by_fan_out(&world);
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);
    producer.put(&mut books, 40).await;
    let daemon = world.daemon();
    world.settled(&books).await;
    for _ in 0..2 {
        world.servers()[0].pass_five_minutes().await;
        producer.put(&mut books, 40).await;
        world.settled(&books).await;
    }
    daemon.drain().await;
    books.check(&world.results(), &Replay::default());
    books.check_leases(&world.leases().await, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_worker_deregisters_the_consumer() {
    let world = World::embedded().await;
    world.reconfigure(
        "name = \"app-logs\"",
        "name = \"app-logs\"\nretrieval = \"fan-out\"\nconsumer_name = \"reader\"\nderegister_on_exit = true",
    );
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    Producer::new(&stream).put(&mut books, 20).await;
    let consumers = || {
        let request = json!({"StreamARN": stream.arn});
        let answer = world.kinesis().call(Operation::ListStreamConsumers, &request).unwrap();
        let consumers = answer["Consumers"].as_array().unwrap();
        let name = |one: &serde_json::Value| one["ConsumerName"].as_str().unwrap().to_owned();
        consumers.iter().map(name).collect::<Vec<_>>()
    };
    let first = world.daemon();
    world.settled(&books).await;
    let second = world.daemon();
    wait_until("both own a shard", async || {
        let leases = world.leases().await;
        let owners = leases.iter().filter_map(|lease| lease.owner.as_ref());
        let owners: std::collections::BTreeSet<_> = owners.collect();
        owners.len() == 2 && leases.iter().all(|lease| lease.checkpoint_owner.is_none())
    })
    .await;
    first.drain().await;
    assert_eq!(consumers(), ["reader"]);
    second.drain().await;
    assert_eq!(consumers(), [] as [&str; 0]);
}
