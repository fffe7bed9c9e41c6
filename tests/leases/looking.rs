//! `list` and `show`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use shardwright::model::{HashKeyRange, Lease, LeaseKey, ShardId, WorkerId};

use crate::world::{HOUR, World, lease, shard_id};

const HALF: u128 = u128::MAX / 2;

/// The leases of a stream of two shards that was split once more.
async fn a_table_in_motion(world: &World) {
    let range = |start: u128, end: u128| HashKeyRange::parse(&start.to_string(), &end.to_string());
    let parent = lease(0, Some("worker-a"), "TRIM_HORIZON");
    world.create(Lease { hash_range: range(0, HALF), ..parent }).await;
    let mut handed = lease(1, Some("worker-b"), "LATEST");
    handed.checkpoint_owner = Some(WorkerId::new("worker-a"));
    world.create(Lease { hash_range: range(HALF + 1, u128::MAX), ..handed }).await;
    let child =
        Lease { parents: vec![ShardId::new(shard_id(0))], ..lease(2, None, "TRIM_HORIZON") };
    world.create(Lease { hash_range: range(0, HALF / 2), counter: 0, ..child }).await;
    world
        .create(Lease { children: vec![ShardId::new(shard_id(9))], ..lease(8, None, "SHARD_END") })
        .await;
    world.create(Lease { hash_range: range(0, 9), ..lease(9, None, "LATEST") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_what_every_lease_is_doing() {
    let world = World::start(2).await;
    a_table_in_motion(&world).await;
    let seen = world.leases(&["list"]).await;
    assert_eq!(
        seen.out,
        "\
SHARD                 STATE                OWNER                CHECKPOINT    COUNTER  SWITCHES
shardId-000000000000  owned                worker-a             TRIM_HORIZON  5        0
shardId-000000000001  handing over         worker-a → worker-b  LATEST        5        0
shardId-000000000002  waiting for parents  -                    TRIM_HORIZON  0        0
shardId-000000000008  ended                -                    SHARD_END     5        0
shardId-000000000009  unowned              -                    LATEST        5        0
"
    );
    assert_eq!(
        seen.err,
        "5 leases in table orders: 2 owned by 1 worker (worker-a 2), 1 ended, 1 unowned, 1 waiting for \
         parents\n"
    );
    assert_eq!(seen.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_for_programs_has_every_attribute() {
    let world = World::start(1).await;
    world.advance(HOUR);
    let done = world.put("done");
    world.advance(HOUR);
    world.put("first unread");
    world.put("second unread");
    world.advance(2 * HOUR);
    world.create(lease(0, None, &format!("{done}:0"))).await;
    add_attribute(&world, "throughputKBps", AttributeValue::N("12.5".to_owned())).await;

    let seen = world.leases(&["list", "--json", "--lag"]).await;
    let line: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(line["stream"], "app-logs");
    assert_eq!((&line["shard"], &line["state"]), (&json!(shard_id(0)), &json!("unowned")));
    assert_eq!((&line["owner"], &line["counter"]), (&Value::Null, &json!(5)));
    assert_eq!((&line["checkpoint"], &line["sub_sequence"]), (&json!(done), &json!(0)));
    assert_eq!(line["attributes"]["throughputKBps"], 12.5);
    assert_eq!(line["attributes"]["leaseCounter"], 5);
    assert_eq!(line["millis_behind_latest"], 2 * 3_600_000);
    assert_eq!(seen.code, 0, "{seen:?}");

    let seen = world.leases(&["list", "--lag"]).await;
    assert!(seen.out.lines().nth(1).unwrap().ends_with("  2h"), "{}", seen.out);
}

async fn add_attribute(world: &World, name: &str, value: AttributeValue) {
    let endpoint = world.dynamodb_endpoint();
    let config = aws_sdk_dynamodb::config::Builder::from(world.aws.sdk_config());
    let client = aws_sdk_dynamodb::Client::from_conf(config.endpoint_url(endpoint).build());
    let key = AttributeValue::S(shard_id(0));
    let update = client.update_item().table_name("orders").key("leaseKey", key);
    update
        .update_expression("SET #name = :value")
        .set_expression_attribute_names(Some(HashMap::from([(
            "#name".to_owned(),
            name.to_owned(),
        )])))
        .expression_attribute_values(":value", value)
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_found_by_scripts() {
    let world = World::start(1).await;
    let seen = world.leases(&["list"]).await;
    assert_eq!((seen.code, &*seen.out), (1, ""));
    assert!(seen.err.contains("app-logs: the table has no lease of this stream"), "{}", seen.err);

    let half = HashKeyRange::parse("0", &HALF.to_string());
    world.create(Lease { hash_range: half, ..lease(0, None, "LATEST") }).await;
    let seen = world.leases(&["list"]).await;
    assert_eq!(seen.code, 1);
    assert!(
        seen.err.contains("no lease covers the hash keys") && seen.err.contains("(50.0 %)"),
        "{}",
        seen.err
    );

    add_attribute(&world, "checkpoint", AttributeValue::S("yesterday".to_owned())).await;
    let seen = world.leases(&["list"]).await;
    assert_eq!(seen.code, 1);
    assert!(seen.err.contains("\"yesterday\" is not a checkpoint"), "{}", seen.err);
    let seen = world.leases(&["show", &shard_id(0)]).await;
    assert_eq!(seen.code, 1);
    assert!(seen.err.contains("mend the attribute"), "{}", seen.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_a_missing_table_are_told_apart() {
    let world = World::start(1).await;
    let unknown = world.leases(&["list", "--stream", "nowhere"]).await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("has no stream nowhere; it has: app-logs"), "{}", unknown.err);
    assert_eq!(world.leases(&["move", &shard_id(0), "--to", "yesterday"]).await.code, 2);
    assert_eq!(world.leases(&["release"]).await.code, 2);
    assert_eq!(world.leases(&["list", "--config", "/nowhere.toml"]).await.code, 2);

    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), text.replace("\"orders\"", "\"invoices\"")).unwrap();
    let seen = world.leases(&["list"]).await;
    assert_eq!(seen.code, 1);
    assert!(seen.err.contains("there is no table invoices"), "{}", seen.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_tells_a_dead_owner_from_a_living_one() {
    let world = World::start(2).await;
    world.create(lease(0, Some("living"), "TRIM_HORIZON")).await;
    world.create(lease(1, Some("dead"), "TRIM_HORIZON")).await;
    let _renewing = world.renewing(0, "living");
    let seen = world.leases(&["list", "--live"]).await;
    let states: Vec<&str> =
        seen.out.lines().skip(1).filter_map(|line| line.get(22..34)).map(str::trim).collect();
    assert_eq!(states, ["owned", "dead owner"], "{}", seen.out);
    assert!(seen.err.contains("dead has renewed none of its 1 lease for 2s"), "{}", seen.err);
    assert_eq!(seen.code, 1);

    let living = world.leases(&["show", &shard_id(0), "--live"]).await;
    assert!(living.out.contains("owned, renewed just now"), "{}", living.out);
    assert_eq!(living.code, 0, "{living:?}");
    let dead = world.leases(&["show", &shard_id(1), "--live"]).await;
    assert!(dead.out.contains("dead owner"), "{}", dead.out);
    assert_eq!(dead.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_everything_about_one_lease() {
    let world = World::start(1).await;
    world.advance(HOUR);
    let aggregate = world.put_aggregate(&["one", "two", "three"]);
    world.advance(HOUR);
    world.split();
    world.create(lease(0, None, &format!("{aggregate}:0"))).await;
    let child =
        Lease { parents: vec![ShardId::new(shard_id(0))], ..lease(1, None, "TRIM_HORIZON") };
    world.create(child).await;
    let mut parent = world.row(0).await.unwrap();
    assert!(world.leases_delete(&parent).await);
    parent.children = vec![ShardId::new(shard_id(1)), ShardId::new(shard_id(2))];
    world.create(parent).await;
    add_attribute(&world, "throughputKBps", AttributeValue::N("12.5".to_owned())).await;

    let seen = world.leases(&["show", &shard_id(0)]).await;
    for part in [
        "app-logs shardId-000000000000",
        "state        unowned",
        &format!("checkpoint   {aggregate}:0"),
        &format!("first unread record {aggregate}:1, arrived 20"),
        "child        shardId-000000000001: waiting for parents, TRIM_HORIZON",
        "child        shardId-000000000002: no lease",
        "stream says  closed, the same hash keys",
        "throughputKBps = 12.5",
    ] {
        assert!(seen.out.contains(part), "{part:?} is not in\n{}", seen.out);
    }
    assert_eq!(seen.code, 0, "{seen:?}");
    let absent = world.leases(&["show", "shardId-7"]).await;
    assert_eq!(absent.code, 1);
    assert!(absent.err.contains("has no lease of shardId-7"), "{}", absent.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_several_streams_are_told_apart() {
    let world = World::start(1).await;
    world.create_stream("audit", 1);
    world.with_streams(&["app-logs", "audit"]);
    for name in ["app-logs", "audit"] {
        let identifier = format!("000000000000:{name}:1700000000");
        let key = LeaseKey::new(format!("{identifier}:{}", shard_id(0)));
        let stream = Some(identifier.as_str().into());
        world.create(Lease { key, stream, ..lease(0, Some("a"), "TRIM_HORIZON") }).await;
    }
    let all = world.leases(&["list"]).await;
    assert!(all.out.starts_with("STREAM    SHARD  "), "{}", all.out);
    assert_eq!((all.out.lines().count(), all.code), (3, 0), "{all:?}");
    let one = world.leases(&["list", "--stream", "audit", "--wide", "--lag"]).await;
    assert_eq!(one.out.lines().count(), 2, "{}", one.out);
    assert!(one.out.contains("\naudit "), "{}", one.out);

    let which = world.leases(&["show", &shard_id(0)]).await;
    assert_eq!(which.code, 2);
    assert!(which.err.contains("--stream NAME"), "{}", which.err);
    let named = world.leases(&["show", &shard_id(0), "--stream", "audit"]).await;
    assert!(named.out.starts_with("audit shardId-"), "{named:?}");
    let keyed = "000000000000:app-logs:1700000000:shardId-000000000000";
    let keyed = world.leases(&["show", keyed]).await;
    assert!(keyed.out.starts_with("app-logs shardId-"), "{keyed:?}");
}
