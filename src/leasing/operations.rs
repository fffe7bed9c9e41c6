//! The coordinator's calls to the outside, as futures that end in a value.
//!
//! The coordinator keeps them in one set and applies their results one by one, so its state has one
//! owner and no lock.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::{
    LeasedStream,
    doubt::{Doubt, Need},
    shard_sync::{self, SyncError, Synced, sync_stream},
};
use crate::{
    model::{ChildShard, EpochMillis, Lease, LeaseKey, LeaseWrite, ShardId},
    ports::{LeaseStore, StoreError, Swap},
};

/// A call under way.
pub(super) type Operation = BoxFuture<'static, Done>;

/// What a call came to.
#[expect(clippy::large_enum_variant, reason = "a few at a time, each on its way to one loop")]
pub(super) enum Done {
    Scanned { started: Instant, result: Result<Vec<Lease>, StoreError> },
    Synced { stream: usize, result: Result<Synced, SyncError> },
    Wrote { write: Written, result: Result<Swap, StoreError> },
    Succeeded { key: LeaseKey, acquisition: u64, result: Result<Vec<ShardId>, SyncError> },
    Requested { key: LeaseKey, result: Result<Swap, StoreError> },
    Deleted { key: LeaseKey, result: Result<bool, StoreError> },
    Doubted { key: LeaseKey, error: SyncError },
    NotYet { key: LeaseKey },
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
    /// For a take: whether the time that it names is now, so that its shard is read from `LATEST`.
    pub(super) from_now_on: bool,
    /// When the first of the writes was sent whose answers were lost, since the last certain one.
    pub(super) unsure: Option<Instant>,
}

impl Written {
    /// Makes a take begin its shard since a time.
    fn begin_since(&mut self, time: Option<EpochMillis>) {
        if let (LeaseWrite::Take { latest_since, .. }, Some(time)) = (&mut self.write, time) {
            *latest_since = Some(time);
            self.from_now_on = false;
        }
    }
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

/// Takes a lease, unless it is not needed yet, or deletes it if it is not needed any more.
pub(super) fn take_if_needed(
    store: Arc<dyn LeaseStore>,
    mut written: Written,
    parents: Vec<LeaseKey>,
    doubt: Doubt,
) -> Operation {
    Box::pin(async move {
        match doubt.resolve(store.as_ref()).await {
            Ok(Need::Gone) => delete(store, doubt.lease).await,
            Ok(Need::Later) => Done::NotYet { key: written.key },
            Ok(Need::Now(since)) => {
                written.begin_since(since);
                take(store, written, parents).await
            }
            Err(error) => Done::Doubted { key: written.key, error },
        }
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

/// Creates the leases of the shards that go on where the one of a held lease ended.
pub(super) fn create_successors(
    store: Arc<dyn LeaseStore>,
    stream: LeasedStream,
    (lease, acquisition): (Lease, u64),
    named: Vec<ChildShard>,
    since: Option<EpochMillis>,
) -> Operation {
    Box::pin(async move {
        let created = shard_sync::create_successors(&stream, store.as_ref(), &lease, named, since);
        let result = created.await;
        Done::Succeeded { key: lease.key, acquisition, result }
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
