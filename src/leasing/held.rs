//! One lease that this worker holds, and what it owes the table.

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{LeaseGrant, LeaseParams};
use crate::model::{Checkpoint, ChildShard, Lease, LeaseWrite, WorkerId};

/// A lease from its acquisition until it is released, handed over, ended or lost.
pub(super) struct Held {
    /// The row as this worker last knew it.
    pub(super) lease: Lease,
    pub(super) stream: usize,
    pub(super) acquisition: u64,
    /// The counter that the acquisition wrote: older images of the row say nothing of it.
    pub(super) first_counter: u64,
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
    pub(super) finished: Option<Finished>,
    valid_until: watch::Sender<Instant>,
    draining: CancellationToken,
    lost: CancellationToken,
    progress: watch::Receiver<Option<Checkpoint>>,
}

/// What is left to write for a consumer that has finished.
#[derive(Clone, Debug)]
pub(super) enum Finished {
    /// Give the lease up, or hand it over if that was asked.
    Drained(Option<Checkpoint>),
    /// Write the shard's end.
    ShardEnded(Vec<ChildShard>),
}

/// The next thing to do for a held lease.
pub(super) enum Due {
    Write(LeaseWrite),
    EndShard(Vec<ChildShard>),
}

impl Held {
    /// A lease that was just taken by a write sent at `sent`, with the grant for its consumer.
    pub(super) fn acquire(
        lease: Lease,
        stream: usize,
        acquisition: u64,
        sent: Instant,
        not_before: Instant,
        params: &LeaseParams,
    ) -> (Self, LeaseGrant) {
        let (valid_until, valid_until_rx) = watch::channel(sent + params.validity());
        let (progress_tx, progress) = watch::channel(None);
        let held = Self {
            first_counter: lease.counter,
            lease: lease.clone(),
            stream,
            acquisition,
            renewed: sent,
            not_before,
            busy: false,
            unsure: None,
            next_write: sent + params.renew_interval(),
            finished: None,
            valid_until,
            draining: CancellationToken::new(),
            lost: CancellationToken::new(),
            progress,
        };
        let grant = LeaseGrant {
            lease,
            stream,
            acquisition,
            not_before,
            valid_until: valid_until_rx,
            draining: held.draining.clone(),
            lost: held.lost.clone(),
            progress: progress_tx,
        };
        (held, grant)
    }

    /// Takes in a row that a write sent at `sent` left behind.
    pub(super) fn renewed(&mut self, row: Lease, sent: Instant, params: &LeaseParams) {
        self.lease = row;
        self.renewed = sent;
        self.valid_until.send_replace(sent + params.validity());
    }

    /// When to write next after a renewal; `next` is when the next one is due.
    pub(super) fn after_renewal(&self, next: Instant) -> Instant {
        match self.finished {
            Some(_) => self.not_before.max(Instant::now()).min(next),
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

    /// Who waits for this lease, when a hand-over was asked for.
    pub(super) fn wanted_by(&self, me: &WorkerId) -> Option<&WorkerId> {
        let asked = self.lease.checkpoint_owner.as_ref() == Some(me);
        self.lease.owner.as_ref().filter(|owner| asked && *owner != me)
    }

    /// What to write now, if anything.
    pub(super) fn due(&self, me: &WorkerId, now: Instant) -> Option<Due> {
        if self.busy || now < self.next_write {
            return None;
        }
        let counter = self.lease.counter;
        let by = me.clone();
        Some(match self.finished.as_ref().filter(|_| now >= self.not_before) {
            None => Due::Write(LeaseWrite::Renew {
                by,
                counter,
                checkpoint: self.advance(self.progress.borrow().as_ref()),
            }),
            Some(Finished::ShardEnded(children)) => Due::EndShard(children.clone()),
            Some(Finished::Drained(checkpoint)) => {
                let checkpoint = self.advance(checkpoint.as_ref());
                Due::Write(match self.wanted_by(me) {
                    Some(to) => {
                        LeaseWrite::FinishHandOver { by, to: to.clone(), counter, checkpoint }
                    }
                    None => LeaseWrite::Release { by, counter, checkpoint },
                })
            }
        })
    }

    /// A checkpoint that is news to the row.
    fn advance(&self, checkpoint: Option<&Checkpoint>) -> Option<Checkpoint> {
        checkpoint.filter(|next| self.lease.checkpoint.advances(next)).cloned()
    }
}
