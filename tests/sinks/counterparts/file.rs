//! A directory on disk.

use std::{fs, path::PathBuf};

use serde_json::Value;
use shardwright::sinks::{Line, LineFile, written_files};
use tempfile::TempDir;

use crate::contract::{Again, Counterpart, Promise};

/// The directory.
pub(crate) struct File {
    dir: TempDir,
    compression: &'static str,
}

impl File {
    fn path(&self) -> PathBuf {
        self.dir.path().join("out")
    }
}

impl Counterpart for File {
    const PROMISE: Promise = Promise { in_order: true, knows_again: Again::No };

    async fn start() -> Option<Self> {
        Some(Self { dir: TempDir::new().unwrap(), compression: "zstd" })
    }

    fn config(&self) -> String {
        format!(
            "type = \"file\"\npath = \"{}\"\ncompression = \"{}\"",
            self.path().display(),
            self.compression
        )
    }

    /// What a reader of the directory finds, half batches left out.
    async fn stored(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        for path in written_files(&self.path()).unwrap_or_default() {
            // A file that was renamed after it was listed is found by the next look.
            let Ok(mut file) = LineFile::open(&path) else { continue };
            let mut line = Vec::new();
            while let Some(Line::Whole) = file.next(&mut line).unwrap() {
                found.push(serde_json::from_slice(&line).unwrap());
            }
        }
        found
    }

    /// The directory is gone, and a file has its name.
    async fn stop(&mut self) {
        let aside = self.dir.path().join("aside");
        fs::create_dir_all(self.path()).unwrap();
        fs::rename(self.path(), &aside).unwrap();
        fs::write(self.path(), "").unwrap();
    }

    async fn start_again(&mut self) {
        fs::remove_file(self.path()).unwrap();
        fs::rename(self.dir.path().join("aside"), self.path()).unwrap();
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let file = self.dir.path().join("file");
        fs::write(&file, "").unwrap();
        vec![(format!("type = \"file\"\npath = \"{}/below\"", file.display()), "file/below")]
    }
}
