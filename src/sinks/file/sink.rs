//! The [`Sink`] over a directory.

use std::{fs, io, path::Path, sync::Arc};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{FileConfig, encode::encode, recover::recover, writer::Writer};
use crate::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::{lines::json_lines, private::create_folders},
};

/// Writes JSON lines into files; see [`crate::sinks`] for order and replay.
#[derive(Debug)]
pub struct FileSink {
    config: FileConfig,
    /// One writer for all shards: batches follow each other.
    writer: Arc<Mutex<Writer>>,
    _rotation: AbortOnDropHandle<()>,
}

impl FileSink {
    /// Creates the directory when it is missing, and finishes what a crash left in it.
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when files cannot be made there.
    pub async fn open(config: FileConfig) -> Result<Self, SinkError> {
        if let Some((key, problem)) = config.problem() {
            return Err(SinkError::Misconfigured(format!("`{key}` {problem}")));
        }
        let begin = config.clone();
        blocking(&config, move || {
            create_folders(&begin.path)?;
            probe(&begin.path)?;
            recover(&begin)
        })
        .await?;
        let writer = Arc::new(Mutex::new(Writer::new(config.clone())));
        let rotation = tokio::spawn(keep_rotating(Arc::clone(&writer), config.clone()));
        Ok(Self { config, writer, _rotation: AbortOnDropHandle::new(rotation) })
    }

    /// Does something with the writer on a thread that may block. It is done even if the caller is
    /// gone by then: half a batch would be half a line.
    async fn with_writer(
        &self,
        work: impl FnOnce(&mut Writer) -> io::Result<()> + Send + 'static,
    ) -> Result<(), SinkError> {
        let mut writer: OwnedMutexGuard<Writer> = Arc::clone(&self.writer).lock_owned().await;
        blocking(&self.config, move || work(&mut writer)).await
    }
}

/// Finishes files by age while nothing is delivered. Sleeps until the file at hand is due, or for one
/// age, which no file opened meanwhile can exceed.
async fn keep_rotating(writer: Arc<Mutex<Writer>>, config: FileConfig) {
    loop {
        let due = writer.lock().await.due();
        sleep_until(due.unwrap_or_else(|| Instant::now() + config.rotate_age)).await;
        let mut writer = Arc::clone(&writer).lock_owned().await;
        let finish = move || {
            writer.finish_if_due(Instant::now());
            Ok(())
        };
        if let Err(error) = blocking(&config, finish).await {
            tracing::warn!(%error, "could not finish files by age");
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let lines = json_lines(events);
        let compression = self.config.compression;
        // Compressed before the writer is locked, so that several shards compress at once.
        let block = blocking(&self.config, move || encode(lines, compression)).await?;
        if !events.is_empty() {
            self.with_writer(move |writer| writer.append(&block, Instant::now())).await?;
        }
        Ok(vec![Verdict::Accepted; events.len()])
    }

    async fn check(&self) -> Result<(), SinkError> {
        let path = self.config.path.clone();
        blocking(&self.config, move || {
            create_folders(&path)?;
            probe(&path)
        })
        .await
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.with_writer(Writer::finish).await
    }
}

/// Whether files can be made: permissions say less than trying.
fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".probe-{}", Uuid::new_v4()));
    fs::File::create_new(&path)?;
    fs::remove_file(&path)
}

async fn blocking<T: Send + 'static>(
    config: &FileConfig,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SinkError> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| sink_error(&config.path, &error)),
        Err(error) => Err(SinkError::Unavailable(format!("file writer: {error}"))),
    }
}

/// A full disk passes; a directory that may not be written to wants a human.
fn sink_error(path: &Path, error: &io::Error) -> SinkError {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotFound
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidFilename => SinkError::Misconfigured(message),
        _ => SinkError::Unavailable(message),
    }
}
