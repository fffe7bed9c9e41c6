//! The coordinator's calls to the outside, as futures that end in a value.
//!
//! The coordinator keeps them in one set and applies their results one by one, so its state has one
//! owner and no lock.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::{
    LeasedStream, plan,
    shard_sync::{EndError, Successors, SyncError, Synced, end_shard, sync_stream},
};
use crate::{
    model::{Lease, LeaseKey, LeaseWrite, ShardId, WorkerId},
    ports::{LeaseStore, StoreError, StreamError, Swap},
};

/// A call under way.
pub(super) type Operation = BoxFuture<'static, Done>;

/// What a call came to.
#[expect(clippy::large_enum_variant, reason = "a few at a time, each on its way to one loop")]
pub(super) enum Done {
    Scanned { started: Instant, result: Result<Vec<Lease>, StoreError> },
    Synced { stream: usize, result: Result<Synced, SyncError> },
    Wrote { write: Written, result: Result<Swap, StoreError> },
    NotEnded { key: LeaseKey, acquisition: u64, error: SyncError },
    Requested { key: LeaseKey, result: Result<Swap, StoreError> },
    Deleted { key: LeaseKey, result: Result<bool, StoreError> },
    Doubted { key: LeaseKey, error: StreamError },
}

/// A write to a lease, as it was sent.
pub(super) struct Written {
    pub(super) key: LeaseKey,
    /// The acquisition it belongs to; `None` for a take, which begins one.
    pub(super) acquisition: Option<u64>,
    pub(super) write: LeaseWrite,
    /// When it was first sent: the instant from which a renewal counts.
    pub(super) sent: Instant,
    /// For a take: how long its consumer must wait before it delivers.
    pub(super) wait: Duration,
    /// When the first of the writes was sent whose answers were lost, since the last certain one; for a
    /// take that of the first one which names the same counter.
    pub(super) unsure: Option<Instant>,
}

/// Pause between consistent reads while the outcome of a write is unknown.
const RECONCILE_PAUSE: Duration = Duration::from_millis(200);

pub(super) fn scan(store: Arc<dyn LeaseStore>) -> Operation {
    Box::pin(async move {
        let started = Instant::now();
        Done::Scanned { started, result: store.scan().await }
    })
}

pub(super) fn sync(
    store: Arc<dyn LeaseStore>,
    index: usize,
    stream: LeasedStream,
    leases: Vec<Lease>,
) -> Operation {
    Box::pin(async move {
        let result = sync_stream(&stream, store.as_ref(), &leases).await;
        Done::Synced { stream: index, result }
    })
}

pub(super) fn write(store: Arc<dyn LeaseStore>, written: Written) -> Operation {
    Box::pin(async move {
        let result = store.write(&written.key, &written.write).await;
        reconcile(store, written, result).await
    })
}

/// A lease that may have come back after its shard was done with.
pub(super) struct Doubt {
    pub(super) stream: LeasedStream,
    pub(super) lease: Lease,
    /// The started shards that may go on where it ended.
    pub(super) rivals: BTreeSet<ShardId>,
}

/// Takes a lease, or deletes it if its shard has started descendants: the listed lineage says so.
pub(super) fn take_or_delete(
    store: Arc<dyn LeaseStore>,
    written: Written,
    parents: Vec<LeaseKey>,
    doubt: Doubt,
) -> Operation {
    Box::pin(async move {
        let Doubt { stream, lease, rivals } = doubt;
        let done_with = match stream.reader.shards().await {
            Ok(listed) => plan::descends(&rivals, &lease.shard, &listed),
            Err(StreamError::NotFound(_)) => false,
            Err(error) => return Done::Doubted { key: lease.key, error },
        };
        if done_with { delete(store, lease).await } else { take(store, written, parents).await }
    })
}

/// Takes a lease once its `parents` are known to be done with.
///
/// A scan may miss a row that was put a moment ago, so a parent that it does not show is looked up
/// by a consistent read. One that is not there is done with: a child's lease is created only when
/// its parents have theirs, and a parent's is deleted only when its children have started.
pub(super) fn take(
    store: Arc<dyn LeaseStore>,
    written: Written,
    parents: Vec<LeaseKey>,
) -> Operation {
    Box::pin(async move {
        for parent in parents {
            let result = match store.read(&parent).await {
                Ok(None) => continue,
                Ok(Some(row)) if row.ended() => continue,
                Ok(Some(_)) => Ok(Swap::Refused(None)),
                Err(error) => Err(error),
            };
            return Done::Wrote { write: written, result };
        }
        let result = store.write(&written.key, &written.write).await;
        reconcile(store, written, result).await
    })
}

pub(super) fn end(
    store: Arc<dyn LeaseStore>,
    stream: LeasedStream,
    held: (LeaseKey, u64, Lease),
    unsure: Option<Instant>,
    me: WorkerId,
    next: Successors,
) -> Operation {
    Box::pin(async move {
        let (key, acquisition, lease) = held;
        let sent = Instant::now();
        let (write, result) = match end_shard(&stream, store.as_ref(), &lease, &me, next).await {
            Ok((write, swap)) => (write, Ok(swap)),
            Err(EndError::Write { write, error }) => (write, Err(error)),
            Err(EndError::Children(error)) => return Done::NotEnded { key, acquisition, error },
        };
        let written = Written {
            key,
            acquisition: Some(acquisition),
            write,
            sent,
            wait: Duration::ZERO,
            unsure,
        };
        reconcile(store, written, result).await
    })
}

/// Asks for a hand-over, or takes the request back. A worker that leaves must not leave a request
/// behind, so what failed or was not answered comes to the row as it is.
pub(super) fn request(store: Arc<dyn LeaseStore>, key: LeaseKey, write: LeaseWrite) -> Operation {
    Box::pin(async move {
        let result = match store.write(&key, &write).await {
            Err(error) if error.is_transient() => row(store.as_ref(), &key).await,
            result => result,
        };
        Done::Requested { key, result }
    })
}

pub(super) fn delete(store: Arc<dyn LeaseStore>, lease: Lease) -> Operation {
    Box::pin(async move {
        let result = store.delete(&lease).await;
        Done::Deleted { key: lease.key, result }
    })
}

/// Finds out what became of a write whose answer was lost. A refusal counts as applied when the row
/// shows the effect, if an answer was lost or the same was tried before: nothing else explains it. It then
/// counts from the first of those writes: which of them arrived, and when, nobody knows.
async fn reconcile(
    store: Arc<dyn LeaseStore>,
    mut written: Written,
    mut result: Result<Swap, StoreError>,
) -> Done {
    if matches!(result, Err(StoreError::Unknown(_))) {
        written.unsure.get_or_insert(written.sent);
        result = row(store.as_ref(), &written.key).await;
    }
    if let (Ok(Swap::Refused(Some(row))), Some(first)) = (&result, written.unsure)
        && written.write.shows_in(row)
    {
        written.sent = first;
        result = Ok(Swap::Applied(row.clone()));
    }
    Done::Wrote { write: written, result }
}

/// The row as it is, by consistent reads, as if it had refused a write.
async fn row(store: &dyn LeaseStore, key: &LeaseKey) -> Result<Swap, StoreError> {
    loop {
        match store.read(key).await {
            Ok(row) => return Ok(Swap::Refused(row)),
            Err(error) if error.is_transient() => sleep(RECONCILE_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}
