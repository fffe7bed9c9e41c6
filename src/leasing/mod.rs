//! The lease engine: who processes which shard.
//!
//! One [`Coordinator`] per process is the only writer of this worker's leases. It
//! - scans the table, sees who has stopped renewing, and takes its fair share ([`plan`]);
//! - renews each lease with one conditional write that carries a due checkpoint;
//! - asks busier workers to hand leases over, and hands its own over when it is asked;
//! - ends shards: children's leases first, then `SHARD_END`;
//! - releases everything when it drains.
//!
//! A consumer gets a [`LeaseGrant`]: it may begin a delivery only while the grant is valid, which is
//! counted from the *sending* of the last renewal that succeeded. Others count from *seeing* the
//! counter change, so their period ends later: two workers never hold valid grants of one shard.

mod coordinator;
mod doubt;
mod grant;
mod held;
mod operations;
pub mod plan;
mod shard_sync;

#[cfg(test)]
pub(crate) mod fixtures;

pub use coordinator::{Command, Coordinator, CoordinatorHandle, LeaseStatus, Watched};
pub use grant::{ConsumerExit, LeaseGrant};

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    model::{InitialPosition, Lease, LeaseKey, ShardId, StreamName},
    ports::StreamReader,
};

/// The times and limits of the lease engine.
#[derive(Clone, Debug)]
pub struct LeaseParams {
    /// How long a lease may go without renewal before others take it (KCL `failoverTimeMillis`).
    /// The same for the whole fleet.
    pub failover_time: Duration,
    /// How long an owner may take to hand a lease over before it is taken by force.
    pub hand_over_timeout: Duration,
    /// How often the table is scanned. Stretched for large tables, see [`Self::scan_pause`].
    pub scan_interval: Duration,
    /// What one worker may hold and move.
    pub limits: plan::BalanceLimits,
}

impl LeaseParams {
    /// Leases up to which the table is scanned at `scan_interval`; the pause grows in proportion
    /// beyond, so that a scan costs at most about 40 read units a second (a lease is about 300
    /// bytes, an eventually consistent read of 4 KiB half a unit).
    const CHEAP_LEASES: usize = 1000;

    /// Three tries within the failover time (KCL `DynamoDBLeaseCoordinator`).
    pub fn renew_interval(&self) -> Duration {
        self.failover_time / 3
    }

    /// How long a grant is good after the sending of a renewal. The twentieth that is missing to
    /// `failover_time` is for clocks that run at different speeds.
    pub fn validity(&self) -> Duration {
        self.failover_time.mul_f64(0.95)
    }

    /// The pause between two scans of a table with so many leases.
    pub fn scan_pause(&self, leases: usize) -> Duration {
        let stretch = leases.div_ceil(Self::CHEAP_LEASES).max(1);
        self.scan_interval * u32::try_from(stretch).unwrap_or(u32::MAX)
    }
}

/// One stream of the application.
#[derive(Clone)]
pub struct LeasedStream {
    /// Its name.
    pub name: StreamName,
    /// What its leases are called.
    pub identifier: StreamIdentifier,
    /// Where it is read from while it has no leases.
    pub initial_position: InitialPosition,
    /// Answers what shards there are.
    pub reader: Arc<dyn StreamReader>,
}

impl LeasedStream {
    /// The key of a shard's lease.
    pub fn lease_key(&self, shard: &ShardId) -> LeaseKey {
        self.identifier.lease_key(shard)
    }
}

/// How the leases of a stream are told from those of another (KCL `StreamIdentifier`).
#[derive(Clone, Debug)]
pub enum StreamIdentifier {
    /// The only stream of the application: its leases are called like their shards.
    Single,
    /// One of several: `account:stream:epoch` is part of the lease keys. It is set once the stream
    /// has said who it is; until then it has no leases, and the other streams do not wait for it.
    Several(Arc<OnceLock<Arc<str>>>),
}

impl StreamIdentifier {
    /// The `streamName` attribute of its leases.
    pub fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Single => None,
            Self::Several(identifier) => identifier.get(),
        }
    }

    /// The key of a shard's lease.
    pub fn lease_key(&self, shard: &ShardId) -> LeaseKey {
        match self.text() {
            Some(identifier) => LeaseKey::new(format!("{identifier}:{shard}")),
            None => LeaseKey::new(shard.as_str()),
        }
    }

    /// Whether a lease is one of this stream's.
    pub fn owns(&self, lease: &Lease) -> bool {
        self.known() && self.text() == lease.stream.as_ref()
    }

    /// Whether the stream has said who it is.
    pub fn known(&self) -> bool {
        matches!(self, Self::Single) || self.text().is_some()
    }
}
