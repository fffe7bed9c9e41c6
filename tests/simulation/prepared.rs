//! Sinks that prepare: a batch that was begun is made again exactly as it was, whoever makes it.

use std::time::Duration;

use shardwright::model::{InitialPosition, ShardId};
use tokio::time::{Instant, sleep};

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    objects::OUT,
    schedule::simulate,
    stream::Place,
    world::Port,
};

/// Nobody reads a shard whose events go to a sink that prepares, and are all taken by it.
fn quiet(seed: u64) -> (Calm, Place) {
    let calm = Calm::new(Setup::new(seed), 1, None);
    {
        let mut state = calm.world.lock();
        state.audit.preparing = &[OUT];
        state.stream.plain = true;
    }
    (calm, Place { stream: 0, shard: ShardId::new("shardId-000000000000") })
}

impl Calm {
    async fn finish_objects(&mut self) {
        self.finish().await;
        self.world.lock().check_objects();
        self.sound();
    }
}

/// Its first reader has left out what came before it had a place in the shard; a later one reads that.
#[test]
fn a_batch_from_latest_is_made_again_from_where_it_began() {
    for seed in 0..5 {
        simulate(async {
            let (mut calm, place) = quiet(seed);
            {
                let mut state = calm.world.lock();
                state.initial = InitialPosition::Latest;
                state.audit.from_latest = true;
                let until = Instant::now() + Duration::from_secs(5);
                state.cut_off.insert((0, Port::Stream), until);
            }
            calm.put_back(0, None);
            calm.fleet.join();
            sleep(Duration::from_secs(2)).await;
            calm.world.lock().put_into(&place);
            let reads = |calm: &Calm| calm.world.lock().counter("read from LATEST") > 0;
            calm.until("a place in the shard", reads).await;
            calm.world.lock().put_into(&place);
            calm.until("an object", |calm| !calm.world.lock().deliveries.is_empty()).await;
            // It has no checkpoint yet.
            calm.fleet.crash(0).await;
            calm.fleet.join();
            sleep(params().failover_time * 2).await;
            calm.finish_objects().await;
        });
    }
}

/// What has come of it by then would be another batch.
#[test]
fn a_batch_that_is_made_again_is_left_to_the_next_owner_as_a_whole() {
    for seed in 0..5 {
        simulate(async {
            let (mut calm, place) = quiet(seed);
            calm.settled(1).await;
            calm.hang_sinks(0, Duration::from_mins(1));
            {
                let mut state = calm.world.lock();
                state.stream.page = Some(10);
                state.put_into(&place);
                state.put_poison(&place);
                (0..6).for_each(|_| state.put_into(&place));
            }
            let prepared = |calm: &Calm| calm.row(0).is_some_and(|row| row.pending.is_some());
            calm.until("a batch that is prepared", prepared).await;
            calm.fleet.crash(0).await;
            calm.world.lock().stream.page = Some(3);
            calm.fleet.join();
            // The dead letter is in the first page, and has no batch to wait for.
            calm.until("a letter", |calm| !calm.world.lock().deliveries.is_empty()).await;
            calm.fleet.drain(1);
            let left = calm.until("its departure", |calm| calm.fleet.draining.is_empty()).await;
            assert!(left < Duration::from_secs(1), "it took {left:?}");
            calm.fleet.join();
            calm.finish_objects().await;
        });
    }
}
