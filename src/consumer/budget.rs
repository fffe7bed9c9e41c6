//! The process-wide byte budget for records in flight, and each shard's share of it.
//!
//! Half of the budget is common: a shard takes from it while it holds less of it than is left, so
//! that one that is behind gets full pages, and several that are stuck leave some. The other half is
//! divided evenly: what a shard has of it nobody else can take. A shard therefore waits for itself
//! only, never for others, whatever has become of their sinks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Bytes that all shards together may hold between the fetching and the settling of a record.
///
/// A slow sink keeps its reservations, so fetching stops; the heap does not grow.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Mutex<Pool>>);

#[derive(Debug)]
struct Pool {
    /// The whole.
    bytes: u64,
    /// What is left of the common half.
    common: u64,
    /// Shards that are read.
    shares: u64,
    /// What shards hold of their own parts.
    own: u64,
}

impl Pool {
    /// One shard's own part.
    fn part(&self) -> u64 {
        (self.bytes / 2 / self.shares.max(1)).max(1)
    }
}

/// What one shard may have of the budget. Clones are the same shard's.
#[derive(Clone, Debug)]
pub struct Share(Arc<Shard>);

#[derive(Debug)]
struct Shard {
    budget: Budget,
    held: Mutex<Held>,
    given_back: Notify,
}

/// What a shard, or a reservation, holds of the common half and of the shard's own part.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    common: u64,
    own: u64,
}

/// Bytes of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    shard: Arc<Shard>,
    held: Held,
}

impl Held {
    fn sum(self) -> u64 {
        self.common + self.own
    }
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let pool = Pool { bytes, common: bytes - bytes / 2, shares: 0, own: 0 };
        Self(Arc::new(Mutex::new(pool)))
    }

    /// The share of one more shard, until it and its reservations are dropped.
    pub fn share(&self) -> Share {
        self.pool().shares += 1;
        let budget = self.clone();
        Share(Arc::new(Shard { budget, held: Mutex::default(), given_back: Notify::new() }))
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> u64 {
        self.pool().bytes
    }

    /// Bytes that are held.
    pub fn in_flight(&self) -> u64 {
        self.limit().saturating_sub(self.free())
    }

    /// Bytes that nobody holds.
    pub fn free(&self) -> u64 {
        let pool = self.pool();
        (pool.common + pool.bytes / 2).saturating_sub(pool.own)
    }

    /// Bytes of decoded events that may wait for the sinks of one shard. Events may be many times the
    /// size of their record, and are not counted by reservations.
    pub fn decoded_part(&self) -> u64 {
        (self.pool().part() / 2).max(LEAST_DECODED)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However many shards there are, batches of this size are made.
const LEAST_DECODED: u64 = 64 * 1024;

impl Share {
    /// Reserves up to `wish` bytes, as many as the shard may have: `least`, or any number above none
    /// if it holds nothing. Waits while it holds too much for that.
    ///
    /// # Cancel safety
    /// Nothing is reserved when it is dropped before it is done.
    pub async fn reserve(&self, wish: u64, least: u64) -> Reservation {
        loop {
            if let Some(held) = self.0.try_reserve(wish.max(least).max(1), least) {
                return Reservation { shard: Arc::clone(&self.0), held };
            }
            self.0.given_back.notified().await;
        }
    }
}

impl Shard {
    fn try_reserve(&self, wish: u64, least: u64) -> Option<Held> {
        let mut pool = self.budget.pool();
        let mut held = self.held();
        let part = pool.part();
        if held.own > part {
            return None;
        }
        let common = wish.min(pool.bytes / 4).max(1);
        if held.common + common <= pool.common {
            pool.common -= common;
            held.common += common;
            return Some(Held { common, own: 0 });
        }
        let left = part.saturating_sub(held.own);
        let nothing = held.sum() == 0;
        if !nothing && left < least.max(1) {
            return None;
        }
        let own = wish.min(left);
        pool.own += own;
        held.own += own;
        Some(Held { common: 0, own })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Bytes that are reserved.
    pub fn bytes(&self) -> u64 {
        self.held.sum()
    }

    /// Makes it fit the first of these sizes, as many as there are bytes for, and answers how many. At
    /// least one if the shard holds nothing else: it would not become smaller by waiting.
    #[must_use]
    pub fn fit_some(mut self, sizes: impl IntoIterator<Item = u64> + Clone) -> (Self, usize) {
        let all: u64 = sizes.clone().into_iter().sum();
        self.grow(all.saturating_sub(self.bytes()));
        let alone = self.shard.held().sum() == self.bytes();
        let (mut sum, mut count) = (0, 0);
        for size in sizes {
            if (count > 0 || !alone) && sum + size > self.bytes() {
                break;
            }
            sum += size;
            count += 1;
        }
        (self.fit(sum), count)
    }

    /// Takes up to so many bytes more, as far as they are there.
    fn grow(&mut self, bytes: u64) {
        let mut pool = self.shard.budget.pool();
        let mut held = self.shard.held();
        let common = bytes.min(pool.common);
        let own = (bytes - common).min(pool.part().saturating_sub(held.own));
        pool.common -= common;
        pool.own += own;
        held.common += common;
        held.own += own;
        self.held.common += common;
        self.held.own += own;
    }

    /// Makes it fit what is there in any case. What is more is taken from the common half if it is
    /// there, else the shard's own part is overdrawn.
    #[must_use]
    pub fn fit(mut self, bytes: u64) -> Self {
        let need = bytes.saturating_sub(self.bytes());
        let spare = self.bytes().saturating_sub(bytes);
        let from_own = spare.min(self.held.own);
        let from_common = spare - from_own;
        self.give_back(Held { common: from_common, own: from_own });
        if need > 0 {
            let mut pool = self.shard.budget.pool();
            let common = need.min(pool.common);
            let own = need - common;
            pool.common -= common;
            pool.own += own;
            let mut held = self.shard.held();
            held.common += common;
            held.own += own;
            self.held.common += common;
            self.held.own += own;
        }
        self
    }

    fn give_back(&mut self, part: Held) {
        let mut pool = self.shard.budget.pool();
        pool.common += part.common;
        pool.own -= part.own;
        let mut held = self.shard.held();
        held.common -= part.common;
        held.own -= part.own;
        self.held.common -= part.common;
        self.held.own -= part.own;
        self.shard.given_back.notify_one();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.budget.pool().shares -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;

    /// What a shard gets that takes and never gives back.
    fn hoard(share: &Share, wish: u64) -> Vec<Reservation> {
        std::iter::from_fn(|| share.reserve(wish, 1).now_or_never()).collect()
    }

    fn sum(reservations: &[Reservation]) -> u64 {
        reservations.iter().map(Reservation::bytes).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_when_it_is_spent_and_goes_on_when_bytes_come_back() {
        let share = Budget::new(1000).share();
        let mut held = hoard(&share, 100);
        let next = share.reserve(100, 1);
        tokio::pin!(next);
        assert!(timeout(Duration::from_secs(1), &mut next).await.is_err(), "all is spent");
        held.pop();
        assert_eq!(next.await.bytes(), 100);
    }

    #[tokio::test]
    async fn nobody_takes_a_shards_own_part() {
        let budget = Budget::new(1 << 20);
        let stuck: Vec<Share> = (0..7).map(|_| budget.share()).collect();
        let other = budget.share();
        let held: Vec<_> = stuck.iter().map(|share| hoard(share, 10 << 20)).collect();
        let most = held.iter().map(|held| sum(held)).max().unwrap();
        assert!(most < 1 << 19, "one shard has {most}");
        for _ in 0..1000 {
            let page = other.reserve(10 << 20, 1).now_or_never().expect("it waits for others");
            assert!(page.bytes() >= (1 << 20) / 16, "{}", page.bytes());
        }
    }

    #[tokio::test]
    async fn a_page_larger_than_the_budget_is_counted_whole() {
        let budget = Budget::new(4096);
        let share = budget.share();
        let page = share.reserve(100_000, 1).await.fit(200_000);
        assert_eq!((page.bytes(), budget.free()), (200_000, 0));
        assert!(share.reserve(1, 1).now_or_never().is_none());
        drop(page);
        assert_eq!(budget.free(), 4096);
    }

    #[tokio::test]
    async fn of_a_page_is_taken_what_there_are_bytes_for() {
        let share = Budget::new(1000).share();
        let (page, count) = share.reserve(10, 1).await.fit_some([200, 300, 400, 200]);
        assert_eq!((page.bytes(), count), (900, 3));
        let (none, count) = share.reserve(10, 1).await.fit_some([5000, 1]);
        assert_eq!((none.bytes(), count), (0, 0));
        assert!(share.reserve(200, 101).now_or_never().is_none(), "there are 100 left");
        drop(page);
        let (large, count) = share.reserve(10, 1).await.fit_some([5000, 1]);
        assert_eq!((large.bytes(), count), (5000, 1));
        assert!(share.reserve(1, 1).now_or_never().is_none(), "it is overdrawn");
        drop(large);
        assert_eq!(share.reserve(1, 1).await.bytes(), 1);
    }

    #[test]
    fn decoded_events_have_a_bounded_part() {
        let budget = Budget::new(256 << 20);
        let shares: Vec<_> = (0..200).map(|_| budget.share()).collect();
        assert!(budget.decoded_part() * 200 <= 64 << 20);
        drop(shares);
        assert_eq!(budget.decoded_part(), 64 << 20);
    }

    proptest! {
        /// Whatever shards do: what is promised is never more than there is, and everything comes
        /// back.
        #[test]
        fn never_more_than_there_is(
            steps in prop::collection::vec((0usize..5, 0u64..5000, any::<bool>()), 1..200),
        ) {
            let budget = Budget::new(10_000);
            let shares: Vec<Share> = (0..5).map(|_| budget.share()).collect();
            let mut held: Vec<Vec<Reservation>> = (0..5).map(|_| Vec::new()).collect();
            for (shard, bytes, take) in steps {
                if take {
                    if let Some(reservation) = shares[shard].reserve(bytes, 1).now_or_never() {
                        let fits = reservation.bytes().min(bytes);
                        held[shard].push(reservation.fit(fits));
                    }
                } else {
                    held[shard].pop();
                }
                let all: u64 = held.iter().map(|held| sum(held)).sum();
                prop_assert!(all <= 10_000);
                prop_assert_eq!(budget.free(), 10_000 - all);
            }
            held.clear();
            prop_assert_eq!(budget.free(), 10_000);
        }
    }
}
