//! The program itself, killed at many instants.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use super::{Again, Counterpart};
use crate::harness::{Books, Producer, Results, Stream, World, lines, wait_until};

const ROUNDS: u32 = 6;
/// The daemon's sink for events, which is replaced.
const FILE: &str = "[sinks.delivered]\ntype = \"file\"\npath = \"{dir}/delivered\"\n";

/// Kills a worker again and again. Every event must come out; a second time only if it was beyond the
/// checkpoint when a worker was killed, and not at all if the sink knows it again.
pub(crate) async fn killed<C: Counterpart>() {
    let Some(mut counterpart) = C::start().await else { return };
    let world = World::embedded().await;
    let sink = format!("[sinks.delivered]\n{}\nbatch_size = 7\n", counterpart.config());
    world.reconfigure(&world.fill(FILE), &sink);
    world.reconfigure("failover_time = \"5s\"", "failover_time = \"2s\"");
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 2).await;
    let mut producer = Producer::new(&stream);
    let mut rng = StdRng::seed_from_u64(11);
    // How often each event may be there.
    let mut most: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..ROUNDS {
        producer.put(&mut books, 60).await;
        let before = counts(&mut counterpart).await;
        let daemon = counterpart.daemon(&world);
        let wanted = before.len() + rng.random_range(1..100);
        let all = books.event_ids().len();
        wait_until(&format!("round {round}: some more is there"), async || {
            let there = counts(&mut counterpart).await.len();
            there >= wanted || there + parked(&world).len() >= all
        })
        .await;
        daemon.kill();
        // Nobody is alive who could write: this is where the next worker begins.
        let delivered = books.event_ids().into_iter().map(|id| (id, 1)).collect();
        let all = Results { delivered, ..Results::default() };
        for id in books.beyond(&world.leases().await, &all).delivered {
            *most.entry(id).or_insert(1) += 1;
        }
    }
    let last = counterpart.daemon(&world);
    let all = books.event_ids();
    wait_until("everything is there, or a dead letter", async || {
        let (there, letters) = (counts(&mut counterpart).await, parked(&world));
        all.iter().all(|id| there.contains_key(id) || letters.contains_key(id))
    })
    .await;
    // The one before may have finished all of it; a drain is about the leases that are held.
    wait_until("the last one holds both leases, at their ends", async || {
        world.log().matches("\"took the lease").count() == 2
            && books.behind(&world.leases().await, &[]).is_empty()
    })
    .await;
    last.drain().await;
    let (there, letters) = (counts(&mut counterpart).await, parked(&world));
    for id in &all {
        let most = match C::PROMISE.knows_again {
            Again::No => *most.get(id).unwrap_or(&1),
            Again::Event | Again::Batch => 1,
        };
        let found = *there.get(id).unwrap_or(&0);
        let refused = letters.contains_key(id);
        assert!(found <= most, "{id} is there {found} times, at most {most} may be");
        assert_eq!(found == 0, refused, "{id} is there {found} times, dead letter: {refused}");
    }
    assert_eq!(there.keys().filter(|id| !all.contains(id)).count(), 0, "what nobody has put");
    books.check_leases(&world.leases().await, &[]);
}

async fn counts<C: Counterpart>(counterpart: &mut C) -> BTreeMap<String, u32> {
    let stored = counterpart.stored().await;
    count(stored.iter().filter_map(|document| document["id"].as_str()))
}

/// The events that the sink refused, from the dead letters.
fn parked(world: &World) -> BTreeMap<String, u32> {
    let letters = lines(&world.dir().join("parked"));
    let of_sinks = letters.iter().filter(|letter| letter["stage"] == "deliver");
    count(of_sinks.filter_map(|letter: &Value| letter["event"]["id"].as_str()))
}

fn count<'i>(ids: impl Iterator<Item = &'i str>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id.to_owned()).or_default() += 1;
    }
    counts
}
