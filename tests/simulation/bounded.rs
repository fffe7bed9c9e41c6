//! Bounded reads: a fleet that ends by itself, with all that was put before a time, and nothing else.

use std::time::Duration;

use shardwright::model::EpochMillis;
use tokio::time::sleep;

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    schedule::simulate,
};

/// A stream that has gone on for long since is not read to its tip.
#[test]
fn a_bounded_fleet_is_done_when_it_has_come_to_the_time() {
    simulate(async {
        let mut setup = Setup::new(1);
        setup.until = Some(EpochMillis(2_000));
        let mut calm = Calm::new(setup, 2, Some(Duration::from_millis(100)));
        sleep(Duration::from_secs(3)).await;
        (0..1_000).for_each(|_| calm.put_everywhere());
        calm.fleet.join();
        let took = calm.until("its end", |calm| calm.fleet.working.is_empty()).await;
        assert!(took <= Duration::from_secs(5), "it took {took:?}");
        let open = calm.world.lock().audit.not_settled();
        assert!(open.is_empty(), "not read: {open:?}");
        calm.sound();
    });
}

#[test]
fn a_bounded_fleet_ends_by_itself_with_all_that_came_before_the_time_and_no_more() {
    for seed in 0..10 {
        simulate(async {
            let mut setup = Setup::new(seed);
            setup.clocks = 900;
            // The time comes while they read, or was over long ago.
            let until = if seed % 2 == 0 { 45_000 } else { 15_000 };
            setup.until = Some(EpochMillis(until));
            let mut calm = Calm::new(setup, 4, Some(Duration::from_millis(100)));
            sleep(Duration::from_secs(5)).await;
            calm.world.lock().split();
            sleep(Duration::from_secs(15)).await;
            for _ in 0..3 {
                calm.fleet.join();
            }
            sleep(Duration::from_secs(1)).await;
            calm.world.lock().merge();
            calm.fleet.crash(0).await;
            let took = calm.until("its end", |calm| calm.fleet.working.is_empty()).await;
            let left = Duration::from_millis(until.saturating_sub(21_000).max(0).unsigned_abs());
            let most = left + params().failover_time * 3;
            assert!(took <= most, "it took {took:?}");
            let open = calm.world.lock().audit.not_settled();
            assert!(open.is_empty(), "not read: {open:?}");
            calm.sound();
        });
    }
}
