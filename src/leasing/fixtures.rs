//! Leases and grants for tests.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::LeaseGrant;
use crate::{
    metrics::Metrics,
    model::{Checkpoint, Lease, LeaseKey, PendingCheckpoint, Progress, ShardId, WorkerId},
};

/// Begins an unowned lease at the trim horizon.
pub(crate) fn lease(shard: &str) -> LeaseBuilder {
    let (key, shard) = (LeaseKey::new(shard), ShardId::new(shard));
    LeaseBuilder(Lease::new(key, None, shard, Checkpoint::TrimHorizon))
}

pub(crate) struct LeaseBuilder(Lease);

impl LeaseBuilder {
    pub(crate) fn owner(mut self, owner: &str) -> Self {
        self.0.owner = Some(WorkerId::new(owner));
        self
    }

    pub(crate) fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.0.checkpoint = checkpoint;
        self
    }

    pub(crate) fn ended(self) -> Self {
        self.checkpoint(Checkpoint::ShardEnd)
    }

    pub(crate) fn build(self) -> Lease {
        self.0
    }
}

/// What the coordinator holds of a grant.
pub(crate) struct GrantHandle {
    pub(crate) valid_until: watch::Sender<Instant>,
    pub(crate) draining: CancellationToken,
    pub(crate) progress: watch::Receiver<Option<Progress>>,
    pub(crate) prepared: watch::Sender<Option<PendingCheckpoint>>,
}

/// A grant of a lease, valid for a year.
pub(crate) fn grant(lease: Lease) -> (LeaseGrant, GrantHandle) {
    let valid_until = watch::Sender::new(Instant::now() + Duration::from_hours(365 * 24));
    let draining = CancellationToken::new();
    let progress = watch::Sender::new(None);
    let handle = GrantHandle {
        valid_until,
        draining: draining.clone(),
        progress: progress.subscribe(),
        prepared: watch::Sender::new(lease.pending.clone()),
    };
    let grant = LeaseGrant {
        lease,
        stream: 0,
        acquisition: 1,
        first: true,
        not_before: Instant::now(),
        valid_until: handle.valid_until.subscribe(),
        draining,
        lost: CancellationToken::new(),
        progress,
        prepared: handle.prepared.subscribe(),
        hurry: Arc::new(Notify::new()),
        metrics: Arc::new(Metrics::default()),
    };
    (grant, handle)
}
