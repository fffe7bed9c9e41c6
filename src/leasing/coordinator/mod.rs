//! The coordinator: one loop that owns all of this worker's lease state.
//!
//! `select` chooses, `apply` acts: the loop's only await returns a value, and every change of state
//! happens in a plain function after it. Calls to the table run side by side as [`Operation`]s.

mod asking;
mod keeping;
mod scanning;
mod syncing;
mod taking;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tracing::{error, info, warn};

use self::syncing::SyncState;
use super::{
    ConsumerExit, LeaseGrant, LeaseParams, LeasedStream,
    held::{Finished, Held},
    operations::{Done, Operation},
    plan::Observations,
};
use crate::{
    metrics::{LeaseChange, Metrics},
    model::{Lease, LeaseKey, WorkerId},
    ports::{LeaseStore, StoreError, WallClock},
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
#[derive(Clone, Debug, Default)]
pub struct LeaseStatus {
    /// When the loop last turned; `None` while it has not begun.
    pub turned: Option<Instant>,
    /// Whether the table has answered a scan since the start.
    pub table_reached: bool,
    /// Whether the worker is leaving.
    pub draining: bool,
    /// The leases held now.
    pub held: BTreeSet<LeaseKey>,
    /// All leases of the table as the last scan showed them.
    pub leases: Arc<[Lease]>,
}

/// The other end of a coordinator.
pub struct CoordinatorHandle {
    /// Commands in.
    pub commands: mpsc::UnboundedSender<Command>,
    /// Leases taken, each for a new consumer. Closes when the coordinator ends.
    pub grants: mpsc::UnboundedReceiver<LeaseGrant>,
}

/// Takes, renews, hands over, ends and releases the leases of one worker.
pub struct Coordinator {
    me: WorkerId,
    params: LeaseParams,
    store: Arc<dyn LeaseStore>,
    clock: Arc<dyn WallClock>,
    streams: Vec<LeasedStream>,
    rng: StdRng,

    held: BTreeMap<LeaseKey, Held>,
    /// Takes and hand-over requests under way.
    pending: BTreeSet<LeaseKey>,
    /// Hand-overs that this worker asked for: of whom, and when.
    asked: BTreeMap<LeaseKey, (WorkerId, Instant)>,
    /// Leases that this worker may have taken by force without knowing: until when their old owners may
    /// believe in them.
    doubtful: BTreeMap<LeaseKey, Instant>,
    /// Leases that this worker has lost or given up and not held since: a delivery of theirs may still be
    /// under way.
    given_up: BTreeSet<LeaseKey>,
    observations: Observations,
    acquisitions: u64,
    /// Why takes were begun that are under way.
    reasons: BTreeMap<LeaseKey, (LeaseChange, String)>,
    /// Leases in a row of which nobody said whether they are needed.
    doubts: u32,

    /// When this worker last took a lease.
    took_at: Option<Instant>,
    scanning: bool,
    next_scan: Instant,
    scan_failures: u32,
    /// Writes that failed in a row, of whichever lease.
    failed_writes: u32,
    /// For each stream, what is known of leases that it lacks.
    syncs: Vec<SyncState>,
    draining: bool,
    /// Leases that this worker has read up to the time where reading ends. They are left to others,
    /// who may want to see for themselves.
    reached: BTreeSet<LeaseKey>,
    /// Leases that were lost while draining: their last checkpoints may not be written.
    abandoned: Vec<LeaseKey>,

    operations: FuturesUnordered<Operation>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// A consumer waits for a write.
    hurry: Arc<Notify>,
    grants: mpsc::UnboundedSender<LeaseGrant>,
    watched: Watched,
}

/// Who is told how the lease engine is doing.
pub struct Watched {
    /// The admin port and the shutdown report.
    pub status: watch::Sender<LeaseStatus>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

enum Action {
    Command(Command),
    Done(Box<Done>),
    Hurry,
    Tick,
}

impl Coordinator {
    /// A coordinator that holds nothing yet. `seed` decides its jitter and its choices.
    pub fn new(
        me: WorkerId,
        params: LeaseParams,
        store: Arc<dyn LeaseStore>,
        clock: Arc<dyn WallClock>,
        streams: Vec<LeasedStream>,
        watched: Watched,
        seed: u64,
    ) -> (Self, CoordinatorHandle) {
        let (command_tx, commands) = mpsc::unbounded_channel();
        let (grants, grant_rx) = mpsc::unbounded_channel();
        let syncs = vec![SyncState::new(Instant::now()); streams.len()];
        let coordinator = Self {
            me,
            params,
            store,
            clock,
            streams,
            rng: StdRng::seed_from_u64(seed),
            held: BTreeMap::new(),
            pending: BTreeSet::new(),
            asked: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            given_up: BTreeSet::new(),
            observations: Observations::default(),
            acquisitions: 0,
            reasons: BTreeMap::new(),
            doubts: 0,
            took_at: None,
            scanning: false,
            next_scan: Instant::now(),
            scan_failures: 0,
            failed_writes: 0,
            syncs,
            draining: false,
            reached: BTreeSet::new(),
            abandoned: Vec::new(),
            operations: FuturesUnordered::new(),
            commands,
            hurry: Arc::new(Notify::new()),
            grants,
            watched,
        };
        (coordinator, CoordinatorHandle { commands: command_tx, grants: grant_rx })
    }

    /// Runs until it has drained, or until its handle is dropped. Answers the leases that were lost
    /// while draining, before their last checkpoint and their release were written.
    ///
    /// # Cancel safety
    /// Dropping it leaves the leases owned: others take them after the failover time.
    pub async fn run(mut self) -> Vec<LeaseKey> {
        while !(self.draining && self.held.is_empty() && self.pending.is_empty()) {
            match self.select().await {
                Some(Action::Command(command)) => self.command(command),
                Some(Action::Done(done)) => self.done(*done),
                Some(Action::Hurry) => self.held.values_mut().for_each(Held::hurry),
                Some(Action::Tick) => {}
                None => break,
            }
            self.start_due(Instant::now());
            self.tell_status();
        }
        self.abandoned
    }

    fn tell_status(&self) {
        self.watched.status.send_modify(|status| {
            status.turned = Some(Instant::now());
            status.draining = self.draining;
            if !status.held.iter().eq(self.held.keys()) {
                status.held = self.held.keys().cloned().collect();
            }
        });
    }

    /// Says that a lease came or went: one line, one count, one entry for the live page.
    fn changed(&self, change: LeaseChange, lease: &Lease, why: &str) {
        let stream = self.streams.iter().find(|stream| stream.identifier.owns(lease));
        let stream = stream.map_or("", |stream| stream.name.as_str());
        self.watched.metrics.lease_changed(change, stream, lease, why);
        let (shard, checkpoint) = (&lease.shard, &lease.checkpoint);
        macro_rules! say {
            ($level:ident, $what:literal) => {
                tracing::$level!(stream, %shard, why, %checkpoint, $what)
            };
        }
        match change {
            LeaseChange::Taken => say!(info, "took the lease"),
            LeaseChange::Received => say!(info, "took over the lease"),
            LeaseChange::Forced => say!(warn, "took the lease by force"),
            LeaseChange::HandedOver => say!(info, "handed the lease over"),
            LeaseChange::Released => say!(info, "released the lease"),
            LeaseChange::Ended => say!(info, "shard ended"),
            LeaseChange::Expired => say!(warn, "gave the lease up"),
            LeaseChange::Lost => say!(warn, "lost the lease"),
        }
    }

    /// Waits for what happens next. `None` when nobody listens any more.
    async fn select(&mut self) -> Option<Action> {
        let wake = self.next_wake();
        tokio::select! { biased;
            command = self.commands.recv() => command.map(Action::Command),
            Some(done) = self.operations.next(), if !self.operations.is_empty() => {
                Some(Action::Done(Box::new(done)))
            }
            () = self.hurry.notified() => Some(Action::Hurry),
            () = tokio::time::sleep_until(wake) => Some(Action::Tick),
        }
    }

    /// When something is due even if nothing happens.
    fn next_wake(&self) -> Instant {
        let writes = self.held.values().filter(|held| !held.busy).map(|held| held.next_write);
        let creations = self.held.values().filter_map(Held::next_creation);
        let expiries = self.held.values().map(Held::valid_until);
        let scan = (!self.scanning && !self.draining).then_some(self.next_scan);
        let far = Instant::now() + self.params.failover_time;
        writes.chain(creations).chain(expiries).chain(scan).min().unwrap_or(far)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Drain => {
                self.draining = true;
                self.held.values().for_each(|held| {
                    held.drain();
                });
                self.withdraw_requests();
            }
            Command::Finished { key, acquisition, exit } => {
                let Some(held) = self.held.get_mut(&key) else { return };
                if held.acquisition != acquisition {
                    return;
                }
                held.finish(match exit {
                    ConsumerExit::Drained(checkpoint) => Finished::Drained(checkpoint),
                    ConsumerExit::Reached(checkpoint) => {
                        info!(lease = %key, "read up to where reading ends");
                        self.reached.insert(key);
                        Finished::Drained(checkpoint)
                    }
                    ConsumerExit::ShardEnded(children) => Finished::ShardEnded(children),
                    ConsumerExit::ShardGone => Finished::ShardEnded(Vec::new()),
                    ConsumerExit::Lost => return,
                });
            }
        }
    }

    fn done(&mut self, done: Done) {
        if matches!(done, Done::Wrote { result: Ok(_), .. }) {
            self.answered();
        }
        match done {
            Done::Scanned { started, result } => self.scanned(started, result),
            Done::Synced { stream, result } => self.synced(stream, result),
            Done::Wrote { write, result } if write.acquisition.is_none() => {
                self.took(&write, result);
            }
            Done::Wrote { write, result } => self.wrote(&write, result),
            Done::Succeeded { key, acquisition, result } => {
                self.succeeded(&key, acquisition, result);
            }
            Done::Requested { key, result } => self.requested(&key, result),
            Done::Doubted { key, error } => self.doubted(&key, &error),
            Done::NotYet { key } => self.not_yet(&key),
            Done::Deleted { key, result } => {
                self.not_pending(&key);
                match result {
                    Ok(true) => {
                        info!(lease = %key, "deleted the lease of a shard that is done with");
                    }
                    Ok(false) => {}
                    Err(error) => warn!(lease = %key, %error, "could not delete an ended lease"),
                }
            }
        }
    }
}

impl Coordinator {
    /// A line for a write that failed, at the level of who must act: for the first of a row, then each
    /// time the row has doubled. When the table is away, each lease would have its own line.
    fn report(&mut self, key: &LeaseKey, problem: &StoreError) {
        let Some(failures) = self.failed_again() else { return };
        if problem.is_transient() {
            warn!(lease = %key, error = %problem, failures, "lease write failed, will retry");
        } else {
            error!(lease = %key, error = %problem, failures, "lease write impossible, will retry");
        }
    }

    /// One more failure in a row; how many there are, if that is worth a line.
    fn failed_again(&mut self) -> Option<u32> {
        self.failed_writes = self.failed_writes.saturating_add(1);
        Some(self.failed_writes).filter(|failures| failures.is_power_of_two())
    }

    /// A write was answered, if only with a refusal.
    fn answered(&mut self) {
        if self.failed_writes > 1 {
            info!(failures = self.failed_writes, "leases are written again");
        }
        self.failed_writes = 0;
    }
}
