//! Counting what became of records and events.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use super::Stage;

/// How many records and events came to which end. Each is counted under exactly one outcome:
///
/// - `user_records = decoded + undecodable`
/// - `events = delivered + filtered + dead_lettered`, once everything is settled
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kinesis records read.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// User records in them; the same number unless there are KPL aggregates.
    pub user_records: u64,
    /// User records in KPL aggregates that belong to another shard. They are dropped, and counted
    /// nowhere else: their producer has put them again, where they belong.
    pub foreign: u64,
    /// User records that gave events or control messages (possibly none).
    pub decoded: u64,
    /// User records that could not be decoded, now dead letters.
    pub undecodable: u64,
    /// CloudWatch's health checks.
    pub control: u64,
    /// Decoded events.
    pub events: u64,
    /// Events that no route wanted, or that a program aborted.
    pub filtered: u64,
    /// Events whose sinks all said so.
    pub delivered: u64,
    /// Events with a dead letter that its sink accepted.
    pub dead_lettered: u64,
    /// Documents that came after their windows were closed, wherever they went.
    pub late: u64,
    /// Rows of windows that their sinks accepted.
    pub rows: u64,
    /// Dead letters that their sink accepted. With `also` one event may have several.
    pub letters: LetterCounts,
    /// Why programs aborted events. With `also`, several programs may abort one event, and an event
    /// that one aborts may be delivered by another: these counts are beside the equations above.
    pub aborts: AbortReasons,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.user_records += other.user_records;
        self.foreign += other.foreign;
        self.decoded += other.decoded;
        self.undecodable += other.undecodable;
        self.control += other.control;
        self.events += other.events;
        self.filtered += other.filtered;
        self.delivered += other.delivered;
        self.dead_lettered += other.dead_lettered;
        self.late += other.late;
        self.rows += other.rows;
        self.letters += other.letters;
        self.aborts += other.aborts;
    }
}

/// Dead letters by where they failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterCounts([u64; Stage::ALL.len()]);

impl LetterCounts {
    /// Counts one letter.
    pub fn count(&mut self, stage: Stage) {
        if let Some(count) = self.0.get_mut(stage as usize) {
            *count += 1;
        }
    }

    /// Letters that failed there.
    pub fn of(self, stage: Stage) -> u64 {
        self.0.get(stage as usize).copied().unwrap_or_default()
    }
}

impl AddAssign for LetterCounts {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

/// How often programs aborted an event, by reason.
///
/// A reason is the message of `abort`, cut to [`Self::LONGEST`] characters. Only the first
/// [`Self::MOST`] are told apart, since a message may be made of anything; later ones are counted as
/// `other`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortReasons {
    counts: BTreeMap<String, u64>,
    other: u64,
}

impl AbortReasons {
    /// Most reasons that are told apart.
    pub const MOST: usize = 64;
    /// Most characters of a reason.
    pub const LONGEST: usize = 100;

    /// Counts one abort.
    pub(super) fn count(&mut self, reason: Option<&str>) {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or("no reason given");
        match self.counts.get_mut(reason) {
            Some(count) => *count += 1,
            None => self.add(reason.chars().take(Self::LONGEST).collect(), 1),
        }
    }

    /// The reasons in alphabetical order, then `other`, with how often each was given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let other = (self.other > 0).then_some(("other", self.other));
        self.counts.iter().map(|(reason, count)| (reason.as_str(), *count)).chain(other)
    }

    fn add(&mut self, reason: String, times: u64) {
        if self.counts.len() < Self::MOST || self.counts.contains_key(&reason) {
            *self.counts.entry(reason).or_default() += times;
        } else {
            self.other += times;
        }
    }
}

impl AddAssign for AbortReasons {
    fn add_assign(&mut self, other: Self) {
        self.other += other.other;
        for (reason, count) in other.counts {
            self.add(reason, count);
        }
    }
}

impl fmt::Display for AbortReasons {
    /// `health check: 12, not an order: 3`; nothing when nothing was aborted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, count)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{reason}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_by_stage() {
        let mut letters = LetterCounts::default();
        for (times, stage) in Stage::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| letters.count(stage));
        }
        letters += letters;
        assert_eq!(Stage::ALL.map(|stage| letters.of(stage)), [0, 2, 4, 6, 8]);
    }

    #[test]
    fn aborts_are_counted_by_reason() {
        let mut aborts = AbortReasons::default();
        for reason in [Some("health check"), None, Some(" health check\n"), Some("")] {
            aborts.count(reason);
        }
        assert_eq!(aborts.to_string(), "health check: 2, no reason given: 2");
        assert_eq!(AbortReasons::default().to_string(), "");
    }

    #[test]
    fn reasons_are_bounded_in_number_and_length() {
        let mut total = AbortReasons::default();
        for number in 0..100 {
            let mut one = AbortReasons::default();
            one.count(Some(&format!("{number:03}{}", "é".repeat(1000))));
            one.count(Some("000 again"));
            total += one;
        }
        let counts: Vec<_> = total.iter().collect();
        assert_eq!(counts.len(), AbortReasons::MOST + 1);
        assert!(counts.iter().all(|(reason, _)| reason.chars().count() <= AbortReasons::LONGEST));
        assert!(counts.contains(&("000 again", 100)));
        assert_eq!(counts.last(), Some(&("other", 37)));
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 200);
    }
}
