//! `move`.

use std::collections::BTreeMap;

use shardwright::model::{Lease, ShardId};

use crate::world::{HOUR, World, lease, shard_id, time, wait_until};

/// A shard with a record each hour, all of them read, and the time of the second.
async fn three_hours(world: &World) -> (String, [String; 3]) {
    world.advance(HOUR);
    let first = world.put("first");
    world.advance(HOUR);
    let second_at = time(world);
    let second = world.put_aggregate(&["second", "with it"]);
    world.advance(HOUR);
    let third = world.put("third");
    world.advance(HOUR);
    world.create(lease(0, None, &format!("{third}:0"))).await;
    (second_at, [first, second, third])
}

fn counts(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_begins_with_the_record_of_that_very_moment() {
    let world = World::start(1).await;
    let (second_at, [first, ..]) = three_hours(&world).await;
    let moved = world.leases(&["move", &shard_id(0), "--to", &second_at, "--yes"]).await;
    assert_eq!(moved.code, 0, "{moved:?}");
    assert!(moved.out.contains("delivers records again"), "{}", moved.out);
    assert!(moved.out.contains(&second_at), "says from when: {}", moved.out);
    assert_eq!(world.checkpoint(0).await, format!("{first}:0"));

    let worker = world.worker();
    wait_until("all is read", async || world.delivered().len() >= 3).await;
    worker.drain().await;
    assert_eq!(world.delivered(), counts(&[("second", 1), ("with it", 1), ("third", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_position_stands_for_one_checkpoint() {
    let world = World::start(1).await;
    let (second_at, [first, second, third]) = three_hours(&world).await;
    let to = async |position: &str| {
        let args = ["move", &shard_id(0), "--to", position, "--yes", "--force"];
        let seen = world.leases(&args).await;
        assert_eq!(seen.code, 0, "{position}: {seen:?}");
        world.checkpoint(0).await
    };
    assert_eq!(to("TRIM_HORIZON").await, "TRIM_HORIZON");
    assert_eq!(to("90m ago").await, format!("{second}:1"), "the whole aggregate is before it");
    assert_eq!(to("30m ago").await, format!("{third}:0"), "nothing came since");
    assert_eq!(to("100h ago").await, "TRIM_HORIZON");
    assert_eq!(to(&format!("at:{third}")).await, format!("{second}:1"));
    assert_eq!(to(&format!("at:{second}")).await, format!("{first}:0"));
    assert_eq!(to(&format!("at:{first}")).await, "TRIM_HORIZON");
    assert_eq!(to(&format!("{second}:0")).await, format!("{second}:0"));
    assert_eq!(to("LATEST").await, "LATEST");
    assert_eq!(to("now").await, format!("{third}:0"));
    assert_eq!(to(&second_at).await, format!("{first}:0"));

    for (wrong, why) in [
        (format!("{second}:2"), "its last one is 1"),
        (format!("at:{}", "7".repeat(56)), "not a sequence number of this shard"),
    ] {
        let seen = world.leases(&["move", &shard_id(0), "--to", &wrong, "--yes", "--force"]).await;
        assert_eq!(seen.code, 1, "{seen:?}");
        assert!(seen.err.contains(why), "{}", seen.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_skipped_only_by_force_and_are_named() {
    let world = World::start(1).await;
    let (_, [first, second, third]) = three_hours(&world).await;
    let back = ["move", &shard_id(0), "--to", &format!("{first}:0"), "--yes"];
    assert_eq!(world.leases(&back).await.code, 0);

    let forward = ["move", &shard_id(0), "--to", &format!("{second}:1"), "--yes"];
    let refused = world.leases(&forward).await;
    assert_eq!(refused.code, 1);
    let lost = format!("loses records, which nobody will read: from {second}:0, arrived 20");
    assert!(refused.err.contains(&lost), "{}", refused.err);
    assert!(refused.err.contains(&format!("up to {third}:0")), "{}", refused.err);
    assert_eq!(world.checkpoint(0).await, format!("{first}:0"));

    let dry = world.leases(&["move", &shard_id(0), "--to", "LATEST", "--dry-run"]).await;
    assert!(dry.code == 1 && dry.out.contains("⇒  LATEST"), "{dry:?}");
    let forced = world.leases(&[&forward[..], &["--force"]].concat()).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(forced.err.contains("forced, although: loses records"), "{}", forced.err);
    assert_eq!(world.checkpoint(0).await, format!("{second}:1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_goes_on_from_the_new_position_when_forced() {
    let world = World::start(1).await;
    world.put("one");
    world.put("two");
    let worker = world.worker();
    wait_until("all is read", async || world.delivered().len() == 2).await;
    let to = ["move", "--all", "--to", "TRIM_HORIZON", "--yes"];
    let refused = world.leases(&to).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("is alive"), "{}", refused.err);
    let forced = world.leases(&[&to[..], &["--force"]].concat()).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    let twice = counts(&[("one", 2), ("two", 2)]);
    wait_until("all is read again", async || world.delivered() == twice).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_shard_is_given_up_only_when_its_children_have_leases() {
    let world = World::start(1).await;
    world.put("poison");
    world.create(lease(0, None, "TRIM_HORIZON")).await;
    let end = ["move", &shard_id(0), "--to", "SHARD_END", "--yes", "--force"];
    let open = world.leases(&end).await;
    assert_eq!(open.code, 1);
    assert!(open.err.contains("the shard is open") && !open.err.contains("--force"), "{open:?}");

    world.split();
    let child = |number| Lease {
        parents: vec![ShardId::new(shard_id(0))],
        ..lease(number, None, "TRIM_HORIZON")
    };
    world.create(child(1)).await;
    let orphaned = world.leases(&end).await;
    assert_eq!(orphaned.code, 1);
    assert!(orphaned.err.contains("its child shardId-000000000002 has no lease"), "{orphaned:?}");

    world.create(child(2)).await;
    let unforced = world.leases(&end[..5]).await;
    assert!(
        unforced.code == 1 && unforced.err.contains("up to the end of the shard"),
        "{unforced:?}"
    );
    let given_up = world.leases(&end).await;
    assert_eq!(given_up.code, 0, "{given_up:?}");
    let row = world.row(0).await.unwrap();
    assert!(row.ended());
    assert_eq!(row.children, [ShardId::new(shard_id(1)), ShardId::new(shard_id(2))]);
    let list = world.leases(&["list"]).await;
    assert!(!list.out.contains("waiting for parents"), "{}", list.out);
}
