//! What goes wrong, how often, and the proof that it did.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Chances of each fault, per call; all zero once the world is healed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) throttled: f64,
    pub(crate) unavailable: f64,
    /// A call goes on when whoever made it is stopped or gone.
    pub(crate) detached: f64,
    /// The write is applied, its answer is lost.
    pub(crate) answer_lost: f64,
    /// The answer is a time-out, and the write is applied some time later.
    pub(crate) late_write: f64,
    /// How late at most.
    pub(crate) longest_late: Duration,
    pub(crate) stale_rows: f64,
    pub(crate) slow_scan: f64,
    pub(crate) empty_page: f64,
    /// The last page of a shard does not name the children: some servers never do.
    pub(crate) unnamed_children: f64,
    pub(crate) sink_down: f64,
    /// A call to the sink takes many seconds.
    pub(crate) sink_slow: f64,
    /// The sink took everything, and said that it is down.
    pub(crate) sink_answer_lost: f64,
    /// The sink puts off some events of a batch, so it does not keep their order.
    pub(crate) sink_partial: f64,
    /// The sink will not take an event.
    pub(crate) sink_refuses: f64,
    pub(crate) longest_call: Duration,
}

impl Faults {
    /// A bad day, and each seed has another one: what happens all the time hides what happens only
    /// when something else does not.
    pub(crate) fn bad_day(rng: &mut impl Rng) -> Self {
        let longest_late = Duration::from_secs([2, 6, 6, 20][rng.random_range(0..4)]);
        // Now and then something is a plague: what takes two faults in a row is never seen otherwise.
        let mut some = |chance: f64| match rng.random_range(0..20) {
            0..8 => 0.0,
            8..18 => chance * rng.random_range(0.2..2.0),
            _ => (chance * rng.random_range(2.0..8.0f64)).min(0.5),
        };
        Self {
            throttled: some(0.05),
            unavailable: some(0.04),
            detached: some(0.5).min(1.0),
            answer_lost: some(0.05),
            late_write: some(0.02),
            longest_late,
            stale_rows: some(0.2),
            slow_scan: some(0.02),
            empty_page: some(0.2),
            unnamed_children: some(0.4),
            sink_down: some(0.1),
            sink_slow: some(0.05),
            sink_answer_lost: some(0.05),
            sink_partial: some(0.2),
            sink_refuses: some(0.03),
            longest_call: Duration::from_millis([20, 400, 400, 2_000][rng.random_range(0..4)]),
        }
    }

    pub(crate) fn none() -> Self {
        Self { longest_call: Duration::from_millis(20), ..Self::default() }
    }
}

/// Counters that a sweep must have moved, or it has proven nothing of them.
pub(crate) const MUST_HAPPEN: &[&str] = &[
    "answer lost",
    "batch refused",
    "call while cut off",
    "crash",
    "crash of a frozen worker",
    "cut off from the sink",
    "cut off from the stream",
    "cut off from the table",
    "cut off from table and stream",
    "cut off from everything",
    "drain",
    "drain of a frozen worker",
    "event given up",
    "event put off",
    "event refused",
    "forced take",
    "freeze",
    "hand-over asked",
    "hand-over finished",
    "hand-over withdrawn",
    "iterator expired",
    "iterators expired by the server",
    "lane overtaken",
    "late document",
    "late write applied",
    "late write refused",
    "lease released by an operator",
    "lease retired",
    "loss reported",
    "merge",
    "object put again by a later owner",
    "page without records",
    "prepared batch refused",
    "prepared batch taken over after it was put",
    "prepared batch taken over before it was put",
    "reshard while nobody works",
    "read from LATEST",
    "read from a position",
    "read from a time",
    "read from a trimmed position",
    "resumed inside an aggregate",
    "row of a window",
    "scan with stale rows",
    "shard end",
    "shard gone",
    "shard end, children not named",
    "sink answer lost",
    "sink down",
    "sink slow",
    "slow scan",
    "split",
    "take of an expired lease",
    "thaw of a worker whose lease is another's",
    "throttled",
    "time that is not reached refused",
    "trim of unread records",
    "unavailable",
    "unheld lease deleted",
    "windows beside a sink that prepares",
    "windows with late events, audited",
    "write by somebody who is gone",
    "write of a frozen worker applied",
    "write refused",
    "write refused to a worker that was frozen",
];
