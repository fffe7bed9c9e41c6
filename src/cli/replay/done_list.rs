//! The letters that are done, in a file of their own: what is in it is not replayed again.
//!
//! A line each, as JSON: the letter, its attempts, its outcome. One that was delivered or filtered is
//! done for good; one that failed again is done as far as its attempts go, for its new letter has one
//! more. A line is written once the sinks have the letter, so a crash in between replays it again.

use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{consumer::LetterOutcome, etl::LetterId, sinks::private::open_options};

/// What a letter is about, in 16 bytes: there may be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LetterKey([u8; 16]);

impl LetterKey {
    pub(super) fn of(id: &LetterId) -> Self {
        Self::of_text(&id.to_string())
    }

    fn of_text(id: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(id).into();
        let mut key = [0; 16];
        key.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
        Self(key)
    }
}

/// The file and what it says.
#[derive(Default)]
pub(super) struct DoneList {
    /// Up to how many attempts a letter is done.
    done: HashMap<LetterKey, u32>,
    file: Option<File>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    letter: String,
    attempts: u32,
    outcome: EntryOutcome,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EntryOutcome {
    Delivered,
    Filtered,
    DeadLettered,
}

impl DoneList {
    /// Reads the file; with `write` it is made when it is missing, and kept from other replays.
    ///
    /// # Errors
    /// When it cannot be used, or another replay uses it.
    pub(super) fn open(path: &Path, write: bool) -> io::Result<Self> {
        let mut list = Self::default();
        let file = open_options().read(true).append(write).create(write).open(path);
        let mut file = match file {
            Err(error) if !write && error.kind() == io::ErrorKind::NotFound => return Ok(list),
            file => file?,
        };
        if write && matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(io::Error::other("another replay is using it"));
        }
        let ends = list.read(&file)?;
        if write {
            if !ends {
                // A crash cut the last line: the next one begins a line of its own.
                file.write_all(b"\n")?;
            }
            list.file = Some(file);
        }
        Ok(list)
    }

    /// Answers whether the last line has its end.
    fn read(&mut self, file: &File) -> io::Result<bool> {
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        let mut ends = true;
        while lines.read_until(b'\n', &mut line)? > 0 {
            ends = line.ends_with(b"\n");
            if let Ok(entry) = serde_json::from_slice::<Entry>(&line) {
                self.note(LetterKey::of_text(&entry.letter), entry.attempts, entry.outcome);
            } else if ends && !line.trim_ascii().is_empty() && self.done.is_empty() {
                let problem = "it is not a list of replayed letters";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            line.clear();
        }
        Ok(ends)
    }

    fn note(&mut self, key: LetterKey, attempts: u32, outcome: EntryOutcome) {
        let upto = if outcome == EntryOutcome::DeadLettered { attempts } else { u32::MAX };
        let known = self.done.entry(key).or_default();
        *known = upto.max(*known);
    }

    /// Whether a letter is done.
    pub(super) fn holds(&self, key: LetterKey, attempts: u32) -> bool {
        self.done.get(&key).is_some_and(|upto| attempts <= *upto)
    }

    /// Adds a letter that is done.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn add(
        &mut self,
        id: &LetterId,
        attempts: u32,
        outcome: &LetterOutcome,
    ) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let outcome = match outcome {
            LetterOutcome::Delivered => EntryOutcome::Delivered,
            LetterOutcome::Filtered => EntryOutcome::Filtered,
            LetterOutcome::DeadLettered(..) => EntryOutcome::DeadLettered,
        };
        let mut line = serde_json::to_vec(&Entry { letter: id.to_string(), attempts, outcome })?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// Forces it onto the disk.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::etl::{DeadLetter, Stage};

    fn id(sequence: &str) -> LetterId {
        let line = format!(
            r#"{{"version":1,"stream":"logs","shard":"s","sequence_number":"{sequence}",
                "sub_sequence_number":0,"partition_key":"k","arrival":"2026-01-31T08:00:00.000Z",
                "stage":"decode","reason":"r","configuration":"c","attempts":1,"data":""}}"#
        );
        DeadLetter::parse(line.as_bytes()).unwrap().id()
    }

    #[test]
    fn what_failed_again_is_done_as_far_as_its_attempts_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        let failed = LetterOutcome::DeadLettered(Stage::Decode, "r".to_owned());
        let mut list = DoneList::open(&path, true).unwrap();
        list.add(&id("1"), 1, &LetterOutcome::Delivered).unwrap();
        list.add(&id("2"), 3, &failed).unwrap();
        list.finish().unwrap();
        drop(list);
        for write in [true, false] {
            let list = DoneList::open(&path, write).unwrap();
            let holds = |number, attempts| list.holds(LetterKey::of(&id(number)), attempts);
            assert!(holds("1", 1) && holds("1", 7) && holds("2", 3));
            assert!(!holds("2", 4) && !holds("3", 1));
        }
    }

    #[test]
    fn a_cut_line_is_as_if_it_were_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        let add = |number| {
            let mut list = DoneList::open(&path, true).unwrap();
            list.add(&id(number), 1, &LetterOutcome::Filtered).unwrap();
        };
        add("1");
        add("2");
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        add("3");
        let list = DoneList::open(&path, false).unwrap();
        let holds = |number| list.holds(LetterKey::of(&id(number)), 1);
        assert_eq!((holds("1"), holds("2"), holds("3")), (true, false, true));
    }

    #[test]
    fn it_is_used_by_one_replay_at_a_time_and_is_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done");
        let _first = DoneList::open(&path, true).unwrap();
        let error = DoneList::open(&path, true).err().unwrap();
        assert_eq!(error.to_string(), "another replay is using it");
        let other = folder.path().join("other");
        fs::write(&other, "{\"some\":\"letter\"}\n").unwrap();
        assert!(DoneList::open(&other, true).is_err());
        assert!(DoneList::open(&folder.path().join("none"), false).is_ok());
    }
}
