//! When a shard is subscribed again. Pure: instants in, instants out.

use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::time::Instant;

use super::pacing::BackOff;

/// A subscription that has lasted so long has come to the end that Kinesis sets: five minutes (API
/// reference, `SubscribeToShard`).
const FULL_TERM: Duration = Duration::from_secs(270);
/// For so long after a subscription has begun no other one can take its place, our own neither.
const HELD: Duration = Duration::from_secs(5);
/// Kinesis allows one call a second for each consumer and shard.
const CALL_INTERVAL: Duration = Duration::from_secs(1);
/// A shard that is taken for longer than this is not one that has just moved.
const PATIENCE: Duration = Duration::from_secs(20);

/// Times the subscriptions of one shard.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// When the last one began.
    began: Option<Instant>,
    back_off: BackOff,
    /// Since when somebody else has been holding the shard.
    taken: Option<Instant>,
}

impl Renewal {
    /// A subscription begins.
    pub(super) fn began(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Records came: the shard is read.
    pub(super) fn delivered(&mut self) {
        self.back_off.reset();
        self.taken = None;
    }

    /// Whether a subscription that ends now has lasted as long as one can.
    pub(super) fn is_full_term(&self, now: Instant) -> bool {
        self.began.is_some_and(|began| now.duration_since(began) >= FULL_TERM)
    }

    /// When to subscribe again after a subscription that has ended as it should.
    pub(super) fn after_full_term(&mut self, now: Instant) -> Instant {
        self.back_off.reset();
        self.taken = None;
        now
    }

    /// When to subscribe again after a subscription or an attempt has failed.
    pub(super) fn after_failure(&mut self, now: Instant, rng: &mut impl Rng) -> Instant {
        let held = self.began.map_or(now, |began| began + HELD);
        held.max(now + self.back_off.next(rng))
    }

    /// When to subscribe again after the service has refused for the rate of calls.
    pub(super) fn after_throttling(&mut self, now: Instant, rng: &mut impl Rng) -> Instant {
        self.after_failure(now, rng).max(now + CALL_INTERVAL)
    }

    /// When to subscribe again after an attempt that found the shard taken.
    pub(super) fn after_refusal(&mut self, now: Instant, rng: &mut impl Rng) -> Instant {
        self.taken.get_or_insert(now);
        now + CALL_INTERVAL.mul_f64(rng.random_range(1.0..1.5))
    }

    /// When to subscribe again after somebody else has taken the shard from us.
    pub(super) fn after_take_over(&mut self, now: Instant, rng: &mut impl Rng) -> Instant {
        self.taken.get_or_insert(now);
        now + HELD.mul_f64(rng.random_range(1.0..1.2))
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.back_off.failures()
    }

    /// Whether the shard has been taken for longer than a move of its lease explains. Says so once in
    /// a while.
    pub(super) fn is_contested(&mut self, now: Instant) -> bool {
        let contested = self.taken.is_some_and(|since| now.duration_since(since) >= PATIENCE);
        if contested {
            self.taken = Some(now);
        }
        contested
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn begun() -> (Renewal, Instant, StdRng) {
        let (mut renewal, now) = (Renewal::default(), Instant::now());
        renewal.began(now);
        (renewal, now, StdRng::seed_from_u64(1))
    }

    #[test]
    fn after_five_minutes_it_goes_on_at_once() {
        let (mut renewal, began, _) = begun();
        assert!(!renewal.is_full_term(began + 200 * SECOND));
        let end = began + 300 * SECOND;
        assert!(renewal.is_full_term(end));
        assert_eq!(renewal.after_full_term(end), end);
    }

    #[test]
    fn nobody_calls_while_the_call_would_be_refused() {
        let (mut renewal, began, mut rng) = begun();
        assert_eq!(renewal.after_failure(began + SECOND, &mut rng), began + HELD);
        let late = renewal.after_failure(began + 100 * SECOND, &mut rng);
        assert!(
            late > began + 100 * SECOND && late < began + 101 * SECOND,
            "one break is mended soon"
        );
        assert!(renewal.after_throttling(late, &mut rng) >= late + SECOND);
        assert!(renewal.after_take_over(late, &mut rng) >= late + HELD);
    }

    #[test]
    fn failures_back_off_and_records_end_it() {
        let (mut renewal, began, mut rng) = begun();
        let now = began + 60 * SECOND;
        for _ in 0..10 {
            renewal.after_failure(now, &mut rng);
        }
        assert!(renewal.after_failure(now, &mut rng) >= now + 5 * SECOND);
        assert!(renewal.failures() > 0);
        renewal.delivered();
        assert_eq!(renewal.failures(), 0);
        assert!(renewal.after_failure(now, &mut rng) < now + SECOND);
    }

    #[test]
    fn a_taken_shard_is_contested_only_after_a_while() {
        let (mut renewal, now, mut rng) = begun();
        let again = renewal.after_refusal(now, &mut rng);
        assert!(again >= now + SECOND && again < now + 2 * SECOND);
        assert!(!renewal.is_contested(now + 19 * SECOND));
        assert!(renewal.is_contested(now + 20 * SECOND));
        assert!(!renewal.is_contested(now + 21 * SECOND), "said already");
        renewal.delivered();
        assert!(!renewal.is_contested(now + 100 * SECOND));
    }
}
