//! Whether a lease that nobody has held is needed, where the rows alone do not say it.
//!
//! Shard syncs of several workers create leases from lists of shards of different ages. So a lease may
//! come back after its shard was done with, and one that is to be read from `LATEST` may come too early.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::{LeasedStream, plan, shard_sync::SyncError};
use crate::{
    model::{EpochMillis, Lease, Shard, ShardId},
    ports::{LeaseStore, StoreError, StreamError},
};

/// The shards of a stream, listed once for all leases in doubt.
pub(super) type Listing = Shared<BoxFuture<'static, Result<Arc<[Shard]>, StreamError>>>;

/// A listing that begins when somebody first waits for it.
pub(super) fn listing(stream: &LeasedStream) -> Listing {
    let reader = Arc::clone(&stream.reader);
    async move { reader.shards().await.map(Arc::from) }.boxed().shared()
}

/// A lease in doubt.
pub(super) struct Doubt {
    pub(super) lease: Lease,
    stream: LeasedStream,
    listing: Listing,
    /// The shards begun that may go on where it ended.
    rivals: BTreeSet<ShardId>,
    /// All shards with leases that have keys of it.
    sharing_keys: BTreeSet<ShardId>,
}

/// Whether a lease is needed.
pub(super) enum Need {
    /// Not any more: its shard is done with.
    Gone,
    /// Not yet: its line is at an earlier shard.
    Later,
    /// It is, for what was put since then; `None` for what its checkpoint says.
    Now(Option<EpochMillis>),
}

impl Doubt {
    /// The doubt about a lease of a stream, if there is any; `leases` are all rows.
    pub(super) fn about(
        lease: &Lease,
        leases: &[Lease],
        stream: &LeasedStream,
        listing: impl FnOnce() -> Listing,
    ) -> Option<Self> {
        let rivals = plan::rivals(lease, leases);
        let may_be_ahead = lease.never_held() && lease.awaits_latest() && !lease.parents.is_empty();
        (may_be_ahead || !rivals.is_empty()).then(|| Self {
            lease: lease.clone(),
            stream: stream.clone(),
            listing: listing(),
            rivals,
            sharing_keys: plan::sharing_keys(lease, leases),
        })
    }

    /// Asks the stream and the rows.
    pub(super) async fn resolve(&self, store: &dyn LeaseStore) -> Result<Need, SyncError> {
        let listed = match self.listing.clone().await {
            Ok(listed) => listed,
            Err(StreamError::NotFound(_)) => return Ok(Need::Now(None)),
            Err(error) => return Err(error.into()),
        };
        if plan::descends(&self.rivals, &self.lease.shard, &listed) {
            return Ok(Need::Gone);
        }
        if !self.lease.awaits_latest() {
            return Ok(Need::Now(None));
        }
        // Nothing of it is kept. A listing that is empty is no proof of anything.
        if !listed.is_empty() && listed.iter().all(|shard| shard.id != self.lease.shard) {
            return Ok(Need::Gone);
        }
        Ok(self.need_at_latest(store, &listed).await?)
    }

    /// Whether to begin a lease that stands for "from now on". Of workers that begin at the same time one
    /// may have listed the shards later than the other, without having seen its leases: then the line of
    /// this shard is at an earlier one. To begin here would be to skip what lies between. Once the line has
    /// come here, the shard is read since the line was begun. Where retention has broken the listed
    /// lineage, the keys tell: of two shards that share some one comes before the other.
    async fn need_at_latest(
        &self,
        store: &dyn LeaseStore,
        listed: &[Shard],
    ) -> Result<Need, StoreError> {
        let shares = self.sharing_keys.iter();
        let comes_before = |shard: &&ShardId| !plan::descends([*shard], &self.lease.shard, listed);
        let by_lineage = plan::line_before(&self.lease, listed);
        let mut line = Vec::new();
        for shard in shares.filter(comes_before).chain(by_lineage) {
            match store.read(&self.stream.lease_key(shard)).await? {
                Some(row) if !row.ended() => return Ok(Need::Later),
                row => line.extend(row),
            }
        }
        // A line that carries no time was read from its beginning.
        let since = || plan::carried_on(&line).unwrap_or(EpochMillis(0));
        Ok(Need::Now((!line.is_empty()).then(since)))
    }
}
