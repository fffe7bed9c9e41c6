//! Keeping leases: renewals with their checkpoints, hand-overs, releases, shard ends.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Coordinator;
use crate::{
    leasing::{
        operations::{self, Written},
        plan,
        shard_sync::SyncError,
    },
    metrics::LeaseChange,
    model::{Lease, LeaseKey, LeaseWrite, ShardId, invariant},
    ports::{StoreError, Swap},
};

/// First pause before a write that failed is made again; each is at random up to four times that.
const RETRY_MIN: Duration = Duration::from_millis(200);

impl Coordinator {
    pub(super) fn start_due(&mut self, now: Instant) {
        self.drop_expired(now);
        self.start_writes(now);
        self.start_creations(now);
        if !self.draining && !self.scanning && now >= self.next_scan {
            self.scanning = true;
            self.operations.push(operations::scan(Arc::clone(&self.store)));
        }
    }

    fn start_writes(&mut self, now: Instant) {
        for (key, held) in &mut self.held {
            let Some(write) = held.due(&self.me, now) else { continue };
            held.busy = true;
            let (key, acquisition) = (key.clone(), Some(held.acquisition));
            let (wait, from_now_on, unsure) = (Duration::ZERO, false, held.unsure);
            let written = Written { key, acquisition, write, sent: now, wait, from_now_on, unsure };
            self.operations.push(operations::write(Arc::clone(&self.store), written));
        }
    }

    /// Where shards have ended: begins to create the leases of those that go on.
    fn start_creations(&mut self, now: Instant) {
        for held in self.held.values_mut() {
            let Some(stream) = self.streams.get(held.stream) else { continue };
            let Some(named) = held.start_creation(now) else { continue };
            let store = Arc::clone(&self.store);
            let ended = (held.lease.clone(), held.acquisition);
            let seen = Arc::clone(&self.watched.status.borrow().leases);
            let since = plan::latest_since(seen.iter().filter(|row| stream.identifier.owns(row)));
            let stream = stream.clone();
            let create = operations::create_successors(store, stream, ended, named, since);
            self.operations.push(create);
        }
    }

    /// Gives up leases whose renewals have failed for too long: others may own them now.
    fn drop_expired(&mut self, now: Instant) {
        let expired: Vec<LeaseKey> = self
            .held
            .iter()
            .filter(|(_, held)| now >= held.valid_until())
            .map(|(key, _)| key.clone())
            .collect();
        for key in expired {
            if let Some(held) = self.held.get(&key) {
                let silent = now.duration_since(held.renewed).as_secs_f64();
                let why = format!("could not renew it for {silent:.1} s");
                self.changed(LeaseChange::Expired, &held.lease, &why);
            }
            self.lose(&key);
        }
    }

    pub(super) fn wrote(&mut self, written: &Written, result: Result<Swap, StoreError>) {
        let Some(held) = self.held.get_mut(&written.key) else { return };
        if Some(held.acquisition) != written.acquisition {
            return;
        }
        held.busy = false;
        held.unsure = if matches!(result, Ok(Swap::Applied(_))) { None } else { written.unsure };
        match result {
            Ok(Swap::Applied(row)) => self.applied(written, row),
            Ok(Swap::Refused(Some(row)))
                if row.counter == held.lease.counter && row.holder() == Some(&self.me) =>
            {
                // Still ours: a hand-over was asked for in between, or a lost write never arrived.
                held.lease = row;
                held.next_write = Instant::now();
                self.start_hand_over(&written.key);
            }
            // A renewal whose answer was lost has arrived after all: nothing else raises the counter
            // once and leaves this worker the holder.
            Ok(Swap::Refused(Some(row)))
                if let Some(first) = written.unsure
                    && row.counter == held.lease.counter + 1
                    && row.holder() == Some(&self.me) =>
            {
                held.unsure = None;
                held.renewed(row, first, &self.params);
                held.next_write = Instant::now();
                self.start_hand_over(&written.key);
            }
            Ok(Swap::Refused(row)) => self.lost_to(&written.key, row.as_ref()),
            Err(error) => {
                self.report(&written.key, &error);
                if let Some(acquisition) = written.acquisition {
                    self.retry_later(&written.key, acquisition);
                }
            }
        }
    }

    fn applied(&mut self, written: &Written, row: Lease) {
        let key = &written.key;
        if let Some(held) = self.held.get(key)
            && let Err(breach) = invariant::check_counter(&held.lease, &written.write, &row)
                .and_then(|()| invariant::check_checkpoint(&held.lease, &row))
        {
            self.watched.metrics.raise(&breach);
        }
        match &written.write {
            LeaseWrite::Renew { .. } => {
                let jitter = self.rng.random_range(0.8..1.0);
                let next = written.sent + self.params.renew_interval().mul_f64(jitter);
                let Some(held) = self.held.get_mut(key) else { return };
                held.renewed(row, written.sent, &self.params);
                held.next_write = held.after_renewal(next);
                self.start_hand_over(key);
            }
            LeaseWrite::End { children, .. } => {
                let why = format!("read to its end, {} children follow", children.len());
                self.changed(LeaseChange::Ended, &row, &why);
                self.held.remove(key);
                // The children are free now.
                self.next_scan = Instant::now();
            }
            LeaseWrite::FinishHandOver { to, .. } => {
                self.changed(LeaseChange::HandedOver, &row, &format!("{to} asked for it"));
                self.held.remove(key);
            }
            LeaseWrite::Release { .. } => {
                let why = if self.draining { "draining" } else { "its consumer stopped" };
                self.changed(LeaseChange::Released, &row, why);
                self.held.remove(key);
            }
            LeaseWrite::Take { .. }
            | LeaseWrite::RequestHandOver { .. }
            | LeaseWrite::WithdrawRequest { .. }
            | LeaseWrite::FillHashRange { .. }
            | LeaseWrite::Evict { .. } => {}
        }
    }

    /// The leases of the shards that go on where one ended were created, or could not be.
    pub(super) fn succeeded(
        &mut self,
        key: &LeaseKey,
        acquisition: u64,
        result: Result<Vec<ShardId>, SyncError>,
    ) {
        let pause = self.rng.random_range(RETRY_MIN..RETRY_MIN * 4);
        let held = self.held.get_mut(key).filter(|held| held.acquisition == acquisition);
        let Some(held) = held else { return };
        let error = match result {
            Ok(children) => return held.succeeded(children),
            Err(error) => error,
        };
        let failures = held.not_succeeded(pause);
        let stream = held.stream;
        if failures.is_power_of_two() {
            warn!(lease = %key, %error, failures, "could not end the shard yet, will retry");
        }
        if let SyncError::ParentWithoutLease { .. } = error {
            self.ask_for_sync(stream);
        }
    }

    /// Lets the consumer drain when somebody waits for the lease.
    pub(super) fn start_hand_over(&mut self, key: &LeaseKey) {
        let Some(held) = self.held.get(key) else { return };
        if let Some(to) = held.wanted_by(&self.me)
            && held.drain()
        {
            info!(lease = %key, %to, "handing the lease over: draining");
        }
    }

    pub(super) fn retry_later(&mut self, key: &LeaseKey, acquisition: u64) {
        let pause = self.rng.random_range(RETRY_MIN..RETRY_MIN * 4);
        if let Some(held) = self.held.get_mut(key)
            && held.acquisition == acquisition
        {
            held.busy = false;
            held.next_write = Instant::now() + pause.min(self.params.renew_interval());
        }
    }

    /// Gives a lease up that is another's, as its row says.
    pub(super) fn lost_to(&mut self, key: &LeaseKey, row: Option<&Lease>) {
        let owner = row.and_then(|row| row.holder().cloned());
        if owner.as_ref() == Some(&self.me) {
            error!(lease = %key, worker = %self.me,
                "another process writes under this worker's id: give each its own worker_id");
        }
        if let Some(held) = self.held.get(key) {
            let why = owner.map_or_else(
                || "its row names no owner".to_owned(),
                |owner| format!("{owner} owns it now"),
            );
            self.changed(LeaseChange::Lost, &held.lease, &why);
        }
        self.lose(key);
    }

    pub(super) fn lose(&mut self, key: &LeaseKey) {
        if let Some(held) = self.held.remove(key) {
            // Its last checkpoint may not be written.
            self.reached.remove(key);
            self.given_up.insert(key.clone());
            if self.draining {
                self.abandoned.push(key.clone());
            }
            held.revoke();
        }
    }
}
