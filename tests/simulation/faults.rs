//! What goes wrong, how often, and the proof that it did.

use std::time::Duration;

/// Chances of each fault, per call; all zero once the world is healed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) throttled: f64,
    pub(crate) unavailable: f64,
    /// The write is applied, its answer is lost.
    pub(crate) answer_lost: f64,
    /// The answer is a time-out, and the write is applied some time later.
    pub(crate) late_write: f64,
    pub(crate) stale_rows: f64,
    pub(crate) slow_scan: f64,
    /// The last page of a closed shard does not name the children; some servers never do.
    pub(crate) children_unnamed: f64,
    pub(crate) sink_down: f64,
    /// The sink took everything, and said that it is down.
    pub(crate) sink_answer_lost: f64,
    /// The sink puts off some events of a batch.
    pub(crate) sink_partial: f64,
    pub(crate) longest_call: Duration,
}

impl Faults {
    /// A bad day. Half of the seeds have sinks that keep whole batches together, so that the order of
    /// deliveries can be checked.
    pub(crate) fn bad_day(seed: u64) -> Self {
        Self {
            throttled: 0.04,
            unavailable: 0.03,
            answer_lost: 0.04,
            late_write: 0.01,
            stale_rows: 0.1,
            slow_scan: 0.01,
            children_unnamed: 0.2,
            sink_down: 0.1,
            sink_answer_lost: 0.03,
            sink_partial: if seed.is_multiple_of(2) { 0.2 } else { 0.0 },
            longest_call: Duration::from_millis(400),
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
    "drain",
    "event given up",
    "forced take",
    "hand-over asked",
    "hand-over finished",
    "hand-over withdrawn",
    "iterator expired",
    "lane overtaken",
    "late write applied",
    "late write refused",
    "lease retired",
    "merge",
    "scan with stale rows",
    "shard end",
    "sink answer lost",
    "sink down",
    "sink put off events",
    "sink refused an event",
    "slow scan",
    "split",
    "take of an expired lease",
    "throttled",
    "write refused",
];
