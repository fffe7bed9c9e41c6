//! How a fleet settles: fair shares, limits, and how long it takes.

use std::time::Duration;

use shardwright::leasing::plan::BalanceLimits;
use tokio::time::sleep;

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    schedule::simulate,
};

/// The longest time between two scans of one worker: the interval with its jitter.
fn take_interval() -> Duration {
    params().scan_interval.mul_f64(1.1)
}

#[test]
fn fresh_workers_settle_on_fresh_leases_within_two_take_intervals() {
    for (workers, leases) in [(1, 1), (1, 8), (2, 2), (2, 7), (3, 8), (3, 32), (4, 6), (5, 64)] {
        for seed in 0..20 {
            simulate(async {
                let mut calm = Calm::new(Setup::new(seed), leases, None);
                calm.create_leases();
                for _ in 0..workers {
                    calm.fleet.join();
                }
                let took = calm.until("balance", Calm::is_balanced).await;
                let what = format!("{workers} workers on {leases} leases, seed {seed}: {took:?}");
                assert!(took <= take_interval() * 2, "{what}");
                let before = calm.holders();
                sleep(Duration::from_secs(30)).await;
                assert_eq!(calm.holders(), before, "a fleet at rest stays so, {what}");
                calm.finish().await;
            });
        }
    }
}

#[test]
fn a_worker_holds_no_more_than_it_may() {
    simulate(async {
        let mut setup = Setup::new(1);
        setup.limits.max_leases = 3;
        let mut calm = Calm::new(setup, 16, Some(Duration::from_millis(500)));
        for workers in 1..=4usize {
            calm.fleet.join();
            for _ in 0..300 {
                sleep(Duration::from_millis(100)).await;
                let mut held: Vec<String> = calm.holders().into_values().collect();
                held.sort();
                let most = held.chunk_by(|a, b| a == b).map(<[String]>::len).max();
                assert!(most.unwrap_or(0) <= 3, "{held:?}");
            }
            assert_eq!(calm.holders().len(), workers * 3, "each holds what it may");
        }
        // Two more are enough for all.
        calm.fleet.join();
        calm.fleet.join();
        calm.until("balance", Calm::is_balanced).await;
        calm.finish().await;
    });
}

/// A lease that is being handed over is nobody's to give: others are asked for.
#[test]
fn a_third_worker_gets_its_share_while_a_second_one_waits_for_its() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = Calm::new(Setup::new(seed), 4, Some(Duration::from_millis(100)));
            calm.settled(1).await;
            calm.hang_sinks(0, Duration::from_secs(10));
            sleep(Duration::from_secs(1)).await;
            for hand_overs in [2, 3] {
                calm.fleet.join();
                let asked = calm.until("the asking", |calm| calm.hand_overs() == hand_overs).await;
                assert!(asked <= take_interval(), "it took {asked:?}");
            }
            calm.until("balance", Calm::is_balanced).await;
            calm.finish().await;
        });
    }
}

#[test]
fn a_worker_asks_for_no_more_than_it_may_at_a_time() {
    simulate(async {
        let mut setup = Setup::new(2);
        setup.limits = BalanceLimits { max_leases: 1000, max_hand_overs: 2 };
        let mut calm = Calm::new(setup, 24, None);
        calm.settled(1).await;
        // The sink hangs, so that hand-overs stay visible.
        calm.hang_sinks(0, Duration::from_secs(10));
        calm.put_everywhere();
        sleep(Duration::from_secs(1)).await;
        calm.fleet.join();
        let mut most = 0;
        for _ in 0..500 {
            sleep(Duration::from_millis(10)).await;
            most = most.max(calm.hand_overs());
        }
        assert_eq!(most, 2, "hand-overs at a time");
        calm.until("balance", Calm::is_balanced).await;
        calm.finish().await;
    });
}
