//! What is open and what is settled: the safe checkpoint.

use std::collections::VecDeque;

use super::Reservation;
use crate::model::{EpochMillis, Position};

/// A user record on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The user records of one shard that are under way, in the order of the shard.
///
/// A record is settled when each of its deliveries is. A delivery that is forgotten never settles:
/// the checkpoint then stands still, which is the safe way to be wrong.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// Ticket of the first entry.
    first: u64,
    frontier: Option<Mark>,
}

/// A user record's place, and when Kinesis took the record that held it.
pub type Mark = (Position, EpochMillis);

#[derive(Debug)]
struct Entry {
    mark: Mark,
    open: usize,
    /// The bytes of a page are given back when its last record is settled.
    _reservation: Option<Reservation>,
}

impl Ledger {
    /// Enters a user record with `open` deliveries to come; none for one that is settled already.
    /// Positions grow along a shard.
    pub fn open(&mut self, mark: Mark, open: usize, reservation: Option<Reservation>) -> Ticket {
        let ticket = Ticket(self.first + self.entries.len() as u64);
        self.entries.push_back(Entry { mark, open, _reservation: reservation });
        self.advance();
        ticket
    }

    /// One delivery of a record has its outcome.
    pub fn settle(&mut self, ticket: Ticket) {
        let index = ticket.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let entry = index.and_then(|index| self.entries.get_mut(index));
        debug_assert!(entry.as_ref().is_some_and(|entry| entry.open > 0), "settled twice");
        if let Some(entry) = entry {
            entry.open = entry.open.saturating_sub(1);
        }
        self.advance();
    }

    /// The last position up to which everything is settled, once there is one.
    pub fn frontier(&self) -> Option<&Mark> {
        self.frontier.as_ref()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When Kinesis took the oldest record under way.
    pub fn oldest(&self) -> Option<EpochMillis> {
        self.entries.front().map(|entry| entry.mark.1)
    }

    /// User records under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn advance(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.open == 0) {
            let settled = self.entries.pop_front().map(|entry| entry.mark);
            // A server that answers a record twice must not take the checkpoint back.
            self.frontier = self.frontier.take().max(settled);
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(number: usize) -> Mark {
        let sequence = number.to_string().parse().unwrap();
        (Position { sequence, sub_sequence: 0 }, EpochMillis(0))
    }

    #[test]
    fn the_frontier_waits_for_the_oldest_open_record() {
        let mut ledger = Ledger::default();
        let first = ledger.open(at(1), 1, None);
        let second = ledger.open(at(2), 2, None);
        ledger.settle(second);
        ledger.settle(second);
        assert_eq!(ledger.frontier(), None);
        ledger.settle(first);
        assert_eq!(ledger.frontier(), Some(&at(2)));
        assert!(ledger.is_empty());
    }

    #[test]
    fn records_without_deliveries_move_the_frontier_like_any_other() {
        let mut ledger = Ledger::default();
        ledger.open(at(1), 0, None);
        assert_eq!(ledger.frontier(), Some(&at(1)));
        let open = ledger.open(at(2), 1, None);
        ledger.open(at(3), 0, None);
        assert_eq!(ledger.frontier(), Some(&at(1)));
        ledger.settle(open);
        assert_eq!(ledger.frontier(), Some(&at(3)));
    }

    #[test]
    fn a_record_that_comes_again_does_not_take_the_frontier_back() {
        let mut ledger = Ledger::default();
        ledger.open(at(2), 0, None);
        ledger.open(at(1), 0, None);
        assert_eq!(ledger.frontier(), Some(&at(2)));
    }

    proptest! {
        /// Whatever the order of settling: the frontier is the longest settled prefix.
        #[test]
        fn the_frontier_is_the_longest_settled_prefix(
            counts in prop::collection::vec(0usize..4, 1..30),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let mut ledger = Ledger::default();
            let tickets: Vec<Ticket> = counts
                .iter()
                .enumerate()
                .map(|(number, count)| ledger.open(at(number + 1), *count, None))
                .collect();
            let mut left = counts.clone();
            for pick in picks {
                let open: Vec<usize> = (0..left.len()).filter(|index| left[*index] > 0).collect();
                if open.is_empty() {
                    break;
                }
                let index = open[pick.index(open.len())];
                left[index] -= 1;
                ledger.settle(tickets[index]);
                let prefix = left.iter().take_while(|count| **count == 0).count();
                let expect = (prefix > 0).then(|| at(prefix));
                prop_assert_eq!(ledger.frontier(), expect.as_ref());
                prop_assert_eq!(ledger.len(), left.len() - prefix);
            }
        }
    }
}
