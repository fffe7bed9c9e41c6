//! Creating leases: for a stream that has holes, and for the children of a shard that ended.

use std::sync::Arc;

use tracing::info;

use super::{LeasedStream, plan};
use crate::{
    model::{Checkpoint, ChildShard, Lease, LeaseWrite, Shard, ShardId, WorkerId},
    ports::{LeaseStore, StoreError, StreamError, Swap},
};

/// Why leases could not be created.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A merged shard waits until both parents have leases: one without a lease would look as if it
    /// were done with (KCL `ShutdownTask`, `MissingMergeParentLease`).
    #[error("{child} was merged from this shard and {parent}, which has no lease yet")]
    ParentWithoutLease { child: ShardId, parent: ShardId },
}

/// Creates the leases that a stream lacks. Safe to run by any number of workers at a time: a lease
/// is put only if it is absent.
pub(super) async fn sync_stream(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    leases: &[Lease],
) -> Result<usize, SyncError> {
    let shards = stream.reader.shards().await?;
    let mut created = 0;
    for (shard, checkpoint) in plan::missing_leases(&shards, leases, stream.initial_position) {
        let lease = new_lease(stream, shard, checkpoint);
        if store.create(&lease).await? {
            created += 1;
            info!(stream = %stream.name, shard = %shard.id, checkpoint = %lease.checkpoint,
                "created lease");
        }
    }
    Ok(created)
}

/// Ends a shard: creates its children's leases, then writes `SHARD_END` with their names.
///
/// The order is the KCL's (`ShutdownTask`): a crash in between leaves children that wait for their
/// parent, never a stretch of keys that nobody owns.
pub(super) async fn end_shard(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    lease: &Lease,
    me: &WorkerId,
    children: Vec<ChildShard>,
) -> Result<(LeaseWrite, Swap), EndError> {
    let children = match children.is_empty() {
        false => children.into_iter().map(child_as_shard).collect(),
        true => children_of(stream, &lease.shard).await?,
    };
    // A parent whose start time was never reached says nothing of where its children begin.
    let start = match lease.checkpoint {
        Checkpoint::AtTimestamp => Checkpoint::AtTimestamp,
        _ => Checkpoint::TrimHorizon,
    };
    for child in &children {
        other_parents_have_leases(stream, store, child, &lease.shard).await?;
        if store.create(&new_lease(stream, child, start.clone())).await? {
            info!(stream = %stream.name, shard = %child.id, parent = %lease.shard,
                "created lease of a child shard");
        }
    }
    let write = LeaseWrite::End {
        by: me.clone(),
        counter: lease.counter,
        children: children.into_iter().map(|child| child.id).collect(),
    };
    match store.write(&lease.key, &write).await {
        Ok(swap) => Ok((write, swap)),
        Err(error) => Err(EndError::Write { write, error }),
    }
}

/// Checks that a merged shard's other parent has a lease, or is not listed any more.
async fn other_parents_have_leases(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    child: &Shard,
    parent: &ShardId,
) -> Result<(), EndError> {
    for other in child.parents.iter().filter(|other| *other != parent) {
        if store.read(&stream.lease_key(other)).await?.is_some() {
            continue;
        }
        let listed = stream.reader.shards().await.map_err(SyncError::from)?;
        if listed.iter().any(|shard| shard.id == *other) {
            let (child, parent) = (child.id.clone(), other.clone());
            return Err(SyncError::ParentWithoutLease { child, parent }.into());
        }
    }
    Ok(())
}

/// Why a shard could not be ended yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndError {
    /// Nothing was written to the shard's own lease.
    #[error("children of the shard: {0}")]
    Children(#[from] SyncError),
    /// The write itself failed.
    #[error("{error}")]
    Write {
        /// What was tried.
        write: LeaseWrite,
        /// What came of it.
        error: StoreError,
    },
}

impl From<StoreError> for EndError {
    fn from(error: StoreError) -> Self {
        Self::Children(error.into())
    }
}

/// The children by lineage, for servers that do not name them with the last page. A shard that is
/// gone from the listing has none.
async fn children_of(stream: &LeasedStream, parent: &ShardId) -> Result<Vec<Shard>, EndError> {
    let shards = match stream.reader.shards().await {
        Ok(shards) => shards,
        Err(StreamError::NotFound(_)) => Vec::new(),
        Err(error) => return Err(EndError::Children(error.into())),
    };
    Ok(shards.into_iter().filter(|shard| shard.parents.contains(parent)).collect())
}

fn child_as_shard(child: ChildShard) -> Shard {
    Shard { id: child.id, parents: child.parents, hash_range: child.hash_range, open: true }
}

/// A lease that nobody has held yet.
fn new_lease(stream: &LeasedStream, shard: &Shard, checkpoint: Checkpoint) -> Lease {
    Lease {
        stream: stream.identifier.as_ref().map(Arc::clone),
        checkpoint,
        parents: shard.parents.clone(),
        hash_range: shard.hash_range,
        ..Lease::new(stream.lease_key(&shard.id), shard.id.clone())
    }
}
