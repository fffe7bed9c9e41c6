//! The right to deliver.

use std::{fmt, sync::Arc};

use super::prepared::Announced;
use crate::{leasing::LeaseGrant, model::Lease};

/// What allows a delivery to begin.
#[derive(Clone)]
pub(super) enum Permit {
    /// The lease on the shard that the records are of: only while it is provably valid.
    Lease(Arc<LeaseGrant>),
    /// Nobody else has these records: dead letters that an operator replays.
    Replay,
}

impl Permit {
    /// Waits until a delivery may begin; see [`LeaseGrant::valid`].
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(super) async fn valid(&self) {
        match self {
            Self::Lease(grant) => grant.valid().await,
            Self::Replay => {}
        }
    }
}

impl Permit {
    /// The lease as it was taken, if there is one.
    pub(super) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Lease(grant) => Some(&grant.lease),
            Self::Replay => None,
        }
    }

    /// Waits until the lease's row says what was announced; see [`LeaseGrant::prepared`].
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(super) async fn prepared(&self, announced: &Announced) {
        if let Self::Lease(grant) = self {
            grant.prepared(|row| announced.is_in(row)).await;
        }
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease(grant) => grant.lease.key.fmt(f),
            Self::Replay => f.write_str("replay"),
        }
    }
}
