//! What a consumer holds while it may process a shard.

use std::sync::Arc;

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    model::{ChildShard, Invariant, Lease, PendingCheckpoint, Progress},
};

/// The right to process one shard, for as long as it is valid.
pub struct LeaseGrant {
    /// The lease as it was taken: shard, checkpoint, hash range.
    pub lease: Lease,
    /// Index of the stream among the application's.
    pub stream: usize,
    /// Tells acquisitions of the same lease apart (KCL `concurrencyToken`).
    pub acquisition: u64,
    /// Whether nobody has read the shard before, so that `LATEST` means now. Later readers begin at
    /// [`Lease::latest_since`].
    pub first: bool,
    /// Nothing may be delivered before this instant. It lies ahead only when the lease was taken by
    /// force from an owner that may still believe in it.
    pub not_before: Instant,
    pub(super) valid_until: watch::Receiver<Instant>,
    pub(super) draining: CancellationToken,
    pub(super) lost: CancellationToken,
    pub(super) progress: watch::Sender<Option<Progress>>,
    pub(super) prepared: watch::Receiver<Option<PendingCheckpoint>>,
    pub(super) hurry: Arc<Notify>,
    pub(super) metrics: Arc<Metrics>,
}

/// How a consumer came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerExit {
    /// It was asked to drain, and nothing is in flight any more. Its last checkpoint, if any.
    Drained(Option<Progress>),
    /// The shard was read up to the time where reading ends, and nothing is in flight any more. Its
    /// last checkpoint, if any.
    Reached(Option<Progress>),
    /// Every record of the closed shard has an outcome.
    ShardEnded(Vec<ChildShard>),
    /// The shard's retention is over, and it was not read to its end.
    ShardGone,
    /// The lease went to somebody else; whatever was in flight is given up.
    Lost,
}

impl LeaseGrant {
    /// Waits until a delivery may begin: at once while the grant is valid, else after its next
    /// renewal. Never returns once the lease is lost; pair it with [`Self::lost`].
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn valid(&self) {
        tokio::time::sleep_until(self.not_before).await;
        let mut valid_until = self.valid_until.clone();
        if valid_until.wait_for(|until| Instant::now() < *until).await.is_err() {
            // The coordinator is gone, and with it the proof of ownership.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the lease is lost.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Told when this worker should finish what is in flight and stop.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Reports how far the shard is processed. It rides on the next renewal. A checkpoint that would
    /// go back is refused.
    pub fn report(&self, progress: Progress) {
        self.progress.send_if_modified(|last| {
            let from = last.as_ref().map(|last| &last.checkpoint);
            let to = &progress.checkpoint;
            if let Some(from) = from.filter(|from| *from != to && !from.advances(to)) {
                let what = format!("{}: {from} would go to {to}", self.lease.key);
                self.metrics.raise(&Invariant::CheckpointAdvances.broken(what));
                return false;
            }
            let news = last.as_ref() != Some(&progress);
            *last = Some(progress);
            news
        });
    }

    /// Reports what is prepared beyond the checkpoint, and has it written at once; see
    /// [`Self::prepared`].
    pub fn prepare(&self, progress: Progress) {
        self.report(progress);
        self.hurry.notify_one();
    }

    /// Waits until what the lease's row says to be prepared is as it should be. Never returns once the
    /// lease is lost; pair it with [`Self::lost`].
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn prepared(&self, is_so: impl Fn(&PendingCheckpoint) -> bool) {
        let mut prepared = self.prepared.clone();
        let says_so = |row: &Option<PendingCheckpoint>| row.as_ref().is_some_and(&is_so);
        if prepared.wait_for(says_so).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
