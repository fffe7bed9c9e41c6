//! What is counted where it happens: calls, deliveries, times.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::Levels;
use crate::{
    model::StreamName,
    ports::{SinkError, StoreError, StreamError, Swap, Verdict},
};

/// From a put to its outcome: the tip of a shard to a backlog of a day.
const PUT_TO_SETTLED: [f64; 14] =
    [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0];
/// One call of a sink: a local file to a time-out.
const DELIVERY: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StreamLabels {
    stream: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkLabels {
    sink: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkOutcome {
    sink: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FetchLabels {
    stream: String,
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TableLabels {
    op: &'static str,
    outcome: &'static str,
}

/// The metrics that are told what happens. Cloning one gives another handle to it.
#[derive(Clone, Debug)]
pub(super) struct Families {
    sink_events: Family<SinkOutcome, Counter>,
    sink_batches: Family<SinkOutcome, Counter>,
    sink_seconds: Family<SinkLabels, Histogram, fn() -> Histogram>,
    settled_seconds: Family<StreamLabels, Histogram, fn() -> Histogram>,
    fetch_calls: Family<FetchLabels, Counter>,
    table_calls: Family<TableLabels, Counter>,
    in_flight_bytes: Gauge,
    leases_held: Gauge,
    leases_unowned: Gauge,
    paused: Gauge,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            sink_events: Family::default(),
            sink_batches: Family::default(),
            sink_seconds: Family::new_with_constructor(|| Histogram::new(DELIVERY)),
            settled_seconds: Family::new_with_constructor(|| Histogram::new(PUT_TO_SETTLED)),
            fetch_calls: Family::default(),
            table_calls: Family::default(),
            in_flight_bytes: Gauge::default(),
            leases_held: Gauge::default(),
            leases_unowned: Gauge::default(),
            paused: Gauge::default(),
        };
        let build = Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") });
        registry.register("build", "The version that runs", build);
        let of = families.clone();
        registry.register("sink_events", "Events offered to sinks, dead letters included, by what the sink said; an event that is offered again counts again", of.sink_events);
        registry.register("sink_batches", "Batches offered to sinks, by outcome", of.sink_batches);
        registry.register("sink_delivery_seconds", "Time of one call of a sink", of.sink_seconds);
        registry.register(
            "put_to_settled_seconds",
            "Time from an event's record being put to the event's outcome",
            of.settled_seconds,
        );
        registry.register(
            "fetch_calls",
            "Calls to Kinesis for shards and records, by outcome",
            of.fetch_calls,
        );
        registry.register(
            "lease_table_calls",
            "Calls to the lease table, by outcome; refused is a race that was lost",
            of.table_calls,
        );
        registry.register(
            "in_flight_bytes",
            "Bytes of records in flight, of consumer.in_flight_bytes",
            of.in_flight_bytes,
        );
        registry.register("leases_held", "Leases that this worker holds", of.leases_held);
        registry.register(
            "leases_unowned",
            "Leases that nobody holds and whose shards have not ended, by this worker's last scan",
            of.leases_unowned,
        );
        registry.register(
            "paused",
            "1 while an operator has paused this worker's reading",
            of.paused,
        );
        families
    }

    pub(super) fn set(&self, levels: &Levels) {
        self.in_flight_bytes.set(i64::try_from(levels.in_flight_bytes).unwrap_or(i64::MAX));
        self.leases_held.set(i64::try_from(levels.leases_held).unwrap_or(i64::MAX));
        self.leases_unowned.set(i64::try_from(levels.leases_unowned).unwrap_or(i64::MAX));
        self.paused.set(i64::from(levels.paused));
    }

    pub(super) fn settled(&self, stream: &StreamName, after: Duration) {
        let labels = StreamLabels { stream: stream.to_string() };
        self.settled_seconds.get_or_create(&labels).observe(after.as_secs_f64());
    }

    pub(super) fn delivered(
        &self,
        sink: &Arc<str>,
        events: usize,
        took: Duration,
        answer: &Result<Vec<Verdict>, SinkError>,
    ) {
        let labels = SinkLabels { sink: Arc::clone(sink) };
        self.sink_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let outcome = match answer {
            Ok(_) => "answered",
            Err(SinkError::Unavailable(_) | SinkError::Busy { .. }) => "unavailable",
            Err(SinkError::Misconfigured(_)) => "misconfigured",
            Err(SinkError::BatchRefused(_)) => "refused",
        };
        let labels = SinkOutcome { sink: Arc::clone(sink), outcome };
        self.sink_batches.get_or_create(&labels).inc();
        // accepted, retry, refused, and what was not answered for.
        let mut counts = [0u64; 4];
        let verdicts = answer.as_ref().map_or(&[][..], Vec::as_slice);
        for verdict in verdicts.iter().take(events) {
            let [accepted, retry, refused, _] = &mut counts;
            *match verdict {
                Verdict::Accepted => accepted,
                Verdict::Retry(_) => retry,
                Verdict::Refused(_) => refused,
            } += 1;
        }
        counts[3] = events.saturating_sub(verdicts.len()) as u64;
        for (outcome, count) in ["accepted", "retry", "refused", "failed"].into_iter().zip(counts) {
            if count > 0 {
                let labels = SinkOutcome { sink: Arc::clone(sink), outcome };
                self.sink_events.get_or_create(&labels).inc_by(count);
            }
        }
    }

    /// The counts of `sink_events`, for the live page.
    pub(super) fn sinks(&self, names: &[Arc<str>]) -> Vec<(Arc<str>, &'static str, u64)> {
        let mut found = Vec::new();
        for sink in names {
            for outcome in ["accepted", "retry", "refused", "failed"] {
                let labels = SinkOutcome { sink: Arc::clone(sink), outcome };
                if let Some(count) = self.sink_events.get(&labels) {
                    found.push((Arc::clone(sink), outcome, count.get()));
                }
            }
        }
        found
    }

    /// Counts a call, and answers its outcome.
    pub(super) fn fetched<T>(
        &self,
        stream: &StreamName,
        call: &'static str,
        answer: &Result<T, StreamError>,
    ) -> &'static str {
        let outcome = answer.as_ref().err().map_or("ok", stream_outcome);
        let labels = FetchLabels { stream: stream.to_string(), call, outcome };
        self.fetch_calls.get_or_create(&labels).inc();
        outcome
    }

    /// Counts a call, and answers its outcome.
    pub(super) fn table<T>(
        &self,
        op: &'static str,
        answer: &Result<T, StoreError>,
        refused: impl FnOnce(&T) -> bool,
    ) -> &'static str {
        let outcome = match answer {
            Ok(answer) if refused(answer) => "refused",
            Ok(_) => "ok",
            Err(problem) => store_outcome(problem),
        };
        self.table_calls.get_or_create(&TableLabels { op, outcome }).inc();
        outcome
    }
}

fn stream_outcome(problem: &StreamError) -> &'static str {
    match problem {
        StreamError::Throttled => "throttled",
        StreamError::IteratorExpired => "expired",
        StreamError::NotFound(_) => "not_found",
        StreamError::Denied(_) => "denied",
        StreamError::Invalid(_) => "invalid",
        StreamError::Unavailable(_) => "unavailable",
        StreamError::Taken(_) => "taken",
    }
}

fn store_outcome(problem: &StoreError) -> &'static str {
    match problem {
        StoreError::Throttled => "throttled",
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Unknown(_) => "unknown",
        StoreError::Denied(_) => "denied",
        StoreError::Corrupt(_) => "corrupt",
    }
}

/// Whether a conditional write lost its race.
pub(super) fn lost_race(swap: &Swap) -> bool {
    matches!(swap, Swap::Refused(_))
}
