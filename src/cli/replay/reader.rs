//! Letters from files, folders and standard input.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    super::{
        input,
        talk::{complain, say},
    },
    books::Books,
    select::Selection,
};
use crate::{
    consumer::Letter,
    etl::{DeadLetter, LetterError, LetterId, SourceRecord},
    sinks::{Line, LineFile, written_files},
};

/// Bad lines of one file that are said one by one.
const MOST_SAID: u64 = 20;

/// Finds the files. A folder gives what a file sink may have written into it, except what is being
/// written: its writer will rename it, and more will come. A file named by itself is always read.
///
/// # Errors
/// Which of them is not there.
pub(super) fn inputs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            found.push(path.clone());
        } else if path.is_dir() {
            let files = written_files(path);
            found.extend(files.map_err(|error| format!("{}: {error}", path.display()))?);
        } else {
            found.push(existing(path)?);
        }
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    found.retain(|path| paths.contains(path) || !is_written(path));
    Ok(found)
}

/// An unfinished file loses its `.open` when it is finished, which the file sink of this very
/// process may just have done.
fn existing(path: &Path) -> Result<PathBuf, String> {
    let finished = path.with_extension("");
    match path.try_exists() {
        Ok(false)
            if path.extension().is_some_and(|ending| ending == "open") && finished.exists() =>
        {
            Ok(finished)
        }
        Ok(false) => Err(format!("{}: there is no such file", path.display())),
        Ok(true) => Ok(path.to_owned()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn is_written(path: &Path) -> bool {
    let written = LineFile::open(path).is_ok_and(|file| file.is_written());
    if written {
        say(format_args!("{}: is being written, left alone", path.display()));
    }
    written
}

/// Reads inputs line by line and hands on the letters that are to be replayed.
pub(super) struct Reader<'r> {
    pub(super) selection: &'r Selection,
    /// Makes a record of a letter.
    pub(super) revive: &'r dyn Fn(DeadLetter) -> Result<SourceRecord, LetterError>,
    pub(super) books: &'r Mutex<Books>,
    /// Takes lines that are no letters.
    pub(super) unreadable: Option<File>,
}

/// Where a letter stands, and which it is.
pub(super) struct Place<'p> {
    pub(super) id: &'p LetterId,
    pub(super) file: &'p str,
    pub(super) line: u64,
}

/// What takes the letters; it may have enough.
pub(super) type Taker<'t> = dyn FnMut(Letter, &Place<'_>) -> ControlFlow<()> + 't;

impl Reader<'_> {
    /// Reads all of them, in order, until `take` has enough.
    pub(super) fn read(&mut self, inputs: &[PathBuf], take: &mut Taker<'_>) {
        for path in inputs {
            if self.file(path, take).is_break() {
                return;
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&mut self, path: &Path, take: &mut Taker<'_>) -> ControlFlow<()> {
        let name = input::name(path);
        let stdin = path.as_os_str() == "-";
        let book = self.books().file(name.clone(), (!stdin).then(|| path.to_owned()));
        let opened = if stdin { LineFile::input(io::stdin()) } else { LineFile::open(path) };
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                self.damaged(&name, &error);
                return ControlFlow::Continue(());
            }
        };
        let mut bad = 0;
        let mut bytes = Vec::new();
        for line in 1u64.. {
            let problem = match file.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(Line::Whole)) if bytes.trim_ascii().is_empty() => continue,
                Ok(Some(Line::Whole)) => match self.line(book, &name, line, &bytes, take)? {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                },
                Ok(Some(Line::HalfBatch)) => {
                    say(format_args!("{name}: ends in half a batch, which was not accepted"));
                    continue;
                }
                Ok(Some(Line::TooLong)) => {
                    self.books().counts.unreadable += 1;
                    self.books().left(book);
                    "longer than any letter".to_owned()
                }
                Err(error) => {
                    self.damaged(&name, &error);
                    return ControlFlow::Continue(());
                }
            };
            bad += 1;
            if bad <= MOST_SAID {
                complain(format_args!("{name}:{line}: {problem}"));
            }
        }
        if bad > MOST_SAID {
            complain(format_args!("{name}: and {} more such lines", bad - MOST_SAID));
        }
        let mut books = self.books();
        if file.is_written() {
            // More will come, and its writer wants to find it.
            books.left(book);
        }
        books.read(book);
        ControlFlow::Continue(())
    }

    fn damaged(&self, name: &str, error: &io::Error) {
        complain(format_args!("{name}: {error}; what follows there is not replayed"));
        self.books().counts.damaged += 1;
    }

    /// One line. Breaks when there is enough.
    fn line(
        &mut self,
        book: usize,
        name: &str,
        line: u64,
        bytes: &[u8],
        take: &mut Taker<'_>,
    ) -> ControlFlow<(), Result<(), LetterError>> {
        let letter = match DeadLetter::parse(bytes) {
            Ok(letter) => letter,
            Err(error) => return ControlFlow::Continue(self.unreadable(book, bytes, error)),
        };
        match self.selection.takes(&letter) {
            Ok(true) => {}
            Ok(false) => {
                let mut books = self.books();
                books.counts.unselected += 1;
                books.left(book);
                return ControlFlow::Continue(Ok(()));
            }
            Err(error) => return ControlFlow::Continue(self.unreadable(book, bytes, error)),
        }
        if self.books().knows(book, &letter) {
            return ControlFlow::Continue(Ok(()));
        }
        if self.selection.limit.is_some_and(|limit| self.books().counts.taken >= limit) {
            self.books().counts.limited = true;
            return ControlFlow::Break(());
        }
        let (id, attempts) = (letter.id(), letter.attempts);
        match (self.revive)(letter) {
            Ok(record) => {
                let number = self.books().take(book, id.clone(), attempts);
                let place = Place { id: &id, file: name, line };
                take(Letter { number, record }, &place)?;
                ControlFlow::Continue(Ok(()))
            }
            Err(error @ LetterError::Damaged(_)) => {
                ControlFlow::Continue(self.unreadable(book, bytes, error))
            }
            Err(error) => {
                let mut books = self.books();
                books.counts.unfit += 1;
                books.left(book);
                ControlFlow::Continue(Err(error))
            }
        }
    }

    /// A line that is no letter: kept aside if there is a place for that, else where it is.
    fn unreadable(
        &mut self,
        book: usize,
        bytes: &[u8],
        error: LetterError,
    ) -> Result<(), LetterError> {
        let kept = self.unreadable.as_mut().is_some_and(|file| {
            let written = file.write_all(&[bytes, b"\n"].concat());
            written.is_ok()
        });
        let mut books = self.books();
        books.counts.unreadable += 1;
        if !kept {
            books.left(book);
        }
        Err(error)
    }
}

/// The books of a replay, shared by its reader and its sinks.
pub(super) type SharedBooks = Arc<Mutex<Books>>;
