//! Reading back what a file sink wrote. Blocking.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use super::writer::OPEN;

/// Longest line that is read whole: an event of 64 MiB, all of it escaped.
const LONGEST_LINE: u64 = 512 << 20;

/// The files of a directory that a file sink may have written, by name: `*.jsonl`, `*.jsonl.gz`,
/// `*.jsonl.zst`, and these with `.open`. Folders in it are not looked into.
///
/// # Errors
/// When the directory cannot be read.
pub fn written_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_suffix(OPEN).unwrap_or(name);
        let written = [".jsonl", ".jsonl.gz", ".jsonl.zst"];
        if written.iter().any(|ending| name.ends_with(ending)) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// It is in the buffer, without its end.
    Whole,
    /// It is longer than anything a file sink writes, and was skipped.
    TooLong,
    /// The file ends in half a batch, of which nothing was accepted: it is being written, or a crash
    /// left it.
    HalfBatch,
}

/// Reads a file line by line: plain, gzip or zstd, as its first bytes say.
pub struct LineFile {
    lines: Box<dyn BufRead>,
    /// Whether it was never finished: it may end anywhere.
    open: bool,
    /// Whether a process has it open for writing.
    written: bool,
}

impl LineFile {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = path.extension().is_some_and(|extension| extension == "open");
        let file = File::open(path)?;
        // Its writer holds a lock, see `Writer::open`.
        let written = open && matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock));
        Ok(Self { lines: inflated(BufReader::new(file))?, open, written })
    }

    /// Reads any other input in the same way.
    ///
    /// # Errors
    /// When its first bytes cannot be read.
    pub fn input(input: impl Read + 'static) -> io::Result<Self> {
        Ok(Self { lines: inflated(BufReader::new(input))?, open: false, written: false })
    }

    /// Whether a process is writing it.
    pub fn is_written(&self) -> bool {
        self.written
    }

    /// Reads the next line into `line`; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged. Nothing can be read after that.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
        line.clear();
        let read = (&mut *self.lines).take(LONGEST_LINE).read_until(b'\n', line);
        match read {
            // A block that was cut off, of a file that was never finished.
            Err(error) if self.open && error.kind() == ErrorKind::UnexpectedEof => {
                line.clear();
                self.lines = Box::new(io::empty());
                Ok(Some(Line::HalfBatch))
            }
            Err(error) => Err(error),
            Ok(0) => Ok(None),
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Ok(Some(Line::Whole))
            }
            Ok(length) if u64::try_from(length).is_ok_and(|length| length >= LONGEST_LINE) => {
                line.clear();
                line.shrink_to_fit();
                self.lines.skip_until(b'\n')?;
                Ok(Some(Line::TooLong))
            }
            Ok(_) if self.open => Ok(Some(Line::HalfBatch)),
            // Written by hand, or with its last line end cut off: a line all the same.
            Ok(_) => Ok(Some(Line::Whole)),
        }
    }
}

fn inflated(mut input: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let start = input.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(input))));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(input)?)));
    }
    Ok(Box::new(input))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sinks::{Compression, file::encode::encode};

    const ALL: [(Compression, &str); 3] = [
        (Compression::None, "jsonl"),
        (Compression::Gzip, "jsonl.gz"),
        (Compression::Zstd, "jsonl.zst"),
    ];

    fn lines(path: &Path) -> io::Result<(Vec<String>, Option<Line>)> {
        let mut file = LineFile::open(path)?;
        let (mut found, mut line) = (Vec::new(), Vec::new());
        while let Some(one) = file.next(&mut line)? {
            if one != Line::Whole {
                return Ok((found, Some(one)));
            }
            found.push(String::from_utf8(line.clone()).unwrap());
        }
        Ok((found, None))
    }

    #[test]
    fn batches_of_every_compression_are_one_file() {
        let folder = tempfile::tempdir().unwrap();
        for (compression, ending) in ALL {
            let mut blocks = encode(b"1\n2\n".to_vec(), compression).unwrap();
            blocks.extend(encode(b"3\n".to_vec(), compression).unwrap());
            let path = folder.path().join(format!("a.{ending}"));
            fs::write(&path, &blocks).unwrap();
            assert_eq!(lines(&path).unwrap(), (vec!["1".into(), "2".into(), "3".into()], None));
        }
    }

    #[test]
    fn an_unfinished_file_may_end_in_half_a_batch_and_a_finished_one_may_not() {
        let folder = tempfile::tempdir().unwrap();
        for (compression, ending) in ALL {
            let mut blocks = encode(b"first\n".to_vec(), compression).unwrap();
            let second = encode(b"second\nthird\n".to_vec(), compression).unwrap();
            blocks.extend(&second[..second.len() - 3]);
            let path = folder.path().join(format!("a.{ending}"));
            let open = folder.path().join(format!("a.{ending}.open"));
            fs::write(&path, &blocks).unwrap();
            fs::write(&open, &blocks).unwrap();
            let (found, end) = lines(&open).unwrap();
            assert_eq!((&*found[0], end), ("first", Some(Line::HalfBatch)));
            match compression {
                Compression::None => assert_eq!(lines(&path).unwrap().0[2], "thi"),
                _ => assert_eq!(lines(&path).unwrap_err().kind(), ErrorKind::UnexpectedEof),
            }
        }
    }

    #[test]
    fn a_file_that_is_being_written_is_known_by_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl.open");
        let writer = File::create(&path).unwrap();
        assert!(!LineFile::open(&path).unwrap().is_written());
        writer.lock().unwrap();
        assert!(LineFile::open(&path).unwrap().is_written());
    }

    #[test]
    fn only_files_of_a_file_sink_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["b.jsonl.gz", "a.jsonl.zst.open", "c.jsonl", "d.json", ".probe-1", "e.open"];
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("f.jsonl")).unwrap();
        let found = written_files(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(found, ["a.jsonl.zst.open", "b.jsonl.gz", "c.jsonl"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut file = LineFile::input(io::Cursor::new(bytes)).unwrap();
            let mut line = Vec::new();
            while let Ok(Some(_)) = file.next(&mut line) {}
        }
    }
}
