//! What becomes of each letter and of each file, for the summary and for the next replay.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    super::{check::counted, talk::complain},
    done_list::{DoneList, LetterKey},
};
use crate::{
    consumer::LetterOutcome,
    etl::{DeadLetter, LetterId, Stage},
};

/// Reasons that are told apart.
const MOST_REASONS: usize = 1000;

/// The books of one replay.
#[derive(Default)]
pub(super) struct Books {
    pub(super) counts: Counts,
    files: Vec<FileBook>,
    done: DoneList,
    /// Where files go that are done.
    move_to: Option<PathBuf>,
    /// Letters by their number, until they are done.
    open: BTreeMap<u64, OpenLetter>,
    /// Letters of this replay, with the number of those that are under way.
    seen: HashMap<LetterKey, Option<u64>>,
    /// Why letters failed again.
    failures: BTreeMap<(Stage, String), u64>,
    /// What could not be written down.
    problem: Option<String>,
}

/// How many letters came to which end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Taken from files and put into the pipeline.
    pub(super) taken: u64,
    pub(super) delivered: u64,
    pub(super) filtered: u64,
    pub(super) again: u64,
    /// Lines that are no letters.
    pub(super) unreadable: u64,
    /// Letters that this configuration cannot replay.
    pub(super) unfit: u64,
    /// Letters that were not asked for.
    pub(super) unselected: u64,
    /// Letters that an earlier replay was done with.
    pub(super) before: u64,
    /// Letters that came a second time.
    pub(super) repeated: u64,
    /// Files that could not be read to their end.
    pub(super) damaged: u64,
    pub(super) moved: u64,
    /// Whether reading stopped because there were enough.
    pub(super) limited: bool,
}

struct OpenLetter {
    id: LetterId,
    key: LetterKey,
    attempts: u32,
    /// The files that wait for it: its own, and those that hold it a second time.
    files: Vec<usize>,
}

/// One input.
struct FileBook {
    name: String,
    /// None for standard input.
    path: Option<PathBuf>,
    read: bool,
    /// Letters under way.
    open: usize,
    /// Lines that are not done with this replay.
    left: u64,
}

impl Books {
    pub(super) fn new(done: DoneList, move_to: Option<PathBuf>) -> Self {
        Self { done, move_to, ..Self::default() }
    }

    /// Opens the book of an input.
    pub(super) fn file(&mut self, name: String, path: Option<PathBuf>) -> usize {
        self.files.push(FileBook { name, path, read: false, open: 0, left: 0 });
        self.files.len() - 1
    }

    /// Whether a letter is done or under way already, so that it is not to be taken again.
    pub(super) fn knows(&mut self, file: usize, letter: &DeadLetter) -> bool {
        let key = LetterKey::of(&letter.id());
        if self.done.holds(key, letter.attempts) {
            self.counts.before += 1;
            return true;
        }
        let Some(under_way) = self.seen.get(&key) else { return false };
        self.counts.repeated += 1;
        let first = under_way.and_then(|number| self.open.get_mut(&number));
        if let (Some(first), Some(book)) = (first, self.files.get_mut(file)) {
            first.files.push(file);
            book.open += 1;
        }
        true
    }

    /// Takes a letter; answers its number.
    pub(super) fn take(&mut self, file: usize, id: LetterId, attempts: u32) -> u64 {
        let key = LetterKey::of(&id);
        let number = self.counts.taken;
        self.counts.taken += 1;
        self.seen.insert(key, Some(number));
        self.open.insert(number, OpenLetter { id, key, attempts, files: vec![file] });
        if let Some(book) = self.files.get_mut(file) {
            book.open += 1;
        }
        number
    }

    /// A line of the input stays to be done.
    pub(super) fn left(&mut self, file: usize) {
        if let Some(book) = self.files.get_mut(file) {
            book.left += 1;
        }
    }

    /// All lines of the input have been looked at.
    pub(super) fn read(&mut self, file: usize) {
        if let Some(book) = self.files.get_mut(file) {
            book.read = true;
        }
        self.close_if_done(file);
    }

    /// The sinks have a letter.
    pub(super) fn done(&mut self, number: u64, outcome: &LetterOutcome) {
        let Some(letter) = self.open.remove(&number) else { return };
        match outcome {
            LetterOutcome::Delivered => self.counts.delivered += 1,
            LetterOutcome::Filtered => self.counts.filtered += 1,
            LetterOutcome::DeadLettered(stage, reason) => {
                self.counts.again += 1;
                self.count_failure(*stage, reason);
            }
        }
        if let Err(error) = self.done.add(&letter.id, letter.attempts, outcome) {
            self.problem.get_or_insert(format!("the list of done letters: {error}"));
        }
        self.seen.insert(letter.key, None);
        letter.files.into_iter().for_each(|file| self.settle(file));
    }

    /// Reasons may be made of anything, so not all of them are told apart.
    fn count_failure(&mut self, stage: Stage, reason: &str) {
        let known = self.failures.len() < MOST_REASONS;
        let reason = if known { reason.to_owned() } else { "other reasons".to_owned() };
        *self.failures.entry((stage, reason)).or_default() += 1;
    }

    fn settle(&mut self, file: usize) {
        if let Some(book) = self.files.get_mut(file) {
            book.open -= 1;
        }
        self.close_if_done(file);
    }

    /// Moves a file of which nothing is left to do.
    fn close_if_done(&mut self, file: usize) {
        let (Some(book), Some(folder)) = (self.files.get(file), &self.move_to) else { return };
        let Some(path) = book.path.as_deref().filter(|_| book.read && book.open == 0) else {
            return;
        };
        if book.left > 0 {
            complain(format_args!(
                "{}: stays, {} in it not done",
                book.name,
                counted(usize::try_from(book.left).unwrap_or(usize::MAX), "line")
            ));
            return;
        }
        match move_into(path, folder) {
            Ok(()) => self.counts.moved += 1,
            Err(error) => {
                self.problem.get_or_insert(format!("{}: cannot be moved: {error}", book.name));
            }
        }
    }

    /// Ends the books: what could not be written down, if so.
    pub(super) fn finish(&mut self) -> Option<String> {
        if let Err(error) = self.done.finish() {
            self.problem.get_or_insert(format!("the list of done letters: {error}"));
        }
        self.problem.take()
    }

    /// Letters that were taken and are not done.
    pub(super) fn unfinished(&self) -> usize {
        self.open.len()
    }

    /// The most frequent reasons of those that failed again.
    pub(super) fn reasons(&self, most: usize) -> Vec<String> {
        let mut reasons: Vec<_> = self.failures.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let rest = reasons.len().saturating_sub(most);
        let shown = reasons.into_iter().take(most);
        let mut lines: Vec<String> =
            shown.map(|((stage, reason), count)| format!("{count} × {stage}: {reason}")).collect();
        if rest > 0 {
            lines.push(format!("and {} more", counted(rest, "reason")));
        }
        lines
    }
}

/// Never over another file: names of a file sink are unique, others may not be.
fn move_into(path: &Path, folder: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let target = folder.join(name);
    if target.try_exists()? {
        let problem = format!("{} is there already", target.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    fs::rename(path, target)
}
