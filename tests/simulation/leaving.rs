//! Workers that leave while something is under way: a request for a lease, a backlog, an outage.

use std::time::Duration;

use shardwright::{metrics::LeaseChange, model::LeaseWrite};
use tokio::time::{Instant, sleep};

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    hand_over::at_rest,
    lease_table::WriteFate,
    schedule::simulate,
    world::{Port, WorkerNo},
};

fn is_request(write: &LeaseWrite) -> bool {
    matches!(write, LeaseWrite::RequestHandOver { .. })
}

fn is_withdrawal(write: &LeaseWrite) -> bool {
    matches!(write, LeaseWrite::WithdrawRequest { .. })
}

/// The worker that joins second.
const ASKER: WorkerNo = 1;

impl Calm {
    /// One worker with so many leases, and something under way in each. It hands none over while its
    /// sinks hang.
    async fn busy(setup: Setup, leases: u128, hang: Duration) -> Self {
        let mut calm = Self::new(setup, leases, Some(Duration::from_millis(400)));
        calm.settled(1).await;
        calm.hang_sinks(0, hang);
        sleep(Duration::from_secs(2)).await;
        calm
    }

    /// Has another worker join, and leave as soon as it has asked for a lease.
    async fn asks_and_leaves(&mut self) {
        self.fleet.join();
        self.until("the asking", |calm| calm.world.lock().counter("hand-over asked") > 0).await;
        self.fleet.drain(ASKER);
        self.until("its departure", |calm| calm.fleet.draining.is_empty()).await;
        let rows = self.world.lock().table.rows.clone();
        let named =
            rows.values().find(|row| row.owner.as_ref().is_some_and(|who| who.as_str() == "w1"));
        assert!(named.is_none(), "it has left, and a lease is to be handed to it: {named:?}");
    }

    /// Writes whatever becomes of them, and sees that all goes on.
    async fn goes_on(&mut self) {
        sleep(Duration::from_secs(15)).await;
        self.finish().await;
        assert_eq!(self.duplicates(), 0);
    }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_request_that_is_under_way_is_taken_back() {
    for seed in 0..6 {
        simulate(async {
            let mut calm = Calm::busy(Setup::new(seed), 2, LONG).await;
            calm.world.lock().faults.longest_call = Duration::from_secs(1);
            calm.asks_and_leaves().await;
            calm.goes_on().await;
        });
    }
}

#[test]
fn a_request_whose_answer_is_lost_is_taken_back() {
    for seed in 0..3 {
        simulate(async {
            let mut calm = Calm::busy(Setup::new(seed), 2, LONG).await;
            calm.next(ASKER, is_request, &[WriteFate::AnswerLost]);
            calm.asks_and_leaves().await;
            calm.goes_on().await;
        });
    }
}

/// Of the leases that it asked for some are handed over before it knows what became of its taking back:
/// it takes and releases them.
#[test]
fn a_request_is_taken_back_until_the_row_says_so() {
    let fates = [
        WriteFate::Unavailable,
        WriteFate::AnswerLost,
        WriteFate::Late(Duration::from_mins(1)),
        WriteFate::Late(Duration::from_secs(2)),
    ];
    for hang in [Duration::from_secs(4), LONG] {
        for fate in fates {
            simulate(async {
                let mut calm = Calm::busy(Setup::new(1), 4, hang).await;
                calm.next(ASKER, is_withdrawal, &[fate]);
                calm.asks_and_leaves().await;
                calm.goes_on().await;
            });
        }
    }
}

/// Each of a worker's requests counts, for it may ask for so many at a time: one that comes to nothing
/// must not count for ever.
#[test]
fn a_request_that_comes_to_nothing_is_forgotten() {
    let mut setup = Setup::new(1);
    setup.limits.max_hand_overs = 1;
    // It never arrived.
    simulate(async {
        let mut calm = Calm::busy(setup, 4, Duration::ZERO).await;
        calm.next(ASKER, is_request, &[WriteFate::Late(Duration::from_hours(1))]);
        calm.fleet.join();
        calm.until("balance", Calm::is_balanced).await;
        calm.goes_on().await;
    });
    // The owner died, and somebody else took the lease.
    simulate(async {
        let mut calm = Calm::busy(setup, 4, LONG).await;
        calm.fleet.join();
        calm.until("the asking", |calm| calm.hand_overs() > 0).await;
        let back = Instant::now() + LONG;
        calm.world.lock().cut_off.insert((ASKER, Port::Table), back);
        calm.fleet.crash(0).await;
        let third = calm.fleet.join();
        calm.until("a new owner", |calm| {
            calm.holders().values().all(|holder| *holder == format!("w{third}"))
        })
        .await;
        calm.until("balance", Calm::is_balanced).await;
        calm.finish().await;
    });
}

/// What was fetched, and what waits for a sink, is left to the next owner.
#[test]
fn a_worker_that_leaves_finishes_what_it_has_begun_and_no_more() {
    for seed in 0..3 {
        simulate(async {
            let mut calm = Calm::new(Setup::new(seed), 1, None);
            calm.settled(1).await;
            calm.hang_sinks(0, Duration::from_secs(5));
            calm.world.lock().stream.plain = true;
            (0..100).for_each(|_| calm.put_everywhere());
            sleep(Duration::from_secs(4)).await;
            calm.fleet.drain(0);
            calm.until("its departure", |calm| calm.fleet.draining.is_empty()).await;
            assert_eq!(calm.world.lock().deliveries.len(), 1, "the batch that was under way");
            calm.fleet.join();
            calm.finish().await;
            assert_eq!(calm.duplicates(), 0);
        });
    }
}

/// What it holds is others' by then: there is nothing left to wait for.
#[test]
fn a_worker_that_is_cut_off_from_the_table_leaves_when_its_leases_are_over() {
    for seed in 0..3 {
        simulate(async {
            let mut calm = at_rest(seed, 4, 1).await;
            let until = Instant::now() + params().failover_time * 6;
            calm.world.lock().cut_off.insert((0, Port::Table), until);
            calm.fleet.drain(0);
            let left = calm.until("its departure", |calm| calm.fleet.draining.is_empty()).await;
            assert!(left <= params().failover_time, "it took {left:?}");
            assert_eq!(calm.fleet.changes(LeaseChange::Expired), 4);
            calm.fleet.join();
            calm.finish().await;
        });
    }
}
