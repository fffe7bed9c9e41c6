//! Streams that change their shape while nobody works.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shardwright::model::EpochMillis;
use tokio::time::sleep;

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    schedule::simulate,
    stream::Place,
};

/// Each open shard gets a record that often,
const EVERY: Duration = Duration::from_millis(200);
/// of so many members in the mean, or fewer.
const MEMBERS: u128 = 2;

/// A fleet that was killed, and a stream that has gone through a dozen changes since.
async fn came_back(seed: u64) -> Calm {
    let mut calm = Calm::new(Setup::new(seed), 3, Some(EVERY));
    calm.settled(2).await;
    for number in 0..2 {
        calm.fleet.crash(number).await;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..12 {
        sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
        let mut state = calm.world.lock();
        if rng.random_bool(0.5) { state.split() } else { state.merge() }
    }
    calm
}

#[test]
fn generations_of_shards_are_read_in_order_after_the_fleet_was_down() {
    for seed in 0..10 {
        simulate(async {
            let mut calm = came_back(seed).await;
            calm.fleet.join();
            calm.fleet.join();
            calm.until("one lease for each open shard", |calm| {
                let state = calm.world.lock();
                let places: Vec<Place> = state.table.rows.values().map(Place::of).collect();
                places == state.stream.open_shards()
            })
            .await;
            calm.finish().await;
            // A kill repeats what was delivered since the last renewal, and nothing else is repeated.
            let since_renewal = params().renew_interval() + Duration::from_secs(1);
            let most = 3 * since_renewal.as_millis() / EVERY.as_millis() * MEMBERS;
            assert!(u128::from(calm.duplicates()) <= most, "{} duplicates", calm.duplicates());
        });
    }
}

#[test]
fn what_was_trimmed_while_the_fleet_was_down_is_lost_and_all_the_rest_is_read() {
    for seed in 0..10 {
        simulate(async {
            let mut calm = came_back(seed).await;
            {
                let mut state = calm.world.lock();
                let horizon = EpochMillis(state.now().0 - 5_000);
                state.trim(horizon);
            }
            calm.fleet.join();
            calm.fleet.join();
            calm.finish().await;
            let lost = calm.fleet.losses();
            assert!(lost > 0, "the shards that were being read are gone, and nobody said so");
        });
    }
}
