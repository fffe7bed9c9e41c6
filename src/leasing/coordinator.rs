//! The coordinator: one loop that owns all of this worker's lease state.
//!
//! `select` chooses, `apply` acts: the loop's only await returns a value, and every change of state
//! happens in a plain function after it. Calls to the table run side by side as [`Operation`]s.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::{error, info, warn};

use super::{
    ConsumerExit, LeaseGrant, LeaseParams, LeasedStream,
    held::{Due, Finished, Held},
    operations::{self, Done, Operation, Written},
    plan::{self, Observations},
};
use crate::{
    model::{Lease, LeaseKey, LeaseWrite, ShardId, WorkerId},
    ports::{LeaseStore, StoreError, Swap},
};

/// What the rest of the process tells the coordinator.
#[derive(Debug)]
pub enum Command {
    /// A consumer has come to its end.
    Finished {
        /// The lease it worked on.
        key: LeaseKey,
        /// The acquisition it worked on.
        acquisition: u64,
        /// How it ended.
        exit: ConsumerExit,
    },
    /// Take nothing more, let the consumers finish, release every lease, then end.
    Drain,
}

/// What the admin port and the shutdown report say of the lease engine.
#[derive(Clone, Debug)]
pub struct LeaseStatus {
    /// When the loop last turned.
    pub turned: Instant,
    /// Whether the table has answered a scan since the start.
    pub table_reached: bool,
    /// Whether the worker is leaving.
    pub draining: bool,
    /// The leases held now.
    pub held: BTreeSet<LeaseKey>,
}

/// The other end of a coordinator.
pub struct CoordinatorHandle {
    /// How the engine is doing.
    pub status: watch::Receiver<LeaseStatus>,
    /// Commands in.
    pub commands: mpsc::UnboundedSender<Command>,
    /// Leases taken, each for a new consumer. Closes when the coordinator ends.
    pub grants: mpsc::UnboundedReceiver<LeaseGrant>,
}

/// First pause after a failed call, doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Longest pause after a failed call.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Scans in a row that must show the same lack of leases before shards are listed: a scan is no
/// snapshot, and a single one may miss a row that was just put.
const SCANS_BEFORE_SYNC: u32 = 2;

/// Takes, renews, hands over, ends and releases the leases of one worker.
pub struct Coordinator {
    me: WorkerId,
    params: LeaseParams,
    store: Arc<dyn LeaseStore>,
    streams: Vec<LeasedStream>,
    rng: StdRng,

    held: BTreeMap<LeaseKey, Held>,
    /// Takes and hand-over requests under way.
    pending: BTreeSet<LeaseKey>,
    /// Hand-overs that this worker asked for, and when.
    asked: BTreeMap<LeaseKey, Instant>,
    observations: Observations,
    acquisitions: u64,

    scanning: bool,
    next_scan: Instant,
    scan_failures: u32,
    /// For each stream, how many scans in a row lacked leases, and whether a sync is under way.
    lacking: Vec<(u32, bool)>,
    draining: bool,

    operations: FuturesUnordered<Operation>,
    commands: mpsc::UnboundedReceiver<Command>,
    grants: mpsc::UnboundedSender<LeaseGrant>,
    status: watch::Sender<LeaseStatus>,
}

enum Action {
    Command(Command),
    Done(Done),
    Tick,
}

impl Coordinator {
    /// A coordinator that holds nothing yet. `seed` decides its jitter and its choices.
    pub fn new(
        me: WorkerId,
        params: LeaseParams,
        store: Arc<dyn LeaseStore>,
        streams: Vec<LeasedStream>,
        seed: u64,
    ) -> (Self, CoordinatorHandle) {
        let (command_tx, commands) = mpsc::unbounded_channel();
        let (grants, grant_rx) = mpsc::unbounded_channel();
        let (status, status_rx) = watch::channel(LeaseStatus {
            turned: Instant::now(),
            table_reached: false,
            draining: false,
            held: BTreeSet::new(),
        });
        let lacking = vec![(0, false); streams.len()];
        let coordinator = Self {
            me,
            params,
            store,
            streams,
            rng: StdRng::seed_from_u64(seed),
            held: BTreeMap::new(),
            pending: BTreeSet::new(),
            asked: BTreeMap::new(),
            observations: Observations::default(),
            acquisitions: 0,
            scanning: false,
            next_scan: Instant::now(),
            scan_failures: 0,
            lacking,
            draining: false,
            operations: FuturesUnordered::new(),
            commands,
            grants,
            status,
        };
        let handle =
            CoordinatorHandle { status: status_rx, commands: command_tx, grants: grant_rx };
        (coordinator, handle)
    }

    /// Runs until it has drained, or until its handle is dropped.
    ///
    /// # Cancel safety
    /// Dropping it leaves the leases owned: others take them after the failover time.
    pub async fn run(mut self) {
        while !(self.draining && self.held.is_empty() && self.pending.is_empty()) {
            match self.select().await {
                Some(Action::Command(command)) => self.command(command),
                Some(Action::Done(done)) => self.done(done),
                Some(Action::Tick) => {}
                None => return,
            }
            self.start_due(Instant::now());
            self.tell_status();
        }
    }

    fn tell_status(&self) {
        self.status.send_modify(|status| {
            status.turned = Instant::now();
            status.draining = self.draining;
            if !status.held.iter().eq(self.held.keys()) {
                status.held = self.held.keys().cloned().collect();
            }
        });
    }

    /// Waits for what happens next. `None` when nobody listens any more.
    async fn select(&mut self) -> Option<Action> {
        let wake = self.next_wake();
        tokio::select! { biased;
            command = self.commands.recv() => command.map(Action::Command),
            Some(done) = self.operations.next(), if !self.operations.is_empty() => {
                Some(Action::Done(done))
            }
            () = tokio::time::sleep_until(wake) => Some(Action::Tick),
        }
    }

    /// When something is due even if nothing happens.
    fn next_wake(&self) -> Instant {
        let writes = self.held.values().filter(|held| !held.busy).map(|held| held.next_write);
        let expiries = self.held.values().map(Held::valid_until);
        let scan = (!self.scanning && !self.draining).then_some(self.next_scan);
        let far = Instant::now() + self.params.failover_time;
        writes.chain(expiries).chain(scan).min().unwrap_or(far)
    }

    // === Commands ===

    fn command(&mut self, command: Command) {
        match command {
            Command::Drain => {
                self.draining = true;
                self.held.values().for_each(|held| {
                    held.drain();
                });
            }
            Command::Finished { key, acquisition, exit } => {
                let Some(held) = self.held.get_mut(&key) else { return };
                if held.acquisition != acquisition {
                    return;
                }
                held.finished = Some(match exit {
                    ConsumerExit::Drained(checkpoint) => Finished::Drained(checkpoint),
                    ConsumerExit::ShardEnded(children) => Finished::ShardEnded(children),
                    ConsumerExit::Lost => return,
                });
                held.next_write = Instant::now();
            }
        }
    }

    // === What is due ===

    fn start_due(&mut self, now: Instant) {
        self.drop_expired(now);
        let due: Vec<(LeaseKey, Due)> = self
            .held
            .iter()
            .filter_map(|(key, held)| Some((key.clone(), held.due(&self.me, now)?)))
            .collect();
        for (key, due) in due {
            self.start_write(key, due, now);
        }
        if !self.draining && !self.scanning && now >= self.next_scan {
            self.scanning = true;
            self.operations.push(operations::scan(Arc::clone(&self.store)));
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
            warn!(lease = %key, "gave the lease up: not renewed in time");
            self.lose(&key);
        }
    }

    fn start_write(&mut self, key: LeaseKey, due: Due, now: Instant) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.busy = true;
        let acquisition = held.acquisition;
        let store = Arc::clone(&self.store);
        let operation = match due {
            Due::Write(write) => {
                let acquisition = Some(acquisition);
                let wait = Duration::ZERO;
                operations::write(store, Written { key, acquisition, write, sent: now, wait })
            }
            Due::EndShard(children) => {
                let Some(stream) = self.streams.get(held.stream).cloned() else { return };
                let held = (key, acquisition, held.lease.clone());
                operations::end(store, stream, held, self.me.clone(), children)
            }
        };
        self.operations.push(operation);
    }

    // === What came of it ===

    fn done(&mut self, done: Done) {
        match done {
            Done::Scanned { started, result } => self.scanned(started, result),
            Done::Synced { stream, result } => {
                if let Some(lacking) = self.lacking.get_mut(stream) {
                    *lacking = (0, false);
                }
                match result {
                    Ok(0) => {}
                    Ok(_) => self.next_scan = Instant::now(),
                    Err(error) => warn!(%error, "shard sync failed, will retry"),
                }
            }
            Done::Wrote { write, result } if write.acquisition.is_none() => {
                self.took(write, result);
            }
            Done::Wrote { write, result } => self.wrote(&write, result),
            Done::NotEnded { key, acquisition, error } => {
                warn!(lease = %key, %error, "could not end the shard yet, will retry");
                self.retry_later(&key, acquisition);
            }
            Done::Asked { key, result } => self.hand_over_asked(&key, result),
            Done::Deleted { key, result } => {
                self.pending.remove(&key);
                match result {
                    Ok(true) => info!(lease = %key, "deleted the lease of an ended shard"),
                    Ok(false) => {}
                    Err(error) => warn!(lease = %key, %error, "could not delete an ended lease"),
                }
            }
        }
    }

    fn wrote(&mut self, written: &Written, result: Result<Swap, StoreError>) {
        let Some(held) = self.held.get_mut(&written.key) else { return };
        if Some(held.acquisition) != written.acquisition {
            return;
        }
        held.busy = false;
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
            Ok(Swap::Refused(row)) => {
                let owner = row
                    .and_then(|row| row.owner)
                    .map_or_else(|| "nobody".to_owned(), |owner| owner.to_string());
                warn!(lease = %written.key, owner, "lost the lease");
                self.lose(&written.key);
            }
            Err(error) => {
                report(&written.key, &error);
                if let Some(acquisition) = written.acquisition {
                    self.retry_later(&written.key, acquisition);
                }
            }
        }
    }

    fn applied(&mut self, written: &Written, row: Lease) {
        let key = &written.key;
        let checkpoint = row.checkpoint.clone();
        match &written.write {
            LeaseWrite::Renew { .. } => {
                let jitter = self.rng.random_range(0.8..1.0);
                let next = written.sent + self.params.renew_interval().mul_f64(jitter);
                let Some(held) = self.held.get_mut(key) else { return };
                held.renewed(row, written.sent, &self.params);
                held.next_write = if held.finished.is_some() { Instant::now() } else { next };
                self.start_hand_over(key);
            }
            LeaseWrite::End { children, .. } => {
                info!(lease = %key, children = children.len(), "shard ended");
                self.held.remove(key);
                // The children are free now.
                self.next_scan = Instant::now();
            }
            LeaseWrite::FinishHandOver { to, .. } => {
                info!(lease = %key, %to, %checkpoint, "handed the lease over");
                self.held.remove(key);
            }
            LeaseWrite::Release { .. } => {
                info!(lease = %key, %checkpoint, "released the lease");
                self.held.remove(key);
            }
            LeaseWrite::Take { .. } | LeaseWrite::RequestHandOver { .. } => {}
        }
    }

    /// Lets the consumer drain when somebody waits for the lease.
    fn start_hand_over(&mut self, key: &LeaseKey) {
        let Some(held) = self.held.get(key) else { return };
        if let Some(to) = held.wanted_by(&self.me)
            && held.drain()
        {
            info!(lease = %key, %to, "handing the lease over: draining");
        }
    }

    fn retry_later(&mut self, key: &LeaseKey, acquisition: u64) {
        let pause = self.rng.random_range(RETRY_MIN..RETRY_MIN * 4);
        if let Some(held) = self.held.get_mut(key)
            && held.acquisition == acquisition
        {
            held.busy = false;
            held.next_write = Instant::now() + pause.min(self.params.renew_interval());
        }
    }

    fn lose(&mut self, key: &LeaseKey) {
        if let Some(held) = self.held.remove(key) {
            held.revoke();
        }
    }

    // === Taking ===

    fn scanned(&mut self, started: Instant, result: Result<Vec<Lease>, StoreError>) {
        self.scanning = false;
        let now = Instant::now();
        match result {
            Ok(leases) => {
                self.scan_failures = 0;
                self.status.send_modify(|status| status.table_reached = true);
                let jitter = self.rng.random_range(0.9..1.1);
                self.next_scan = now + self.params.scan_pause(leases.len()).mul_f64(jitter);
                self.observations.observe(&leases, started);
                if !self.draining {
                    self.plan(&leases, now);
                }
            }
            Err(error) => {
                let pause = (RETRY_MIN * 2u32.saturating_pow(self.scan_failures)).min(RETRY_MAX);
                self.scan_failures = (self.scan_failures + 1).min(8);
                self.next_scan = now + pause.mul_f64(self.rng.random_range(0.5..1.0));
                warn!(%error, retry_in = ?pause, "lease table scan failed, will retry");
            }
        }
    }

    fn plan(&mut self, leases: &[Lease], now: Instant) {
        self.see_hand_over_requests(leases);
        self.follow_own_requests(leases, now);
        self.start_syncs(leases);
        self.start_deletes(leases);
        if !self.pending.is_empty() {
            return;
        }
        let by_shard: BTreeMap<&ShardId, &Lease> = leases.iter().map(|l| (&l.shard, l)).collect();
        let failover = self.params.failover_time;
        let available: BTreeSet<LeaseKey> = leases
            .iter()
            .filter(|lease| !lease.ended() && !self.held.contains_key(&lease.key))
            .filter(|lease| {
                lease.holder().is_none() || self.observations.expired(lease, failover, now)
            })
            .filter(|lease| plan::ready(lease, &by_shard))
            .map(|lease| lease.key.clone())
            .collect();
        let plan = plan::balance(leases, &available, &self.me, self.params.limits, &mut self.rng);
        for lease in leases {
            if plan.take.contains(&lease.key) {
                self.take(lease, Duration::ZERO, now);
            }
        }
        for (key, from) in plan.ask {
            self.pending.insert(key.clone());
            let store = Arc::clone(&self.store);
            self.operations.push(operations::ask(store, key, from, self.me.clone()));
        }
    }

    /// Sees hand-overs that others ask for earlier than the next renewal would.
    fn see_hand_over_requests(&mut self, leases: &[Lease]) {
        for lease in leases {
            let Some(held) = self.held.get_mut(&lease.key) else { continue };
            let asked = lease.checkpoint_owner.as_ref() == Some(&self.me);
            if asked && lease.counter >= held.first_counter {
                held.lease.owner.clone_from(&lease.owner);
                held.lease.checkpoint_owner.clone_from(&lease.checkpoint_owner);
                self.start_hand_over(&lease.key);
            }
        }
    }

    /// Takes leases that name this worker and are not held: hand-overs that are done, that timed
    /// out or whose old owner died, and leases that this worker had to give up but nobody took.
    fn follow_own_requests(&mut self, leases: &[Lease], now: Instant) {
        self.asked.retain(|key, _| leases.iter().any(|lease| lease.key == *key));
        for lease in leases {
            let mine = lease.owner.as_ref() == Some(&self.me);
            let busy = self.held.contains_key(&lease.key) || self.pending.contains(&lease.key);
            if !mine || busy || lease.ended() {
                continue;
            }
            if lease.checkpoint_owner.is_none() {
                self.take(lease, Duration::ZERO, now);
            } else if self.observations.expired(lease, self.params.failover_time, now) {
                self.take(lease, Duration::ZERO, now);
            } else {
                let asked = *self.asked.entry(lease.key.clone()).or_insert(now);
                if now.duration_since(asked) > self.params.hand_over_timeout {
                    // The old owner lives and may still believe in its lease for that long.
                    self.take(lease, self.params.failover_time, now);
                }
            }
        }
    }

    fn take(&mut self, lease: &Lease, wait: Duration, now: Instant) {
        if !self.pending.insert(lease.key.clone()) {
            return;
        }
        let age = self.observations.age(&lease.key, now);
        info!(lease = %lease.key, why = why(lease, &self.me, wait, age), "taking the lease");
        let write = LeaseWrite::Take {
            by: self.me.clone(),
            counter: lease.counter,
            from: lease.owner.clone(),
        };
        let written = Written { key: lease.key.clone(), acquisition: None, write, sent: now, wait };
        self.operations.push(operations::write(Arc::clone(&self.store), written));
    }

    fn took(&mut self, written: Written, result: Result<Swap, StoreError>) {
        self.pending.remove(&written.key);
        match result {
            Ok(Swap::Applied(row)) => self.acquired(row, &written),
            // Another worker was faster.
            Ok(Swap::Refused(_)) => {}
            Err(error) => report(&written.key, &error),
        }
    }

    fn acquired(&mut self, row: Lease, written: &Written) {
        self.asked.remove(&written.key);
        let Some(stream) = self.streams.iter().position(|s| s.identifier == row.stream) else {
            return;
        };
        self.acquisitions += 1;
        let not_before = written.sent + written.wait;
        let (mut held, grant) =
            Held::acquire(row, stream, self.acquisitions, written.sent, not_before, &self.params);
        if self.draining {
            // A thief that still has to wait must let the row expire: releasing it would invite a
            // third worker in while the old owner believes in its lease.
            if written.wait == Duration::ZERO {
                held.finished = Some(Finished::Drained(None));
                held.next_write = Instant::now();
                self.held.insert(written.key.clone(), held);
            }
            return;
        }
        self.held.insert(written.key.clone(), held);
        // A closed receiver means that the process is ending; the lease will expire.
        let _ = self.grants.send(grant);
    }

    fn hand_over_asked(&mut self, key: &LeaseKey, result: Result<Swap, StoreError>) {
        self.pending.remove(key);
        match result {
            Ok(Swap::Applied(row)) => {
                let from = row.checkpoint_owner.map(|owner| owner.to_string());
                info!(lease = %key, from = from.as_deref(), "asked for the lease");
                self.asked.insert(key.clone(), Instant::now());
            }
            Ok(Swap::Refused(_)) => {}
            Err(error) => report(key, &error),
        }
    }

    // === Shards without leases, leases without use ===

    fn start_syncs(&mut self, leases: &[Lease]) {
        for (index, stream) in self.streams.iter().enumerate() {
            let own: Vec<Lease> =
                leases.iter().filter(|lease| lease.stream == stream.identifier).cloned().collect();
            let Some((scans, running)) = self.lacking.get_mut(index) else { continue };
            *scans = if plan::has_hole(&own) { *scans + 1 } else { 0 };
            let due = own.is_empty() || *scans >= SCANS_BEFORE_SYNC;
            if due && *scans > 0 && !*running {
                *running = true;
                let store = Arc::clone(&self.store);
                self.operations.push(operations::sync(store, index, stream.clone(), own));
            }
        }
    }

    fn start_deletes(&mut self, leases: &[Lease]) {
        for key in plan::retirable(leases) {
            let Some(lease) = leases.iter().find(|lease| lease.key == key) else { continue };
            if self.pending.insert(key) {
                let store = Arc::clone(&self.store);
                self.operations.push(operations::delete(store, lease.clone()));
            }
        }
    }
}

/// Why a lease is taken, for the log line that an operator reads at night.
fn why(lease: &Lease, me: &WorkerId, wait: Duration, age: Duration) -> String {
    let seconds = age.as_secs_f64();
    match (lease.holder(), &lease.checkpoint_owner) {
        (None, _) => "it has no owner".to_owned(),
        (Some(owner), None) if owner == me => "it is handed over to this worker".to_owned(),
        (Some(owner), Some(_)) if !wait.is_zero() => {
            format!("{owner} did not hand it over in time")
        }
        (Some(owner), _) => format!("expired, not renewed for {seconds:.1} s by {owner}"),
    }
}

/// One line for a call that failed, at the level of who must act.
fn report(key: &LeaseKey, problem: &StoreError) {
    match problem {
        StoreError::Denied(_) | StoreError::Corrupt(_) => {
            error!(lease = %key, error = %problem, "lease write impossible, will retry");
        }
        StoreError::Throttled | StoreError::Unavailable(_) | StoreError::Unknown(_) => {
            warn!(lease = %key, error = %problem, "lease write failed, will retry");
        }
    }
}
