//! Tables and short forms for the terminal.

use std::time::Duration;

use crate::{
    model::{Checkpoint, HashKey, HashKeyRange, Lease},
    ports::{SystemClock, WallClock},
};

use super::seek::Lag;

/// Columns of texts under their heads.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&text| text.to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A line a row; columns as wide as their widest cell, two spaces between.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells.map(|(cell, &width)| format!("{cell:width$}")).collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A name of up to so many characters and its value, a line each.
pub(super) fn field(name: &str, value: impl std::fmt::Display) -> String {
    format!("  {name:<12} {value}\n")
}

/// What stands where nothing is.
pub(super) const NONE: &str = "-";

/// Digits at both ends of a sequence number in its short form: the first ones tell streams apart and
/// the last ones shards, so a few of each do.
const HEAD: usize = 8;
const TAIL: usize = 10;

/// A checkpoint without the middle digits; the sub-sequence number only if there is one.
pub(super) fn short(checkpoint: &Checkpoint) -> String {
    let text = checkpoint.text();
    let digits: Vec<char> = text.chars().collect();
    let mut short = match (digits.get(..HEAD), digits.len().checked_sub(TAIL)) {
        (Some(head), Some(tail)) if tail > HEAD && !is_sentinel(checkpoint) => {
            let ends = head.iter().chain(['…'].iter()).chain(digits.iter().skip(tail));
            ends.collect()
        }
        _ => text.to_owned(),
    };
    if checkpoint.sub_sequence() > 0 {
        short = format!("{short}:{}", checkpoint.sub_sequence());
    }
    short
}

fn is_sentinel(checkpoint: &Checkpoint) -> bool {
    !matches!(checkpoint, Checkpoint::After(_))
}

/// Who holds a lease; `a → b` while a hands it over to b.
pub(super) fn owner(lease: &Lease) -> String {
    match (&lease.checkpoint_owner, &lease.owner) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (Some(from), None) => format!("{from} → nobody"),
        (None, Some(owner)) => owner.to_string(),
        (None, None) => NONE.to_owned(),
    }
}

/// A duration as people say it: `340ms`, `4s`, `1m 32s`, `2h 5m`.
pub(in crate::cli) fn duration(duration: Duration) -> String {
    let rounded = match duration.as_secs() {
        0 => Duration::from_millis(u64::from(duration.subsec_millis())),
        seconds @ 1..3600 => Duration::from_secs(seconds),
        seconds => Duration::from_secs(seconds / 60 * 60),
    };
    humantime::format_duration(rounded).to_string()
}

/// How far a shard is behind: the age of its oldest unread record, as that shows a record that waits
/// even when the shard has no others.
pub(super) fn lag(lag: &Lag) -> String {
    let age = lag.oldest_unread.map(|arrival| SystemClock.now().millis_since(arrival));
    duration(lag.behind.max(Duration::from_millis(age.unwrap_or(0))))
}

/// A range with its share of the key space.
pub(super) fn range(range: &HashKeyRange) -> String {
    let HashKeyRange { start: HashKey(start), end: HashKey(end) } = range;
    format!("{start}..{end} ({})", share(range))
}

/// The share of the key space that a range takes.
fn share(range: &HashKeyRange) -> String {
    let share = range.per_mille();
    format!("{}.{} %", share / 10, share % 10)
}

/// A count with its noun.
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{leasing::fixtures::lease, model::WorkerId};

    #[test]
    fn checkpoints_are_shortened_in_the_middle() {
        let short = |text: &str, sub| short(&Checkpoint::parse(text, sub).unwrap());
        let long = "49671086172344534535231321321321321321321321321321321326";
        assert_eq!(short(long, 0), "49671086…1321321326");
        assert_eq!(short(long, 7), "49671086…1321321326:7");
        assert_eq!(short("1234567890123456789", 0), "12345678…0123456789");
        assert_eq!(short("123456789012345678", 0), "123456789012345678");
        assert_eq!(short("TRIM_HORIZON", 0), "TRIM_HORIZON");
    }

    #[test]
    fn a_hand_over_shows_both_sides() {
        let mut row = lease("0").owner("b").build();
        assert_eq!(owner(&row), "b");
        row.checkpoint_owner = Some(WorkerId::new("a"));
        assert_eq!(owner(&row), "a → b");
        row.owner = None;
        assert_eq!(owner(&row), "a → nobody");
        assert_eq!(owner(&lease("0").build()), "-");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        for (millis, text) in [
            (0, "0s"),
            (340, "340ms"),
            (4_900, "4s"),
            (92_000, "1m 32s"),
            (7_530_000, "2h 5m"),
            (90_000_000, "1day 1h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn shares_add_up() {
        let whole = HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX) };
        let half = HashKeyRange { start: HashKey(1 << 127), end: HashKey(u128::MAX) };
        assert_eq!((share(&whole), share(&half)), ("100.0 %".to_owned(), "50.0 %".to_owned()));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONG HEAD", "C"]);
        table.row(vec!["wide cell".to_owned(), "x → y".to_owned(), String::new()]);
        assert_eq!(table.render(), "A          LONG HEAD  C\nwide cell  x → y\n");
    }
}
