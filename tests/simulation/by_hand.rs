//! Leases that somebody has put back or deleted, and shards that cannot be ended.

use std::time::Duration;

use shardwright::{
    metrics::LeaseChange,
    model::{Checkpoint, Lease, LeaseKey, ShardId, WorkerId},
};
use tokio::time::{Instant, sleep};

use crate::{
    calm::Calm,
    fleet::{Setup, params},
    schedule::simulate,
    stream::Place,
    world::Port,
};

fn shard_id(shard: usize) -> ShardId {
    ShardId::new(format!("shardId-{shard:012}"))
}

fn lease_key(shard: usize) -> LeaseKey {
    LeaseKey::new(shard_id(shard).as_str())
}

pub(crate) fn place(shard: usize) -> Place {
    Place { stream: 0, shard: shard_id(shard) }
}

impl Calm {
    /// One worker at rest on a stream of so many shards, which is written to.
    async fn alone(seed: u64, shards: u128) -> Self {
        let mut calm = Self::new(Setup::new(seed), shards, Some(Duration::from_millis(200)));
        calm.settled(1).await;
        calm
    }

    pub(crate) fn split(&self, shard: usize) {
        let mut state = self.world.lock();
        let now = state.now();
        state.stream.split(&place(shard), now);
    }

    pub(crate) fn row(&self, shard: usize) -> Option<Lease> {
        self.world.lock().table.rows.get(&lease_key(shard)).cloned()
    }

    /// Waits until these shards have the only leases, and are read.
    async fn only(&mut self, shards: &[usize]) {
        self.until("a lease of each open shard, and no other", |calm| {
            let started = |shard: &usize| {
                calm.row(*shard).is_some_and(|row| matches!(row.checkpoint, Checkpoint::After(_)))
            };
            calm.world.lock().table.rows.len() == shards.len() && shards.iter().all(started)
        })
        .await;
    }

    /// Puts a shard's lease as it is when it is new: as a shard sync does that is late, or as that of a
    /// worker that is gone.
    pub(crate) fn put_back(&self, shard: usize, owner: Option<&str>) {
        let mut state = self.world.lock();
        let of = state.stream.shard(&place(shard));
        let (hash_range, parents) = (Some(of.range), of.parents.clone());
        let checkpoint = state.initial.checkpoint();
        let lease = Lease::new(lease_key(shard), None, shard_id(shard), checkpoint);
        let (counter, owner) = (u64::from(owner.is_some()), owner.map(WorkerId::new));
        state.create(Lease { counter, owner, parents, hash_range, ..lease });
    }

    pub(crate) fn delete(&self, shard: usize) {
        self.world.lock().delete_by_hand(&lease_key(shard));
    }

    /// Puts the lease of a shard that was read to its end, and names no child.
    fn put_ended(&self, shard: usize) {
        let lease = Lease::new(lease_key(shard), None, shard_id(shard), Checkpoint::ShardEnd);
        self.world.lock().create(Lease { counter: 7, ..lease });
    }

    fn put_into(&self, shards: &[usize]) {
        let mut state = self.world.lock();
        for shard in shards {
            state.put_into(&place(*shard));
        }
    }

    /// What was put so far is not kept any more.
    pub(crate) fn trim_all(&self) {
        let mut state = self.world.lock();
        let now = state.now();
        state.trim(now);
    }

    /// Lets the worker come to the end of its only shard, whose children it cannot find.
    async fn cannot_end(&mut self) {
        {
            let mut state = self.world.lock();
            state.faults.unnamed_children = 1.0;
            state.stream.unlisted = true;
        }
        self.split(0);
        let refused = |calm: &Self| calm.world.lock().counter("listing refused") > 0;
        self.until("the end of the shard", refused).await;
    }

    fn lists_again(&self) {
        self.world.lock().stream.unlisted = false;
    }
}

/// Both parents were retired, and the child has gone on: nothing is left that its other parent could
/// hold up. It waited for that one's lease for ever, was lost, and was read again, and again.
#[test]
fn a_merged_parent_that_came_back_and_was_taken_is_ended_again() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = Calm::alone(seed, 2).await;
            calm.world.lock().merge();
            calm.only(&[2]).await;
            if seed % 2 == 1 {
                calm.split(2);
                calm.only(&[3, 4]).await;
            }
            // The worker has seen that the leases are gone.
            sleep(Duration::from_secs(5)).await;
            calm.put_back(0, Some("gone"));
            let ended = |calm: &Calm| calm.row(0).is_none_or(|row| row.ended());
            calm.until("the end of what came back", ended).await;
            // Its row goes when nothing can bring it back again. Whoever has just come looks into it.
            calm.trim_all();
            calm.fleet.join();
            calm.until("no row of it", |calm| calm.row(0).is_none()).await;
            calm.finish().await;
        });
    }
}

/// A worker stood still between the listing of shards and the creating of their leases. The row of its
/// child says that it was done with, or only the listed lineage does.
#[test]
fn a_lease_that_came_back_after_its_shard_was_done_with_is_deleted_unread() {
    for seed in 0..6 {
        simulate(async {
            let by_lineage = seed % 2 == 1;
            let mut calm = Calm::alone(seed, if by_lineage { 2 } else { 1 }).await;
            let open = if by_lineage {
                calm.world.lock().merge();
                calm.only(&[2]).await;
                calm.split(2);
                [3, 4]
            } else {
                calm.split(0);
                [1, 2]
            };
            calm.only(&open).await;
            sleep(Duration::from_secs(5)).await;
            calm.put_back(0, None);
            calm.only(&open).await;
            calm.finish().await;
            assert_eq!(calm.duplicates(), 0);
        });
    }
}

/// Nobody sees that its children have begun: scans show them as they were.
#[test]
fn a_lease_that_came_back_is_deleted_though_no_scan_shows_why() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = Calm::alone(seed, 1).await;
            calm.split(0);
            let children = |calm: &Calm| calm.row(1).zip(calm.row(2));
            calm.until("the children's leases", |calm| children(calm).is_some()).await;
            let unread = <[Lease; 2]>::from(children(&calm).unwrap());
            calm.only(&[1, 2]).await;
            let shown_as = unread.into_iter().map(|row| (row.key.clone(), row)).collect();
            calm.world.lock().table.shown_as = shown_as;
            calm.put_back(0, None);
            calm.fleet.join();
            calm.until("its end", |calm| calm.row(0).is_none()).await;
            calm.world.lock().table.shown_as.clear();
            calm.only(&[1, 2]).await;
            calm.finish().await;
            assert_eq!(calm.duplicates(), 0);
        });
    }
}

/// To fill the hole with the lease of the parent is to put back a ghost, which is deleted: the hole
/// stayed, and a lease was created and deleted with each scan.
#[test]
fn a_hole_beside_a_shard_that_has_started_is_filled() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = Calm::alone(seed, 1).await;
            calm.split(0);
            calm.only(&[1, 2]).await;
            let before = calm.duplicates();
            calm.delete(2);
            calm.only(&[1, 2]).await;
            calm.finish().await;
            assert!(
                calm.duplicates() > before,
                "it is read again, for nobody knows how far it was"
            );
        });
    }
}

/// The child waits for the parent that is read, and that cannot be ended while the other has no lease.
/// The key space has no hole: nobody looked for one.
#[test]
fn a_merged_parent_whose_lease_was_deleted_gets_it_back() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = Calm::alone(seed, 2).await;
            calm.world.lock().merge();
            calm.delete(1);
            calm.put_back(2, None);
            calm.only(&[2]).await;
            calm.finish().await;
        });
    }
}

/// Nothing in the table says when it is done with.
#[test]
fn the_ended_lease_of_a_shard_that_is_not_listed_is_deleted() {
    simulate(async {
        let mut calm = Calm::alone(1, 2).await;
        calm.world.lock().merge();
        calm.only(&[2]).await;
        calm.split(2);
        calm.only(&[3, 4]).await;
        calm.trim_all();
        calm.put_ended(0);
        // Whoever has just come looks into it, the others once in a while.
        calm.fleet.join();
        calm.only(&[3, 4]).await;
        calm.finish().await;
    });
}

/// A row is deleted when its children have started, as their rows say: so these must not go before it.
#[test]
fn all_generations_are_deleted_when_they_are_done_with() {
    let quiet = |seed| Calm::new(Setup::new(seed), 1, None);
    simulate(async {
        let mut calm = quiet(1);
        calm.settled(1).await;
        calm.split(0);
        calm.split(1);
        calm.put_into(&[3, 4]);
        sleep(Duration::from_secs(20)).await;
        calm.put_into(&[2]);
        calm.only(&[2, 3, 4]).await;
        calm.finish().await;
    });
    // Its children are not listed any more: it names theirs, which do not name it.
    simulate(async {
        let mut calm = quiet(1);
        calm.settled(1).await;
        calm.fleet.crash(0).await;
        calm.split(0);
        calm.split(1);
        calm.split(2);
        calm.trim_all();
        calm.split(3);
        calm.put_into(&[7, 8]);
        calm.fleet.join();
        sleep(Duration::from_secs(30)).await;
        calm.put_into(&[4, 5, 6]);
        calm.only(&[4, 5, 6, 7, 8]).await;
        calm.finish().await;
    });
}

/// The counter of the new row comes to what it was in the old one. Who has not looked in between would
/// take it for the row of the worker that died.
#[test]
fn a_lease_that_was_deleted_and_has_a_new_owner_is_not_taken_from_it() {
    // The answer comes before the old lease would expire, or after that.
    for slow_scan in [8_000, 10_500] {
        simulate(async {
            let mut calm = Calm::new(Setup::new(1), 1, Some(Duration::from_millis(100)));
            calm.create_leases();
            calm.fleet.join();
            sleep(Duration::from_secs(1)).await;
            calm.fleet.crash(0).await;
            let observer = calm.fleet.join();
            sleep(Duration::from_millis(500)).await;
            let long = Duration::from_millis(slow_scan);
            calm.world.lock().table.slow_scans.insert(observer, long);
            sleep(Duration::from_millis(1_500)).await;
            calm.world.lock().table.slow_scans.clear();
            calm.delete(0);
            calm.put_back(0, None);
            sleep(Duration::from_millis(slow_scan - 1_000)).await;
            calm.fleet.join();
            calm.stays_sound(Duration::from_secs(5)).await;
            assert_eq!(calm.row(0).unwrap().owner, Some(WorkerId::new("w2")));
            calm.finish().await;
        });
    }
}

#[test]
fn a_shard_that_cannot_be_ended_keeps_its_lease() {
    simulate(async {
        let mut calm = Calm::alone(1, 1).await;
        calm.cannot_end().await;
        sleep(params().failover_time * 3).await;
        assert_eq!(calm.fleet.changes(LeaseChange::Expired), 0);
        calm.lists_again();
        calm.only(&[1, 2]).await;
        calm.finish().await;
        assert_eq!(calm.duplicates(), 0);
    });
}

/// Who has lost a lease in the meantime and holds it again is not done with the shard yet.
#[test]
fn an_end_that_is_late_does_not_count_for_the_next_grant() {
    for seed in 0..5 {
        simulate(async {
            let mut calm = Calm::alone(seed, 1).await;
            {
                let mut state = calm.world.lock();
                state.faults.unnamed_children = 1.0;
                state.stream.slow_listing = Duration::from_secs(20);
                let until = Instant::now() + Duration::from_secs(12);
                state.cut_off.insert((0, Port::Table), until);
            }
            sleep(Duration::from_millis(500)).await;
            calm.split(0);
            let expired = |calm: &Calm| calm.fleet.changes(LeaseChange::Expired) > 0;
            calm.until("the loss of the lease", expired).await;
            calm.hang_sinks(0, Duration::from_secs(30));
            let again = |calm: &Calm| calm.world.lock().counter("take") > 1;
            calm.until("the next grant", again).await;
            calm.stays_sound(Duration::from_secs(15)).await;
            calm.world.lock().stream.slow_listing = Duration::ZERO;
            calm.only(&[1, 2]).await;
            calm.finish().await;
        });
    }
}

#[test]
fn a_worker_leaves_though_its_shard_cannot_be_ended() {
    simulate(async {
        let mut calm = Calm::alone(1, 1).await;
        calm.cannot_end().await;
        calm.fleet.drain(0);
        let left = calm.until("its departure", |calm| calm.fleet.draining.is_empty()).await;
        assert!(left < Duration::from_secs(2), "it took {left:?}");
        assert_eq!(calm.row(0).map(|row| row.owner), Some(None), "it is released");
        calm.lists_again();
        calm.fleet.join();
        calm.only(&[1, 2]).await;
        calm.finish().await;
        assert_eq!(calm.duplicates(), 0);
    });
}
