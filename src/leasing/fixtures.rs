//! Leases for tests.

use crate::model::{Checkpoint, Lease, LeaseKey, ShardId, WorkerId};

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
