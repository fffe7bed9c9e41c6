//! Workers that do not know what became of a write, or who may still believe in a lease: histories that
//! are too rare to wait for.

use std::time::Duration;

use shardwright::{
    metrics::LeaseChange,
    model::{LeaseWrite, WorkerId},
};
use tokio::time::{Instant, sleep};

use crate::{
    calm::Calm,
    fleet::params,
    hand_over::at_rest,
    lease_table::{Scripted, WriteFate},
    schedule::simulate,
    world::{Port, WorkerNo},
};

fn is_renewal(write: &LeaseWrite) -> bool {
    matches!(write, LeaseWrite::Renew { .. })
}

fn gives_away(write: &LeaseWrite) -> bool {
    matches!(write, LeaseWrite::FinishHandOver { .. } | LeaseWrite::Release { .. })
}

fn is_take(write: &LeaseWrite) -> bool {
    matches!(write, LeaseWrite::Take { .. })
}

impl Calm {
    /// What becomes of a worker's next writes of a kind.
    pub(crate) fn next(&self, worker: WorkerNo, is: fn(&LeaseWrite) -> bool, fates: &[WriteFate]) {
        let scripted = fates.iter().map(|fate| Scripted { worker, is, fate: *fate });
        self.world.lock().table.script.extend(scripted);
    }

    /// Waits until a worker has just renewed its only lease.
    async fn renewal(&mut self) {
        let counter =
            |calm: &Self| calm.world.lock().table.rows.values().map(|row| row.counter).sum();
        let before: u64 = counter(self);
        self.until("a renewal", |calm| counter(calm) > before).await;
    }

    /// Scans show the lease that was handed over as still the first worker's, which nobody has asked for it.
    fn show_as_before_hand_over(&self) {
        let first = Some(WorkerId::new("w0"));
        let table = &mut self.world.lock().table;
        let mut row = table.rows.values().find(|row| row.owner != first).unwrap().clone();
        (row.counter, row.owner) = (row.counter - 1, first);
        table.shown_as.insert(row.key.clone(), row);
    }

    fn cut_off_from_table(&self, worker: WorkerNo) {
        let until = Instant::now() + params().failover_time * 3;
        self.world.lock().cut_off.insert((worker, Port::Table), until);
    }

    pub(crate) async fn stays_sound(&self, time: Duration) {
        for _ in 0..300 {
            sleep(time / 300).await;
            self.sound();
        }
    }
}

/// The model found it: the answer is lost, the row does not show the write yet, and the next scan says
/// "it is mine", as if the old owner had handed it over.
#[test]
fn a_take_by_force_that_arrives_late_waits_for_the_old_owner_s_time_all_the_same() {
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            calm.hang_sinks(0, Duration::from_mins(2));
            sleep(Duration::from_secs(2)).await;
            let thief = calm.fleet.join();
            // The hand-over is asked for; the next take of the thief is the one by force.
            sleep(params().hand_over_timeout / 2).await;
            let late = Duration::from_millis(2_500 + seed * 50);
            calm.next(thief, is_take, &[WriteFate::Late(late)]);
            calm.until("a late take", |calm| calm.world.lock().in_doubt().count() > 0).await;
            // The old owner renewed a moment ago, and does not hear that it has lost the lease: a
            // delivery before its grant is over would break LS-3.
            calm.fleet.freeze(0, params().failover_time * 2);
            calm.stays_sound(params().failover_time * 3).await;
            sleep(Duration::from_mins(2)).await;
            calm.finish().await;
        });
    }
}

/// A seed found it: whoever gets the lease from the thief does not know that it must wait. A thief that
/// has something to deliver waits anyway; one that has read nothing is done at once when it is told to
/// leave, be it before (odd seeds) or after it hears of its take.
#[test]
fn a_thief_that_waits_does_not_release() {
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            calm.hang_sinks(0, Duration::from_mins(2));
            sleep(Duration::from_secs(2)).await;
            let thief = calm.fleet.join();
            calm.until("the asking", |calm| calm.hand_overs() > 0).await;
            calm.fleet.join();
            let while_it_waits = Instant::now() + params().hand_over_timeout * 3;
            calm.world.lock().cut_off.insert((thief, Port::Stream), while_it_waits);
            if seed % 2 == 1 {
                calm.world.lock().faults.longest_call = Duration::from_secs(1);
            }
            calm.until("a take by force", |calm| calm.world.lock().counter("forced take") > 0)
                .await;
            if seed % 2 == 0 {
                sleep(Duration::from_millis(100 + seed * 100)).await;
            }
            calm.fleet.drain(thief);
            calm.stays_sound(params().failover_time * 2).await;
            sleep(Duration::from_mins(2)).await;
            calm.finish().await;
        });
    }
}

/// The row that was read after a lost answer shows an earlier renewal: it proves nothing of the take,
/// and the counter that others see is older than it.
#[test]
fn a_take_of_one_s_own_lease_is_not_inferred_from_an_earlier_renewal() {
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, 1, 1).await;
            calm.renewal().await;
            // The next renewal arrives when the lease has been given up, and no other one does.
            calm.next(0, is_renewal, &[WriteFate::Late(Duration::from_millis(7_500))]);
            calm.next(0, is_renewal, &[WriteFate::Unavailable; 40]);
            calm.next(0, is_take, &[WriteFate::AnswerLost]);
            sleep(Duration::from_millis(8_500)).await;
            // The scan that says "it is mine" was begun before the renewal arrived.
            calm.world.lock().table.slow_scans.insert(0, Duration::from_secs(4));
            let before = calm.world.lock().counter("answer lost");
            let lost = |calm: &Calm| calm.world.lock().counter("answer lost") > before;
            calm.until("a take without an answer", lost).await;
            calm.stays_sound(params().failover_time).await;
            calm.world.lock().table.script.clear();
            calm.world.lock().table.slow_scans.clear();
            calm.finish().await;
        });
    }
}

/// Seeds found it: the row that was read after a lost answer was the old owner's, which had handed the
/// lease over after all. The counter that others see is older than the take.
#[test]
fn a_take_is_not_inferred_from_a_hand_over() {
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            let thief = calm.fleet.join();
            let handed = |calm: &Calm| calm.world.lock().counter("hand-over finished") > 0;
            calm.until("a hand-over", handed).await;
            // A scan that outlasts the lease and the request shows the row as it was before it asked.
            calm.show_as_before_hand_over();
            let outlasts = params().hand_over_timeout + Duration::from_secs(2);
            calm.world.lock().table.slow_scans.insert(thief, outlasts);
            calm.next(thief, is_take, &[WriteFate::AnswerLost]);
            calm.next(thief, is_renewal, &[WriteFate::Unavailable; 40]);
            let lost = |calm: &Calm| calm.world.lock().counter("answer lost") > 0;
            calm.until("a take without an answer", lost).await;
            calm.world.lock().table.shown_as.clear();
            calm.world.lock().table.slow_scans.clear();
            calm.stays_sound(params().failover_time).await;
            calm.world.lock().table.script.clear();
            calm.finish().await;
        });
    }
}

/// The row shows what became of the write. An operator who reads that a lease was lost looks for a fault.
#[test]
fn what_was_given_away_without_an_answer_is_not_said_to_be_lost() {
    for seed in 0..10 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            calm.next(0, gives_away, &[WriteFate::AnswerLost; 2]);
            let next = calm.fleet.join();
            calm.until("the asking", |calm| calm.hand_overs() > 0).await;
            // Nobody takes what was given away before its old owner has read the row.
            calm.world.lock().table.slow_scans.insert(next, Duration::from_secs(5));
            let seen = |calm: &Calm, change| calm.fleet.changes(change) > 0;
            calm.until("the hand-over", |calm| seen(calm, LeaseChange::HandedOver)).await;
            calm.fleet.drain(0);
            calm.until("the release", |calm| seen(calm, LeaseChange::Released)).await;
            assert_eq!(calm.world.lock().counter("answer lost"), 2);
            assert_eq!(calm.fleet.changes(LeaseChange::Lost), 0);
            calm.finish().await;
        });
    }
}

/// A scan shows one's own write before its answer has come.
#[test]
fn what_a_scan_shows_before_its_answer_is_not_said_to_be_lost() {
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, 2, 1).await;
            calm.world.lock().faults.longest_call = Duration::from_secs(1);
            calm.world.lock().split();
            let seen = |calm: &Calm, change| calm.fleet.changes(change) > 0;
            calm.until("the end", |calm| {
                seen(calm, LeaseChange::Ended) || seen(calm, LeaseChange::Lost)
            })
            .await;
            calm.fleet.join();
            calm.until("balance", Calm::is_balanced).await;
            sleep(Duration::from_secs(3)).await;
            assert_eq!(calm.fleet.changes(LeaseChange::Lost), 0, "seed {seed}");
            calm.finish().await;
        });
    }
}

/// A renewal is lost, others fail, and the one that is refused shows that the first has arrived: the
/// grant counts from that one.
#[test]
fn a_renewal_that_is_inferred_counts_from_the_first_that_was_lost() {
    for seed in 0..20 {
        simulate(async {
            let mut calm = at_rest(seed, 1, 1).await;
            calm.renewal().await;
            calm.next(0, is_renewal, &[WriteFate::Late(Duration::from_millis(3_300))]);
            calm.next(0, is_renewal, &[WriteFate::Unavailable; 4]);
            let refused = calm.world.lock().counter("write refused");
            let is_refused = |calm: &Calm| calm.world.lock().counter("write refused") > refused;
            calm.until("a renewal that is refused", is_refused).await;
            calm.cut_off_from_table(0);
            calm.stays_sound(params().failover_time * 2).await;
            calm.finish().await;
        });
    }
}
