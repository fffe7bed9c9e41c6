//! A consumer: the task that processes one leased shard.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::timeout};
use tracing::{debug, info};

use super::{
    ConsumerContext, ConsumerStream,
    fetcher::Fetcher,
    pages::{Fetched, feed},
    processor::Processor,
    subscriber::Subscriber,
};
use crate::{
    codec::ShardKeys,
    etl::Source,
    leasing::{ConsumerExit, LeaseGrant},
    model::HashKeyRange,
};

/// Pages fetched ahead of the processor, per shard. One hides a `GetRecords` round trip; each
/// further one holds up to 10 MiB of the budget.
const PAGES_AHEAD: usize = 1;

/// Time for asking the stream for the keys of a shard; without an answer no record is dropped.
const LISTING_TIME: Duration = Duration::from_secs(5);

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
        let _reading = context.metrics.shard_opened(&name, &grant.lease);
        let source = Source { stream: name, shard: shard.clone(), format: stream.format };
        let (pages_tx, pages) = mpsc::channel(PAGES_AHEAD);
        let fetch = fetch(&grant, &context, &stream, StdRng::from_rng(&mut rng), pages_tx);
        let range = keys_of(&grant, &stream).await;
        let keys = ShardKeys { range, aggregates: stream.aggregates };
        let processor = Processor::new(grant, context, source, keys, rng);
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

/// The keys of the shard: as its lease says, or, if an old KCL has written that, as the stream does.
async fn keys_of(grant: &LeaseGrant, stream: &ConsumerStream) -> Option<HashKeyRange> {
    if grant.lease.hash_range.is_some() {
        return grant.lease.hash_range;
    }
    let listed = timeout(LISTING_TIME, stream.reader.shards()).await;
    let shards = listed.ok()?.ok()?;
    shards.into_iter().find(|shard| shard.id == grant.lease.shard)?.hash_range
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
