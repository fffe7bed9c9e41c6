//! How leases move: when workers join, leave, die or hang. Bounds are in virtual time.

use std::time::Duration;

use shardwright::{
    metrics::LeaseChange,
    model::{Lease, LeaseWrite, WorkerId},
};
use tokio::time::{Instant, sleep};

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    schedule::simulate,
};

const SHARDS: u128 = 16;
/// A pause that nobody minds.
const ABOUT_A_SECOND: Duration = Duration::from_millis(1_250);

/// A fleet at rest on a stream that is written to all the time.
pub(crate) async fn at_rest(seed: u64, shards: u128, workers: usize) -> Calm {
    let mut calm = Calm::new(Setup::new(seed), shards, Some(Duration::from_millis(100)));
    calm.settled(workers).await;
    calm
}

/// The longest pause of the shards that changed hands since `from`, of which there are at least
/// `least`.
fn longest_pause(calm: &Calm, from: Instant, least: usize) -> Duration {
    let pauses = calm.pauses(from);
    assert!(pauses.len() >= least, "{pauses:?}");
    pauses.into_iter().max().unwrap_or_default()
}

#[test]
fn a_joining_worker_gets_its_share_by_hand_over_without_a_duplicate() {
    for seed in 0..10 {
        simulate(async {
            let mut calm = at_rest(seed, SHARDS, 2).await;
            let joined = Instant::now();
            calm.fleet.join();
            let took = calm.until("balance", Calm::is_balanced).await;
            assert!(took <= ABOUT_A_SECOND, "balanced after {took:?}");
            sleep(Duration::from_secs(5)).await;
            let pause = longest_pause(&calm, joined, 5);
            assert!(pause <= ABOUT_A_SECOND, "a shard waited for {pause:?}");
            calm.finish().await;
            assert_eq!(calm.duplicates(), 0);
        });
    }
}

#[test]
fn a_leaving_worker_is_taken_over_from_in_about_a_second_without_a_duplicate() {
    for seed in 0..40 {
        simulate(async {
            let mut calm = at_rest(seed, SHARDS, 3).await;
            let left = Instant::now();
            calm.fleet.drain(0);
            let took = calm.until("balance", Calm::is_balanced).await;
            assert!(took <= ABOUT_A_SECOND, "balanced after {took:?}");
            sleep(Duration::from_secs(5)).await;
            let pause = longest_pause(&calm, left, 5);
            // A scan may have begun just before the release, and the next one has its jitter.
            let bound = ABOUT_A_SECOND + Duration::from_millis(250);
            assert!(pause <= bound, "a shard waited for {pause:?}");
            calm.finish().await;
            assert_eq!(calm.duplicates(), 0);
        });
    }
}

/// What it holds, and what it has asked for, is its own whatever a scan shows.
#[test]
fn a_worker_does_not_ask_for_more_because_its_scans_are_stale() {
    for seed in 0..10 {
        simulate(async {
            let mut calm = at_rest(seed, 8, 1).await;
            calm.world.lock().faults.stale_rows = 0.5;
            calm.fleet.join();
            sleep(Duration::from_secs(10)).await;
            assert!(calm.is_balanced());
            assert_eq!(calm.fleet.changes(LeaseChange::HandedOver), 4);
            calm.finish().await;
        });
    }
}

/// Nobody reads the shard, and whoever asks waited until the lease expired.
#[test]
fn a_lease_that_is_asked_for_again_before_it_was_taken_is_handed_on() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            let (between, last) = (calm.fleet.join(), 2);
            let slowly = Duration::from_millis(700);
            calm.world.lock().table.slow_scans.insert(between, slowly);
            let handed = |calm: &Calm| {
                let rows = &calm.world.lock().table.rows;
                let to = |row: &&Lease| row.owner == Some(WorkerId::new("w1"));
                rows.values().find(to).filter(|row| row.checkpoint_owner.is_none()).cloned()
            };
            calm.until("the hand-over", |calm| handed(calm).is_some()).await;
            let lease = handed(&calm).unwrap();
            let (from, to) = (WorkerId::new("w1"), WorkerId::new("w2"));
            let asks = LeaseWrite::RequestHandOver { from, to };
            calm.world.lock().apply(last, Instant::now(), &lease.key, &asks);
            if seed % 2 == 1 {
                calm.fleet.drain(between);
            }
            assert_eq!(calm.fleet.join(), last);
            let held = |calm: &Calm| {
                let row = calm.world.lock().table.rows[&lease.key].clone();
                row.holder() == Some(&WorkerId::new("w2"))
            };
            let took = calm.until("the last owner", held).await;
            assert!(took < Duration::from_secs(3), "taken after {took:?}");
            calm.finish().await;
        });
    }
}

/// The lease has come back, and a scan shows the request once more.
#[test]
fn a_request_that_was_followed_is_not_followed_again() {
    for seed in 0..40 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            let thief = calm.fleet.join();
            calm.until("the hand-over", Calm::is_balanced).await;
            calm.fleet.drain(thief);
            let is_back = |calm: &Calm| calm.loads().is_some_and(|loads| loads[&0] == 2);
            calm.until("the return", is_back).await;
            calm.world.lock().faults.stale_rows = 0.3;
            sleep(Duration::from_secs(2)).await;
            assert_eq!(calm.fleet.changes(LeaseChange::Released), 1, "only what had come");
            calm.finish().await;
        });
    }
}

#[test]
fn a_killed_worker_is_taken_over_from_within_the_failover_time_and_a_take_interval() {
    let bound = params().failover_time + params().scan_interval.mul_f64(1.1);
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, SHARDS, 3).await;
            // Renewals and scans may be anywhere in their cycles.
            sleep(Duration::from_millis(seed * 170)).await;
            calm.fleet.crash(0).await;
            let all_owned = |calm: &Calm| {
                let holders = calm.holders();
                !holders.is_empty() && holders.values().all(|holder| holder != "w0")
            };
            let took = calm.until("a new owner of each lease", all_owned).await;
            assert!(took <= bound + Duration::from_millis(100), "taken after {took:?}");
            calm.until("balance", Calm::is_balanced).await;
            calm.finish().await;
        });
    }
}

#[test]
fn a_lease_that_is_not_handed_over_is_taken_by_force_and_delivered_after_the_old_owner_s_time() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            calm.hang_sinks(0, Duration::from_mins(2));
            // Something is under way in each shard.
            sleep(Duration::from_secs(2)).await;
            let joined = Instant::now();
            calm.fleet.join();
            let took = calm.until("balance", Calm::is_balanced).await;
            let time_out = params().hand_over_timeout;
            assert!(took >= time_out, "taken after {took:?}");
            assert!(took <= time_out + params().scan_interval, "taken after {took:?}");
            sleep(params().failover_time * 2).await;
            let first = {
                let state = calm.world.lock();
                let of_thief = state.deliveries.iter().find(|(_, worker, _)| *worker == 1);
                of_thief.map(|(at, _, _)| at.duration_since(joined + took)).unwrap()
            };
            let failover = params().failover_time;
            // The take was seen a moment after it was sent.
            let seen_after = Duration::from_millis(50);
            assert!(first + seen_after >= failover, "delivered after {first:?}");
            assert!(first <= failover + ABOUT_A_SECOND, "delivered after {first:?}");
            sleep(Duration::from_mins(2)).await;
            calm.finish().await;
        });
    }
}

/// The thief's scan began before the lease was handed over, and ended after the time-out. Nobody else
/// believes in the lease.
#[test]
fn a_lease_that_was_handed_over_after_all_is_not_waited_for() {
    for seed in 0..10 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            calm.hang_sinks(0, params().hand_over_timeout);
            sleep(Duration::from_secs(2)).await;
            let thief = calm.fleet.join();
            calm.until("the asking", |calm| calm.hand_overs() > 0).await;
            calm.world.lock().table.slow_scans.insert(thief, Duration::from_secs(3));
            calm.hang_sinks(0, params().hand_over_timeout.mul_f64(0.97));
            let handed = |calm: &Calm| calm.world.lock().counter("hand-over finished") > 0;
            calm.until("the hand-over", handed).await;
            // A scan, the pause before it and the delivery.
            sleep(Duration::from_secs(3) + params().scan_interval + ABOUT_A_SECOND).await;
            let by_thief = |calm: &Calm| {
                let deliveries = &calm.world.lock().deliveries;
                deliveries.iter().any(|(_, worker, _)| *worker == thief)
            };
            assert!(by_thief(&calm), "it waits for an owner that is done");
            calm.finish().await;
            assert_eq!(calm.duplicates(), 0);
        });
    }
}
