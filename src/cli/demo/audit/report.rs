//! The summary: the closed books.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::{
    books::{Books, Counts, Fate},
    letter::Cause,
};
use crate::cli::demo::{fleet::Fleet, setup::Setup};

/// The closed books.
pub(in crate::cli::demo) struct Report {
    records: u64,
    counts: Counts,
    causes: BTreeMap<Cause, u64>,
    /// Items without the outcome that they must have.
    lost: u64,
    /// Items with an outcome that they must not have.
    wrong: u64,
    strangers: u64,
    latencies: Vec<u64>,
}

impl Report {
    pub(super) fn of(books: &mut Books) -> Self {
        let (mut lost, mut wrong) = (0, 0);
        for item in books.items.values() {
            let (seen, unwanted) = match item.must {
                Fate::Deliver => (item.delivered, item.parked > 0),
                Fate::DeadLetter => (item.parked, item.delivered > 0),
                Fate::Filter => (item.put, item.parked + item.delivered > 0),
            };
            lost += u64::from(item.put.saturating_sub(seen));
            wrong += u64::from(unwanted);
        }
        books.latencies.sort_unstable();
        Self {
            records: books.records,
            counts: books.counts,
            causes: std::mem::take(&mut books.causes),
            lost,
            wrong,
            strangers: books.strangers,
            latencies: std::mem::take(&mut books.latencies),
        }
    }

    /// Whether every event has exactly one outcome, and the right one.
    pub(in crate::cli::demo) fn is_sound(&self) -> bool {
        let Counts { put, delivered, filtered, dead_lettered, .. } = self.counts;
        let adds_up = put > 0 && put == delivered + filtered + dead_lettered;
        adds_up && self.lost == 0 && self.wrong == 0 && self.strangers == 0
    }

    /// The summary as text.
    pub(in crate::cli::demo) fn render(&self, setup: &Setup, fleet: &Fleet) -> String {
        let mut text = String::new();
        self.write(&mut text, setup, fleet).expect("a string takes everything");
        text
    }

    fn write(&self, out: &mut String, setup: &Setup, fleet: &Fleet) -> fmt::Result {
        let Counts { put, delivered, filtered, dead_lettered, duplicates } = self.counts;
        let outcomes = delivered + filtered + dead_lettered;
        writeln!(out, "records put     {:>9}", self.records)?;
        writeln!(out, "events put      {put:>9}   (a record that cannot be read counts as one)")?;
        writeln!(out, "  delivered     {delivered:>9}")?;
        writeln!(out, "  filtered      {filtered:>9}")?;
        writeln!(out, "  dead-lettered {dead_lettered:>9}{}", why(&self.causes))?;
        writeln!(out, "  sum           {outcomes:>9}")?;
        writeln!(
            out,
            "duplicates      {duplicates:>9}   (delivered again after a worker stopped)"
        )?;
        if let (Some(p50), Some(p99)) = (self.percentile(50), self.percentile(99)) {
            writeln!(out, "put to delivery {p50:>6} ms p50, {p99} ms p99")?;
        }
        writeln!(out, "workers         {}", fleet.summary())?;
        writeln!(out, "results         {}", setup.dir.display())?;
        if self.is_sound() {
            return writeln!(out, "every event has exactly one outcome");
        }
        let Self { lost, wrong, strangers, .. } = self;
        writeln!(
            out,
            "NOT SOUND: {lost} without their outcome, {wrong} with a wrong one, \
             {strangers} that nobody put"
        )
    }

    fn percentile(&self, percent: usize) -> Option<u64> {
        let index = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies.get(index).copied()
    }
}

/// Why there are dead letters: without it they read like a fault.
fn why(causes: &BTreeMap<Cause, u64>) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let all: Vec<String> = causes.iter().map(|(cause, count)| cause.describe(*count)).collect();
    let on_purpose = causes.keys().all(|cause| cause.is_on_purpose());
    let label = if on_purpose { "on purpose: " } else { "" };
    format!("   ({label}{})", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_explained() {
        let check = |causes: &[(Cause, u64)], expect: &str| {
            assert_eq!(why(&causes.iter().copied().collect()), expect);
        };
        check(&[], "");
        check(
            &[(Cause::NotJson, 1777), (Cause::Unreadable, 12)],
            "   (on purpose: 12 unreadable records, 1777 orders that are not JSON)",
        );
        check(
            &[(Cause::Unreadable, 1), (Cause::Sink, 2)],
            "   (1 unreadable record, 2 events that the sink refuses)",
        );
    }
}
