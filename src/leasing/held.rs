//! One lease that this worker holds, and what it owes the table.

use std::sync::Arc;

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{LeaseGrant, LeaseParams, shard_sync::Successors};
use crate::{
    metrics::Metrics,
    model::{Lease, LeaseWrite, PendingCheckpoint, Progress, WorkerId},
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
    /// Whether the shard could not be ended since the last renewal.
    end_failed: bool,
    /// What the consumer has left behind; set once it has finished.
    pub(super) finished: Option<Finished>,
    valid_until: watch::Sender<Instant>,
    draining: CancellationToken,
    lost: CancellationToken,
    progress: watch::Receiver<Option<Progress>>,
    prepared: watch::Sender<Option<PendingCheckpoint>>,
}

/// What is left to write for a consumer that has finished.
#[derive(Clone, Debug)]
pub(super) enum Finished {
    /// Give the lease up, or hand it over if that was asked.
    Drained(Option<Progress>),
    /// Write the shard's end.
    ShardEnded(Successors),
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

/// The next thing to do for a held lease.
pub(super) enum Due {
    Write(LeaseWrite),
    EndShard(Successors),
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
            end_failed: false,
            finished: None,
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
        self.end_failed = false;
        self.renewed = sent;
        self.valid_until.send_replace(sent + params.validity());
    }

    /// When to write next after a renewal; `next` is when the next one is due.
    pub(super) fn after_renewal(&self, next: Instant) -> Instant {
        match self.finished {
            Some(_) => self.not_before.max(Instant::now()).min(next),
            // Prepared while the renewal was under way.
            None if self.is_waited_for() => Instant::now(),
            None => next,
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

    /// The shard could not be ended. Whoever leaves, or is asked for the lease, does not wait until it
    /// can: the next owner finds the end again.
    pub(super) fn leave_unended(&mut self) {
        self.end_failed = true;
        if self.draining.is_cancelled() {
            self.finished = Some(Finished::Drained(self.progress.borrow().clone()));
        }
    }

    /// Who waits for this lease, when a hand-over was asked for.
    pub(super) fn wanted_by(&self, me: &WorkerId) -> Option<&WorkerId> {
        let asked = self.lease.checkpoint_owner.as_ref() == Some(me);
        self.lease.owner.as_ref().filter(|owner| asked && *owner != me)
    }

    /// What to write now, if anything.
    pub(super) fn due(&self, me: &WorkerId, params: &LeaseParams, now: Instant) -> Option<Due> {
        if self.busy || now < self.next_write {
            return None;
        }
        let counter = self.lease.counter;
        let by = me.clone();
        let renew_first = self.end_failed && now >= self.renewed + params.renew_interval();
        Some(match self.finished.as_ref().filter(|_| now >= self.not_before) {
            Some(Finished::ShardEnded(next)) if !renew_first => Due::EndShard(next.clone()),
            // Also between two tries to end a shard: the lease is kept until it can be ended.
            None | Some(Finished::ShardEnded(_)) => Due::Write(LeaseWrite::Renew {
                by,
                counter,
                checkpoint: self.news(self.progress.borrow().as_ref()),
            }),
            Some(Finished::Drained(checkpoint)) => {
                let checkpoint = self.news(checkpoint.as_ref());
                Due::Write(match self.wanted_by(me) {
                    Some(to) => {
                        LeaseWrite::FinishHandOver { by, to: to.clone(), counter, checkpoint }
                    }
                    None => LeaseWrite::Release { by, counter, checkpoint },
                })
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
