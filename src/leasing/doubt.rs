//! Whether a lease that nobody has held is needed.
//!
//! Shard syncs of several workers create leases from lists of shards of different ages. So a lease may come
//! back after its shard was done with, and one that is to be read from `LATEST` may come too early. A scan
//! does not tell: it may hide a row that was written a moment ago, and rows of shards in between are gone.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::timeout;

use super::{
    LeasedStream, StreamIdentifier,
    plan::{self, Lineage},
    shard_sync::SyncError,
};
use crate::{
    model::{EpochMillis, Lease, ShardId},
    ports::{LeaseStore, StoreError, StreamError},
};

/// The shards of a stream, listed once for all leases in doubt.
pub(super) type Listing = Shared<BoxFuture<'static, Result<Arc<Lineage>, StreamError>>>;

/// A listing that begins when somebody first waits for it.
pub(super) fn listing(stream: &LeasedStream) -> Listing {
    let reader = Arc::clone(&stream.reader);
    async move { Ok(Arc::new(Lineage::of(reader.shards().await?))) }.boxed().shared()
}

/// A lease in doubt: nobody has held it.
pub(super) struct Doubt {
    pub(super) lease: Lease,
    pub(super) identifier: StreamIdentifier,
    pub(super) listing: Listing,
    /// All rows, as a scan has shown them.
    pub(super) leases: Arc<[Lease]>,
    /// For how long to wait for answers: nothing else is taken meanwhile.
    pub(super) patience: Duration,
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
    /// Asks the stream and the rows.
    pub(super) async fn resolve(&self, store: &dyn LeaseStore) -> Result<Need, SyncError> {
        let late = |_| StreamError::Unavailable(format!("no answer in {:?}", self.patience));
        timeout(self.patience, self.need(store)).await.map_err(late)?
    }

    async fn need(&self, store: &dyn LeaseStore) -> Result<Need, SyncError> {
        let lineage = match self.listing.clone().await {
            Ok(lineage) => lineage,
            Err(StreamError::NotFound(_)) => return Ok(Need::Now(None)),
            Err(error) => return Err(error.into()),
        };
        if self.has_gone_on(store, &lineage).await? {
            return Ok(Need::Gone);
        }
        if !self.lease.awaits_latest() {
            return Ok(Need::Now(None));
        }
        Ok(match lineage.has_lost(&self.lease.shard) {
            true => self.need_of_lost(store).await?,
            false => self.need_at_latest(store, &lineage).await?,
        })
    }

    /// The lease of another shard of the stream, as it is now.
    async fn row(&self, store: &dyn LeaseStore, of: &ShardId) -> Result<Option<Lease>, StoreError> {
        store.read(&self.identifier.lease_key(of)).await
    }

    /// Whether this shard was done with: one that descends from it has begun. A worker that stood still
    /// between the listing of shards and the creating of their leases has put it back after it was
    /// retired, and whoever took it would read the shard again. Where it has left the stream, a child may have
    /// begun that took keys of another one before it: then all of them must have leases, or be done with.
    async fn has_gone_on(
        &self,
        store: &dyn LeaseStore,
        lineage: &Lineage,
    ) -> Result<bool, StoreError> {
        let own = &self.lease.shard;
        if !self.has_begun(store, lineage.after(own)).await? {
            return Ok(false);
        }
        for child in lineage.children(own).filter(|_| lineage.has_lost(own)) {
            let has_lease = self.row(store, &child.id).await?.is_some();
            if !has_lease && !self.has_begun(store, lineage.after(&child.id)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether one of these shards has begun. A lease is retired only once all its children have begun, so
    /// to read parents before their children finds the one that has.
    async fn has_begun(
        &self,
        store: &dyn LeaseStore,
        shards: Vec<&ShardId>,
    ) -> Result<bool, StoreError> {
        for shard in shards {
            let row = self.row(store, shard).await?;
            if row.is_some_and(|row| row.begun()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether to begin a lease that stands for "from now on" of a shard of which nothing is kept. It matters
    /// if its line has come to it, for others that are kept may go on where it ends: then a shard that has
    /// ended names it, and keeps its row until it has begun.
    async fn need_of_lost(&self, store: &dyn LeaseStore) -> Result<Need, StoreError> {
        let own = &self.lease;
        let names_it = |row: &&Lease| row.stream == own.stream && row.children.contains(&own.shard);
        let named_by = self.leases.iter().filter(names_it).map(|row| &row.shard);
        let mut line = Vec::new();
        for shard in own.parents.iter().chain(named_by) {
            let row = self.row(store, shard).await?;
            line.extend(row.filter(|row| names_it(&row)));
        }
        Ok(since(&line).map_or(Need::Gone, |since| Need::Now(Some(since))))
    }

    /// Whether to begin a lease that stands for "from now on". Of workers that begin at the same time one
    /// may have listed the shards later than the other, without having seen its leases: then the line of
    /// this shard is at an earlier one. To begin here would be to skip what lies between. Once the line has
    /// come here, the shard is read since the line was begun.
    async fn need_at_latest(
        &self,
        store: &dyn LeaseStore,
        lineage: &Lineage,
    ) -> Result<Need, StoreError> {
        let mut line = Vec::new();
        for shard in plan::line_before(&self.lease, &self.leases, lineage) {
            match self.row(store, shard).await? {
                Some(row) if !row.ended() => return Ok(Need::Later),
                row => line.extend(row),
            }
        }
        Ok(Need::Now(since(&line)))
    }
}

/// Since when a line is read, whose ended leases these are; `None` if it has none, and begins now. One that
/// carries no time was read from its beginning.
fn since(line: &[Lease]) -> Option<EpochMillis> {
    (!line.is_empty()).then(|| plan::carried_on(line).unwrap_or(EpochMillis(0)))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Mutex, PoisonError},
    };

    use async_trait::async_trait;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        leasing::fixtures::lease,
        model::{Checkpoint, LeaseKey, LeaseWrite, Shard},
        ports::Swap,
    };

    /// A table that changes with each read: the rows as the first one finds them, the second, and so on; in
    /// the end it stays as it is.
    struct Moving(Mutex<VecDeque<Vec<Lease>>>);

    #[async_trait]
    impl LeaseStore for Moving {
        async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
            let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let last = tables.len() == 1;
            let rows = if last { tables.front().cloned() } else { tables.pop_front() };
            Ok(rows.into_iter().flatten().find(|row| row.key == *key))
        }

        async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
            unreachable!("it only reads")
        }

        async fn create(&self, _: &Lease) -> Result<bool, StoreError> {
            unreachable!("it only reads")
        }

        async fn write(&self, _: &LeaseKey, _: &LeaseWrite) -> Result<Swap, StoreError> {
            unreachable!("it only reads")
        }

        async fn delete(&self, _: &Lease) -> Result<bool, StoreError> {
            unreachable!("it only reads")
        }
    }

    /// 0 was replaced by 1, and 1 by 2; 3 and 4 are what 9 became, which is not listed any more.
    fn lineage() -> Lineage {
        let shard = |(id, parents): (&str, &str)| Shard {
            id: ShardId::new(id),
            parents: parents.split_whitespace().map(ShardId::new).collect(),
            hash_range: None,
            open: matches!(id, "2" | "3" | "4"),
        };
        Lineage::of([("0", ""), ("1", "0"), ("2", "1"), ("3", "9"), ("4", "9")].map(shard))
    }

    /// `1=7 2=LATEST`: a row of each shard, with its checkpoint.
    fn rows(text: &str) -> Vec<Lease> {
        let row = |(id, checkpoint)| {
            lease(id).checkpoint(Checkpoint::parse(checkpoint, 0).unwrap()).build()
        };
        text.split_whitespace().filter_map(|word| word.split_once('=')).map(row).collect()
    }

    fn doubt(own: &str, listing: Listing) -> Doubt {
        Doubt {
            lease: rows(own).remove(0),
            identifier: StreamIdentifier::Single,
            listing,
            leases: Arc::default(),
            patience: Duration::from_secs(1),
        }
    }

    async fn need(own: &str, table: &[&str]) -> Need {
        let listing = async { Ok(Arc::new(lineage())) }.boxed().shared();
        let store = Moving(Mutex::new(table.iter().map(|text| rows(text)).collect()));
        doubt(own, listing).resolve(&store).await.unwrap()
    }

    /// Between two reads a shard comes to its end, its child begins, and its row goes.
    #[tokio::test]
    async fn a_line_that_goes_on_while_its_rows_are_read_is_found() {
        let moving = ["1=7 2=TRIM_HORIZON", "2=8"];
        assert!(matches!(need("0=TRIM_HORIZON", &moving).await, Need::Gone));
        let moving = ["0=7", "1=8"];
        assert!(matches!(need("2=LATEST", &moving).await, Need::Later));
    }

    /// A child may have begun that took keys of another shard before it.
    #[tokio::test]
    async fn a_shard_that_has_left_is_done_with_once_all_its_children_have_leases() {
        let own = "9=TRIM_HORIZON";
        assert!(matches!(need(own, &["3=7"]).await, Need::Now(None)));
        assert!(matches!(need(own, &["3=7 4=TRIM_HORIZON"]).await, Need::Gone));
    }

    /// Nothing else is taken meanwhile, and a worker that is told to leave waits for it.
    #[tokio::test(start_paused = true)]
    async fn a_stream_that_does_not_answer_is_not_waited_for_without_end() {
        let listing = std::future::pending().boxed().shared();
        let doubt = doubt("0=TRIM_HORIZON", listing);
        let start = Instant::now();
        let answer = doubt.resolve(&Moving(Mutex::default())).await;
        assert!(matches!(answer, Err(SyncError::Stream(StreamError::Unavailable(_)))));
        assert_eq!(start.elapsed(), doubt.patience);
    }

    #[tokio::test]
    async fn a_lease_that_nothing_speaks_against_is_needed() {
        assert!(matches!(need("0=TRIM_HORIZON", &["1=TRIM_HORIZON"]).await, Need::Now(None)));
        assert!(matches!(need("2=LATEST", &[]).await, Need::Now(None)));
    }
}
