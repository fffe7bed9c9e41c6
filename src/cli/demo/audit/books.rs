//! The books: what must become of each event, and what was seen of it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::letter::{Cause, Letter};
use crate::model::EpochMillis;

/// What was put and what was seen, so far.
#[derive(Default)]
pub(super) struct Books {
    /// Each event by its id, each undecodable record by its bytes.
    pub(super) items: HashMap<String, Item>,
    pub(super) records: u64,
    /// Milliseconds from put to delivery.
    pub(super) latencies: Vec<u64>,
    /// Things on disk that nobody put.
    pub(super) strangers: u64,
    pub(super) producing_done: bool,
    pub(super) counts: Counts,
    /// Why there are dead letters.
    pub(super) causes: BTreeMap<Cause, u64>,
}

/// What must become of something, and how often it was seen where.
pub(super) struct Item {
    pub(super) must: Fate,
    /// How often it was put: records that cannot be read may be alike to the last byte.
    pub(super) put: u32,
    pub(super) delivered: u32,
    pub(super) parked: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Deliver,
    Filter,
    DeadLetter,
}

/// The sums that the progress line and the summary show.
#[derive(Clone, Copy, Default)]
pub(in crate::cli::demo) struct Counts {
    pub(in crate::cli::demo) put: u64,
    pub(in crate::cli::demo) delivered: u64,
    pub(in crate::cli::demo) filtered: u64,
    pub(in crate::cli::demo) dead_lettered: u64,
    pub(in crate::cli::demo) duplicates: u64,
}

impl Books {
    /// Enters something that is about to be put.
    pub(super) fn must(&mut self, key: String, must: Fate) {
        self.counts.put += 1;
        self.counts.filtered += u64::from(must == Fate::Filter);
        let fresh = Item { must, put: 0, delivered: 0, parked: 0 };
        self.items.entry(key).or_insert(fresh).put += 1;
    }

    /// Enters a line of the sink.
    pub(super) fn saw_delivered(&mut self, line: &[u8], now: EpochMillis) {
        let event: Value = serde_json::from_slice(line).unwrap_or_default();
        let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(item) = self.items.get_mut(id) else {
            self.strangers += 1;
            return;
        };
        item.delivered += 1;
        if item.delivered > item.put {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.delivered += 1;
        if let Some(put) = event.get("timestamp").and_then(Value::as_i64) {
            self.latencies.push(now.millis_since(EpochMillis(put)));
        }
    }

    /// Enters a line of the dead-letter sink.
    pub(super) fn saw_letter(&mut self, line: &[u8]) {
        let letter = Letter::parse(line);
        let found = letter.and_then(|letter| Some((self.items.get_mut(letter.key())?, letter)));
        let Some((item, letter)) = found else {
            self.strangers += 1;
            return;
        };
        item.parked += 1;
        if item.parked > item.put {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.dead_lettered += 1;
        *self.causes.entry(letter.cause()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: &[u8] = br#"{"stage":"decode","reason":"not gzip","data":"H4s="}"#;

    #[test]
    fn records_that_are_alike_are_counted_one_by_one() {
        let mut books = Books::default();
        books.must("H4s=".to_owned(), Fate::DeadLetter);
        books.saw_letter(LETTER);
        books.must("H4s=".to_owned(), Fate::DeadLetter);
        assert_eq!((books.counts.put, books.counts.dead_lettered), (2, 1));
        books.saw_letter(LETTER);
        books.saw_letter(LETTER);
        assert_eq!((books.counts.dead_lettered, books.counts.duplicates), (2, 1));
    }

    #[test]
    fn what_nobody_put_is_a_stranger() {
        let mut books = Books::default();
        books.saw_letter(LETTER);
        books.saw_delivered(br#"{"id":"1"}"#, EpochMillis(0));
        books.saw_delivered(b"{half a li", EpochMillis(0));
        assert_eq!(books.strangers, 3);
    }
}
