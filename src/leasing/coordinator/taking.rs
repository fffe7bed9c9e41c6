//! Taking leases: what a scan shows, and what to do about it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Command, Coordinator};
use crate::{
    leasing::{
        LeasedStream,
        doubt::{self, Doubt, Listing},
        held::{Finished, Held, Taken},
        operations::{self, Written},
        plan,
        shard_sync::SyncError,
    },
    metrics::LeaseChange,
    model::{Lease, LeaseKey, LeaseWrite, WorkerId, rounded},
    ports::{StoreError, Swap},
};

/// First pause after a scan that failed, doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Longest pause after a scan that failed.
const RETRY_MAX: Duration = Duration::from_secs(5);

impl Coordinator {
    pub(super) fn scanned(&mut self, started: Instant, result: Result<Vec<Lease>, StoreError>) {
        self.scanning = false;
        let now = Instant::now();
        match result {
            Ok(mut leases) => {
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
                self.takes.retain(|key, _| leases.iter().any(|lease| lease.key == *key));
                if !self.draining {
                    self.see_what_others_did(&leases);
                    self.forget_requests(&leases, now);
                    self.put_right(&mut leases);
                    self.plan(&leases, now);
                }
            }
            Err(error) => {
                let doubled = 2u32.saturating_pow(self.scan_failures.min(8));
                let pause = (RETRY_MIN * doubled).min(RETRY_MAX);
                self.scan_failures = self.scan_failures.saturating_add(1);
                self.next_scan = now + pause.mul_f64(self.rng.random_range(0.5..1.0));
                if self.scan_failures.is_power_of_two() {
                    warn!(%error, failures = self.scan_failures, retry_in = ?rounded(pause),
                        "the lease table does not answer, will retry");
                }
            }
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

    /// Sees earlier than the next renewal would that others ask for a hand-over, or that a lease is
    /// not this worker's any more.
    fn see_what_others_did(&mut self, leases: &[Lease]) {
        for lease in leases {
            let Some(held) = self.held.get_mut(&lease.key) else {
                if self.asked.contains_key(&lease.key) {
                    self.hand_on(lease);
                }
                continue;
            };
            if lease.counter > held.lease.counter && lease.holder() != Some(&self.me) {
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

    /// Hands a lease on that another worker asks for, and that was handed to this one but not taken yet:
    /// nobody reads its shard, and nobody else can answer. Not one that this worker had to give up: a delivery
    /// may be under way.
    fn hand_on(&mut self, lease: &Lease) {
        let is_mine = lease.checkpoint_owner.as_ref() == Some(&self.me);
        let Some(to) = lease.owner.clone().filter(|_| is_mine) else { return };
        if !self.held.contains_key(&lease.key) {
            let (by, counter) = (self.me.clone(), lease.counter);
            let write = LeaseWrite::FinishHandOver { by, to, counter, checkpoint: None };
            self.request(lease.key.clone(), write);
        }
    }

    /// Forgets requests that no scan shows by their time-out: they were answered by somebody else, or
    /// never arrived.
    fn forget_requests(&mut self, leases: &[Lease], now: Instant) {
        let time_out = self.params.hand_over_timeout;
        self.asked.retain(|key, (_, asked)| {
            let names_me =
                |lease: &Lease| lease.key == *key && lease.owner.as_ref() == Some(&self.me);
            now.duration_since(*asked) <= time_out || leases.iter().any(names_me)
        });
    }

    /// A scan may be older than what this worker knows: it would ask for more right after it has asked
    /// for its share, or got it.
    fn put_right(&self, leases: &mut [Lease]) {
        for lease in leases {
            if let Some(held) = self.held.get(&lease.key)
                && held.lease.counter > lease.counter
            {
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

    /// Takes leases that name this worker and are not held: hand-overs that are done, that timed
    /// out or whose old owner died, and leases that this worker had to give up but nobody took.
    fn follow_own_requests(&mut self, leases: &[Lease], now: Instant) {
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

    /// The doubt about a lease that nobody has held; `listings` are those of this round, by stream.
    fn doubt(&self, lease: &Lease, listings: &[Listing]) -> Option<Doubt> {
        let of =
            self.streams.iter().zip(listings).find(|(stream, _)| stream.identifier.owns(lease));
        let (stream, listing) = of.filter(|_| lease.never_held())?;
        Some(Doubt {
            lease: lease.clone(),
            stream: stream.clone(),
            listing: listing.clone(),
            leases: Arc::clone(&self.watched.status.borrow().leases),
            patience: self.params.failover_time,
        })
    }

    fn take(&mut self, lease: &Lease, wait: Duration, now: Instant) {
        self.take_unless(lease, None, wait, now);
    }

    /// Takes a lease that is not held, unless it turns out that it is not needed.
    fn take_unless(&mut self, lease: &Lease, doubt: Option<Doubt>, wait: Duration, now: Instant) {
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
        let sent = Instant::now();
        let unsure = self.taken_before(lease, sent);
        let written = Written { key, acquisition: None, write, sent, wait, from_now_on, unsure };
        let store = Arc::clone(&self.store);
        self.operations.push(match doubt {
            Some(doubt) => operations::take_if_needed(store, written, parents, doubt),
            None => operations::take(store, written, parents),
        });
    }

    /// When a take was first sent that names the same counter as this one. A scan may be older than what
    /// that one came to: its row looks as if this one had been applied.
    fn taken_before(&mut self, lease: &Lease, sent: Instant) -> Option<Instant> {
        let before = self.takes.get(&lease.key).filter(|(counter, _)| *counter == lease.counter);
        let first = before.map(|(_, first)| *first);
        self.takes.insert(lease.key.clone(), (lease.counter, first.unwrap_or(sent)));
        first
    }

    /// For how long an old owner may still believe in a lease that this worker may have taken by force:
    /// the answer was lost, and the write may have arrived since.
    fn doubtful_wait(&self, key: &LeaseKey) -> Duration {
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
            // It names this worker, and the scan that said so was a little old.
            Ok(Swap::Refused(Some(row))) if row.holder() == Some(&self.me) && !row.ended() => {
                if row.checkpoint_owner.is_some() && self.asked.contains_key(&row.key) {
                    self.hand_on(&row);
                } else {
                    self.take(&row, written.wait, Instant::now());
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

    fn request(&mut self, key: LeaseKey, write: LeaseWrite) {
        if self.pending.insert(key.clone()) {
            let store = Arc::clone(&self.store);
            self.operations.push(operations::request(store, key, write));
        }
    }

    /// Takes requests back when this worker leaves, or their leases would be handed to nobody.
    pub(super) fn withdraw_requests(&mut self) {
        for (key, (from, _)) in std::mem::take(&mut self.asked) {
            let write = LeaseWrite::WithdrawRequest { from, by: self.me.clone() };
            self.request(key, write);
        }
    }

    /// A hand-over was asked for, such a request taken back, or a lease handed on. What the row says now matters more than
    /// whether it was this write that made it so: an answer may have been lost.
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
                self.asked.remove(key);
                self.hand_on(&row);
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

    fn look_soon(&mut self) {
        self.next_scan = self.next_scan.min(Instant::now() + self.params.scan_interval / 5);
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
        (Some(owner), None) if owner == me => match asked {
            Some(from) => (LeaseChange::Received, format!("{from} handed it over, as asked")),
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
