//! When the next `GetRecords` may go. Pure: durations in, durations out.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The times between two calls on one shard.
#[derive(Clone, Copy, Debug)]
pub struct PacingParams {
    /// Pause at the tip of a shard that is written to. Five calls a second and shard are shared
    /// with every other consumer of the stream that polls.
    pub poll_interval: Duration,
    /// Longest pause on a shard where nothing comes.
    pub idle_poll_interval: Duration,
}

/// Paces one shard.
#[derive(Debug)]
pub struct Pacing {
    params: PacingParams,
    idle: Duration,
    back_off: BackOff,
}

/// Pauses between calls that were throttled or failed: exponential, with jitter so that the consumers
/// of a stream do not stay in step.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The pause after one more failure.
    pub(super) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let pause = (RETRY_MIN * 2u32.saturating_pow(self.failures)).min(RETRY_MAX);
        self.failures = (self.failures + 1).min(10);
        pause.mul_f64(rng.random_range(0.5..1.0))
    }

    /// A call succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Calls that failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

/// Kinesis's limit of five `GetRecords` calls a second and shard.
const CALL_INTERVAL: Duration = Duration::from_millis(200);
/// Kinesis's limit of 2 MB a second and shard; a larger page blocks the calls after it.
const BYTES_PER_SECOND: f64 = 2_000_000.0;
/// First pause after a call that failed, doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(250);
/// Longest pause after a call that failed.
const RETRY_MAX: Duration = Duration::from_secs(10);

impl Pacing {
    /// Paces a shard that nothing is known of yet.
    pub fn new(params: PacingParams) -> Self {
        Self { params, idle: params.poll_interval, back_off: BackOff::default() }
    }

    /// The time from the start of the call that answered to the next call.
    pub fn after_page(&mut self, records: usize, bytes: u64, behind: Duration) -> Duration {
        self.back_off.reset();
        if records > 0 {
            self.idle = self.params.poll_interval;
        }
        if !behind.is_zero() {
            #[expect(clippy::cast_precision_loss, reason = "a page is at most 10 MiB")]
            let paid = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
            return paid.max(CALL_INTERVAL);
        }
        let pause = self.idle;
        if records == 0 {
            self.idle = self.idle.mul_f64(1.25).min(self.params.idle_poll_interval).max(pause);
        }
        pause
    }

    /// The pause after a call that was throttled or failed.
    pub fn after_failure(&mut self, rng: &mut impl Rng) -> Duration {
        self.back_off.next(rng)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const PARAMS: PacingParams = PacingParams {
        poll_interval: Duration::from_millis(250),
        idle_poll_interval: Duration::from_secs(1),
    };

    #[test]
    fn behind_it_goes_as_fast_as_the_shards_limits_allow() {
        let mut pacing = Pacing::new(PARAMS);
        let behind = Duration::from_mins(1);
        assert_eq!(pacing.after_page(10, 1_000, behind), CALL_INTERVAL);
        assert_eq!(pacing.after_page(9_000, 10_000_000, behind), Duration::from_secs(5));
        assert_eq!(pacing.after_page(0, 0, behind), CALL_INTERVAL, "empty pages happen on the way");
    }

    #[test]
    fn an_idle_shard_is_asked_less_often_until_something_comes() {
        let mut pacing = Pacing::new(PARAMS);
        let first = pacing.after_page(0, 0, Duration::ZERO);
        let mut last = first;
        for _ in 0..20 {
            let pause = pacing.after_page(0, 0, Duration::ZERO);
            assert!(pause >= last);
            last = pause;
        }
        assert_eq!((first, last), (PARAMS.poll_interval, PARAMS.idle_poll_interval));
        assert_eq!(pacing.after_page(1, 10, Duration::ZERO), PARAMS.poll_interval);
    }

    #[test]
    fn failures_back_off_with_jitter_and_an_answer_ends_it() {
        let mut pacing = Pacing::new(PARAMS);
        let mut rng = StdRng::seed_from_u64(7);
        let pauses: Vec<Duration> = (0..12).map(|_| pacing.after_failure(&mut rng)).collect();
        assert!(pauses.iter().all(|pause| *pause <= RETRY_MAX));
        assert!(pauses[11] >= RETRY_MAX / 2);
        pacing.after_page(1, 1, Duration::ZERO);
        assert!(pacing.after_failure(&mut rng) <= RETRY_MIN);
    }
}
