//! Who has stopped renewing, from counters and one's own monotonic clock.
//!
//! Nothing in a row is a time: each observer remembers when it *first saw* the counter that a row
//! shows (KCL `DynamoDBLeaseTaker.updateAllLeases`). Wall clocks decide nothing.
//!
//! A counter that goes back is an old image, as long as it is soon gone again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::{Breach, Invariant, Lease, LeaseKey, WorkerId};

/// What this worker has seen of every counter.
#[derive(Debug, Default)]
pub struct Observations {
    seen: BTreeMap<LeaseKey, Seen>,
    /// When the last scan was begun: what it shows may be so old.
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    counter: u64,
    /// A lease that was deleted and created again may come to the same counter.
    holder: Option<WorkerId>,
    /// An ended lease may be deleted, and its key come back with a new one.
    ended: bool,
    since: Instant,
}

impl Seen {
    fn of(lease: &Lease, since: Instant) -> Self {
        let (counter, holder) = (lease.counter, lease.holder().cloned());
        Self { counter, holder, ended: lease.ended(), since }
    }
}

/// A scan that was begun so long after a counter was seen does not show an older one because it is
/// stale: an eventually consistent read is seconds behind at most.
const NOT_STALE: Duration = Duration::from_secs(30);

/// Who has not looked for so long may have missed that a lease was retired, and its key come back with a
/// new one: a counter that went back meanwhile proves nothing.
const LOOKED_AWAY: Duration = Duration::from_secs(5);

impl Observations {
    /// Takes in a scan that was begun at `started` and came to its end at `now`; forgets leases that
    /// are gone.
    ///
    /// A stale scan may show an older counter than the last one: counters only grow, so that is no
    /// change of the row and starts no new period. Answers the rows that stay behind: somebody put
    /// them back (a table restored from a backup), and their period starts anew, or they would never
    /// be seen to expire.
    pub fn observe(&mut self, leases: &[Lease], started: Instant, now: Instant) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let looked = self.looked.replace(started);
        let away = looked.is_some_and(|at| now.saturating_duration_since(at) > LOOKED_AWAY);
        let present: BTreeSet<&LeaseKey> = leases.iter().map(|lease| &lease.key).collect();
        self.seen.retain(|key, _| present.contains(key));
        for lease in leases {
            let news = || Seen::of(lease, now);
            let seen = self.seen.entry(lease.key.clone()).or_insert_with(news);
            if lease.counter < seen.counter {
                if started.saturating_duration_since(seen.since) <= NOT_STALE && !away {
                    continue;
                }
                if !seen.ended && !away {
                    let (key, from, to) = (&lease.key, seen.counter, lease.counter);
                    let what = format!("the counter of {key} went back from {from} to {to}");
                    breaches.push(Invariant::CounterGrows.broken(what));
                }
            } else if lease.counter == seen.counter && lease.holder() == seen.holder.as_ref() {
                continue;
            }
            *seen = news();
        }
        breaches
    }

    /// Whether an owned lease has shown the same counter for longer than `failover_time`.
    pub fn expired(&self, lease: &Lease, failover_time: Duration, now: Instant) -> bool {
        lease.holder().is_some()
            && self.seen.get(&lease.key).is_some_and(|seen| {
                seen.counter == lease.counter && now.duration_since(seen.since) > failover_time
            })
    }

    /// When the next lease expires unless its counter changes, of those that are some other's: `now` at the
    /// earliest, when it is at the end of its time and not past it.
    pub fn next_expiry(
        &self,
        failover_time: Duration,
        now: Instant,
        is_other: impl Fn(&LeaseKey) -> bool,
    ) -> Option<Instant> {
        let held = self.seen.iter().filter(|(key, seen)| seen.holder.is_some() && is_other(key));
        held.map(|(_, seen)| seen.since + failover_time).filter(|at| *at >= now).min()
    }

    /// For how long a lease has shown the same counter.
    pub fn age(&self, key: &LeaseKey, now: Instant) -> Duration {
        self.seen.get(key).map_or(Duration::ZERO, |seen| now.duration_since(seen.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leasing::fixtures::lease;

    const FAILOVER: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_lease_expires_when_its_counter_stands_still() {
        let mut seen = Observations::default();
        let start = Instant::now();
        let mut row = lease("s1").owner("a").build();
        seen.observe(&[row.clone()], start, start);
        assert!(!seen.expired(&row, FAILOVER, start + FAILOVER));
        assert!(seen.expired(&row, FAILOVER, start + FAILOVER + Duration::from_millis(1)));

        row.counter += 1;
        seen.observe(&[row.clone()], start + FAILOVER, start + FAILOVER);
        assert!(!seen.expired(&row, FAILOVER, start + FAILOVER * 2));
    }

    /// A simulation found it: it was looked at a whole scan interval later.
    #[tokio::test(start_paused = true)]
    async fn a_lease_at_the_very_end_of_its_time_is_looked_at_again_at_once() {
        let mut seen = Observations::default();
        let start = Instant::now();
        let row = lease("s1").owner("a").build();
        seen.observe(std::slice::from_ref(&row), start, start);
        let end = start + FAILOVER;
        assert!(!seen.expired(&row, FAILOVER, end));
        let next = |now| seen.next_expiry(FAILOVER, now, |_| true);
        assert_eq!(next(start), Some(end));
        assert_eq!(next(end), Some(end));
        assert_eq!(next(end + Duration::from_millis(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_scan_neither_renews_nor_expires() {
        let mut seen = Observations::default();
        let start = Instant::now();
        let mut row = lease("s1").owner("a").build();
        row.counter = 7;
        seen.observe(&[row.clone()], start, start);
        let mut stale = row.clone();
        stale.counter = 6;
        let later = start + Duration::from_secs(1);
        seen.observe(&[stale.clone()], later, later);
        assert!(!seen.expired(&stale, FAILOVER, start + FAILOVER * 3), "an old image says nothing");
        assert!(seen.expired(&row, FAILOVER, start + FAILOVER * 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_came_back_under_another_holder_starts_anew() {
        let mut seen = Observations::default();
        let start = Instant::now();
        seen.observe(&[lease("s1").ended().build()], start, start);
        let later = start + FAILOVER * 2;
        let row = lease("s1").owner("a").build();
        seen.observe(std::slice::from_ref(&row), later, later);
        assert!(!seen.expired(&row, FAILOVER, later + FAILOVER));
        assert!(seen.expired(&row, FAILOVER, later + FAILOVER * 2));
    }

    /// A simulation found it: its observer had stood still while the lease was retired and put back.
    #[tokio::test(start_paused = true)]
    async fn an_ended_lease_that_came_back_is_a_new_one() {
        let mut seen = Observations::default();
        let start = Instant::now();
        let mut row = lease("s1").ended().build();
        row.counter = 7;
        seen.observe(&[row], start, start);
        let (later, row) = (start + NOT_STALE * 2, lease("s1").owner("a").build());
        assert_eq!(seen.observe(std::slice::from_ref(&row), later, later), []);
        assert!(seen.expired(&row, FAILOVER, later + FAILOVER * 2));
    }

    /// A simulation found it: its observer was cut off meanwhile.
    #[tokio::test(start_paused = true)]
    async fn who_has_looked_away_raises_no_alarm() {
        let mut seen = Observations::default();
        let start = Instant::now();
        let mut row = lease("s1").owner("a").build();
        row.counter = 7;
        seen.observe(&[row.clone()], start, start);
        let later = start + LOOKED_AWAY * 2;
        row.counter = 2;
        assert_eq!(seen.observe(&[row.clone()], later, later), []);
        assert!(!seen.expired(&row, FAILOVER, later + FAILOVER));
        assert!(seen.expired(&row, FAILOVER, later + FAILOVER * 2));
    }

    /// A simulation found it: the lease was retired and put back while the scan before was under way.
    #[tokio::test(start_paused = true)]
    async fn what_a_slow_scan_shows_may_be_as_old_as_its_beginning() {
        let mut seen = Observations::default();
        let mut now = Instant::now();
        let mut row = lease("s1").owner("a").build();
        row.counter = 7;
        seen.observe(&[row.clone()], now, now);
        let slow = now + NOT_STALE * 2;
        now = slow + LOOKED_AWAY * 2;
        seen.observe(&[row.clone()], slow, now);
        row.counter = 2;
        now += Duration::from_secs(1);
        assert_eq!(seen.observe(&[row], now, now), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_image_that_is_read_late_is_no_row_that_was_put_back() {
        let mut seen = Observations::default();
        let (start, late) = (Instant::now(), Instant::now() + Duration::from_hours(1));
        let mut row = lease("s1").owner("a").build();
        row.counter = 7;
        seen.observe(&[row.clone()], start, start);
        row.counter = 6;
        assert_eq!(seen.observe(&[row], start, late), [], "the observer stood still");
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_was_put_back_is_told_and_expires_like_any_other() {
        let mut seen = Observations::default();
        let mut now = Instant::now();
        let mut row = lease("s1").owner("a").build();
        row.counter = 7;
        seen.observe(&[row.clone()], now, now);
        row.counter = 2;
        let mut told = Vec::new();
        while told.is_empty() {
            assert!(!seen.expired(&row, FAILOVER, now), "it may still be an old image");
            now += Duration::from_secs(1);
            told = seen.observe(&[row.clone()], now, now);
        }
        assert_eq!(told[0].invariant, Invariant::CounterGrows);
        assert!(!seen.expired(&row, FAILOVER, now + FAILOVER));
        assert!(seen.expired(&row, FAILOVER, now + FAILOVER * 2));
        assert_eq!(seen.observe(&[row], now + FAILOVER, now + FAILOVER), [], "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn unowned_leases_do_not_expire() {
        let mut seen = Observations::default();
        let row = lease("s1").build();
        assert_eq!(row.owner, None::<WorkerId>);
        let now = Instant::now();
        seen.observe(std::slice::from_ref(&row), now, now);
        assert!(!seen.expired(&row, FAILOVER, Instant::now() + FAILOVER * 9));
    }
}
