//! The program itself, killed at any instant, drained, and asked for its shards: every event is in one
//! object.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shardwright::model::Lease;
use tempfile::TempDir;

use super::store::Store;
use crate::harness::{Books, Installed, Producer, Server, Stream, World, wait_until};

/// The daemon's sink for events.
const FILE: &str = "[sinks.delivered]\ntype = \"file\"\npath = \"{dir}/delivered\"\n\
                    maximum_batching_window = \"1s\"";
/// Small batches, of several objects each.
const BATCHES: &str = "prefix = \"{stream}/{$.logGroup}\"\nbatch_size = 7\n\
                       maximum_batching_window = \"200ms\"\n";

async fn world(sink: &str) -> World {
    let world = World::embedded().await;
    let sink = format!("[sinks.delivered]\n{sink}\n{BATCHES}");
    world.reconfigure(&world.fill(FILE), &sink);
    world.reconfigure("failover_time = \"5s\"", "failover_time = \"2s\"");
    world
}

/// Kills workers while they write, then lets one finish.
async fn killed_workers_leave_each_event_once(world: World, store: Store) {
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);
    let mut rng = StdRng::seed_from_u64(17);
    let mut went_on = 0;
    for round in 0..8 {
        producer.put(&mut books, 60).await;
        let daemon = world.daemon();
        let until = store.keys().len() + rng.random_range(1..12);
        wait_until(&format!("round {round}: some more is written"), async || {
            store.keys().len() >= until || is_once(&store.events(), &books)
        })
        .await;
        // Any instant of the cycle, which takes some milliseconds.
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..20_000))).await;
        daemon.kill();
        went_on += world.log().matches("goes on with what is prepared").count();
    }
    finish(&world, &store, &books).await;
    assert!(went_on > 0, "no worker was killed in the middle of a batch");
}

/// Lets one more worker finish, and looks at what lies there.
async fn finish(world: &World, store: &Store, books: &Books) {
    let last = world.daemon();
    let all = books.event_ids();
    wait_until("everything is written", async || {
        let events = store.events();
        all.iter().all(|id| events.contains_key(id))
    })
    .await;
    last.drain().await;
    let expect: BTreeMap<String, u32> = all.into_iter().map(|id| (id, 1)).collect();
    let events = store.events();
    let wrong: Vec<_> =
        events.iter().filter(|(id, count)| expect.get(*id) != Some(*count)).collect();
    assert!(wrong.is_empty(), "not once, or never put: {wrong:?}");
    assert_eq!(events.len(), expect.len(), "some are missing");
    books.check_leases(&world.leases().await, &[]);
    assert!(
        world.leases().await.iter().all(|lease| lease.pending.is_none()),
        "nothing is left over"
    );
}

fn is_once(events: &BTreeMap<String, u32>, books: &Books) -> bool {
    books.event_ids().iter().all(|id| events.contains_key(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_leave_each_event_in_one_file_of_a_folder() {
    let dir = TempDir::new().unwrap();
    let world = world(&folder(dir.path())).await;
    killed_workers_leave_each_event_once(world, Store::Folder(dir.path().to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_leave_each_event_in_one_object_of_s3() {
    let Some(installed) = Installed::find_all(&["moto"]) else { return };
    let dir = TempDir::new().unwrap();
    let moto = Server::moto(&installed, dir.path()).await;
    let store = Store::moto(&moto.endpoint());
    let sink =
        format!("type = \"s3\"\nbucket = \"orders\"\nendpoint_url = \"{}\"", moto.endpoint());
    killed_workers_leave_each_event_once(world(&sink).await, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_and_hand_overs_leave_each_event_once() {
    let dir = TempDir::new().unwrap();
    let world = world(&folder(dir.path())).await;
    let store = Store::Folder(dir.path().to_owned());
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 4).await;
    let mut producer = Producer::new(&stream);
    let mut daemons = vec![world.daemon()];
    for _ in 0..4 {
        producer.put(&mut books, 60).await;
        // Leases that are free would go to the newcomer without a hand-over.
        wait_until("one worker has all leases", async || {
            let leases = world.leases().await;
            let owner = leases.first().and_then(|lease| lease.owner.clone());
            let held = |lease: &Lease| lease.owner == owner && lease.checkpoint_owner.is_none();
            owner.is_some() && leases.len() == 4 && leases.iter().all(held)
        })
        .await;
        daemons.push(world.daemon());
        // The newcomer asks for its share while there is work, then the other leaves in the middle.
        producer.put(&mut books, 60).await;
        wait_until("the newcomer has its share", async || {
            world.log().contains("took over the lease")
        })
        .await;
        producer.put(&mut books, 60).await;
        daemons.remove(0).drain().await;
    }
    daemons.remove(0).drain().await;
    finish(&world, &store, &books).await;
}

fn folder(dir: &Path) -> String {
    format!("type = \"folder\"\npath = \"{}\"", dir.display())
}
