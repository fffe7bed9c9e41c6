//! `release` and `delete`.

use shardwright::model::{HashKeyRange, Lease, ShardId};

use crate::world::{World, lease, shard_id, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_owner_loses_its_lease_and_a_living_one_keeps_it() {
    let world = World::start(1).await;
    world.create(lease(0, Some("worker-a"), "TRIM_HORIZON")).await;
    let renewing = world.renewing(0, "worker-a");
    let refused = world.leases(&["release", &shard_id(0), "--yes"]).await;
    assert_eq!((refused.code, &*refused.out), (1, ""), "{refused:?}");
    assert!(refused.err.contains("refused: its owner worker-a is alive"), "{}", refused.err);
    assert!(world.row(0).await.unwrap().owner.is_some());

    drop(renewing);
    let counter = world.row(0).await.unwrap().counter;
    let released = world.leases(&["release", &shard_id(0), "--yes"]).await;
    assert_eq!(released.code, 0, "{released:?}");
    assert!(released.out.contains("owner        worker-a  ⇒  -"), "{}", released.out);
    assert!(released.out.contains("duplicates, no loss"), "{}", released.out);
    let row = world.row(0).await.unwrap();
    assert_eq!((row.holder(), row.counter), (None, counter + 1));

    let again = world.leases(&["release", &shard_id(0), "--yes"]).await;
    assert_eq!((again.code, &*again.err), (0, "nothing to do\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn force_takes_the_lease_from_a_worker_that_lives() {
    let world = World::start(1).await;
    world.put("before");
    let worker = world.worker();
    wait_until("it reads", async || world.delivered().len() == 1).await;
    let counter = world.row(0).await.unwrap().counter;
    let forced = world.leases(&["release", "--all", "--force", "--yes"]).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(forced.out.contains("it goes on until its next renewal"), "{}", forced.out);
    // It is the only worker, so it comes back for it.
    wait_until("it has the lease again", async || {
        let row = world.row(0).await.unwrap();
        row.owner.is_some() && row.counter > counter + 1
    })
    .await;
    world.put("after");
    wait_until("it reads on", async || world.delivered().contains_key("after")).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_leases_of_a_worker_are_released_together() {
    let world = World::start(3).await;
    world.create(lease(0, Some("gone"), "TRIM_HORIZON")).await;
    world.create(lease(1, Some("gone"), "TRIM_HORIZON")).await;
    world.create(lease(2, Some("other"), "TRIM_HORIZON")).await;
    let dry = world.leases(&["release", "--owner", "gone", "--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.err.contains("nothing was written"), "{}", dry.err);
    assert!(world.row(0).await.unwrap().owner.is_some());

    let silent = world.leases(&["release", "--owner", "gone"]).await;
    assert_eq!(silent.code, 2, "nobody can be asked: {silent:?}");
    let done = world.leases(&["release", "--owner", "gone", "--yes"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let owners = [world.row(0).await, world.row(1).await, world.row(2).await]
        .map(|row| row.unwrap().owner.map(|owner| owner.to_string()));
    assert_eq!(owners, [None, None, Some("other".to_owned())]);
    assert_eq!(world.leases(&["release", "--owner", "nobody", "--yes"]).await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_lease_is_deleted_once_its_children_have_started() {
    let world = World::start(1).await;
    world.split();
    let half = (u128::MAX / 2).to_string();
    let parent = vec![ShardId::new(shard_id(0))];
    world.create(lease(0, None, "SHARD_END")).await;
    let low = HashKeyRange::parse("0", &((u128::MAX / 2) - 1).to_string());
    let high = HashKeyRange::parse(&half, &u128::MAX.to_string());
    let one = Lease { parents: parent.clone(), hash_range: low, ..lease(1, Some("a"), "77") };
    let two = Lease { parents: parent, hash_range: high, ..lease(2, None, "TRIM_HORIZON") };
    world.create(one).await;
    world.create(two.clone()).await;

    let early = world.leases(&["delete", &shard_id(0), "--yes"]).await;
    assert_eq!(early.code, 1);
    assert!(early.err.contains("its child shardId-000000000002 has not started"), "{}", early.err);
    assert!(world.row(0).await.is_some());

    assert!(world.leases_delete(&two).await);
    let started = lease(2, None, "88");
    world.create(Lease { parents: two.parents, hash_range: two.hash_range, ..started }).await;
    let done = world.leases(&["delete", &shard_id(0), "--yes"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("it is not created again"), "{}", done.out);
    assert_eq!(world.row(0).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_needed_is_deleted_by_force_only_and_comes_back_as_was_said() {
    let world = World::start(1).await;
    let done = world.put("read long ago");
    world.create(lease(0, None, &format!("{done}:0"))).await;
    let refused = world.leases(&["delete", &shard_id(0), "--yes"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("its checkpoint would be lost"), "{}", refused.err);

    let forced = world.leases(&["delete", &shard_id(0), "--yes", "--force"]).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    let says = "creates, within seconds: shardId-000000000000 at TRIM_HORIZON";
    assert!(forced.out.contains(says), "{}", forced.out);
    let worker = world.worker();
    wait_until("it is read again", async || world.delivered().contains_key("read long ago")).await;
    worker.drain().await;
}
