//! The server's only source of time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the server asks for the time: arrival timestamps, iterator expiry, retention, rate limits
/// and status windows all follow it, so a test moves a week ahead without waiting.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_millis(&self) -> u64;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> u64 {
        // A clock set before 1970 reads as 1970: the server has no use for the difference.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
    }
}

/// A clock that stands still until it is advanced by hand.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `epoch_millis`.
    pub fn at(epoch_millis: u64) -> Self {
        Self(AtomicU64::new(epoch_millis))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    /// 2026-01-01T00:00:00Z: sequence numbers carry the time, so a plausible year keeps their shape.
    fn default() -> Self {
        Self::at(1_767_225_600_000)
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whole milliseconds of a duration; a duration beyond 500 million years counts as that.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
