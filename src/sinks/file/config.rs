//! The configuration of a `file` sink.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// The configuration of a `file` sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The directory. Created when it is missing.
    pub path: PathBuf,
    /// How file names begin. Default: `events`.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// A file of this size (as stored) is finished. Default: `128MiB`.
    #[serde(default = "default_rotate_size")]
    pub rotate_size: ByteSize,
    /// A file of this age is finished. Default: `1h`.
    #[serde(default = "default_rotate_age", with = "humantime_serde")]
    pub rotate_age: Duration,
    /// Default: `none`.
    #[serde(default)]
    pub compression: Compression,
    /// When files are forced onto the disk. Default: `batch`.
    #[serde(default)]
    pub fsync: Fsync,
}

fn default_prefix() -> String {
    "events".to_owned()
}

fn default_rotate_size() -> ByteSize {
    ByteSize::mib(128)
}

fn default_rotate_age() -> Duration {
    Duration::from_hours(1)
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Plain text, `.jsonl`.
    #[default]
    None,
    /// `.jsonl.gz`, for `zcat` and most readers.
    Gzip,
    /// `.jsonl.zst`, for `zstdcat`; smaller and faster.
    Zstd,
}

/// When files are forced onto the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// Before a batch is accepted: accepted events survive a power cut.
    #[default]
    Batch,
    /// When a file is finished: accepted events survive a crash of the process; a power cut may lose
    /// those of unfinished files.
    Rotate,
    /// Left to the operating system: a power cut may lose what was written in the last minute or so.
    Never,
}

impl FileConfig {
    /// Which key cannot be used, and why, if so.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
        if self.path.as_os_str().is_empty() {
            return Some(("path", "must name a directory"));
        }
        if self.prefix.is_empty() || self.prefix.starts_with('.') || self.prefix.contains(bad) {
            return Some(("prefix", "must begin a file name: no / and no . in front"));
        }
        if self.rotate_size.as_u64() == 0 {
            return Some(("rotate_size", "must be above 0B"));
        }
        if self.rotate_age.is_zero() {
            return Some(("rotate_age", "must be above 0s"));
        }
        None
    }

    /// The ending of a finished file's name.
    pub(super) fn extension(&self) -> &'static str {
        match self.compression {
            Compression::None => "jsonl",
            Compression::Gzip => "jsonl.gz",
            Compression::Zstd => "jsonl.zst",
        }
    }
}
