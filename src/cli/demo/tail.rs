//! Reading a directory of JSON lines while they are being written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::DirEntryExt,
    path::{Path, PathBuf},
};

/// Follows all files of a directory.
pub(super) struct Tail {
    dir: PathBuf,
    /// By inode: the sink renames a file when it is complete.
    files: BTreeMap<u64, Follow>,
}

#[derive(Default)]
struct Follow {
    offset: u64,
    /// A line whose end has not been written yet.
    torn: Vec<u8>,
}

impl Tail {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), files: BTreeMap::new() }
    }

    /// The lines that are complete since the last call.
    pub(super) fn lines(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut lines = Vec::new();
        for entry in entries {
            let entry = entry?;
            self.files.entry(entry.ino()).or_default().read(&entry.path(), &mut lines)?;
        }
        Ok(lines)
    }
}

impl Follow {
    fn read(&mut self, path: &Path, lines: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut fresh = Vec::new();
        self.offset += file.read_to_end(&mut fresh)? as u64;
        self.torn.append(&mut fresh);
        let Some(end) = self.torn.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let rest = self.torn.split_off(end + 1);
        let whole = std::mem::replace(&mut self.torn, rest);
        lines.extend(
            whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec),
        );
        Ok(())
    }
}
