//! Leases and grants for tests.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::LeaseGrant;
use crate::model::{Checkpoint, Lease, LeaseKey, ShardId, WorkerId};

/// Begins an unowned lease at the trim horizon.
pub(crate) fn lease(shard: &str) -> LeaseBuilder {
    LeaseBuilder(Lease {
        key: LeaseKey::new(shard),
        stream: None,
        shard: ShardId::new(shard),
        counter: 0,
        owner: None,
        checkpoint_owner: None,
        checkpoint: Checkpoint::TrimHorizon,
        owner_switches: 0,
        parents: vec![],
        children: vec![],
        hash_range: None,
    })
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
    pub(crate) progress: watch::Receiver<Option<Checkpoint>>,
}

/// A grant of a lease, valid for a year.
pub(crate) fn grant(lease: Lease) -> (LeaseGrant, GrantHandle) {
    let valid_until = watch::Sender::new(Instant::now() + Duration::from_hours(365 * 24));
    let draining = CancellationToken::new();
    let progress = watch::Sender::new(None);
    let handle =
        GrantHandle { valid_until, draining: draining.clone(), progress: progress.subscribe() };
    let grant = LeaseGrant {
        lease,
        stream: 0,
        acquisition: 1,
        not_before: Instant::now(),
        valid_until: handle.valid_until.subscribe(),
        draining,
        lost: CancellationToken::new(),
        progress,
    };
    (grant, handle)
}
