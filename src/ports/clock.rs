//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::EpochMillis;

/// The time of day, for stamps and lag only. What must be safe counts monotonic time.
pub trait WallClock: Send + Sync {
    /// Now.
    fn now(&self) -> EpochMillis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> EpochMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EpochMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
