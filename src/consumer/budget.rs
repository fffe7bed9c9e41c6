//! The process-wide byte budget for records in flight.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all shards together may hold between the fetching and the settling of a record.
///
/// A slow sink keeps its reservations, so fetching stops; the heap does not grow.
#[derive(Clone, Debug)]
pub struct Budget {
    /// In units of [`UNIT`]: a semaphore counts at most 2^29 permits on small machines.
    free: Arc<Semaphore>,
    units: u32,
}

/// Part of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

/// The grain of the budget.
const UNIT: u64 = 1024;

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits until so many bytes are free and reserves them; more than the whole budget counts as
    /// the whole. First come, first served, so that no shard starves.
    ///
    /// # Cancel safety
    /// Nothing is reserved when it is dropped before it is done.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let permit = Arc::clone(&self.free).acquire_many_owned(self.units_of(bytes)).await;
        Reservation(permit.expect("the semaphore is never closed"))
    }

    /// Makes a reservation fit what a page turned out to hold. More than was reserved is taken if
    /// it is free; a page is in memory by then, and waiting would not make it smaller.
    pub fn fit(&self, reservation: Reservation, bytes: u64) -> Reservation {
        let mut permit = reservation.0;
        let have = permit.num_permits();
        let need = self.units_of(bytes) as usize;
        if need < have {
            drop(permit.split(have - need));
        } else if let Ok(more) = u32::try_from(need - have)
            && let Ok(extra) = Arc::clone(&self.free).try_acquire_many_owned(more)
        {
            permit.merge(extra);
        }
        Reservation(permit)
    }

    /// Bytes that are reserved now.
    pub fn in_flight(&self) -> u64 {
        self.limit().saturating_sub(self.free())
    }

    /// Bytes that may be reserved.
    pub fn limit(&self) -> u64 {
        u64::from(self.units) * UNIT
    }

    /// Bytes that are free now.
    pub fn free(&self) -> u64 {
        self.free.available_permits() as u64 * UNIT
    }

    fn units_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_when_it_is_spent_and_goes_on_when_bytes_come_back() {
        let budget = Budget::new(10 * UNIT);
        let first = budget.reserve(8 * UNIT).await;
        let second = timeout(Duration::from_secs(1), budget.reserve(4 * UNIT));
        assert!(second.await.is_err(), "only two units are left");
        let first = budget.fit(first, 3 * UNIT);
        assert_eq!(budget.free(), 7 * UNIT);
        let _second = budget.reserve(4 * UNIT).await;
        drop(first);
        assert_eq!(budget.free(), 6 * UNIT);
    }

    #[tokio::test]
    async fn a_page_larger_than_the_budget_gets_the_whole() {
        let budget = Budget::new(4 * UNIT);
        let all = budget.reserve(100 * UNIT).await;
        assert_eq!(budget.free(), 0);
        let all = budget.fit(all, 200 * UNIT);
        drop(all);
        assert_eq!(budget.free(), 4 * UNIT);
    }
}
