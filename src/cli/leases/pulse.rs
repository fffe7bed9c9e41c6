//! Who renews: what a while of watching the counters shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    model::{Lease, LeaseKey, WorkerId},
    ports::{LeaseStore, StoreError},
};

/// What became of every counter since a first look at the table.
///
/// Nothing in a row is a time, so this is the only way to tell a living owner from a dead one: an
/// owner renews each of its leases three times in `lease.failover_time`.
#[derive(Debug)]
pub(in crate::cli) struct Pulse {
    first: BTreeMap<LeaseKey, First>,
    renewed: BTreeSet<LeaseKey>,
    alive: BTreeSet<WorkerId>,
}

#[derive(Debug)]
struct First {
    counter: u64,
    /// Whether somebody should be renewing it.
    expected: bool,
}

impl Pulse {
    /// Begins with what a first scan showed.
    pub(in crate::cli) fn new(leases: &[Lease]) -> Self {
        let first = leases.iter().map(|lease| {
            let expected = lease.holder().is_some() && !lease.ended();
            (lease.key.clone(), First { counter: lease.counter, expected })
        });
        Self { first: first.collect(), renewed: BTreeSet::new(), alive: BTreeSet::new() }
    }

    /// Takes in a later scan.
    pub(in crate::cli) fn see(&mut self, leases: &[Lease]) {
        for lease in leases {
            let Some(holder) = lease.holder() else { continue };
            let moved =
                self.first.get(&lease.key).is_none_or(|first| lease.counter > first.counter);
            if moved {
                self.renewed.insert(lease.key.clone());
                self.alive.insert(holder.clone());
            }
        }
    }

    /// Whether the lease was renewed meanwhile.
    pub(in crate::cli) fn renews(&self, lease: &LeaseKey) -> bool {
        self.renewed.contains(lease)
    }

    /// Whether the worker has renewed any lease meanwhile.
    pub(in crate::cli) fn lives(&self, worker: &WorkerId) -> bool {
        self.alive.contains(worker)
    }

    /// Whether every lease that should be renewed was.
    pub(in crate::cli) fn complete(&self) -> bool {
        self.first.iter().all(|(key, first)| !first.expected || self.renewed.contains(key))
    }

    /// Scans again and again until `enough`, or until `period` has passed since the first scan. Costs
    /// a scan each tenth of the period, at most one a second.
    ///
    /// # Errors
    /// When the table does not answer: nothing can be said of anybody then.
    pub(in crate::cli) async fn watch(
        store: &dyn LeaseStore,
        first: &[Lease],
        period: Duration,
        enough: impl Fn(&Self) -> bool,
    ) -> Result<Self, StoreError> {
        let pause = (period / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
        let deadline = Instant::now() + period;
        let mut pulse = Self::new(first);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || enough(&pulse) {
                return Ok(pulse);
            }
            sleep(pause.min(left)).await;
            pulse.see(&store.scan().await?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::leases::testing::FakeTable, leasing::fixtures::lease, model::LeaseWrite};

    fn owned(shard: &str, owner: &str, counter: u64) -> Lease {
        Lease { counter, ..lease(shard).owner(owner).build() }
    }

    fn key(shard: &str) -> LeaseKey {
        LeaseKey::new(shard)
    }

    #[test]
    fn an_owner_lives_while_one_of_its_counters_moves() {
        let mut pulse = Pulse::new(&[owned("0", "a", 5), owned("1", "a", 9), owned("2", "b", 7)]);
        pulse.see(&[owned("0", "a", 6), owned("1", "a", 9), owned("2", "b", 7)]);
        assert!(pulse.lives(&WorkerId::new("a")) && !pulse.lives(&WorkerId::new("b")));
        assert!(pulse.renews(&key("0")) && !pulse.renews(&key("1")) && !pulse.complete());
        pulse.see(&[owned("1", "a", 10), owned("2", "c", 8)]);
        assert!(pulse.complete());
        assert!(!pulse.lives(&WorkerId::new("b")), "c took it");
        pulse.see(&[owned("3", "d", 0)]);
        assert!(pulse.renews(&key("3")), "a lease that was not there before");
    }

    #[test]
    fn nobody_renews_what_is_free_or_ended() {
        assert!(
            Pulse::new(&[lease("0").build(), lease("1").owner("a").ended().build()]).complete()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn watching_ends_when_enough_was_seen_or_the_period_is_over() {
        let table = FakeTable::new([owned("0", "a", 5)]);
        let period = Duration::from_secs(10);
        let renew = LeaseWrite::Renew { by: WorkerId::new("a"), counter: 5, checkpoint: None };
        let first = table.scan().await.unwrap();
        let started = Instant::now();
        let renewal = async {
            sleep(Duration::from_millis(3300)).await;
            table.write(&key("0"), &renew).await.unwrap();
        };
        let watch = Pulse::watch(&table, &first, period, Pulse::complete);
        let (pulse, ()) = tokio::join!(watch, renewal);
        assert!(pulse.unwrap().lives(&WorkerId::new("a")));
        assert_eq!(started.elapsed(), Duration::from_secs(4));

        let first = table.scan().await.unwrap();
        let started = Instant::now();
        let pulse = Pulse::watch(&table, &first, period, Pulse::complete).await.unwrap();
        assert!(!pulse.lives(&WorkerId::new("a")));
        assert_eq!(started.elapsed(), period);
    }
}
