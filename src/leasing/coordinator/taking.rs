//! Taking leases.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Coordinator;
use crate::{
    leasing::{
        doubt::{Doubt, Listing},
        held::{Finished, Held, Taken},
        operations::{self, Written},
        shard_sync::SyncError,
    },
    metrics::LeaseChange,
    model::{Lease, LeaseKey, LeaseWrite, WorkerId},
    ports::{StoreError, Swap},
};

impl Coordinator {
    /// The doubt about a lease that nobody has held; `listings` are those of this round, by stream.
    pub(super) fn doubt(&self, lease: &Lease, listings: &[Listing]) -> Option<Doubt> {
        let of =
            self.streams.iter().zip(listings).find(|(stream, _)| stream.identifier.owns(lease));
        let (stream, listing) = of.filter(|_| lease.never_held())?;
        Some(Doubt {
            lease: lease.clone(),
            identifier: stream.identifier.clone(),
            listing: listing.clone(),
            leases: Arc::clone(&self.watched.status.borrow().leases),
            patience: self.params.failover_time,
        })
    }

    pub(super) fn take(&mut self, lease: &Lease, wait: Duration, now: Instant) {
        self.take_unless(lease, None, wait, now);
    }

    /// Takes a lease that is not held, unless it turns out that it is not needed.
    pub(super) fn take_unless(
        &mut self,
        lease: &Lease,
        doubt: Option<Doubt>,
        wait: Duration,
        now: Instant,
    ) {
        let held = self.held.contains_key(&lease.key);
        if held || !self.pending.insert(lease.key.clone()) {
            return;
        }
        let wait = wait.max(self.doubtful_wait(&lease.key));
        let age = self.observations.age(&lease.key, now);
        let asked = self.asked.get(&lease.key).map(|(from, _)| from);
        let (change, why) = why(lease, &self.me, wait, age, asked);
        debug!(lease = %lease.key, why, "taking the lease");
        self.reasons.insert(lease.key.clone(), (change, why));
        let from_now_on = lease.awaits_latest();
        let write = LeaseWrite::Take {
            by: self.me.clone(),
            counter: lease.counter,
            from: lease.owner.clone(),
            latest_since: from_now_on.then(|| self.clock.now()),
        };
        let parents = self.parents_of_new(lease);
        let key = lease.key.clone();
        let (acquisition, sent, unsure) = (None, Instant::now(), None);
        let written = Written { key, acquisition, write, sent, wait, from_now_on, unsure };
        let store = Arc::clone(&self.store);
        self.operations.push(match doubt {
            Some(doubt) => operations::take_if_needed(store, written, parents, doubt),
            None => operations::take(store, written, parents),
        });
    }

    /// For how long an old owner may still believe in a lease that this worker may have taken by force:
    /// the answer was lost, and the write may have arrived since.
    pub(super) fn doubtful_wait(&self, key: &LeaseKey) -> Duration {
        let until = self.doubtful.get(key).copied();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// The leases of the parents of a shard that nobody has started yet.
    fn parents_of_new(&self, lease: &Lease) -> Vec<LeaseKey> {
        let stream = self.streams.iter().find(|stream| stream.identifier.owns(lease));
        let Some(stream) = stream.filter(|_| lease.checkpoint.is_start()) else {
            return Vec::new();
        };
        lease.parents.iter().map(|parent| stream.lease_key(parent)).collect()
    }

    /// Nobody said whether a lease is needed; the next scan finds it again. One line for the first of a
    /// row, then each time the row has doubled: a stream that does not answer has many leases.
    pub(super) fn doubted(&mut self, key: &LeaseKey, error: &SyncError) {
        self.not_pending(key);
        self.doubts = self.doubts.saturating_add(1);
        if self.doubts.is_power_of_two() {
            warn!(lease = %key, %error, failures = self.doubts,
                "cannot tell whether the lease is needed, will retry");
        }
    }

    /// The line of a shard is at an earlier one.
    pub(super) fn not_yet(&mut self, key: &LeaseKey) {
        self.not_pending(key);
        debug!(lease = %key, "its shard comes later: one before it is not read to its end");
    }

    /// A take or a delete has come to its end; answers why the lease was to be taken.
    pub(super) fn not_pending(&mut self, key: &LeaseKey) -> Option<(LeaseChange, String)> {
        self.pending.remove(key);
        self.reasons.remove(key)
    }

    pub(super) fn took(&mut self, written: &Written, result: Result<Swap, StoreError>) {
        let why = self.not_pending(&written.key);
        if result.is_ok() {
            // Leases are moving, and others move theirs: the next round need not wait.
            self.look_soon();
        }
        if !matches!(result, Ok(Swap::Applied(_))) && written.unsure.is_some() {
            let now = Instant::now();
            self.doubtful.retain(|_, until| *until > now);
            let until = self.doubtful.entry(written.key.clone()).or_insert(now);
            *until = (*until).max(written.sent + written.wait);
        }
        match result {
            Ok(Swap::Applied(row)) => {
                self.doubts = 0;
                self.took_at = Some(Instant::now());
                if let Some((change, why)) = why {
                    self.changed(change, &row, &why);
                }
                self.acquired(row, written);
            }
            // It names this worker: the scan was a little old, or the answer to a take was lost. Which
            // write made the row is unknown, so it is taken from itself, and waits only for what is doubtful.
            Ok(Swap::Refused(Some(row))) if row.holder() == Some(&self.me) && !row.ended() => {
                if !self.hand_on(&row) {
                    self.take(&row, Duration::ZERO, Instant::now());
                }
            }
            // Another worker was faster.
            Ok(Swap::Refused(_)) => {}
            Err(error) => self.report(&written.key, &error),
        }
    }

    fn acquired(&mut self, row: Lease, written: &Written) {
        self.asked.remove(&written.key);
        self.doubtful.remove(&written.key);
        self.given_up.remove(&written.key);
        let Some(stream) = self.streams.iter().position(|s| s.identifier.owns(&row)) else {
            return;
        };
        self.acquisitions += 1;
        let taken = Taken {
            stream,
            acquisition: self.acquisitions,
            first: written.from_now_on && written.write.latest_since() == row.latest_since,
            sent: written.sent,
            not_before: written.sent + written.wait,
            lease: row,
        };
        let (mut held, grant) =
            Held::acquire(taken, &self.params, &self.hurry, &self.watched.metrics);
        if self.draining {
            // Released at once, or when the time of an old owner is over.
            held.finish(Finished::Drained(None));
        } else {
            // A closed receiver means that the process is ending; the lease will expire.
            let _ = self.grants.send(grant);
        }
        self.held.insert(written.key.clone(), held);
    }
}

/// How and why a lease is taken, for the log line that an operator reads at night. `asked` is whom
/// this worker had asked for it.
fn why(
    lease: &Lease,
    me: &WorkerId,
    wait: Duration,
    age: Duration,
    asked: Option<&WorkerId>,
) -> (LeaseChange, String) {
    let seconds = age.as_secs_f64();
    match (lease.holder(), &lease.checkpoint_owner) {
        (None, _) => (LeaseChange::Taken, "it had no owner".to_owned()),
        (Some(owner), _) if owner == me => match asked {
            Some(from) if wait.is_zero() => {
                (LeaseChange::Received, format!("{from} handed it over, as asked"))
            }
            Some(from) => (LeaseChange::Forced, format!("{from} did not hand it over in time")),
            None => (LeaseChange::Taken, "it named this worker".to_owned()),
        },
        (Some(owner), Some(_)) if !wait.is_zero() => {
            (LeaseChange::Forced, format!("{owner} did not hand it over in time"))
        }
        (Some(owner), _) => {
            (LeaseChange::Taken, format!("expired, not renewed for {seconds:.1} s by {owner}"))
        }
    }
}
