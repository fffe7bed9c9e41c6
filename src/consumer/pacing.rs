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
    /// How long nothing has come.
    quiet: Duration,
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

/// On a shard where nothing comes a pause is this part of the quiet time: a record after a quiet
/// minute waits for no more than three seconds, one after five seconds is as fast as any.
const PART_OF_QUIET: u32 = 20;

impl Pacing {
    /// Paces a shard that nothing is known of yet.
    pub fn new(params: PacingParams) -> Self {
        Self { params, quiet: Duration::ZERO, back_off: BackOff::default() }
    }

    /// The time from the start of a call that answered so many records and bytes, so far behind the
    /// tip, to the next call.
    ///
    /// What lies behind is fetched as fast as the shard's limits allow. At the tip the pause decides
    /// how long a record waits, half of it as a rule: it stays at `poll_interval` on a shard that is
    /// written to, and grows on an idle one up to `idle_poll_interval`. Large pages are paid for in
    /// either case: calls before that would be refused. Long pauses are a little random, so that a
    /// thousand idle shards do not call all at once.
    pub fn after_page(
        &mut self,
        records: usize,
        bytes: u64,
        behind: Duration,
        rng: &mut impl Rng,
    ) -> Duration {
        let PacingParams { poll_interval, idle_poll_interval } = self.params;
        self.back_off.reset();
        if records > 0 {
            self.quiet = Duration::ZERO;
        }
        let due = if behind > poll_interval {
            CALL_INTERVAL
        } else {
            let most = (self.quiet / PART_OF_QUIET).min(idle_poll_interval);
            most.mul_f64(rng.random_range(0.8..=1.0)).max(poll_interval)
        };
        #[expect(clippy::cast_precision_loss, reason = "a page is at most 10 MiB")]
        let paid = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let pause = due.max(paid);
        self.quiet += pause;
        pause
    }

    /// The pause after a call that was throttled or failed.
    pub fn after_failure(&mut self, rng: &mut impl Rng) -> Duration {
        self.back_off.next(rng)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const PARAMS: PacingParams = PacingParams {
        poll_interval: Duration::from_millis(250),
        idle_poll_interval: Duration::from_secs(1),
    };
    const MINUTE: Duration = Duration::from_mins(1);

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    #[test]
    fn behind_it_goes_as_fast_as_the_shards_limits_allow() {
        let (mut pacing, mut rng) = (Pacing::new(PARAMS), rng());
        assert_eq!(pacing.after_page(10, 1_000, MINUTE, &mut rng), CALL_INTERVAL);
        assert_eq!(pacing.after_page(9_000, 10_000_000, MINUTE, &mut rng), Duration::from_secs(5));
        assert_eq!(
            pacing.after_page(0, 0, MINUTE, &mut rng),
            CALL_INTERVAL,
            "empty pages happen on the way"
        );
        let page = pacing.after_page(9_000, 10_000_000, Duration::ZERO, &mut rng);
        assert_eq!(page, Duration::from_secs(5), "a page that reaches the tip is paid for too");
    }

    #[test]
    fn an_idle_shard_is_asked_less_often_until_something_comes() {
        let mut pacing = Pacing::new(PARAMS);
        let mut rng = rng();
        let pauses: Vec<Duration> =
            (0..200).map(|_| pacing.after_page(0, 0, Duration::ZERO, &mut rng)).collect();
        assert_eq!(pauses[0], PARAMS.poll_interval);
        let mut quiet = Duration::ZERO;
        for pause in &pauses {
            assert!(*pause <= (quiet / 20).clamp(PARAMS.poll_interval, PARAMS.idle_poll_interval));
            quiet += *pause;
        }
        let late = &pauses[100..];
        assert!(late.iter().all(|pause| *pause >= PARAMS.idle_poll_interval * 4 / 5));
        assert!(late.windows(2).any(|two| two[0] != two[1]), "shards do not stay in step");
        assert_eq!(pacing.after_page(1, 10, Duration::ZERO, &mut rng), PARAMS.poll_interval);
    }

    #[test]
    fn an_idle_hour_costs_little_more_than_the_ceiling_says() {
        let mut pacing = Pacing::new(PARAMS);
        let (mut passed, mut calls, mut rng) = (Duration::ZERO, 0, rng());
        while passed < 60 * MINUTE {
            passed += pacing.after_page(0, 0, Duration::ZERO, &mut rng);
            calls += 1;
        }
        assert!((3600..4100).contains(&calls), "{calls}");
    }

    #[test]
    fn failures_back_off_with_jitter_and_an_answer_ends_it() {
        let mut pacing = Pacing::new(PARAMS);
        let mut rng = rng();
        let pauses: Vec<Duration> = (0..12).map(|_| pacing.after_failure(&mut rng)).collect();
        for (failures, pause) in (0..).zip(&pauses) {
            let most = RETRY_MAX.min(RETRY_MIN * 2_u32.pow(failures));
            assert!((most / 2..=most).contains(pause), "{failures}: {pause:?}");
        }
        let other: Vec<Duration> = (0..12).map(|_| pacing.after_failure(&mut rng)).collect();
        assert_ne!(pauses[11], other[11], "two consumers do not stay in step");
        pacing.after_page(1, 1, Duration::ZERO, &mut rng);
        assert!(pacing.after_failure(&mut rng) <= RETRY_MIN);
    }

    /// How long records wait that come `gaps` apart, sorted, and how often was asked.
    fn waits(gaps: &[u64]) -> (Vec<Duration>, u32, Duration) {
        let mut pacing = Pacing::new(PARAMS);
        let mut arrivals: Vec<Duration> = Vec::new();
        for gap in gaps {
            let last = arrivals.last().copied().unwrap_or_default();
            arrivals.push(last + Duration::from_millis(*gap));
        }
        let (mut now, mut calls, mut waits) = (Duration::ZERO, 0, Vec::new());
        let mut rng = rng();
        let mut left = arrivals.as_slice();
        while !left.is_empty() {
            let (here, later) = left.split_at(left.partition_point(|at| *at <= now));
            waits.extend(here.iter().map(|at| now.saturating_sub(*at)));
            left = later;
            calls += 1;
            let bytes = 100 * here.len() as u64;
            now += pacing.after_page(here.len(), bytes, Duration::ZERO, &mut rng);
        }
        waits.sort_unstable();
        (waits, calls, now)
    }

    proptest! {
        /// Whatever comes: neither limit of the shard is overdrawn by more than the last page, and
        /// nothing is given away.
        #[test]
        fn behind_the_limits_are_used_and_kept(
            pages in prop::collection::vec((0usize..10_000, 0u64..10_485_760), 1..60),
        ) {
            let mut pacing = Pacing::new(PARAMS);
            for (records, bytes) in pages {
                #[expect(clippy::cast_precision_loss, reason = "a test")]
                let paid = Duration::from_secs_f64(bytes as f64 / 2e6);
                prop_assert_eq!(pacing.after_page(records, bytes, MINUTE, &mut rng()), paid.max(CALL_INTERVAL));
            }
        }

        /// Half of all records wait less than 300 ms at the tip, if one comes every ten seconds or
        /// more often; and there are never more than four calls a second.
        #[test]
        fn at_the_tip_records_do_not_wait(gaps in prop::collection::vec(0u64..10_000, 40..200)) {
            let (waits, calls, passed) = waits(&gaps);
            let median = waits[waits.len() / 2];
            prop_assert!(median < Duration::from_millis(300), "{:?}", median);
            prop_assert!(PARAMS.poll_interval * (calls - 1) <= passed, "{} in {:?}", calls, passed);
        }
    }
}
