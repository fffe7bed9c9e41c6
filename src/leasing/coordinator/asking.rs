//! Asking other workers for leases: hand-overs from the side of whoever gets them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::info;

use super::Coordinator;
use crate::{
    leasing::operations,
    model::{Lease, LeaseKey, LeaseWrite},
    ports::{StoreError, Swap},
};

impl Coordinator {
    /// Takes leases that name this worker and are not held: hand-overs that are done, that timed
    /// out or whose old owner died, and leases that this worker had to give up but nobody took.
    pub(super) fn follow_own_requests(&mut self, leases: &[Lease], now: Instant) {
        for lease in leases {
            let mine = lease.owner.as_ref() == Some(&self.me);
            if !mine || lease.ended() {
                continue;
            }
            let expired = self.observations.expired(lease, self.params.failover_time, now);
            if lease.checkpoint_owner.is_none() || expired {
                self.take(lease, Duration::ZERO, now);
            } else {
                let Some(holder) = lease.holder().cloned() else { continue };
                let (_, asked) = *self.asked.entry(lease.key.clone()).or_insert((holder, now));
                if now.duration_since(asked) > self.params.hand_over_timeout {
                    // The old owner lives and may still believe in its lease for that long.
                    self.take(lease, self.params.failover_time, now);
                }
            }
        }
    }

    pub(super) fn request(&mut self, key: LeaseKey, write: LeaseWrite) {
        if self.pending.insert(key.clone()) {
            let store = Arc::clone(&self.store);
            self.operations.push(operations::request(store, key, write));
        }
    }

    /// A hand-over was asked for, such a request taken back, or a lease handed on. What the row says now
    /// matters more than whether it was this write that made it so: an answer may have been lost.
    pub(super) fn requested(&mut self, key: &LeaseKey, result: Result<Swap, StoreError>) {
        self.pending.remove(key);
        let row = match result {
            Ok(Swap::Applied(row) | Swap::Refused(Some(row))) => row,
            Ok(Swap::Refused(None)) => return,
            Err(error) => return self.report(key, &error),
        };
        match (row.owner.as_ref() == Some(&self.me), row.checkpoint_owner.clone()) {
            // Another worker was faster, or it is taken back or handed on.
            (false, _) => {
                if !self.hand_on(&row) {
                    self.asked.remove(key);
                }
            }
            // Handed over in the meantime: a worker that leaves takes it to release it.
            (true, None) => self.take(&row, Duration::ZERO, Instant::now()),
            (true, Some(from)) => {
                info!(lease = %key, %from, "asked for the lease");
                self.asked.insert(key.clone(), (from, Instant::now()));
                self.look_soon();
                if self.draining {
                    self.withdraw_requests();
                }
            }
        }
    }

    /// Hands a lease on that another worker asks for, and that was handed to this one, as it had asked, but
    /// not taken yet: nobody reads its shard, and nobody else can answer. Not one that this worker had to give
    /// up: a delivery may be under way, and an old scan may show that it was asked for once. Nor one that it
    /// may have taken by force without knowing: whoever got it would not wait for the old owner. Answers
    /// whether it hands the lease on.
    pub(super) fn hand_on(&mut self, lease: &Lease) -> bool {
        let is_mine = lease.checkpoint_owner.as_ref() == Some(&self.me);
        let was_handed_over = self.asked.contains_key(&lease.key)
            && !self.held.contains_key(&lease.key)
            && !self.given_up.contains(&lease.key)
            && self.doubtful_wait(&lease.key).is_zero();
        let Some(to) = lease.owner.clone().filter(|_| is_mine && was_handed_over) else {
            return false;
        };
        let (by, counter) = (self.me.clone(), lease.counter);
        let write = LeaseWrite::FinishHandOver { by, to, counter, checkpoint: None };
        self.request(lease.key.clone(), write);
        true
    }

    /// Forgets requests that no scan shows by their time-out: they were answered by somebody else, or
    /// never arrived.
    pub(super) fn forget_requests(&mut self, leases: &[Lease], now: Instant) {
        let time_out = self.params.hand_over_timeout;
        self.asked.retain(|key, (_, asked)| {
            let names_me =
                |lease: &Lease| lease.key == *key && lease.owner.as_ref() == Some(&self.me);
            now.duration_since(*asked) <= time_out || leases.iter().any(names_me)
        });
    }

    /// Takes requests back when this worker leaves, or their leases would be handed to nobody.
    pub(super) fn withdraw_requests(&mut self) {
        for (key, (from, _)) in self.asked.clone() {
            let write = LeaseWrite::WithdrawRequest { from, by: self.me.clone() };
            self.request(key, write);
        }
    }
}
