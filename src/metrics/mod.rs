//! What a worker counts and measures: one registry, handed through contexts. The log lines that go
//! with a count are written where it is made, so that the two cannot drift apart.
//!
//! | Part | What |
//! |---|---|
//! | `counts` | what became of records and events, per stream |
//! | [`ShardMeter`] | one shard that is being read: lag, what is in flight, what is wrong |
//! | [`LeaseChange`] | leases that came and went, and why |
//! | `failures` | why records and events failed, folded |
//! | `alarm` | invariants found broken, records trimmed unread |
//! | [`MetricFamily`] | all of it as values, for exporters beside `/metrics` |
//! | [`spans`] | what a trace shows, where traces are exported |
//! | `traces` | the traces that are open |
//! | `metered` | streams and lease tables whose calls are counted |
//!
//! `docs/metrics.md` lists all metrics; a test holds it against [`Metrics::encode`]. Names have base
//! units, counters end in `_total`. Labels are bounded: streams and sinks are those of the
//! configuration, a shard's metrics go when this worker stops reading it, all else is from fixed
//! sets.

mod alarm;
mod collector;
mod counts;
mod failures;
mod families;
mod journal;
mod metered;
mod shards;
mod snapshot;
pub mod spans;
mod traces;

pub use alarm::Loss;
pub use failures::FailureReason;
pub use journal::{LeaseChange, LeaseNews};
pub use metered::{MeteredLeases, MeteredStream, MeteredSubscriber};
pub use shards::{ShardGuard, ShardMeter, ShardReading};
pub use snapshot::{HistogramValue, Labels, MetricFamily, MetricKind, MetricUnit, MetricValue};

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus_client::{encoding::text, registry::Registry};
use tracing::Span;

use self::{
    alarm::Alarms, collector::Board, counts::Counts, failures::Failures, families::Families,
    journal::Journal, shards::Shards, traces::Traces,
};
use crate::{
    etl::{Source, Stage, Tally},
    model::{
        Breach, EpochMillis, Invariant, Lease, LeaseKey, OutputEvent, Position, RawRecord,
        StreamName,
    },
    ports::{SinkError, Verdict},
};

/// The metrics of one worker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    board: Arc<Board>,
    families: Families,
    failures: Failures,
    traces: Traces,
}

/// Gauges that are read when somebody asks, from what others own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Bytes of records in flight.
    pub in_flight_bytes: u64,
    /// Leases that this worker holds.
    pub leases_held: usize,
    /// Leases that nobody holds, and whose shards have not ended.
    pub leases_unowned: usize,
    /// Whether an operator has paused the reading.
    pub paused: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("shardwright");
        let board = Arc::new(Board::default());
        let families = Families::register(&mut registry);
        registry.register_collector(Box::new(Arc::clone(&board)));
        let (failures, traces) = (Failures::default(), Traces::default());
        Self { registry, board, families, failures, traces }
    }

    /// All metrics as `OpenMetrics` text.
    pub fn encode(&self, levels: &Levels) -> String {
        self.families.set(levels);
        let mut text = String::with_capacity(16 * 1024);
        text::encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }

    /// All metrics as values, for exporters of another form.
    pub fn snapshot(&self, levels: &Levels) -> Vec<MetricFamily> {
        snapshot::read(&self.encode(levels))
    }

    // === Records and events ===

    /// Adds the counts of some records of a stream.
    pub fn count(&self, stream: &StreamName, tally: Tally) {
        self.board.counts.add(stream, tally);
    }

    /// What became of records and events so far, all streams together.
    pub fn tally(&self) -> Tally {
        self.board.counts.all()
    }

    /// What became of the records and events of each stream so far.
    pub fn tallies(&self) -> BTreeMap<StreamName, Tally> {
        self.board.counts.each()
    }

    /// How long after its record was put an event came to its outcome.
    pub fn settled(&self, stream: &StreamName, after: Duration) {
        self.families.settled(stream, after);
    }

    /// A record or an event failed and goes to the dead letters. `reason` holds no payload.
    pub fn failed(&self, source: &Source, position: &Position, stage: Stage, reason: &str) {
        self.failures.record(source, position, stage, reason);
    }

    /// Why records and events failed, the latest first; bounded.
    pub fn failures(&self) -> Vec<FailureReason> {
        self.failures.list()
    }

    // === Shards ===

    /// This worker begins to read a shard; it ends when the guard is dropped.
    pub fn shard_opened(&self, stream: &StreamName, lease: &Lease) -> ShardGuard {
        Shards::open(&self.board.shards, stream, lease)
    }

    /// The meter of a shard that is being read; one that nobody sees for another.
    pub fn shard(&self, lease: &LeaseKey) -> Arc<ShardMeter> {
        self.board.shards.get(lease)
    }

    /// All shards that are being read, by lease.
    pub fn shards(&self) -> BTreeMap<LeaseKey, ShardReading> {
        self.board.shards.readings()
    }

    /// A stream keeps its records for so long.
    pub fn retention(&self, stream: &StreamName, retention: Duration) {
        self.board.shards.set_retention(stream, retention);
    }

    /// How long the streams keep their records, as far as that is known.
    pub fn retentions(&self) -> BTreeMap<StreamName, Duration> {
        self.board.shards.retentions()
    }

    // === Traces ===

    /// Records of a leased shard have come, and are traced until a checkpoint covers them. Answers the
    /// root of their trace.
    pub fn records_came(&self, stream: &StreamName, lease: &Lease, records: &[RawRecord]) -> Span {
        let span = spans::records(stream, &lease.shard, records.len());
        if let Some(last) = records.last() {
            self.traces.begin(&lease.key, &last.sequence, &span);
        }
        span
    }

    /// The roots of the traces that these events of a leased shard belong to, in the order of the shard.
    pub fn traces(&self, lease: &Lease, events: &[OutputEvent]) -> Vec<Span> {
        let places = || events.iter().map(|event| &event.id.position.sequence);
        match (places().min(), places().max()) {
            (Some(first), Some(last)) => self.traces.of(&lease.key, first, last),
            _ => Vec::new(),
        }
    }

    // === Sinks ===

    /// What a sink said of a batch of so many events, and after how long.
    pub fn delivered(
        &self,
        sink: &Arc<str>,
        events: usize,
        took: Duration,
        answer: &Result<Vec<Verdict>, SinkError>,
    ) {
        self.families.delivered(sink, events, took, answer);
    }

    /// The events that each sink accepted, was asked to take again, refused, or did not take because
    /// their batch failed: `(sink, outcome, events)`.
    pub fn sinks(&self, sinks: &[Arc<str>]) -> Vec<(Arc<str>, &'static str, u64)> {
        self.families.sinks(sinks)
    }

    // === Leases ===

    /// A lease came to this worker or left it.
    pub fn lease_changed(&self, change: LeaseChange, stream: &str, lease: &Lease, why: &str) {
        spans::lease_changed(change, stream, lease, why);
        self.traces.forget(&lease.key);
        self.board.journal.note(change, stream, lease, why);
    }

    /// The latest changes, the newest first; bounded.
    pub fn lease_news(&self) -> Vec<LeaseNews> {
        self.board.journal.latest()
    }

    // === What should not happen ===

    /// An invariant does not hold: says so in the log and counts it.
    pub fn raise(&self, breach: &Breach) {
        self.board.alarms.raise(breach);
    }

    /// How often an invariant was found broken.
    pub fn raised(&self, invariant: Invariant) -> u64 {
        self.board.alarms.raised(invariant)
    }

    /// Records were trimmed before they were read. Each time is said in the log by the caller, with
    /// what is known of it.
    pub fn lost(&self, loss: Loss) {
        self.board.alarms.lost(loss);
    }

    /// How often records were trimmed unread.
    pub fn losses(&self, loss: Loss) -> u64 {
        self.board.alarms.losses(loss)
    }
}

/// Seconds from a record's arrival to now; zero when clocks disagree.
pub fn seconds_since(arrival: EpochMillis, now: EpochMillis) -> f64 {
    Duration::from_millis(now.millis_since(arrival)).as_secs_f64()
}
