//! Creating leases: for a stream that has holes, and for the children of a shard that ended.

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

/// What a shard sync came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// Leases created, by this worker or by another one at the same time.
    pub(super) created: usize,
    /// Leases that got their hash range, and ended leases of shards long gone that were deleted.
    pub(super) mended: usize,
}

/// Creates the leases that a stream lacks, fills in hash ranges that are missing, and deletes ended
/// leases that nothing needs any more. Safe to run by any number of workers at a time: each write has
/// a condition.
pub(super) async fn sync_stream(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    leases: &[Lease],
) -> Result<Synced, SyncError> {
    let shards = stream.reader.shards().await?;
    let mut synced = Synced::default();
    for (shard, checkpoint) in plan::missing_leases(&shards, leases, stream.initial_position) {
        let lease = new_lease(stream, shard, checkpoint);
        synced.created += 1;
        if store.create(&lease).await? {
            info!(stream = %stream.name, shard = %shard.id, checkpoint = %lease.checkpoint,
                "created lease");
        }
    }
    for (lease, range) in plan::missing_ranges(&shards, leases) {
        let fill = LeaseWrite::FillHashRange { range };
        // Without an answer it is found missing again, or it is there.
        if let Ok(Swap::Applied(_)) = store.write(&lease.key, &fill).await {
            synced.mended += 1;
        }
    }
    for lease in plan::garbage(&shards, leases) {
        if store.delete(lease).await? {
            synced.mended += 1;
            info!(stream = %stream.name, lease = %lease.key,
                "deleted the ended lease of a shard that is not listed any more");
        }
    }
    Ok(synced)
}

/// Which shards go on where one ended.
#[derive(Clone, Debug)]
pub(super) enum Successors {
    /// These, or its children by lineage if the server did not name them.
    Named(Vec<ChildShard>),
    /// The shard is not listed any more: whatever listed shards now cover its keys.
    OfGoneShard,
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
    next: Successors,
) -> Result<(LeaseWrite, Swap), EndError> {
    let children = match next {
        Successors::Named(children) if !children.is_empty() => {
            children.into_iter().map(child_as_shard).collect()
        }
        Successors::Named(_) => children_of(stream, lease).await?,
        Successors::OfGoneShard => successors_of(stream, lease).await?,
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

/// Checks that a merged shard's other parent has a lease, or needs none: it is not listed any more, or
/// was read to its end before (the shard that ends now came back after it was done with).
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
        if !listed.iter().any(|shard| shard.id == *other) {
            continue;
        }
        let mut leases = store.scan().await?;
        leases.retain(|lease| stream.identifier.owns(lease));
        if !plan::gone_on(&leases, &listed).contains(other) {
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

/// The children by lineage, for servers that do not name them with the last page.
async fn children_of(stream: &LeasedStream, lease: &Lease) -> Result<Vec<Shard>, EndError> {
    let shards = listed(stream).await?;
    Ok(shards.into_iter().filter(|shard| shard.parents.contains(&lease.shard)).collect())
}

/// The shards that go on for one that is not listed any more.
async fn successors_of(stream: &LeasedStream, lease: &Lease) -> Result<Vec<Shard>, EndError> {
    Ok(plan::successors(&listed(stream).await?, lease).into_iter().cloned().collect())
}

/// The listed shards; none of a stream that is gone.
async fn listed(stream: &LeasedStream) -> Result<Vec<Shard>, EndError> {
    match stream.reader.shards().await {
        Ok(shards) => Ok(shards),
        Err(StreamError::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(EndError::Children(error.into())),
    }
}

fn child_as_shard(child: ChildShard) -> Shard {
    Shard { id: child.id, parents: child.parents, hash_range: child.hash_range, open: true }
}

/// The lease of a shard that nobody has processed yet.
fn new_lease(stream: &LeasedStream, shard: &Shard, checkpoint: Checkpoint) -> Lease {
    let key = stream.lease_key(&shard.id);
    let stream = stream.identifier.text().cloned();
    let mut lease = Lease::new(key, stream, shard.id.clone(), checkpoint);
    lease.parents.clone_from(&shard.parents);
    lease.hash_range = shard.hash_range;
    lease
}
