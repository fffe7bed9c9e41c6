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
        let store = store::open(&config, place, site.aws).await?;
        let shown = match (place, &config.bucket, &config.path) {
            (ObjectPlace::S3, Some(bucket), _) => format!("s3://{bucket}"),
            (_, _, Some(path)) => path.display().to_string(),
            _ => String::new(),
        };
        Ok(Self { config: Arc::new(config), store, shown, in_order: !site.replay })
    }

    /// One object of a batch.
    async fn put(&self, key: &str, events: Vec<OutputEvent>) -> Result<(), SinkError> {
        let what = format!("{}/{key}", self.shown);
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
        first.map(drop).map_err(|error| store::sink_error(&self.shown, &error))
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
