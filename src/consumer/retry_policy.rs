//! When a sink does not take events: try again, split the batch, or give up. Pure: time and chance
//! are arguments.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::ports::SinkError;

/// Longest pause that a sink may ask for. A drain waits for it, and a wrong clock may ask for years.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

/// The pauses between attempts on a sink that does not take a batch.
#[derive(Clone, Copy, Debug)]
pub struct RetryPause {
    /// First pause, doubled up to `max`; each is shortened by up to half at random.
    pub min: Duration,
    /// Longest pause.
    pub max: Duration,
}

/// How long a sink is tried. Lambda's names; without limits nothing is ever given up.
///
/// Attempts are counted by the consumer that makes them: the next owner of a shard begins anew.
#[derive(Clone, Copy, Debug)]
pub struct RetryLimits {
    /// Retries after which an event becomes a dead letter (`maximum_retry_attempts`). Every failed
    /// attempt counts, whatever its cause, except one that leads to a split.
    pub attempts: Option<u32>,
    /// An event whose record is older than this becomes a dead letter when an attempt on it fails
    /// (`maximum_record_age`). Unlike Lambda, which does not even try older records: what the sink
    /// takes is delivered, so that a consumer that starts late does not park its backlog.
    pub age: Option<Duration>,
    /// Whether a refused batch is split in two and its halves are tried apart
    /// (`bisect_batch_on_error`), so that a single bad event is found after log2(n) splits.
    pub bisect: bool,
}

impl Default for RetryLimits {
    /// For ever, with splits.
    fn default() -> Self {
        Self { attempts: None, age: None, bisect: true }
    }
}

impl RetryLimits {
    /// For ever, and never in parts: for a batch that is prepared as it is.
    pub(super) fn whole() -> Self {
        Self { attempts: None, age: None, bisect: false }
    }
}

/// What happens after an attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    pub(super) limits: RetryLimits,
    pub(super) pause: RetryPause,
}

impl RetryPolicy {
    /// Whether a failed batch of so many events is to be split instead of tried again. Only when
    /// one of its events may be the cause: a sink that is down would fail each part as well.
    pub(super) fn splits(&self, error: &SinkError, events: usize) -> bool {
        self.limits.bisect && events > 1 && matches!(error, SinkError::BatchRefused(_))
    }

    /// Why an event is given up after so many failed attempts, its record being of this age; `None`
    /// to try again.
    pub(super) fn gives_up(&self, failures: u32, age: Duration) -> Option<String> {
        let attempts = if failures == 1 { "attempt" } else { "attempts" };
        if let Some(most) = self.limits.attempts.filter(|most| failures > *most) {
            return Some(format!(
                "gave up after {failures} {attempts} (maximum_retry_attempts = {most})"
            ));
        }
        let most = self.limits.age.filter(|most| age > *most)?;
        let most = humantime::format_duration(most);
        Some(format!("gave up after {failures} {attempts} (maximum_record_age = {most})"))
    }

    /// The pause after so many failed attempts, one at least; not shorter than the sink has `asked`
    /// for, unless that is very long.
    pub(super) fn pause(
        &self,
        failures: u32,
        asked: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        let full = self.pause.min.saturating_mul(doubled).min(self.pause.max);
        let own = full.mul_f64(rng.random_range(0.5..1.0));
        own.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn policy(limits: RetryLimits) -> RetryPolicy {
        let pause = RetryPause { min: Duration::from_millis(200), max: Duration::from_secs(30) };
        RetryPolicy { limits, pause }
    }

    #[test]
    fn the_first_attempt_is_not_a_retry() {
        for (most, failures, expect) in [(0, 1, true), (2, 2, false), (2, 3, true)] {
            let policy = policy(RetryLimits { attempts: Some(most), ..RetryLimits::default() });
            assert_eq!(policy.gives_up(failures, Duration::MAX).is_some(), expect, "{most}");
        }
        let for_ever = policy(RetryLimits::default());
        assert_eq!(for_ever.gives_up(u32::MAX, Duration::MAX), None);
    }

    #[test]
    fn the_reason_names_the_setting() {
        let hour = Duration::from_hours(1);
        let both = RetryLimits { attempts: Some(1), age: Some(hour), ..RetryLimits::default() };
        let policy = policy(both);
        assert_eq!(policy.gives_up(1, hour), None);
        assert_eq!(
            policy.gives_up(1, hour + Duration::from_millis(1)).unwrap(),
            "gave up after 1 attempt (maximum_record_age = 1h)"
        );
        assert_eq!(
            policy.gives_up(2, Duration::ZERO).unwrap(),
            "gave up after 2 attempts (maximum_retry_attempts = 1)"
        );
    }

    #[test]
    fn only_a_batch_that_may_hold_the_cause_is_split() {
        let split = policy(RetryLimits::default());
        let whole = policy(RetryLimits { bisect: false, ..RetryLimits::default() });
        let refused = SinkError::BatchRefused("no".to_owned());
        assert!(split.splits(&refused, 2));
        assert!(!split.splits(&refused, 1));
        assert!(!split.splits(&SinkError::Unavailable("down".to_owned()), 2));
        assert!(!split.splits(&SinkError::Misconfigured("who".to_owned()), 2));
        assert!(!whole.splits(&refused, 2));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = policy(RetryLimits::default());
        let mut rng = StdRng::seed_from_u64(1);
        for (failures, full) in [(1, 200), (2, 400), (8, 25_600), (9, 30_000), (u32::MAX, 30_000)] {
            let full = Duration::from_millis(full);
            let pause = policy.pause(failures, None, &mut rng);
            assert!(full / 2 <= pause && pause <= full, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_the_sink_has_asked_for() {
        let policy = policy(RetryLimits::default());
        let mut rng = StdRng::seed_from_u64(1);
        let mut pause = |asked| policy.pause(1, Some(asked), &mut rng);
        assert_eq!(pause(Duration::from_secs(7)), Duration::from_secs(7));
        assert!(pause(Duration::from_millis(1)) >= Duration::from_millis(100));
        assert_eq!(pause(Duration::MAX), LONGEST_ASKED);
    }
}
