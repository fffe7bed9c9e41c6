//! Leases that came to this worker and left it: counted by kind, and the latest kept with why.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use crate::model::{Lease, ShardId};

/// How a lease came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// It had no owner, or its owner had stopped renewing, and this worker took it.
    Taken,
    /// Its owner handed it over, as this worker had asked.
    Received,
    /// Its owner lives and did not hand it over in time: taken by force.
    Forced,
    /// Handed over to a worker that had asked for it.
    HandedOver,
    /// Released, with everything in flight delivered and checkpointed.
    Released,
    /// Its shard has ended, and everything in it is processed.
    Ended,
    /// Given up, since it could not be renewed in time.
    Expired,
    /// It is somebody else's, as its row says.
    Lost,
}

impl LeaseChange {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Taken,
        Self::Received,
        Self::Forced,
        Self::HandedOver,
        Self::Released,
        Self::Ended,
        Self::Expired,
        Self::Lost,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Received => "received",
            Self::Forced => "forced",
            Self::HandedOver => "handed_over",
            Self::Released => "released",
            Self::Ended => "ended",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct LeaseNews {
    /// When.
    pub at: Instant,
    /// What.
    pub change: LeaseChange,
    /// The lease's stream.
    pub stream: String,
    /// The lease's shard.
    pub shard: ShardId,
    /// Why, for a person.
    pub why: String,
}

/// Changes that are kept.
const MOST: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Journal {
    counts: [AtomicU64; LeaseChange::ALL.len()],
    latest: Mutex<VecDeque<LeaseNews>>,
}

impl Journal {
    pub(super) fn note(&self, change: LeaseChange, stream: &str, lease: &Lease, why: &str) {
        if let Some(count) = self.counts.get(change as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let (stream, shard, why) = (stream.to_owned(), lease.shard.clone(), why.to_owned());
        let news = LeaseNews { at: Instant::now(), change, stream, shard, why };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.truncate(MOST - 1);
        latest.push_front(news);
    }

    pub(super) fn count(&self, change: LeaseChange) -> u64 {
        self.counts.get(change as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn latest(&self) -> Vec<LeaseNews> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Checkpoint, LeaseKey};

    #[tokio::test]
    async fn the_latest_changes_are_kept_and_all_are_counted() {
        let journal = Journal::default();
        for number in 0..=MOST {
            let (key, shard) = (LeaseKey::new("l"), ShardId::new(number.to_string()));
            let lease = Lease::new(key, None, shard, Checkpoint::TrimHorizon);
            journal.note(LeaseChange::Released, "orders", &lease, "draining");
        }
        assert_eq!(journal.count(LeaseChange::Released), MOST as u64 + 1);
        assert_eq!(journal.count(LeaseChange::Lost), 0);
        let latest = journal.latest();
        assert_eq!(latest.len(), MOST);
        assert_eq!(latest.first().map(|news| news.shard.as_str()), Some("100"));
        for (index, change) in LeaseChange::ALL.into_iter().enumerate() {
            assert_eq!(change as usize, index, "{change:?} is out of place");
        }
    }
}
