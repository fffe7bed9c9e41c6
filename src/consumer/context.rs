//! What consumers share: streams, sinks, limits.

use std::sync::Arc;

use super::{BatchLimits, Budget, FanOut, PacingParams, Pause, RetryLimits, RetryPause};
use crate::{
    etl::Pipeline,
    metrics::Metrics,
    model::{Aggregates, EpochMillis, Format, InitialPosition, StreamName},
    ports::{Sink, StreamReader, WallClock},
};

/// The times and limits of a consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerParams {
    /// When to call `GetRecords`.
    pub pacing: PacingParams,
    /// Bytes that may wait in the queues of one shard.
    pub queue_bytes: usize,
    /// The pauses between attempts on a sink.
    pub retry: RetryPause,
}

/// A stream, as its consumers need it.
#[derive(Clone)]
pub struct ConsumerStream {
    /// Its name.
    pub name: StreamName,
    /// What its records hold.
    pub format: Format,
    /// Where it is read from while a shard has no position; gives `AT_TIMESTAMP` its time.
    pub initial_position: InitialPosition,
    /// What becomes of KPL aggregates with user records of another shard.
    pub aggregates: Aggregates,
    /// Where reading ends: with the first record that arrived at this time or later. `None`: never.
    pub until: Option<EpochMillis>,
    /// Reads it.
    pub reader: Arc<dyn StreamReader>,
    /// Reads it by enhanced fan-out instead; `reader` answers what subscriptions leave open.
    pub fan_out: Option<Arc<FanOut>>,
}

/// A sink with its name, its batches and its limits.
pub struct NamedSink {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// When a batch for it is closed.
    pub batch: BatchLimits,
    /// Batches of one shard that may be under way to it at a time (`parallelization_factor`). Above
    /// one, events are spread by partition key, and only the order of each key is kept.
    pub lanes: usize,
    /// How long it is tried. What is given up becomes a dead letter; a dead letter never is.
    pub retry: RetryLimits,
}

/// What all consumers of a process share.
pub struct ConsumerContext {
    /// The streams, by the index that grants carry.
    pub streams: Vec<ConsumerStream>,
    /// What is done to records.
    pub pipeline: Arc<Pipeline>,
    /// The sinks, by the index that deliveries carry.
    pub sinks: Vec<NamedSink>,
    /// Bytes that may be in flight.
    pub budget: Budget,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Times and limits.
    pub params: ConsumerParams,
    /// An operator may stop the reading here.
    pub pause: Pause,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
