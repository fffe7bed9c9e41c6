//! The [`Sink`] over a store of objects.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};
use tokio::task::spawn_blocking;

use super::{
    ObjectConfig, ObjectPlace, encode::encode, partition::Partitions, store, upload::upload,
};
use crate::{
    aws::AwsConnection,
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::SinkSite,
};

/// Objects of one batch that are under way at a time.
const OBJECTS_AT_A_TIME: usize = 8;

/// Writes batches as objects; see [`crate::sinks`] for order and replay.
#[derive(Debug)]
pub struct ObjectSink {
    config: Arc<ObjectConfig>,
    store: Arc<dyn ObjectStore>,
    /// For what is said of it.
    shown: String,
    /// Whether batches come in order, and their ranges are in the lease's row: not for what is replayed
    /// from dead letters.
    in_order: bool,
}

impl ObjectSink {
    /// Makes the store ready. Nothing is called; see [`Sink::check`]. A folder is created.
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when the store can never be reached so.
    pub async fn open(
        config: ObjectConfig,
        place: ObjectPlace,
        site: &SinkSite<'_>,
    ) -> Result<Self, SinkError> {
        if let Some((key, problem)) = config.problems(place).into_iter().next() {
            return Err(SinkError::Misconfigured(format!("`{key}` {problem}")));
        }
        if place == ObjectPlace::Folder {
            let path = config.path.clone().unwrap_or_default();
            let store = store::folder(&path)?;
            return Ok(Self::with(config, store, path.display().to_string(), site.replay));
        }
        let (region, endpoint) = (config.region.as_ref(), config.endpoint_url.as_ref());
        let connection = AwsConnection::open_for(site.aws, region, endpoint).await;
        let connection = connection.map_err(|error| SinkError::Misconfigured(error.to_string()))?;
        Self::on(config, &connection, site.replay)
    }

    /// An `s3` sink on a connection that is there already; for a `replay` of dead letters, or for
    /// streams.
    ///
    /// # Errors
    /// As in [`Self::open`].
    pub fn on(
        config: ObjectConfig,
        connection: &AwsConnection,
        replay: bool,
    ) -> Result<Self, SinkError> {
        let store = store::s3(&config, connection)?;
        let shown = format!("s3://{}", config.bucket.as_deref().unwrap_or_default());
        Ok(Self::with(config, store, shown, replay))
    }

    fn with(
        config: ObjectConfig,
        store: Arc<dyn ObjectStore>,
        shown: String,
        replay: bool,
    ) -> Self {
        Self { config: Arc::new(config), store, shown, in_order: !replay }
    }

    /// A call as its errors name it: in S3 by the permission that it needs.
    fn call(&self, action: &str, key: &str) -> String {
        let Self { shown, .. } = self;
        match self.config.bucket {
            Some(_) => format!("{action} {shown}/{key}"),
            None => format!("{shown}/{key}"),
        }
    }

    /// One object of a batch.
    async fn put(&self, key: &str, events: Vec<OutputEvent>) -> Result<(), SinkError> {
        let what = self.call("s3:PutObject", key);
        let failed = |why: String| SinkError::Unavailable(format!("{what}: {why}"));
        let path = Path::parse(key).map_err(|error| SinkError::Misconfigured(error.to_string()))?;
        let config = Arc::clone(&self.config);
        let object = spawn_blocking(move || encode(&events, &config)).await;
        let object = object.map_err(|error| failed(error.to_string()))?;
        let object = object.map_err(|error| failed(error.to_string()))?;
        let part = usize::try_from(self.config.part_size.as_u64()).unwrap_or(usize::MAX);
        let uploaded = upload(&*self.store, &path, object.into(), part).await;
        uploaded.map_err(|error| store::sink_error(&what, &error))
    }
}

#[async_trait]
impl Sink for ObjectSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let Partitions { objects, refused } = Partitions::of(events, &self.config, self.in_order);
        let puts = objects.into_iter().map(|(key, indices)| async move {
            let events = indices.iter().filter_map(|index| events.get(*index)).cloned().collect();
            self.put(&key, events).await
        });
        // The first one that fails is the batch's answer: all of it comes again.
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(OBJECTS_AT_A_TIME).try_collect::<()>().await?;
        let mut verdicts = vec![Verdict::Accepted; events.len()];
        for (index, verdict) in refused {
            if let Some(slot) = verdicts.get_mut(index) {
                *slot = verdict;
            }
        }
        Ok(verdicts)
    }

    fn prepares(&self) -> bool {
        self.in_order
    }

    /// Lists one object at most. Whether objects may be put is known only by putting one.
    async fn check(&self) -> Result<(), SinkError> {
        let mut listed = self.store.list(None);
        let first = listed.next().await.transpose();
        let what = self.call("s3:ListBucket", "");
        first.map(drop).map_err(|error| store::sink_error(&what, &error))
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
