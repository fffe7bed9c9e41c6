//! Streams that are read with enhanced fan-out: their consumers, from the settings to the end.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{info, warn};

use super::{App, Stream};
use crate::{
    aws::{AwsConnection, ConsumerName, FanOutConsumer, StreamTarget},
    config::{Retrieval, StreamSettings},
    consumer::FanOut,
    metrics::{MeteredSubscriber, Metrics},
    model::{Lease, StreamName},
    ports::{LeaseStore, ShardSubscriber},
};

/// What deregistering fan-out consumers may take at the end.
const DEREGISTER_TIME: Duration = Duration::from_secs(10);

/// The consumer of a stream, if it is read with enhanced fan-out.
pub(super) fn consumer(
    aws: &AwsConnection,
    stream: &StreamSettings,
    target: &StreamTarget,
    application: &str,
) -> Option<Arc<FanOutConsumer>> {
    if stream.retrieval != Retrieval::FanOut {
        return None;
    }
    let name = consumer_name(stream, application);
    Some(Arc::new(FanOutConsumer::new(aws, target.clone(), name)))
}

/// Which consumer subscribes to a stream with enhanced fan-out.
pub(crate) fn consumer_name(stream: &StreamSettings, application: &str) -> ConsumerName {
    match (&stream.consumer_arn, &stream.consumer_name) {
        (Some(arn), _) => ConsumerName::Arn(arn.clone()),
        (None, Some(name)) => ConsumerName::Name(name.clone()),
        (None, None) => ConsumerName::Name(application.to_owned()),
    }
}

/// What the shards of a stream share that is read with enhanced fan-out.
pub(super) fn of(stream: &Stream, metrics: &Arc<Metrics>) -> Option<Arc<FanOut>> {
    let subscriber = Arc::clone(stream.consumer.as_ref()?) as Arc<dyn ShardSubscriber>;
    let (name, counted) = (stream.name.clone(), Arc::clone(metrics));
    let subscriber = Arc::new(MeteredSubscriber::new(subscriber, name, counted));
    let reader = stream.metered(metrics);
    Some(Arc::new(FanOut::new(subscriber, reader)))
}

impl App {
    /// Deregisters the consumers for which that was asked, unless another worker owns leases of their
    /// streams. A worker without leases does not count: should it get some, it registers again.
    pub(super) async fn deregister(&self) {
        // What is left undone costs money, but no records.
        let _ = timeout(DEREGISTER_TIME, self.deregister_all()).await;
    }

    async fn deregister_all(&self) {
        let leaving = self.streams.iter().filter(|stream| stream.settings.deregister_on_exit);
        for (stream, consumer) in leaving.filter_map(|s| Some((s, s.consumer.as_ref()?))) {
            let done = match self.store.scan().await {
                Ok(leases) if leases.iter().any(|lease| self.needs(lease, &stream.name)) => {
                    info!(stream = %stream.name,
                        "other workers own leases, the fan-out consumer stays registered");
                    continue;
                }
                Ok(_) => consumer.deregister().await.map_err(|problem| problem.to_string()),
                Err(problem) => Err(problem.to_string()),
            };
            if let Err(problem) = done {
                warn!(stream = %stream.name, %problem, "the fan-out consumer stays registered");
            }
        }
    }

    /// Whether another worker owns this lease of a stream.
    fn needs(&self, lease: &Lease, stream: &StreamName) -> bool {
        // account:stream:epoch
        let name = lease.stream.as_deref().and_then(|identifier| identifier.split(':').nth(1));
        let owner = lease.owner.as_ref().or(lease.checkpoint_owner.as_ref());
        name.is_none_or(|name| name == stream.as_str())
            && owner.is_some_and(|owner| *owner != self.worker_id)
    }
}
