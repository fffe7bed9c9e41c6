//! A consumer: the task that processes one leased shard.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::{
    BatchLimits, Budget, FanOut, LossLog, PacingParams, RetryLimits, RetryPause,
    fetcher::Fetcher,
    pages::{Fetched, feed},
    processor::Processor,
    subscriber::Subscriber,
};
use crate::{
    etl::{Pipeline, Source, Stage, Tally},
    leasing::{ConsumerExit, LeaseGrant},
    model::{Format, InitialPosition, Position, StreamName},
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
    /// What became of records and events so far.
    pub tally: SharedTally,
    /// Says why records and events failed, without flooding the log.
    pub failures: FailureLog,
    /// What was trimmed before it was read.
    pub losses: LossLog,
}

/// The counts of a process.
#[derive(Debug, Default)]
pub struct SharedTally(Mutex<Tally>);

impl SharedTally {
    /// Adds the counts of a batch.
    pub fn add(&self, tally: Tally) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += tally;
    }

    /// The counts so far.
    pub fn get(&self) -> Tally {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Logs failures of records and events: the first of each minute, with the count of those between.
#[derive(Debug, Default)]
pub struct FailureLog(Mutex<FailureState>);

#[derive(Debug, Default)]
struct FailureState {
    last: Option<tokio::time::Instant>,
    since: u64,
}

impl FailureLog {
    const EVERY: Duration = Duration::from_mins(1);

    /// Takes in one failure. The reason holds no payload.
    pub fn record(&self, source: &Source, position: &Position, stage: &Stage, reason: &str) {
        let now = tokio::time::Instant::now();
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.since += 1;
        if failures.last.is_some_and(|last| now.duration_since(last) < Self::EVERY) {
            return;
        }
        tracing::warn!(stream = %source.stream, shard = %source.shard, %position, %stage, %reason,
            failures = failures.since, "could not be processed, sent to the dead letters");
        *failures = FailureState { last: Some(now), since: 0 };
    }
}

/// Pages fetched ahead of the processor, per shard. One hides a `GetRecords` round trip; each
/// further one holds up to 10 MiB of the budget.
const PAGES_AHEAD: usize = 1;

/// Processes one shard for as long as its lease lasts.
pub struct ShardConsumer {
    grant: Arc<LeaseGrant>,
    context: Arc<ConsumerContext>,
    rng: StdRng,
}

impl ShardConsumer {
    /// A consumer for a lease that was just taken. `seed` decides its jitter.
    pub fn new(grant: LeaseGrant, context: Arc<ConsumerContext>, seed: u64) -> Self {
        Self { grant: Arc::new(grant), context, rng: StdRng::seed_from_u64(seed) }
    }

    /// Runs to the end of the shard, until it has drained, or until the lease is lost.
    ///
    /// # Cancel safety
    /// What was settled is in the last reported checkpoint; the rest will be read again.
    pub async fn run(self) -> ConsumerExit {
        let grant = Arc::clone(&self.grant);
        tokio::select! { biased;
            () = grant.lost() => ConsumerExit::Lost,
            exit = self.consume() => exit,
        }
    }

    async fn consume(self) -> ConsumerExit {
        let Self { grant, context, mut rng } = self;
        let Some(stream) = context.streams.get(grant.stream).cloned() else {
            return ConsumerExit::Drained(None);
        };
        let shard = grant.lease.shard.clone();
        info!(stream = %stream.name, %shard, checkpoint = %grant.lease.checkpoint, "consuming");
        let name = stream.name.clone();
        let source = Source { stream: name, shard: shard.clone(), format: stream.format };
        let (pages_tx, pages) = mpsc::channel(PAGES_AHEAD);
        let fetch = fetch(&grant, &context, &stream, StdRng::from_rng(&mut rng), pages_tx);
        let processor = Processor::new(grant, context, source, rng);
        let process = processor.run(pages);
        tokio::pin!(fetch, process);
        let exit = tokio::select! { biased;
            exit = &mut process => exit,
            () = &mut fetch => process.await,
        };
        debug!(%shard, ?exit, "consumer finished");
        exit
    }
}

/// Reads a shard the way its stream is read.
fn fetch(
    grant: &Arc<LeaseGrant>,
    context: &Arc<ConsumerContext>,
    stream: &ConsumerStream,
    rng: StdRng,
    pages: mpsc::Sender<Fetched>,
) -> BoxFuture<'static, ()> {
    let (grant, context) = (Arc::clone(grant), Arc::clone(context));
    let own = Arc::clone(&grant);
    if let Some(fan_out) = stream.fan_out.clone() {
        let subscriber = Subscriber::new(grant, context, stream, fan_out, rng);
        Box::pin(async move { feed(subscriber, &own, pages).await })
    } else {
        let fetcher = Fetcher::new(grant, context, stream, rng);
        Box::pin(async move { feed(fetcher, &own, pages).await })
    }
}
