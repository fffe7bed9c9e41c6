//! The one file being written. Blocking: the sink calls it on threads for that.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{FileConfig, Fsync};
use crate::sinks::private::{create_folders, open_options};

/// What marks a file as still being written.
pub(super) const OPEN: &str = ".open";

/// Writes one file after the other.
#[derive(Debug)]
pub(super) struct Writer {
    config: FileConfig,
    /// Sets the names of this process apart from all others.
    run: String,
    number: u32,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    /// The name once it is finished.
    path: PathBuf,
    /// Bytes of whole batches.
    length: u64,
    opened: Instant,
}

impl Writer {
    pub(super) fn new(config: FileConfig) -> Self {
        let mut run = Uuid::new_v4().simple().to_string();
        run.truncate(8);
        Self { config, run, number: 0, current: None }
    }

    /// Appends one encoded batch as a whole. After a failure the file that failed is given up, cut
    /// back to its last whole batch, and the next batch gets a new file: what a failed write or sync
    /// has left on the disk is unknown.
    pub(super) fn append(&mut self, block: &[u8], now: Instant) -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        self.finish_if_due(now);
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.open(now)?,
        };
        let sync = self.config.fsync == Fsync::Batch;
        // Looked at after the write: what is written into a file that nobody finds is lost.
        let written = current.append(block, sync).and_then(|()| current.is_there());
        if let Err(error) = written {
            current.give_up();
            return Err(error);
        }
        let length = u64::try_from(block.len()).unwrap_or(u64::MAX);
        current.length = current.length.saturating_add(length);
        self.current = Some(current);
        self.finish_if_due(now);
        Ok(())
    }

    /// When the file being written will be old enough to be finished.
    pub(super) fn due(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.opened + self.config.rotate_age)
    }

    /// Finishes the file when it is large or old enough. Its batches are safe already, so a failure
    /// is worth a warning only: the file keeps the name of one that a crash left.
    pub(super) fn finish_if_due(&mut self, now: Instant) {
        let large = self
            .current
            .as_ref()
            .is_some_and(|current| current.length >= self.config.rotate_size.as_u64());
        let old = self.due().is_some_and(|due| due <= now);
        if !large && !old {
            return;
        }
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "could not finish a file, it keeps its name");
        }
    }

    /// Finishes the file, if there is one.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        if self.config.fsync == Fsync::Rotate {
            current.file.sync_all()?;
        }
        current.rename()?;
        self.sync_directory()
    }

    /// Puts another file in the place of the one being written, to see faults.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        if let Some(current) = &mut self.current {
            current.file = file;
        }
    }

    fn open(&mut self, now: Instant) -> io::Result<Current> {
        create_folders(&self.config.path)?;
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let FileConfig { prefix, path, .. } = &self.config;
        let extension = self.config.extension();
        let name = format!("{prefix}-{time}-{}-{:04}.{extension}", self.run, self.number);
        self.number = self.number.wrapping_add(1);
        let path = path.join(name);
        let file = open_options().append(true).create_new(true).open(open_name(&path))?;
        // The lock tells a live file from one that a crash left. Where there are no locks, leftover
        // files stay as they are.
        if let Err(error) = file.lock() {
            tracing::debug!(%error, "no lock on the file being written");
        }
        self.sync_directory()?;
        Ok(Current { file, path, length: 0, opened: now })
    }

    /// A new or renamed file is safe once its directory is.
    fn sync_directory(&self) -> io::Result<()> {
        if self.config.fsync == Fsync::Never || cfg!(not(unix)) {
            return Ok(());
        }
        File::open(&self.config.path)?.sync_all()
    }
}

impl Current {
    fn append(&mut self, block: &[u8], sync: bool) -> io::Result<()> {
        self.file.write_all(block)?;
        if sync {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Whether the file still has its name. One that was removed or moved while it was written, alone
    /// or with its directory, takes what is written all the same.
    fn is_there(&self) -> io::Result<()> {
        match self.has_its_name() {
            Ok(true) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Err(io::Error::other(
                "the file being written was removed or moved: the batch goes into a new one",
            )),
        }
    }

    #[cfg(unix)]
    fn has_its_name(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;

        let named = fs::metadata(open_name(&self.path))?;
        let written = self.file.metadata()?;
        Ok((named.dev(), named.ino()) == (written.dev(), written.ino()))
    }

    #[cfg(not(unix))]
    fn has_its_name(&self) -> io::Result<bool> {
        fs::exists(open_name(&self.path))
    }

    fn rename(&self) -> io::Result<()> {
        fs::rename(open_name(&self.path), &self.path)
    }

    /// Leaves whole batches behind, as far as the disk still obeys. One that has lost its name keeps
    /// the one that it was given, if any.
    fn give_up(self) {
        let cut = self.file.set_len(self.length);
        let left = match (self.has_its_name(), self.length) {
            (Ok(true), 0) => fs::remove_file(open_name(&self.path)),
            (Ok(true), _) => cut.and_then(|()| self.rename()),
            (Ok(false), _) => cut,
            (Err(error), _) => cut.and(Err(error)),
        };
        if let Err(error) = left {
            tracing::warn!(path = %self.path.display(), %error,
                "a file is given up; it may be gone, or end in half a line");
        }
    }
}

fn open_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OPEN);
    PathBuf::from(name)
}
