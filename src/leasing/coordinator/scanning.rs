//! Scans of the table: what one shows, and what to do about it.

use std::{collections::BTreeSet, time::Duration};

use rand::RngExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Command, Coordinator};
use crate::{
    leasing::{
        LeasedStream,
        doubt::{self, Listing},
        plan,
    },
    model::{Lease, LeaseKey, LeaseWrite, rounded},
    ports::StoreError,
};

/// First pause after a scan that failed, doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Longest pause after a scan that failed.
const RETRY_MAX: Duration = Duration::from_secs(5);

impl Coordinator {
    pub(super) fn scanned(&mut self, started: Instant, result: Result<Vec<Lease>, StoreError>) {
        self.scanning = false;
        match result {
            Ok(leases) => self.saw(leases, started, Instant::now()),
            Err(error) => self.saw_nothing(&error, Instant::now()),
        }
    }

    fn saw(&mut self, mut leases: Vec<Lease>, started: Instant, now: Instant) {
        if self.scan_failures > 0 {
            info!(failures = self.scan_failures, "the lease table answers again");
        }
        self.scan_failures = 0;
        self.watched.status.send_modify(|status| {
            status.table_reached = true;
            status.leases = leases.as_slice().into();
        });
        let pause = self.pause(leases.len(), now);
        // A counter is news from the end of the scan on (KCL `DynamoDBLeaseTaker`). A slow scan
        // may make a living lease look old: then its counter has grown, and the take is refused.
        for breach in self.observations.observe(&leases, started, now) {
            self.watched.metrics.raise(&breach);
        }
        self.next_scan = self.before_next_expiry(now, now + pause);
        self.given_up.retain(|key| leases.iter().any(|lease| lease.key == *key));
        if !self.draining {
            self.see_what_others_did(&leases);
            self.forget_requests(&leases, now);
            self.put_right(&mut leases);
            self.plan(&leases, now);
        }
    }

    fn saw_nothing(&mut self, error: &StoreError, now: Instant) {
        let doubled = 2u32.saturating_pow(self.scan_failures.min(8));
        let pause = (RETRY_MIN * doubled).min(RETRY_MAX);
        self.scan_failures = self.scan_failures.saturating_add(1);
        self.next_scan = now + pause.mul_f64(self.rng.random_range(0.5..1.0));
        if self.scan_failures.is_power_of_two() {
            warn!(%error, failures = self.scan_failures, retry_in = ?rounded(pause),
                "the lease table does not answer, will retry");
        }
    }

    /// How long to wait before the next scan of a table of so many leases. While a hand-over is under way
    /// nobody reads the shard in the end, and a worker that has just taken leases may be asked for some: look
    /// sooner.
    fn pause(&mut self, leases: usize, now: Instant) -> Duration {
        let pause = self.params.scan_pause(leases).mul_f64(self.rng.random_range(0.9..1.1));
        let just_took = self.took_at.is_some_and(|at| now.duration_since(at) < pause * 2);
        if just_took || !self.asked.is_empty() { pause / 5 } else { pause }
    }

    /// When to scan next: a lease whose owner has died is seen to expire at once, not a round later.
    fn before_next_expiry(&self, now: Instant, next: Instant) -> Instant {
        let is_other = |key: &LeaseKey| !self.held.contains_key(key);
        let expiry = self.observations.next_expiry(self.params.failover_time, now, is_other);
        expiry.map_or(next, |at| next.min(at + Duration::from_millis(1)))
    }

    pub(super) fn look_soon(&mut self) {
        self.next_scan = self.next_scan.min(Instant::now() + self.params.scan_interval / 5);
    }

    /// Sees earlier than the next renewal would that others ask for a hand-over, or that a lease is
    /// not this worker's any more.
    fn see_what_others_did(&mut self, leases: &[Lease]) {
        for lease in leases {
            let Some(held) = self.held.get_mut(&lease.key) else {
                self.hand_on(lease);
                continue;
            };
            // It may be what this worker writes itself: then the answer tells.
            let is_unexplained = lease.counter > held.lease.counter && !held.busy;
            if is_unexplained && lease.holder() != Some(&self.me) {
                self.lost_to(&lease.key, Some(lease));
                continue;
            }
            let asked = lease.checkpoint_owner.as_ref() == Some(&self.me);
            // An older image may show a hand-over that is done.
            if asked && lease.counter >= held.lease.counter {
                held.lease.owner.clone_from(&lease.owner);
                held.lease.checkpoint_owner.clone_from(&lease.checkpoint_owner);
                self.start_hand_over(&lease.key);
            }
        }
    }

    /// A scan may be older than what this worker knows: it would ask for more right after it has asked
    /// for its share, or got it. It may also show what a write under way has done: whoever asked for such a
    /// lease would get one that it still holds.
    fn put_right(&self, leases: &mut [Lease]) {
        for lease in leases {
            if let Some(held) = self.held.get(&lease.key) {
                lease.clone_from(&held.lease);
            }
            if let Some((from, _)) = self.asked.get(&lease.key)
                && lease.holder() == Some(from)
            {
                lease.owner = Some(self.me.clone());
                lease.checkpoint_owner = Some(from.clone());
            }
        }
    }

    fn plan(&mut self, leases: &[Lease], now: Instant) {
        self.follow_own_requests(leases, now);
        self.start_syncs(leases);
        self.start_deletes(leases);
        if !self.pending.is_empty() {
            return;
        }
        if self.all_reached(leases) {
            info!("every shard has been read up to where reading ends");
            self.command(Command::Drain);
            return;
        }
        let by_shard = plan::by_shard(leases);
        let failover = self.params.failover_time;
        let available: BTreeSet<LeaseKey> = leases
            .iter()
            .filter(|lease| !lease.ended() && !self.held.contains_key(&lease.key))
            .filter(|lease| !self.reached.contains(&lease.key))
            .filter(|lease| self.streams.iter().any(|own| own.identifier.owns(lease)))
            .filter(|lease| {
                lease.holder().is_none() || self.observations.expired(lease, failover, now)
            })
            .filter(|lease| plan::ready(lease, &by_shard))
            .map(|lease| lease.key.clone())
            .collect();
        let mut limits = self.params.limits;
        limits.max_hand_overs = limits.max_hand_overs.saturating_sub(self.asked.len());
        let left = leases.iter().filter(|lease| !self.reached.contains(&lease.key));
        let balance = plan::balance(left, &available, &self.me, limits, &mut self.rng);
        let listings: Vec<Listing> = self.streams.iter().map(doubt::listing).collect();
        for lease in leases.iter().filter(|lease| balance.take.contains(&lease.key)) {
            let doubt = self.doubt(lease, &listings);
            self.take_unless(lease, doubt, Duration::ZERO, now);
        }
        for (key, from) in balance.ask {
            let write = LeaseWrite::RequestHandOver { from, to: self.me.clone() };
            self.request(key, write);
        }
    }

    /// Whether there is nothing left to read: each stream's leases have ended, or this worker itself
    /// has read them up to where reading ends, and no part of the key space is without a lease. A
    /// stream without such an end never comes to this.
    fn all_reached(&self, leases: &[Lease]) -> bool {
        let stream_is = |stream: &LeasedStream| {
            let own = || leases.iter().filter(|lease| stream.identifier.owns(lease));
            own().any(|lease| self.reached.contains(&lease.key))
                && own().all(|lease| lease.ended() || self.reached.contains(&lease.key))
                && plan::first_hole(own()).is_none()
        };
        self.held.is_empty() && !self.reached.is_empty() && self.streams.iter().all(stream_is)
    }
}
