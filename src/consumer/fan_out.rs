//! What the shards of a stream share that is read with enhanced fan-out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::debug;

use crate::{
    model::ShardId,
    ports::{ShardSubscriber, StreamReader},
};

/// Time for one listing. Shards wait for it before they subscribe again.
const LISTING_TIME: Duration = Duration::from_secs(5);

/// A stream that is read with enhanced fan-out.
pub struct FanOut {
    pub(super) subscriber: Arc<dyn ShardSubscriber>,
    reader: Arc<dyn StreamReader>,
    listing: Mutex<Option<Listing>>,
}

/// What was listed, and when it was asked for.
struct Listing {
    asked: Instant,
    /// Whether each shard is open; `None` when there was no answer.
    open: Option<HashMap<ShardId, bool>>,
}

impl FanOut {
    /// Subscribes through `subscriber`; asks `reader` about shards whose subscriptions say nothing.
    pub fn new(subscriber: Arc<dyn ShardSubscriber>, reader: Arc<dyn StreamReader>) -> Self {
        Self { subscriber, reader, listing: Mutex::default() }
    }

    /// Whether the stream lists the shard as open, by a listing asked for no earlier than `since`. All
    /// shards of the process share one listing. Open when nobody knows.
    pub(super) async fn is_open(&self, shard: &ShardId, since: Instant) -> bool {
        let mut listing = self.listing.lock().await;
        if listing.as_ref().is_none_or(|listing| listing.asked < since) {
            let asked = Instant::now();
            let open = match timeout(LISTING_TIME, self.reader.shards()).await {
                Ok(Ok(shards)) => {
                    Some(shards.into_iter().map(|shard| (shard.id, shard.open)).collect())
                }
                Ok(Err(problem)) => {
                    debug!(%problem, "cannot list the shards");
                    None
                }
                Err(_) => None,
            };
            *listing = Some(Listing { asked, open });
        }
        let open = listing.as_ref().and_then(|listing| listing.open.as_ref());
        // A shard that is not listed is none that goes on.
        open.is_none_or(|open| open.get(shard).copied().unwrap_or(false))
    }
}
