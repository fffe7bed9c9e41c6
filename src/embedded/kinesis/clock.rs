//! The server's only source of time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::watch;

/// What the server asks for the time: arrival timestamps, iterator expiry, retention, rate limits,
/// status windows and the life of subscriptions all follow it, so a test moves a week ahead without
/// waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_millis(&self) -> u64;

    /// Waits until the clock shows this time. May return a little early when a wall clock is set;
    /// callers look at the time again.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    async fn reached(&self, epoch_millis: u64);
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_millis(&self) -> u64 {
        // A clock set before 1970 reads as 1970: the server has no use for the difference.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
    }

    async fn reached(&self, epoch_millis: u64) {
        let left = epoch_millis.saturating_sub(self.now_millis());
        tokio::time::sleep(Duration::from_millis(left)).await;
    }
}

/// A clock that stands still until it is advanced by hand.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<u64>);

impl ManualClock {
    /// A clock that shows `epoch_millis`.
    pub fn at(epoch_millis: u64) -> Self {
        Self(watch::Sender::new(epoch_millis))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.saturating_add(millis(by)));
    }
}

impl Default for ManualClock {
    /// 2026-01-01T00:00:00Z: sequence numbers carry the time, so a plausible year keeps their shape.
    fn default() -> Self {
        Self::at(1_767_225_600_000)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_millis(&self) -> u64 {
        *self.0.borrow()
    }

    async fn reached(&self, epoch_millis: u64) {
        let mut shown = self.0.subscribe();
        // The sender lives in `self`, so this ends with the time only.
        let _ = shown.wait_for(|now| *now >= epoch_millis).await;
    }
}

/// Whole milliseconds of a duration; a duration beyond 500 million years counts as that.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
