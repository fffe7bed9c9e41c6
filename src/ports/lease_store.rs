//! The lease table.

use async_trait::async_trait;

use crate::model::{Lease, LeaseKey, LeaseWrite};

/// What a conditional write came to. Losing a race is an outcome, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Applied; the row as it is now.
    Applied(Lease),
    /// The condition did not hold; the row as it is, or `None` when it is gone.
    Refused(Option<Lease>),
}

/// Why the table did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The table's capacity is spent. Nothing was written.
    #[error("throttled by DynamoDB")]
    Throttled,
    /// Nothing was written; try again later.
    #[error("lease table unavailable: {0}")]
    Unavailable(String),
    /// The answer was lost: the write may have been applied. Read the row before the next write.
    #[error("no answer from the lease table, the write may have been applied: {0}")]
    Unknown(String),
    /// This process may not do that; a human must change a policy.
    #[error("not allowed: {0}")]
    Denied(String),
    /// A row or the table's shape is not what a KCL writes.
    #[error("unusable lease table: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable(_) | Self::Unknown(_))
    }
}

/// The lease table of one application.
///
/// # Guarantees
/// Each write is one conditional write, never sent twice: a retry of a write that had been applied
/// would come back as a failed condition.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// All leases. May be stale, and is no snapshot. Rows that are not leases are left out.
    ///
    /// # Errors
    /// When the table does not answer; never [`StoreError::Unknown`].
    async fn scan(&self) -> Result<Vec<Lease>, StoreError>;

    /// One lease by a consistent read; `None` when there is none.
    ///
    /// # Errors
    /// When the table does not answer; never [`StoreError::Unknown`].
    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError>;

    /// Puts a new lease unless its key is there. `true` when this call put it.
    ///
    /// # Errors
    /// After [`StoreError::Unknown`] the call may simply be made again.
    async fn create(&self, lease: &Lease) -> Result<bool, StoreError>;

    /// Applies one write if its condition holds.
    ///
    /// # Errors
    /// After [`StoreError::Unknown`] read the row before anything else is written.
    ///
    /// # Cancel safety
    /// The write may have been applied when this future is dropped.
    async fn write(&self, key: &LeaseKey, write: &LeaseWrite) -> Result<Swap, StoreError>;

    /// Deletes a lease if it has not changed since it was seen ([`Lease::is_as`]). `true` when it is gone.
    ///
    /// # Errors
    /// After [`StoreError::Unknown`] the call may simply be made again.
    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError>;
}
