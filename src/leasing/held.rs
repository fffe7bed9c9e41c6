//! One lease that this worker holds, and what it owes the table.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{LeaseGrant, LeaseParams};
use crate::{
    metrics::Metrics,
    model::{ChildShard, Lease, LeaseWrite, PendingCheckpoint, Progress, ShardId, WorkerId},
};

/// A lease from its acquisition until it is released, handed over, ended or lost.
pub(super) struct Held {
    /// The row as this worker last knew it.
    pub(super) lease: Lease,
    pub(super) stream: usize,
    pub(super) acquisition: u64,
    /// When the last renewal that succeeded was sent.
    pub(super) renewed: Instant,
    /// Until then an old owner may believe in the lease: it was taken by force. It is kept that long
    /// even when there is nothing left to do: whoever got it next would not know that it must wait.
    not_before: Instant,
    /// Whether a write is under way. One at a time: the counter fences only that way.
    pub(super) busy: bool,
    /// When the first of the writes was sent whose answers were lost, since the last certain one. One
    /// of them may still arrive, so a counter that goes on under this worker's name is no wonder.
    pub(super) unsure: Option<Instant>,
    /// The next write is not made before this.
    pub(super) next_write: Instant,
    /// What the consumer has left behind; set once it has finished.
    finished: Option<Finished>,
    /// Whether the leases of the shards that go on are being created. Renewals go on meanwhile.
    creating: bool,
    /// They are not created before this.
    next_creation: Instant,
    /// How often they could not be created.
    failed_creations: u32,
    valid_until: watch::Sender<Instant>,
    draining: CancellationToken,
    lost: CancellationToken,
    progress: watch::Receiver<Option<Progress>>,
    prepared: watch::Sender<Option<PendingCheckpoint>>,
}

/// What is left to do for a consumer that has finished.
#[derive(Clone, Debug)]
pub(super) enum Finished {
    /// Give the lease up, or hand it over if that was asked.
    Drained(Option<Progress>),
    /// Create the leases of the shards that go on: its children, if the stream named them.
    ShardEnded(Vec<ChildShard>),
    /// Write the shard's end: the leases of these are there.
    Succeeded(Vec<ShardId>),
}

/// A lease as a take left it.
pub(super) struct Taken {
    pub(super) lease: Lease,
    pub(super) stream: usize,
    pub(super) acquisition: u64,
    /// Whether it is the first take of a shard that is read from `LATEST`.
    pub(super) first: bool,
    /// When the take was sent.
    pub(super) sent: Instant,
    pub(super) not_before: Instant,
}

impl Held {
    /// A lease that was just taken, with the grant for its consumer, which notifies `hurry` when it
    /// has prepared something.
    pub(super) fn acquire(
        taken: Taken,
        params: &LeaseParams,
        hurry: &Arc<Notify>,
        metrics: &Arc<Metrics>,
    ) -> (Self, LeaseGrant) {
        let Taken { lease, stream, acquisition, first, sent, not_before } = taken;
        let (valid_until, valid_until_rx) = watch::channel(sent + params.validity());
        let (progress_tx, progress) = watch::channel(None);
        let (prepared, prepared_rx) = watch::channel(lease.pending.clone());
        let held = Self {
            lease: lease.clone(),
            stream,
            acquisition,
            renewed: sent,
            not_before,
            busy: false,
            unsure: None,
            next_write: sent + params.renew_interval(),
            finished: None,
            creating: false,
            next_creation: sent,
            failed_creations: 0,
            valid_until,
            draining: CancellationToken::new(),
            lost: CancellationToken::new(),
            progress,
            prepared,
        };
        let grant = LeaseGrant {
            lease,
            stream,
            acquisition,
            first,
            not_before,
            valid_until: valid_until_rx,
            draining: held.draining.clone(),
            lost: held.lost.clone(),
            progress: progress_tx,
            prepared: prepared_rx,
            hurry: Arc::clone(hurry),
            metrics: Arc::clone(metrics),
        };
        (held, grant)
    }

    /// Takes in a row that a write sent at `sent` left behind.
    pub(super) fn renewed(&mut self, row: Lease, sent: Instant, params: &LeaseParams) {
        self.prepared.send_if_modified(|prepared| {
            let news = *prepared != row.pending;
            prepared.clone_from(&row.pending);
            news
        });
        self.lease = row;
        self.renewed = sent;
        self.valid_until.send_replace(sent + params.validity());
    }

    /// When to write next after a renewal; `next` is when the next one is due.
    pub(super) fn after_renewal(&self, next: Instant) -> Instant {
        match self.finished {
            Some(Finished::Drained(_) | Finished::Succeeded(_)) => {
                self.not_before.max(Instant::now()).min(next)
            }
            // Prepared while the renewal was under way.
            _ if self.is_waited_for() => Instant::now(),
            _ => next,
        }
    }

    /// When the grant stops being valid unless it is renewed.
    pub(super) fn valid_until(&self) -> Instant {
        *self.valid_until.borrow()
    }

    /// Tells the consumer to finish what is in flight. `true` the first time.
    pub(super) fn drain(&self) -> bool {
        let first = !self.draining.is_cancelled();
        self.draining.cancel();
        first
    }

    /// Tells the consumer that the lease is somebody else's.
    pub(super) fn revoke(&self) {
        self.lost.cancel();
    }

    /// The consumer has finished. What is left to write is written now.
    pub(super) fn finish(&mut self, finished: Finished) {
        if !matches!(finished, Finished::ShardEnded(_)) {
            self.next_write = Instant::now();
        }
        self.finished = Some(finished);
    }

    /// When the leases of the shards that go on are to be created, unless that is under way.
    pub(super) fn next_creation(&self) -> Option<Instant> {
        let ended = matches!(self.finished, Some(Finished::ShardEnded(_)));
        (ended && !self.creating).then_some(self.next_creation)
    }

    /// Begins to create the leases of the shards that go on, if that is due: answers which were named.
    pub(super) fn start_creation(&mut self, now: Instant) -> Option<Vec<ChildShard>> {
        self.next_creation().filter(|at| *at <= now)?;
        let Some(Finished::ShardEnded(named)) = &self.finished else { return None };
        self.creating = true;
        Some(named.clone())
    }

    /// The shards that go on have their leases.
    pub(super) fn succeeded(&mut self, children: Vec<ShardId>) {
        self.creating = false;
        self.finish(Finished::Succeeded(children));
    }

    /// They could not be created, and are tried again after a pause. Whoever leaves, or is asked for the
    /// lease, does not wait for that: the next owner finds the end again. Answers how often they could not.
    pub(super) fn not_succeeded(&mut self, pause: Duration) -> u32 {
        self.creating = false;
        self.next_creation = Instant::now() + pause;
        self.failed_creations = self.failed_creations.saturating_add(1);
        if self.draining.is_cancelled() {
            let progress = self.progress.borrow().clone();
            self.finish(Finished::Drained(progress));
        }
        self.failed_creations
    }

    /// Who waits for this lease, when a hand-over was asked for.
    pub(super) fn wanted_by(&self, me: &WorkerId) -> Option<&WorkerId> {
        let asked = self.lease.checkpoint_owner.as_ref() == Some(me);
        self.lease.owner.as_ref().filter(|owner| asked && *owner != me)
    }

    /// What to write now, if anything.
    pub(super) fn due(&self, me: &WorkerId, now: Instant) -> Option<LeaseWrite> {
        if self.busy || now < self.next_write {
            return None;
        }
        let counter = self.lease.counter;
        let by = me.clone();
        Some(match self.finished.as_ref().filter(|_| now >= self.not_before) {
            None | Some(Finished::ShardEnded(_)) => LeaseWrite::Renew {
                by,
                counter,
                checkpoint: self.news(self.progress.borrow().as_ref()),
            },
            Some(Finished::Succeeded(children)) => {
                LeaseWrite::End { by, counter, children: children.clone() }
            }
            Some(Finished::Drained(checkpoint)) => {
                let checkpoint = self.news(checkpoint.as_ref());
                match self.wanted_by(me) {
                    Some(to) => {
                        LeaseWrite::FinishHandOver { by, to: to.clone(), counter, checkpoint }
                    }
                    None => LeaseWrite::Release { by, counter, checkpoint },
                }
            }
        })
    }

    /// Makes the next write due if the consumer waits for it.
    pub(super) fn hurry(&mut self) {
        if self.is_waited_for() {
            self.next_write = self.next_write.min(Instant::now());
        }
    }

    /// Whether the consumer has prepared what the row does not say yet.
    fn is_waited_for(&self) -> bool {
        let waits = |progress: &Progress| {
            progress.pending.is_some() && progress.pending != self.lease.pending
        };
        self.progress.borrow().as_ref().is_some_and(waits)
    }

    /// What is news to the row. What is prepared is told with the checkpoint that the row has.
    fn news(&self, progress: Option<&Progress>) -> Option<Progress> {
        let progress = progress?;
        if self.lease.checkpoint.advances(&progress.checkpoint) {
            return Some(progress.clone());
        }
        let prepared = progress.pending.is_some() && progress.pending != self.lease.pending;
        // The row keeps the watermarks of the checkpoint that it has.
        let (checkpoint, watermarks) = (self.lease.checkpoint.clone(), None);
        prepared.then(|| Progress { checkpoint, watermarks, ..progress.clone() })
    }
}
