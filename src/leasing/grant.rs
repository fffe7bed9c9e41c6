//! What a consumer holds while it may process a shard.

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::alarm;
use crate::model::{Checkpoint, ChildShard, Invariant, Lease};

/// The right to process one shard, for as long as it is valid.
pub struct LeaseGrant {
    /// The lease as it was taken: shard, checkpoint, hash range.
    pub lease: Lease,
    /// Index of the stream among the application's.
    pub stream: usize,
    /// Tells acquisitions of the same lease apart (KCL `concurrencyToken`).
    pub acquisition: u64,
    /// Nothing may be delivered before this instant. It lies ahead only when the lease was taken by
    /// force from an owner that may still believe in it.
    pub not_before: Instant,
    pub(super) valid_until: watch::Receiver<Instant>,
    pub(super) draining: CancellationToken,
    pub(super) lost: CancellationToken,
    pub(super) progress: watch::Sender<Option<Checkpoint>>,
}

/// How a consumer came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerExit {
    /// It was asked to drain, and nothing is in flight any more. Its last checkpoint, if any.
    Drained(Option<Checkpoint>),
    /// Every record of the closed shard has an outcome.
    ShardEnded(Vec<ChildShard>),
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
    pub fn checkpoint(&self, checkpoint: Checkpoint) {
        self.progress.send_if_modified(|last| {
            if let Some(from) = last.as_ref().filter(|from| !from.advances(&checkpoint)) {
                if *from != checkpoint {
                    let what = format!("{}: {from} would go to {checkpoint}", self.lease.key);
                    alarm::raise(&Invariant::CheckpointAdvances.broken(what));
                }
                return false;
            }
            *last = Some(checkpoint);
            true
        });
    }

    /// The last reported checkpoint.
    pub fn last_checkpoint(&self) -> Option<Checkpoint> {
        self.progress.borrow().clone()
    }
}
