//! Creating leases: for a stream that has holes, and for the children of a shard that ended.

use futures_util::{StreamExt, TryStreamExt, stream::iter};
use tracing::info;

use super::{
    LeasedStream,
    plan::{self, Lineage},
};
use crate::{
    model::{Checkpoint, ChildShard, EpochMillis, Lease, LeaseWrite, Shard, ShardId},
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

/// How many leases are created at a time: a large stream has its first ones soon, and a new table is not
/// throttled.
const AT_A_TIME: usize = 16;

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
    let lineage = list(stream).await?;
    let missing = plan::missing_leases(&lineage, leases, stream.initial_position);
    let mut synced = Synced { created: missing.len(), mended: 0 };
    let since = plan::latest_since(leases);
    let create = |(shard, checkpoint): (&Shard, Checkpoint)| {
        let since = since.filter(|_| checkpoint == Checkpoint::TrimHorizon);
        create(stream, store, new_lease(stream, shard, checkpoint, since))
    };
    iter(missing.into_iter().map(create)).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
    for (lease, range) in plan::missing_ranges(&lineage, leases) {
        let fill = LeaseWrite::FillHashRange { range };
        // Without an answer it is found missing again, or it is there.
        if let Ok(Swap::Applied(_)) = store.write(&lease.key, &fill).await {
            synced.mended += 1;
        }
    }
    for lease in plan::garbage(&lineage, leases) {
        if !a_child_waits(stream, store, lease).await? && store.delete(lease).await? {
            synced.mended += 1;
            info!(stream = %stream.name, lease = %lease.key,
                "deleted the ended lease of a shard that is not listed any more");
        }
    }
    Ok(synced)
}

async fn create(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    lease: Lease,
) -> Result<(), StoreError> {
    if store.create(&lease).await? {
        info!(stream = %stream.name, shard = %lease.shard, checkpoint = %lease.checkpoint,
            "created lease");
    }
    Ok(())
}

/// Whether a child of an ended shard has a lease and has not started: a scan may miss one that was just put.
async fn a_child_waits(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    ended: &Lease,
) -> Result<bool, StoreError> {
    for child in &ended.children {
        let row = store.read(&stream.lease_key(child)).await?;
        if row.is_some_and(|row| row.checkpoint.is_start()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Creates the leases of the shards that go on where the one of `lease` ended, and answers which they
/// are.
///
/// The shard's end is written afterwards, with their names. The order is the KCL's (`ShutdownTask`): a
/// crash in between leaves children that wait for their parent, never a stretch of keys that nobody owns.
/// `named` are its children if the server named them, as not all do, and none does for a shard that has left
/// the listing. `since` is when the stream was begun, if it is read from `LATEST`: lines meet further down.
pub(super) async fn create_successors(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    lease: &Lease,
    named: Vec<ChildShard>,
    since: Option<EpochMillis>,
) -> Result<Vec<ShardId>, SyncError> {
    let children = match named.is_empty() {
        true => successors_of(stream, lease).await?,
        false => named.into_iter().map(child_as_shard).collect(),
    };
    // A parent whose start time was never reached says nothing of where its children begin.
    let start = match lease.checkpoint {
        Checkpoint::AtTimestamp => Checkpoint::AtTimestamp,
        _ => Checkpoint::TrimHorizon,
    };
    for child in &children {
        let parents = other_parents(stream, store, child, &lease.shard).await?;
        let carried_on = plan::carried_on(parents.iter().chain([lease]));
        let since = carried_on.map(|time| since.map_or(time, |since| since.min(time)));
        if store.create(&new_lease(stream, child, start.clone(), since)).await? {
            info!(stream = %stream.name, shard = %child.id, parent = %lease.shard,
                "created lease of a child shard");
        }
    }
    Ok(children.into_iter().map(|child| child.id).collect())
}

/// The lease of a merged shard's other parent. It has one, or needs none: it is not listed any more, or was
/// read to its end before (the shard that ends now came back after it was done with).
async fn other_parents(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
    child: &Shard,
    parent: &ShardId,
) -> Result<Vec<Lease>, SyncError> {
    let mut found = Vec::new();
    for other in child.parents.iter().filter(|other| *other != parent) {
        if let Some(row) = store.read(&stream.lease_key(other)).await? {
            found.push(row);
            continue;
        }
        let lineage = list(stream).await?;
        if !lineage.lists(other) {
            continue;
        }
        let leases = leases_of(stream, store).await?;
        if !lineage.gone_on(&leases).contains(other) {
            let (child, parent) = (child.id.clone(), other.clone());
            return Err(SyncError::ParentWithoutLease { child, parent });
        }
    }
    Ok(found)
}

/// The shards of a stream that are listed now.
async fn list(stream: &LeasedStream) -> Result<Lineage, StreamError> {
    Ok(Lineage::of(stream.reader.shards().await?))
}

/// The leases of a stream.
async fn leases_of(
    stream: &LeasedStream,
    store: &dyn LeaseStore,
) -> Result<Vec<Lease>, StoreError> {
    let mut leases = store.scan().await?;
    leases.retain(|lease| stream.identifier.owns(lease));
    Ok(leases)
}

/// The listed shards that go on; none of a stream that is gone.
async fn successors_of(stream: &LeasedStream, lease: &Lease) -> Result<Vec<Shard>, SyncError> {
    match list(stream).await {
        Ok(lineage) => Ok(plan::successors(&lineage, lease).into_iter().cloned().collect()),
        Err(StreamError::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn child_as_shard(child: ChildShard) -> Shard {
    Shard { id: child.id, parents: child.parents, hash_range: child.hash_range, open: true }
}

/// The lease of a shard that nobody has processed yet. In a stream that is read from `LATEST` it says since
/// when, where its line has begun.
fn new_lease(
    stream: &LeasedStream,
    shard: &Shard,
    checkpoint: Checkpoint,
    latest_since: Option<EpochMillis>,
) -> Lease {
    let key = stream.lease_key(&shard.id);
    let stream = stream.identifier.text().cloned();
    let mut lease = Lease::new(key, stream, shard.id.clone(), checkpoint);
    lease.parents.clone_from(&shard.parents);
    lease.hash_range = shard.hash_range;
    lease.latest_since = latest_since;
    lease
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use async_trait::async_trait;

    use super::*;
    use crate::{
        leasing::{InitialPosition, StreamIdentifier, fixtures::lease},
        model::{LeaseKey, RecordPage, StreamName},
        ports::{ShardIterator, StartAt, StreamReader},
    };

    /// A stream that nobody need ask.
    struct Unasked;

    #[async_trait]
    impl StreamReader for Unasked {
        async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
            unreachable!("the children were named")
        }

        async fn iterator(&self, _: &ShardId, _: &StartAt) -> Result<ShardIterator, StreamError> {
            unreachable!("nothing is read")
        }

        async fn records(
            &self,
            _: &ShardIterator,
            _: u32,
        ) -> Result<RecordPage<ShardIterator>, StreamError> {
            unreachable!("nothing is read")
        }
    }

    /// A table of which rows are read, and into which they are put.
    struct Rows(Mutex<Vec<Lease>>);

    #[async_trait]
    impl LeaseStore for Rows {
        async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
            let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(rows.iter().find(|row| row.key == *key).cloned())
        }

        async fn create(&self, lease: &Lease) -> Result<bool, StoreError> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lease.clone());
            Ok(true)
        }

        async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
            unreachable!("both parents have rows")
        }

        async fn write(&self, _: &LeaseKey, _: &LeaseWrite) -> Result<Swap, StoreError> {
            unreachable!("it only creates")
        }

        async fn delete(&self, _: &Lease) -> Result<bool, StoreError> {
            unreachable!("it only creates")
        }
    }

    /// Since when the shard is read into which 0, which ends, and 1 were merged.
    async fn merged_since(ends: Option<i64>, other: Option<i64>) -> Option<EpochMillis> {
        let stream = LeasedStream {
            name: StreamName::new("orders"),
            identifier: StreamIdentifier::Single,
            initial_position: InitialPosition::Latest,
            reader: Arc::new(Unasked),
        };
        let parent = |id, since: Option<i64>| {
            let mut parent = lease(id).build();
            parent.latest_since = since.map(EpochMillis);
            parent
        };
        let (id, parents) = (ShardId::new("2"), ["0", "1"].map(ShardId::new).to_vec());
        let child = ChildShard { id: id.clone(), parents, hash_range: None };
        let store = Rows(Mutex::new(vec![parent("1", other)]));
        let ended = parent("0", ends);
        create_successors(&stream, &store, &ended, vec![child], None).await.unwrap();
        store.read(&stream.lease_key(&id)).await.unwrap().unwrap().latest_since
    }

    /// What one parent was read from, the merged shard's records of its keys are read from too.
    #[tokio::test]
    async fn a_merged_shard_is_read_since_the_earlier_time_of_both_its_parents() {
        assert_eq!(merged_since(Some(7), Some(5)).await, Some(EpochMillis(5)));
        assert_eq!(merged_since(Some(5), Some(7)).await, Some(EpochMillis(5)));
        assert_eq!(
            merged_since(Some(7), None).await,
            None,
            "the other was read from its beginning"
        );
    }
}
