//! Files that a crash left behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::{FileConfig, writer::OPEN};

/// Finishes the unfinished files of processes that are gone. A file that cannot be finished stays as
/// it is: it is in nobody's way. A link is not looked behind: whoever put it here may not be allowed to
/// change the file that it leads to, and this process may.
pub(super) fn recover(config: &FileConfig) -> io::Result<()> {
    let prefix = format!("{}-", config.prefix);
    for entry in fs::read_dir(&config.path)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(finished) = name.strip_suffix(OPEN).filter(|name| name.starts_with(&prefix))
        else {
            continue;
        };
        if !entry.file_type()?.is_file() {
            continue;
        }
        match recover_file(&path, &path.with_file_name(finished)) {
            Ok(true) => tracing::info!(path = %path.display(), "finished a file left by a crash"),
            Ok(false) => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "leftover file stays"),
        }
    }
    Ok(())
}

/// `false` when the file is being written, or has only just been created: its process locks it right
/// after.
fn recover_file(path: &Path, finished: &Path) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    if file.try_lock().is_err() || file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let plain = finished.extension().is_some_and(|extension| extension == "jsonl");
    if plain {
        cut_half_line(&mut file)?;
    }
    if file.metadata()?.len() == 0 {
        fs::remove_file(path)?;
    } else {
        file.sync_all()?;
        fs::rename(path, finished)?;
    }
    Ok(true)
}

/// Cuts the file after its last line end.
fn cut_half_line(file: &mut File) -> io::Result<()> {
    const STEP: u64 = 64 * 1024;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        file.take(end - start).read_to_end(&mut chunk)?;
        let last = chunk.iter().rposition(|byte| *byte == b'\n');
        if let Some(keep) = last.and_then(|last| u64::try_from(last + 1).ok()) {
            end = start + keep;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}
