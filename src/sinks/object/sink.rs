//! The [`Sink`] over a store of objects.

#[cfg(any(feature = "azure", feature = "gcs"))]
use std::ffi::OsString;
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};
use tokio::task::spawn_blocking;
use tracing::info;

use super::{
    ObjectConfig, ObjectFormat, ObjectPlace, encode::encode, encoded::Encoded,
    partition::Partitions, store, upload::upload,
};
#[cfg(feature = "s3")]
use crate::aws::AwsConnection;
use crate::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::SinkSite,
};

/// Objects of one batch that are under way at a time.
const OBJECTS_AT_A_TIME: usize = 8;

/// Writes batches as objects; see [`crate::sinks`] for order and replay.
pub struct ObjectSink {
    config: Arc<ObjectConfig>,
    store: Arc<dyn ObjectStore>,
    shown: Shown,
    /// Whether batches come in order, and their ranges are in the lease's row: not for what is replayed
    /// from dead letters.
    in_order: bool,
}

/// Without the store: the library's has its credentials in it, as they are.
impl fmt::Debug for ObjectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, shown, in_order, store: _ } = self;
        let mut sink = f.debug_struct("ObjectSink");
        sink.field("config", config).field("shown", shown).field("in_order", in_order);
        sink.finish_non_exhaustive()
    }
}

/// How errors name what failed: in S3 and Google Cloud Storage by the permission that a call needs, in
/// Azure by the operation.
#[derive(Debug)]
struct Shown {
    put: &'static str,
    list: &'static str,
    place: String,
}

/// A sink that this build does not have, by the feature that it needs.
#[cfg(not(all(feature = "azure", feature = "gcs", feature = "s3")))]
fn left_out(kind: &str) -> SinkError {
    SinkError::Misconfigured(format!("this build has no such sink: build with --features {kind}"))
}

#[cfg(any(feature = "azure", feature = "gcs"))]
fn texts((name, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
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
        if config.format == ObjectFormat::Parquet {
            let columns = config.columns.iter().map(|(name, column)| format!("{name} = {column}"));
            let columns = columns.collect::<Vec<_>>().join(", ");
            if columns.is_empty() {
                let why = "`schema` has not been read, and there are no `columns`".to_owned();
                return Err(SinkError::Misconfigured(why));
            }
            info!(sink = site.name, columns, "the columns of its Parquet files");
        }
        match place {
            ObjectPlace::Folder => {
                let path = config.path.clone().unwrap_or_default();
                let store = store::folder(&path)?;
                let shown = Shown { put: "", list: "", place: path.display().to_string() };
                Ok(Self::with(config, store, shown, site.replay))
            }
            #[cfg(feature = "azure")]
            ObjectPlace::Azure => {
                Self::azure(config, std::env::vars_os().filter_map(texts), site.replay)
            }
            #[cfg(not(feature = "azure"))]
            ObjectPlace::Azure => Err(left_out("azure")),
            #[cfg(feature = "gcs")]
            ObjectPlace::Gcs => {
                Self::gcs(config, std::env::vars_os().filter_map(texts), site.replay)
            }
            #[cfg(not(feature = "gcs"))]
            ObjectPlace::Gcs => Err(left_out("gcs")),
            #[cfg(feature = "s3")]
            ObjectPlace::S3 => {
                let (region, endpoint) = (config.region.as_ref(), config.endpoint_url.as_ref());
                let connection = AwsConnection::open_for(site.aws, region, endpoint).await;
                let connection =
                    connection.map_err(|error| SinkError::Misconfigured(error.to_string()))?;
                Self::on(config, &connection, site.replay)
            }
            #[cfg(not(feature = "s3"))]
            ObjectPlace::S3 => Err(left_out("s3")),
        }
    }

    /// An `s3` sink on a connection that is there already; for a `replay` of dead letters, or for
    /// streams.
    ///
    /// # Errors
    /// As in [`Self::open`].
    #[cfg(feature = "s3")]
    pub fn on(
        config: ObjectConfig,
        connection: &AwsConnection,
        replay: bool,
    ) -> Result<Self, SinkError> {
        let store = super::s3::bucket(&config, connection)?;
        let place = format!("s3://{}", config.bucket.as_deref().unwrap_or_default());
        let shown = Shown { put: "s3:PutObject ", list: "s3:ListBucket ", place };
        Ok(Self::with(config, store, shown, replay))
    }

    /// An `azure` sink with the credentials of this environment, names and values.
    ///
    /// # Errors
    /// As in [`Self::open`].
    #[cfg(feature = "azure")]
    pub fn azure(
        config: ObjectConfig,
        environment: impl IntoIterator<Item = (String, String)>,
        replay: bool,
    ) -> Result<Self, SinkError> {
        let store = super::azure::container(&config, environment)?;
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        let place = format!("azure://{}/{}", name(&config.account), name(&config.container));
        let shown = Shown { put: "Put Blob ", list: "List Blobs ", place };
        Ok(Self::with(config, store, shown, replay))
    }

    /// A `gcs` sink with the credentials of this environment, names and values.
    ///
    /// # Errors
    /// As in [`Self::open`].
    #[cfg(feature = "gcs")]
    pub fn gcs(
        config: ObjectConfig,
        environment: impl IntoIterator<Item = (String, String)>,
        replay: bool,
    ) -> Result<Self, SinkError> {
        let store = super::gcs::bucket(&config, environment)?;
        let place = format!("gs://{}", config.bucket.as_deref().unwrap_or_default());
        let shown = Shown { put: "storage.objects.create ", list: "storage.objects.list ", place };
        Ok(Self::with(config, store, shown, replay))
    }

    fn with(config: ObjectConfig, store: Arc<dyn ObjectStore>, shown: Shown, replay: bool) -> Self {
        Self { config: Arc::new(config), store, shown, in_order: !replay }
    }

    /// One object of a batch. Answers which of its events are refused, by their indices in it, and why;
    /// one without events is not put.
    async fn put(
        &self,
        key: &str,
        events: Vec<OutputEvent>,
    ) -> Result<Vec<(usize, String)>, SinkError> {
        let what = format!("{}{}/{key}", self.shown.put, self.shown.place);
        let failed = |why: String| SinkError::Unavailable(format!("{what}: {why}"));
        let path = Path::parse(key).map_err(|error| SinkError::Misconfigured(error.to_string()))?;
        let (config, count) = (Arc::clone(&self.config), events.len());
        let encoded = spawn_blocking(move || encode(&events, &config)).await;
        let encoded = encoded.map_err(|error| failed(error.to_string()))?;
        let Encoded { bytes, refused } = encoded.map_err(|error| failed(error.to_string()))?;
        if refused.len() == count {
            return Ok(refused);
        }
        let part = usize::try_from(self.config.part_size.as_u64()).unwrap_or(usize::MAX);
        let uploaded = upload(&*self.store, &path, bytes.into(), part).await;
        uploaded.map_err(|error| store::sink_error(&what, &error))?;
        Ok(refused)
    }
}

#[async_trait]
impl Sink for ObjectSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let Partitions { objects, refused } = Partitions::of(events, &self.config, self.in_order);
        let puts = objects.into_iter().map(|(key, indices)| async move {
            let events = indices.iter().filter_map(|index| events.get(*index)).cloned().collect();
            let refused = self.put(&key, events).await?;
            let of_batch =
                refused.into_iter().map(|(index, why)| (indices.get(index).copied(), why));
            Ok::<_, SinkError>(of_batch.collect::<Vec<_>>())
        });
        // The first one that fails is the batch's answer: all of it comes again.
        let puts: Vec<_> = puts.collect();
        let puts = stream::iter(puts).buffer_unordered(OBJECTS_AT_A_TIME);
        let unfit: Vec<Vec<_>> = puts.try_collect().await?;
        let mut verdicts = vec![Verdict::Accepted; events.len()];
        let refused = refused.into_iter().map(|(index, why)| (Some(index), why));
        for (index, why) in refused.chain(unfit.into_iter().flatten()) {
            if let Some(verdict) = index.and_then(|index| verdicts.get_mut(index)) {
                *verdict = Verdict::Refused(why);
            }
        }
        Ok(verdicts)
    }

    fn prepares(&self) -> bool {
        self.in_order
    }

    /// Lists one object at most. Whether objects may be put is known only by putting one.
    async fn check(&self) -> Result<(), SinkError> {
        if let Some(path) = &self.config.path {
            store::check_folder(path)?;
        }
        let mut listed = self.store.list(None);
        let first = listed.next().await.transpose();
        let what = format!("{}{}/", self.shown.list, self.shown.place);
        first.map(drop).map_err(|error| store::sink_error(&what, &error))
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
