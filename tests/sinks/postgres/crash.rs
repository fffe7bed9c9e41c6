//! The program itself, killed at any instant: every event is in the table, once.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::server::Database;
use crate::harness::{Books, Producer, Stream, World, lines, wait_until};

/// The daemon's sink for events.
const FILE: &str = "[sinks.delivered]\ntype = \"file\"\npath = \"{dir}/delivered\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_leave_every_event_in_the_table_once() {
    let Some(database) = Database::start().await else { return };
    // No key and no constraint: what is written twice is there twice.
    database.run("CREATE TABLE events (id text, message text, at timestamptz)").await;
    let world = World::embedded().await;
    let sink = format!(
        "[sinks.delivered]\ntype = \"postgres\"\nurl = \"{}\"\ntable = \"events\"\n\
         columns = {{ id = \"$.id\", message = \"$.message\", at = \"$.timestamp\" }}\n\
         batch_size = 7\n",
        database.url()
    );
    world.reconfigure(&world.fill(FILE), &sink);
    world.reconfigure("failover_time = \"5s\"", "failover_time = \"2s\"");
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);
    let mut rng = StdRng::seed_from_u64(11);
    let count = async || database.rows("SELECT count(*) FROM events").await[0].parse().unwrap();
    for round in 0..6 {
        producer.put(&mut books, 60).await;
        let daemon = world.daemon();
        let before: u64 = count().await;
        let until = before + rng.random_range(1..100);
        let all = books.event_ids().len() as u64;
        wait_until(&format!("round {round}: some more is written"), async || {
            count().await >= until.min(all)
        })
        .await;
        daemon.kill();
    }
    let last = world.daemon();
    let all = books.event_ids();
    wait_until("everything is written or a dead letter", async || {
        let known = database.rows("SELECT DISTINCT id FROM events").await.len();
        known + refused(&world).len() >= all.len()
    })
    .await;
    last.drain().await;
    // PostgreSQL takes no text with a NUL: such events are dead letters, whatever was killed when.
    let refused = refused(&world);
    assert!(!refused.is_empty(), "some messages hold a NUL");
    let mut written = database.rows("SELECT id FROM events").await;
    written.sort_unstable();
    let expect: Vec<_> = all.into_iter().filter(|id| !refused.contains(id)).collect();
    assert_eq!(written.len(), expect.len(), "rows in the table, and events that belong there");
    assert_eq!(written, expect);
    books.check_leases(&world.leases().await, &[]);
}

/// The ids of the events that the sink refused, from the dead letters.
fn refused(world: &World) -> BTreeSet<String> {
    let letters = lines(&world.dir().join("parked"));
    let id = |letter: &serde_json::Value| letter["event"]["id"].as_str().map(str::to_owned);
    letters.iter().filter(|letter| letter["stage"] == "deliver").filter_map(id).collect()
}
