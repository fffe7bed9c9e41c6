//! Bounded reads: where a shard is read up to.

use std::sync::Arc;

use crate::{
    model::{EpochMillis, RecordPage},
    ports::WallClock,
};

/// Milliseconds by which the clock of a server may be behind this machine's: records that it takes
/// meanwhile may still carry an earlier time.
const SETTLE: u64 = 1000;

/// Ends the reading of a shard at a time: with the first record that arrived then or later, which is
/// left to a later run; or at the tip, when the time is over.
pub(super) struct Until {
    time: Option<EpochMillis>,
    clock: Arc<dyn WallClock>,
    asked: EpochMillis,
}

impl Until {
    /// Up to a time, or for ever.
    pub(super) fn new(time: Option<EpochMillis>, clock: Arc<dyn WallClock>) -> Self {
        let asked = clock.now();
        Self { time, clock, asked }
    }

    /// A page is asked for now.
    pub(super) fn asking(&mut self) {
        self.asked = self.clock.now();
    }

    /// Cuts off what is not to be read. Whether the shard has been read up to the time: then nothing
    /// comes after what is left of the page.
    pub(super) fn cut<I>(&self, page: &mut RecordPage<I>) -> bool {
        let Some(time) = self.time else { return false };
        let beyond = page.records.iter().position(|record| record.arrival >= time);
        if let Some(beyond) = beyond {
            page.records.truncate(beyond);
        }
        beyond.is_some() || page.behind_latest.is_zero() && self.is_over(self.asked)
    }

    /// Whether nothing that is put from this instant on can belong to what is read.
    fn is_over(&self, now: EpochMillis) -> bool {
        self.time.is_some_and(|time| now.millis_since(time) >= SETTLE)
    }

    /// Whether it is over now.
    pub(super) fn has_passed(&self) -> bool {
        self.is_over(self.clock.now())
    }
}
