//! Shards that are read from `LATEST`: from when somebody first had their lease, whoever reads them.

use std::time::Duration;

use shardwright::model::InitialPosition;
use tokio::time::{Instant, sleep};

use crate::{
    by_hand::place,
    calm::Calm,
    fleet::{Setup, params},
    schedule::simulate,
    world::Port,
};

/// A fleet that begins at `LATEST`, on so many shards that nobody writes to.
fn idle(seed: u64, shards: u128) -> Calm {
    let calm = Calm::new(Setup::new(seed), shards, None);
    {
        let mut state = calm.world.lock();
        state.initial = InitialPosition::Latest;
        state.audit.from_latest = true;
    }
    calm
}

impl Calm {
    /// Whether events of a shard were delivered.
    fn has_read(&self, shard: usize) -> bool {
        let delivered = self.world.lock().audit.delivered_events();
        delivered.iter().any(|(of, _)| *of == place(shard))
    }

    fn put_somewhere(&self) {
        let mut state = self.world.lock();
        let open = state.stream.open_shards();
        for _ in 0..5 {
            for place in &open {
                state.put_into(place);
            }
        }
    }
}

#[test]
fn what_comes_between_two_owners_of_an_idle_shard_is_read() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 3);
            calm.put_somewhere();
            sleep(Duration::from_secs(5)).await;
            calm.settled(1).await;
            calm.fleet.crash(0).await;
            calm.put_somewhere();
            sleep(params().failover_time).await;
            calm.fleet.join();
            calm.until("balance", Calm::is_balanced).await;
            sleep(Duration::from_secs(5)).await;
            calm.finish().await;
            assert!(!calm.world.lock().audit.delivered_events().is_empty());
        });
    }
}

/// Its first place in the shard is not used, and cannot be when it comes back.
#[test]
fn what_comes_while_the_first_reader_is_cut_off_is_read() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 3);
            calm.fleet.join();
            let asked = |calm: &Calm| calm.world.lock().counter("read from LATEST") >= 3;
            calm.until("the first places", asked).await;
            let until = Instant::now() + Duration::from_secs(30);
            calm.world.lock().cut_off.insert((0, Port::Stream), until);
            sleep(Duration::from_secs(5)).await;
            calm.put_somewhere();
            calm.world.lock().expire_iterators();
            sleep(Duration::from_secs(30)).await;
            calm.finish().await;
        });
    }
}

/// Of two workers that began at the same time one listed the shards before a merge, and was gone before
/// it came to the second parent; the other listed them after it.
#[test]
fn a_merge_while_the_first_leases_are_created_stops_nobody() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 2);
            calm.world.lock().merge();
            calm.put_back(0, None);
            calm.put_back(2, None);
            calm.settled(1).await;
            calm.put_somewhere();
            calm.finish().await;
            assert!(!calm.world.lock().audit.delivered_events().is_empty());
        });
    }
}

/// A worker listed the shards when two generations had followed, and had seen an empty table before: its
/// lease stands for "from now on" in a line that is read further up, where no row says that it waits.
#[test]
fn a_lease_ahead_of_its_line_is_not_begun() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 1);
            calm.settled(1).await;
            calm.hang_sinks(0, Duration::from_secs(10));
            for split in [0, 1] {
                calm.put_somewhere();
                sleep(Duration::from_secs(1)).await;
                calm.split(split);
            }
            calm.put_somewhere();
            calm.put_back(3, None);
            calm.finish().await;
            assert!(calm.has_read(3));
        });
    }
}

/// A worker had listed the shards before they were split, and stood still; the children have been begun,
/// and nothing has come yet.
#[test]
fn a_lease_behind_its_line_is_deleted_unread() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 1);
            calm.split(0);
            if seed % 2 == 1 {
                calm.split(1);
            }
            calm.settled(1).await;
            calm.put_back(0, None);
            calm.until("its end", |calm| calm.row(0).is_none()).await;
            calm.put_somewhere();
            calm.finish().await;
            assert_eq!(calm.world.lock().counter("shard end"), 0);
        });
    }
}

/// Nobody worked for so long that a part of the line has left the stream. What is kept of the rest was put
/// after the fleet had begun.
#[test]
fn what_retention_has_left_of_a_line_is_read() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 1);
            calm.settled(1).await;
            calm.fleet.crash(0).await;
            calm.split(0);
            calm.split(1);
            calm.trim_all();
            calm.put_somewhere();
            calm.fleet.join();
            calm.finish().await;
            assert!(calm.has_read(3));
        });
    }
}

/// The first lease is of a shard that was closed before the fleet began: its children were written to then.
#[test]
fn what_was_put_before_the_fleet_began_is_not_read() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = idle(seed, 1);
            calm.split(0);
            calm.put_somewhere();
            sleep(Duration::from_secs(5)).await;
            calm.put_back(0, None);
            calm.fleet.join();
            let taken = |calm: &Calm, shard| calm.row(shard).is_some_and(|row| row.counter > 0);
            calm.until("the children", |calm| taken(calm, 1) && taken(calm, 2)).await;
            // A shard sync puts it back.
            calm.delete(1);
            calm.until("the child", |calm| taken(calm, 1)).await;
            sleep(Duration::from_secs(5)).await;
            assert!(calm.world.lock().audit.delivered_events().is_empty());
            calm.put_somewhere();
            calm.finish().await;
            assert!(!calm.world.lock().audit.delivered_events().is_empty());
        });
    }
}
